"""Noise for integer counts, exact in the arithmetic of whole numbers.

Floating-point noise leaks through its low bits (Mironov 2012). These samplers draw and compare
whole numbers only, so what they return has the stated distribution. The random bits are those of
the generator handed in: whoever knows its seed can take the noise off.
"""

from __future__ import annotations

import math

import numpy as np

LAPLACE_DENOMINATOR = 2**20  # scales of discrete Laplace noise are multiples of 1 / this
LARGEST_SIGMA = 1e7  # beyond it the arithmetic of discrete_gaussian would overflow 64 bits
PROPOSALS = 40  # scales of the proposal beyond which the acceptance chance is below exp(-700)


def discrete_laplace(scale: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from P(y) proportional to exp(-abs(y) / scale) over the whole numbers.

    Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), algorithm 2. The scale is rounded up to a
    multiple of 2**-20, so the noise is never less than what was asked for.

    Parameters
    ----------
    scale : float
        In (0, 2**30].
    size : int
        How many.

    Returns
    -------
    ndarray of int64, shape (size,)

    Raises
    ------
    ValueError
        If the scale is outside its range.
    """
    if not 0 < scale <= 2**30:
        raise ValueError(f"scale must be in (0, 2**30], got {scale!r}; ask for a larger epsilon")
    return _laplace(math.ceil(scale * LAPLACE_DENOMINATOR), LAPLACE_DENOMINATOR, size, rng)


def discrete_gaussian(sigma: float, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw from P(y) proportional to exp(-y**2 / (2 sigma**2)) over the whole numbers.

    Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), algorithm 3: discrete Laplace proposals,
    accepted with the chance that makes them Gaussian. With proposals of scale t, sigma**2 is
    rounded up to p t / a for whole numbers p and a whose arithmetic fits 64 bits, so the noise is
    never less than what was asked for.

    Parameters
    ----------
    sigma : float
        In (0, 1e7].
    size : int
        How many.

    Returns
    -------
    ndarray of int64, shape (size,)

    Raises
    ------
    ValueError
        If sigma is outside its range.
    """
    if not 0 < sigma <= LARGEST_SIGMA:
        raise ValueError(
            f"sigma must be in (0, {LARGEST_SIGMA:g}], got {sigma!r}; ask for a larger epsilon"
        )
    t = math.floor(sigma) + 1
    finest = 2.0 ** math.floor(math.log2(5e7 / t**2))  # (PROPOSALS * a * t)**2 is below 2**62
    a = max(1, int(finest * t))
    p = math.ceil(sigma**2 * (a / t))
    drawn = np.empty(size, dtype=np.int64)
    missing = np.arange(size)
    while len(missing):
        proposals = _laplace(t, 1, len(missing), rng)
        distances = np.abs(proposals)
        possible = distances <= PROPOSALS * t
        numerators = (np.where(possible, distances, 0) * a - p) ** 2
        accepted = possible & _bernoulli_exp(numerators, 2 * p * a * t, rng)
        drawn[missing[accepted]] = proposals[accepted]
        missing = missing[~accepted]
    return drawn


def _laplace(t: int, s: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw discrete Laplace noise of scale t / s."""
    drawn = np.empty(size, dtype=np.int64)
    missing = np.arange(size)
    while len(missing):
        remainders = rng.integers(t, size=len(missing))
        kept = _bernoulli_exp(remainders, t, rng)
        quotients = _geometric(len(missing), rng)
        magnitudes = (remainders + t * quotients) // s
        negative = rng.integers(2, size=len(missing)) == 1
        kept &= ~(negative & (magnitudes == 0))  # zero has one sign only
        drawn[missing[kept]] = np.where(negative, -magnitudes, magnitudes)[kept]
        missing = missing[~kept]
    return drawn


def _geometric(size: int, rng: np.random.Generator) -> np.ndarray:
    """Count successes of chance exp(-1) before the first failure."""
    counts = np.zeros(size, dtype=np.int64)
    going = np.arange(size)
    while len(going):
        going = going[_bernoulli_exp(np.ones(len(going), dtype=np.int64), 1, rng)]
        counts[going] += 1
    return counts


def _bernoulli_exp(
    numerators: np.ndarray, denominator: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw True with chance exp(-numerator / denominator) for each numerator >= 0."""
    whole, rest = np.divmod(numerators, denominator)
    drawn = _bernoulli_exp_fraction(rest, denominator, rng)
    going = np.flatnonzero(drawn & (whole > 0))
    left = whole[going]
    ones = np.ones(len(going), dtype=np.int64)
    while len(going):
        passed = _bernoulli_exp_fraction(ones[: len(going)], 1, rng)
        drawn[going[~passed]] = False
        still = passed & (left > 1)
        going, left = going[still], left[still] - 1
    return drawn


def _bernoulli_exp_fraction(
    numerators: np.ndarray, denominator: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw True with chance exp(-numerator / denominator) for numerators <= denominator.

    The first k at which a coin of chance numerator / (k denominator) fails is odd with exactly that
    chance (Canonne, Kamath and Steinke 2020, algorithm 1).
    """
    odd = np.ones(len(numerators), dtype=bool)
    going = np.arange(len(numerators))
    k = 1
    while len(going):
        going = going[rng.integers(denominator * k, size=len(going)) < numerators[going]]
        odd[going] = ~odd[going]
        k += 1
    return odd
