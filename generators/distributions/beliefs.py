"""Distributions over many columns that factorise along a junction tree.

``Beliefs`` turns potentials into marginals, ``Model`` answers marginals of any columns and draws
rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .junction import Clique, JunctionTree

MOST_CELLS = 2**26  # of a model or of a marginal asked for: half a GiB


class TooLargeError(ValueError):
    """A model or a marginal would have more than ``MOST_CELLS`` cells."""


class Beliefs:
    """Belief propagation for given cliques (Koller and Friedman 2009, chapter 10).

    Potentials and marginals are flat vectors: one part for each clique, its axes sorted by place.

    Parameters
    ----------
    tree : JunctionTree
        Its bags hold all cliques.
    cliques : sequence of Clique
        Of columns, ascending.
    """

    def __init__(self, tree: JunctionTree, cliques: Sequence[Clique]) -> None:
        self.tree = tree
        self.parts: list[slice] = []
        bags = range(len(tree.bags))
        self._terms: list[list[tuple[slice, tuple[int, ...]]]] = [[] for _ in bags]
        self._wanted: list[list[tuple[slice, Clique]]] = [[] for _ in bags]
        self._children: list[list[tuple[int, tuple[int, ...]]]] = [[] for _ in bags]
        self._orders: list[tuple[int, ...]] = []  # of a clique's axes when sorted by place
        self._shapes: list[tuple[int, ...]] = []
        self.length = 0
        for clique in cliques:
            places = tree.sorted_places(clique)
            self._orders.append(tuple(clique.index(tree.columns[place]) for place in places))
            self._shapes.append(tree.shape(places))
            part = slice(self.length, self.length + math.prod(tree.shape(places)))
            self.length = part.stop
            self.parts.append(part)
            self._terms[places[0]].append((part, tree.within(places[0], places)))
            self._wanted[places[0]].append((part, places))
        for bag, parent in enumerate(tree.parents):
            if parent is not None:
                separator = tree.separators[bag]
                self._children[parent].append((bag, tree.within(parent, separator)))

    def of(self, potentials: np.ndarray) -> tuple[np.ndarray, float, list[np.ndarray]]:
        """Return the marginals, the log of the partition function and the conditionals.

        A conditional is the distribution of a column given its separator, shaped as its bag.
        """
        conditionals, log_partition = self._upward(potentials)
        marginals = np.empty(self.length)
        for bag, joint in enumerate(joints(self.tree, conditionals)):
            for part, places in self._wanted[bag]:
                marginals[part] = summed(joint, self.tree.bags[bag], places).ravel()
        return marginals, log_partition, conditionals

    def flat(self, arrays: Iterable[np.ndarray]) -> np.ndarray:
        """Put arrays over the cliques, their columns ascending, into one vector."""
        vector = np.empty(self.length)
        for part, order, array in zip(self.parts, self._orders, arrays, strict=True):
            vector[part] = array.transpose(order).ravel()
        return vector

    def arrays(self, vector: np.ndarray) -> list[np.ndarray]:
        """Undo ``flat``."""
        return [
            vector[part].reshape(shape).transpose(np.argsort(order))
            for part, shape, order in zip(self.parts, self._shapes, self._orders, strict=True)
        ]

    def _upward(self, potentials: np.ndarray) -> tuple[list[np.ndarray], float]:
        tree = self.tree
        log_partition = 0.0
        messages: list[np.ndarray] = [np.empty(0)] * len(tree.bags)
        conditionals = messages.copy()
        for bag in range(len(tree.bags) - 1, -1, -1):
            logits = np.zeros(tree.shape(tree.bags[bag]))
            for part, shape in self._terms[bag]:
                logits += potentials[part].reshape(shape)
            for child, shape in self._children[bag]:
                logits += messages[child].reshape(shape)
            largest = logits.max(axis=0)
            logits -= largest
            np.exp(logits, out=logits)
            sums = logits.sum(axis=0)
            logits /= sums
            conditionals[bag] = logits
            messages[bag] = np.log(sums) + largest
            if tree.parents[bag] is None:
                log_partition += messages[bag].item()
        return conditionals, log_partition


def joints(tree: JunctionTree, conditionals: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the distribution over each bag."""
    found: list[np.ndarray] = []
    for conditional, parent, separator in zip(
        conditionals, tree.parents, tree.separators, strict=True
    ):
        if parent is not None:
            conditional = conditional * summed(found[parent], tree.bags[parent], separator)
        found.append(conditional)
    return found


def summed(values: np.ndarray, places: Clique, kept: Clique) -> np.ndarray:
    """Sum out every axis but those of the ``kept`` places."""
    if len(places) == len(kept):
        return values
    return np.einsum(values, range(len(places)), [places.index(place) for place in kept])


class Model:
    """A distribution over all columns, factorised along a junction tree, and a number of rows.

    Parameters
    ----------
    tree : JunctionTree
        The order of columns.
    conditionals : sequence of ndarray
        Distribution of each column given its separator, shaped as its bag.
    total : float
        Estimated number of rows.
    potentials : mapping of Clique to ndarray
        What it was estimated as: one array for each measured clique, columns ascending.
    """

    def __init__(
        self,
        tree: JunctionTree,
        conditionals: Sequence[np.ndarray],
        total: float,
        potentials: Mapping[Clique, np.ndarray],
    ) -> None:
        self.tree = tree
        self.conditionals = conditionals
        self.total = total
        self.potentials = potentials
        self._joints = joints(tree, conditionals)

    @property
    def cells(self) -> int:
        """How many numbers the distribution holds."""
        return self.tree.cells

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return the expected counts of any clique.

        Bags are summed out from the last to the first until one holds all that is left.

        Parameters
        ----------
        clique : tuple of int
            Columns, each once.

        Returns
        -------
        ndarray of float64
            One axis for each column, in their order; sums to ``total``.

        Raises
        ------
        TooLargeError
            If an array on the way would have more than ``MOST_CELLS`` cells.
        """
        tree, wanted = self.tree, tuple(self.tree.places[column] for column in clique)
        waiting, finished = set(wanted), []
        messages: dict[int, list[_Factor]] = {}
        while waiting:
            bag = max(waiting)
            waiting.remove(bag)
            factors, parent = messages.pop(bag, []), tree.parents[bag]
            holds_rest = not messages and waiting <= set(tree.separators[bag])
            if holds_rest or parent is None:
                factors.append(_Factor(self._joints[bag], tree.bags[bag]))
                finished.append(_product(factors, wanted, tree))
                waiting = set() if holds_rest else waiting
            else:
                factors.append(_Factor(self.conditionals[bag], tree.bags[bag]))
                kept = {*tree.separators[bag], *wanted}
                messages.setdefault(parent, []).append(_product(factors, kept, tree))
                waiting.add(parent)
        return self.total * _product(finished, wanted, tree).values

    def codes(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw rows with as little chance as possible.

        Each column is drawn given its separator. Within the rows that agree on it, values are taken
        at equal steps of their distribution function, so each has the count that it should have, to
        the next whole number above or below (systematic sampling); where the steps begin is spread
        evenly over the groups of rows.

        Returns
        -------
        ndarray of int64, shape (n, columns)
            In Fortran order.
        """
        codes = np.zeros((n, len(self.tree.columns)), dtype=np.int64, order="F")
        for place, separator in enumerate(self.tree.separators):
            conditional = self.conditionals[place]
            group = np.zeros(n, dtype=np.int64)
            for earlier, size in zip(separator, conditional.shape[1:], strict=True):
                group = group * size + codes[:, self.tree.columns[earlier]]
            table = conditional.reshape(len(conditional), -1)
            codes[:, self.tree.columns[place]] = _systematic(table, group, rng)
        return codes


@dataclass(frozen=True)
class _Factor:
    values: np.ndarray
    places: Clique


def _product(factors: Sequence[_Factor], kept: Iterable[int], tree: JunctionTree) -> _Factor:
    """Multiply factors and sum out every place that is not ``kept``, which orders the axes."""
    labels: dict[int, int] = {}
    operands: list[Any] = []
    for factor in factors:
        operands += [factor.values, [labels.setdefault(p, len(labels)) for p in factor.places]]
    places = tuple(place for place in kept if place in labels)
    cells = math.prod(tree.shape(places))
    if cells > MOST_CELLS:
        raise TooLargeError(
            f"a marginal may take {MOST_CELLS} cells, this one takes {cells}; ask for fewer columns"
        )
    return _Factor(np.einsum(*operands, [labels[place] for place in places]), places)


def _systematic(table: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a value for each row from ``table[:, group]``, its distribution."""
    if not len(group):
        return group
    order = rng.permutation(len(group))
    order = order[np.argsort(group[order], kind="stable")]
    found, first, run, rows = np.unique(
        group[order], return_index=True, return_inverse=True, return_counts=True
    )
    starts = (rng.permutation(len(found)) + rng.random(len(found))) / len(found)
    quantiles = (np.arange(len(group)) - first[run] + starts[run]) / rows[run]
    reached = np.cumsum(table[:, found].T, axis=1)
    reached = reached / reached[:, -1:] + np.arange(len(found))[:, None]
    size = len(table)
    places = np.searchsorted(reached.ravel(), quantiles + run, side="right") - run * size
    drawn = np.empty_like(group)
    drawn[order] = np.clip(places, 0, size - 1)
    return drawn
