"""Belief networks: distributions of discrete columns, each given its parents, and draws from them.

With some columns given, the others are drawn from their exact distribution: the ancestors of what
is given are eliminated one by one (Koller and Friedman 2009, chapters 9 and 12), for all rows at
once, and drawn in the opposite order; columns that lead to nothing given follow from their parents.
Where elimination would take more than ``MOST_WORK`` cells, rows are drawn by likelihood weighting
instead (Fung and Chang 1990): one of ``PARTICLES`` rows that are drawn with the given cells put in,
by the chance that these had. That is exact only for many particles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..views.cells import NOWHERE, draw_cells
from .junction import eliminate, members
from .parents import combined
from .structures import Parents, parents_first

MOST_WORK = 2**31  # cells of all bags, for all different rows of conditions
MOST_AT_ONCE = 2**22  # of them in memory
PARTICLES = 128
AT_ONCE = 2**16  # particles in memory


@dataclass(frozen=True)
class BeliefNetwork:
    """Columns and their chances given their parents.

    Parameters
    ----------
    parents : sequence of Parents
        Of each column; without a cycle.
    chances : sequence of ndarray
        Of each column, shape (combinations of the parents' cells, cells); rows sum to 1. The last
        parent runs fastest.
    """

    parents: Sequence[Parents]
    chances: Sequence[np.ndarray]

    @property
    def sizes(self) -> list[int]:
        """Number of cells of each column."""
        return [chances.shape[1] for chances in self.chances]

    @cached_property
    def order(self) -> list[int]:
        """All columns, parents first."""
        return parents_first(self.parents)

    def draw(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fill in rows.

        Parameters
        ----------
        codes : ndarray of int64, shape (n, columns)
            Cells that are given, ``NOWHERE`` for those to be drawn.

        Returns
        -------
        ndarray of int64, shape (n, columns)
        """
        filled = np.array(codes, order="F")
        if not len(codes):
            return filled
        patterns, which = np.unique(codes != NOWHERE, axis=0, return_inverse=True)
        for number, given in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == number)
            filled[rows] = self._draw_alike(filled[rows], np.flatnonzero(given).tolist(), rng)
        return filled

    def _draw_alike(
        self, codes: np.ndarray, given: list[int], rng: np.random.Generator
    ) -> np.ndarray:
        """Fill in rows in which the same columns are given."""
        hidden = sorted(self._ancestors(given) - set(given))
        if hidden:
            bags = self._bags(given, hidden)
            distinct, which = np.unique(codes[:, given], axis=0, return_inverse=True)
            work = len(distinct) * sum(math.prod(self._shape(bag)) for bag in bags)
            if work > MOST_WORK:
                return self._weighted(codes, given, rng)
            self._draw_hidden(codes, given, bags, distinct, which.ravel(), rng)
        done = {*given, *hidden}
        self._draw_forward(codes, [column for column in self.order if column not in done], rng)
        return codes

    def _draw_forward(
        self, codes: np.ndarray, columns: Sequence[int], rng: np.random.Generator
    ) -> None:
        for column in columns:
            given = combined(codes, self.parents[column], self.sizes)
            codes[:, column] = draw_cells(self.chances[column], given, rng)

    # Elimination

    def _ancestors(self, columns: Sequence[int]) -> set[int]:
        found, waiting = set(), list(columns)
        while waiting:
            new = set(self.parents[waiting.pop()]) - found
            found |= new
            waiting += new
        return found

    def _shape(self, columns: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.sizes[column] for column in columns)

    def _bags(self, given: list[int], hidden: list[int]) -> list[tuple[int, ...]]:
        """List the hidden columns as they are eliminated, each after its neighbours at the time."""
        sizes = [size if column in hidden else 1 for column, size in enumerate(self.sizes)]
        cliques = [
            tuple(place for place in (column, *self.parents[column]) if place in hidden)
            for column in (*given, *hidden)
        ]
        return [
            (*members(neighbours), column)
            for column, neighbours in eliminate(sizes, cliques)
            if column in hidden
        ]

    def _draw_hidden(
        self,
        codes: np.ndarray,
        given: list[int],
        bags: list[tuple[int, ...]],
        distinct: np.ndarray,
        which: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Draw the hidden columns in place, a part of the ``distinct`` conditions at a time."""
        largest = max(math.prod(self._shape(bag)) for bag in bags)
        step = max(1, MOST_AT_ONCE // largest)
        order = np.argsort(which, kind="stable")
        ends = np.searchsorted(which[order], np.arange(0, len(distinct) + step, step))
        for number, (first, last) in enumerate(pairwise(ends)):
            begun = number * step
            part, rows = distinct[begun : begun + step], order[first:last]
            tables = self._eliminated(part, given, bags)
            for bag, table in zip(bags[::-1], tables[::-1], strict=True):
                group = which[rows] - begun
                if len(table) == 1:  # nothing given bears on it
                    group = np.zeros_like(group)
                for column in bag[:-1]:
                    group = group * self.sizes[column] + codes[rows, column]
                flat = table.reshape(-1, table.shape[-1])
                codes[rows, bag[-1]] = draw_cells(flat, group, rng)

    def _eliminated(
        self, evidence: np.ndarray, given: list[int], bags: list[tuple[int, ...]]
    ) -> list[np.ndarray]:
        """Return what each hidden column is drawn by, given those of its bag.

        Returns
        -------
        list of ndarray
            Shape (conditions, *bag), not normalised; one condition if they do not matter.
        """
        hidden = {bag[-1] for bag in bags}
        factors = [self._factor(column, evidence, given) for column in (*given, *hidden)]
        tables = []
        for bag in bags:
            used = [factor for factor in factors if bag[-1] in factor[1]]
            factors = [factor for factor in factors if bag[-1] not in factor[1]]
            table = np.ones(1)
            for array, columns in used:
                table = table * _aligned(array, columns, bag)
            tables.append(table)
            message = table.sum(axis=-1)
            largest = message.max(axis=tuple(range(1, message.ndim)), keepdims=True)
            factors.append((message / largest, bag[:-1]))  # the scale does not matter
        return tables

    def _factor(
        self, column: int, evidence: np.ndarray, given: list[int]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return a column's chances at what is given, and which hidden columns they depend on."""
        family = (*self.parents[column], column)
        array = self.chances[column].reshape(self._shape(family))
        known = [axis for axis, place in enumerate(family) if place in given]
        free = [axis for axis, place in enumerate(family) if place not in given]
        array = array.transpose(*known, *free)
        places = tuple(evidence[:, given.index(family[axis])] for axis in known)
        return array[places] if known else array[None], tuple(family[axis] for axis in free)

    # Likelihood weighting

    def _weighted(
        self, codes: np.ndarray, given: list[int], rng: np.random.Generator
    ) -> np.ndarray:
        step = max(1, AT_ONCE // PARTICLES)
        for begun in range(0, len(codes), step):
            part = codes[begun : begun + step]
            drawn = np.asfortranarray(np.repeat(part, PARTICLES, axis=0))
            self._draw_forward(drawn, [c for c in self.order if c not in given], rng)
            weights = sum(np.log(self._chances_of(drawn, column)) for column in given)
            weights = np.reshape(weights, (len(part), PARTICLES))
            chosen = (weights + rng.gumbel(size=weights.shape)).argmax(axis=1)
            codes[begun : begun + step] = drawn[np.arange(len(part)) * PARTICLES + chosen]
        return codes

    def _chances_of(self, codes: np.ndarray, column: int) -> np.ndarray:
        given = combined(codes, self.parents[column], self.sizes)
        return self.chances[column][given, codes[:, column]]


def _aligned(array: np.ndarray, columns: Sequence[int], bag: Sequence[int]) -> np.ndarray:
    """Let an array over conditions and ``columns`` be broadcast over conditions and ``bag``."""
    order = sorted(range(len(columns)), key=lambda axis: bag.index(columns[axis]))
    array = array.transpose(0, *(axis + 1 for axis in order))
    sizes = dict(zip((columns[axis] for axis in order), array.shape[1:], strict=True))
    return array.reshape(len(array), *(sizes.get(column, 1) for column in bag))
