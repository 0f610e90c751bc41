"""SMOTE as a generator of whole tables: points between a row and one of its neighbours.

Interpolation stays close to real rows: a strong baseline for utility and a weak one for privacy.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Column, Schema
from .common import (
    Atoms,
    NotPrivate,
    category_vectors,
    check_at_least,
    check_rows,
    draw_in_passes,
    from_values,
    to_values,
)

MOST = 65_536  # rows among which neighbours are sought


class Smote(NotPrivate):
    """SMOTE (Chawla et al. 2002) on every class, as Kotelnikov et al. 2023 use it for a baseline.

    Numbers are interpolated on the scale of their normal scores. Categories and missing values
    count as one-hot vectors, so an interpolated row takes them from the nearer of its two parents;
    a number that only one parent knows is taken from the nearer one as well. Neighbours come from
    the same class: the target's category, or its side of the median. A class of more than ``MOST``
    rows is cut into random parts and they come from the same part, so that time does not grow with
    the square of the rows. Rows are handed out in passes over train as first parents, which keeps
    the class shares. Distances between categories are exact up to ``VECTOR_LENGTH`` of them and
    right in expectation beyond.

    Parameters
    ----------
    neighbours : int
        How many nearest neighbours a row is interpolated with, >= 1.
    """

    def __init__(self, neighbours: int = 5) -> None:
        self.neighbours = neighbours

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Find every row's nearest neighbours within its class."""
        check_at_least("neighbours", self.neighbours, 1)
        check_rows(train)
        self.schema_ = schema
        self.values_ = to_values(train, schema)
        self.scores_ = np.full_like(self.values_, np.nan)
        self.scales_: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for position, column in enumerate(schema):
            if not column.is_discrete:
                self._score(position)
        points = _points(self.values_, self.scores_, schema, rng)
        parts = _parts(_classes(self.values_, schema), rng)
        self.neighbours_ = self._neighbours(points, parts)
        return self

    def _score(self, position: int) -> None:
        values = self.values_[:, position]
        known = ~np.isnan(values)
        if known.any():
            atoms = Atoms.of(values[known])
            self.scores_[known, position] = atoms.scores[atoms.positions]
            self.scales_[position] = (atoms.scores, atoms.distinct)

    def _neighbours(self, points: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
        """Return neighbours' positions, shape (rows, neighbours); repeated in small parts."""
        from sklearn.neighbors import NearestNeighbors

        found = np.repeat(np.arange(len(points))[:, None], self.neighbours, axis=1)
        for step, members in enumerate(parts, start=1):
            k = min(self.neighbours, len(members) - 1)
            if k:
                search = NearestNeighbors(n_neighbors=k).fit(points[members])
                nearest = members[search.kneighbors(return_distance=False)]
                found[members] = nearest[:, np.arange(self.neighbours) % k]
            self.progress(step, len(parts))
        return found

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows."""
        base = draw_in_passes(len(self.values_), n, rng)
        other = self.neighbours_[base, rng.integers(self.neighbours, size=n)]
        share = rng.random(n)
        values = self.values_[np.where(share < 0.5, base, other)]
        for position, (scores, numbers) in self.scales_.items():
            start, end = self.scores_[base, position], self.scores_[other, position]
            between = start + share * (end - start)
            both = ~np.isnan(between)
            values[both, position] = np.interp(between[both], scores, numbers)
        return from_values(values, self.schema_)


def _classes(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Return each row's class, shape (rows,); -1 for a missing target, one class without target."""
    if schema.target is None:
        return np.zeros(len(values), dtype=np.int64)
    target = values[:, schema.names.index(schema.target)]
    missing = np.isnan(target)
    if not schema[schema.target].is_discrete and not missing.all():
        target = target > np.nanmedian(target)
    return np.where(missing, -1, target).astype(np.int64)


def _parts(classes: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the rows of each class, in random parts where there are more than ``MOST``."""
    parts = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        if len(members) > MOST:
            members = rng.permutation(members)
        parts += np.array_split(members, -(-len(members) // MOST))
    return parts


def _points(
    values: np.ndarray, scores: np.ndarray, schema: Schema, rng: np.random.Generator
) -> np.ndarray:
    """Return the space in which neighbours are sought, float32 of shape (rows, coordinates)."""
    parts = []
    for position, column in enumerate(schema):
        missing = np.isnan(values[:, position])
        if column.is_discrete:
            parts.append(_category_points(column, values[:, position], rng))
            continue
        parts.append(np.where(missing, 0.0, scores[:, position])[:, None])
        if missing.any():
            parts.append(missing[:, None])
    return np.hstack([part.astype(np.float32) for part in parts])


def _category_points(column: Column, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    vectors = category_vectors(len(column.categories) + column.missing, rng)
    codes = np.where(np.isnan(values), len(column.categories), values)  # missing comes last
    return vectors[codes.astype(np.int64)]
