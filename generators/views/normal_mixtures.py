"""Gaussian mixtures of many columns at once, by variational inference.

The mixture of Bishop 2006, section 10.2, with the stick-breaking prior of Blei and Jordan 2006
(doi:10.1214/06-BA104), in one dimension per column. Columns are fitted on their distinct values
with weights: one of more than ``POINTS`` distinct values is cut into so many groups of like size,
whose means and variances enter. Nothing is drawn: the start is a quantiser of least error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POINTS = 500
ROUNDS = 100  # of variational updates, before modes are dropped and again after
TINY = 10 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Priors:
    """Priors of the mixture, for columns of mean 0 and variance 1.

    Parameters
    ----------
    concentration : float
        Of the sticks, > 0; the smaller, the fewer modes have weight.
    mean_strength : float
        How many values a mode's mean is held to 0 with, > 0.
    variance : float
        That a mode's variance is held to with the strength of one value, > 0.
    """

    concentration: float = 1e-3
    mean_strength: float = 1e-6
    variance: float = 1e-6


@dataclass(frozen=True)
class Points:
    """Weighted points of several columns, padded to one length by points without weight.

    Parameters
    ----------
    values, weights, variances : ndarray of float64, shape (columns, points)
        Means of groups of values, numbers of values in them, variances within them.
    """

    values: np.ndarray
    weights: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[np.ndarray]) -> Points:
        """Gather columns of known numbers, each not empty."""
        groups = [_grouped(column) for column in columns]
        padded = np.zeros((3, len(groups), max((g.shape[1] for g in groups), default=0)))
        for position, group in enumerate(groups):
            padded[:, position, : group.shape[1]] = group
        return cls(*padded)

    def start(self, most: np.ndarray) -> np.ndarray:
        """Cut every column into at most so many ranges, as a quantiser of least error would.

        Its cells are equally likely under the cube root of the density (Panter and Dite 1951).

        Parameters
        ----------
        most : ndarray of int64, shape (columns,)
            >= 1.

        Returns
        -------
        ndarray of float64, shape (columns, max of most, points)
            1 where a point lies in a range, else 0.
        """
        there = self.weights > 0
        after = np.diff(self.values, axis=1, append=0) * np.roll(there, -1, axis=1)
        after[:, -1:] = 0
        gaps = np.maximum(after + np.roll(after, 1, axis=1), 0) * there
        mass = np.cbrt(self.weights * gaps**2)
        above = np.cumsum(mass, axis=1)
        levels = (above - mass / 2) / np.maximum(above[:, -1:], np.finfo(float).tiny)
        ranges = np.minimum((levels * most[:, None]).astype(np.int64), most[:, None] - 1)
        return (ranges[:, None, :] == np.arange(most.max())[:, None]).astype(np.float64)


def _grouped(column: np.ndarray) -> np.ndarray:
    """Return values, weights and variances of at most ``POINTS`` groups; shape (3, groups)."""
    distinct, counts = np.unique(column, return_counts=True)
    if len(distinct) <= POINTS:
        return np.stack([distinct, counts, np.zeros(len(distinct))])
    middles = np.cumsum(counts) - counts / 2
    groups = np.unique((middles / len(column) * POINTS).astype(np.int64), return_inverse=True)[1]
    weights = np.bincount(groups, counts)
    means = np.bincount(groups, counts * distinct) / weights
    variances = np.bincount(groups, counts * (distinct - means[groups]) ** 2) / weights
    return np.stack([means, weights, variances])


@dataclass(frozen=True)
class Mixture:
    """Posterior of one Gaussian mixture per column; arrays have shape (columns, modes).

    Parameters
    ----------
    counts : ndarray
        Values that belong to a mode.
    sticks : tuple of ndarray
        Both parameters of the beta distributions of the sticks.
    strengths, means : ndarray
        Of the normal distributions of the means.
    variances : ndarray
        Expected ones; the Wishart distributions have 1 + ``counts`` degrees of freedom.
    """

    counts: np.ndarray
    sticks: tuple[np.ndarray, np.ndarray]
    strengths: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, points: Points, belonging: np.ndarray, priors: Priors) -> Mixture:
        """Update the posterior (Bishop 2006, equations 10.58 to 10.63)."""
        x, w = points.values, points.weights
        sums = belonging @ np.stack([w, w * x, w * (x**2 + points.variances)], axis=2)
        counts, first, second = np.moveaxis(sums, 2, 0)
        counts = counts + TINY
        centres = first / counts
        spread = np.maximum(second - counts * centres**2, 0)
        strengths = priors.mean_strength + counts
        pulled = counts * priors.mean_strength / strengths * centres**2
        later = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1] - counts
        return cls(
            counts=counts,
            sticks=(1 + counts, priors.concentration + later),
            strengths=strengths,
            means=first / strengths,
            variances=(priors.variance + spread + pulled) / (1 + counts),
        )

    @property
    def shares(self) -> np.ndarray:
        """Shares of the values that belong to the modes; 1 in total for each column."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    def belonging(self, points: Points, alive: np.ndarray) -> np.ndarray:
        """How far each point belongs to each mode (equation 10.67), (columns, modes, points)."""
        from scipy.special import digamma

        one, other = self.sticks
        both = digamma(one + other)
        lost = np.cumsum(digamma(other) - both, axis=1)
        log_shares = digamma(one) - both + lost - (digamma(other) - both)
        freedom = 1 + self.counts
        constants = log_shares + 0.5 * (
            np.log(2.0) + digamma(freedom / 2) - np.log(freedom * self.variances)
        )
        constants -= 0.5 / self.strengths
        constants[~alive] = -np.inf
        apart = (points.values[:, None, :] - self.means[:, :, None]) ** 2
        apart += points.variances[:, None, :]
        return softmax(constants[:, :, None] - 0.5 * apart / self.variances[:, :, None], axis=1)


def softmax(logarithms: np.ndarray, axis: int) -> np.ndarray:
    """Normalised exponentials along one axis."""
    shares = np.exp(logarithms - logarithms.max(axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


def mixture(points: Points, most: np.ndarray, threshold: float, priors: Priors) -> Mixture:
    """Fit mixtures of at most ``most`` modes; those whose share is below ``threshold`` are empty.

    Parameters
    ----------
    points : Points
        Of columns with mean 0 and variance 1; one at least.
    most : ndarray of int64, shape (columns,)
        >= 1.
    threshold : float
        In [0, 1 / most).
    """
    belonging = points.start(most)
    alive = np.arange(most.max()) < most[:, None]
    fitted = Mixture.of(points, belonging, priors)
    for _ in range(2):
        for _ in range(ROUNDS):
            fitted = Mixture.of(points, fitted.belonging(points, alive), priors)
        alive = fitted.shares > threshold
    return fitted
