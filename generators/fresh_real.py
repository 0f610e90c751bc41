"""Real rows that no other part of a split holds: the ceiling that a generator can reach.

Its YAML says ``fit_on: fresh``, so that the scenario hands ``fit`` rows that are in neither train
nor any test set. When more rows are asked for than there are, they repeat.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import NotPrivate, check_rows, draw_in_passes


class FreshReal(NotPrivate):
    """Hands out real rows without replacement, and starts over when they run out."""

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Keep the rows."""
        check_rows(train)
        self.rows_ = train.copy()
        return self

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows; no row is drawn twice before each was drawn once."""
        chosen = draw_in_passes(len(self.rows_), n, rng)
        return self.rows_.iloc[chosen].reset_index(drop=True)
