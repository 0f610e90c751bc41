"""Mode-specific normalisation: a number as one of its column's modes and an offset from it.

Section 4.2 of Xu et al. 2019 (arXiv:1907.00503): a variational Gaussian mixture finds the modes of
every column; a value belongs to mode k with the probability that the mixture gives it, and its
offset is (value - mean_k) / (4 deviation_k), in [-1, 1].

What is chosen where the paper is silent: a value that many rows share (no capital gain), and each
of few, is a mode of its own without width, so that it comes back as it was; the mixture is of the
others. After modes below the threshold are dropped, the rest are fitted again. A value beyond the
reach of its mode comes back at the end of it. A missing value is one more mode of its column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from ..common import check_at_least, check_rows
from .blocks import Blocks
from .cells import are_heavy
from .mixed import Mixed, Variable
from .normal_mixtures import Points, Priors, mixture, softmax

if TYPE_CHECKING:
    from torch import Tensor

REACH = 4.0  # deviations that an offset of 1 stands for
CHUNK = 4096  # values looked at together, so that they stay in the cache
NO_WIDTH = float(np.finfo(np.float64).tiny)  # deviation of a single value
PRIORS = Priors(concentration=1e-3, mean_strength=1.0, variance=1.0)  # as in the authors' code


@dataclass(frozen=True)
class Modes:
    """The modes of every numeric column.

    Parameters
    ----------
    shares, means, deviations : ndarray of float64, shape (columns, most)
        In ascending order of the means; a mode that there is not has the share 0 and comes last.
        Deviations are > 0.
    missing : ndarray of bool, shape (columns,)
        Whether there is one more mode, the last, of values that are missing.
    """

    shares: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, most: int, threshold: float) -> Modes:
        """Find at most ``most`` modes in each column: frequent values, and a mixture of the others.

        ``threshold`` is the least share of a mode of the mixture.

        Numbers have shape (rows, columns), NaN where missing, and two distinct values a column.
        """
        columns = [column[~np.isnan(column)] for column in numbers.T]
        single = [_single(column, most) for column in columns]
        others = [x[~np.isin(x, alone)] for x, alone in zip(columns, single, strict=True)]
        parts = np.zeros((3, len(columns), most))
        parts[1], parts[2] = np.inf, 1.0
        left = np.array([len(rest) > 0 for rest in others], dtype=bool)
        if left.any():
            rest = [column for column in others if len(column)]
            limits = most - np.array([len(alone) for alone in single])[left]
            parts[:, left, : limits.max()] = _mixtures(rest, limits, threshold)
        for position, (column, alone) in enumerate(zip(columns, single, strict=True)):
            own = np.searchsorted(np.sort(column), [alone, np.nextafter(alone, np.inf)])
            shares = (own[1] - own[0]) / len(column)
            parts[0, position] *= 1 - shares.sum()
            parts[:, position, most - len(alone) :] = shares, alone, np.full(len(alone), NO_WIDTH)
        order = np.argsort(parts[1], axis=1)
        shares, means, deviations = np.take_along_axis(parts, order[None], axis=2)
        means[shares == 0] = 0.0
        return cls(shares, means, deviations, np.isnan(numbers).any(axis=0).reshape(-1))

    @property
    def counts(self) -> np.ndarray:
        """How many modes each column has, without that of missing values."""
        return (self.shares > 0).sum(axis=1)

    def split(self, numbers: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the mode of each number, and see how far it is from the mode's mean.

        Returns
        -------
        tuple of ndarray
            int32 and float32 of the shape of ``numbers``; the offset of a missing value is 0.
        """
        modes = np.empty(numbers.shape, dtype=np.int32)
        offsets = np.zeros(numbers.shape, dtype=np.float32)
        for position, count in enumerate(self.counts):
            modes[:, position] = count
            known = np.flatnonzero(~np.isnan(numbers[:, position]))
            for begun in range(0, len(known), CHUNK):
                rows = known[begun : begun + CHUNK]
                drawn = self._drawn(position, numbers[rows, position], rng)
                modes[rows, position], offsets[rows, position] = drawn
        return modes, offsets

    def _drawn(
        self, position: int, values: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw modes, and see offsets, of known values of one column."""
        kept = position, slice(self.counts[position]), None
        with np.errstate(over="ignore"):
            apart = (values - self.means[kept]) / self.deviations[kept]
            heights = np.log(self.shares[kept]) - np.log(self.deviations[kept]) - apart**2 / 2
        levels = np.cumsum(softmax(heights, axis=0), axis=0)
        chosen = (rng.random(len(values)) > levels[:-1]).sum(axis=0)
        return chosen, np.clip(apart[chosen, np.arange(len(values))] / REACH, -1, 1)

    def numbers(self, modes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Put modes and offsets together; NaN where the mode is that of missing values."""
        columns = np.arange(len(self.counts))
        kept = np.minimum(modes, self.counts - 1)
        reach = REACH * np.where(self.deviations > NO_WIDTH, self.deviations, 0.0)
        values = self.means[columns, kept] + reach[columns, kept] * offsets
        return np.where(modes < self.counts, values, np.nan)


def _single(column: np.ndarray, most: int) -> np.ndarray:
    """Return the values of a column that are modes of their own, ascending."""
    distinct, counts = np.unique(column, return_counts=True)
    if len(distinct) <= most:
        return distinct
    frequent = np.argsort(-np.where(are_heavy(counts), counts, 0), kind="stable")
    kept = frequent[: min(are_heavy(counts).sum(), most - 1)]
    return distinct[np.sort(kept)]


def _mixtures(columns: list[np.ndarray], limits: np.ndarray, threshold: float) -> np.ndarray:
    """Fit a mixture of at most so many modes to each column.

    Returns
    -------
    ndarray of float64, shape (3, columns, max of limits)
        Shares, means and deviations; the mean of a mode that there is not is infinite.
    """
    moments = np.array([_moments(column) for column in columns])
    centres, scales = moments[:, :1], moments[:, 1:]
    standard = [(x - m) / s for x, m, s in zip(columns, centres, scales, strict=True)]
    found = mixture(Points.of(standard), limits, threshold, PRIORS)
    shares = np.where(found.shares > threshold, found.shares, 0.0)
    means = np.where(shares > 0, found.means * scales + centres, np.inf)
    return np.stack([shares, means, np.sqrt(found.variances) * scales])


def _moments(column: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation, > 0, of numbers whose squares may be too large or too small."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = column.mean(), column.std()
    if np.isfinite(deviation) and deviation > 0:
        return mean, deviation
    unit = np.abs(column).max()
    return (column / unit).mean() * unit, ((column / unit).std() or 1.0) * unit


@dataclass(frozen=True)
class ModeRows:
    """Rows as CTGAN and TVAE see them: one-hot blocks, then offsets.

    A block for every discrete column comes first, in table order, then one for the modes of every
    numeric column.

    Parameters
    ----------
    mixed : Mixed
        Which columns are which.
    modes : Modes
        Of the numeric ones.
    """

    mixed: Mixed
    modes: Modes

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, most: int, threshold: float) -> ModeRows:
        """Learn the modes of a table.

        Raises
        ------
        ValueError
            If the table has no rows, or a hyperparameter is out of range.
        """
        check_rows(train)
        check_at_least("modes", most, 1)
        if not 0 <= threshold < 1 / most:
            raise ValueError(
                f"threshold must be >= 0 and below 1 / modes = {1 / most:g}, so that a mode is "
                f"left, got {threshold!r}; set threshold to 0.005"
            )
        mixed = Mixed.of(train, schema)
        return cls(mixed, Modes.of(mixed.split(train)[0], most, threshold))

    @property
    def discrete(self) -> list[Variable]:
        """The discrete columns, in the order of their blocks."""
        return [v for v in self.mixed.variables if v.position not in self.mixed.numeric]

    def blocks(self, device: str = "cpu") -> Blocks:
        """Where the places of all columns stand, before the offsets."""
        modes = (self.modes.counts + self.modes.missing).tolist()
        return Blocks((*self.discrete_blocks().sizes, *modes), device)

    def wide(self) -> np.ndarray:
        """Which places are modes with a width, 1 or 0; float32 of shape (blocks().width,)."""
        rest = np.zeros(self.discrete_blocks().width)
        modes = [
            np.append(self.modes.deviations[position, :count] > NO_WIDTH, np.zeros(int(missing)))
            for position, (count, missing) in enumerate(
                zip(self.modes.counts, self.modes.missing, strict=True)
            )
        ]
        return np.concatenate([rest, *modes]).astype(np.float32)

    def discrete_blocks(self, device: str = "cpu") -> Blocks:
        """Where the places of the discrete columns stand."""
        return Blocks(tuple(len(variable.values) for variable in self.discrete), device)

    def encode(self, table: pd.DataFrame, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Encode the rows of a table.

        Returns
        -------
        tuple of Tensor
            Places, int32 of shape (rows, blocks), and offsets, float32 of shape (rows, numeric).
        """
        import torch

        numbers, codes = self.mixed.split(table)
        kept = [v.position not in self.mixed.numeric for v in self.mixed.variables]
        modes, offsets = self.modes.split(numbers, rng)
        places = np.hstack([codes[:, kept], modes]) + self.blocks().starts
        return torch.from_numpy(places.astype(np.int32)), torch.from_numpy(offsets)

    def table(self, places: np.ndarray, offsets: np.ndarray) -> pd.DataFrame:
        """Turn places and offsets back into a canonical table."""
        codes = places - self.blocks().starts
        modes = codes[:, len(self.discrete) :]
        numbers = self.modes.numbers(modes, offsets)
        absent = dict(zip(self.mixed.numeric, np.isnan(numbers).T, strict=True))
        seen = iter(codes.T)
        columns = [
            absent[v.position] if v.position in absent else next(seen) for v in self.mixed.variables
        ]
        stacked = np.column_stack(columns) if columns else codes[:, :0]
        return self.mixed.table(numbers, stacked.astype(np.int64))
