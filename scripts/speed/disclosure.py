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
import sys

import numpy as np
import pandas as pd
from side_by_side import Timing, measured, schema_of, timed, train_and_holdout

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
            arguments = [options.csv, options.oracle, "--worker", attack, "--side", side]
            arguments += ["--attacks", options.attacks, "--rows", options.rows]
            cells.append(f"{side} {measured(python, __file__, arguments, options.seconds)}")
        print(f"  {attack:13} {cells[0]:28} {cells[1]}", flush=True)


def made(csv: str, rows: int) -> dict[str, pd.DataFrame]:
    """Make train, holdout, and train with two columns rolled."""
    train, holdout = train_and_holdout(csv, rows)
    rolled = {name: np.roll(train[name], 97) for name in ("occupation", "age")}
    return {"train": train, "holdout": holdout, "synthetic": train.assign(**rolled)}


def ours(attack: str, frames: dict[str, pd.DataFrame], attacks: int) -> Timing:
    """Time an attack of ours."""
    from syntharena.bench.contracts import Tables
    from syntharena.evaluators import guesses, risk, singling_out

    schema = schema_of(frames.values())
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

    def attacked() -> None:
        risk.mean_risk(run())

    return timed(attacked)


def anonymeter(attack: str, frames: dict[str, pd.DataFrame], attacks: int) -> Timing:
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
