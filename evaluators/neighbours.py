"""Exact nearest neighbours among rows of mixed kinds, in memory linear in the rows.

The distance is L1: numeric columns are divided by their public range (or that of train), a
category is one-hot, so that two different ones are 2 apart. It is computed column by column in
blocks that stay in the processor's cache, which for one-hot widths beats a matrix of dummies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..bench.schema import Column, Schema

MISMATCH = 2.0  # L1 distance between two different one-hot vectors
BLOCK_CELLS = 2**17  # distances held at once
TOLERANCE = 1e-5  # of a distance; above the rounding of float32 sums over hundreds of columns
ABSENT = np.float32(1e30)  # stands for a missing number: MISMATCH away from every other


@dataclass(frozen=True)
class Encoded:
    """Rows as the search sees them.

    Parameters
    ----------
    numbers : ndarray of float32, shape (numeric columns, n)
        In units of each column's range; ``ABSENT`` where missing.
    codes : list of ndarray of uint8, uint16 or uint32, each of shape (n,)
        0 where missing, else one more than the position in the categories.
    """

    numbers: np.ndarray
    codes: list[np.ndarray]

    def __len__(self) -> int:
        return self.numbers.shape[1]


@dataclass(frozen=True)
class Closest:
    """What lies nearest to each query.

    Parameters
    ----------
    distance : ndarray of float32, shape (n,)
        To the nearest row; at least 0.
    ties : ndarray of int64, shape (n,)
        How many rows are that near, to ``TOLERANCE``; at least 1.
    """

    distance: np.ndarray
    ties: np.ndarray


class Encoder:
    """Encodes tables for the search, with scales from the public Schema or from train.

    Parameters
    ----------
    schema : Schema
        Kinds, categories and bounds.
    train : DataFrame
        Gives the range of a numeric column without two public bounds.
    """

    def __init__(self, schema: Schema, train: pd.DataFrame) -> None:
        self.numeric = [column for column in schema if not column.is_discrete]
        self.discrete = [column for column in schema if column.is_discrete]
        self.scales = [_range(column, train[column.name]) for column in self.numeric]

    def encode(self, table: pd.DataFrame) -> Encoded:
        """Encode a canonical table."""
        numbers = np.empty((len(self.numeric), len(table)), dtype=np.float32)
        for row, column, (low, width) in zip(numbers, self.numeric, self.scales, strict=True):
            scaled = (column.numbers(table[column.name]) - low) / width
            row[:] = np.where(np.isnan(scaled), ABSENT, np.clip(scaled, -1e6, 1e6))
        codes = [
            (column.codes(table[column.name]) + 1).astype(
                np.min_scalar_type(len(column.categories))
            )
            for column in self.discrete
        ]
        return Encoded(numbers, codes)


def _range(column: Column, series: pd.Series) -> tuple[float, float]:
    low, high = column.lower, column.upper
    if not column.is_bounded:
        known = column.numbers(series)
        known = known[~np.isnan(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return float(low), float(high - low) or 1.0


def nearest(queries: Encoded, rows: Encoded) -> Closest:
    """Find the nearest of ``rows`` (at least one) to each of ``queries``.

    A difference of numbers counts at most ``MISMATCH``, which only values outside the range reach.
    """
    distance = np.empty(len(queries), dtype=np.float32)
    ties = np.empty(len(queries), dtype=np.int64)
    step = max(1, BLOCK_CELLS // len(rows))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        distances = _distances(queries, block, rows)
        closest = distances.min(axis=1)
        distance[block] = closest
        ties[block] = (distances <= closest[:, None] + TOLERANCE).sum(axis=1)
    return Closest(distance, ties)


@dataclass(frozen=True)
class Neighbours:
    """The k rows nearest to each query, nearest first.

    Parameters
    ----------
    distance : ndarray of float64, shape (n, k)
    index : ndarray of int64, shape (n, k)
        Positions among the rows; of equally near rows those with the smallest positions.
    """

    distance: np.ndarray
    index: np.ndarray


def knn(queries: Encoded, rows: Encoded, k: int, *, skip_self: bool = False) -> Neighbours:
    """Find the ``k`` nearest of ``rows`` to each of ``queries``.

    Parameters
    ----------
    k : int
        In [1, len(rows)], or to len(rows) - 1 with ``skip_self``.
    skip_self : bool
        Whether ``queries`` are ``rows``, and no row is its own neighbour.
    """
    distance = np.empty((len(queries), k))
    index = np.empty((len(queries), k), dtype=np.int64)
    step = max(1, BLOCK_CELLS // len(rows))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        distances = _distances(queries, block, rows).astype(np.float64)
        if skip_self:
            distances[np.arange(block.stop - start), np.arange(start, block.stop)] = np.inf
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distance[block], index[block] = np.take_along_axis(distances, order, 1), order
    return Neighbours(distance, index)


def _distances(queries: Encoded, block: slice, rows: Encoded) -> np.ndarray:
    """Distances of a block of queries (axis 0) to all rows (axis 1)."""
    shape = (len(range(*block.indices(len(queries)))), len(rows))
    mismatches = np.zeros(shape, dtype=np.min_scalar_type(len(rows.codes)))
    differs = np.empty(shape, dtype=bool)
    for query, row in zip(queries.codes, rows.codes, strict=True):
        np.not_equal(query[block, None], row, out=differs)
        mismatches += differs
    distances = mismatches.astype(np.float32)
    distances *= np.float32(MISMATCH)
    difference = np.empty(shape, dtype=np.float32)
    for query, row in zip(queries.numbers, rows.numbers, strict=True):
        np.subtract(query[block, None], row, out=difference)
        np.abs(difference, out=difference)
        np.minimum(difference, np.float32(MISMATCH), out=difference)
        distances += difference
    return distances
