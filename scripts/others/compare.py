"""Score synthetic tables of one discretised table: ``compare.py FOLDER [--seeds 3]``.

FOLDER holds train.csv, test.csv and domain.json, all columns coded as whole numbers, as worker.py
is handed them, and NAME.csv of every method that was fitted on train.csv. Our MST, AIM and MWEM+PGM
are fitted on it here. Printed: NIST's k-marginal score of all pairs of columns against train, TSTR
by XGBoost on test with its 95 % interval over test rows, and CPU seconds (those of the others are
read from NAME.json).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from syntharena.bench.contracts import Budget, Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.utility import Utility
from syntharena.generators.aim import Aim
from syntharena.generators.mst import Mst
from syntharena.generators.mwem_pgm import MwemPgm

OURS = {"our MST": Mst, "our AIM": Aim, "our MWEM+PGM": MwemPgm}
BUDGET = Budget(1.0, 1e-5)
NOT_METHODS = ("train", "test")


def schema_of(folder: Path) -> Schema:
    """Read the public domain; a code that a library left empty counts as missing."""
    domain = json.loads((folder / "domain.json").read_text())
    columns = tuple(
        Column(name, "categorical", tuple(map(str, column["categories"])), missing=True)
        for name, column in domain.items()
    )
    return Schema(columns, target=columns[-1].name, task="binary")


def read(path: Path, schema: Schema) -> pd.DataFrame:
    """Read a table of codes."""
    codes = pd.read_csv(path)
    return schema.assemble(
        {
            column.name: column.from_codes(
                codes[column.name].fillna(-1).clip(-1, len(column.categories) - 1).astype(int)
            )
            for column in schema
        }
    )


def k_marginal(real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema) -> float:
    """Return 1000 less 500 times the mean L1 distance over pairs of columns."""
    distances = []
    for first, second in combinations(schema, 2):
        width = len(second.categories) + 1
        size = (len(first.categories) + 1) * width
        shares = [
            np.bincount(
                (first.codes(table[first.name]) + 1) * width + second.codes(table[second.name]) + 1,
                minlength=size,
            )
            / len(table)
            for table in (real, synthetic)
        ]
        distances.append(np.abs(shares[0] - shares[1]).sum())
    return 1000 - 500 * float(np.mean(distances))


def auroc(tables: Tables, schema: Schema) -> Measured:
    """Return TSTR by XGBoost."""
    values = Utility(models=["xgboost"]).evaluate(
        tables, schema=schema, rng=np.random.default_rng(0)
    )
    found = values["tstr_xgboost_auroc_score"]
    assert isinstance(found, Measured), found
    return found


def tables_of(
    folder: Path, schema: Schema, train: pd.DataFrame, seeds: int
) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Yield name, synthetic table and CPU seconds of every method."""
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in NOT_METHODS:
            cost = json.loads(path.with_suffix(".json").read_text())
            seconds = cost["fit_cpu_seconds"] + cost["sample_cpu_seconds"]
            yield path.stem.replace("_", " "), read(path, schema), f"{seconds:.1f}"
    for name, make in OURS.items():
        for seed in range(seeds):
            started = time.process_time()
            rng = np.random.default_rng(seed)
            generator = make().fit(train, schema=schema, budget=BUDGET, rng=rng)
            made = generator.sample(len(train), rng=rng)
            yield f"{name}, seed {seed}", made, f"{time.process_time() - started:.1f}"
    yield "train itself", train, "–"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    schema = schema_of(arguments.folder)
    train, test = (read(arguments.folder / f"{name}.csv", schema) for name in NOT_METHODS)
    print(
        "| method | k-marginal, all pairs | TSTR XGBoost AUROC | CPU seconds |\n|---|---|---|---|"
    )
    for name, table, seconds in tables_of(arguments.folder, schema, train, arguments.seeds):
        score = auroc(Tables(train, test, test, table), schema)
        shown = f"{score.value:.4f} [{score.low:.4f}, {score.high:.4f}]"
        print(
            f"| {name} | {k_marginal(train, table, schema):.1f} | {shown} | {seconds} |", flush=True
        )


if __name__ == "__main__":
    main()
