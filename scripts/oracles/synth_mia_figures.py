"""Print the figures that Synth-MIA publishes for its housing rows, beside ours from the same files.

    python scripts/oracles/synth_mia_figures.py FOLDER

FOLDER holds mem.csv, non_mem.csv, synth.csv and ref.csv of Synth-MIA's example_data/housing (200
rows each; they are not ours to ship). Published: the table of its notebook
deploying_multiple_attacks, which attacks raw values. "Their protocol" runs our search and our
densities on raw values with its details, 1e-20 added to every density among them; "our attacks" are
those of the evaluator, on ranges and principal components, with nothing added.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from syntharena.bench.schema import Column, Schema
from syntharena.evaluators import kernels
from syntharena.evaluators.attacks import ATTACKS, Evidence
from syntharena.evaluators.intervals import of_auroc
from syntharena.evaluators.kernels import Density
from syntharena.evaluators.neighbours import knn, points

PUBLISHED = {
    "dcr": ("DCR", 0.527, 0.035),
    "dcr_difference": ("DCR-Diff", 0.562, 0.015),
    "domias_kde": ("DOMIAS", 0.684, 0.055),
    "gen_lra": ("Gen-LRA", 0.648, 0.220),
    "classifier": ("Classifier", 0.646, 0.100),
    "monte_carlo": ("MC", 0.511, 0.050),
}
FLOOR = 1e-20


def main() -> None:
    """Print a line for each attack."""
    folder = Path(sys.argv[1])
    names = ("mem", "non_mem", "synth", "ref")
    members, others, synthetic, reference = (pd.read_csv(folder / f"{n}.csv") for n in names)
    schema = Schema(tuple(Column(name, "continuous") for name in members))
    candidates = pd.concat([members, others], ignore_index=True)
    tables = [schema.conform(t.astype(float)) for t in (candidates, synthetic, reference)]
    raw = [table.to_numpy() for table in tables]
    evidence = Evidence(*tables, schema)
    ours = {attack: described(ATTACKS[attack](evidence)) for attack in PUBLISHED}
    theirs = protocol(*raw)
    print(f"{'AUC and TPR at 1 % FPR':24} {'published':>14} {'their protocol':>16} {'ours':>14}")
    for attack, (name, area, rate) in PUBLISHED.items():
        again = described(theirs[attack]) if attack in theirs else ""
        print(f"{name:24} {area:8.3f} {rate:.3f} {again:>16} {ours[attack]:>14}")


def protocol(
    candidates: np.ndarray, synthetic: np.ndarray, reference: np.ndarray
) -> dict[str, np.ndarray]:
    """Score candidates as Synth-MIA does, by our building blocks on raw values."""
    kernels.RIDGE = 0.0
    far, near = (
        knn(points(candidates), points(rows), 5, metric="euclidean")
        for rows in (reference, synthetic)
    )
    densities = [np.exp(Density(rows).logarithm(candidates)) for rows in (synthetic, reference)]
    before = np.exp(Density(reference).logarithm(synthetic))
    gains = []
    for row, index in zip(candidates, near.index, strict=True):
        joined = Density(np.vstack([reference, row])).logarithm(synthetic[index])
        gains.append(np.log(np.exp(joined) + FLOOR).sum() - np.log(before[index] + FLOOR).sum())
    return {
        "dcr": -near.distance[:, 0],
        "dcr_difference": far.distance[:, 0] - near.distance[:, 0],
        "domias_kde": densities[0] / (densities[1] + FLOOR),
        "gen_lra": np.array(gains),
    }


def described(scores: np.ndarray) -> str:
    """Area under the curve and true-positive rate at 1 %; the first half are members."""
    members, others = np.split(scores, 2)
    threshold = np.sort(others)[::-1][len(others) // 100]
    return f"{of_auroc(members, others).value:.3f} {np.mean(members > threshold):.3f}"


if __name__ == "__main__":
    main()
