"""Adapters whose library takes a table of codes, with the public number of each column's cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.ledger import Event
from ...bench.schema import Schema
from ..views.domain import Axis, Domain, not_finite, uniform_edges
from .common import Adapter

DELTA = 1e-5  # beside an epsilon that is no budget


class CodedAdapter(Adapter):
    """A private generator over cells: public categories, equal bins between public bounds.

    Parameters
    ----------
    bins : int
        Most bins of a numeric column; a column of fewer whole numbers has one for each.
    epsilon : float
        What it spends where there is no budget, and so claims nothing: it cannot do without noise.
    arguments : mapping, optional
        Of the library's own constructor.
    """

    ledger: tuple[Event, ...] = ()
    refusal = ""

    def __init__(
        self,
        bins: int = 32,
        epsilon: float = 1.0,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(arguments)
        self.bins = bins
        self.epsilon = epsilon

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Refuse what the library's guarantee does not cover."""
        if reason := super().skip(schema, budget):
            return reason
        if reason := not_finite(schema, budget):
            return reason
        if len(self.frame(schema).columns) < 2:
            return "needs two columns with more than one public value"
        if budget.is_private and budget.delta == 0:
            return "needs a delta above 0; set privacy.delta=1e-5"
        if budget.is_private and budget.neighbours != "add_remove":
            return "its guarantee is for tables with one row more or less"
        return None

    def fit(self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: Any) -> Any:
        """Code the rows by public knowledge, and have the library learn the codes."""
        axes = [Axis(column, uniform_edges(column, self.bins)) for column in schema]
        varying = [axis for axis in axes if axis.size > 1]
        self.all_ = Domain(schema, axes)
        self.varying_ = Domain(Schema(tuple(axis.column for axis in varying)), varying)
        codes = self.varying_.codes(train[[axis.column.name for axis in varying]])
        names = [f"c{place}" for place in range(len(varying))]
        spends = budget if budget.is_private else Budget(self.epsilon, DELTA)
        self.learn(pd.DataFrame(codes, columns=names), spends, rng)
        return self

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Have the library draw codes; numbers are uniform within their bins."""
        drawn = self.draw(max(n, 1), rng).iloc[:n].to_numpy(dtype=np.int64)
        codes = np.zeros((n, len(self.all_.axes)), dtype=np.int64)
        codes[:, [place for place, axis in enumerate(self.all_.axes) if axis.size > 1]] = drawn
        return self.all_.rows(codes, rng)

    @property
    def sizes(self) -> dict[str, int]:
        """The public number of cells of each column that the library sees."""
        return {f"c{place}": int(size) for place, size in enumerate(self.varying_.sizes)}


def zcdp_event(rho: float, purpose: str) -> Event:
    """Return an event that stands for rho-zCDP, as a library's own accounting composes it.

    It is adaptive, so that the accountant uses nothing but its rho.
    """
    return Event("gaussian", 1.0, (2 * rho) ** -0.5, purpose=purpose, adaptive=True)
