"""Columns as sub-columns: discrete values, of which there are few, and back.

A column of categories, or of few numbers, is one sub-column that has them all, a missing value
included. Other numbers are the digits of their rank. Other dates are year, month, day, hour, minute
and second, so that what dates have in common survives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from ...bench.schema import Column, Schema
from ..common import column_values, from_column_values, places_among

UNKNOWN = -1  # code of what did not occur in the training rows
MOST = 100  # values of a number that are codes of their own
ENOUGH = 50  # training rows for each of them, on average, so that it can be learned


class Coder(Protocol):
    """Leads from the values of one column to the codes of its sub-columns, and back."""

    @property
    def sizes(self) -> list[int]:
        """How many codes each sub-column has."""
        ...

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return int64 codes of shape (n, sub-columns) for values (NaN: missing)."""
        ...

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return float64 values for codes."""
        ...


@dataclass(frozen=True)
class Distinct:
    """A code for every value.

    Parameters
    ----------
    known : ndarray of float64, shape (codes,)
        Ascending, NaN (missing) last.
    """

    known: np.ndarray

    @property
    def sizes(self) -> list[int]:
        """One sub-column."""
        return [len(self.known)]

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return positions among the known values, ``UNKNOWN`` for others."""
        return places_among(self.known, values)[:, None]

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the values."""
        return self.known[codes[:, 0]]


@dataclass(frozen=True)
class Digits:
    """Numbers as the first digits of their rank among the training rows, most telling first.

    Values whose digits are equal share a bin. A number is drawn from a bin by interpolating its
    training values, so what repeats in them repeats in the draws.

    Parameters
    ----------
    known : ndarray of float64, shape (m,)
        The training values, ascending, with repeats.
    starts : ndarray of int64, shape (bins,)
        Where the bins begin in ``known``; equal values share a bin.
    levels : ndarray of int64, shape (bins,)
        What the digits of each bin say, ascending, in [0, base**digits).
    base, digits : int
        How many values a digit has, and how many digits there are.
    missing : bool
        Whether values are missing; it is one more value of the first digit.
    """

    known: np.ndarray
    starts: np.ndarray
    levels: np.ndarray
    base: int
    digits: int
    missing: bool

    @classmethod
    def of(cls, values: np.ndarray, base: int, digits: int) -> Digits:
        """Rank the values; a frequent value has a bin of its own."""
        known = np.sort(values[~np.isnan(values)])
        _, first, counts = np.unique(known, return_index=True, return_counts=True)
        middle = (first + counts / 2) / len(known)
        levels, begins = np.unique((middle * base**digits).astype(np.int64), return_index=True)
        return cls(known, first[begins], levels, base, digits, len(known) < len(values))

    @property
    def sizes(self) -> list[int]:
        """A sub-column for each digit."""
        return [self.base + self.missing] + [self.base] * (self.digits - 1)

    @property
    def _powers(self) -> np.ndarray:
        return self.base ** np.arange(self.digits - 1, -1, -1)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the digits of each value's bin, that nearest below for a value between two."""
        absent = np.isnan(values)
        found = np.searchsorted(self.known[self.starts], values, side="right") - 1
        level = np.where(absent, 0, self.levels[np.clip(found, 0, len(self.levels) - 1)])
        codes = level[:, None] // self._powers % self.base
        codes[absent] = UNKNOWN if not self.missing else 0
        codes[absent, 0] = self.base if self.missing else UNKNOWN
        return codes

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a value from each bin; digits that no training row has stand for the bin below."""
        found = np.searchsorted(self.levels, codes @ self._powers, side="right") - 1
        found = np.maximum(found, 0)
        last = np.append(self.starts[1:], len(self.known)) - 1
        places = self.starts[found] + rng.random(len(codes)) * (last - self.starts)[found]
        drawn = np.interp(places, np.arange(len(self.known)), self.known)
        return np.where(codes[:, 0] == self.base, np.nan, drawn)


@dataclass(frozen=True)
class Dates:
    """Year (missing where the date is), month, day, hour, minute and second, each by its values.

    Parameters
    ----------
    parts : tuple of Distinct
        In this order.
    """

    parts: tuple[Distinct, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> Dates:
        """Learn which values the parts have."""
        year, *others = _parts(values)
        known = [np.unique(part[~np.isnan(part)]) for part in others]
        return cls((Distinct(np.unique(year)), *map(Distinct, known)))

    @property
    def sizes(self) -> list[int]:
        """Six sub-columns."""
        return [len(part.known) for part in self.parts]

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the codes of the parts; those of a missing date are 0 but for the year."""
        made = [part.codes(seen) for part, seen in zip(self.parts, _parts(values), strict=True)]
        codes = np.hstack(made)
        codes[np.isnan(values), 1:] = 0
        return codes

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Put dates together; a day that the month does not have is its last."""
        drawn = [part.values(codes[:, [i]], rng) for i, part in enumerate(self.parts)]
        absent = np.isnan(drawn[0])
        year, month, day, hour, minute, second = (
            np.where(absent, 1, part).astype(np.int64) for part in drawn
        )
        months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        first, after = (which.astype("datetime64[D]") for which in (months, months + 1))
        dates = np.minimum(first + (day - 1), after - 1).astype("datetime64[s]").astype(np.int64)
        return np.where(absent, np.nan, dates + 3600 * hour + 60 * minute + second)


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Cut dates, in seconds since 1970, into six parts; all NaN where a date is missing."""
    absent = np.isnan(values)
    seconds = np.where(absent, 0, values).astype(np.int64).astype("datetime64[s]")
    years, months, days = (seconds.astype(f"datetime64[{unit}]") for unit in "YMD")
    rest = (seconds - days).astype(np.int64)
    parts = [
        years.astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months).astype(np.int64) + 1,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    ]
    return [np.where(absent, np.nan, part) for part in parts]


def coder_of(column: Column, values: np.ndarray, base: int, digits: int) -> Coder:
    """Choose the sub-columns of a column by its training values."""
    distinct = np.unique(values)
    few = len(distinct) <= max(base, min(MOST, len(values) // ENOUGH))
    if column.is_discrete or few:
        return Distinct(distinct)
    return Dates.of(values) if column.kind == "datetime" else Digits.of(values, base, digits)


@dataclass(frozen=True)
class SubColumns:
    """The sub-columns of a table, those of one column side by side.

    Parameters
    ----------
    schema : Schema
        Of the table.
    coders : tuple of Coder
        One a column, in table order.
    """

    schema: Schema
    coders: tuple[Coder, ...]

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, base: int, digits: int) -> SubColumns:
        """See what occurs in the training rows, of which there is at least one."""
        coders = [coder_of(c, column_values(c, train[c.name]), base, digits) for c in schema]
        return cls(schema, tuple(coders))

    @property
    def sizes(self) -> np.ndarray:
        """How many codes each sub-column has, int64."""
        return np.array([size for coder in self.coders for size in coder.sizes], dtype=np.int64)

    @property
    def owners(self) -> np.ndarray:
        """Which column each sub-column belongs to, int64."""
        return np.repeat(np.arange(len(self.coders)), [len(coder.sizes) for coder in self.coders])

    @property
    def ordered(self) -> np.ndarray:
        """Whether the order of a sub-column's codes has a meaning, bool."""
        columns = np.array([not column.is_discrete or column.ordered for column in self.schema])
        return columns[self.owners]

    def codes(self, columns: Mapping[str, pd.Series]) -> np.ndarray:
        """Return the codes of canonical columns, int64 of shape (rows, sub-columns).

        Columns that are not given are ``UNKNOWN``.
        """
        rows = len(next(iter(columns.values())))
        made = []
        for column, coder in zip(self.schema, self.coders, strict=True):
            if column.name in columns:
                made.append(coder.codes(column_values(column, columns[column.name])))
            else:
                made.append(np.full((rows, len(coder.sizes)), UNKNOWN))
        return np.hstack(made)

    def columns(self, codes: np.ndarray, rng: np.random.Generator) -> dict[str, pd.Series]:
        """Turn codes back into canonical columns."""
        ends = np.cumsum([len(coder.sizes) for coder in self.coders])
        parts = np.split(codes, ends[:-1], axis=1)
        return {
            column.name: from_column_values(column, coder.values(part, rng))
            for column, coder, part in zip(self.schema, self.coders, parts, strict=True)
        }
