"""What the generators share that measure marginals and fit a graphical model to them.

A fit lays cells over the columns, asks noisy counts of some marginals, and estimates the one model
that fits them best. Which marginals are asked is what the generators differ in. The number of rows
is estimated from the noisy counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.ledger import Event
from ...bench.schema import Schema
from ..common import check_at_least
from ..privacy.allowance import Allowance
from ..views.domain import Domain, discretise, not_finite
from .beliefs import Model, TooLargeError
from .graphical import Measurement
from .junction import Clique


class Survey:
    """The private cells of a table, and the noisy counts asked of them so far.

    Parameters
    ----------
    domain : Domain
        Of the cells.
    codes : ndarray of int64, shape (rows, columns)
        Cells; negative where a value counts nowhere.
    allowance : Allowance
        Pays for every question.
    rng : Generator
        Of the noise.
    """

    def __init__(
        self, domain: Domain, codes: np.ndarray, allowance: Allowance, rng: np.random.Generator
    ) -> None:
        self.names = domain.schema.names
        self.sizes = tuple(map(int, domain.sizes))
        self.allowance = allowance
        self.rng = rng
        self.measurements: list[Measurement] = []
        self._codes = codes
        self._counts: dict[Clique, np.ndarray] = {}

    def counts(self, clique: Clique) -> np.ndarray:
        """Count the rows of each cell exactly, once: private."""
        if clique not in self._counts:
            self._counts[clique] = self._count(clique)
        return self._counts[clique]

    def _count(self, clique: Clique) -> np.ndarray:
        sizes = [self.sizes[column] for column in clique]
        cells = np.zeros(len(self._codes), dtype=np.int64)
        known = np.ones(len(self._codes), dtype=bool)
        for column, size in zip(clique, sizes, strict=True):
            cells = cells * size + self._codes[:, column]
            known &= self._codes[:, column] >= 0
        counts = np.bincount(cells[known], minlength=math.prod(sizes)).astype(np.int32)
        return counts.reshape(sizes)

    def measure(self, clique: Clique, share: float, purpose: str) -> Measurement:
        """Ask the noisy counts of a marginal."""
        noisy = self.allowance.noisy(self.counts(clique), share, purpose, self.rng)
        measurement = Measurement(clique, noisy, self.allowance.deviation(share))
        self.measurements.append(measurement)
        return measurement

    def merge(self, cells: Sequence[np.ndarray]) -> None:
        """Merge cells of every column by public maps: old cell to new, -1 stays -1."""
        self.sizes = tuple(int(new.max()) + 1 for new in cells)
        merged = [
            np.where(codes < 0, codes, new[codes])
            for new, codes in zip(cells, self._codes.T, strict=True)
        ]
        self._codes = np.stack(merged, axis=1)
        self._counts.clear()

    def errors(self, model: Model, cliques: Iterable[Clique]) -> np.ndarray:
        """Return the L1 distance of each marginal from the model's: private.

        A row adds at most 1 to a distance. It is -inf where the model is too large to answer, which
        no private row but through its noisy counts has a part in.
        """
        return np.array([self._error(model, clique) for clique in cliques])

    def _error(self, model: Model, clique: Clique) -> float:
        try:
            expected = model.marginal(clique)
        except TooLargeError:
            return -math.inf
        return float(np.abs(self.counts(clique) - expected).sum())

    @property
    def release(self) -> dict[str, np.ndarray]:
        """The noisy counts by the names of their columns; again, by how often they were asked."""
        found, asked = {}, Counter[Clique]()
        for measurement in self.measurements:
            asked[measurement.clique] += 1
            name = " x ".join(self.names[c] for c in measurement.clique) or "number of rows"
            times = asked[measurement.clique]
            found[f"{name} #{times}" if times > 1 else name] = measurement.counts
        return found


class MarginalModel:
    """Base of the generators: cells, a model of them, and rows drawn from it."""

    ledger: Sequence[Event] = ()
    release: Mapping[str, np.ndarray]
    claimed_epsilon: float
    progress = staticmethod(lambda step, total, **losses: None)
    whole_numbers: tuple[str, ...] = ("bins", "iterations")  # hyperparameters, at least 1
    positive: tuple[str, ...] = ()
    adaptive = False  # whether shares of the budget depend on earlier noisy answers
    bins: int
    discretiser: str
    discretiser_share: float

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply: the domain is not public or not finite."""
        return not_finite(schema, budget)

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Measure marginals, spending at most ``budget``, and estimate the model."""
        self._check()
        if reason := self.skip(schema, budget):
            raise ValueError(reason)
        allowance = Allowance(budget, adaptive=self.adaptive)
        self.domain_ = discretise(
            train,
            schema,
            allowance,
            rng,
            method=self.discretiser,
            bins=self.bins,
            share=self.discretiser_share,
        )
        survey = Survey(self.domain_, self.domain_.codes(train), allowance, rng)
        self.model_ = self._learn(survey)
        allowance.reserve()
        self.release = survey.release | self.domain_.edges
        self.ledger = allowance.ledger
        self.claimed_epsilon = allowance.claimed_epsilon
        return self

    def _check(self) -> None:
        for name in self.whole_numbers:
            check_at_least(name, getattr(self, name), 1)
        for name in self.positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)!r}")
        if not 0 < self.discretiser_share < 1:
            raise ValueError(f"discretiser_share must be in (0, 1), got {self.discretiser_share!r}")

    def _learn(self, survey: Survey) -> Model:
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """How many cells the model has."""
        return self.model_.cells

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows, their counts as close to the model's as whole numbers allow."""
        return self.domain_.rows(self._codes(n, rng), rng)

    def _codes(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.model_.codes(n, rng)
