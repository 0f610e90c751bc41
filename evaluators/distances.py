"""Distances between queries and the rows of a tree: quickly in float32, then exactly in float64.

The quick ones are computed a leaf at a time and come with a bound of their error, so that a search
can tell which pairs are surely within a radius, which may be, and which are not. What is the same
in all rows of a leaf costs one operation a query instead of one a pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .encoded import ABSENT, MISMATCH, Encoded
from .tree import Node, Tree

CELLS = 2**17  # distances of a block: they stay in the processor's cache
HEIGHT = 128  # rows of a block
PAIRS = 2**16  # pairs measured exactly at once
ROUNDING = 2.0**-24  # relative error of an operation in float32


@dataclass(frozen=True)
class Quick:
    """Quick distances of a block, which are wrong by no more than ``blur`` and ``noise`` allow.

    Parameters
    ----------
    values : ndarray of float32, shape (rows, queries)
        L1 or squared Euclidean distances; overwritten by the next block.
    blur : ndarray of float32, shape (queries,)
        By how much coordinates may move a distance (not squared).
    noise : ndarray of float32, shape (queries,)
        What is further added to a value.
    """

    values: np.ndarray
    blur: np.ndarray
    noise: np.ndarray

    def of(self, queries: np.ndarray) -> Quick:
        """Return a copy for some of the queries."""
        return Quick(self.values[:, queries], self.blur[queries], self.noise[queries])


class Distances:
    """Distances of one kind between queries and the rows of a tree.

    Parameters
    ----------
    queries : Encoded
        In any order.
    tree : Tree
        Rows with the same columns.
    squared : bool
        False: L1, where a difference of numbers counts at most ``MISMATCH``. True: squared
        Euclidean, for numbers without missing values.
    """

    def __init__(self, queries: Encoded, tree: Tree, *, squared: bool) -> None:
        self.queries, self.tree, self.squared = queries, tree, squared
        self.rows = tree.rows
        columns = len(queries.numbers) + len(queries.codes)
        self._share = (2 * columns + 16) * ROUNDING
        self._blur = (2 * ROUNDING * queries.size).astype(np.float32)
        self._capped = np.zeros(len(queries.numbers), dtype=bool)
        if not squared and len(self._capped):
            ends = np.concatenate([queries.extremes, tree.rows.extremes])
            self._capped = ends.max(axis=0) - ends.min(axis=0) > MISMATCH
        self._mismatch = tree.rows.mismatches.astype(np.float32)
        self._values = np.empty((2, CELLS), dtype=np.float32)
        self._differs = np.empty(CELLS, dtype=bool)
        self._misses = np.empty(CELLS, dtype=np.min_scalar_type(len(queries.codes)))
        self._most = np.full(CELLS, MISMATCH, dtype=np.float32)
        self._leaves: dict[int, _Leaf] = {}

    def within(
        self, radius: np.ndarray | float, blur: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Quick values up to which a pair is surely, and may be, within a radius (not squared)."""
        low, high = np.maximum(radius - blur, 0.0), radius + blur
        if self.squared:
            low, high = low * low, high * high
        low, high = low * (1 - self._share) - noise, high * (1 + self._share) + noise
        return low.astype(np.float32), high.astype(np.float32)

    def bounds(self, node: Node, queries: np.ndarray) -> Quick:
        """Distances to the boxes of a node: no row in a box is nearer."""
        boxes = node.boxes
        shape = (boxes.low.shape[1], len(queries))
        total = np.zeros(shape, dtype=np.float32)
        gap, other = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        for column in node.telling:
            low, high = boxes.low[column], boxes.high[column]
            query = self.queries.rounded[column][queries]
            np.subtract(low.astype(np.float32)[:, None], query, out=gap)
            np.subtract(query, high.astype(np.float32)[:, None], out=other)
            np.maximum(gap, other, out=gap)
            np.maximum(gap, 0, out=gap)
            if self._capped[column]:
                np.minimum(gap, np.float32(MISMATCH), out=gap)
            if self.squared:
                np.square(gap, out=gap)
            total += gap
        for query, lacks, mismatch in zip(
            self.queries.codes, boxes.lacks, self._mismatch, strict=True
        ):
            if lacks is not None:
                code = np.minimum(query[queries], lacks.shape[1] - 1)
                np.multiply(np.take(lacks, code, axis=1), mismatch, out=gap)
                total += gap
        blur = self._blur[queries] + _blur(boxes.low, boxes.high)
        return Quick(total, blur, np.zeros_like(blur))

    def blocks(self, leaf: Node, queries: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Cut a leaf into blocks: first and last row, and queries."""
        for start in range(leaf.start, leaf.stop, HEIGHT):
            stop = min(start + HEIGHT, leaf.stop)
            width = CELLS // (stop - start)
            for first in range(0, len(queries), width):
                yield start, stop, queries[first : first + width]

    def quick(self, leaf: Node, start: int, stop: int, queries: np.ndarray) -> Quick:
        """Distances of a block."""
        own = self._leaves.get(leaf.start)
        if own is None:
            own = self._leaves[leaf.start] = _Leaf(self.rows, leaf)
        shape = (stop - start, len(queries))
        base = self._same(own, queries)
        values = self._values[0, : shape[0] * shape[1]].reshape(shape)
        blur = self._blur[queries] + own.blur
        noise = np.zeros(len(queries), dtype=np.float32)
        if self.squared:
            noise = self._products(own, slice(start, stop), queries, base, values)
        else:
            self._differences(own, slice(start, stop), queries, base, values)
        self._mismatches(own, slice(start, stop), queries, values)
        return Quick(values, blur, noise)

    def _same(self, own: _Leaf, queries: np.ndarray) -> np.ndarray:
        """Add up, for each query, the columns in which the rows of a leaf are all the same."""
        base = np.zeros(len(queries), dtype=np.float32)
        for column in own.same_numbers:
            gap = np.abs(self.queries.rounded[column][queries] - np.float32(own.low[column]))
            if self._capped[column]:
                gap = np.minimum(gap, np.float32(MISMATCH))
            base += gap * gap if self.squared else gap
        for column, code in own.same_codes:
            base += self._mismatch[column] * (self.queries.codes[column][queries] != code)
        return base

    def _differences(
        self, own: _Leaf, rows: slice, queries: np.ndarray, base: np.ndarray, values: np.ndarray
    ) -> None:
        """Write L1 distances in numbers, above ``base``, into ``values``."""
        shape = values.shape
        gap, most = (part[: values.size].reshape(shape) for part in (self._values[1], self._most))
        values[:] = base
        for column in own.numbers:
            query = self.queries.rounded[column][queries]
            np.subtract(query, self.rows.rounded[column][rows, None], out=gap)
            np.abs(gap, out=gap)
            if self._capped[column]:
                np.minimum(gap, most, out=gap)
            values += gap

    def _products(
        self, own: _Leaf, rows: slice, queries: np.ndarray, base: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        """Write squared distances, above ``base``, by one matrix product; return their noise."""
        matrix = own.matrix(self.rows, rows)
        points = np.empty((len(queries), len(own.numbers) + 2), dtype=np.float32)
        whole = queries[-1] - queries[0] + 1 == len(queries)  # they ascend
        chosen = self.queries.rounded_rows[slice(queries[0], queries[-1] + 1) if whole else queries]
        if len(own.numbers) < chosen.shape[1]:
            chosen = chosen[:, own.numbers]
        np.subtract(chosen, own.centre, out=points[:, :-2])
        size = np.einsum("ij,ij->i", points[:, :-2], points[:, :-2]) + base
        points[:, -2], points[:, -1] = 1.0, size
        np.matmul(matrix, points.T, out=values)
        return 4 * (len(own.numbers) + 4) * ROUNDING * (size + matrix[:, -2].max())

    def _mismatches(self, own: _Leaf, rows: slice, queries: np.ndarray, values: np.ndarray) -> None:
        """Add the categories in which the rows of a leaf differ to ``values``."""
        if not own.codes:
            return
        shape = values.shape
        differs, misses, gap = (
            part[: values.size].reshape(shape)
            for part in (self._differs, self._misses, self._values[1])
        )
        misses[:] = 0
        alike = (self._mismatch == self._mismatch[0]).all()
        for column in own.codes:
            query = self.queries.codes[column][queries]
            np.not_equal(query, self.rows.codes[column][rows, None], out=differs)
            if alike:
                misses += differs
            else:
                np.multiply(differs, self._mismatch[column], out=gap)
                values += gap
        if alike:
            np.multiply(misses, self._mismatch[own.codes[0]], out=gap)
            values += gap

    def exact(self, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Distances of pairs, in float64."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            part = slice(start, start + PAIRS)
            found[part] = self._exact(rows[part], queries[part])
        return np.sqrt(found) if self.squared else found

    def _exact(self, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        gap = self.queries.number_rows[queries] - self.rows.number_rows[rows]
        if self.squared:
            np.square(gap, out=gap)
        else:
            np.minimum(np.abs(gap, out=gap), MISMATCH, out=gap)
        misses = self.queries.code_rows[queries] != self.rows.code_rows[rows]
        return gap.sum(axis=1) + (misses * self.rows.mismatches).sum(axis=1)


def _blur(low: np.ndarray, high: np.ndarray) -> float:
    ends = np.where(low == ABSENT, 0, np.abs(low)), np.where(high == ABSENT, 0, np.abs(high))
    return float(2 * ROUNDING * np.maximum(*ends).max(axis=-1, initial=0).sum())


class _Leaf:
    """What is computed once for a leaf."""

    def __init__(self, rows: Encoded, leaf: Node) -> None:
        self.start = leaf.start
        self.low, self.high = leaf.boxes.low[:, 0], leaf.boxes.high[:, 0]
        varies = self.low != self.high
        self.numbers = np.flatnonzero(varies)
        self.same_numbers = np.flatnonzero(~varies)
        self.codes, self.same_codes = [], []
        for column, codes in enumerate(rows.codes):
            codes = codes[leaf.start : leaf.stop]
            if (codes == codes[0]).all():
                self.same_codes.append((column, codes[0]))
            else:
                self.codes.append(column)
        self.blur = np.float32(_blur(self.low[:, None], self.high[:, None]))
        self.centre = ((self.low + self.high) / 2)[varies].astype(np.float32)
        self._matrix: dict[int, np.ndarray] = {}

    def matrix(self, rows: Encoded, part: slice) -> np.ndarray:
        """Lay out rows around the centre, times -2, and their squared lengths, for a product."""
        if part.start not in self._matrix:
            around = rows.numbers[self.numbers, part] - self.centre[:, None]
            size = np.square(around).sum(axis=0)
            whole = np.vstack([-2 * around, size, np.ones_like(size)])
            self._matrix[part.start] = np.ascontiguousarray(whole.T, dtype=np.float32)
        return self._matrix[part.start]
