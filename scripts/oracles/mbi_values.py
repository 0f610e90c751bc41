"""Marginals that mbi estimates, for the tests of the graphical model: tests/fixtures/mbi.json.

Runs in an environment that holds mbi==2.0.0 and jax:

    pip install mbi==2.0.0
    python scripts/oracles/mbi_values.py tests/fixtures/mbi.json

Each problem is a few noisy marginals of correlated columns. mbi follows mirror descent in float64
for ``ITERATIONS`` steps; written down are the problem, its estimate of the number of rows, the
marginals of all pairs of columns, and the loss after mbi's default of 1000 steps.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ITERATIONS = 100_000
ROWS = 2_000
PROBLEMS: dict[str, tuple[list[int], list[tuple[int, ...]], float]] = {
    "tree": ([3, 4, 2, 5, 3], [(0,), (3,), (0, 1), (1, 2), (1, 3), (3, 4)], 8.0),
    "loop": ([3, 3, 2, 4], [(0, 1), (1, 2), (2, 3), (0, 3)], 8.0),
    "triples": ([2, 3, 4, 2, 3], [(0,), (0, 1, 2), (1, 2, 3), (3, 4), (0, 4)], 15.0),
    "apart": ([4, 3, 2, 3], [(0, 1), (3,), (3, 2), (0,)], 3.0),
    "noisy": ([4, 4, 3], [(0, 1), (1, 2), (0, 2), (0,), (1,), (2,)], 60.0),
}


def main(path: str) -> None:
    """Estimate every problem and write the file."""
    import jax

    jax.config.update("jax_enable_x64", True)
    found = {name: solved(*problem) for name, problem in PROBLEMS.items()}
    Path(path).write_text(json.dumps(found, indent=1) + "\n")


def solved(sizes: list[int], cliques: list[tuple[int, ...]], deviation: float) -> dict[str, Any]:
    """Measure the marginals of a table and let mbi estimate the model."""
    import mbi

    rng = np.random.default_rng(0)
    table = correlated(sizes, rng)
    names = [f"c{column}" for column in range(len(sizes))]
    asked, measurements = [], []
    for clique in cliques:
        shape = [sizes[column] for column in clique]
        cells = np.ravel_multi_index(table[:, clique].T, shape)
        exact = np.bincount(cells, minlength=int(np.prod(shape)))
        noisy = exact + np.rint(rng.normal(0, deviation, len(exact)))
        columns = tuple(names[column] for column in clique)
        measurements.append(mbi.LinearMeasurement(noisy, columns, deviation))
        asked.append({"clique": clique, "counts": noisy.reshape(shape).tolist()})
    domain = mbi.Domain(names, sizes)
    model = mbi.estimation.MirrorDescent().estimate(domain, measurements, iters=ITERATIONS)
    usual = mbi.estimation.MirrorDescent().estimate(domain, measurements)
    distances = [
        usual.project(m.clique).datavector() - np.asarray(m.noisy_measurement) for m in measurements
    ]
    loss = sum(float(distance @ distance) for distance in distances) / (2 * deviation**2)
    pairs = list(itertools.combinations(range(len(sizes)), 2))
    marginals = [model.project([names[a], names[b]]).datavector(flatten=False) for a, b in pairs]
    return {
        "sizes": sizes,
        "deviation": deviation,
        "measurements": asked,
        "total": float(model.total),
        "loss_after_1000": loss,
        "pairs": [
            {"clique": pair, "counts": np.asarray(marginal).round(6).tolist()}
            for pair, marginal in zip(pairs, marginals, strict=True)
        ],
    }


def correlated(sizes: list[int], rng: np.random.Generator) -> np.ndarray:
    """Draw rows whose neighbouring columns are alike and whose low cells are frequent."""
    first = rng.geometric(0.5, size=ROWS) - 1
    columns = []
    for size in sizes:
        again = rng.geometric(0.4, size=ROWS) - 1
        first = np.where(rng.random(ROWS) < 0.6, first, again)
        columns.append(np.minimum(first, size - 1))
    return np.stack(columns, axis=1)


if __name__ == "__main__":
    main(sys.argv[1])
