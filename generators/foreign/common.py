"""What the adapters share: refusals, seeds, draws of no rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from ..common import check_rows
from .frames import Frame

NOT_PRIVATE = "has no privacy mechanism; run it with privacy=none"


def seed_of(rng: np.random.Generator) -> int:
    """Draw a seed that every library accepts, below 2**31."""
    return int(rng.integers(2**31 - 1))


class Adapter:
    """A generator of another library.

    A subclass says how tables are handed over (``frame``), how the library learns one (``learn``)
    and how it draws (``draw``).

    Parameters
    ----------
    arguments : mapping, optional
        Of the library's own constructor.
    """

    progress = staticmethod(lambda step, total, **losses: None)
    refusal = NOT_PRIVATE  # why a finite epsilon does not apply; empty where it does

    def __init__(self, arguments: Mapping[str, Any] | None = None) -> None:
        self.arguments = dict(arguments or {})

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply."""
        if budget.is_private and self.refusal:
            return self.refusal
        if not self.frame(schema).columns:
            return "no column has more than one public value"
        return None

    def frame(self, schema: Schema) -> Frame:
        """Return the shape in which the library takes tables."""
        return Frame(schema)

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the library to a table in the frame's shape."""
        raise NotImplementedError

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw n >= 1 rows in the frame's shape."""
        raise NotImplementedError

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Have the library learn ``train``."""
        check_rows(train)
        self.frame_ = self.frame(schema)
        self.learn(self.frame_.to_library(train), budget, rng)
        return self

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Have the library draw ``n`` rows; of none, which many cannot draw, it draws one."""
        rows = self.draw(max(n, 1), rng)
        return self.frame_.from_library(rows.iloc[:n] if n == 0 else rows)


def in_batches(draw: Callable[[int], pd.DataFrame], n: int, tries: int = 20) -> pd.DataFrame:
    """Draw until there are ``n`` rows, from a library that may return fewer than it is asked for.

    Raises
    ------
    RuntimeError
        If it returns too few in so many tries.
    """
    found: list[pd.DataFrame] = []
    for _ in range(tries):
        short = n - sum(map(len, found))
        if short <= 0:
            return pd.concat(found, ignore_index=True).iloc[:n]
        found.append(draw(short))
    raise RuntimeError(f"the library returned {sum(map(len, found))} of {n} rows in {tries} tries")
