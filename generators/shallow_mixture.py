"""A shallow mixture: components within which all columns are independent.

The simplest probabilistic circuit, a sum of products (Choi, Vergari and Van den Broeck 2020), and
yet close to diffusion models on tables: the row "SM" of the tables of TabPC (april-tools/tabpc,
2026). Whatever is asked of it is answered exactly: densities, and draws given any columns.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import (
    NotPrivate,
    check_at_least,
    check_rows,
    column_values,
    fixed_columns,
    from_column_values,
)
from .distributions.mixtures import Layout, Mixture, StochasticEm, learn
from .views.cells import NOWHERE, Cells, draw_cells
from .views.scales import Marginal

FEW = 50  # distinct numbers up to which each is a category, as in TabPC


class ShallowMixture(NotPrivate):
    """A mixture of products of categorical and normal distributions.

    Numbers are put on a standard normal scale by their ranks, those that are equal at random places
    within their share of it; so they come back with their shares. A number that occurs too often
    for a density, and each of ``FEW`` or fewer distinct ones, is a category; so is a missing value.

    What differs from TabPC's model: that one has 20,000 components for adult, learns by gradient
    steps from random parameters (a minute of a GPU), and stops when a validation part becomes less
    likely. Here stochastic EM learns from random rows (4 seconds of one core), without a validation
    part. What keeps it from learning rows by heart are ``prior`` rows of the whole table's
    distribution that each component counts, and fewer components: between 300 and 30,000 rows of
    adult, held-out rows are most likely with about 1.4 for each root of the number of rows. Heavy
    values are sought everywhere, not only among the extremes of a column.

    Parameters
    ----------
    components : int
        Most components, >= 1.
    components_per_root : float
        Components for each root of the number of rows, > 0.
    prior : float
        Rows of the whole table's distribution that each component counts beside its own, > 0.
    steps : int
        How often the components are learned anew, each time from one batch more, >= 1.
    batch : int
        Rows in a batch, >= 1.
    max_cells : int
        Categories of a column beyond so many share one cell, and its distribution, >= 1.
    """

    def __init__(
        self,
        components: int = 1000,
        components_per_root: float = 1.4,
        prior: float = 1.0,
        steps: int = 400,
        batch: int = 2048,
        max_cells: int = 256,
    ) -> None:
        self.components = components
        self.components_per_root = components_per_root
        self.prior = prior
        self.steps = steps
        self.batch = batch
        self.max_cells = max_cells

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Learn the components."""
        self._check()
        check_rows(train)
        self.schema_ = schema
        self.cells_: list[Cells] = []
        self.marginals_: dict[int, Marginal] = {}
        for position, column in enumerate(schema):
            values = column_values(column, train[column.name])
            cells = Cells.of(values, not column.is_discrete, 1, FEW, self.max_cells)
            self.cells_.append(cells)
            if cells.is_numeric and cells.bins:
                self.marginals_[position] = Marginal.of(cells.rest, smooth=True)
        codes, numbers = self._encoded({name: train[name] for name in schema.names}, rng)
        em = StochasticEm(
            Layout(
                tuple(cells.size for cells in self.cells_),
                tuple((place, len(self.cells_[place].single)) for place in self.marginals_),
            ),
            codes,
            numbers,
            components=self._components_for(len(train)),
            prior=self.prior,
            batch=self.batch,
            seed=int(rng.integers(2**63)),
        )
        self.mixture_: Mixture = learn(
            em, self.steps, progress=self.progress, checkpoint=self.checkpoint
        )
        return self

    @property
    def parameters(self) -> int:
        """How many numbers the components hold."""
        mixture = self.mixture_
        parts = mixture.log_weights, mixture.log_chances, mixture.means, mixture.variances
        return sum(part.size for part in parts)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, given the columns in ``conditions`` if there are any.

        A component is drawn by its weight, or its share of the density of what is given; a category
        that no train row has says nothing.
        """
        columns = fixed_columns(conditions, self.schema_, n)
        component = self._drawn_components(columns, n, rng)
        for position, column in enumerate(self.schema_):
            if column.name not in columns:
                values = self._values(position, component, rng)
                columns[column.name] = from_column_values(column, values)
        return self.schema_.assemble(columns)

    def _check(self) -> None:
        for name in ("components", "steps", "batch", "max_cells"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("components_per_root", "prior"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}; set {name}=1")

    def _components_for(self, rows: int) -> int:
        wanted = max(1, round(self.components_per_root * math.sqrt(rows)))
        return min(self.components, wanted)

    def _encoded(
        self, columns: dict[str, pd.Series], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return codes, ``NOWHERE`` for other columns, and numbers, 0 where there is none."""
        from scipy.special import ndtri

        n = len(next(iter(columns.values())))
        codes = np.full((n, len(self.schema_)), NOWHERE, order="F")
        numbers = np.zeros((n, len(self.marginals_)), dtype=np.float32, order="F")
        for position, column in enumerate(self.schema_):
            if column.name in columns:
                values = column_values(column, columns[column.name])
                codes[:, position] = self.cells_[position].codes(values)
                if position in self.marginals_:
                    place = list(self.marginals_).index(position)
                    marginal = self.marginals_[position]
                    among = codes[:, position] == len(self.cells_[position].single)
                    lowest = 0.5 / len(marginal.known)
                    levels = marginal.levels(values[among], rng)
                    numbers[among, place] = ndtri(np.clip(levels, lowest, 1 - lowest))
        return codes, numbers

    def _drawn_components(
        self, columns: dict[str, pd.Series], n: int, rng: np.random.Generator
    ) -> np.ndarray:
        if columns and n:
            return self.mixture_.components(*self._encoded(columns, rng), rng)
        weights = np.exp(self.mixture_.log_weights, dtype=np.float64)
        return rng.choice(len(weights), size=n, p=weights / weights.sum())

    def _values(self, position: int, component: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one column, float64 of shape (n,)."""
        from scipy.special import ndtr

        mixture, cells = self.mixture_, self.cells_[position]
        first = mixture.layout.starts[position]
        chances = np.exp(mixture.log_chances[first : first + cells.size].T, dtype=np.float64)
        codes = draw_cells(chances, component, rng)
        values = cells.values(codes, rng)
        if position in self.marginals_:
            place = list(self.marginals_).index(position)
            among = codes == len(cells.single)
            means, deviations = mixture.means[place], np.sqrt(mixture.variances[place])
            chosen = component[among]
            scores = means[chosen] + deviations[chosen] * rng.standard_normal(len(chosen))
            values[among] = self.marginals_[position].quantiles(ndtr(scores))
        return values
