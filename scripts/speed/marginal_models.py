"""Print what MST, AIM and MWEM+PGM cost on adult, and their estimate beside that of mbi.

    python scripts/speed/marginal_models.py ADULT_CSV ORACLE_PYTHON [--rows 32561]

ADULT_CSV is the adult table (48,842 rows, also gzipped). ORACLE_PYTHON is the interpreter of an
environment that holds mbi==2.0.0. Each line is a process of its own, one thread, without the time
for imports. First whole generators at epsilon 1, delta 1e-5: fit and as many rows as were fitted.
Then the estimate alone, from the same noisy counts of all columns and of a spanning tree, and as
many rows drawn from it; mbi's includes what its compiler takes, once for every new set of
marginals. The bounds of the numbers are the table's own, so nothing here is a private release.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from side_by_side import Timing, adult, measured, timed

if TYPE_CHECKING:
    from syntharena.bench.schema import Schema

GENERATORS = {"mst": "Mst", "aim": "Aim", "mwem_pgm": "MwemPgm"}
SEED = 0


def main() -> None:
    """Run every worker and print its line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("oracle")
    parser.add_argument("--rows", type=int, default=32_561)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--counts", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options)))
        return
    print(f"{options.rows} rows: CPU seconds, MiB at the peak")
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.npz"
        arguments = [options.csv, options.oracle, "--rows", options.rows, "--counts", counts]
        for worker in (*GENERATORS, "measure", "estimate", "mbi"):
            python = options.oracle if worker == "mbi" else sys.executable
            found = measured(python, __file__, [*arguments, "--worker", worker], options.seconds)
            print(f"  {worker:10} {found}", flush=True)


def work(options: argparse.Namespace) -> Timing:
    """Do what one line is about."""
    if options.worker == "mbi":
        return mbi(*read(options.counts), options.rows)
    if options.worker == "estimate":
        return ours(*read(options.counts), options.rows)
    table = adult(options.csv, options.rows)[: options.rows]
    schema = bounded(table)
    table = schema.conform(table)
    if options.worker == "measure":
        return timed(lambda: measure(table, schema, options.counts))
    return timed(lambda: generate(options.worker, table, schema))


def bounded(table: pd.DataFrame) -> Schema:
    """Describe a table with the bounds of its own numbers."""
    from syntharena.bench.schema import Column, Schema

    columns = []
    for name, series in table.items():
        missing = bool(series.isna().any())
        if pd.api.types.is_numeric_dtype(series):
            low, high = float(series.min()), float(series.max())
            columns.append(Column(str(name), "integer", minimum=low, maximum=high, missing=missing))
        else:
            known = tuple(sorted(series.dropna().unique()))
            columns.append(Column(str(name), "categorical", known, missing=missing))
    return Schema(tuple(columns))


def generate(name: str, table: pd.DataFrame, schema: Schema) -> str:
    """Fit a generator, draw as many rows, and say its score."""
    from syntharena.bench.contracts import Budget, Tables
    from syntharena.evaluators.marginals import Marginals

    make = getattr(importlib.import_module(f"syntharena.generators.{name}"), GENERATORS[name])
    rng = np.random.default_rng(SEED)
    spent, _, rows = timed(
        lambda: (
            make()
            .fit(table, schema=schema, budget=Budget(1.0, 1e-5), rng=rng)
            .sample(len(table), rng=rng)
        )
    )
    values = Marginals().evaluate(Tables(table, table, table, rows), schema=schema, rng=rng)
    return f"{spent:.2f} s of it to fit and sample, score {values['nist_k_marginal_score']:.1f}"


def measure(table: pd.DataFrame, schema: Schema, path: Path) -> str:
    """Ask what MST asks, without merging rare cells, and write it down."""
    from syntharena.bench.contracts import Budget
    from syntharena.generators.distributions.graphical import estimate
    from syntharena.generators.distributions.marginal_model import Survey
    from syntharena.generators.mst import spanning_tree
    from syntharena.generators.privacy.allowance import Allowance
    from syntharena.generators.views.domain import discretise

    allowance, rng = Allowance(Budget(1.0, 1e-5)), np.random.default_rng(SEED)
    domain = discretise(table, schema, allowance, rng)
    survey = Survey(domain, domain.codes(table), allowance, rng)
    columns = len(survey.sizes)
    for column in range(columns):
        survey.measure((column,), 1 / 3 / columns, "one-way marginal")
    ones = estimate(survey.sizes, survey.measurements)
    for edge in spanning_tree(survey, ones, 1 / 3):
        survey.measure(edge, 1 / 3 / columns, "two-way marginal")
    asked = survey.measurements
    arrays: dict[str, Any] = {f"counts{i}": m.counts for i, m in enumerate(asked)}
    cliques = json.dumps([m.clique for m in asked])
    np.savez(path, sizes=survey.sizes, cliques=cliques, deviation=asked[0].deviation, **arrays)
    return f"{len(asked)} marginals of {sum(m.counts.size for m in asked)} cells"


def read(path: Path) -> tuple[list[int], list[tuple[int, ...]], list[np.ndarray], float]:
    """Read column sizes, cliques, noisy counts and their standard deviation."""
    held = np.load(path)
    cliques = [tuple(clique) for clique in json.loads(str(held["cliques"]))]
    counts = [held[f"counts{i}"] for i in range(len(cliques))]
    return held["sizes"].tolist(), cliques, counts, float(held["deviation"])


def ours(
    sizes: list[int],
    cliques: list[tuple[int, ...]],
    counts: list[np.ndarray],
    deviation: float,
    rows: int,
) -> Timing:
    """Estimate and draw here."""
    from syntharena.generators.distributions.graphical import Measurement, estimate

    asked = [Measurement(c, values, deviation) for c, values in zip(cliques, counts, strict=True)]

    def run() -> str:
        model = estimate(sizes, asked)
        model.codes(rows, np.random.default_rng(SEED))
        pairs = zip(cliques, counts, strict=True)
        distances = [model.marginal(clique) - values for clique, values in pairs]
        return f"loss {half_squares(distances, deviation):.1f}"

    return timed(run)


def mbi(
    sizes: list[int],
    cliques: list[tuple[int, ...]],
    counts: list[np.ndarray],
    deviation: float,
    rows: int,
) -> Timing:
    """Estimate and draw with mbi, at its own defaults."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import mbi

    names = [f"c{column}" for column in range(len(sizes))]
    asked = [
        mbi.LinearMeasurement(values.ravel(), tuple(names[column] for column in clique), deviation)
        for clique, values in zip(cliques, counts, strict=True)
    ]

    def run() -> str:
        domain = mbi.Domain(names, sizes)
        model = mbi.estimation.MirrorDescent().estimate(domain, asked)
        model.synthetic_data(rows)
        distances = [
            np.asarray(model.project(m.clique).datavector()) - m.noisy_measurement for m in asked
        ]
        return f"loss {half_squares(distances, deviation):.1f}"

    return timed(run)


def half_squares(distances: list[Any], deviation: float) -> float:
    """Half the sum of squares in units of the noise."""
    return sum(float((distance**2).sum()) for distance in distances) / (2 * deviation**2)


if __name__ == "__main__":
    main()
