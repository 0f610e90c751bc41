"""Each column resampled on its own: the floor that a generator of joint rows must beat."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .common import KeepsRows, fixed_columns


class Independent(KeepsRows):
    """The product of the empirical marginals of ``train``."""

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows; columns in ``conditions`` are as given and say nothing of the others."""
        columns = fixed_columns(conditions, self.schema_, n)
        for name, values in self.rows_.items():
            if name not in columns:
                chosen = rng.integers(len(values), size=n)
                columns[str(name)] = values.iloc[chosen].reset_index(drop=True)
        return self.schema_.assemble(columns)
