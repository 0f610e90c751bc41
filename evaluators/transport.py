"""Transport: Wasserstein-1 distances of numbers, exact."""

from __future__ import annotations

import numpy as np

from ..bench.schema import Column


def wasserstein(first: np.ndarray, second: np.ndarray) -> float:
    """Wasserstein-1 distance of two samples, each sorted and not empty.

    It is the area between the distribution functions (Vallender 1974), and for samples of equal
    size the mean distance of the values at equal ranks.
    """
    if len(first) == len(second):
        return float(np.abs(first - second).mean())
    points = np.sort(np.concatenate([first, second]), kind="stable")
    below = [
        np.searchsorted(side, points[:-1], side="right") / len(side) for side in (first, second)
    ]
    return float(np.sum(np.abs(below[0] - below[1]) * np.diff(points)))


def value_range(column: Column, known: np.ndarray) -> float:
    """Width of a numeric column's public bounds, or of the sorted ``known`` numbers without any."""
    if column.is_bounded:
        return column.upper - column.lower
    return float(known[-1] - known[0])
