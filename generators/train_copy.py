"""A bootstrap of the rows it was fitted on: the reference row that privacy metrics must catch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .common import KeepsRows


class TrainCopy(KeepsRows):
    """Draws training rows with replacement (Efron 1979)."""

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows."""
        chosen = rng.integers(len(self.rows_), size=n)
        return self.rows_.iloc[chosen].reset_index(drop=True)
