"""Put TabDDPM's and SMOTE's rows of adult beside Kotelnikov et al. 2023 (T10, T11).

    python scripts/published/tabddpm.py [real] [smote] [tabddpm] [GENERATOR ...]
        [--preset paper] [--seeds 5] [--models 10] [--drawn N] [--rows N] [--out PAGE]

TabDDPM, arXiv:2209.15421; the protocol and the figures are those of the code and files that they
ship (yandex-research/tab-ddpm). 26,048 rows to learn from, 6,513 that stop CatBoost, UCI's 16,281
to test on. 5 samples (--seeds) are drawn from one fitted model, 216,000 rows each of TabDDPM and as
many as were learned from of others, and 10 CatBoosts (--models), tuned by the authors, learn from
each. F1 is the mean over both classes; a published deviation is over all 50, an interval of ours
over samples, or models for real rows. The distance is the median over synthetic rows (50,000 at
most) of the Euclidean one to the nearest training row: numbers over their range, categories and
target one-hot over the root of 2. Only the order is asked for: SMOTE's below TabDDPM's.

Not theirs: which rows stop CatBoost is drawn here, since their choice is in no file. Their SMOTE
takes categories by vote of the neighbours and interpolates between ends scaled by range; ours takes
them from the nearer end, between normal scores. Their ``frac_lam_del`` has no effect on tables with
categories. TabDDPM at full size wants a GPU. Their table churn2 is not at hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
import pandas as pd
import protocols
from comparison import Figure, Section, put

from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Schema
from syntharena.evaluators.tabddpm_catboost import TabddpmCatboost

TEST = 32_561  # where UCI's test rows begin
STOPPING = 6_513  # of the rows before them
SEEDS, MODELS = 5, 10
DIVISION_SEED = 0
MOST = 50_000  # synthetic rows whose distance is taken
TUNED = {
    "learning_rate": 0.16887,
    "depth": 3,
    "l2_leaf_reg": 0.19335,
    "bagging_temperature": 0.11959,
    "leaf_estimation_iterations": 8,
}
DRAWN = {"tabddpm": 216_000}
F1, DISTANCE = "F1", "distance to train"
TABDDPM_DISTANCE = 0.104
FIGURES = {
    "real": [Figure(F1, 0.8152, 0.0017, 0.006, best=1.0)],
    "tabddpm": [
        Figure(F1, 0.7951, 0.0014, 0.006, best=1.0),
        Figure(DISTANCE, TABDDPM_DISTANCE, decimals=3),
    ],
    "smote": [
        Figure(F1, 0.7912, 0.0016, 0.005, best=1.0),
        Figure(DISTANCE, 0.024, tolerance=(-np.inf, TABDDPM_DISTANCE), decimals=3),
    ],
}
OTHERS = [Figure(F1), Figure(DISTANCE, decimals=3)]
TOP = """# Adult: TabDDPM and SMOTE

Kotelnikov et al. 2023 (TabDDPM, arXiv:2209.15421), tuned CatBoost and distance to the closest
record. Written by `scripts/published/tabddpm.py`; [README](README.md) says how to read it.
"""


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = protocols.parser(__doc__, ["real", "smote", "tabddpm"], SEEDS)
    made.add_argument("--models", type=int, default=MODELS)
    made.add_argument("--drawn", type=int, help="synthetic rows; as published if left out")
    return made


def main() -> None:
    """Fit, draw, score and report."""
    options = parser().parse_args()
    adult = protocols.load("adult")
    order = np.random.default_rng(DIVISION_SEED).permutation(TEST)
    parts = {
        "train": order[STOPPING:],
        "reference": order[:STOPPING],
        "holdout": np.arange(TEST, len(adult.table)),
    }
    full = len(parts["train"])
    parts["train"] = parts["train"][: options.rows]
    real = {name: adult.table.iloc[rows].reset_index(drop=True) for name, rows in parts.items()}
    for name in options.generators:
        trial, wanted = protocols.Trial(name, options), DRAWN.get(name, full)
        drawn = full if name == protocols.REAL else options.drawn or wanted
        values = scored(trial, drawn, real, adult.schema, options)
        if options.keep:
            continue
        counts = {"rows": (len(real["train"]), full), "models": (options.models, MODELS)}
        if name != protocols.REAL:
            counts |= {"drawn": (drawn, wanted), "samples": (options.seeds, SEEDS)}
        run = trial.run(**counts)
        put(Section(name, "adult", run, FIGURES.get(name, OTHERS), values), TOP, options.out)


def scored(
    trial: protocols.Trial,
    drawn: int,
    real: Mapping[str, pd.DataFrame],
    schema: Schema,
    options: argparse.Namespace,
) -> dict[str, list[float]]:
    """Return the values of a generator's samples; of real rows those of models, and no distance."""
    rng = np.random.default_rng(DIVISION_SEED)
    trial.fit(real["train"], schema, rng)
    if trial.spec is None:
        return {F1: [f1(real["train"], real, schema, seed) for seed in range(options.models)]}
    values: dict[str, list[float]] = {F1: [], DISTANCE: []}
    for _ in range(options.seeds):
        made = trial.draw(drawn, rng)
        if options.keep:
            continue
        models = [f1(made, real, schema, seed) for seed in range(options.models)]
        values[F1].append(float(np.mean(models)))
        values[DISTANCE].append(distance(made, real["train"], schema, rng))
    return values


def f1(made: pd.DataFrame, real: Mapping[str, pd.DataFrame], schema: Schema, seed: int) -> float:
    """Return the macro F1 of one CatBoost."""
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


def distance(
    made: pd.DataFrame, train: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> float:
    """Return the median distance of synthetic rows to the nearest training row."""
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
