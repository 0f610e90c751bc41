"""Noisy one-way marginals over the public domain: the simplest honest private generator.

Everything the model holds is a noisy share of a public cell, and the number of rows is not learned.
Columns are independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.ledger import Event
from ..bench.schema import Schema
from .common import check_at_least
from .privacy.allowance import Allowance
from .views.domain import Axis, discretise, not_finite


class DpMarginals:
    """Independent columns from noisy histograms (Dwork and Roth 2014, section 3.3).

    Every marginal has an equal share of the budget. An infinite epsilon releases exact counts, and
    the empty ledger that comes with them claims nothing.

    Parameters
    ----------
    bins : int
        Most bins of a numeric column, >= 1; a whole-number column with fewer values has one for
        each.
    discretiser : {"uniform", "quantile", "privtree"}
        How bins are laid: equal widths, or edges that are paid for.
    discretiser_share : float
        Of the budget, where bins are paid for.
    """

    ledger: Sequence[Event] = ()

    def __init__(
        self, bins: int = 32, discretiser: str = "privtree", discretiser_share: float = 0.1
    ) -> None:
        self.bins = bins
        self.discretiser = discretiser
        self.discretiser_share = discretiser_share

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply: the domain is not public or not finite."""
        return not_finite(schema, budget)

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Count the cells of every column, and add the noise that ``budget`` asks for."""
        check_at_least("bins", self.bins, 1)
        if reason := self.skip(schema, budget):
            raise ValueError(reason)
        allowance = Allowance(budget)
        self.domain_ = discretise(
            train,
            schema,
            allowance,
            rng,
            method=self.discretiser,
            bins=self.bins,
            share=self.discretiser_share,
        )
        share = allowance.left / len(schema)
        self.counts_ = [
            allowance.noisy(_counts(axis, train[axis.column.name]), share, "one-way marginals", rng)
            for axis in self.domain_.axes
        ]
        self.ledger = allowance.ledger
        self.claimed_epsilon = allowance.claimed_epsilon
        return self

    @property
    def parameters(self) -> int:
        """How many counts were learned."""
        return sum(map(len, self.counts_))

    @property
    def release(self) -> Mapping[str, np.ndarray]:
        """The noisy marginals by column, and the ends of bins."""
        pairs = zip(self.domain_.axes, self.counts_, strict=True)
        return {axis.column.name: counts for axis, counts in pairs} | self.domain_.edges

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows, each column on its own."""
        codes = np.column_stack([_draw(counts, n, rng) for counts in self.counts_])
        return self.domain_.rows(codes, rng)


def _counts(axis: Axis, series: pd.Series) -> np.ndarray:
    """Count rows per cell; each row adds to one cell at most."""
    codes = axis.codes(series)
    return np.bincount(codes[codes >= 0], minlength=axis.size)


def _draw(counts: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` cells by their clipped counts; by equal shares if none is left."""
    positive = np.maximum(counts, 0.0)
    if not positive.any():
        positive = np.ones(len(counts))
    shares = np.cumsum(positive) / positive.sum()
    return np.searchsorted(shares[:-1], rng.random(n), side="right")
