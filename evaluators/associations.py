"""Associations: one number for how strongly two columns of any kind go together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from ..bench.contracts import Tables
from ..bench.schema import Column, Schema
from .contingency import gapless, joint_codes


def shared_associations(tables: Tables, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Associations of train and of the synthetic table, computed once."""
    sides = {"train": tables.train, "synthetic": tables.synthetic}
    found = [
        tables.once(("associations", name), lambda side=side: associations(side, schema))
        for name, side in sides.items()
    ]
    return found[0], found[1]


def associations(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Associations of all pairs of columns.

    Two numeric columns: Pearson's correlation, in [-1, 1]. Two discrete ones: Cramer's V (Cramer
    1946), in [0, 1]. One of each: the correlation ratio (Fisher 1925), in [0, 1]. A missing
    category is a category; rows without the number are left out.

    Returns
    -------
    ndarray of float64, shape (len(schema), len(schema))
        Symmetric, in table order, with ones on the diagonal. What is undefined, because a column is
        constant, is 0.
    """
    matrix = np.eye(len(schema))
    views = [_view(column, table[column.name]) for column in schema]
    for one, other in combinations(range(len(schema)), 2):
        discrete = [schema.columns[position].is_discrete for position in (one, other)]
        if all(discrete):
            value = cramers_v(views[one], views[other])
        elif any(discrete):
            codes, numbers = (one, other) if discrete[0] else (other, one)
            value = correlation_ratio(views[codes], views[numbers])
        else:
            continue
        matrix[one, other] = matrix[other, one] = value
    numeric = [place for place, column in enumerate(schema) if not column.is_discrete]
    if len(numeric) > 1:
        found = correlations(table, [schema.columns[place] for place in numeric])
        found[np.diag_indices_from(found)] = 1.0
        matrix[np.ix_(numeric, numeric)] = np.nan_to_num(found)
    return matrix


def _view(column: Column, series: pd.Series) -> np.ndarray:
    return gapless(column.codes(series) + 1) if column.is_discrete else column.numbers(series)


def cramers_v(first: np.ndarray, second: np.ndarray) -> float:
    """Cramer's V of two columns of gapless codes; 0 where one is constant."""
    margins = [np.bincount(codes) / len(codes) for codes in (first, second)]
    smaller = min(map(len, margins))
    if smaller < 2:
        return 0.0
    joint, _ = joint_codes(first, second)
    _, places, counts = np.unique(joint, return_index=True, return_counts=True)
    expected = margins[0][first[places]] * margins[1][second[places]]
    # chi-squared over n; empty cells need no term of their own in this form
    squares = np.sum(np.sort((counts / len(first)) ** 2 / expected)) - 1
    return float(np.sqrt(np.clip(squares / (smaller - 1), 0.0, 1.0)))


def correlation_ratio(codes: np.ndarray, numbers: np.ndarray) -> float:
    """Share of the numbers' standard deviation that lies between groups; 0 where it is 0."""
    known = ~np.isnan(numbers)
    codes, numbers = codes[known], numbers[known]
    if not len(numbers) or np.ptp(numbers) == 0:
        return 0.0
    centred = numbers - numbers.mean()
    centred /= np.abs(centred).max()
    sizes = np.maximum(1, np.bincount(codes))
    between = np.sum(np.bincount(codes, weights=centred) ** 2 / sizes)
    return float(np.sqrt(np.clip(between / np.sum(centred**2), 0.0, 1.0)))


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
