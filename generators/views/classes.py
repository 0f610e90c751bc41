"""The classes of a discrete target, for generators that learn each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ...bench.schema import Column, Schema


@dataclass(frozen=True)
class Classes:
    """The classes of a discrete target that have models of their own.

    Parameters
    ----------
    column : Column
        The target.
    codes : ndarray of int64, shape (classes,)
        Those that occur, ascending; -1 where the target is missing.
    """

    column: Column
    codes: np.ndarray

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, most: int) -> Self | None:
        """See which classes occur; None if there is no such target, or more than ``most``."""
        if schema.target is None or not schema[schema.target].is_discrete:
            return None
        column = schema[schema.target]
        codes = np.unique(column.codes(train[column.name]))
        return cls(column, codes) if len(codes) <= most else None

    def places(self, table: pd.DataFrame) -> np.ndarray:
        """Return the class of each row, int64; -1 for one that did not occur."""
        codes = self.column.codes(table[self.column.name])
        found = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[found] == codes, found, -1)

    def series(self, places: np.ndarray) -> pd.Series:
        """Return the target of these classes."""
        return self.column.from_codes(self.codes[places])
