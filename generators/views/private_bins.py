"""Edges of numeric columns that follow the rows, paid for inside the budget.

A column is seen on a grid of public cells: one for each whole number, 2**20 for a continuous one.
Edges lie between cells, so both methods choose from a finite set and whole numbers lie inside bins.
Numbers outside the bounds count at the nearest cell, missing ones nowhere.

Quantiles halve the rows level by level (Kaplan, Schnapp and Stemmer 2022, arXiv:2110.05429).
PrivTree halves the grid where rows are (Zhang, Xiao and Xie 2016, arXiv:1601.03229), and its leaves
are merged to the bins that show most. The number of rows enters neither but through counts that
the proofs cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...bench.schema import Column
from ..privacy.allowance import Allowance

CELLS = 2**20  # of a continuous column
LEAVES = 64  # for each bin, at which a tree stops to grow
QUANTILES = "edges by quantiles"
TREE = "edges by PrivTree"
LEAF_COUNTS = "leaves of PrivTree"


@dataclass(frozen=True)
class Grid:
    """The public cells of one bounded numeric column.

    Parameters
    ----------
    low, high : float
        Outer ends of the first and of the last cell.
    cells : int
        How many of equal width; 0 if they would have none.
    """

    low: float
    high: float
    cells: int

    @classmethod
    def of(cls, column: Column) -> Grid:
        """Lay cells between the bounds of a numeric column."""
        if column.kind == "continuous":
            return cls(column.lower, column.upper, CELLS if column.lower < column.upper else 0)
        return cls(column.lower - 0.5, column.upper + 0.5, int(column.upper - column.lower) + 1)

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """Return the cells of all numbers but NaN, int64, in ascending order."""
        known = np.clip(numbers[~np.isnan(numbers)], self.low, self.high)
        found = ((known - self.low) * (self.cells / (self.high - self.low))).astype(np.int64)
        return np.sort(np.minimum(found, self.cells - 1))

    def edges(self, cuts: np.ndarray) -> np.ndarray:
        """Return the ends of bins that are cut before the cells ``cuts``, 0 < cut < cells."""
        inner = self.low + np.sort(cuts) * ((self.high - self.low) / self.cells)
        return np.concatenate([[self.low], inner, [self.high]])


def needs_rows(column: Column, bins: int) -> bool:
    """Whether the public domain leaves a choice: there are more cells than ``bins``."""
    return not column.is_discrete and 1 < bins < Grid.of(column).cells


def private_edges(
    column: Column,
    series: pd.Series,
    method: str,
    bins: int,
    share: float,
    allowance: Allowance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Choose the ends of at most ``bins`` bins of a column that ``needs_rows``.

    Parameters
    ----------
    column : Column
        Numeric, with both bounds.
    series : Series
        Its values; read through the mechanisms below only.
    method : {"quantile", "privtree"}
        How.
    bins : int
        The most, > 1.
    share : float
        Of the budget; all of it is spent.
    allowance : Allowance
        Pays.
    rng : Generator
        Of the noise.

    Returns
    -------
    ndarray of float64, shape (at most bins + 1,)
        Ascending, from the lower to the upper public bound.
    """
    grid = Grid.of(column)
    places = grid.places(column.numbers(series))
    cuts = {"quantile": quantile_cuts, "privtree": tree_cuts}[method]
    return grid.edges(cuts(places, grid.cells, bins, share, allowance, rng))


def quantile_cuts(
    places: np.ndarray,
    cells: int,
    bins: int,
    share: float,
    allowance: Allowance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Cut at the quantile that halves the bins, then at that of either side, and so on.

    Every level has an equal share. Its choices see disjoint rows, so together they cost what one of
    them does; where a row is replaced it may leave one part and enter another, which is paid for.
    A part is cut before the cell that was chosen, or after it if the part begins there, so a value
    that many rows share has a bin of its own after two levels.
    """
    levels = (bins - 1).bit_length()
    parts = [(0, cells, bins)]  # first cell, end, how many bins it will hold
    cuts = []
    for _ in range(levels):
        epsilon = _of_one_row(allowance.pure(share / levels, QUANTILES), allowance)
        halves = []
        for start, stop, held in parts:
            if held == 1 or stop - start == 1:
                continue
            left = held // 2
            inside = places[np.searchsorted(places, start) : np.searchsorted(places, stop)]
            firsts, chances = cell_chances(inside, start, stop, left / held, epsilon)
            run = np.searchsorted(np.cumsum(chances)[:-1], rng.random(), side="right")
            cell = int(rng.integers(firsts[run], firsts[run + 1]))
            cut = max(cell, start + 1)
            cuts.append(cut)
            halves += [(start, cut, left), (cut, stop, held - left)]
        parts = halves
    return np.array(cuts, dtype=np.int64)


def cell_chances(
    places: np.ndarray, start: int, stop: int, quantile: float, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Chances of every cell to be taken for a quantile by the exponential mechanism (Smith 2011).

    A cell's score is how many rows too many lie below or above it, negative: -max(0, below -
    quantile n, above - (1 - quantile) n) for n rows. A row more or less moves it by at most
    max(quantile, 1 - quantile), whatever n is. Empty cells between neighbouring rows have one score
    and make one run.

    Parameters
    ----------
    places : ndarray of int64
        Cells of the rows in this part, ascending.
    start, stop : int
        First cell of the part, and the one after its last.
    quantile : float
        In (0, 1).
    epsilon : float
        In (0, inf], for a row more or less.

    Returns
    -------
    firsts : ndarray of int64, shape (runs + 1,)
        The first cell of every run, then ``stop``.
    chances : ndarray of float64, shape (runs,)
        Of the runs; every cell of a run has an equal part.
    """
    firsts = np.unique(np.concatenate([[start, stop], places, places + 1]))
    below = np.searchsorted(places, firsts[:-1], side="left")
    above = len(places) - np.searchsorted(places, firsts[:-1], side="right")
    too_many = np.maximum(below - quantile * len(places), above - (1 - quantile) * len(places))
    scores = -np.maximum(too_many, 0.0)
    behind = scores - scores.max()
    if np.isinf(epsilon):
        weights = np.where(behind == 0, 1.0, 0.0)
    else:
        weights = np.exp(behind * (epsilon / (2 * max(quantile, 1 - quantile))))
    weights *= np.diff(firsts)
    return firsts, weights / weights.sum()


def tree_cuts(
    places: np.ndarray,
    cells: int,
    bins: int,
    share: float,
    allowance: Allowance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Halve parts of the grid that hold rows, then merge leaves down to ``bins``.

    Half of the share pays for the tree, whatever its depth, and half for the counts of its leaves,
    as in the paper. The tree stops once it has ``LEAVES`` leaves for each bin.
    """
    epsilon = _of_one_row(allowance.pure(share / 2, TREE), allowance)
    starts, stops = np.array([0]), np.array([cells])
    ends = np.array([0, cells])
    depth = 0
    while len(starts) and len(ends) <= LEAVES * bins:
        counts = np.searchsorted(places, stops) - np.searchsorted(places, starts)
        split = rng.random(len(starts)) < split_chances(counts, depth, epsilon)
        split &= stops - starts > 1
        starts, stops = starts[split], stops[split]
        middles = (starts + stops) // 2
        ends = np.concatenate([ends, middles])
        starts, stops = np.concatenate([starts, middles]), np.concatenate([middles, stops])
        depth += 1
    ends = np.sort(ends)
    counts = np.diff(np.searchsorted(places, ends))
    return merged(ends, allowance.noisy(counts, share / 2, LEAF_COUNTS, rng), bins)[1:-1]


def split_chances(counts: np.ndarray, depth: int, epsilon: float) -> np.ndarray:
    """Chance that PrivTree splits a part with so many rows into two (theta = 0).

    Splits where max(count - depth decay, -decay) plus Laplace noise exceeds 0, with noise of scale
    3 / epsilon and decay = scale log(2): theorem 3.1 of the paper with fan-out 2.

    Parameters
    ----------
    counts : ndarray of int64, shape (parts,)
        Rows in every part.
    depth : int
        Of the parts below the whole grid.
    epsilon : float
        In (0, inf], for a row more or less in the whole tree.

    Returns
    -------
    ndarray of float64, shape (parts,)
    """
    if np.isinf(epsilon):
        return np.where(counts > 0, 1.0, 0.0)
    excess = np.maximum(counts * (epsilon / 3) - depth * np.log(2), -np.log(2))
    tails = np.exp(-np.abs(excess)) / 2
    return np.where(excess > 0, 1 - tails, tails)


def merged(ends: np.ndarray, counts: np.ndarray, bins: int) -> np.ndarray:
    """Merge neighbouring parts of most equal density until at most ``bins`` are left.

    What a merger costs is how many rows it moves over the middle end, evenly spread as they are
    taken to be. It reads noisy counts only.
    """
    counts = np.array(counts)
    while len(counts) > bins:
        widths = np.diff(ends)
        moved = np.abs(counts[:-1] * widths[1:] - counts[1:] * widths[:-1])
        place = int(np.argmin(moved / (widths[:-1] + widths[1:])))
        counts[place] += counts[place + 1]
        counts, ends = np.delete(counts, place + 1), np.delete(ends, place + 1)
    return ends


def _of_one_row(epsilon: float, allowance: Allowance) -> float:
    """Epsilon for a row more or less; replacing one does both."""
    return epsilon if allowance.budget.neighbours == "add_remove" else epsilon / 2
