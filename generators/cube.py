"""Mixed tables as points of a cube, for models whose rows are plain vectors of numbers.

Every number runs from -1 to 1 between the least and the largest known value; every category is a
corner of the cube that its coordinates span, and a point belongs to the nearest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .mixed import Mixed

CHUNK = 2**24  # numbers held at once while nearest corners are sought


def dummies(categories: int) -> np.ndarray:
    """Return a corner for each category, all coordinates -1 but its own; the first has none.

    Returns
    -------
    ndarray of float32, shape (categories, categories - 1)
    """
    return 2 * np.eye(categories, dtype=np.float32)[:, 1:] - 1


def digits(categories: int) -> np.ndarray:
    """Return a corner for each category: the binary digits of its number, as -1 and 1.

    Returns
    -------
    ndarray of float32, shape (categories, ceil(log2(categories)))
    """
    places = np.arange((categories - 1).bit_length())
    return (2 * ((np.arange(categories)[:, None] >> places) & 1) - 1).astype(np.float32)


@dataclass(frozen=True)
class Cube:
    mixed: Mixed
    least: np.ndarray
    reach: np.ndarray
    known: Sequence[np.ndarray]
    corners: Sequence[np.ndarray]
    normal: object = None

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, widest: int, scale='min_max') -> Self:
        mixed = Mixed.of(train, schema)
        numbers, _ = mixed.split(train)
        known = [column[~np.isnan(column)] for column in numbers.T]
        least = np.array([column.min() for column in known])
        reach = np.array([column.max() for column in known]) - least
        corners = [dummies(size) if size <= widest else digits(size) for size in mixed.sizes]
        from .scales import NormalScores
        return cls(mixed, least, reach, known, corners, NormalScores.of(numbers) if scale=='normal' else None)

    @property
    def width(self) -> int:
        return len(self.least) + sum(corner.shape[1] for corner in self.corners)

    def points(self, table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        numbers, codes = self.mixed.split(table)
        for column, known in zip(numbers.T, self.known, strict=True):
            missing = np.isnan(column)
            column[missing] = rng.choice(known, size=missing.sum())
        scaled = 2 * (numbers - self.least) / self.reach - 1
        if self.normal: scaled=self.normal.scaled(numbers)
        placed = [corner[code] for corner, code in zip(self.corners, codes.T, strict=True)]
        return np.hstack([scaled, *placed]).astype(np.float32)

    def table(self, points: np.ndarray) -> pd.DataFrame:
        count = len(self.least)
        scaled = np.clip(points[:, :count].astype(np.float64), -1, 1)
        numbers = self.least + (scaled + 1) / 2 * self.reach
        if self.normal: numbers=self.normal.numbers(points[:, :count].astype(np.float64))
        codes = np.empty((len(points), len(self.corners)), dtype=np.int64)
        begun = count
        for place, corners in enumerate(self.corners):
            codes[:, place] = nearest(points[:, begun : begun + corners.shape[1]], corners)
            begun += corners.shape[1]
        return self.mixed.table(numbers, codes)


def nearest(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    away = (corners**2).sum(axis=1) / 2
    step = max(1, CHUNK // len(corners))
    parts = [
        np.argmax(points[i : i + step] @ corners.T - away, axis=1)
        for i in range(0, len(points), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
