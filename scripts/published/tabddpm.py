"""Print TabDDPM's and SMOTE's figures on adult: F1 of a tuned CatBoost, and the distance to train.

    SYNTHARENA_DATA=FOLDER python scripts/published/tabddpm.py [--preset cpu] [--samples 1]
        [--models 2] [--rows 26048] [GENERATOR ...]

Kotelnikov et al. 2023, figures of the files that the authors ship: 26,048 rows to learn from, 6,513
that stop CatBoost, UCI's 16,281 to test on; 5 samples of one fitted model, 216,000 rows each of
TabDDPM and as many as there are training rows of SMOTE, times 10 seeds of CatBoost; +- is the
deviation of all. The distance is the median over synthetic rows (50,000 at most) of the Euclidean
one to the nearest training row: numbers over their range, categories one-hot over the root of 2.

Without options this is the protocol in full, for which TabDDPM wants a GPU; a smaller run says so.
Which rows stop CatBoost is drawn here, since the authors' choice is in no file of theirs. Their
SMOTE leaves out part of the way between neighbours (0.65 of it, tuned); ours takes all of it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from syntharena.bench import config, datasets, targets
from syntharena.bench.contracts import Budget, Measured, Tables
from syntharena.bench.schema import Schema
from syntharena.evaluators.tabddpm_catboost import TabddpmCatboost

TEST = 32_561  # where UCI's test rows begin
STOPPING = 6_513  # of the rows before them
MOST = 50_000  # synthetic rows whose distance is taken
TUNED = {
    "learning_rate": 0.16887,
    "depth": 3,
    "l2_leaf_reg": 0.19335,
    "bagging_temperature": 0.11959,
    "leaf_estimation_iterations": 8,
}
ROWS = {"tabddpm": 216_000}
F1 = {"real": (0.8152, 0.0017), "tabddpm": (0.7951, 0.0014), "smote": (0.7912, 0.0016)}
DISTANCE = {"tabddpm": 0.104, "smote": 0.024}
TOLERANCE = {"real": 0.006, "tabddpm": 0.006, "smote": 0.005}


def main() -> None:
    """Fit, draw, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generators", nargs="*", default=["real", "smote", "tabddpm"])
    parser.add_argument("--preset", default="paper", choices=config.PRESETS)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--rows", type=int, help="synthetic rows; as published if left out")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    full = (arguments.preset, arguments.samples, arguments.models) == ("paper", 5, 10)
    if not full or arguments.rows:
        print(f"reduced: preset {arguments.preset}, {arguments.samples} samples of", end=" ")
        print(f"{arguments.rows or 'as many'} rows, {arguments.models} models; published in full")
    spec = config.all_options("dataset")["adult"]
    dataset = datasets.load(spec, data_dir=Path(os.environ.get("SYNTHARENA_DATA", ".")))
    order = np.random.default_rng(arguments.seed).permutation(TEST)
    parts = {
        "train": order[STOPPING:],
        "reference": order[:STOPPING],
        "holdout": np.arange(TEST, len(dataset.table)),
    }
    real = {name: dataset.table.iloc[rows].reset_index(drop=True) for name, rows in parts.items()}
    specs = config.all_options("generator", preset=arguments.preset)
    for name in arguments.generators:
        _print(name, specs.get(name), real, dataset.schema, arguments)


def _print(
    name: str,
    spec: Mapping | None,
    real: Mapping[str, pd.DataFrame],
    schema: Schema,
    arguments: argparse.Namespace,
) -> None:
    rng, started = np.random.default_rng(arguments.seed), time.process_time()
    rows = arguments.rows or ROWS.get(name, len(real["train"]))
    if name != "real":
        generator = targets.build(spec or {}, ("fit", "sample"))
        generator.fit(real["train"], schema=schema, budget=Budget(), rng=rng)
    fitted = time.process_time()
    scores, distances, sampled = [], [], 0.0
    for _ in range(1 if name == "real" else arguments.samples):
        begun = time.process_time()
        made = real["train"] if name == "real" else generator.sample(rows, rng=rng)
        sampled += time.process_time() - begun
        scores += [_f1(made, real, schema, seed) for seed in range(arguments.models)]
        if name != "real":
            distances.append(_distance(made, real["train"], schema, rng))
    print(f"{name:15} F1 {np.mean(scores):.4f} +- {np.std(scores):.4f}", end="")
    if name in F1:
        print(" (published {:.4f} +- {:.4f},".format(*F1[name]), end=" ")
        print(f"tolerance {TOLERANCE[name]})", end="")
    if distances:
        print(f"; distance {np.mean(distances):.3f}", end="")
        print(f" (published {DISTANCE[name]})" if name in DISTANCE else "", end="")
    print(f"; fit {fitted - started:.0f} CPU s, samples {sampled:.0f} CPU s", flush=True)


def _f1(made: pd.DataFrame, real: Mapping[str, pd.DataFrame], schema: Schema, seed: int) -> float:
    evaluator = TabddpmCatboost(
        seeds=1, errata="as_published", tuned={**TUNED, "random_seed": seed}
    )
    values = evaluator.evaluate(
        Tables(**real, synthetic=made), schema=schema, rng=np.random.default_rng(seed)
    )
    score = values["tabddpm_f1_macro_score"]
    if not isinstance(score, Measured):
        raise SystemExit(f"no score: {score}")
    return score.value


def _distance(
    made: pd.DataFrame, train: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> float:
    from sklearn.neighbors import NearestNeighbors

    made = made.iloc[rng.permutation(len(made))[:MOST]]
    parts = []
    for column in schema:
        if column.is_discrete:
            units = np.eye(len(column.categories) + 1) / np.sqrt(2)
            parts.append([units[column.codes(table[column.name])] for table in (train, made)])
            continue
        numbers = [column.numbers(table[column.name]) for table in (train, made)]
        low, reach = numbers[0].min(), np.ptp(numbers[0]) or 1.0
        parts.append([(of[:, None] - low) / reach for of in numbers])
    points = [np.hstack(of).astype(np.float32) for of in zip(*parts, strict=True)]
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(points[0])
    return float(np.median(search.kneighbors(points[1])[0]))


if __name__ == "__main__":
    main()
