"""Conditions by selection, for models that draw whole rows only.

Candidates are drawn without conditions; every row asked for takes the one that fits its conditions
best and then has them exactly. The best has the fewest other categories, and among those the
nearest numbers. What the other columns say is as good as the fit is close: with conditions that few
candidates meet, draw more of them.

Rows that a candidate meets in all categories are found in a tree of points. Only the others are
compared one by one, with a random part of the candidates where there are very many of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import column_values, fixed_columns

CANDIDATES = 20  # for each row asked for
FEWEST, MOST = 5_000, 200_000  # candidates in all
CHANCES, JITTER = 2, 1e-3  # random numbers of a row that pick among equal candidates
APART = 1e3  # distance in the tree of rows with other categories; numbers are within 0 and 1
PAIRS = 2**31  # of rows and candidates that are compared one by one, most
AT_ONCE = 2**18  # of them, so that they stay in the cache


def by_selection(
    draw: Callable[[int], pd.DataFrame],
    conditions: pd.DataFrame | None,
    schema: Schema,
    n: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw ``n`` rows that meet the conditions, if there are any.

    Parameters
    ----------
    draw : callable
        Draws so many canonical rows.
    conditions : DataFrame or None
        n rows, some of the columns.

    Raises
    ------
    ValueError
        If the conditions break the Schema or have another number of rows.
    """
    fixed = fixed_columns(conditions, schema, n)
    if not fixed or not n:
        return draw(n)
    candidates = draw(int(np.clip(CANDIDATES * n, FEWEST, MOST)))
    chosen = fitting(candidates, pd.DataFrame(fixed), schema, rng)
    rows = candidates.iloc[chosen].reset_index(drop=True)
    return schema.assemble({name: fixed.get(name, rows[name]) for name in schema.names})


def fitting(
    candidates: pd.DataFrame, asked: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> np.ndarray:
    """Return the candidate that fits each row asked for best, int64 of shape (rows,).

    Parameters
    ----------
    candidates, asked : DataFrame
        Canonical columns; all columns of the second are in the first. One row at least in each.
    """
    offered, wanted = _sides(candidates, asked, schema, rng)
    met = np.isin(wanted.kinds, offered.kinds)
    chosen = np.empty(len(met), dtype=np.int64)
    if met.any():
        chosen[met] = _met(offered, wanted.part(met), rng)
    if not met.all():
        chosen[~met] = _compared(offered, wanted.part(~met), rng)
    return chosen


@dataclass(frozen=True)
class Side:
    """Candidates, or rows asked for, in the columns that conditions fix.

    Parameters
    ----------
    codes : list of ndarray, each of shape (rows,)
        Unsigned whole numbers: categories, and where a number is missing.
    numbers : ndarray of float64, shape (rows, numbers)
        In [0, 1], 0 where missing; then ``CHANCES`` random ones, next to nothing.
    kinds : ndarray of int64, shape (rows,)
        Equal for rows whose codes are equal, on both sides.
    """

    codes: list[np.ndarray]
    numbers: np.ndarray
    kinds: np.ndarray

    def points(self) -> np.ndarray:
        """Return points that are far from each other where codes differ."""
        return np.column_stack([APART * self.kinds, self.numbers])

    def part(self, rows: np.ndarray | slice) -> Side:
        """Return some of the rows."""
        return Side([codes[rows] for codes in self.codes], self.numbers[rows], self.kinds[rows])


def _sides(
    candidates: pd.DataFrame, asked: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> tuple[Side, Side]:
    """See both tables in the columns of the second, on the same scales."""
    tables = candidates, asked
    rows = sum(map(len, tables))
    kinds, codes, numbers = np.zeros(rows, dtype=np.int64), [], []
    for column in schema:
        if column.name not in asked.columns:
            continue
        seen = np.concatenate([column_values(column, table[column.name]) for table in tables])
        missing, count = np.isnan(seen), len(column.categories)
        if column.is_discrete:
            found = np.where(missing, count, seen).astype(np.min_scalar_type(count))
        else:
            found, count = missing.astype(np.uint8), 1
            numbers.append(_unit(seen))
        codes.append(found)
        kinds = np.unique(kinds * (count + 1) + found, return_inverse=True)[1]
    chance = rng.normal(scale=JITTER, size=(rows, CHANCES))
    both = Side(codes, np.column_stack([*numbers, chance]), kinds)
    return both.part(slice(len(candidates))), both.part(slice(len(candidates), None))


def _unit(numbers: np.ndarray) -> np.ndarray:
    """Scale known numbers from 0 to 1; missing ones are 0."""
    known = ~np.isnan(numbers)
    if not known.any():
        return np.zeros(len(numbers))
    least, most = numbers[known].min(), numbers[known].max()
    return np.where(known, (numbers - least) / ((most - least) or 1.0), 0.0)


def _met(offered: Side, asked: Side, rng: np.random.Generator) -> np.ndarray:
    """Choose for each row asked for, all of whose codes some candidate has: by numbers, if any."""
    from scipy.spatial import KDTree

    if offered.numbers.shape[1] > CHANCES:
        return np.asarray(KDTree(offered.points()).query(asked.points())[1])
    order = np.argsort(offered.kinds, kind="stable")
    known = offered.kinds[order]
    first, end = np.searchsorted(known, asked.kinds), np.searchsorted(known, asked.kinds, "right")
    return order[rng.integers(first, end)]


def _compared(offered: Side, asked: Side, rng: np.random.Generator) -> np.ndarray:
    """Compare each row asked for with each candidate, of which there are ``PAIRS`` at most."""
    pool = np.arange(len(offered.kinds))
    most = max(1, PAIRS // len(asked.kinds))
    if most < len(pool):
        pool = rng.choice(pool, size=most, replace=False)
        offered = offered.part(pool)
    squares = (offered.numbers**2).sum(axis=1)
    step = max(1, AT_ONCE // len(pool))
    best = []
    for begun in range(0, len(asked.kinds), step):
        part = asked.part(slice(begun, begun + step))
        apart = np.zeros((len(part.kinds), len(pool)), dtype=np.min_scalar_type(len(part.codes)))
        for own, other in zip(part.codes, offered.codes, strict=True):
            apart += (own[:, None] != other).view(np.uint8)
        distances = squares - 2 * (part.numbers @ offered.numbers.T)
        distances += APART * apart
        best.append(pool[distances.argmin(axis=1)])
    return np.concatenate(best)
