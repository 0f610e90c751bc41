"""Mixed tables as plain vectors, for models that know nothing but numbers.

Every number takes one coordinate, scaled; every category is a corner of the cube from -1 to 1 that
its coordinates span, and a point belongs to the nearest corner. A missing number is filled by one
drawn from its column, beside a category that says where they are missing, and forgotten on the way
back: so no model meets a gap, and none can tell from the filled number that there was one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from .mixed import Mixed
from .scales import NormalScores, Range

CHUNK = 2**24  # numbers held at once while nearest corners are sought
SCALES = ("min_max", "normal")
CORNERS = ("dummies", "digits")


def dummies(categories: int) -> np.ndarray:
    """Return a corner for each category: 1 in a place of its own, else -1; the first has no place.

    Returns
    -------
    ndarray of float32, shape (categories, categories - 1)
    """
    return 2 * np.eye(categories, dtype=np.float32)[:, 1:] - 1


def digits(categories: int) -> np.ndarray:
    """Return a corner for each category: the digits of its number in Gray's code.

    Neighbours differ in one coordinate.

    Returns
    -------
    ndarray of float32, shape (categories, ceil(log2(categories)))
    """
    numbers = np.arange(categories)
    gray = numbers ^ (numbers >> 1)
    places = np.arange((categories - 1).bit_length())
    return (2 * ((gray[:, None] >> places) & 1) - 1).astype(np.float32)


@dataclass(frozen=True)
class Cube:
    """Where the rows of a table lie.

    Parameters
    ----------
    mixed : Mixed
        Which columns are numbers, and which codes.
    scale : Range or NormalScores
        Of the numbers.
    known : sequence of ndarray
        The values of each numeric column that are not missing.
    corners : sequence of ndarray
        The corner of each code of each variable, (codes, coordinates).
    """

    mixed: Mixed
    scale: Range | NormalScores
    known: Sequence[np.ndarray]
    corners: Sequence[np.ndarray]

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, scale: str, corners: str) -> Self:
        """Learn from the training rows, of which there is at least one.

        Parameters
        ----------
        scale : {"min_max", "normal"}
            Of the numbers: their range, or normal scores.
        corners : {"dummies", "digits"}
            A coordinate for every category but the first, or one for each binary digit of their
            number: in the Schema's order if that has a meaning, else the frequent ones first.
        """
        mixed = Mixed.of(train, schema)
        numbers, codes = mixed.split(train)
        known = [column[~np.isnan(column)] for column in numbers.T]
        by_range = scale == "min_max" or not known
        scaler = Range.of(numbers, -1.0, 1.0) if by_range else NormalScores.of(numbers)
        made = []
        for variable, column in zip(mixed.variables, codes.T, strict=True):
            counts = np.bincount(column, minlength=len(variable.values))
            if corners == "dummies":
                made.append(dummies(len(counts)))
                continue
            order = np.argsort(-counts, kind="stable")
            if schema.columns[variable.position].ordered:
                order = np.arange(len(counts))
            made.append(digits(len(counts))[np.argsort(order)])
        return cls(mixed, scaler, known, made)

    @property
    def width(self) -> int:
        """How many coordinates a row has."""
        return len(self.known) + sum(corners.shape[1] for corners in self.corners)

    def points(self, table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        """Return the rows of a canonical table as float32 of shape (rows, width)."""
        numbers, codes = self.mixed.split(table)
        for column, known in zip(numbers.T, self.known, strict=True):
            missing = np.isnan(column)
            column[missing] = rng.choice(known, size=missing.sum())
        placed = [corners[column] for corners, column in zip(self.corners, codes.T, strict=True)]
        return np.hstack([self.scale.scaled(numbers), *placed]).astype(np.float32)

    def table(self, points: np.ndarray) -> pd.DataFrame:
        """Return the canonical table of any points."""
        begun = len(self.known)
        numbers = self.scale.numbers(points[:, :begun].astype(np.float64))
        codes = np.empty((len(points), len(self.corners)), dtype=np.int64)
        for place, corners in enumerate(self.corners):
            codes[:, place] = _nearest(points[:, begun : begun + corners.shape[1]], corners)
            begun += corners.shape[1]
        return self.mixed.table(numbers, codes)


def _nearest(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the corner nearest to each point; all are equally far from the middle."""
    step = max(1, CHUNK // len(corners))
    parts = [
        np.argmax(points[begun : begun + step] @ corners.T, axis=1)
        for begun in range(0, len(points), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
