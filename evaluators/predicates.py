"""Predicates: conditions on columns that hold for a single row, found and counted all at once.

Every condition is a closed interval of one column's values, so in the order of that column the rows
that fulfil it are one slice. A predicate is counted by walking the shortest of its slices, which
takes time linear in that slice and no memory of size predicates x rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..bench.content import mix
from ..bench.schema import Column

WALKED = 2**18  # rows of slices looked at together
STAGES = (64, 8)  # a predicate is tried on every so many rows before it is tried on all
MISSING = np.inf  # the key of a missing value; canonical tables hold no infinite ones
LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True)
class Index:
    """A table's columns as sortable keys.

    Parameters
    ----------
    numeric : ndarray of bool, shape (columns,)
        Which columns are numeric; the others are discrete.
    keys : ndarray of float64, shape (columns, n)
        Numbers or codes; ``MISSING`` where missing.
    order : ndarray of int64, shape (columns, n)
        Positions of the rows in ascending order of each column's keys.
    ranked : ndarray of float64, shape (columns, n)
        The keys in that order.
    """

    numeric: np.ndarray
    keys: np.ndarray
    order: np.ndarray
    ranked: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, columns: Sequence[Column]) -> Index:
        """Index ``columns`` of a canonical table."""
        keys = np.empty((len(columns), len(table)))
        for row, column in zip(keys, columns, strict=True):
            series = table[column.name]
            if column.is_discrete:
                codes = column.codes(series)
                row[:] = np.where(codes < 0, MISSING, codes)
            else:
                numbers = column.numbers(series)
                row[:] = np.where(np.isnan(numbers), MISSING, numbers)
        order = keys.argsort(axis=1, kind="stable")
        numeric = np.array([not column.is_discrete for column in columns])
        return cls(numeric, keys, order, np.take_along_axis(keys, order, axis=1))

    def __len__(self) -> int:
        return self.keys.shape[1]

    @cached_property
    def stages(self) -> tuple[Index, ...]:
        """The first rows, more of them, all of them."""
        return (*(self.head(len(self) // share) for share in STAGES), self)

    def head(self, n: int) -> Index:
        """Index the first ``n`` rows alone."""
        kept, shape = self.order < n, (len(self.keys), n)
        return Index(
            self.numeric,
            self.keys[:, :n],
            self.order[kept].reshape(shape),
            self.ranked[kept].reshape(shape),
        )


@dataclass(frozen=True)
class Predicates:
    """Conjunctions of k conditions, each on a column of its own.

    A row fulfils a condition if its key lies in [low, high] or, of a negated one, if it is known
    and lies outside.

    Parameters
    ----------
    columns : ndarray of int64, shape (n, k)
        Positions in the Index, ascending within a predicate.
    low, high : ndarray of float64, shape (n, k)
    negated : ndarray of bool, shape (n, k)
    """

    columns: np.ndarray
    low: np.ndarray
    high: np.ndarray
    negated: np.ndarray

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, positions: np.ndarray | slice) -> Predicates:
        """Return some of them (positions, a mask or a slice)."""
        parts = (self.columns, self.low, self.high, self.negated)
        return Predicates(*(part[positions] for part in parts))

    def hashes(self) -> np.ndarray:
        """One number for each predicate, equal for equal ones; uint64, shape (n,)."""
        found = np.zeros(len(self), dtype=np.uint64)
        for position in range(self.columns.shape[1]):
            for part in (self.columns, self.low, self.high, self.negated):
                found = mix(found ^ (part[:, position] + 0.0).view(np.uint64))
        return found


def united(parts: Sequence[Predicates]) -> Predicates:
    """Put predicates of equal width together, each once, in an order set by their content."""
    whole = Predicates(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("columns", "low", "high", "negated")
        )
    )
    return whole.take(np.unique(whole.hashes(), return_index=True)[1])


def single_column(index: Index) -> Predicates:
    """All predicates on one column that single out one of the indexed rows.

    A value, or a missing value, that occurs once; at most the smallest number, at least the
    largest, where those occur once (Giomi et al. 2023).
    """
    parts = []
    for column, ranked in enumerate(index.ranked):
        values, times = np.unique(ranked, return_counts=True)
        once = values[times == 1]
        low, high = [once], [once]
        known, times = values[values < MISSING], times[values < MISSING]
        if index.numeric[column] and len(known):
            low += [np.full(int(times[0] == 1), -np.inf), known[-1:][times[-1:] == 1]]
            high += [known[:1][times[:1] == 1], np.full(int(times[-1] == 1), LARGEST)]
        parts.append(_on_column(column, np.concatenate(low), np.concatenate(high)))
    return united(parts)


def of_rows(index: Index, rows: np.ndarray, columns: np.ndarray) -> Predicates:
    """Describe rows by the values of some of their columns, numbers towards their extremes.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
    columns : ndarray of int64, shape (n, k)

    Returns
    -------
    Predicates
        Equal to the row's category, or missing as it is; at least its number above the column's
        median, at most its number otherwise (Giomi et al. 2023).
    """
    columns = np.sort(columns, axis=1)
    low = index.keys[columns, rows[:, None]]
    high = low.copy()
    as_number = index.numeric[columns] & (low < MISSING)
    above = low > _medians(index)[columns]
    high[as_number & above] = LARGEST
    low[as_number & ~above] = -np.inf
    return Predicates(columns, low, high, np.zeros(columns.shape, dtype=bool))


def guessed(index: Index, n: int, width: int, rng: np.random.Generator) -> Predicates:
    """Draw ``n`` predicates blindly: columns, values that occur, and comparisons at random.

    Categories are equal or unequal; numbers also below, above, or either with equality.
    """
    columns = some_columns(len(index.numeric), n, width, rng)
    share, comparison = rng.random(columns.shape), rng.random(columns.shape)
    value = np.empty(columns.shape)
    for column, ranked in enumerate(index.ranked):
        values, here = np.unique(ranked), columns == column
        value[here] = values[(share[here] * len(values)).astype(np.int64)]
    ordered = index.numeric[columns] & (value < MISSING)
    _, unequal, at_most, below, at_least, above = (
        np.where(ordered, comparison * 6, comparison * 2).astype(np.int64) == kind
        for kind in range(6)
    )
    present = unequal & (value == MISSING)
    low, high = value.copy(), value.copy()
    low[at_most | below | present] = -np.inf
    high[at_least | above | present] = LARGEST
    low[above] = np.nextafter(value[above], np.inf)
    high[below] = np.nextafter(value[below], -np.inf)
    return Predicates(columns, low, high, unequal & ~present)


def some_columns(columns: int, n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``width`` of the columns, without repetition, ``n`` times; shape (n, width)."""
    chosen = np.empty((n, 0), dtype=np.int64)
    for free in range(columns, columns - width, -1):
        drawn = rng.integers(free, size=n)
        for earlier in np.sort(chosen, axis=1).T:
            drawn += drawn >= earlier
        chosen = np.column_stack([chosen, drawn])
    return np.sort(chosen, axis=1)


def singles(predicates: Predicates, index: Index) -> np.ndarray:
    """Which predicates hold for exactly one indexed row; bool, shape (len(predicates),).

    Most random ones hold for two of the first few rows and are not followed further.
    """
    left = np.arange(len(predicates))
    for stage in index.stages:
        found = matches(predicates.take(left), stage)
        left = left[found == 1 if stage is index else found <= 1]
    return np.isin(np.arange(len(predicates)), left)


def matches(predicates: Predicates, index: Index) -> np.ndarray:
    """How many indexed rows fulfil each predicate.

    Returns
    -------
    ndarray of int64, shape (len(predicates),)
    """
    first, size = _slices(predicates, index)
    known = (index.ranked < MISSING).sum(axis=1)[predicates.columns]
    if predicates.columns.shape[1] == 1:
        return np.where(predicates.negated, known - size, size)[:, 0]
    # A negated condition is looked up on all rows that have a value.
    first = np.where(predicates.negated, 0, first)
    size = np.where(predicates.negated, known, size)
    # Shortest slice first: the other conditions are looked up on its rows alone.
    by_size = np.argsort(size, axis=1, kind="stable")
    every = np.arange(len(predicates))[:, None]
    predicates = Predicates(
        predicates.columns[every, by_size],
        predicates.low[every, by_size],
        predicates.high[every, by_size],
        predicates.negated[every, by_size],
    )
    first, size = first[every, by_size][:, 0], size[every, by_size][:, 0]
    found = np.zeros(len(predicates), dtype=np.int64)
    walked = np.cumsum(size)
    begin = 0
    while begin < len(predicates):
        done = walked[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(walked, done + WALKED, side="right")))
        block = slice(begin, end)
        found[block] = _walk(predicates.take(block), first[block], size[block], index)
        begin = end
    return found


def _slices(predicates: Predicates, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of the slice of keys in [low, high], both of shape (n, k)."""
    first, last = (np.zeros(predicates.columns.shape, dtype=np.int64) for _ in range(2))
    for column, ranked in enumerate(index.ranked):
        here = predicates.columns == column
        first[here] = np.searchsorted(ranked, predicates.low[here], side="left")
        last[here] = np.searchsorted(ranked, predicates.high[here], side="right")
    return first, np.maximum(last - first, 0)


def _walk(predicates: Predicates, first: np.ndarray, size: np.ndarray, index: Index) -> np.ndarray:
    """Count matches among the rows of the slice of each predicate's first condition."""
    rows_in_all = len(index)
    order, keys = index.order.ravel(), index.keys.ravel()
    owner = np.repeat(np.arange(len(predicates)), size)
    # Where each predicate's slice starts in ``order``, less where its rows start in ``owner``.
    shift = predicates.columns[:, 0] * rows_in_all + first - (np.cumsum(size) - size)
    rows = order[np.arange(len(owner)) + shift[owner]]
    for position in range(predicates.columns.shape[1]):
        negated = predicates.negated[:, position]
        if position == 0 and not negated.any():
            continue  # the slice is the condition
        found = keys[(predicates.columns[:, position] * rows_in_all)[owner] + rows]
        holds = predicates.low[:, position][owner] <= found
        holds &= found <= predicates.high[:, position][owner]
        if negated.any():
            holds = np.where(negated[owner], ~holds & (found < MISSING), holds)
        owner, rows = owner[holds], rows[holds]
    return np.bincount(owner, minlength=len(predicates))


def _on_column(column: int, low: np.ndarray, high: np.ndarray) -> Predicates:
    shape = (len(low), 1)
    columns = np.full(shape, column)
    return Predicates(columns, low.reshape(shape), high.reshape(shape), np.zeros(shape, bool))


def _medians(index: Index) -> np.ndarray:
    known = (index.ranked < MISSING).sum(axis=1)
    return np.array(
        [
            np.median(ranked[:n]) if n else np.inf
            for ranked, n in zip(index.ranked, known, strict=True)
        ]
    )
