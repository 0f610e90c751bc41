"""Cells: what discrete models see of a column, and the way back to its values.

A cell holds one value, or a bin of neighbouring ones. Categories and a missing value are cells of
their own, and so are numbers that occur too often to be taken for points of a density, such as the
zeros of a capital gain. All other numbers of train fall into bins with about equal shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOWHERE = -1  # the cell of a value that train has nothing to say about
HEAVY_SHARE = 0.01  # of the known values, from which on a number may have a cell of its own,
HEAVY_RATIO = 4.0  # if it occurs so many times as often as the median distinct number
REPEATS = 5  # mean count of a distinct number from which on a few numbers are all values


@dataclass(frozen=True)
class Cells:
    """The cells of one column: first single values, then bins.

    Parameters
    ----------
    single : ndarray of float64, shape (values,)
        Values with cells of their own, ascending, NaN (missing) last.
    rest : ndarray of float64, shape (rows in bins,)
        The other values of train, ascending, with repeats.
    edges : ndarray of float64, shape (bins - 1,)
        Ends between bins, ascending; a bin holds its lower end.
    is_numeric : bool
        Whether values between two others mean something.
    """

    single: np.ndarray
    rest: np.ndarray
    edges: np.ndarray
    is_numeric: bool

    @classmethod
    def of(cls, values: np.ndarray, is_numeric: bool, bins: int, few: int, most: int) -> Cells:
        """Lay cells over a column.

        Parameters
        ----------
        values : ndarray of float64, shape (rows,)
            At least one; NaN where missing.
        is_numeric : bool
            Numbers rather than codes of categories.
        bins : int
            Most bins of a numeric column, >= 1.
        few : int
            Up to so many distinct numbers, each repeated, all have cells of their own.
        most : int
            Up to so many categories have cells of their own, >= 1; what is rarer shares one more.
        """
        distinct, counts = np.unique(values, return_counts=True)  # NaN once, and last
        known = ~np.isnan(distinct)
        kept = ~known
        kept[known] = (
            _are_single(counts[known], few) if is_numeric else _are_frequent(counts[known], most)
        )
        found = np.searchsorted(distinct, values)
        rest = np.sort(values[~kept[found]])
        edges = np.empty(0)
        if len(rest):
            levels = np.arange(1, bins if is_numeric else 1) / bins
            edges = np.unique(np.quantile(rest, levels, method="higher"))
            edges = edges[edges > rest[0]]  # so that no bin is empty
        return cls(distinct[kept], rest, edges, is_numeric)

    @property
    def bins(self) -> int:
        """How many cells are bins."""
        return len(self.edges) + 1 if len(self.rest) else 0

    @property
    def size(self) -> int:
        """How many cells there are."""
        return len(self.single) + self.bins

    @property
    def starts(self) -> np.ndarray:
        """Where each bin begins in ``rest``, and where the last one ends; int64."""
        return np.concatenate([[0], np.searchsorted(self.rest, self.edges), [len(self.rest)]])

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the cell of each value, int64.

        A number that train lacks is in the nearest cell, a category that it lacks with the rare
        ones. ``NOWHERE`` is for a missing value, or a category, where there is no such cell.
        """
        known = self.single[~np.isnan(self.single)]
        codes = np.full(len(values), NOWHERE)
        if self.bins:
            codes[:] = len(self.single) + np.searchsorted(self.edges, values, side="right")
        elif self.is_numeric and len(known):
            codes[:] = np.searchsorted((known[1:] + known[:-1]) / 2, values)
        if len(known):
            places = np.minimum(np.searchsorted(known, values), len(known) - 1)
            equal = known[places] == values
            codes[equal] = places[equal]
        codes[np.isnan(values)] = len(known) if len(known) < len(self.single) else NOWHERE
        return codes

    def values(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn cells into values: within a bin by its empirical distribution.

        Numbers are interpolated between neighbouring ones of train, categories are drawn by how
        often they occur.

        Parameters
        ----------
        codes : ndarray of int64, shape (n,)
            In [0, size).
        """
        drawn = np.empty(len(codes))
        heights = rng.random(len(codes))
        in_bin = codes >= len(self.single)
        drawn[~in_bin] = self.single[codes[~in_bin]]
        if in_bin.any():
            drawn[in_bin] = self._in_bins(codes[in_bin] - len(self.single), heights[in_bin])
        return drawn

    def _in_bins(self, bins: np.ndarray, heights: np.ndarray) -> np.ndarray:
        first, last = self.starts[bins], self.starts[bins + 1] - 1
        if not self.is_numeric:
            places = first + heights * (last + 1 - first)
            return self.rest[np.minimum(places.astype(np.int64), last)]
        places = first + heights * (last - first)
        return np.interp(places, np.arange(len(self.rest)), self.rest)


def _are_single(counts: np.ndarray, few: int) -> np.ndarray:
    """Say which distinct numbers have cells of their own."""
    if not len(counts):
        return np.zeros(0, dtype=bool)
    if len(counts) == 1 or (len(counts) <= few and counts.mean() >= REPEATS):
        return np.ones(len(counts), dtype=bool)
    return are_heavy(counts)


def are_heavy(counts: np.ndarray) -> np.ndarray:
    """Say which distinct numbers occur too often to be taken for points of a density.

    Parameters
    ----------
    counts : ndarray of int64, shape (distinct numbers,)
        How often each occurs, at least one.
    """
    share = counts / counts.sum()
    return (share >= HEAVY_SHARE) & (counts >= HEAVY_RATIO * np.median(counts))


def _are_frequent(counts: np.ndarray, most: int) -> np.ndarray:
    """Say which categories are among the most frequent ones."""
    frequent = np.zeros(len(counts), dtype=bool)
    frequent[np.argsort(-counts, kind="stable")[:most]] = True
    return frequent


def draw_cells(chances: np.ndarray, given: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a cell for each row from the distribution it is given.

    Parameters
    ----------
    chances : ndarray of float64, shape (distributions, cells)
        Not negative; any positive sum.
    given : ndarray of int64, shape (n,)
        Which distribution each row draws from.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    distributions, cells = chances.shape
    cumulated = np.cumsum(chances, axis=1)
    ends = cumulated / cumulated[:, -1:] + np.arange(distributions)[:, None]
    drawn = np.searchsorted(ends.ravel(), given + rng.random(len(given)), side="right")
    return np.clip(drawn - given * cells, 0, cells - 1)
