"""Naive: rows as min-max numbers and one-hot categories, for Euclidean distances.

What synthcity 0.2.12 and the papers after TabSyn call the naive representation: numbers run from 0
to 1 over the rows of train, each category is a dimension. One-hot vectors are kept as codes, since
two of them are the root of 2 apart or equal. Beyond that definition, a missing category is one more
category, and a missing number stands at the mean of train with its absence as a category.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd

from ..bench.content import in_order
from ..bench.contracts import Tables
from ..bench.schema import Schema, by_name
from .neighbours import Encoded, Neighbours, knn

T = TypeVar("T")


class OneHot:
    """Encodes tables by the extremes of train.

    Parameters
    ----------
    schema : Schema
        Kinds and categories.
    train : DataFrame
        Gives extremes and means of numeric columns; at least one row.
    weights : mapping of str to float, optional
        What the coordinates of each column are multiplied by; 1 by default.
    """

    def __init__(
        self, schema: Schema, train: pd.DataFrame, weights: dict[str, float] | None = None
    ) -> None:
        # By name, so that sums do not depend on the order of columns to the last digit.
        columns = by_name(schema)
        self.weights = {column.name: 1.0 for column in columns} | (weights or {})
        self.numeric = [column for column in columns if not column.is_discrete]
        self.discrete = [column for column in columns if column.is_discrete]
        self.scales = {c.name: _scale(c.numbers(train[c.name])) for c in self.numeric}

    def encode(self, table: pd.DataFrame) -> Encoded:
        """Encode a canonical table."""
        numbers, codes, factors = np.empty((len(self.numeric), len(table))), [], []
        for row, column in zip(numbers, self.numeric, strict=True):
            low, width, mean = self.scales[column.name]
            scaled = (column.numbers(table[column.name]) - low) / width
            absent = np.isnan(scaled)
            row[:] = np.where(absent, mean, scaled) * self.weights[column.name]
            if column.missing:
                codes.append(absent.astype(np.uint8))
                factors.append(self.weights[column.name])
        for column in self.discrete:
            kind = np.min_scalar_type(len(column.categories))
            codes.append((column.codes(table[column.name]) + 1).astype(kind))
            factors.append(self.weights[column.name])
        return Encoded(numbers, codes, 2.0 * np.array(factors) ** 2)


def _scale(numbers: np.ndarray) -> tuple[float, float, float]:
    """Smallest, range and scaled mean of the numbers that are not NaN."""
    known = np.sort(numbers[~np.isnan(numbers)])
    if not len(known):
        return 0.0, 1.0, 0.0
    low, width = known[0], known[-1] - known[0] or 1.0
    return float(low), float(width), float(((known - low) / width).mean())


def to_mean(rows: Encoded, among: Encoded) -> np.ndarray:
    """Euclidean distances of ``rows`` to the mean of ``among``, shape (len(rows),)."""
    squares = np.zeros(len(rows))
    for numbers, others in zip(rows.numbers, among.numbers, strict=True):
        squares += (numbers - others.mean()) ** 2
    for codes, others, mismatch in zip(rows.codes, among.codes, among.mismatches, strict=True):
        width = int(max(codes.max(initial=0), others.max(initial=0))) + 1
        share = np.bincount(others, minlength=width) / len(others)
        squares += mismatch / 2 * (1 - 2 * share[codes] + np.sum(share**2))
    return np.sqrt(squares)


class Space:
    """The encoded tables of a cell with the searches among them, each done once.

    Rows are in the order of their content, so that nothing depends on the order of rows, ties and
    the last digit of a mean included.

    Parameters
    ----------
    tables : Tables
        Train is not empty.
    schema : Schema
        Of all tables.
    weights : mapping of str to float, optional
        Of columns.
    """

    def __init__(
        self, tables: Tables, schema: Schema, weights: dict[str, float] | None = None
    ) -> None:
        self._tables, self._schema = tables, schema
        encoder = OneHot(schema, tables.train, weights)
        self._key = ("naive", tuple(sorted((weights or {}).items())))
        self._encode = encoder.encode

    def rows(self, side: str) -> Encoded:
        """Return the encoded rows of a table."""
        return self._once((side,), lambda: self._encode(self._ordered(side)))

    def nearest(self, side: str, among: str, k: int = 1) -> Neighbours:
        """Find the ``k`` rows of a table nearest to each row of another; none is its own."""
        return self._once(
            (side, among, k),
            lambda: knn(
                self.rows(side), self.rows(among), k, skip_self=side == among, metric="euclidean"
            ),
        )

    def _ordered(self, side: str) -> pd.DataFrame:
        table = getattr(self._tables, side)
        return in_order(table, self._schema)

    def _once(self, what: tuple[str | int, ...], make: Callable[[], T]) -> T:
        return self._tables.once((*self._key, *what), make)
