"""Intervals: how sure a number is, from the rows that it was computed from.

All intervals are two-sided; rows are taken as independent draws. What they cover is the chance in
the rows at hand, not that of training the generator again: for that, boards resample seeds, and
``of_seeds`` takes the values of several runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..bench.contracts import Measured

LEVEL = 0.95


def of_mean(values: np.ndarray, low: float = -np.inf, high: float = np.inf) -> Measured:
    """Mean of independent values with its normal interval, cut to the range [low, high].

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        At least one; the interval of a single value is the range, or the value without one.
    """
    values = np.sort(values)
    mean = float(values.mean())
    if len(values) < 2:
        ends = [end if np.isfinite(end) else mean for end in (low, high)]
        return Measured(mean, min(ends[0], mean), max(ends[1], mean))
    half = normal_quantile(LEVEL) * float(values.std(ddof=1)) / np.sqrt(len(values))
    return within(mean, mean - half, mean + half, low, high)


def of_seeds(values: Sequence[float]) -> Measured:
    """Mean over few runs with the interval of Student's t; a single run has none."""
    from scipy.special import stdtrit

    mean = float(np.mean(values))
    if len(values) < 2:
        return Measured(mean, mean, mean)
    quantile = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    half = quantile * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return Measured(mean, mean - half, mean + half)


def of_share(hits: int, n: int, level: float = LEVEL) -> Measured:
    """Share ``hits / n`` with its exact interval (Clopper and Pearson 1934); ``n`` > 0."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return within(hits / n, float(low), float(high), 0.0, 1.0)


def of_auroc(positives: np.ndarray, negatives: np.ndarray, level: float = LEVEL) -> Measured:
    """Area under the ROC curve with its interval (DeLong et al. 1988); ties count half.

    Parameters
    ----------
    positives, negatives : ndarray of float64, shapes (m,) and (n,)
        Scores, at least one of each; high scores speak for "positive".

    Returns
    -------
    Measured
        In [0, 1]. Without any variance (a perfect separation) the interval is that of a share of
        min(m, n) hits.
    """
    above, below = placements(positives, negatives)
    area = float(np.sort(above).mean())
    m, n = len(positives), len(negatives)
    if m < 2 or n < 2:
        return Measured(area, 0.0, 1.0)
    variance = float(np.var(above, ddof=1)) / m + float(np.var(below, ddof=1)) / n
    if variance <= 0:
        exact = of_share(min(m, n), min(m, n), level)
        ends = (exact.low, 1.0) if area > 0.5 else (0.0, 1 - exact.low)
        return within(area, *(ends if area in (0.0, 1.0) else (area, area)), 0.0, 1.0)
    half = normal_quantile(level) * np.sqrt(variance)
    return within(area, area - half, area + half, 0.0, 1.0)


def placements(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the other side that each score wins against, ties counting half.

    Returns
    -------
    tuple of ndarray of float64, shapes (m,) and (n,)
        Share of negatives below each positive; share of positives above each negative.
    """
    return _share_below(positives, negatives), 1 - _share_below(negatives, positives)


def _share_below(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    among = np.sort(among)
    ends = [np.searchsorted(among, values, side) for side in ("left", "right")]
    return (ends[0] + ends[1]) / (2 * len(among))


def within(value: float, low: float, high: float, least: float, most: float) -> Measured:
    """Put a value and its interval together, cut to [least, most]; the interval holds the value."""
    value = float(np.clip(value, least, most))
    low, high = (float(np.clip(end, least, most)) for end in (low, high))
    return Measured(value, min(low, value), max(high, value))


def normal_quantile(level: float) -> float:
    """Half width, in standard errors, of the two-sided normal interval."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))
