"""Noisy one-way marginals over the public domain: the simplest honest private generator.

Everything the model holds is a noisy share of a public cell. Bounds, categories and bins come from
the Schema, and the number of rows is not learned. Limits: columns are independent; the noise is
floating-point (its low bits can leak, Mironov 2012) and comes from the cell's seed, so that whoever
knows the seed can take it off: a table that is to be published needs a secret one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.ledger import Event, gaussian_mu
from ..bench.schema import Column, Schema
from .common import check_at_least, column_values, from_column_values


@dataclass(frozen=True)
class Grid:
    """The public cells of one column: bins or categories, and one more for a missing value.

    Parameters
    ----------
    column : Column
        Discrete, or with both bounds.
    low, high : float
        Ends of the bins; categories lie at -0.5, 0.5, 1.5 and so on.
    bins : int
        How many there are without the one for a missing value; 0 if every value is missing.
    """

    column: Column
    low: float
    high: float
    bins: int

    @classmethod
    def of(cls, column: Column, bins: int) -> Grid:
        """Lay at most ``bins`` equal bins over a numeric column; whole numbers lie inside them."""
        if column.is_discrete:
            categories = len(column.categories)
            return cls(column, -0.5, categories - 0.5, categories)
        if column.kind == "continuous":
            return cls(column, column.lower, column.upper, bins)
        numbers = int(column.upper - column.lower) + 1
        return cls(column, column.lower - 0.5, column.upper + 0.5, min(bins, numbers))

    @property
    def cells(self) -> int:
        """How many counts the column's marginal has."""
        return self.bins + self.column.missing

    def counts(self, series: pd.Series) -> np.ndarray:
        """Count rows per cell, shape (cells,); each row adds to one cell at most.

        Numbers outside the bounds count at the nearest bound; a value that the Schema does not know
        counts nowhere.
        """
        values = column_values(self.column, series)
        known = values[~np.isnan(values)]
        counts = np.zeros(self.cells)
        if self.bins:
            width = (self.high - self.low) / self.bins or 1.0
            places = np.clip((known - self.low) / width, 0, self.bins - 1).astype(np.int64)
            counts[: self.bins] = np.bincount(places, minlength=self.bins)
        if self.column.missing:
            counts[-1] = len(values) - len(known)
        return counts

    def draw(self, shares: np.ndarray, n: int, rng: np.random.Generator) -> pd.Series:
        """Draw ``n`` cells by their ``shares``, and a value uniformly within each."""
        cells = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
        within = 0.5 if self.column.is_discrete else rng.random(n)
        values = self.low + (cells + within) * ((self.high - self.low) / max(self.bins, 1))
        return from_column_values(self.column, np.where(cells < self.bins, values, np.nan))


class DpMarginals:
    """Independent columns from noisy histograms (Dwork and Roth 2014, section 3.3).

    With delta > 0 all marginals are one Gaussian mechanism, calibrated exactly (Balle and Wang
    2018, algorithm 1); with delta = 0 each is a Laplace mechanism with an equal part of epsilon.
    A row adds 1 to one cell of each of d marginals: under ``add_remove`` their L2 sensitivity is
    sqrt(d), and one marginal's L1 sensitivity is 1; under ``replace`` a row changes two cells, so
    they are sqrt(2 d) and 2. An infinite epsilon releases exact counts, and the empty ledger that
    comes with them claims nothing.

    Parameters
    ----------
    bins : int
        Most equal-width bins of a numeric column, >= 1; a whole-number column with fewer values has
        one for each.
    """

    ledger: Sequence[Event] = ()

    def __init__(self, bins: int = 32) -> None:
        self.bins = bins

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply: the domain is not public or not finite."""
        if budget.is_private and not schema.public:
            return "the Schema was guessed from private rows, which no epsilon covers"
        if unbounded := [column.name for column in schema if not column.is_bounded]:
            names = ", ".join(repr(name) for name in unbounded)
            return f"needs public bounds; set minimum and maximum of {names} in the Schema"
        return None

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Count the cells of every column, and add the noise that ``budget`` asks for."""
        check_at_least("bins", self.bins, 1)
        if reason := self.skip(schema, budget):
            raise ValueError(reason)
        self.schema_ = schema
        self.grids_ = [Grid.of(column, self.bins) for column in schema]
        event = _mechanism(budget, len(schema))
        self.ledger = () if event is None else (event,)
        self.shares_ = [
            _shares(_noisy(grid.counts(train[grid.column.name]), event, rng))
            for grid in self.grids_
        ]
        return self

    @property
    def parameters(self) -> int:
        """How many shares were learned."""
        return sum(map(len, self.shares_))

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows, each column on its own."""
        pairs = zip(self.grids_, self.shares_, strict=True)
        return self.schema_.assemble({g.column.name: g.draw(s, n, rng) for g, s in pairs})


def _mechanism(budget: Budget, columns: int) -> Event | None:
    """Return the mechanism that releases ``columns`` marginals within ``budget``."""
    if not budget.is_private:
        return None
    cells_changed = 1 if budget.neighbours == "add_remove" else 2
    purpose = f"{columns} one-way marginals"
    if budget.delta == 0:
        scale = cells_changed * columns / budget.epsilon
        return Event("laplace", cells_changed, scale, count=columns, purpose=purpose)
    sensitivity = math.sqrt(cells_changed * columns)
    scale = sensitivity / gaussian_mu(budget.epsilon, budget.delta)
    return Event("gaussian", sensitivity, scale, purpose=purpose)


def _noisy(counts: np.ndarray, event: Event | None, rng: np.random.Generator) -> np.ndarray:
    if event is None:
        return counts
    draw = rng.laplace if event.mechanism == "laplace" else rng.normal
    return counts + draw(0.0, event.scale, size=counts.shape)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Clip negative counts and scale the others to sum to 1; equal shares if none is left."""
    positive = np.maximum(counts, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(counts), 1 / len(counts))
