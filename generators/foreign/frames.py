"""Frames: a table as other people's libraries take it, and the way back to the Schema.

Columns are called c0, c1, ..., because names may be anything. Discrete ones are texts, numeric ones
floats or whole numbers, dates seconds or pandas' nanoseconds. A column with one public value is
left out and put back, since many libraries fail on a constant and none can learn anything from it.

Most libraries know no missing values. For them a missing category is a category, and a number that
may be missing gets a column of its own that says whether it is; where it is, the number is a public
constant. Nothing here is read off the rows.

The way back rounds and clips numbers, as the Schema does for every generator, and repairs nothing
else: a category that does not exist, or a number that must not be missing, makes the table invalid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...bench.schema import Column, Schema

MISSING = "<missing>"
PRESENT, ABSENT = "present", "absent"


@dataclass(frozen=True)
class Frame:
    """The shape in which a library sees the tables of a Schema.

    Parameters
    ----------
    schema : Schema
        Of the table.
    missing : {"columns", "native"}
        Whether missing values are told in columns of their own or left as pandas has them.
    dates : {"seconds", "nanoseconds"}
        Numbers, or pandas' datetime64[ns].
    names : {"short", "own"}
        c0, c1, ..., or the Schema's own names.
    """

    schema: Schema
    missing: Literal["columns", "native"] = "columns"
    dates: Literal["seconds", "nanoseconds"] = "seconds"
    names: Literal["short", "own"] = "short"

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that can vary, by the name that the library sees."""
        numbered = enumerate(self.schema)
        return {
            f"c{i}" if self.names == "short" else column.name: column
            for i, column in numbered
            if not _is_constant(column)
        }

    def categories(self) -> dict[str, list[str]]:
        """Return the public values of every discrete column that the library sees."""
        found = {}
        for name, column in self.columns.items():
            if column.is_discrete:
                absent = [MISSING] if column.missing and self.missing == "columns" else []
                found[name] = [*column.categories, *absent]
            elif self._has_flag(column):
                found[_flag(name)] = [PRESENT, ABSENT]
        return found

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the public bounds of every numeric column; infinite where there is none."""
        return {n: (c.lower, c.upper) for n, c in self.columns.items() if not c.is_discrete}

    def unbounded(self) -> str | None:
        """Return the name of a column without public bounds; None if there is none."""
        return next((c.name for c in self.columns.values() if not c.is_bounded), None)

    def _has_flag(self, column: Column) -> bool:
        return column.missing and not column.is_discrete and self.missing == "columns"

    def to_library(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a canonical table as the library takes it."""
        found: dict[str, Any] = {}
        for name, column in self.columns.items():
            series = table[column.name].reset_index(drop=True)
            if column.is_discrete:
                found[name] = self._texts(series, column)
                continue
            numbers = column.numbers(series)
            absent = np.isnan(numbers)
            if self._has_flag(column):
                found[_flag(name)] = np.where(absent, ABSENT, PRESENT).astype(object)
                numbers = np.where(absent, _constant(column), numbers)
            found[name] = self._numbers(numbers, column)
        return pd.DataFrame(found, index=range(len(table)))

    def _texts(self, series: pd.Series, column: Column) -> np.ndarray:
        codes = column.codes(series)
        last = MISSING if self.missing == "columns" else None
        return np.array([*column.categories, last], dtype=object)[codes]  # -1 is the last

    def _numbers(self, numbers: np.ndarray, column: Column) -> Any:
        if column.kind == "datetime" and self.dates == "nanoseconds":
            return column.from_numbers(numbers).astype("datetime64[ns]")
        whole = column.kind == "integer" and not np.isnan(numbers).any()
        return numbers.astype(np.int64) if whole else numbers

    def is_readable(self, table: pd.DataFrame) -> np.ndarray:
        """Say which rows of a library's table have values of the Schema, bool of shape (n,).

        Numbers beyond public bounds count: ``from_library`` clips them.
        """
        texts, found = self.categories(), np.ones(len(table), dtype=bool)
        for name in texts.keys() | self.columns.keys():
            series, column = table[name], self.columns.get(name)
            if name in texts:
                known = series.map(str, na_action="ignore").isin(texts[name])
            elif column is not None and column.kind == "datetime" and self.dates == "nanoseconds":
                known = pd.to_datetime(series, errors="coerce").notna()
            else:
                known = pd.to_numeric(series, errors="coerce").notna()
            if self.missing == "native" and column is not None and column.missing:
                known |= series.isna()
            found &= known.to_numpy()
        return found

    def from_library(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a library's table under the Schema, as valid as it is."""
        table = table.reset_index(drop=True)
        known = self.columns
        named = {column.name: name for name, column in known.items()}
        found = {}
        for column in self.schema:
            if column.name in named:
                name = named[column.name]
                flag = table[_flag(name)] if self._has_flag(column) else None
                found[column.name] = self._from_series(table[name], flag, column)
            else:
                codes = np.full(len(table), 0 if column.categories else -1)
                found[column.name] = column.from_codes(codes)
        return pd.DataFrame(found, index=range(len(table)))

    def _from_series(self, series: pd.Series, flag: Any, column: Column) -> pd.Series:
        if column.is_discrete:
            return _discrete(series, column)
        if column.kind == "datetime" and self.dates == "nanoseconds":
            dates = pd.to_datetime(series).astype("datetime64[s]")
            numbers = column.numbers(dates)
        else:
            numbers = pd.to_numeric(series, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if flag is not None:
            numbers = np.where(flag.astype(str) == ABSENT, np.nan, numbers)
        if np.isnan(numbers).any() and not column.missing:
            return pd.Series(numbers)  # the harness says what is wrong with it
        return column.from_numbers(numbers)


def _is_constant(column: Column) -> bool:
    return column.is_discrete and len(column.categories) + column.missing < 2


def _flag(name: str) -> str:
    return f"{name}_missing"


def _constant(column: Column) -> float:
    """Return the number that stands where one is missing: 0, or the bound nearest to it."""
    return float(np.clip(0.0, column.lower, column.upper))


def _discrete(series: pd.Series, column: Column) -> pd.Series:
    """Return texts as a discrete column; texts that are no categories stay what they are."""
    texts = series.astype(object).where(series.notna(), None)
    codes = {category: code for code, category in enumerate(column.categories)}
    known: dict[Any, int] = {**codes, MISSING: -1, None: -1} if column.missing else {**codes}
    found = [known.get(None if text is None else str(text), -2) for text in texts]
    if -2 in found:
        return pd.Series([None if t in (None, MISSING) else str(t) for t in texts], dtype=object)
    return column.from_codes(np.array(found, dtype=np.int64))
