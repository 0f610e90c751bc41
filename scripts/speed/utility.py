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
import sys

import numpy as np
import pandas as pd
from side_by_side import Timing, measured, schema_of, timed, train_and_holdout

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
                arguments = [options.csv, options.oracle, "--worker", worker, "--rows", rows]
                found = measured(python, __file__, arguments, options.seconds)
                print(f"  {side:9} {worker:30} {found}", flush=True)


def made(csv: str, rows: int) -> dict[str, pd.DataFrame]:
    """Make train, holdout and a bootstrap of train."""
    train, holdout = train_and_holdout(csv, rows)
    drawn = np.random.default_rng(0).integers(0, rows, rows)
    synthetic = train.iloc[drawn].reset_index(drop=True)
    return {"train": train, "holdout": holdout, "synthetic": synthetic}


def ours(worker: str, frames: dict[str, pd.DataFrame]) -> Timing:
    """Time an evaluator of ours, or one model of ``utility`` by both routes."""
    from importlib import import_module

    from syntharena.bench.contracts import Tables
    from syntharena.evaluators.queries import Queries
    from syntharena.evaluators.tabsyn_mle import TabsynMle
    from syntharena.evaluators.utility import Utility

    for module in ("xgboost", "sklearn.ensemble", "sklearn.linear_model", "sklearn.neural_network"):
        import_module(module)
    schema = schema_of(frames.values(), TARGET)
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


def sdmetrics(worker: str, frames: dict[str, pd.DataFrame]) -> Timing:
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
