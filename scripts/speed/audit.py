"""How much an audit costs beside the fits that it asks for.

    OMP_NUM_THREADS=1 python scripts/speed/audit.py

Prints milliseconds per fitted run that are the auditor's own, for the rows and columns of a probe
table, and milliseconds per bound.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from syntharena.bench.audit import estimates, one_run, pairs
from syntharena.bench.audit.attacks import Encoder, row_features
from syntharena.bench.ledger import gaussian_delta
from syntharena.bench.probes import schemas, table

REPEATS = 20


def main() -> None:
    """Time the attacker's view of a run, the bounds, and the scores of canaries."""
    rng = np.random.default_rng(0)
    schema = schemas()["mixed"]
    known = table(schema, 300, rng)
    pair = pairs.outlier(schema, known)
    look = row_features(Encoder.of(schema, pair.absent), pair.canary)
    for rows in (1_000, 10_000):
        drawn = table(schema, rows, rng)
        show(f"features of {rows} rows, {len(schema)} columns", lambda d=drawn: look(d))
    for runs in (1_000, 10_000):
        worlds = rng.normal(size=(2, runs))
        both = {"without a ledger": None, "with one": lambda epsilon: gaussian_delta(0.3, epsilon)}
        for name, profile in both.items():
            show(
                f"bounds from {runs} runs per world, {name}",
                lambda w=worlds, p=profile: estimates.estimate(*w, delta=1e-5, profile=p),
            )
    canaries = one_run.draw_canaries(schema, known, 1_000, rng)
    drawn = table(schema, 10_000, rng)
    show("scores of 1000 canaries, 10000 rows", lambda: canaries.scores(drawn, known, schema))


def show(what: str, work) -> None:
    """Print the median time of ``work``."""
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    print(f"{1e3 * float(np.median(times)):8.2f} ms  {what}")


if __name__ == "__main__":
    main()
