"""Junction trees: how the columns of a graphical model are taken one after the other.

Eliminating a column joins all its neighbours in the graph of cliques (Koller and Friedman 2009,
chapter 9). Read backwards, the order of elimination factorises every distribution with these
cliques: each column depends on its *separator*, the neighbours it had when it was eliminated, all
of which stand before it. A column and its separator are its *bag*. Columns are numbered by their
place in that order in here, so that whatever is sorted by place fits whatever holds it, and a
clique lies in the bag of its last column. Places are listed from the last to the first: a column is
the first axis of its bag, where sums and maxima over it are fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

Clique = tuple[int, ...]


@dataclass(frozen=True)
class JunctionTree:
    """The order of columns, and what each depends on.

    Parameters
    ----------
    columns : tuple of int
        Which column stands at each place.
    sizes : tuple of int
        Number of cells of the column at each place.
    separators : tuple of Clique
        For each place the earlier places that it depends on, descending.
    """

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    separators: tuple[Clique, ...]

    @classmethod
    def of(cls, sizes: Sequence[int], cliques: Iterable[Clique]) -> JunctionTree:
        """Eliminate the column with the smallest bag first, of equal ones the first."""
        eliminated = eliminate(sizes, cliques)[::-1]
        places = {column: place for place, (column, _) in enumerate(eliminated)}
        return cls(
            tuple(places),
            tuple(int(sizes[column]) for column in places),
            tuple(_descending(places[c] for c in members(found)) for _, found in eliminated),
        )

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each column stands."""
        return {column: place for place, column in enumerate(self.columns)}

    @cached_property
    def bags(self) -> tuple[Clique, ...]:
        """Each place and its separator, descending."""
        return tuple((place, *separator) for place, separator in enumerate(self.separators))

    @cached_property
    def parents(self) -> tuple[int | None, ...]:
        """The place whose bag holds the separator; None for the first of each component."""
        return tuple(separator[0] if separator else None for separator in self.separators)

    @cached_property
    def cells(self) -> int:
        """How many cells all bags have."""
        return sum(map(math.prod, map(self.shape, self.bags)))

    def shape(self, places: Clique) -> tuple[int, ...]:
        """Sizes of these places."""
        return tuple(self.sizes[place] for place in places)

    def sorted_places(self, clique: Clique) -> Clique:
        """Places of a clique of columns, descending."""
        return _descending(self.places[column] for column in clique)

    def within(self, bag: int, places: Clique) -> tuple[int, ...]:
        """Shape that lets an array over some places of a bag be broadcast over the bag."""
        return tuple(self.sizes[place] if place in places else 1 for place in self.bags[bag])


def _descending(places: Iterable[int]) -> Clique:
    return tuple(sorted(places, reverse=True))


def eliminate(sizes: Sequence[int], cliques: Iterable[Clique]) -> list[tuple[int, int]]:
    """Eliminate the columns one by one, that with the smallest bag first.

    Returns
    -------
    list of (int, int)
        The column, and its neighbours at that time as a set of bits.
    """
    return _eliminate(graph(len(sizes), cliques), Volumes(sizes))


def cells_with(
    sizes: Sequence[int], cliques: Iterable[Clique], candidates: Iterable[Clique]
) -> list[int]:
    """Count the cells that a model of ``cliques`` would have with each candidate added to them."""
    volumes = Volumes(sizes)
    now = graph(len(sizes), cliques)
    bags = [found | 1 << column for column, found in _eliminate(now, volumes)]
    known = {tuple(now): sum(map(volumes.__getitem__, bags))}
    cells = []
    for clique in candidates:
        together = _bits(clique)
        if any(together | bag == bag for bag in bags):
            cells.append(known[tuple(now)])
            continue
        joined = _join(now, clique)
        key = tuple(joined)
        if key not in known:
            found = _eliminate(joined, volumes)
            known[key] = sum(volumes[others | 1 << column] for column, others in found)
        cells.append(known[key])
    return cells


class Volumes(dict[int, int]):
    """Number of cells of sets of columns, each set as bits; computed when first asked for."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = [int(size) for size in sizes]

    def __missing__(self, bits: int) -> int:
        self[bits] = math.prod(self.sizes[column] for column in members(bits))
        return self[bits]


def _eliminate(neighbours: Sequence[int], volumes: Volumes) -> list[tuple[int, int]]:
    neighbours = list(neighbours)
    costs = {column: volumes[found | 1 << column] for column, found in enumerate(neighbours)}
    eliminated = []
    while costs:
        column = min(costs, key=costs.__getitem__)
        del costs[column]
        found = neighbours[column]
        eliminated.append((column, found))
        for other in members(found):
            bag = (neighbours[other] | found) & ~(1 << column)
            neighbours[other] = bag & ~(1 << other)
            costs[other] = volumes[bag]
    return eliminated


def graph(columns: int, cliques: Iterable[Clique]) -> list[int]:
    """Return the neighbours of each column as sets of bits: those it shares a clique with."""
    neighbours = [0] * columns
    for clique in cliques:
        neighbours = _join(neighbours, clique)
    return neighbours


def _join(neighbours: Sequence[int], clique: Clique) -> list[int]:
    joined, together = list(neighbours), _bits(clique)
    for column in clique:
        joined[column] |= together & ~(1 << column)
    return joined


def _bits(columns: Iterable[int]) -> int:
    return sum(1 << column for column in columns)


def members(bits: int) -> list[int]:
    """List the members of a set of bits, ascending."""
    found = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found
