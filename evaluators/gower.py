"""Nearest rows to someone who knows some columns only: Gower distances under several views at once.

The distance is that of Giomi et al. 2023: the sum over columns of the difference of two numbers
over the column's range, at most 1, and of 1 for two different categories or where one value is
missing. It is computed in whole units of at most 2**-16 of a range, so sums are exact, do not
depend on the order of columns, and leaving a column out is a subtraction: all views of a table cost
little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ..bench.schema import Column

View = Callable[[np.ndarray], np.ndarray]
CELLS = 2**19  # distances by column held at once; they fit into a core's cache


class Gower:
    """Encodes columns of tables in units of ``unit`` per range.

    Parameters
    ----------
    columns : sequence of Column
        At most 2**14.
    train : DataFrame
        Gives the range of a numeric column without two public bounds.
    """

    def __init__(self, columns: Sequence[Column], train: pd.DataFrame) -> None:
        self.columns = columns
        self.unit = 2 ** min(24, 30 - len(columns).bit_length())
        self.ranges = {
            column.name: _range(column, train) for column in columns if not column.is_discrete
        }

    def encode(self, table: pd.DataFrame) -> list[np.ndarray]:
        """Encode a canonical table: numbers as int32, codes as int8, int16 or int32."""
        return [self._encode(column, table[column.name]) for column in self.columns]

    def _encode(self, column: Column, series: pd.Series) -> np.ndarray:
        if column.is_discrete:
            return column.codes(series).astype(np.min_scalar_type(-1 - len(column.categories)))
        low, width = self.ranges[column.name]
        scaled = np.clip((column.numbers(series) - low) / width, -16, 16) * self.unit
        # A missing number lies more than a range away from every other.
        return np.rint(np.where(np.isnan(scaled), 32 * self.unit, scaled)).astype(np.int32)


def _range(column: Column, train: pd.DataFrame) -> tuple[float, float]:
    """Least value and width; of a constant the width is taken as 1."""
    low, high = column.lower, column.upper
    if not column.is_bounded:
        known = column.numbers(train[column.name])
        known = known[~np.isnan(known)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    return float(low), float(high - low) or 1.0


def nearest(gower: Gower, queries: pd.DataFrame, rows: pd.DataFrame, see: View) -> np.ndarray:
    """Find the nearest of ``rows`` to each of ``queries`` under each view.

    Parameters
    ----------
    queries, rows : DataFrame
        Canonical; at least one row in ``rows``.
    see : callable
        Turns distances by column (columns, q, r) into distances by view (views, q, r); it may
        overwrite them. One of ``each_left_out`` and ``halves``.

    Returns
    -------
    ndarray of int64, shape (views, len(queries))
        Positions in ``rows``, of equally near ones the first.
    """
    asked, given = gower.encode(queries), gower.encode(rows)
    cells = max(1, CELLS // len(gower.columns))
    width = min(len(rows), cells)
    found = [
        _nearest_in_tiles(
            gower, [column[top : top + cells // width] for column in asked], given, see
        )
        for top in range(0, len(queries), cells // width)
    ]
    return np.hstack(found)


def _nearest_in_tiles(
    gower: Gower, queries: list[np.ndarray], rows: list[np.ndarray], see: View
) -> np.ndarray:
    """Search ``rows`` in tiles that hold, with these queries, at most ``CELLS`` distances."""
    width = max(1, CELLS // len(gower.columns) // len(queries[0]))
    closest, least = np.empty(0, dtype=np.int64), np.empty(0)
    for left in range(0, len(rows[0]), width):
        tile = [column[left : left + width] for column in rows]
        distances = see(_distances(gower, queries, tile))
        first = distances.argmin(axis=2)
        value = np.take_along_axis(distances, first[:, :, None], axis=2)[:, :, 0]
        if left == 0:
            closest, least = first, value
        else:
            nearer = value < least
            closest, least = np.where(nearer, left + first, closest), np.minimum(value, least)
    return closest


def each_left_out(distances: np.ndarray) -> np.ndarray:
    """See all columns but one, once for each column."""
    return np.subtract(distances.sum(axis=0, dtype=np.int32), distances, out=distances)


def halves(splits: Sequence[np.ndarray]) -> View:
    """See some columns, then the others, once for each of ``splits`` (positions of columns)."""

    def see(distances: np.ndarray) -> np.ndarray:
        seen = np.zeros((2 * len(splits), *distances.shape[1:]), dtype=np.int32)
        total = distances.sum(axis=0, dtype=np.int32)
        for some, others, split in zip(seen[::2], seen[1::2], splits, strict=True):
            for column in split:
                some += distances[column]
            np.subtract(total, some, out=others)
        return seen

    return see


def _distances(gower: Gower, queries: list[np.ndarray], rows: list[np.ndarray]) -> np.ndarray:
    """Distances by column, int32, shape (columns, queries, rows)."""
    apart = np.empty((len(gower.columns), len(queries[0]), len(rows[0])), dtype=np.int32)
    for out, column, query, row in zip(apart, gower.columns, queries, rows, strict=True):
        if column.is_discrete:
            np.multiply(query[:, None] != row, np.int32(gower.unit), out=out)
        else:
            np.subtract(query[:, None], row, out=out)
            np.abs(out, out=out)
            np.minimum(out, np.int32(gower.unit), out=out)
    return apart
