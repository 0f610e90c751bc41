"""Mixtures of components within which all columns are independent, learned by stochastic EM.

Rows are codes of cells beside numbers on a standard normal scale. Within a component a code has a
distribution of its own, and so has a number, a normal one, in the rows whose code says that there
is one. One matrix product over one-hot codes, numbers and their squares gives the logarithm of the
density of a batch of rows in every component; another gives the sums that the components are
learned from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...bench.contracts import Checkpoint
from ..views.cells import NOWHERE

DENSE = 30  # cells for each column up to which one-hot codes are cheaper as a dense matrix
DECAY = 0.6  # exponent of the step length, in (0.5, 1]; Cappe and Moulines 2009
DELAY = 2.0  # steps by which the first one is shortened
ROWS_AT_ONCE = 4096
REPORT = 10  # steps between two reports
SMALLEST = 1e-6  # variance, and rows of a component


@dataclass(frozen=True)
class Layout:
    """Where codes and numbers stand among the features of a row.

    Parameters
    ----------
    sizes : tuple of int
        Number of cells of each column, >= 1.
    numeric : tuple of (int, int)
        For each number its column and the cell that says that there is one.
    """

    sizes: tuple[int, ...]
    numeric: tuple[tuple[int, int], ...]

    @property
    def cells(self) -> int:
        """Number of cells of all columns."""
        return sum(self.sizes)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the cells of each column begin, int64."""
        return np.cumsum([0, *self.sizes[:-1]])

    @cached_property
    def open_cells(self) -> np.ndarray:
        """Where the cells with numbers are, int64 of shape (numbers,)."""
        return np.array([self.starts[c] + cell for c, cell in self.numeric], dtype=np.int64)

    def one_hot(self, codes: np.ndarray) -> Any:
        """Return codes one-hot, a row of zeros for ``NOWHERE``.

        Returns
        -------
        ndarray or csr_array of float32, shape (rows, cells)
        """
        from scipy.sparse import csr_array

        rows, columns = np.nonzero(codes != NOWHERE)
        places = (codes + self.starts)[rows, columns]
        if self.cells > DENSE * len(self.sizes):
            ones = np.ones(len(rows), dtype=np.float32)
            return csr_array((ones, (rows, places)), shape=(len(codes), self.cells))
        matrix = np.zeros((len(codes), self.cells), dtype=np.float32)
        matrix[rows, places] = 1
        return matrix

    def by_column(self, cells: np.ndarray) -> np.ndarray:
        """Sum the rows of a matrix of shape (cells, n) over the cells of each column."""
        return np.add.reduceat(cells, self.starts, axis=0)

    def spread(self, columns: np.ndarray) -> np.ndarray:
        """Repeat each row of a matrix of shape (columns, n) for all cells of the column."""
        return np.repeat(columns, self.sizes, axis=0)


@dataclass(frozen=True)
class Mixture:
    """Components and their weights.

    Parameters
    ----------
    layout : Layout
        Of the features.
    log_weights : ndarray of float32, shape (components,)
    log_chances : ndarray of float32, shape (cells, components)
        Of the cells, within each column.
    means, variances : ndarray of float32, shape (numbers, components)
    """

    layout: Layout
    log_weights: np.ndarray
    log_chances: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        """What one-hot codes, and numbers beside their squares, are multiplied by."""
        constant = np.log(2 * np.pi * self.variances) + self.means**2 / self.variances
        chances = self.log_chances.copy()
        chances[self.layout.open_cells] -= constant / 2
        return chances, np.concatenate([self.means, np.full_like(self.means, -0.5)]) / np.tile(
            self.variances, (2, 1)
        )

    def log_joint(self, one_hot: Any, numbers: np.ndarray) -> np.ndarray:
        """Return log densities of rows and components, float32 of shape (rows, components)."""
        chances, factors = self._factors
        densities = np.asarray(one_hot @ chances)
        if numbers.shape[1]:
            densities += np.hstack([numbers, numbers**2]) @ factors
        densities += self.log_weights
        return densities

    def log_density(self, codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the log density of each row, float64 of shape (rows,)."""
        found = np.empty(len(codes))
        for begun in range(0, len(codes), ROWS_AT_ONCE):
            part = slice(begun, begun + ROWS_AT_ONCE)
            joint = self.log_joint(self.layout.one_hot(codes[part]), numbers[part])
            found[part] = normalise(joint)
        return found

    def components(
        self, codes: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw the component of each row, given the codes that are not ``NOWHERE``."""
        drawn = np.empty(len(codes), dtype=np.int64)
        for begun in range(0, len(codes), ROWS_AT_ONCE):
            part = slice(begun, begun + ROWS_AT_ONCE)
            joint = self.log_joint(self.layout.one_hot(codes[part]), numbers[part])
            normalise(joint)
            reached = np.cumsum(joint, axis=1, dtype=np.float64)
            heights = rng.random(len(joint)) * reached[:, -1]
            drawn[part] = (reached <= heights[:, None]).sum(axis=1)
        return np.minimum(drawn, len(self.log_weights) - 1)


def normalise(joint: np.ndarray) -> np.ndarray:
    """Turn log densities into shares of the components, in place; return those of the rows."""
    largest = joint.max(axis=1, keepdims=True)
    joint -= largest
    np.exp(joint, out=joint)
    sums = joint.sum(axis=1, keepdims=True)
    joint /= sums
    return (np.log(sums) + largest)[:, 0].astype(np.float64)


class StochasticEm:
    """EM on batches: the sums that components are learned from are running averages.

    Of every batch the sums are taken as if it was the whole table, and pull the running ones by a
    step that falls with time (Cappe and Moulines 2009). A table that is one batch is learned by EM
    itself (Dempster, Laird and Rubin 1977). Every component counts ``prior`` rows more than it has,
    of the whole table's distribution, and for a number ``prior`` rows that have one: the most
    probable parameters under a conjugate prior.

    Parameters
    ----------
    layout : Layout
        Of the features.
    codes : ndarray of int64, shape (rows, columns)
    numbers : ndarray of float32, shape (rows, numbers)
        0 where a row has no number.
    components : int
        How many, >= 1.
    prior : float
        Rows, > 0.
    batch : int
        Rows in a batch, >= 1; the whole table where it has fewer than two batches.
    seed : int
        Of the first components and the orders of rows.
    """

    def __init__(
        self,
        layout: Layout,
        codes: np.ndarray,
        numbers: np.ndarray,
        *,
        components: int,
        prior: float,
        batch: int,
        seed: int,
    ) -> None:
        self.layout, self.codes, self.numbers = layout, codes, numbers
        self.prior, self.seed = prior, seed
        self.batch = batch if 2 * batch <= len(codes) else len(codes)
        self.per_pass = len(codes) // self.batch
        places = (codes + layout.starts).ravel()
        shares = np.bincount(places, minlength=layout.cells) / len(codes)
        self._pseudo = (prior * shares).astype(np.float32)[:, None]
        self._start(components, shares)
        self.done = 0
        self._order = np.empty(0, dtype=np.int64)

    @property
    def state(self) -> dict[str, Any]:
        """What steps change."""
        return {"done": self.done, "rows": self.rows.copy(), "sums": self.sums.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from another learner's state."""
        self.done, self.rows, self.sums = state["done"], state["rows"], state["sums"]

    def _start(self, components: int, shares: np.ndarray) -> None:
        """Make each component half of the table and half of one row of it."""
        rng = np.random.default_rng((self.seed, 0))
        rows = rng.permuted(np.arange(max(components, len(self.codes))) % len(self.codes))
        rows = rows[:components]
        each = len(self.codes) / components
        one_hot = self.layout.one_hot(self.codes[rows])
        one_hot = one_hot if isinstance(one_hot, np.ndarray) else one_hot.toarray()
        cells = one_hot.T + shares[:, None]
        numbers = self.numbers[rows].T
        open_shares = shares[self.layout.open_cells][:, None]
        squares = numbers**2 + open_shares
        self.rows = np.full(components, each, dtype=np.float32)
        self.sums = (np.concatenate([cells, numbers, squares]) * each / 2).astype(np.float32)

    def step(self) -> float:
        """Take one step; return the mean log density of its batch before it."""
        passes, place = divmod(self.done, self.per_pass)
        if place == 0 or not len(self._order):
            rng = np.random.default_rng((self.seed, 1, passes))
            self._order = rng.permutation(len(self.codes))
        part = self._order[place * self.batch : (place + 1) * self.batch]
        one_hot, numbers = self.layout.one_hot(self.codes[part]), self.numbers[part]
        shares = self.mixture.log_joint(one_hot, numbers)
        found = normalise(shares)
        each = np.float32(len(self.codes) / len(part))
        length = (self.done + DELAY) ** -DECAY if self.per_pass > 1 else 1.0
        sums = np.concatenate(
            [np.asarray(one_hot.T @ shares), numbers.T @ shares, (numbers**2).T @ shares]
        )
        self.sums += np.float32(length) * (each * sums - self.sums)
        self.rows += np.float32(length) * (each * shares.sum(axis=0) - self.rows)
        self.done += 1
        return float(found.mean())

    @property
    def mixture(self) -> Mixture:
        """What the sums say."""
        layout = self.layout
        ends = layout.cells, layout.cells + len(layout.numeric)
        cells, first, second = np.split(self.sums, ends)
        cells = cells + self._pseudo
        chances = np.log(cells) - layout.spread(np.log(layout.by_column(cells)))
        known = self.sums[layout.open_cells] + np.float32(self.prior)
        means = first / known
        variances = np.maximum((second + np.float32(self.prior)) / known - means**2, SMALLEST)
        weights = np.log(np.maximum(self.rows, SMALLEST)) - math.log(self.rows.sum())
        return Mixture(layout, weights, chances, means, variances)


def learn(
    em: StochasticEm, steps: int, *, progress: Callable[..., None], checkpoint: Checkpoint
) -> Mixture:
    """Take all steps, beginning where the checkpoint is."""
    if kept := checkpoint.load():
        em.restore(kept)
    while em.done < steps:
        density = em.step()
        if em.done % REPORT == 0 or em.done == steps:
            progress(em.done, steps, negative_log_density=-density)
            checkpoint.save(lambda: em.state)
    return em.mixture
