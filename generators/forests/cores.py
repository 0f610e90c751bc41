"""How many threads a fit may use."""

from __future__ import annotations

import os


def threads() -> int:
    """Return what ``OMP_NUM_THREADS`` says, else 1."""
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "1")))
