"""Trend: how alike the relations between two columns are in the real and the synthetic table.

All pairs of a table are taken from integer codes and one matrix product, without a loop over rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Tables
from ..bench.schema import Column, Schema

BINS = 10  # of a numeric column beside a discrete one
DENSE_CELLS = 2**22  # a contingency table with more cells is counted by sorting


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


def correlations(table: pd.DataFrame, columns: list[Column]) -> np.ndarray:
    """Pearson correlations of numeric columns over the rows where both have a value.

    Returns
    -------
    ndarray of float64, shape (len(columns), len(columns))
        NaN where one of the two is constant on these rows.
    """
    values = np.column_stack([column.numbers(table[column.name]) for column in columns])
    known = ~np.isnan(values)
    n = np.maximum(1, known.sum(axis=0))
    # Centred and scaled first, so that the sums below lose no digits to large offsets or units.
    values = np.where(known, values, 0.0)
    values = np.where(known, values - values.sum(axis=0) / n, 0.0)
    largest = np.abs(values).max(axis=0, initial=0.0)
    values /= np.where(largest > 0, largest, 1.0)
    return _pairwise_correlations(values, known.astype(np.float64))


def _pairwise_correlations(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    n = np.maximum(1.0, known.T @ known)
    sums = values.T @ known  # [i, j]: sum of column i over the rows where column j has a value
    squares = (values**2).T @ known
    variance = squares - sums**2 / n
    covariance = values.T @ values - sums * sums.T / n
    # What is left of a constant column after cancellation is rounding, not variance.
    varies = variance > 1e-12 * squares
    defined = varies & varies.T
    scale = np.sqrt(np.where(defined, variance * variance.T, 1.0))
    return np.where(defined, np.clip(covariance / scale, -1, 1), np.nan)


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


def joint_distance(first: np.ndarray, second: np.ndarray, n_real: int) -> float:
    """Total variation distance between the joint codes of the first ``n_real`` and other rows."""
    width = int(second.max()) + 1
    cells = (int(first.max()) + 1) * width
    joint = first * width + second
    if cells > DENSE_CELLS:
        present, joint = np.unique(joint, return_inverse=True)
        cells = len(present)
    real = np.bincount(joint[:n_real], minlength=cells) / n_real
    synthetic = np.bincount(joint[n_real:], minlength=cells) / (len(joint) - n_real)
    return float(0.5 * np.abs(real - synthetic).sum())
