"""Identifiability: how often a synthetic row is nearer to a person than anyone else is.

The share alone is no privacy metric: of fresh real rows, which nobody's data went into, about half
are nearer than the nearest other. So it is a diagnostic, and its excess over the same share of
holdout rows, who were not in train, stands beside it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from ..bench.contracts import Measured, Metric, Tables, Values
from ..bench.schema import Column, Schema
from .intervals import LEVEL, normal_quantile, of_share, within
from .naive import Space

BINS = 10
Weights = Literal["entropy", "none"]


class Identifiability:
    """The share epsilon of epsilon-identifiability, and its control.

    Euclidean distances between min-max numbers and one-hot categories (``naive``), each column
    divided by its entropy in train, so that columns in which most people agree weigh more. Numbers
    are cut into ten equal bins between train's extremes for it; a column of one value has no
    entropy and says nothing of anybody in train: it is left out.

    synthcity 0.2.12 computes such weights and then overwrites them with ones; ``weights="none"``
    gives its value for the same matrix.

    Parameters
    ----------
    weights : {"entropy", "none"}
        Whether columns are divided by their entropy.
    """

    metrics = (
        Metric(
            name="identifiability_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="Share of train rows whose nearest synthetic row is nearer than their "
            "nearest other train row: the epsilon of epsilon-identifiability (Yoon et al. 2020, "
            "ADS-GAN, definition 1), with weights by inverse entropy.",
        ),
        Metric(
            name="identifiability_excess_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="The same less the share of holdout rows whose nearest synthetic row is "
            "nearer than their nearest train row (values below 0 count as 0).",
        ),
    )

    def __init__(self, weights: Weights = "entropy") -> None:
        if weights not in ("entropy", "none"):
            raise ValueError(f"weights must be 'entropy' or 'none', got {weights!r}")
        self.weights = weights

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return both, or why there is none."""
        if tables.synthetic.empty or len(tables.train) < 2:
            reason = "synthetic has no rows" if tables.synthetic.empty else "train has no two rows"
            return {metric.name: reason for metric in self.metrics}
        weights = inverse_entropies(schema, tables.train) if self.weights == "entropy" else None
        space = Space(tables, schema, weights)
        share = identified(space, "train")
        if tables.holdout.empty:
            excess: Measured | str = "holdout has no rows"
        else:
            excess = _difference(share, identified(space, "holdout"))
        return {"identifiability_error": share_of(share), "identifiability_excess_error": excess}


def identified(space: Space, side: str) -> np.ndarray:
    """Which rows have a synthetic row nearer than their nearest other train row.

    Returns
    -------
    ndarray of bool, shape (rows,)
    """
    return space.nearest(side, "synthetic").distance < space.nearest(side, "train").distance


def share_of(hits: np.ndarray) -> Measured:
    """Share of true values."""
    return of_share(int(hits.sum()), hits.size)


def _difference(hits: np.ndarray, control: np.ndarray) -> Measured:
    excess = float(hits.mean() - control.mean())
    variance = sum(side.mean() * (1 - side.mean()) / side.size for side in (hits, control))
    half = normal_quantile(LEVEL) * float(np.sqrt(variance))
    return within(excess, excess - half, excess + half, 0.0, 1.0)


def inverse_entropies(schema: Schema, train: pd.DataFrame) -> dict[str, float]:
    """Weight of each column: one over its entropy in nats, 0 for a column of one value."""
    entropies = {column.name: _entropy(column, train[column.name]) for column in schema}
    return {name: 1 / entropy if entropy > 0 else 0.0 for name, entropy in entropies.items()}


def _entropy(column: Column, series: pd.Series) -> float:
    if column.is_discrete:
        counts = np.bincount(column.codes(series) + 1)
    else:
        numbers = column.numbers(series)
        known = numbers[~np.isnan(numbers)]
        counts = np.histogram(known, BINS)[0] if len(known) and np.ptp(known) > 0 else [len(known)]
        counts = np.append(counts, len(numbers) - len(known))
    shares = np.sort(counts[counts > 0]) / len(series)
    return float(-np.sum(shares * np.log(shares))) if len(shares) > 1 else 0.0
