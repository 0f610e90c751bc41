"""One-hot: a table as SDMetrics' detection metrics encode it.

Numbers come first, categories after them, both by column name. What is learned is learned from
train alone. A category that train lacks is a column that only synthetic rows use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.schema import Column, Schema, by_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LARGEST = 1e30  # so that squares and single precision stay finite


@dataclass(frozen=True)
class Rows:
    """Encoded rows.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n, numbers)
        Numbers, dates as seconds, and truth values; a missing one is the mean (the most frequent
        truth value) of train.
    positions : ndarray of int32, shape (n, categories)
        Which column of the matrix is 1, for each categorical column; a missing value has one.
    owners : list of str
        For each column of the matrix, the column of the table that it comes from.
    """

    numbers: np.ndarray
    positions: np.ndarray
    owners: list[str]

    def take(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(self.numbers[rows], self.positions[rows], self.owners)

    def matrix(
        self,
        centre: np.ndarray | float = 0.0,
        scale: np.ndarray | float = 1.0,
        dtype: type = np.float64,
    ) -> csr_array:
        """Return the encoding with the numbers centred and scaled; zeros among them are stored.

        Returns
        -------
        csr_array of dtype, shape (n, len(owners))
        """
        from scipy.sparse import csr_array

        n, count = self.numbers.shape
        with np.errstate(over="ignore"):
            numbers = np.clip((self.numbers - centre) / scale, -LARGEST, LARGEST)
        places = np.broadcast_to(np.arange(count, dtype=np.int32), (n, count))
        values = np.hstack([numbers, np.ones(self.positions.shape)], dtype=dtype)
        indices = np.hstack([places, self.positions])
        starts = np.arange(n + 1) * values.shape[1]
        return csr_array((values.ravel(), indices.ravel(), starts), shape=(n, len(self.owners)))


def encode(schema: Schema, train: pd.DataFrame, tables: Sequence[pd.DataFrame]) -> list[Rows]:
    """Encode tables under one Schema, filling gaps as ``train`` says."""
    columns = by_name(schema)
    numeric = [column for column in columns if column.kind != "categorical"]
    discrete = [column for column in columns if column.kind == "categorical"]
    owners, firsts = [column.name for column in numeric], []
    for column in discrete:
        firsts.append(len(owners))
        owners += [column.name] * (len(column.categories) + 1)
    fills = [_fill(column, train) for column in numeric]
    encoded = []
    for table in tables:
        numbers = np.empty((len(table), len(numeric)))
        for place, (column, fill) in enumerate(zip(numeric, fills, strict=True)):
            seen = _numbers(column, table)
            numbers[:, place] = np.where(np.isnan(seen), fill, seen)
        positions = np.empty((len(table), len(discrete)), dtype=np.int32)
        for place, (column, first) in enumerate(zip(discrete, firsts, strict=True)):
            codes = column.codes(table[column.name])
            positions[:, place] = first + np.where(codes < 0, len(column.categories), codes)
        encoded.append(Rows(numbers, positions, owners))
    return encoded


def _numbers(column: Column, table: pd.DataFrame) -> np.ndarray:
    """Return the numbers of a column, or its truth values as 0 and 1; NaN where missing."""
    if not column.is_discrete:
        return column.numbers(table[column.name])
    codes = column.codes(table[column.name])
    return np.where(codes < 0, np.nan, codes)


def _fill(column: Column, train: pd.DataFrame) -> float:
    known = _numbers(column, train)
    known = np.sort(known[~np.isnan(known)])
    if not len(known):
        return 0.0
    return float(known.mean() > 0.5) if column.is_discrete else float(known.mean())
