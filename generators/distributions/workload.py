"""The marginals that adaptive mechanisms choose from: all of up to so many columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from .junction import Clique, cells_with

CELL_BYTES = 8


class Workload:
    """All marginals of up to ``degree`` columns, as candidates and as what shall be right.

    Parameters
    ----------
    sizes : sequence of int
        Number of cells of each column.
    degree : int
        Most columns of a marginal.
    max_cells : int
        Marginals of more cells are left out, and those with a column of a single cell, which say
        nothing more; those of one column stay.

    Attributes
    ----------
    cliques : list of Clique
        The candidates.
    cells : ndarray of int64, shape (candidates,)
        Of each.
    weights : ndarray of float64, shape (candidates,)
        How many columns each shares with the largest candidates, summed over these: how much of the
        workload a better answer to it helps (McKenna et al. 2022, section 3.2).
    """

    def __init__(self, sizes: Sequence[int], degree: int, max_cells: int) -> None:
        self.sizes = sizes
        degree = min(degree, len(sizes))
        self.cliques = [
            clique
            for k in range(1, degree + 1)
            for clique in combinations(range(len(sizes)), k)
            if k == 1 or self._is_informative(clique, max_cells)
        ]
        self.cells = np.array([self._cells(clique) for clique in self.cliques])
        members = np.zeros((len(self.cliques), len(sizes)))
        for row, clique in zip(members, self.cliques, strict=True):
            row[list(clique)] = 1
        columns = members.sum(axis=1)
        self.weights = members @ members[columns == columns.max()].sum(axis=0)
        self._asked: frozenset[Clique] = frozenset()
        self._model_cells = np.zeros(0)

    def _is_informative(self, clique: Clique, max_cells: int) -> bool:
        smallest = min(self.sizes[column] for column in clique)
        return smallest > 1 and self._cells(clique) <= max_cells

    def _cells(self, clique: Clique) -> int:
        return math.prod(self.sizes[column] for column in clique)

    def fitting(self, asked: Iterable[Clique], most_cells: float) -> np.ndarray:
        """Return the positions of the candidates that a model of ``most_cells`` has room for.

        A candidate that lies within what was asked takes no room.
        """
        if self._asked != (cliques := frozenset(asked)):
            self._asked = cliques
            self._model_cells = np.array(cells_with(self.sizes, cliques, self.cliques), float)
        room = max(most_cells, self._model_cells.min())
        return np.flatnonzero(self._model_cells <= room)


def cells_of(mebibytes: float) -> float:
    """Return how many cells of a model take so much memory."""
    return mebibytes * 2**20 / CELL_BYTES
