"""Leaves of a forest: boxes whose rows are taken for draws from independent columns.

Leaves are numbered across trees, so that whatever concerns them is one pass over the pairs of a
tree and a row, sorted by leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Leaves:
    """The leaves that hold rows.

    Parameters
    ----------
    of_pairs : ndarray of int64, shape (trees * rows,)
        The leaf of each row in each tree, tree by tree.
    lower, upper : ndarray of float32, shape (leaves, columns)
        What is known of a row in a leaf is > lower and <= upper.
    rows : int
        Of the table.
    """

    of_pairs: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rows: int

    @classmethod
    def together(cls, trees: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Self:
        """Put together what each tree has: the leaf of each row, lower and upper ends."""
        counts = [len(lower) for _, lower, _ in trees]
        starts = np.cumsum([0, *counts[:-1]])
        pairs = [leaves + start for (leaves, _, _), start in zip(trees, starts, strict=True)]
        lower, upper = (np.vstack([tree[i] for tree in trees]) for i in (1, 2))
        return cls(np.concatenate(pairs), lower, upper, len(pairs[0]))

    def without_boxes(self) -> Self:
        """Return the same leaves for draws alone."""
        return replace(self, lower=self.lower[:, :0], upper=self.upper[:, :0])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.lower)

    @cached_property
    def rows_of_pairs(self) -> np.ndarray:
        """The row of each pair, int64 of shape (trees * rows,)."""
        return np.arange(len(self.of_pairs)) % self.rows

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many rows each leaf holds, int64 of shape (leaves,)."""
        return np.bincount(self.of_pairs, minlength=len(self))

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each leaf begins in ``members``, int64 of shape (leaves,)."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def members(self) -> np.ndarray:
        """The rows leaf by leaf, int64 of shape (trees * rows,)."""
        return self.rows_of_pairs[np.argsort(self.of_pairs, kind="stable")]

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``n`` leaves: any tree, and one of its leaves by the rows that it holds."""
        return self.of_pairs[rng.integers(len(self.of_pairs), size=n)]

    def donors(self, leaves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one row of each leaf."""
        return self.members[self.starts[leaves] + rng.integers(self.sizes[leaves])]

    def sums(self, numbers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Sum ``numbers`` of some ``pairs`` within leaves, float64 of shape (leaves,)."""
        return np.bincount(self.of_pairs[pairs], weights=numbers, minlength=len(self))
