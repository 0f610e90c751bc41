"""Shape: how alike real and synthetic columns are, one column at a time.

A generator that draws every column on its own gets a high score here: read it next to Trend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Picture, Tables
from ..bench.schema import Column, Schema
from .shape_pictures import of_column

SOURCE = "SDMetrics, QualityReport, Column Shapes"


class Shape:
    """Column shapes of SDMetrics' QualityReport, target included; real rows are ``train``.

    Missing values are left out on each side, so how many there are is not measured here (Trend
    measures it). A column without a value in train is not measured; one whose values are missing in
    the synthetic table only scores 0, where SDMetrics would leave it out of the mean and so reward
    dropping a difficult column.
    """

    metrics = (
        Metric(
            name="shape_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="Mean over columns of one minus the Kolmogorov-Smirnov statistic (numeric) "
            f"or one minus the total variation distance (discrete). {SOURCE}.",
        ),
        Metric(
            name="column_shape_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition=f"The part of shape_score that one column contributes. {SOURCE}.",
            per="column",
        ),
    )

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str]:
        """Return the mean and one value for each column."""
        by_column = _similarities(tables, schema)
        measured = [value for value in by_column.values() if value is not None]
        if not measured:
            reason = "no column has a value in train"
            return {"shape_score": reason, "column_shape_score": reason}
        values: dict[str, float | str] = {"shape_score": float(np.mean(np.sort(measured)))}
        for name, value in by_column.items():
            key = f"column_shape_score[{name}]"
            values[key] = "the column has no value in train" if value is None else value
        return values

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Offer real and synthetic values over each other for each column, the worst first."""
        found = _similarities(tables, schema)
        measured = {name: value for name, value in found.items() if value is not None}
        return [
            of_column(schema[name], tables.train[name], tables.synthetic[name], measured[name])
            for name in sorted(measured, key=lambda name: (measured[name], name))
        ]


def _similarities(tables: Tables, schema: Schema) -> dict[str, float | None]:
    return {
        column.name: column_similarity(
            column, tables.train[column.name], tables.synthetic[column.name]
        )
        for column in schema
    }


def column_similarity(column: Column, real: pd.Series, synthetic: pd.Series) -> float | None:
    """Compare one column of two tables.

    Returns
    -------
    float or None
        In [0, 1], 1 for equal distributions; None where ``real`` has no value.
    """
    if column.is_discrete:
        categories = len(column.categories)
        counts = [frequencies(column.codes(side), categories) for side in (real, synthetic)]
        if not counts[0].any():
            return None
        if not counts[1].any():
            return 0.0
        return _closeness(0.5 * np.abs(counts[0] - counts[1]).sum())
    values = [column.numbers(side) for side in (real, synthetic)]
    values = [np.sort(side[~np.isnan(side)]) for side in values]
    if not len(values[0]):
        return None
    if not len(values[1]):
        return 0.0
    return _closeness(kolmogorov_smirnov(*values))


def frequencies(codes: np.ndarray, categories: int) -> np.ndarray:
    """Share of each category among the codes that are not missing; zeros where all are.

    Returns
    -------
    ndarray of float64, shape (categories,)
    """
    counts = np.bincount(codes[codes >= 0], minlength=categories)
    return counts / max(1, counts.sum())


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> float:
    """Largest distance between the distribution functions of two sorted, non-empty samples."""
    points = np.concatenate([first, second])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _closeness(distance: float) -> float:
    return min(1.0, max(0.0, 1.0 - float(distance)))
