"""What PrivBayes searches: pairs of a column and its parents, and how good they are.

Scores are on counts, so that what a row may change does not depend on the number of rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MAX_ROWS = 2**32  # no table is larger, which bounds the sensitivity of mutual information


class Node(NamedTuple):
    """A column and its parents, as positions in the table."""

    column: int
    parents: tuple[int, ...]

    @property
    def scope(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(sorted((self.column, *self.parents)))


class Scores:
    """Scores of nodes, each computed once.

    Parameters
    ----------
    codes : ndarray of int64, shape (rows, columns)
    sizes : ndarray of int64, shape (columns,)
        Cells of every column.
    score : {"R", "I", "F"}
        Which.
    """

    def __init__(self, codes: np.ndarray, sizes: np.ndarray, score: str) -> None:
        self._codes = np.asfortranarray(codes)
        self._sizes = sizes
        self._score = SCORES[score]
        self._known: dict[Node, float] = {}

    def __call__(self, nodes: Sequence[Node]) -> np.ndarray:
        """Return float64 scores, one for each node."""
        new = sorted((n for n in nodes if n not in self._known), key=lambda node: node.parents)
        for parents, group in itertools.groupby(new, key=lambda node: node.parents):
            numbers = combined(self._codes, parents, self._sizes)
            cells = math.prod(self._sizes[[*parents]].tolist())
            for node in group:
                joint = numbers * self._sizes[node.column] + self._codes[:, node.column]
                shape = cells, int(self._sizes[node.column])
                counts = np.bincount(joint, minlength=math.prod(shape)).reshape(shape)
                self._known[node] = self._score(counts)
        return np.array([self._known[node] for node in nodes])


def distance_score(counts: np.ndarray) -> float:
    """Half the L1 distance of a table of counts from independence: rows times the paper's R.

    A row more or less changes it by less than 2: by at most 2 (1 - a/n)(1 - b/n) n/(n + 1) for
    margins a and b of its cell.
    """
    rows = counts.sum()
    if rows == 0:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / rows
    return float(np.abs(counts - expected).sum() / 2)


def information_score(counts: np.ndarray) -> float:
    """Rows times the mutual information in nats of a table of counts.

    A row more or less changes it by at most log(n + 1) + 1.
    """
    margins = counts.sum(axis=1), counts.sum(axis=0)
    return _entropic(counts) + _entropic(counts.sum()) - sum(map(_entropic, margins))


def closeness_score(counts: np.ndarray) -> float:
    """Rows times the paper's F of a table of shape (cells of the parents, 2).

    Parents are split in those that imply the first value and those that imply the second; what
    either side lacks to half of the rows is lost. ``most[i]`` is the most rows that the second side
    holds when the first holds i, or more than half. A row more or less changes it by at most 1.
    """
    half = counts.sum() / 2
    top = math.ceil(half)
    most = np.full(top + 1, -np.inf)
    most[0] = 0.0
    for first, second in counts[counts.any(axis=1)].tolist():
        moved = np.full(top + 1, -np.inf)
        moved[min(first, top) :] = most[: top + 1 - min(first, top)]
        if first:
            moved[top] = max(moved[top], most[max(top - first, 0) :].max())
        most = np.maximum(most + second, moved)
    lost = np.maximum(half - np.arange(top + 1), 0) + np.maximum(half - most, 0)
    return -float(lost.min())


SCORES = {"R": distance_score, "I": information_score, "F": closeness_score}
SENSITIVITY = {"R": 2.0, "I": math.log(MAX_ROWS) + 1, "F": 1.0}  # for a row more or less


def candidates(
    chosen: Sequence[int], sizes: np.ndarray, limit: float, most: int, rng: np.random.Generator
) -> list[Node]:
    """List the columns that are left with all their maximal parent sets, or a sample of these.

    Parameters
    ----------
    chosen : sequence of int
        Columns that may be parents.
    sizes : ndarray of int64, shape (columns,)
        Cells of every column.
    limit : float
        Most cells of a column with its parents.
    most : int
        Nodes to list; every column has at least one.
    """
    left = sorted(set(range(len(sizes))) - set(chosen), key=lambda column: int(sizes[column]))
    each = max(1, most // len(left))
    nodes = []
    for size, group in itertools.groupby(left, key=lambda column: int(sizes[column])):
        sets = parent_sets(chosen, sizes, limit / size, each, rng)
        nodes += [Node(column, parents) for column in group for parents in sets]
    return nodes


def parent_sets(
    chosen: Sequence[int], sizes: np.ndarray, limit: float, most: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """List sets of columns with at most ``limit`` cells to which no column can be added.

    All of them if there are at most ``most``; else as many random ones: columns are added in random
    order while they fit.
    """
    every = list(itertools.islice(_maximal_sets(chosen, sizes, limit), most + 1))
    if len(every) <= most:
        return every or [()]
    order = rng.permuted(np.tile(chosen, (most, 1)), axis=1)
    cells = np.ones(most)
    taken = np.zeros((most, len(sizes)), dtype=bool)
    for columns in order.T:
        grown = cells * sizes[columns]
        fits = grown <= limit
        cells = np.where(fits, grown, cells)
        taken[np.arange(most), columns] = fits
    return [tuple(np.flatnonzero(row).tolist()) for row in np.unique(taken, axis=0)]


def _maximal_sets(
    chosen: Sequence[int], sizes: np.ndarray, limit: float
) -> Iterator[tuple[int, ...]]:
    """Walk through all maximal sets, small columns first."""
    order = sorted(chosen, key=lambda column: int(sizes[column]))
    widths = [float(sizes[column]) for column in order]
    rest = np.append(np.cumprod(widths[::-1])[::-1], 1.0)  # cells of all columns from here on

    def grow(place: int, cells: float, left_out: float, taken: tuple) -> Iterator[tuple]:
        """Continue a set whose smallest column left out has ``left_out`` cells."""
        if place == len(order) or cells * widths[place] > limit:
            if cells * min([left_out, *widths[place : place + 1]]) > limit:
                yield tuple(sorted(taken))
            return
        yield from grow(place + 1, cells * widths[place], left_out, (*taken, order[place]))
        left_out = min(left_out, widths[place])
        if cells * rest[place + 1] * left_out > limit:
            yield from grow(place + 1, cells, left_out, taken)

    return grow(0, 1.0, math.inf, ())


def combined(
    codes: np.ndarray, columns: Sequence[int], sizes: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Give every combination of the columns' cells a number; the last column runs fastest."""
    numbers = np.zeros(len(codes), dtype=np.int64)
    for column in columns:
        numbers = numbers * sizes[column] + codes[:, column]
    return numbers


def _entropic(counts: np.ndarray) -> float:
    """Sum of c log(c)."""
    positive = counts[counts > 0].astype(np.float64)
    return float((positive * np.log(positive)).sum())
