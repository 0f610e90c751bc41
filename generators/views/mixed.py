"""A mixed table as models of it see rows: a matrix of numbers beside a matrix of codes.

Codes count the values that occur in the training rows, a missing one included. A numeric column
with missing values has a code beside it that says where they are; one with a single known value
has nothing to learn but that code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from ..common import from_values, places_among, to_values

KNOWN = 0.0  # stands for every number that is not missing


@dataclass(frozen=True)
class Variable:
    """What the codes of one column stand for.

    Parameters
    ----------
    position : int
        The column's, in table order.
    values : ndarray of float64, shape (codes,)
        Ascending, NaN (missing) last: a discrete column's codes in the Schema; a number, or
        ``KNOWN`` for all of them, of a numeric one.
    """

    position: int
    values: np.ndarray

    def find(self, values: np.ndarray) -> np.ndarray:
        """Return the code of each value, int64; -1 where no training row has it."""
        return places_among(self.values, values)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the code of each value, int64.

        Raises
        ------
        ValueError
            If one did not occur in the training rows.
        """
        found = self.find(values)
        if (found < 0).any():
            raise ValueError("no training row has one of the values asked for; ask for others")
        return found


@dataclass(frozen=True)
class Mixed:
    """Which columns are numbers and which are codes.

    Parameters
    ----------
    schema : Schema
        Of the table.
    numeric : tuple of int
        Positions of the columns that are numbers, in table order; each has two values at least.
    variables : tuple of Variable
        The codes, in table order.
    """

    schema: Schema
    numeric: tuple[int, ...]
    variables: tuple[Variable, ...]

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema) -> Mixed:
        """See what occurs in the training rows, of which there is at least one."""
        numeric, variables = [], []
        for position, (column, values) in enumerate(
            zip(schema, to_values(train, schema).T, strict=True)
        ):
            distinct = np.unique(values)  # NaN once, and last
            missing = np.isnan(distinct[-1])
            if column.is_discrete or len(distinct) - missing < 2:
                variables.append(Variable(position, distinct))
                continue
            numeric.append(position)
            if missing:
                variables.append(Variable(position, np.array([KNOWN, np.nan])))
        return cls(schema, tuple(numeric), tuple(variables))

    @property
    def sizes(self) -> list[int]:
        """How many codes each variable has."""
        return [len(variable.values) for variable in self.variables]

    def split(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Split a canonical table.

        Returns
        -------
        tuple of ndarray
            float64 of shape (rows, numeric), NaN where missing; int64 of shape (rows, variables).
        """
        values = to_values(table, self.schema)
        codes = np.empty((len(values), len(self.variables)), dtype=np.int64, order="F")
        for place, variable in enumerate(self.variables):
            seen = values[:, variable.position]
            if variable.position in self.numeric:
                seen = np.where(np.isnan(seen), np.nan, KNOWN)
            codes[:, place] = variable.codes(seen)
        return values[:, list(self.numeric)], codes

    def table(self, numbers: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
        """Put numbers and codes together; the way back of ``split``."""
        values = np.empty((len(codes), len(self.schema)), order="F")
        values[:, list(self.numeric)] = numbers
        for place, variable in enumerate(self.variables):
            given = variable.values[codes[:, place]]
            if variable.position in self.numeric:
                given = np.where(np.isnan(given), np.nan, values[:, variable.position])
            values[:, variable.position] = given
        return from_values(values, self.schema)

    def places(self, names: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return where the columns ``names`` stand among the numbers and among the codes."""
        positions = {self.schema.names.index(name) for name in names}
        numbers = [i for i, position in enumerate(self.numeric) if position in positions]
        codes = [i for i, v in enumerate(self.variables) if v.position in positions]
        return numbers, codes
