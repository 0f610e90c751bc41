"""A Gaussian copula over empirical marginals.

Columns are tied by one correlation matrix on a normal scale, so only monotone dependence between
pairs is kept; categories take part in their Schema's order, which is arbitrary where it has no
meaning. Missing values are the lowest atom of their column.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import (
    Atoms,
    NotPrivate,
    check_rows,
    column_values,
    fixed_columns,
    from_column_values,
    to_values,
)
from .views.scales import Marginal


class GaussianCopula(NotPrivate):
    """Gaussian copula with empirical marginals (Nelsen 2006; Patki et al. 2016).

    The correlation is that of normal scores. Rows that share a value share the mean of its scores,
    the expectation of the distributional transform: drawing each row's score at random would shrink
    the correlation of discrete columns further (that of two even binary ones by 2/pi more).
    """

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Learn the marginals and the correlation of their normal scores."""
        check_rows(train)
        values = to_values(train, schema)
        scores = np.empty_like(values)
        self.schema_ = schema
        self.lowest_level_ = 0.5 / len(train)
        self.marginals_ = []
        for position, column in enumerate(schema):
            self.marginals_.append(Marginal.of(values[:, position], not column.is_discrete))
            atoms = Atoms.of(values[:, position])
            scores[:, position] = atoms.scores[atoms.positions]
        self.correlation_ = _correlation(scores)
        return self

    @property
    def parameters(self) -> int:
        """How many values and correlations were learned."""
        pairs = len(self.marginals_) * (len(self.marginals_) - 1) // 2
        return pairs + sum(len(marginal.known) for marginal in self.marginals_)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, given the columns in ``conditions`` if there are any."""
        from scipy.special import ndtr

        columns = fixed_columns(conditions, self.schema_, n)
        given = [i for i, column in enumerate(self.schema_) if column.name in columns]
        free = [i for i in range(len(self.schema_)) if i not in given]
        scores = self._scores(free, given, columns, n, rng)
        for place, position in enumerate(free):
            column = self.schema_.columns[position]
            values = self.marginals_[position].quantiles(ndtr(scores[:, place]))
            columns[column.name] = from_column_values(column, values)
        return self.schema_.assemble(columns)

    def _scores(
        self,
        free: list[int],
        given: list[int],
        columns: dict[str, pd.Series],
        n: int,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draw normal scores of the free columns given the others, shape (n, free)."""
        within = self.correlation_[np.ix_(free, free)]
        mean = np.zeros((n, len(free)))
        if given:
            across = self.correlation_[np.ix_(free, given)]
            slopes = across @ np.linalg.pinv(self.correlation_[np.ix_(given, given)])
            mean = self._given_scores(given, columns, n, rng) @ slopes.T
            within = within - slopes @ across.T
        return mean + rng.standard_normal((n, len(free))) @ _root(within).T

    def _given_scores(
        self, given: list[int], columns: dict[str, pd.Series], n: int, rng: np.random.Generator
    ) -> np.ndarray:
        from scipy.special import ndtri

        scores = np.empty((n, len(given)))
        for place, position in enumerate(given):
            column = self.schema_.columns[position]
            values = column_values(column, columns[column.name])
            levels = self.marginals_[position].levels(values, rng)
            scores[:, place] = ndtri(np.clip(levels, self.lowest_level_, 1 - self.lowest_level_))
        return scores


def _correlation(scores: np.ndarray) -> np.ndarray:
    """Correlation of the columns, shape (d, d); a constant column correlates with itself only."""
    centred = scores - scores.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    centred /= np.where(lengths > 0, lengths, 1.0)
    correlation = centred.T @ centred
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return a matrix whose product with its transpose is the nearest semi-definite one."""
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    return eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))
