"""Print what the disclosure attacks cost, here and in anonymeter, on the same tables.

    python scripts/speed/disclosure.py ADULT_CSV ORACLE_PYTHON [--attacks 500] [--rows 32561]

ADULT_CSV is the adult table (48,842 rows, also gzipped). ORACLE_PYTHON is the interpreter of an
environment that holds anonymeter==1.1.0. Train has --rows rows, holdout half as many; synthetic is
train with two columns rolled. More rows than the file has repeat it with shifted numbers. Each
attack runs in a process of its own, one thread, without the time for imports and compilation, for
at most --seconds of wall time. Inference guesses one column in anonymeter and all columns here.
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

ATTACKS = ("univariate", "multivariate", "linkability", "inference")
HALF = ("age", "workclass", "education", "race", "sex", "income")  # the other columns are the other
SECRET = "occupation"


def main() -> None:
    """Run every attack on both sides and print them beside each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("oracle")
    parser.add_argument("--attacks", type=int, default=500)
    parser.add_argument("--rows", type=int, default=32_561)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--worker", choices=ATTACKS, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=("ours", "anonymeter"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        tables = made(options.csv, options.rows)
        run = {"ours": ours, "anonymeter": anonymeter}[options.side]
        print(json.dumps(run(options.worker, tables, options.attacks)))
        return
    print(f"{options.attacks} attacks, {options.rows} train rows: CPU seconds, MiB at the peak")
    for attack in ATTACKS:
        cells = []
        for side, python in (("ours", sys.executable), ("anonymeter", options.oracle)):
            cells.append(f"{side} {measured(python, side, attack, options)}")
        print(f"  {attack:13} {cells[0]:28} {cells[1]}", flush=True)


def measured(python: str, side: str, attack: str, options: argparse.Namespace) -> str:
    """Run one attack in a process of its own."""
    command = [python, __file__, options.csv, options.oracle, "--worker", attack, "--side", side]
    command += ["--attacks", str(options.attacks), "--rows", str(options.rows)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    try:
        done = subprocess.run(
            command, env=environment, timeout=options.seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"not done in {options.seconds} s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    seconds, mib = json.loads(done.stdout.splitlines()[-1])
    return f"{seconds:8.2f} s {mib:6.0f} MiB"


def made(csv: str, rows: int) -> dict[str, pd.DataFrame]:
    """Cut train and holdout from the file; a repeated file has its weights shifted."""
    table = pd.read_csv(csv, na_values=["?"], skipinitialspace=True)
    copies = -(-(rows + rows // 2) // len(table))
    parts = [table.assign(fnlwgt=table["fnlwgt"] + 7 * copy) for copy in range(copies)]
    table = pd.concat(parts, ignore_index=True)
    table = table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)
    train, holdout = table[:rows], table[rows : rows + rows // 2].reset_index(drop=True)
    rolled = {name: np.roll(train[name], 97) for name in ("occupation", "age")}
    return {"train": train, "holdout": holdout, "synthetic": train.assign(**rolled)}


def timed(attack) -> tuple[float, float]:
    """CPU seconds of a call, and the process's peak memory in MiB."""
    started = time.process_time()
    attack()
    seconds = time.process_time() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(attack: str, frames: dict[str, pd.DataFrame], attacks: int) -> tuple[float, float]:
    """Time an attack of ours."""
    from syntharena.bench.contracts import Tables
    from syntharena.bench.schema import Column, Schema
    from syntharena.evaluators import guesses, risk, singling_out

    columns = []
    for name, series in pd.concat(frames.values()).items():
        missing = bool(series.isna().any())
        if pd.api.types.is_numeric_dtype(series):
            columns.append(Column(str(name), "integer", missing=missing))
        else:
            known = tuple(sorted(series.dropna().unique()))
            columns.append(Column(str(name), "categorical", known, missing=missing))
    schema = Schema(tuple(columns))
    train, holdout, synthetic = (
        schema.conform(frames[name]) for name in ("train", "holdout", "synthetic")
    )
    tables, rng = Tables(train, holdout, holdout[:0], synthetic), np.random.default_rng(0)
    run = {
        "univariate": lambda: singling_out.univariate(tables, schema, attacks, rng),
        "multivariate": lambda: singling_out.multivariate(tables, schema, attacks, 3, rng),
        "linkability": lambda: guesses.linkage(tables, schema, attacks, 1, rng),
        "inference": lambda: guesses.inference(tables, schema, attacks, rng),
    }[attack]
    import scipy.special  # noqa: F401

    return timed(lambda: risk.mean_risk(run()))


def anonymeter(attack: str, frames: dict[str, pd.DataFrame], attacks: int) -> tuple[float, float]:
    """Time an attack of anonymeter, compiled before on a few rows."""
    from anonymeter.evaluators import (
        InferenceEvaluator,
        LinkabilityEvaluator,
        SinglingOutEvaluator,
    )

    train, holdout, synthetic = (frames[name] for name in ("train", "holdout", "synthetic"))
    rest = [name for name in train if name not in HALF]

    def run(n: int, train: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame) -> None:
        given = {"ori": train, "syn": synthetic, "control": holdout, "n_attacks": n}
        if attack == "linkability":
            LinkabilityEvaluator(**given, aux_cols=(list(HALF), rest)).evaluate(n_jobs=1).risk()
        elif attack == "inference":
            known = [name for name in train if name != SECRET]
            evaluator = InferenceEvaluator(**given, aux_cols=known, secret=SECRET)
            evaluator.evaluate(n_jobs=1).risk()
        else:
            SinglingOutEvaluator(**given, n_cols=3, seed=0).evaluate(attack).risk()

    if attack in ("linkability", "inference"):
        run(10, train[:50], synthetic[:50], holdout[:50])
    return timed(lambda: run(attacks, train, synthetic, holdout))


if __name__ == "__main__":
    main()
