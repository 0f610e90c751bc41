"""Structures of Bayesian networks: which columns each column depends on.

A structure is scored by the Bayesian information criterion (BIC; Schwarz 1978): the logarithm of
the likelihood less half the logarithm of the number of rows for every free chance. That is a sum
over *families*, a column and its parents, so what changes with an arrow are the families of its
ends, and each family is counted once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from .parents import combined

Parents = tuple[int, ...]  # of a column, ascending
TOLERANCE = 1e-6  # rise of the score, in nats, that is none
PATIENCE = 15  # changes beyond a summit


class Families:
    """Scores of families, each computed once.

    Parameters
    ----------
    codes : ndarray of int64, shape (rows, columns)
        Cells, in [0, size) of each column.
    sizes : sequence of int
        Number of cells of each column.
    penalty : float
        Part of BIC's price of a free chance.
    max_parents : int
        A family with more scores -inf.
    max_cells : int
        One with parents and more cells as well.
    """

    def __init__(
        self,
        codes: np.ndarray,
        sizes: Sequence[int],
        penalty: float,
        max_parents: int,
        max_cells: int,
    ) -> None:
        self.sizes = [int(size) for size in sizes]
        self._codes = np.asfortranarray(codes)
        self._max_parents, self._max_cells = max_parents, max_cells
        self._price = penalty * math.log(len(codes)) / 2
        counts = np.arange(len(codes) + 1)
        self._entropic = counts * np.log(np.maximum(counts, 1))  # c log(c)
        self._known: dict[tuple[int, Parents], float] = {}

    def score(self, column: int, parents: Parents) -> float:
        """Score one family."""
        if parents:
            return float(self.scores(column, parents[1:], parents[:1])[0])
        if (column, ()) not in self._known:
            self._known[column, ()] = self._score(self.counts(column, ()))
        return self._known[column, ()]

    def scores(self, column: int, parents: Parents, others: Sequence[int]) -> np.ndarray:
        """Score the families of a column with each of ``others`` as one more parent."""
        keys = [(column, tuple(sorted((*parents, other)))) for other in others]
        new = [key not in self._known and self._fits(*key) for key in keys]
        numbers = combined(self._codes, parents, self.sizes) if any(new) else np.empty(0)
        for key, other, is_new in zip(keys, others, new, strict=True):
            if is_new:
                given = numbers * self.sizes[other] + self._codes[:, other]
                self._known[key] = self._score(self._counts(column, key[1], given))
        return np.array([self._known.get(key, -np.inf) for key in keys])

    def counts(self, column: int, parents: Parents) -> np.ndarray:
        """Count a family's rows, shape (combinations of the parents' cells, cells)."""
        return self._counts(column, parents, combined(self._codes, parents, self.sizes))

    def _counts(self, column: int, parents: Parents, given: np.ndarray) -> np.ndarray:
        shape = math.prod(self.sizes[parent] for parent in parents), self.sizes[column]
        numbers = given * shape[1] + self._codes[:, column]
        return np.bincount(numbers, minlength=math.prod(shape)).reshape(shape)

    def _fits(self, column: int, parents: Parents) -> bool:
        cells = math.prod(self.sizes[place] for place in (column, *parents))
        return len(parents) <= self._max_parents and cells <= self._max_cells

    def _score(self, counts: np.ndarray) -> float:
        likelihood = self._entropic[counts].sum() - self._entropic[counts.sum(axis=1)].sum()
        return float(likelihood - self._price * counts.shape[0] * (counts.shape[1] - 1))


def best_forest(families: Families) -> list[Parents]:
    """Find the best structure in which no column has two parents.

    A spanning tree of most mutual information (Chow and Liu 1968), found by growing it from column
    to column (Prim 1957). An arrow that BIC finds too dear is left out, so trees may be several.

    Returns
    -------
    list of Parents
        Of each column.
    """
    columns = len(families.sizes)
    alone = np.array([families.score(column, ()) for column in range(columns)])
    parents: list[Parents] = [()] * columns
    best, source = np.zeros(columns), np.full(columns, -1)
    left = np.ones(columns, dtype=bool)
    for _ in range(columns):
        chosen = int(np.where(left, best, -np.inf).argmax())
        left[chosen] = False
        if source[chosen] >= 0:
            parents[chosen] = (int(source[chosen]),)
        for other in np.flatnonzero(left).tolist():
            gain = families.score(other, (chosen,)) - alone[other]
            if gain > best[other]:
                best[other], source[other] = gain, chosen
    return parents


def climb(
    families: Families, start: Sequence[Parents], progress: Callable[..., None]
) -> list[Parents]:
    """Add, delete or reverse the arrow that raises the score most, again and again.

    At a summit the search goes on by the changes that cost least, to structures where it has not
    been (tabu search; Glover 1989), and ends if ``PATIENCE`` changes lead to no higher place.

    Parameters
    ----------
    families : Families
        Scores.
    start : sequence of Parents
        Of each column, without a cycle.
    progress : callable
        Told of each change and of the rise of the score.

    Returns
    -------
    list of Parents
        Of each column, the best found.
    """
    columns = len(start)
    arrows = arrows_of(start)
    adding, deleting = np.full((2, columns, columns), -np.inf)
    changed = list(range(columns))
    seen, best, rise, highest, steps, waited = {arrows.tobytes()}, arrows, 0.0, 0.0, 0, 0
    while waited < PATIENCE:
        for column in changed:
            adding[:, column], deleting[:, column] = _gains(families, arrows[:, column], column)
        found = _best_change(arrows, adding, deleting, seen)
        if found is None:
            break
        gain, arrows, changed = found
        seen.add(arrows.tobytes())
        rise, steps, waited = rise + gain, steps + 1, waited + 1
        if rise > highest + TOLERANCE:
            best, highest, waited = arrows, rise, 0
        progress(steps, steps + PATIENCE - waited, rise=rise)
    return [tuple(np.flatnonzero(best[:, column]).tolist()) for column in range(columns)]


def _best_change(
    arrows: np.ndarray, adding: np.ndarray, deleting: np.ndarray, seen: Collection[bytes]
) -> tuple[float, np.ndarray, list[int]] | None:
    """Find the best single change that makes no cycle and leads to a new structure.

    Returns
    -------
    tuple of float, ndarray and list of int, or None
        The rise of the score, the new arrows, the columns whose parents differ.
    """
    leads = reachable(arrows)
    detour = (arrows.astype(np.int64) @ leads) > 1  # besides the arrow itself
    reversing = np.where(arrows & ~detour, deleting + adding.T, -np.inf)
    gains = np.stack([np.where(leads.T, -np.inf, adding), deleting, reversing])
    for place in np.argsort(-gains, axis=None, kind="stable"):
        kind, source, column = (int(i) for i in np.unravel_index(place, gains.shape))
        gain = float(gains[kind, source, column])
        if gain == -np.inf:
            break
        changed = arrows.copy()
        changed[source, column] = kind == 0
        changed[column, source] = kind == 2
        if changed.tobytes() not in seen:
            return gain, changed, [column, source] if kind == 2 else [column]
    return None


def _gains(families: Families, arrows: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much the score rises with each new parent, and without each present one."""
    parents = tuple(np.flatnonzero(arrows).tolist())
    now = families.score(column, parents)
    adding, deleting = np.full((2, len(arrows)), -np.inf)
    others = [other for other in range(len(arrows)) if other != column and not arrows[other]]
    adding[others] = families.scores(column, parents, others) - now
    for parent in parents:
        rest = tuple(other for other in parents if other != parent)
        deleting[parent] = families.score(column, rest) - now
    return adding, deleting


def reachable(arrows: np.ndarray) -> np.ndarray:
    """Say which column a path leads to from which, itself included; bool, shape of ``arrows``."""
    leads = arrows | np.eye(len(arrows), dtype=bool)
    for _ in range(max(len(arrows) - 1, 1).bit_length()):  # paths double in length
        leads = leads @ leads
    return leads


def arrows_of(parents: Sequence[Parents]) -> np.ndarray:
    """Return the arrows from parents (rows) to columns, bool of shape (columns, columns)."""
    arrows = np.zeros((len(parents), len(parents)), dtype=bool)
    for column, found in enumerate(parents):
        arrows[list(found), column] = True
    return arrows


def parents_first(parents: Sequence[Parents]) -> list[int]:
    """Order columns so that each comes after all that lead to it: by how many these are."""
    return np.argsort(reachable(arrows_of(parents)).sum(axis=0), kind="stable").tolist()
