"""Fit adult by other libraries and by ours, and score all: ``compare.py ENVIRONMENTS OUT``.

adult (32,561 rows to fit, the other 16,281 to test on) is coded by 32 equal bins between public
bounds, so that every method sees the same whole numbers and none pays for bins; epsilon 1, delta
1e-5. OUT gets the tables, and METHOD.SEED.csv of what others made; what is there is not made again.
Printed, means over seeds with the 95 % interval of Student's t: NIST's k-marginal score of all
pairs of columns against train, TSTR by XGBoost on the test rows, and CPU seconds of fit and sample.
The last column is the interval of the first seed's TSTR over test rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import calls
import numpy as np
import pandas as pd

from syntharena.bench import config
from syntharena.bench.contracts import Budget, Measured, Tables
from syntharena.bench.data import datasets
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.intervals import of_seeds
from syntharena.evaluators.utility import Utility
from syntharena.generators.aim import Aim
from syntharena.generators.mst import Mst
from syntharena.generators.mwem_pgm import MwemPgm
from syntharena.generators.views.domain import Axis, uniform_edges

OURS = {"our MST": Mst, "our AIM": Aim, "our MWEM+PGM": MwemPgm}
OTHERS = ("dpmm_mst", "smartnoise_mst", "opendp_mst", "dpmm_aim", "smartnoise_aim", "opendp_aim")
BUDGET = Budget(1.0, 1e-5)
BINS = 32
FITTED = 32_561  # rows of adult that are fitted
Scores = tuple[float, Measured, float]  # k-marginal score, TSTR, CPU seconds


def prepare(folder: Path) -> None:
    """Write the coded train.csv, test.csv and their domain.json; a missing value has a code."""
    spec = config.all_options("dataset")["adult"]
    data = os.environ.get("SYNTHARENA_DATA")
    dataset = datasets.load(spec, data_dir=Path(data) if data else None)
    axes = [Axis(column, uniform_edges(column, BINS)) for column in dataset.schema]
    codes = pd.DataFrame({a.column.name: a.codes(dataset.table[a.column.name]) for a in axes})
    domain = {
        axis.column.name: {"kind": "categorical", "categories": list(range(axis.size))}
        for axis in axes
    }
    order = np.random.default_rng(0).permutation(len(codes))
    for name, rows in (("train", order[:FITTED]), ("test", order[FITTED:])):
        codes.iloc[rows].to_csv(folder / f"{name}.csv", index=False)
    target = dataset.schema.target
    assert target is not None
    ordered = {**{k: v for k, v in domain.items() if k != target}, target: domain[target]}
    (folder / "domain.json").write_text(json.dumps(ordered))


def fit_others(options: argparse.Namespace) -> None:
    """Fit what has no file yet, one after the other."""
    table = ["--table", str(options.out / "train.csv"), "--domain"]
    table += [str(options.out / "domain.json"), "--rows", str(FITTED)]
    for method in options.others:
        for seed in range(options.seeds):
            written, cost = (options.out / f"{method}.{seed}.{end}" for end in ("csv", "json"))
            if written.exists():
                continue
            command = calls.command(options.environments, method, {}, BUDGET.epsilon)
            command += [*table, "--seed", str(seed), "--out", str(written)]
            command += ["--seconds-out", str(cost)]
            log = options.out / "logs" / f"{method}.{seed}.log"
            ended = calls.call(command, log, options.seconds)
            if ended != "done":
                print(f"{method}, seed {seed}: {ended}", flush=True)
                break


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
    options: argparse.Namespace, schema: Schema, train: pd.DataFrame
) -> Iterator[tuple[str, Iterator[tuple[pd.DataFrame, float]]]]:
    """Yield every method with its synthetic tables and their CPU seconds."""
    for method in options.others:
        paths = sorted(options.out.glob(f"{method}.*.csv"))
        if paths:
            yield method.replace("_", " "), ((read(p, schema), seconds_of(p)) for p in paths)
    for name, make in OURS.items():
        yield name, (fitted(make, train, schema, seed) for seed in range(options.seeds))
    yield "train itself", iter([(train, 0.0)])


def seconds_of(path: Path) -> float:
    """Read the CPU seconds of what another library made."""
    cost = json.loads(path.with_suffix(".json").read_text())
    return cost["fit_cpu_seconds"] + cost["sample_cpu_seconds"]


def fitted(
    make: type[Mst | Aim | MwemPgm], train: pd.DataFrame, schema: Schema, seed: int
) -> tuple[pd.DataFrame, float]:
    """Fit one of ours and sample as many rows."""
    started = time.process_time()
    rng = np.random.default_rng(seed)
    generator = make().fit(train, schema=schema, budget=BUDGET, rng=rng)
    made = generator.sample(len(train), rng=rng)
    return made, time.process_time() - started


def shown(values: list[float], digits: int) -> str:
    """Write a mean, with its interval where there are several values."""
    mean = of_seeds(values)
    if len(values) < 2:
        return f"{mean.value:.{digits}f}"
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--others", nargs="*", default=list(OTHERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=900.0, help="limit of each fit")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    prepare(options.out)
    fit_others(options)
    schema = schema_of(options.out)
    train, test = (read(options.out / f"{name}.csv", schema) for name in ("train", "test"))
    heads = ("method", "seeds", "k-marginal, all pairs", "TSTR XGBoost AUROC", "CPU seconds")
    print(f"| {' | '.join(heads)} | over test rows |\n|{'---|' * (len(heads) + 1)}")
    for name, made in tables_of(options, schema, train):
        scores: list[Scores] = [
            (k_marginal(train, t, schema), auroc(Tables(train, test, test, t), schema), seconds)
            for t, seconds in made
        ]
        marginal, tstr, seconds = zip(*scores, strict=True)
        over_rows = f"[{tstr[0].low:.4f}, {tstr[0].high:.4f}]"
        cells = [name, str(len(scores)), shown(list(marginal), 1)]
        cells += [shown([t.value for t in tstr], 4), shown(list(seconds), 1), over_rows]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
