"""Real rows that no other part of a split holds: the ceiling that a generator can reach.

Its YAML says ``fit_on: fresh``, so that the scenario hands ``fit`` rows that are in neither train
nor any test set. When more rows are asked for than there are, they repeat.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .common import KeepsRows, draw_in_passes


class FreshReal(KeepsRows):
    """Hands out real rows without replacement, and starts over when they run out."""

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows; no row is drawn twice before each was drawn once."""
        chosen = draw_in_passes(len(self.rows_), n, rng)
        return self.rows_.iloc[chosen].reset_index(drop=True)
