"""Scales: numbers on the way to what models learn, and back.

Matrices have a row per table row and a column per numeric column; a missing value is NaN going in
and has no way back: whether a value is missing is a code of its own (``mixed``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common import Atoms


@dataclass(frozen=True)
class Marginal:
    """The empirical distribution of one column.

    Parameters
    ----------
    known : ndarray of float64, shape (m,)
        Values that are not missing, ascending, with repeats.
    missing_share : float
        In [0, 1].
    smooth : bool
        Whether quantiles are interpolated between neighbouring values.
    """

    known: np.ndarray
    missing_share: float
    smooth: bool

    @classmethod
    def of(cls, values: np.ndarray, smooth: bool) -> Marginal:
        """Learn the distribution of a column (NaN: missing)."""
        known = np.sort(values[~np.isnan(values)])
        return cls(known, 1 - len(known) / len(values), smooth)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        """Values at ``levels`` in [0, 1]; NaN below the share of missing ones."""
        m = len(self.known)
        if not m:
            return np.full(len(levels), np.nan)
        known_levels = (levels - self.missing_share) / (1 - self.missing_share)
        places = np.clip(known_levels * m, 0, m)
        if self.smooth:
            values = np.interp(places, np.arange(m) + 0.5, self.known)
        else:
            values = self.known[np.minimum(places.astype(np.int64), m - 1)]
        return np.where(levels < self.missing_share, np.nan, values)

    def levels(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Levels of ``values``: F(x-) + V (F(x) - F(x-)) with V uniform (Rueschendorf 2009)."""
        m = max(len(self.known), 1)
        below = np.searchsorted(self.known, values, side="left") / m
        upto = np.searchsorted(self.known, values, side="right") / m
        spread = rng.random(len(values))
        known_levels = below + spread * (upto - below)
        levels = self.missing_share + (1 - self.missing_share) * known_levels
        return np.where(np.isnan(values), spread * self.missing_share, levels)


@dataclass(frozen=True)
class NormalScores:
    """Every column on a standard normal scale by its ranks, as a quantile transform does.

    Equal values share one score on the way in; on the way back every score between those of two
    ranks of a value is that value, so shares of repeated values survive.

    Parameters
    ----------
    atoms : sequence of Atoms
        Of the known values of each column, at least one each.
    marginals : sequence of Marginal
        Of the same.
    """

    atoms: Sequence[Atoms]
    marginals: Sequence[Marginal]

    @classmethod
    def of(cls, numbers: np.ndarray) -> NormalScores:
        """Learn from numbers of shape (rows, columns), NaN where missing."""
        columns = [column[~np.isnan(column)] for column in numbers.T]
        return cls([Atoms.of(c) for c in columns], [Marginal.of(c, smooth=True) for c in columns])

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Return normal scores; NaN stays."""
        columns = [
            np.where(np.isnan(column), np.nan, np.interp(column, atoms.distinct, atoms.scores))
            for column, atoms in zip(numbers.T, self.atoms, strict=True)
        ]
        return np.stack(columns, axis=1) if columns else numbers.copy()

    def numbers(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers at any scores."""
        from scipy.special import ndtr

        columns = [
            marginal.quantiles(ndtr(column))
            for column, marginal in zip(scaled.T, self.marginals, strict=True)
        ]
        return np.stack(columns, axis=1) if columns else scaled.copy()


@dataclass(frozen=True)
class Standard:
    """Every column with mean 0 and standard deviation 1 over its known values.

    Parameters
    ----------
    means, deviations : ndarray of float64, shape (columns,)
        Deviations are > 0.
    """

    means: np.ndarray
    deviations: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Standard:
        """Learn from numbers of shape (rows, columns), NaN where missing."""
        deviations = np.nanstd(numbers, axis=0)
        return cls(np.nanmean(numbers, axis=0), np.where(deviations > 0, deviations, 1.0))

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Return standardised numbers; NaN stays."""
        return (numbers - self.means) / self.deviations

    def numbers(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers of any standardised ones."""
        return scaled * self.deviations + self.means


@dataclass(frozen=True)
class Range:
    """Every column from ``low`` at its least known value to ``high`` at its largest.

    Parameters
    ----------
    least, reach : ndarray of float64, shape (columns,)
        Least values and distances to the largest, > 0.
    low, high : float
        Where they go.
    """

    least: np.ndarray
    reach: np.ndarray
    low: float
    high: float

    @classmethod
    def of(cls, numbers: np.ndarray, low: float = 0.0, high: float = 1.0) -> Range:
        """Learn from numbers of shape (rows, columns), NaN where missing."""
        least = np.nanmin(numbers, axis=0)
        reach = np.nanmax(numbers, axis=0) - least
        return cls(least, np.where(reach > 0, reach, 1.0), low, high)

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Return scaled numbers; NaN stays."""
        return self.low + (self.high - self.low) * ((numbers - self.least) / self.reach)

    def numbers(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers at any scaled ones; beyond the ends, those of the ends."""
        shares = (np.clip(scaled, self.low, self.high) - self.low) / (self.high - self.low)
        return self.least + shares * self.reach


@dataclass(frozen=True)
class Ranks:
    """Every column in (0, 1) by its ranks: the levels of its normal scores.

    Parameters
    ----------
    scores : NormalScores
        Of the columns.
    """

    scores: NormalScores

    @classmethod
    def of(cls, numbers: np.ndarray) -> Ranks:
        """Learn from numbers of shape (rows, columns), NaN where missing."""
        return cls(NormalScores.of(numbers))

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """Return ranks; NaN stays."""
        from scipy.special import ndtr

        return ndtr(self.scores.scaled(numbers))

    def numbers(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers at any ranks in [0, 1]."""
        from scipy.special import ndtri

        return self.scores.numbers(ndtri(scaled))
