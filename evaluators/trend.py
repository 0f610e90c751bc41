"""Trend: how alike the relations between two columns are in the real and the synthetic table.

All pairs of a table are taken from integer codes and one matrix product, without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Picture, Tables
from ..bench.schema import Column, Schema
from .associations import correlations, shared_associations
from .contingency import joint_distance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 10  # of a numeric column beside a discrete one


class Trend:
    """Column pair trends of SDMetrics' QualityReport, target included; real rows are ``train``.

    Two numeric columns: ``1 - |r - s| / 2`` with the Pearson correlations r of the real and s of
    the synthetic rows where both have a value. A pair with a discrete column: one minus the total
    variation distance of the joint frequencies, in which a missing value is a category of its own
    and a numeric column is cut into ten bins of equal width between the real extremes, the outer
    ones open.

    A pair whose real correlation is undefined (a constant column, no complete rows) is not
    measured. One whose synthetic correlation alone is undefined scores 0; SDMetrics would leave it
    out of the mean and so reward a collapsed column.
    """

    metrics = (
        Metric(
            name="trend_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="Mean over column pairs of the correlation similarity (both numeric) or the "
            "contingency similarity (others). SDMetrics, QualityReport, Column Pair Trends; "
            "numeric columns are binned by the edges of train, as in its ContingencySimilarity.",
            ranked=True,
        ),
    )

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str]:
        """Return the mean over all pairs that can be measured."""
        if len(schema) < 2:
            return {"trend_score": "the table has one column, so there is no pair"}
        values = [
            *correlation_similarities(tables.train, tables.synthetic, schema),
            *contingency_similarities(tables.train, tables.synthetic, schema),
        ]
        if not values:
            return {"trend_score": "no pair of columns has a correlation in train"}
        return {"trend_score": float(np.mean(np.sort(values)))}

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Offer a map of the differences of associations."""
        if len(schema) < 2 or tables.train.empty or tables.synthetic.empty:
            return []
        real, synthetic = shared_associations(tables, schema)
        difference = np.abs(real - synthetic)

        def draw(axes: Axes) -> None:
            places = range(len(schema))
            image = axes.imshow(difference, vmin=0, vmax=max(0.1, difference.max()), cmap="Reds")
            axes.set_xticks(places, schema.names, rotation=90)
            axes.set_yticks(places, schema.names)
            axes.figure.colorbar(image, ax=axes, label="absolute difference")

        return [
            Picture(
                "Differences of associations",
                "How far the association of two columns in the synthetic table is from that in the "
                "real one: Pearson's correlation, Cramer's V or the correlation ratio. White is "
                "equal; a red line is a column that lost its relations to all others.",
                draw,
            )
        ]


def correlation_similarities(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema
) -> np.ndarray:
    """Compare the Pearson correlations of all pairs of numeric columns.

    Returns
    -------
    ndarray of float64
        In [0, 1]; one entry for each pair whose correlation is defined in ``real``.
    """
    numeric = [column for column in schema if not column.is_discrete]
    if len(numeric) < 2:
        return np.empty(0)
    pairs = np.triu_indices(len(numeric), 1)
    r, s = (correlations(side, numeric)[pairs] for side in (real, synthetic))
    similarity = np.where(np.isnan(s), 0.0, 1 - np.abs(r - s) / 2)
    return similarity[~np.isnan(r)]


def contingency_similarities(
    real: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema
) -> Iterator[float]:
    """Compare the joint frequencies of all pairs with a discrete column.

    Yields
    ------
    float
        In [0, 1], 1 for equal frequencies.
    """
    codes = [shared_codes(column, real[column.name], synthetic[column.name]) for column in schema]
    for first, second in combinations(range(len(schema)), 2):
        if schema.columns[first].is_discrete or schema.columns[second].is_discrete:
            distance = joint_distance(codes[first], codes[second], len(real))
            yield min(1.0, max(0.0, 1.0 - distance))


def shared_codes(column: Column, real: pd.Series, synthetic: pd.Series) -> np.ndarray:
    """Code the values (bins of a numeric column) of both tables alike, without gaps.

    Returns
    -------
    ndarray of int64, shape (len(real) + len(synthetic),)
        A missing value has a code of its own.
    """
    if column.is_discrete:
        codes = np.concatenate([column.codes(real), column.codes(synthetic)])
    else:
        edges = inner_edges(column.numbers(real))
        numbers = np.concatenate([column.numbers(real), column.numbers(synthetic)])
        codes = np.where(np.isnan(numbers), BINS, np.searchsorted(edges, numbers, side="right"))
    return np.unique(codes, return_inverse=True)[1]


def inner_edges(numbers: np.ndarray) -> np.ndarray:
    """Edges between ``BINS`` bins of equal width from the smallest to the largest number.

    Returns
    -------
    ndarray of float64, shape (BINS - 1,)
        A bin holds its lower edge. Where all numbers are equal they lie in one bin.
    """
    known = numbers[~np.isnan(numbers)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)[1:-1]
