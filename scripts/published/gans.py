"""Print what classifiers learn from TVAE's and CTGAN's rows of adult, beside the published figures.

    SYNTHARENA_DATA=FOLDER python scripts/published/gans.py [--preset paper] [--seeds 5] [NAME ...]

The protocol of Watson et al. 2023 (adversarial random forests, arXiv:2205.09435, table 2): adult
without UCI's test set, 10/33 of it held out, stratified by income; as many synthetic rows as
training rows; the four classifiers of SDMetrics with its settings, on one-hot categories (a missing
one is a category) and robustly scaled columns; their mean accuracy and F1 of both classes on the
rows held out. Means have the 95 % interval of Student's t over seeds. The split is one for all
seeds, as there.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.tree import DecisionTreeClassifier

from syntharena.bench import config, datasets, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Schema
from syntharena.evaluators.intervals import of_seeds

ROWS = 32_561  # of adult.data
PUBLISHED = {  # accuracy, F1 of >50K, F1 of <=50K
    "train": (0.8279, 0.6594, 0.8837),
    "tvae": (0.8038, 0.6298, 0.8655),
    "ctgan": (0.7864, 0.5804, 0.8528),
}
TOLERANCE = {"train": 0.005, "tvae": 0.015, "ctgan": 0.03}  # of the accuracy


def classifiers(seed: int) -> list[Any]:
    """Return SDMetrics' binary classifiers."""
    return [
        DecisionTreeClassifier(max_depth=15, class_weight="balanced", random_state=seed),
        AdaBoostClassifier(random_state=seed),
        LogisticRegression(class_weight="balanced", max_iter=50, random_state=seed),
        MLPClassifier(hidden_layer_sizes=(50,), max_iter=50, random_state=seed),
    ]


def features(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Encode all columns but the target."""
    plain = table.drop(columns=schema.target)
    discrete = [c.name for c in schema.features if c.is_discrete]
    for column in schema.features:
        if column.is_discrete:
            texts = plain[column.name].astype(object).where(plain[column.name].notna(), "?")
            plain[column.name] = pd.Categorical(texts, categories=[*column.categories, "?"])
    return pd.get_dummies(plain, columns=discrete, dtype=float)


def scores(learned: pd.DataFrame, held_out: pd.DataFrame, schema: Schema, seed: int) -> np.ndarray:
    """Return accuracy and both F1, means over the classifiers."""
    rows, truth = features(held_out, schema), held_out[schema.target] == ">50K"
    found = []
    for model in classifiers(seed):
        pipeline = make_pipeline(RobustScaler(), model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 50 rounds are the protocol
            pipeline.fit(features(learned, schema), learned[schema.target] == ">50K")
        said = pipeline.predict(rows)
        found.append([accuracy_score(truth, said), f1_score(truth, said), f1_score(~truth, ~said)])
    return np.mean(found, axis=0)


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generators", nargs="*", default=["train", "tvae", "ctgan"])
    parser.add_argument("--preset", choices=config.PRESETS, default="paper")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.preset != "paper" or arguments.seeds < 5:
        print(f"reduced: preset {arguments.preset}, {arguments.seeds} seeds; published: paper, 5")
    spec = config.all_options("dataset")["adult"]
    dataset = datasets.load(spec, data_dir=Path(os.environ.get("SYNTHARENA_DATA", ".")))
    table, schema = dataset.table.iloc[:ROWS], dataset.schema
    train, held_out = train_test_split(
        table, test_size=10 / 33, stratify=table[schema.target], random_state=2022
    )
    train = train.reset_index(drop=True)
    specs = config.all_options("generator", preset=arguments.preset)
    for name in arguments.generators:
        found, started = [], time.process_time()
        for seed in range(arguments.seeds):
            made = train
            if name != "train":
                rng = np.random.default_rng(seed)
                generator = targets.build(specs[name], ("fit", "sample"))
                generator.fit(train, schema=schema, budget=Budget(), rng=rng)
                made = generator.sample(len(train), rng=rng)
            found.append(scores(made, held_out, schema, seed))
        seconds = (time.process_time() - started) / arguments.seeds
        means = [of_seeds(values) for values in np.transpose(found).tolist()]
        for label, mean, published in zip(
            ("accuracy", "F1 >50K", "F1 <=50K"), means, PUBLISHED.get(name, ()), strict=False
        ):
            print(f"{name:6} {label:9} {mean.value:.4f} [{mean.low:.4f}, {mean.high:.4f}]", end=" ")
            print(f"published {published:.4f}", end="")
            print(f" +- {TOLERANCE[name]}" if label == "accuracy" else "")
        print(f"{name:6} {seconds:.0f} CPU s a seed", flush=True)


if __name__ == "__main__":
    main()
