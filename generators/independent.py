"""Each column resampled on its own: the floor that a generator of joint rows must beat."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import NotPrivate, check_rows, fixed_columns


class Independent(NotPrivate):
    """The product of the empirical marginals of ``train``."""

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Keep the columns of ``train``."""
        check_rows(train)
        self.schema_ = schema
        self.columns_ = {name: train[name].copy() for name in schema.names}
        return self

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows; columns in ``conditions`` are as given and say nothing of the others."""
        columns = fixed_columns(conditions, self.schema_, n)
        for name, values in self.columns_.items():
            if name not in columns:
                chosen = rng.integers(len(values), size=n)
                columns[name] = values.iloc[chosen].reset_index(drop=True)
        return self.schema_.assemble(columns)
