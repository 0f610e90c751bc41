"""Groups: who is compared with whom, and what is compared, where fairness is measured.

Groups and labels are set by the public Schema and by train, so that they are the same for every
generator.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from ..bench.contracts import Tables
from ..bench.schema import Column, Schema

QUARTILES = (0.25, 0.5, 0.75)


class Groups:
    """The groups of one sensitive column.

    Categories are groups; numbers and dates are grouped at the quartiles of train. A missing value
    belongs to no group.

    Parameters
    ----------
    column : Column
        The sensitive column.
    train : DataFrame
        Gives the quartiles, and the medians between them.

    Attributes
    ----------
    names : tuple of str
        ``sex=Female``, or ``age < 28``, ``28 <= age < 37`` and so on.
    """

    def __init__(self, column: Column, train: pd.DataFrame) -> None:
        self.column = column
        self.edges = np.empty(0)
        if column.is_discrete:
            self.names = tuple(f"{column.name}={category}" for category in column.categories)
            return
        known = column.numbers(train[column.name])
        known = np.sort(known[~np.isnan(known)])
        if len(known):
            edges = np.unique(np.quantile(known, QUARTILES))
            self.edges = edges[edges > known[0]]  # nobody is below the smallest
        self.names = _between(column, self.edges)
        inside = np.searchsorted(self.edges, known, side="right")
        self.medians = [
            float(np.median(known[inside == group])) if len(known) else 0.0
            for group in range(len(self.names))
        ]

    def __len__(self) -> int:
        return len(self.names)

    def codes(self, table: pd.DataFrame) -> np.ndarray:
        """Group of each row, -1 where the value is missing; int64, shape (len(table),)."""
        if self.column.is_discrete:
            return self.column.codes(table[self.column.name])
        numbers = self.column.numbers(table[self.column.name])
        groups = np.searchsorted(self.edges, numbers, side="right")
        return np.where(np.isnan(numbers), -1, groups)

    def everyone_in(self, group: int, table: pd.DataFrame) -> pd.DataFrame:
        """Return ``table`` with the sensitive value of every row set to the group's.

        Of a group of numbers that is the median of its train values.
        """
        if self.column.is_discrete:
            made = self.column.from_codes(np.full(len(table), group))
        else:
            made = self.column.from_numbers(np.full(len(table), self.medians[group]))
        return table.assign(**{self.column.name: made.set_axis(table.index)})


def _between(column: Column, edges: np.ndarray) -> tuple[str, ...]:
    texts = [_text(column, edge) for edge in edges]
    if not texts:
        return (f"any {column.name}",)
    middle = [f"{a} <= {column.name} < {b}" for a, b in pairwise(texts)]
    return (f"{column.name} < {texts[0]}", *middle, f"{column.name} >= {texts[-1]}")


def _text(column: Column, edge: float) -> str:
    if column.kind == "datetime":
        return str(np.datetime64(int(edge), "s"))
    return f"{edge:.6g}"


class Labels:
    """The classes of the target; a number is in the second of two if above its median in train.

    Parameters
    ----------
    column : Column
        The target.
    train : DataFrame
        Gives the median.

    Attributes
    ----------
    names : tuple of str
        ``income=high``, or ``amount <= 5`` and ``amount > 5``.
    """

    def __init__(self, column: Column, train: pd.DataFrame) -> None:
        self.column = column
        if column.is_discrete:
            self.names = tuple(f"{column.name}={category}" for category in column.categories)
            return
        known = column.numbers(train[column.name])
        known = known[~np.isnan(known)]
        self.median = float(np.median(known)) if len(known) else 0.0
        text = _text(column, self.median)
        self.names = (f"{column.name} <= {text}", f"{column.name} > {text}")

    def __len__(self) -> int:
        return len(self.names)

    def codes(self, table: pd.DataFrame) -> np.ndarray:
        """Class of each row, -1 where missing; int64, shape (len(table),)."""
        if self.column.is_discrete:
            return self.column.codes(table[self.column.name])
        numbers = self.column.numbers(table[self.column.name])
        return np.where(np.isnan(numbers), -1, (numbers > self.median).astype(np.int64))

    def decided(self, predicted: np.ndarray) -> np.ndarray:
        """Class that a prediction (probabilities, or numbers) decides for."""
        if self.column.is_discrete:
            return predicted.argmax(axis=1)
        return (predicted > self.median).astype(np.int64)

    def scores(self, predicted: np.ndarray) -> np.ndarray:
        """Score of every class, high where likely; float64, shape (n, len(self))."""
        if self.column.is_discrete:
            return predicted
        return np.column_stack([-predicted, predicted])


def sensitive_groups(tables: Tables, schema: Schema) -> list[Groups]:
    """Return the groups of each sensitive column but the target, in the order of their names."""
    names = sorted(set(schema.sensitive) - {schema.target})
    return [Groups(schema[name], tables.train) for name in names]
