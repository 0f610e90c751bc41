"""Print what the downstream models cost, here and in SDMetrics, on the same tables.

    python scripts/speed/utility.py ADULT_CSV ORACLE_PYTHON [--rows 32561] [--rows 300000]

ADULT_CSV is the adult table (48,842 rows, also gzipped). ORACLE_PYTHON is the interpreter of an
environment that holds sdmetrics==0.32.0. Train has --rows rows, holdout half as many; synthetic is
a bootstrap of train. More rows than the file has repeat it with shifted numbers. Each line is a
process of its own, one thread, without the time for imports, for at most --seconds of wall time.
Ours learns from synthetic rows and from train, predicts holdout and gives eight scores with
intervals; SDMetrics learns once and gives F1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

OURS = ("xgboost", "linear", "forest", "mlp", "queries", "tabsyn_mle")
SDMETRICS = (
    "BinaryAdaBoostClassifier",
    "BinaryDecisionTreeClassifier",
    "BinaryLogisticRegression",
    "BinaryMLPClassifier",
)
TARGET = "income"


def main() -> None:
    """Run every model on both sides and print them below each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("oracle")
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--worker", choices=OURS + SDMETRICS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.rows or [32_561]
    if options.worker:
        run = ours if options.worker in OURS else sdmetrics
        print(json.dumps(run(options.worker, made(options.csv, sizes[0]))))
        return
    for rows in sizes:
        print(f"{rows} train rows: CPU seconds, MiB at the peak")
        for python, side, workers in (
            (sys.executable, "ours", OURS),
            (options.oracle, "sdmetrics", SDMETRICS),
        ):
            for worker in workers:
                found = measured(python, worker, rows, options)
                print(f"  {side:9} {worker:30} {found}", flush=True)


def measured(python: str, worker: str, rows: int, options: argparse.Namespace) -> str:
    """Run one model in a process of its own."""
    command = [python, __file__, options.csv, options.oracle]
    command += ["--worker", worker, "--rows", str(rows)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, env=environment, timeout=options.seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"not done in {options.seconds} s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    seconds, mib, score = json.loads(done.stdout.splitlines()[-1])
    return f"{seconds:8.2f} s {mib:6.0f} MiB  {score}"


def made(csv: str, rows: int) -> dict[str, pd.DataFrame]:
    """Cut train and holdout from the file; a repeated file has its numbers shifted."""
    table = pd.read_csv(csv, na_values=["?"], skipinitialspace=True)
    copies = -(-(rows + rows // 2) // len(table))
    parts = [table.assign(fnlwgt=table["fnlwgt"] + 7 * copy) for copy in range(copies)]
    table = pd.concat(parts, ignore_index=True)
    rng = np.random.default_rng(0)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    train, holdout = table[:rows], table[rows : rows + rows // 2].reset_index(drop=True)
    synthetic = train.iloc[rng.integers(0, rows, rows)].reset_index(drop=True)
    return {"train": train, "holdout": holdout, "synthetic": synthetic}


def timed(score) -> tuple[float, float, str]:
    """CPU seconds of a call, the process's peak memory in MiB, and what the call returned."""
    started = time.process_time()
    found = score()
    seconds = time.process_time() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found


def ours(worker: str, frames: dict[str, pd.DataFrame]) -> tuple[float, float, str]:
    """Time an evaluator of ours, or one model of ``utility`` by both routes."""
    from importlib import import_module

    from syntharena.bench.contracts import Tables
    from syntharena.bench.schema import Column, Schema
    from syntharena.evaluators.queries import Queries
    from syntharena.evaluators.tabsyn_mle import TabsynMle
    from syntharena.evaluators.utility import Utility

    for module in ("xgboost", "sklearn.ensemble", "sklearn.linear_model", "sklearn.neural_network"):
        import_module(module)
    columns = []
    for name, series in pd.concat(frames.values()).items():
        missing = bool(series.isna().any())
        if pd.api.types.is_numeric_dtype(series):
            columns.append(Column(str(name), "integer", missing=missing))
        else:
            known = tuple(sorted(series.dropna().unique()))
            columns.append(Column(str(name), "categorical", known, missing=missing))
    schema = Schema(tuple(columns), TARGET, "binary")
    train, holdout, synthetic = (
        schema.conform(frames[name]) for name in ("train", "holdout", "synthetic")
    )
    tables = Tables(train, holdout, holdout[:0], synthetic)
    evaluator, shown = {
        "queries": (Queries(), "range_query_error"),
        "tabsyn_mle": (TabsynMle(), "tabsyn_mle_auroc_score"),
    }.get(worker) or (Utility([worker]), f"tstr_{worker}_auroc_score")

    def score() -> str:
        found = evaluator.evaluate(tables, schema=schema, rng=np.random.default_rng(0))[shown]
        return f"{shown} {found.value:.4f}"

    return timed(score)


def sdmetrics(worker: str, frames: dict[str, pd.DataFrame]) -> tuple[float, float, str]:
    """Time a model of SDMetrics; it takes no missing category."""
    from sdmetrics import single_table

    model = getattr(single_table, worker)
    sides = {}
    for side, name in (("train_data", "synthetic"), ("test_data", "holdout")):
        frame = frames[name].copy()
        texts = frame.select_dtypes(exclude="number").columns
        frame[texts] = frame[texts].fillna("missing").astype(object)
        frame[TARGET] = frame[TARGET] == ">50K"
        sides[side] = frame
    kinds = {
        name: {"sdtype": "numerical" if pd.api.types.is_numeric_dtype(series) else "categorical"}
        for name, series in sides["train_data"].items()
    }
    metadata = {"columns": kinds | {TARGET: {"sdtype": "boolean"}}}
    return timed(lambda: f"F1 {model.compute(**sides, metadata=metadata, target=TARGET):.4f}")


if __name__ == "__main__":
    main()
