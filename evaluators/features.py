"""Features: a table as the matrices that downstream models read.

What may be learned here is learned from train alone (means, standard deviations); categories come
from the Schema. So a column of the matrix means the same for real and synthetic rows, and a
category that a generator forgot is a column of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.schema import Column

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Standard deviations; what lies beyond is cut, so that one wild value in a column without public
# bounds cannot overflow a model.
LIMIT = 1e3


class Features:
    """Encodes the columns that predict the target.

    Parameters
    ----------
    columns : sequence of Column
        In the order of the matrix.
    train : DataFrame
        Gives means and standard deviations of numeric columns.
    """

    def __init__(self, columns: tuple[Column, ...], train: pd.DataFrame) -> None:
        self.columns = columns
        self.moments = {
            column.name: moments(column.numbers(train[column.name]))
            for column in columns
            if not column.is_discrete
        }

    @property
    def types(self) -> list[str]:
        """XGBoost's feature types: "c" for codes, "q" for quantities."""
        return ["c" if column.is_discrete else "q" for column in self.columns]

    def dense(self, table: pd.DataFrame) -> np.ndarray:
        """Encode with one column each: codes and standardised numbers, NaN where missing.

        Returns
        -------
        ndarray of float32, shape (len(table), len(columns))
        """
        matrix = np.empty((len(table), len(self.columns)), dtype=np.float32, order="F")
        for position, column in enumerate(self.columns):
            if column.is_discrete:
                codes = column.codes(table[column.name])
                matrix[:, position] = np.where(codes < 0, np.nan, codes)
            else:
                matrix[:, position] = self._standard(column, table)
        return matrix

    def sparse(self, table: pd.DataFrame) -> csr_array:
        """Encode with one-hot categories, a missing value being one more of them.

        Returns
        -------
        csr_array of float64, shape (len(table), width)
            A missing number is 0 (the mean of train) with 1 in a column of its own.
        """
        from scipy.sparse import csr_array

        positions, values, width = [], [], 0
        for column in self.columns:
            if column.is_discrete:
                codes = column.codes(table[column.name])
                positions.append(width + np.where(codes < 0, len(column.categories), codes))
                values.append(np.ones(len(table)))
                width += len(column.categories) + 1
                continue
            numbers = self._standard(column, table)
            absent = np.isnan(numbers)
            positions += [np.full(len(table), width), np.full(len(table), width + 1)]
            values += [np.where(absent, 0.0, numbers), absent.astype(np.float64)]
            width += 2
        starts = np.arange(len(table) + 1) * len(positions)
        entries = np.column_stack(values).ravel(), np.column_stack(positions).ravel(), starts
        return csr_array(entries, shape=(len(table), width))

    def _standard(self, column: Column, table: pd.DataFrame) -> np.ndarray:
        return standardised(column.numbers(table[column.name]), self.moments[column.name])


def moments(numbers: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the numbers that are not NaN; (0, 1) where there are none.

    The deviation of a constant is taken as 1. The order of the numbers does not matter.
    """
    known = np.sort(numbers[~np.isnan(numbers)])
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) or 1.0


def standardised(numbers: np.ndarray, centre_and_scale: tuple[float, float]) -> np.ndarray:
    """Centre and scale, cut at ``LIMIT`` on both sides; NaN stays."""
    centre, scale = centre_and_scale
    return np.clip((numbers - centre) / scale, -LIMIT, LIMIT)
