"""A bootstrap of the rows it was fitted on: the reference row that privacy metrics must catch."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import NotPrivate, check_rows


class TrainCopy(NotPrivate):
    """Draws training rows with replacement (Efron 1979)."""

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Keep ``train``."""
        check_rows(train)
        self.rows_ = train.copy()
        return self

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows."""
        chosen = rng.integers(len(self.rows_), size=n)
        return self.rows_.iloc[chosen].reset_index(drop=True)
