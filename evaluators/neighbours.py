"""Exact nearest neighbours among rows of mixed kinds, in memory linear in the rows.

Two distances. ``"l1"``: numeric columns are divided by their public range (or that of train) and a
difference counts at most ``MISMATCH``, which only values outside the range and missing ones reach;
a category is one-hot, so that two different ones are 2 apart. ``"euclidean"``: the same columns
with squares, where two different categories are the root of 2 apart; it takes any matrix of numbers
too. Distances are those of float64 arithmetic whatever the search skips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ..bench.schema import Column, Schema, by_name
from .distances import Distances
from .encoded import ABSENT, Encoded, Groups
from .search import Counts, NearestRows

Distance = Literal["l1", "euclidean"]
TOLERANCE = 1e-9  # of a distance, in which two sums of the same differences may differ
FURTHEST = 1e6  # ranges; numbers beyond are cut


@dataclass(frozen=True)
class Closest:
    """What lies nearest to each query.

    Parameters
    ----------
    distance : ndarray of float64, shape (n,)
        To the nearest row; at least 0.
    ties : ndarray of int64, shape (n,)
        How many rows are that near, to ``TOLERANCE``; at least 1.
    """

    distance: np.ndarray
    ties: np.ndarray


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


class Encoder:
    """Encodes tables for the search, with scales from the public Schema or from train.

    Parameters
    ----------
    schema : Schema
        Kinds, categories and bounds.
    train : DataFrame
        Gives the range of a numeric column without two public bounds.
    public : bool
        Whether public bounds count; if not, every range is that of train.
    """

    def __init__(self, schema: Schema, train: pd.DataFrame, *, public: bool = True) -> None:
        # By name, so that sums do not depend on the order of columns to the last digit.
        columns = by_name(schema)
        self.numeric = [column for column in columns if not column.is_discrete]
        self.discrete = [column for column in columns if column.is_discrete]
        self.scales = [_range(column, train[column.name], public) for column in self.numeric]

    def encode(self, table: pd.DataFrame) -> Encoded:
        """Encode a canonical table: numbers in units of their range, code 0 where missing."""
        numbers = np.empty((len(self.numeric), len(table)))
        for row, column, (low, width) in zip(numbers, self.numeric, self.scales, strict=True):
            scaled = (column.numbers(table[column.name]) - low) / width
            row[:] = np.where(np.isnan(scaled), ABSENT, np.clip(scaled, -FURTHEST, FURTHEST))
        codes = [
            (column.codes(table[column.name]) + 1).astype(
                np.min_scalar_type(len(column.categories))
            )
            for column in self.discrete
        ]
        return Encoded(numbers, codes)


def _range(column: Column, series: pd.Series, public: bool) -> tuple[float, float]:
    low, high = column.lower, column.upper
    if not public or not column.is_bounded:
        known = column.numbers(series)
        known = known[~np.isnan(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return float(low), float(high - low) or 1.0


def points(matrix: np.ndarray) -> Encoded:
    """Encode a matrix of finite numbers, shape (n, dimensions), for Euclidean searches."""
    return Encoded(np.ascontiguousarray(matrix.T, dtype=np.float64), [])


def nearest(queries: Encoded, rows: Encoded, metric: Distance = "l1") -> Closest:
    """Find the nearest of ``rows`` (at least one) to each of ``queries``, and count its equals."""
    distance = knn(queries, rows, 1, metric=metric).distance[:, 0]
    return Closest(distance, ties(queries, rows, distance, metric))


def knn(
    queries: Encoded,
    rows: Encoded,
    k: int,
    *,
    skip_self: bool = False,
    metric: Distance = "l1",
) -> Neighbours:
    """Find the ``k`` nearest of ``rows`` to each of ``queries``.

    Parameters
    ----------
    k : int
        In [1, len(rows)], or to len(rows) - 1 with ``skip_self``.
    skip_self : bool
        Whether ``queries`` are ``rows``, and no row is its own neighbour.
    metric : {"l1", "euclidean"}
        Which distance; the Euclidean one takes no missing numbers.

    Raises
    ------
    ValueError
        If ``k`` is out of range.
    """
    most = len(rows) - skip_self
    if not 1 <= k <= most:
        raise ValueError(f"k must be in [1, {most}], the rows to choose from, got {k!r}")
    askers, asked = queries.groups, rows.groups
    distances = _distances(askers.rows, asked.rows, metric)
    wanted = k + skip_self
    found = NearestRows(distances, min(wanted, len(asked.rows)))
    distance, index = _every_row(found, asked, wanted)
    distance, index = distance[askers.member], index[askers.member]
    if skip_self:
        others = index != np.arange(len(index))[:, None]
        others[others.all(axis=1), -1] = False  # its equals fill its row
        shape = len(index), k
        distance, index = distance[others].reshape(shape), index[others].reshape(shape)
    return Neighbours(distance, index)


def _every_row(found: NearestRows, groups: Groups, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn the nearest groups into the ``k`` nearest rows."""
    if len(groups.sizes) == len(groups.member):
        return found.best, found.index
    copy = np.arange(k)
    place = groups.starts[found.index][..., None] + copy
    exists = copy < groups.sizes[found.index][..., None]
    index = np.where(exists, groups.positions[np.where(exists, place, 0)], len(groups.member))
    distance = np.where(exists, found.best[..., None], np.inf)
    shape = len(found.best), found.best.shape[1] * k
    distance, index = distance.reshape(shape), index.reshape(shape)
    order = np.lexsort((index, distance), axis=1)[:, :k]
    return np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)


def ties(
    queries: Encoded, rows: Encoded, distance: np.ndarray, metric: Distance = "l1"
) -> np.ndarray:
    """Count the rows that are as near to each query as ``distance``, or nearer, to ``TOLERANCE``.

    Returns
    -------
    ndarray of int64, shape (len(queries),)
    """
    askers, asked = queries.groups, rows.groups
    radii = distance[askers.positions[askers.starts]] + TOLERANCE
    distances = _distances(askers.rows, asked.rows, metric)
    return Counts(distances, radii, askers.sizes, asked.sizes).of_queries[askers.member]


def counts_within(
    queries: Encoded, rows: Encoded, radii: np.ndarray, metric: Distance = "l1"
) -> np.ndarray:
    """Count, for each query, the rows j with a distance below ``radii[j]``.

    Parameters
    ----------
    radii : ndarray of float64, shape (len(rows),)
        At least 0.

    Returns
    -------
    ndarray of int64, shape (len(queries),)
    """
    # The rows ask, since a radius is theirs.
    asked = queries.groups
    found = Counts(
        _distances(rows, asked.rows, metric), radii, np.ones(len(rows), dtype=np.int64), asked.sizes
    )
    return found.of_rows[asked.member]


def _distances(queries: Encoded, rows: Encoded, metric: Distance) -> Distances:
    return Distances(queries, rows.tree, squared=metric == "euclidean")
