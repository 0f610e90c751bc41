"""Values of opake-auditing for the tests of one-run audits.

Writes tests/fixtures/opake.json. Runs in an environment of its own that holds numpy, SciPy, torch
and, without their dependencies, opake-auditing==0.16.1, opake-engine==0.16.1,
opake-accounting==0.16.1, opake-base==0.16.1 and optree:

    pip install --no-deps opake-auditing==0.16.1 opake-engine==0.16.1 \
        opake-accounting==0.16.1 opake-base==0.16.1 optree
    python scripts/oracles/opake_values.py tests/fixtures/opake.json

All canaries are guessed, at a threshold that was fixed before; epsilon is found to 1e-4 and mu to
1e-2 there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from opake import auditing
from opake.random import key

CASES = [(m, wrong) for m in (20, 100, 1000) for wrong in (0, m // 20, m // 5, 2 * m // 5)]
SIGNIFICANCE, DELTA = 0.05, 1e-5


def values(m: int, wrong: int) -> dict[str, float]:
    """Audit m canaries of which the first ``wrong`` are guessed wrongly."""
    flip = auditing.coin_flip(range(m), num_canaries=m, key=key(m))
    scores = np.full(m, -1.0)
    scores[np.isin(flip.canary_indices, flip.in_indices)] = 1.0
    scores[:wrong] *= -1
    named = auditing.canary_scores(scores, canary_indices=flip.canary_indices)
    found = auditing.one_run(named, coin_flip=flip)
    at = {"significance": SIGNIFICANCE, "threshold": 0.0}
    return {
        "m": m,
        "wrong": wrong,
        "epsilon": found.eps_delta().epsilon_at(delta=0.0, **at),
        "epsilon_at_delta": found.eps_delta().epsilon_at(delta=DELTA, **at),
        "gaussian_epsilon": found.gdp().epsilon_at(delta=DELTA, **at),
    }


def main() -> None:
    """Write the fixture."""
    content = {
        "source": "opake-auditing 0.16.1",
        "significance": SIGNIFICANCE,
        "delta": DELTA,
        "values": [values(*case) for case in CASES],
    }
    Path(sys.argv[1]).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
