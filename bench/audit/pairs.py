"""Neighbouring tables: two worlds that differ in one record, the canary.

Differential privacy is a promise about the worst case, so a pair should be as bad as a Schema
allows: few rows, and a canary that nothing hides. Under ``add_remove`` the second table has one row
more; under ``replace`` the canary takes the place of the last row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..ledger import Neighbours
from ..schema import Column, Schema

TINY_ROWS = 4
OUTER = 0.1  # share of a range, at each end, that rare numbers are drawn from
FOREIGN_TEXT = "zq-foreign-7f3a91"
FOREIGN_SPREAD = 37.42917  # how far beyond its bound a foreign number lies, in ranges of the column


@dataclass(frozen=True)
class Pair:
    """Two neighbouring tables.

    Parameters
    ----------
    name : str
        Which pair it is.
    absent, present : DataFrame
        The table without and with the canary.
    canary : DataFrame
        One row, the last one of ``present``.
    """

    name: str
    absent: pd.DataFrame
    present: pd.DataFrame
    canary: pd.DataFrame


def tiny(schema: Schema, neighbours: Neighbours = "add_remove") -> Pair:
    """Return four equal rows, and a canary at the other end of every column.

    The rows hold the first categories and lower bounds, the canary the last categories and upper
    bounds (Ganev, Annamalai and De Cristofaro 2024, the worst case of their audit).

    Raises
    ------
    ValueError
        If a numeric column has no public bounds.
    """
    if unbounded := [column.name for column in schema if not column.is_bounded]:
        raise ValueError(f"the tiny pair needs public bounds, columns {unbounded!r} have none")
    first = {c.name: _constant(c, 0 if c.is_discrete else c.lower, TINY_ROWS) for c in schema}
    last = {
        c.name: _constant(c, len(c.categories) - 1 if c.is_discrete else c.upper, 1) for c in schema
    }
    return _pair("tiny", schema.assemble(first), schema.assemble(last), neighbours)


def outlier(schema: Schema, rows: pd.DataFrame, neighbours: Neighbours = "add_remove") -> Pair:
    """Return real rows, and a canary that has the rarest value of every column.

    The rarest value is the category with the fewest rows, or the end of the range that lies
    further from the median; ends are public bounds where there are some, else those of ``rows``.

    Parameters
    ----------
    rows : DataFrame
        Canonical, at least two rows.
    """
    canary = {c.name: _constant(c, _rarest(c, rows[c.name]), 1) for c in schema}
    return _pair("outlier", rows.reset_index(drop=True), schema.assemble(canary), neighbours)


def foreign(schema: Schema, rows: pd.DataFrame, neighbours: Neighbours = "add_remove") -> Pair:
    """Return real rows, and a canary outside the Schema: no generator may show that it was there.

    Categorical columns hold ``FOREIGN_TEXT`` in an extended categorical dtype, bounded numeric ones
    a number far beyond their range; boolean and unbounded columns have no outside.
    """
    canary = {column.name: _outside(column, rows[column.name]) for column in schema}
    return _pair("foreign", rows.reset_index(drop=True), schema.assemble(canary), neighbours)


def foreign_number(column: Column) -> float:
    """Return the number beyond the upper bound of a bounded numeric column; whole but continuous.

    At least 2**24 in whole-number columns, so that its bytes are no other number's by chance.
    """
    number = column.upper + FOREIGN_SPREAD * max(column.upper - column.lower, 1.0)
    if column.kind == "continuous":
        return number
    return float(int(number) + 2**24 + 7919)


def ends(column: Column, known: pd.Series) -> tuple[float, float]:
    """Return the lower and upper end of a numeric column: public bounds, else those of ``known``.

    The upper end lies above the lower one.
    """
    numbers = column.numbers(known)
    numbers = numbers[~np.isnan(numbers)]
    low = column.lower if np.isfinite(column.lower) else float(numbers.min(initial=0.0))
    high = column.upper if np.isfinite(column.upper) else float(numbers.max(initial=low))
    return low, high if high > low else low + 1.0


def rare_rows(
    schema: Schema, known: pd.DataFrame, n: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Draw ``n`` rows of rare values, each column on its own, shape (n, columns).

    Categories are drawn by the inverse of their count among ``known``, numbers uniformly within
    the outer tenths of their range; so hardly any combination occurs among real rows.
    """
    return schema.assemble({c.name: _rare(c, known[c.name], n, rng) for c in schema})


def _pair(name: str, rows: pd.DataFrame, canary: pd.DataFrame, neighbours: Neighbours) -> Pair:
    kept = rows if neighbours == "add_remove" else rows.iloc[:-1]
    columns = {}
    for column in rows:
        parts = [kept[column], canary[column]]
        if isinstance(canary[column].dtype, pd.CategoricalDtype):
            parts = [part.astype(canary[column].dtype) for part in parts]
        columns[column] = pd.concat(parts, ignore_index=True)
    return Pair(name, rows, pd.DataFrame(columns), canary)


def _constant(column: Column, value: float, n: int) -> pd.Series:
    if column.is_discrete:
        return column.from_codes(np.full(n, int(value) if column.categories else -1))
    return column.from_numbers(np.full(n, float(value)))


def _rarest(column: Column, series: pd.Series) -> float:
    if column.is_discrete:
        counts = _counts(column, series)
        return int(np.argmin(counts)) if len(counts) else -1
    low, high = ends(column, series)
    numbers = column.numbers(series)
    median = float(np.nanmedian(numbers)) if not np.isnan(numbers).all() else low
    return low if median - low > high - median else high


def _counts(column: Column, series: pd.Series) -> np.ndarray:
    codes = column.codes(series)
    return np.bincount(codes[codes >= 0], minlength=len(column.categories))


def _rare(column: Column, series: pd.Series, n: int, rng: np.random.Generator) -> pd.Series:
    if column.is_discrete:
        if not column.categories:
            return column.from_codes(np.full(n, -1))
        weights = 1 / (1 + _counts(column, series))
        return column.from_codes(rng.choice(len(weights), size=n, p=weights / weights.sum()))
    low, high = ends(column, series)
    inward = rng.random(n) * OUTER * (high - low)
    return column.from_numbers(np.where(rng.random(n) < 0.5, low + inward, high - inward))


def _outside(column: Column, series: pd.Series) -> pd.Series:
    if column.kind == "categorical":
        dtype = pd.CategoricalDtype([*column.categories, FOREIGN_TEXT], column.ordered)
        return pd.Series(pd.Categorical([FOREIGN_TEXT], dtype=dtype))
    if column.kind == "boolean" or not column.is_bounded:
        return series.iloc[:1].reset_index(drop=True)
    number = foreign_number(column)
    if column.kind == "datetime":
        return pd.Series(np.array([int(number)], dtype="datetime64[s]"))
    return pd.Series([number]).astype(series.dtype)
