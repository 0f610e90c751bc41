"""Encoded rows: what a neighbour search sees of a table, in the layouts that it needs.

What is derived from the rows is made once and kept with them, so searches share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..bench.content import mix

if TYPE_CHECKING:
    from .tree import Tree

MISMATCH = 2.0  # L1 distance, and squared Euclidean distance, of two different one-hot vectors
ABSENT = 1e30  # stands for a missing number


@dataclass(frozen=True)
class Encoded:
    """Rows as a search sees them, column by column.

    Parameters
    ----------
    numbers : ndarray of float64, shape (numeric columns, n)
        ``ABSENT`` where missing (for the L1 distance only).
    codes : list of ndarray of unsigned integers, each of shape (n,)
        Two different ones are two different categories.
    mismatch : ndarray of float64, shape (discrete columns,), optional
        What two different categories of a column add to a distance (to its square, if Euclidean);
        ``MISMATCH`` by default, the distance of two one-hot vectors.
    """

    numbers: np.ndarray
    codes: list[np.ndarray]
    mismatch: np.ndarray | None = None

    def __len__(self) -> int:
        return self.numbers.shape[1]

    def take(self, rows: np.ndarray) -> Encoded:
        """Return some of the rows, in the order given."""
        return Encoded(self.numbers[:, rows], [codes[rows] for codes in self.codes], self.mismatch)

    @cached_property
    def mismatches(self) -> np.ndarray:
        """What a mismatch adds, shape (discrete columns,)."""
        if self.mismatch is None:
            return np.full(len(self.codes), MISMATCH)
        return np.asarray(self.mismatch, dtype=np.float64)

    @cached_property
    def rounded(self) -> np.ndarray:
        """The numbers in float32."""
        return self.numbers.astype(np.float32)

    @cached_property
    def rounded_rows(self) -> np.ndarray:
        """The numbers in float32, row by row, shape (n, numeric columns)."""
        return np.ascontiguousarray(self.rounded.T)

    @cached_property
    def number_rows(self) -> np.ndarray:
        """The numbers row by row, shape (n, numeric columns)."""
        return np.ascontiguousarray(self.numbers.T)

    @cached_property
    def code_rows(self) -> np.ndarray:
        """The codes row by row, shape (n, discrete columns)."""
        kind = np.result_type(np.uint8, *self.codes)
        rows = np.empty((len(self), len(self.codes)), dtype=kind)
        for column, codes in enumerate(self.codes):
            rows[:, column] = codes
        return rows

    @cached_property
    def extremes(self) -> np.ndarray:
        """Smallest and largest of the numbers, shape (2, numeric columns)."""
        ends = self.numbers.min(axis=1, initial=np.inf), self.numbers.max(axis=1, initial=-np.inf)
        return np.stack(ends)

    @cached_property
    def size(self) -> np.ndarray:
        """Sum of the absolute numbers of each row, shape (n,); missing ones count as 0."""
        return np.where(self.numbers == ABSENT, 0.0, np.abs(self.numbers)).sum(axis=0)

    @cached_property
    def tree(self) -> Tree:
        """The rows as a tree."""
        from .tree import Tree

        return Tree(self)

    @cached_property
    def groups(self) -> Groups:
        """The rows without their repetitions."""
        bits = [(row + 0.0).view(np.uint64) for row in self.numbers]  # -0.0 equals 0.0
        bits += [codes.astype(np.uint64) for codes in self.codes]
        keys = mix(np.arange(len(bits), dtype=np.uint64))
        hashes = np.zeros(len(self), dtype=np.uint64)
        for place, values in enumerate(bits):
            hashes += mix(values ^ keys[place])
        _, first, member = np.unique(hashes, return_index=True, return_inverse=True)
        rows = self if len(first) == len(self) else self.take(np.sort(first))
        member = np.argsort(np.argsort(first))[member]
        return Groups(rows, member, np.argsort(member, kind="stable"), np.bincount(member))


@dataclass(frozen=True)
class Groups:
    """Equal rows together, in the order of their first ones.

    Parameters
    ----------
    rows : Encoded
        One row of each group.
    member : ndarray of int64, shape (n,)
        The group of each row.
    positions : ndarray of int64, shape (n,)
        Rows group by group, ascending in each.
    sizes : ndarray of int64, shape (groups,)
    """

    rows: Encoded
    member: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each group begins among ``positions``, shape (groups,)."""
        return np.cumsum(self.sizes) - self.sizes
