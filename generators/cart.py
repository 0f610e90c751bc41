"""Sequential classification and regression trees, as in synthpop.

The first column is bootstrapped. Each next one is predicted by a tree from the columns before it,
and its value is drawn from the donors: the training rows in the same leaf. So every value, though
not every row, is one of train's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Column, Schema
from .common import (
    VECTOR_LENGTH,
    NotPrivate,
    category_vectors,
    check_at_least,
    check_rows,
    from_values,
    to_values,
)


@dataclass(frozen=True)
class Donors:
    """One column's values, grouped by the leaves of its tree.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree or None
        None for the first column, whose donors are all rows.
    ranks : ndarray of float32, shape (rows,)
        The training rows' values as ranks, sorted by leaf; NaN where missing.
    start, size : ndarray of int64, shape (nodes,)
        Where the donors of a leaf lie in ``ranks``.
    """

    tree: Any
    ranks: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, tree: Any, earlier: np.ndarray, ranks: np.ndarray) -> Donors:
        """Sort the training rows' ``ranks`` by the leaf that ``earlier`` columns lead to."""
        leaves = _leaves(tree, earlier)
        size = np.bincount(leaves)
        order = np.argsort(leaves, kind="stable")
        return cls(tree, ranks[order], np.cumsum(size) - size, size)

    def draw(self, earlier: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one donor's rank for each row of ``earlier`` columns."""
        leaves = _leaves(self.tree, earlier)
        return self.ranks[self.start[leaves] + rng.integers(self.size[leaves])]


class Cart(NotPrivate):
    """Sequential CART (Nowok, Raab and Dibben 2016; trees of Breiman et al. 1984).

    Trees see ranks in place of numbers, which changes no split of the training rows and keeps dates
    and large numbers exact in the float32 of scikit-learn. Categories enter as their positions in
    the Schema. A column of more than ``VECTOR_LENGTH`` categories is grown on random projections
    of its one-hot vectors, whose variance is the Gini impurity in expectation.

    Parameters
    ----------
    min_leaf : int
        Fewest donors in a leaf, >= 1.
    """

    def __init__(self, min_leaf: int = 5) -> None:
        self.min_leaf = min_leaf

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Grow one tree per column."""
        check_at_least("min_leaf", self.min_leaf, 1)
        check_rows(train)
        values = to_values(train, schema)
        ranks = np.empty(values.shape, dtype=np.float32, order="F")
        self.schema_ = schema
        self.values_: list[np.ndarray] = []
        self.donors_: list[Donors] = []
        for position, column in enumerate(schema):
            known, ranks[:, position] = _ranked(values[:, position])
            tree = None
            if position:
                target = values[:, position]
                tree = self._grow(ranks[:, :position], target, column, rng)
            self.values_.append(known)
            self.donors_.append(Donors.of(tree, ranks[:, :position], ranks[:, position]))
            self.progress(position + 1, len(schema))
        return self

    def _grow(
        self, earlier: np.ndarray, target: np.ndarray, column: Column, rng: np.random.Generator
    ) -> Any:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        options: dict[str, Any] = {
            "min_samples_leaf": self.min_leaf,
            "random_state": int(rng.integers(2**31)),
        }
        codes = np.where(np.isnan(target), len(column.categories), target)  # missing comes last
        if column.is_discrete and len(column.categories) <= VECTOR_LENGTH:
            return DecisionTreeClassifier(**options).fit(earlier, codes).tree_
        if column.is_discrete:
            vectors = category_vectors(len(column.categories) + 1, rng)
            outputs = vectors[codes.astype(np.int64)]
        else:
            outputs = _numeric_outputs(target)
        return DecisionTreeRegressor(**options).fit(earlier, outputs).tree_

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows, column by column."""
        ranks = np.empty((n, len(self.schema_)), dtype=np.float32)
        values = np.empty(ranks.shape, order="F")
        for position, (known, donors) in enumerate(zip(self.values_, self.donors_, strict=True)):
            drawn = donors.draw(ranks[:, :position], rng)
            ranks[:, position] = drawn
            values[:, position] = _unranked(known, drawn)
        return from_values(values, self.schema_)


def _leaves(tree: Any, earlier: np.ndarray) -> np.ndarray:
    """Return the leaf of each row; without a tree all rows share one."""
    if tree is None:
        return np.zeros(len(earlier), dtype=np.int64)
    return tree.apply(np.ascontiguousarray(earlier))


def _ranked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct known values, ascending, and each row's position among them."""
    missing = np.isnan(values)
    known, positions = np.unique(values[~missing], return_inverse=True)
    ranks = np.full(len(values), np.nan, dtype=np.float32)
    ranks[~missing] = positions
    return known, ranks


def _unranked(known: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    values = np.full(len(ranks), np.nan)
    present = ~np.isnan(ranks)
    values[present] = known[ranks[present].astype(np.int64)]
    return values


def _numeric_outputs(target: np.ndarray) -> np.ndarray:
    """Return what a regression tree predicts: standardised values, and where they are missing.

    Shape (rows, 1), or (rows, 2) if some are missing; those stand at the mean.
    """
    missing = np.isnan(target)
    if missing.all():
        return np.zeros((len(target), 1))
    scaled = target / max(np.nanmax(np.abs(target)), np.finfo(float).tiny)  # squares stay finite
    centred = np.where(missing, 0.0, scaled - np.nanmean(scaled))
    outputs = centred / (centred.std() or 1.0)
    return np.column_stack([outputs, missing] if missing.any() else [outputs])
