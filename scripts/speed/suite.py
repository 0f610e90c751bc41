"""Print what a suite costs on adult, evaluator by evaluator, and on larger tables made from it.

    python scripts/speed/suite.py [--suite standard] [--rows 32561] [--rows 300000]

Train has --rows rows, synthetic as many (cart's for adult itself, a jittered resample of train for
larger ones), holdout half as many, of which a third is the attackers' reference. One process for
each table, OMP_NUM_THREADS threads. The adult table is the one that ships with the package.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from syntharena.bench import config, plan, targets
from syntharena.bench.answers import sort_values
from syntharena.bench.contracts import Budget, Tables
from syntharena.bench.data import datasets
from syntharena.bench.schema import Schema
from syntharena.generators.cart import Cart

ADULT = 48_842


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="standard")
    parser.add_argument("--rows", type=int, action="append")
    options = parser.parse_args()
    sizes = options.rows or [32_561]
    if len(sizes) > 1:
        for rows in sizes:
            command = [sys.executable, __file__, "--suite", options.suite, "--rows", str(rows)]
            subprocess.run(command, check=True)
        return
    measure(options.suite, sizes[0])


def measure(suite: str, rows: int) -> None:
    """Ask every evaluator of a suite once, of the same tables."""
    overrides = ["dataset=adult", "generator=cart", f"suite={suite}"]
    point = config.grid(overrides, multirun=False)[0].config
    schema, tables = made(plan.Planner().dataset(point["dataset"]), rows)
    print(f"{rows} train, {len(tables.holdout)} holdout, {len(tables.synthetic)} synthetic rows")
    print(f"{'evaluator':18} {'CPU s':>8} {'wall s':>8} {'peak MiB':>9}  values")
    total = np.zeros(2)
    for name, spec in point["evaluators"].items():
        evaluator = targets.build(spec, ("evaluate",))
        before = np.array([time.process_time(), time.perf_counter()])
        values = evaluator.evaluate(tables, schema=schema, rng=np.random.default_rng(0))
        spent = np.array([time.process_time(), time.perf_counter()]) - before
        total += spent
        found = sort_values(name, evaluator.metrics, values)
        line(name, spent, f"{len(found['metrics'])} ({len(found['unavailable'])} n/a)")
    line("all", total, "")


def line(name: str, spent: np.ndarray, text: str) -> None:
    """Print one line of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:18} {spent[0]:8.2f} {spent[1]:8.2f} {peak:9.0f}  {text}", flush=True)


def made(spec: dict, rows: int) -> tuple[Schema, Tables]:
    """Make the four tables."""
    dataset = datasets.load(spec, data_dir=None, cache_dir=None, download=False)
    schema, rng = dataset.schema, np.random.default_rng(0)
    table = dataset.table
    if rows + rows // 2 > len(table):
        table = jittered(table, schema, rows + rows // 2, rng)
    order = rng.permutation(len(table))
    train, held = (
        table.iloc[part].reset_index(drop=True)
        for part in (order[:rows], order[rows : rows + rows // 2])
    )
    cut = len(held) // 3
    reference, holdout = held.iloc[:cut], held.iloc[cut:].reset_index(drop=True)
    if rows < ADULT:
        fitted = Cart().fit(train, schema=schema, budget=Budget(), rng=rng)
        synthetic = schema.conform(fitted.sample(rows, rng=rng))
    else:
        synthetic = jittered(train, schema, rows, rng)
    cost = {"fit_seconds": 1.0, "sample_seconds": 1.0}
    return schema, Tables(train, holdout, reference, synthetic, cost)


def jittered(
    table: pd.DataFrame, schema: Schema, rows: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Resample rows, move numbers by a twentieth of a deviation, and redraw 5 % of the codes."""
    table = table.iloc[rng.integers(len(table), size=rows)].reset_index(drop=True)
    columns = {}
    for column in schema:
        series = table[column.name]
        if column.is_discrete:
            codes = column.codes(series)
            other = codes[rng.permutation(rows)]
            columns[column.name] = column.from_codes(
                np.where(rng.random(rows) < 0.05, other, codes)
            )
        else:
            numbers = column.numbers(series)
            noise = rng.normal(scale=0.05 * np.nanstd(numbers), size=rows)
            columns[column.name] = column.from_numbers(numbers + noise)
    return schema.assemble(columns)


if __name__ == "__main__":
    main()
