"""The discrete domain of a table: cells of every column, from the public Schema.

Marginal methods see a table as codes of cells. Categories are cells of their own, numbers fall into
bins between public bounds, a missing value has a cell where the Schema allows it. Numbers outside
the bounds count at the nearest one; a value that the Schema does not know counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Column, Schema
from ..privacy.allowance import Allowance
from .private_bins import needs_rows, private_edges

NOWHERE = -1  # the code of a value that the Schema does not know
METHODS = ("uniform", "quantile", "privtree")


@dataclass(frozen=True)
class Axis:
    """The cells of one column: bins or categories, then one for a missing value.

    Parameters
    ----------
    column : Column
        Discrete, or with both bounds.
    edges : ndarray of float64, shape (bins + 1,)
        Ends of a numeric column's bins, ascending; empty for a discrete column.
    """

    column: Column
    edges: np.ndarray

    @property
    def bins(self) -> int:
        """How many cells hold values."""
        return len(self.column.categories) if self.column.is_discrete else len(self.edges) - 1

    @property
    def size(self) -> int:
        """How many cells there are."""
        return self.bins + self.column.missing

    def codes(self, series: pd.Series) -> np.ndarray:
        """Return the cell of each value, int64, ``NOWHERE`` where it has none."""
        if self.column.is_discrete:
            found = public_codes(self.column, series)
        else:
            numbers = self.column.numbers(series)
            found = np.searchsorted(self.edges[1:-1], numbers, side="right")
        absent = self.bins if self.column.missing else NOWHERE
        return np.where(series.isna().to_numpy(), absent, found)

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> pd.Series:
        """Turn cells into canonical values, uniform within a bin."""
        if self.column.is_discrete:
            return self.column.from_codes(np.where(codes < self.bins, codes, -1))
        known = codes < self.bins
        places = np.where(known, codes, 0)
        widths = np.diff(self.edges)
        numbers = self.edges[places] + rng.random(len(codes)) * widths[places]
        return self.column.from_numbers(np.where(known, numbers, np.nan))


@dataclass(frozen=True)
class Domain:
    """The cells of every column of a table.

    Parameters
    ----------
    schema : Schema
        Of the table.
    axes : sequence of Axis
        One for each column, in table order.
    """

    schema: Schema
    axes: Sequence[Axis]

    @property
    def sizes(self) -> np.ndarray:
        """Number of cells of each column, int64."""
        return np.array([axis.size for axis in self.axes], dtype=np.int64)

    @property
    def edges(self) -> dict[str, np.ndarray]:
        """The ends of the bins of every numeric column, under names for a release."""
        return {f"edges of {a.column.name}": a.edges for a in self.axes if len(a.edges)}

    def codes(self, table: pd.DataFrame) -> np.ndarray:
        """Return cells of shape (rows, columns), int64; ``NOWHERE`` where a value has none."""
        codes = np.empty((len(table), len(self.axes)), dtype=np.int64, order="F")
        for place, axis in enumerate(self.axes):
            codes[:, place] = axis.codes(table[axis.column.name])
        return codes

    def rows(self, codes: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Turn cells of shape (rows, columns) into a canonical table."""
        return self.schema.assemble(
            {
                axis.column.name: axis.values(codes[:, place], rng)
                for place, axis in enumerate(self.axes)
            }
        )


def discretise(
    train: pd.DataFrame,
    schema: Schema,
    allowance: Allowance,
    rng: np.random.Generator,
    *,
    method: str = "uniform",
    bins: int = 32,
    share: float = 0.1,
) -> Domain:
    """Lay at most ``bins`` cells over every numeric column.

    Parameters
    ----------
    train : DataFrame
        Read by ``quantile`` and ``privtree`` only.
    schema : Schema
        Every numeric column has both bounds.
    allowance : Allowance
        Pays for what is read.
    rng : Generator
        Of the noise.
    method : {"uniform", "quantile", "privtree"}
        Equal widths, or edges that follow the rows.
    bins : int
        Most bins of a column; a whole-number column with fewer values has one for each.
    share : float
        Of the budget, in equal parts for all columns that have more values than bins; unspent
        where there is none.

    Raises
    ------
    ValueError
        If the method has another name.
    """
    if method not in METHODS:
        raise ValueError(f"discretiser must be one of {', '.join(METHODS)}, got {method!r}")
    edges = {column.name: uniform_edges(column, bins) for column in schema}
    if method != "uniform":
        paid = [column for column in schema if needs_rows(column, bins)]
        for column in paid:
            values = train[column.name]
            each = share / len(paid)
            edges[column.name] = private_edges(column, values, method, bins, each, allowance, rng)
    return Domain(schema, [Axis(column, edges[column.name]) for column in schema])


def uniform_edges(column: Column, bins: int) -> np.ndarray:
    """Return ends of equal bins between the public bounds; whole numbers lie inside them."""
    if column.is_discrete:
        return np.empty(0)
    if column.kind == "continuous":
        return np.linspace(column.lower, column.upper, bins + 1)
    numbers = int(column.upper - column.lower) + 1
    return np.linspace(column.lower - 0.5, column.upper + 0.5, min(bins, numbers) + 1)


def public_codes(column: Column, series: pd.Series) -> np.ndarray:
    """Return positions in the Schema's categories, int64; -1 for missing and unknown values."""
    if column.has_codes(series):
        return column.codes(series)
    known = pd.Index(column.categories, dtype=object)
    return known.get_indexer(pd.Index(series.astype(object))).astype(np.int64)


def not_finite(schema: Schema, budget: Budget) -> str | None:
    """Say why a marginal method does not apply: the domain is not public or not finite."""
    if budget.is_private and not schema.public:
        return "the Schema was guessed from private rows, which no epsilon covers"
    if unbounded := [column.name for column in schema if not column.is_bounded]:
        names = ", ".join(repr(name) for name in unbounded)
        return f"needs public bounds; set minimum and maximum of {names} in the Schema"
    return None
