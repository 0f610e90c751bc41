"""Adversarial random forests: independent columns within leaves that leave no dependence.

A forest learns to tell the rows from a synthetic table with independent columns; in its leaves the
columns are less dependent. The next forest is set against a table drawn within those leaves, and so
on until none can tell. A row is then a leaf by the share of rows that it holds, and in it every
column by itself: categories by their shares, numbers from a truncated normal.

Conditions are exact: leaves are drawn by their posterior shares given the values asked for. With
more different conditions and leaves than ``MOST_WORK`` can be weighed, a row has instead a leaf of
the training row that fits its conditions best; that is the same for a category, and close to it for
numbers.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

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
    to_values,
)
from .forests.adversarial import grow
from .forests.leaf_densities import LeafDensity
from .forests.leaves import Leaves
from .selection import fitting

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CHUNK = 2**21  # weights of leaves held at once
MOST_WORK = 2**28  # weights of leaves in all
LOWEST = -1e4  # logarithm of a mass of 0, where all leaves have one


class Arf(NotPrivate):
    """Adversarial random forest (Watson, Blesch, Kapar and Wright 2023, algorithms 1 to 3).

    As in the authors' package, the forest that is kept is the last whose leaves made the task of
    the next one harder, and a small leaf is given to its sibling. What differs:

    - A number that many rows share, ``own_share`` of them, has a share of its own in each leaf, as
      a category has; the normal is of the others. Zeros of a column of amounts stay zeros. Above 1
      no number has, as published.
    - A missing value is one of these, so leaves keep where values are missing.
    - A leaf whose numbers are all equal has that number; the package spreads it over the box.
    - Normals end at the least and the largest number of the table where a box is open.
    - ``min_split`` counts distinct rows of a bootstrap; the package splits from 5 draws on, which
      are about 3 rows.
    - Integers are numbers; later versions of the package take them for categories with an order,
      and smooth the shares of categories.
    - Leaves are pruned before the next synthetic table is drawn; the package does so at the end.
      The last forest of all rounds is kept if it is better.
    - Categories without an order are put in a random one for each tree; the package orders them by
      the share of real rows, which is random too, for the two tables have the same shares.

    Parameters
    ----------
    trees : int
        In a forest, >= 1.
    min_leaf : int
        Fewest rows of the table in a leaf, >= 1.
    min_split : int
        Fewest rows, synthetic ones too, that a tree splits, >= 2.
    rounds : int
        Most forests after the first, >= 0.
    delta : float
        In [0, 0.5]: a forest that is right on 1/2 + ``delta`` of the rows cannot tell.
    own_share : float
        > 0: share of the rows that a number with a share of its own has.
    """

    def __init__(
        self,
        trees: int = 10,
        min_leaf: int = 2,
        min_split: int = 2,
        rounds: int = 10,
        delta: float = 0.0,
        own_share: float = 0.01,
    ) -> None:
        self.trees = trees
        self.min_leaf = min_leaf
        self.min_split = min_split
        self.rounds = rounds
        self.delta = delta
        self.own_share = own_share

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Grow forests until the last can tell no more; then learn the densities in its leaves."""
        self._check()
        check_rows(train)
        values = to_values(train, schema)
        seen = np.empty(values.shape, dtype=np.float32)
        unordered = {}
        for position, column in enumerate(schema):
            known, missing = values[:, position], np.isnan(values[:, position])
            if column.is_discrete:
                seen[:, position] = np.where(missing, len(column.categories), known)
                if not column.ordered:
                    unordered[position] = len(column.categories) + 1
            else:
                ranks = np.searchsorted(np.unique(known[~missing]), known)
                seen[:, position] = np.where(missing, np.nan, ranks)
        self.schema_ = schema
        leaves = self._leaves(seen, unordered, rng)
        self.densities_ = [
            LeafDensity.of(column, values[:, position], leaves, position, self.own_share)
            for position, column in enumerate(schema)
        ]
        self.leaves_ = leaves.without_boxes()
        return self

    def _check(self) -> None:
        for name, least in {"trees": 1, "min_leaf": 1, "min_split": 2, "rounds": 0}.items():
            check_at_least(name, getattr(self, name), least)
        if not 0 <= self.delta <= 0.5:
            raise ValueError(f"delta must be in [0, 0.5], got {self.delta!r}; set delta=0")
        if not self.own_share > 0:
            raise ValueError(f"own_share must be > 0, got {self.own_share!r}; set own_share=0.01")

    def _leaves(
        self, seen: np.ndarray, unordered: dict[int, int], rng: np.random.Generator
    ) -> Leaves:
        """Set forests against what the one before makes of the table."""
        begun, leaves, accuracy = 0, None, np.inf
        if kept := self.checkpoint.load():
            begun, leaves, accuracy, rng.bit_generator.state = kept
        for done in range(begun, self.rounds + 1):
            grown, now = grow(
                seen,
                _synthetic(seen, leaves, rng),
                unordered,
                trees=self.trees,
                min_leaf=self.min_leaf,
                min_split=self.min_split,
                rng=rng,
            )
            self.progress(done + 1, self.rounds + 1, accuracy=now)
            fooled = now <= 0.5 + self.delta
            if leaves is not None and (fooled or now >= accuracy):
                break
            leaves, accuracy = grown, now
            if fooled:
                break
            state = (done + 1, leaves, accuracy, rng.bit_generator.state)
            self.checkpoint.save(lambda state=state: state)
        assert leaves is not None  # the first forest is always kept
        return leaves

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, given the columns in ``conditions`` if there are any."""
        columns = fixed_columns(conditions, self.schema_, n)
        leaves = self._leaves_given(columns, rng) if columns else self.leaves_.draw(n, rng)
        for column, density in zip(self.schema_, self.densities_, strict=True):
            if column.name not in columns:
                drawn = density.draw(self.leaves_, leaves, rng)
                columns[column.name] = from_column_values(column, drawn)
        return self.schema_.assemble(columns)

    def _leaves_given(self, fixed: dict[str, pd.Series], rng: np.random.Generator) -> np.ndarray:
        """Draw a leaf for each row by its share times what it makes of the values asked for."""
        positions = [self.schema_.names.index(name) for name in fixed]
        asked = np.column_stack(
            [column_values(self.schema_[name], series) for name, series in fixed.items()]
        )
        marked = np.where(np.isnan(asked), np.inf, asked)  # NaN differs from itself
        distinct, kind = np.unique(marked, axis=0, return_inverse=True)
        if len(distinct) * len(self.leaves_) > MOST_WORK:
            return self._leaves_of_fitting(fixed, rng)
        distinct, kind = np.where(np.isinf(distinct), np.nan, distinct), kind.ravel()
        leaves = np.empty(len(asked), dtype=np.int64)
        step = max(1, CHUNK // len(self.leaves_))
        for begun in range(0, len(distinct), step):
            part = distinct[begun : begun + step]
            masses = [
                self.densities_[position].masses(self.leaves_, part[:, place])
                for place, position in enumerate(positions)
            ]
            rows = np.flatnonzero((kind >= begun) & (kind < begun + step))
            leaves[rows] = _drawn(_weights(masses, self.leaves_), kind[rows] - begun, rng)
        return leaves

    def _leaves_of_fitting(
        self, fixed: dict[str, pd.Series], rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a leaf for each row: that of the training row that fits it best, in any tree."""
        known = {
            column.name: from_column_values(column, density.values)
            for column, density in zip(self.schema_, self.densities_, strict=True)
            if column.name in fixed
        }
        rows = fitting(pd.DataFrame(known), pd.DataFrame(fixed), self.schema_, rng)
        trees = rng.integers(len(self.leaves_.of_pairs) // self.leaves_.rows, size=len(rows))
        return self.leaves_.of_pairs[trees * self.leaves_.rows + rows]


def _synthetic(seen: np.ndarray, leaves: Leaves | None, rng: np.random.Generator) -> np.ndarray:
    """Draw a table like ``seen`` with independent columns, within leaves if there are any."""
    if leaves is None:
        return np.take_along_axis(seen, rng.integers(len(seen), size=seen.shape), axis=0)
    chosen = leaves.draw(len(seen), rng)
    drawn = [column[leaves.donors(chosen, rng)] for column in seen.T]
    return np.column_stack(drawn)


def _weights(masses: list[csr_array], leaves: Leaves) -> csr_array:
    """Return the posterior share of each leaf, to a factor for each row; (asked, leaves).

    Where no leaf has all that is asked for, those count that come nearest to it.
    """
    from scipy.sparse import csr_array, vstack

    weights = functools.reduce(lambda product, mass: product.multiply(mass).tocsr(), masses)
    weights = weights.multiply(leaves.sizes[None, :]).tocsr()
    none = np.flatnonzero(np.asarray(weights.sum(axis=1)) <= 0)
    if not len(none):
        return weights
    logs = np.tile(np.log(leaves.sizes), (len(none), 1))
    with np.errstate(divide="ignore"):
        for mass in masses:
            logs += np.maximum(np.log(mass[none].toarray()), LOWEST)
    near = csr_array(np.exp(logs - logs.max(axis=1, keepdims=True)))
    places = np.arange(weights.shape[0])
    places[none] = len(places) + np.arange(len(none))
    return vstack([weights, near]).tocsr()[places]


def _drawn(weights: csr_array, kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a leaf for each of ``kinds``, rows of ``weights``."""
    of_row = np.diff(weights.indptr)
    rows = np.repeat(np.arange(len(of_row)), of_row)
    sums = np.asarray(weights.sum(axis=1))
    shares = weights.data / sums[rows]
    heights = np.cumsum(shares)  # each row adds 1
    ends = weights.indptr[kinds + 1] - 1
    found = np.searchsorted(heights, kinds + rng.random(len(kinds)), side="right")
    return weights.indices[np.clip(found, weights.indptr[kinds], ends)]
