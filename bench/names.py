"""Unknown names: say which ones are valid and which is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownName(ValueError):
    """A name that nothing has."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        valid = sorted(valid)
        near = difflib.get_close_matches(name, valid, n=1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r};{hint} valid: {', '.join(valid) or 'none'}")
