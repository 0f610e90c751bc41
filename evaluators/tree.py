"""Tree: rows in small leaves with a box around each, so that a search can pass most of them by.

Rows are split again and again by the column in which they differ most: numbers at the median or
missing from known ones, categories into two sets. Nothing here depends on a distance, so one tree
serves every search among its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .encoded import ABSENT, MISMATCH, Encoded

LEAF = 128  # rows; fewer cost more calls, more cost more distances
FAN = 8  # children of a node
TELLING = 24  # numeric columns that are asked for a node
TABLE = 2**26  # cells of a table of stretches by categories; a column that needs more has none


@dataclass
class Node:
    """A stretch of the rows of a tree: a leaf, or its children's stretches together."""

    start: int
    stop: int
    number: int
    children: list[Node] = field(default_factory=list)
    boxes: Boxes = field(init=False)  # of the children, or of a leaf itself
    telling: np.ndarray = field(init=False)  # numeric columns in which the boxes are narrow


@dataclass(frozen=True)
class Boxes:
    """What the rows of some stretches have in common.

    Parameters
    ----------
    low, high : ndarray of float64, shape (numeric columns, stretches)
        Extremes of the numbers.
    lacks : list of ndarray of bool, each of shape (stretches, categories + 1), or None
        Whether no row of a stretch has a code; the last category stands for all codes beyond. None
        for a column of too many categories.
    """

    low: np.ndarray
    high: np.ndarray
    lacks: list[np.ndarray | None]

    def part(self, start: int, stop: int) -> Boxes:
        """Return the boxes of some stretches."""
        lacks = [table if table is None else table[start:stop] for table in self.lacks]
        return Boxes(self.low[:, start:stop], self.high[:, start:stop], lacks)

    def merged(self, starts: list[int]) -> Boxes:
        """Put stretches together; ``starts`` are the first of each new one."""
        return Boxes(
            np.minimum.reduceat(self.low, starts, axis=1),
            np.maximum.reduceat(self.high, starts, axis=1),
            [t if t is None else np.logical_and.reduceat(t, starts, axis=0) for t in self.lacks],
        )


class Tree:
    """Rows in the order of their leaves.

    Parameters
    ----------
    given : Encoded
        At least one row.

    Attributes
    ----------
    order : ndarray of int64, shape (n,)
        Where each row stood in ``given``.
    rows : Encoded
        The rows in the order of the tree.
    root : Node
        All rows.
    leaves : list of Node
        From first to last row.
    """

    def __init__(self, given: Encoded) -> None:
        self.order = np.arange(len(given))
        self._spread = _Spread(given)
        self.leaves: list[Node] = []
        self._count = 0
        self.root = self._grow(0, len(given))
        del self._spread
        self.rows = given.take(self.order)
        boxes = _boxes(self.rows, [leaf.start for leaf in self.leaves])
        self._ends = self.rows.extremes
        self._enclose(self.root, boxes, 0)

    def _grow(self, start: int, stop: int) -> Node:
        ends = {start: stop}
        while len(ends) < FAN:
            first = max(ends, key=lambda at: ends[at] - at)
            last = ends[first]
            left = self._spread.split(self.order[first:last]) if last - first > LEAF else None
            if left is None:
                break
            order = self.order[first:last]
            self.order[first:last] = np.concatenate([order[left], order[~left]])
            ends[first] = first + int(left.sum())
            ends[ends[first]] = last
        node = Node(start, stop, self._count)
        self._count += 1
        if len(ends) == 1:
            self.leaves.append(node)
        else:
            node.children = [self._grow(first, ends[first]) for first in sorted(ends)]
        return node

    def _enclose(self, node: Node, boxes: Boxes, first: int) -> int:
        """Give nodes their boxes; return how many leaves lie before the next node."""
        if not node.children:
            node.boxes = boxes.part(first, first + 1)
            return first + 1
        starts = [first]
        for child in node.children:
            starts.append(self._enclose(child, boxes, starts[-1]))
        inside = [start - first for start in starts[:-1]]
        node.boxes = boxes.part(first, starts[-1]).merged(inside)
        node.telling = self._telling(node.boxes)
        return starts[-1]

    def _telling(self, boxes: Boxes) -> np.ndarray:
        """Choose the columns in which boxes are narrower than all rows, by how much they are."""
        low, high = self._ends[0][:, None], self._ends[1][:, None]
        outside = np.minimum(boxes.low - low, MISMATCH).sum(axis=1)
        outside += np.minimum(high - boxes.high, MISMATCH).sum(axis=1)
        columns = np.flatnonzero(outside > 0)
        return columns[np.argsort(-outside[columns], kind="stable")[:TELLING]]


class _Spread:
    """Finds the column in which rows differ most, and splits them by it."""

    def __init__(self, given: Encoded) -> None:
        known = np.where(given.numbers == ABSENT, -np.inf, given.numbers)
        highest = known.max(axis=1, initial=-np.inf)
        highest[np.isinf(highest)] = 0.0
        self.absent = given.numbers == ABSENT
        self.mismatches = given.mismatches
        # A missing number is at least as far from the others as two categories are.
        self.numbers = np.where(self.absent, highest[:, None] + MISMATCH, given.numbers)
        self.numbers = self.numbers.astype(np.float32)
        widths = [int(codes.max(initial=0)) + 1 for codes in given.codes]
        self.starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        self.codes = np.empty((len(widths), len(given)), dtype=np.int64)
        for row, codes, offset in zip(self.codes, given.codes, self.starts, strict=False):
            np.add(codes, offset, out=row, casting="unsafe")

    def split(self, rows: np.ndarray) -> np.ndarray | None:
        """Choose about half of the rows, shape (len(rows),) of bool; None if all are equal."""
        numbers, codes = self.numbers[:, rows], self.codes[:, rows]
        deviation = np.abs(numbers - numbers.mean(axis=1, keepdims=True)).mean(axis=1)
        deviation[np.ptp(numbers, axis=1) == 0] = 0.0
        counts = np.bincount(codes.ravel(), minlength=self.starts[-1])
        shares = counts / len(rows)
        alike = np.add.reduceat(shares**2, self.starts[:-1]) if len(codes) else np.empty(0)
        # of two rows: how far apart their numbers, their categories are
        spread = np.concatenate([2 * deviation, self.mismatches * (1 - alike)])
        column = int(np.argmax(spread)) if len(spread) else 0
        if not len(spread) or spread[column] <= 1e-12:
            return None
        if column >= len(numbers):
            column -= len(numbers)
            own = slice(self.starts[column], self.starts[column + 1])
            return _half(counts[own])[codes[column] - self.starts[column]]
        absent = self.absent[column, rows]
        if absent.any():
            return ~absent
        below = numbers[column] < np.median(numbers[column])
        return below if below.any() else numbers[column] <= np.median(numbers[column])


def _half(counts: np.ndarray) -> np.ndarray:
    """Choose categories that hold about half of the rows, the most frequent ones first."""
    order = np.argsort(-counts, kind="stable")
    share = np.cumsum(counts[order]) / counts.sum()
    last = int(np.argmin(np.abs(share - 0.5)))
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[order[: last + 1]] = True
    return chosen


def _boxes(rows: Encoded, starts: list[int]) -> Boxes:
    """Boxes of the stretches that begin at ``starts``."""
    stretch = np.searchsorted(starts, np.arange(len(rows)), "right") - 1
    lacks: list[np.ndarray | None] = []
    for codes in rows.codes:
        width = int(codes.max(initial=0)) + 2
        if width * len(starts) > TABLE:
            lacks.append(None)
            continue
        table = np.ones((len(starts), width), dtype=bool)
        table[stretch, codes] = False
        lacks.append(table)
    low = np.minimum.reduceat(rows.numbers, starts, axis=1)
    return Boxes(low, np.maximum.reduceat(rows.numbers, starts, axis=1), lacks)
