"""Building blocks that several generators share: views of a table, draws of rows, encodings.

A table is seen as one float64 matrix: codes of discrete columns, numbers of numeric ones, NaN where
a value is missing. ``to_values`` and ``from_values`` lead there and back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget, Checkpoint
from ..bench.schema import Column, Schema

VECTOR_LENGTH = 16  # most numbers that a category is encoded by


class NoCheckpoint:
    """A checkpoint that keeps nothing, for a ``fit`` outside the harness."""

    def load(self) -> None:
        """Return nothing."""

    def save(self, state: Callable[[], Any]) -> None:
        """Keep nothing."""


class NotPrivate:
    """What generators without a privacy mechanism have in common."""

    checkpoint: Checkpoint = NoCheckpoint()
    progress = staticmethod(lambda step, total, **losses: None)

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell with a finite epsilon does not apply."""
        if budget.is_private:
            return "has no privacy mechanism; run it with privacy=none"
        return None


class KeepsRows(NotPrivate):
    """What generators have in common whose model is the rows they were fitted on."""

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Keep the rows."""
        check_rows(train)
        self.schema_ = schema
        self.rows_ = train.copy()
        return self


def check_rows(train: pd.DataFrame) -> None:
    """Raise a ValueError if there is nothing to learn from."""
    if train.empty:
        raise ValueError("fit needs at least 1 row, got 0; give the split more rows")


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise a ValueError unless a hyperparameter is a whole number that reaches ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")


def places_among(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where each value stands among ``known``, int64; -1 where it does not.

    ``known`` is not empty and ascending, NaN (missing) last; NaN is found as a value is.
    """
    found = np.minimum(np.searchsorted(known, values), len(known) - 1)
    there = known[found]
    return np.where((there == values) | (np.isnan(there) & np.isnan(values)), found, -1)


def to_values(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return a canonical table as float64 of shape (rows, columns); NaN where missing."""
    values = np.empty((len(table), len(schema)), order="F")
    for position, column in enumerate(schema):
        values[:, position] = column_values(column, table[column.name])
    return values


def column_values(column: Column, series: pd.Series) -> np.ndarray:
    """Return a canonical column as float64 of shape (rows,); NaN where missing."""
    if not column.is_discrete:
        return column.numbers(series)
    codes = column.codes(series)
    return np.where(codes < 0, np.nan, codes)


def from_values(values: np.ndarray, schema: Schema) -> pd.DataFrame:
    """Turn what ``to_values`` returns, or values between, back into a canonical table."""
    return schema.assemble(
        {column.name: from_column_values(column, values[:, i]) for i, column in enumerate(schema)}
    )


def from_column_values(column: Column, values: np.ndarray) -> pd.Series:
    """Turn float64 values (NaN: missing) of one column into canonical form."""
    if not column.is_discrete:
        return column.from_numbers(values)
    return column.from_codes(np.where(np.isnan(values), -1, values).astype(np.int64))


def fixed_columns(conditions: pd.DataFrame | None, schema: Schema, n: int) -> dict[str, pd.Series]:
    """Return the canonical columns that ``conditions`` fixes; none for None.

    Raises
    ------
    ValueError
        If it has another number of rows than ``n``, or breaks the Schema.
    """
    if conditions is None:
        return {}
    if len(conditions) != n:
        raise ValueError(
            "conditions must have one row per sampled row, "
            f"got {len(conditions)} rows for {n}; pass {n} rows"
        )
    plain = conditions.reset_index(drop=True)
    fixed = {}
    for name in plain.columns:
        column = schema[name]
        if problem := column.problem(plain[name]):
            raise ValueError(f"conditions, column {name!r}: {problem}")
        fixed[name] = column.canonical(plain[name])
    return fixed


def draw_in_passes(rows: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` of ``rows`` positions: each pass hands out every one once, in random order."""
    passes = -(-n // rows)
    order = np.tile(np.arange(rows), (passes, 1))
    return rng.permuted(order, axis=1).ravel()[:n]


def category_vectors(categories: int, rng: np.random.Generator) -> np.ndarray:
    """Encode categories by short vectors whose squared distances are those of one-hot vectors.

    One-hot vectors themselves up to ``VECTOR_LENGTH`` categories; beyond, their projections on
    random directions with entries +-1/sqrt(VECTOR_LENGTH), which keep squared distances in
    expectation (Achlioptas 2003), and so variances: their sum over the coordinates is
    the Gini impurity of the categories.

    Returns
    -------
    ndarray of float64, shape (categories, min(categories, VECTOR_LENGTH))
    """
    if categories <= VECTOR_LENGTH:
        return np.eye(categories)
    signs = rng.integers(2, size=(categories, VECTOR_LENGTH)) * 2.0 - 1.0
    return signs / np.sqrt(VECTOR_LENGTH)


@dataclass(frozen=True)
class Atoms:
    """The distinct values of one column, each with its place on a standard normal scale.

    Parameters
    ----------
    distinct : ndarray of float64, shape (atoms,)
        Ascending; a missing value is -inf here, so it is the lowest.
    scores : ndarray of float64, shape (atoms,)
        Mean of the normal scores (quantiles of (i + 1/2) / rows) of the rows that share the value.
    positions : ndarray of int64, shape (rows,)
        Which atom each row has.
    """

    distinct: np.ndarray
    scores: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Atoms:
        """Find the atoms of one column (NaN: missing; at least one row)."""
        from scipy.special import ndtri

        ordered = np.where(np.isnan(values), -np.inf, values)
        distinct, positions, counts = np.unique(ordered, return_inverse=True, return_counts=True)
        first = np.cumsum(counts) - counts
        ranked = ndtri((np.arange(len(values)) + 0.5) / len(values))
        return cls(distinct, np.add.reduceat(ranked, first) / counts, positions)
