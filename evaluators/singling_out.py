"""Singling out: whether conditions that hold for one synthetic row hold for one real row.

Tables are taken without repeated rows. Train is usually larger than holdout, and in a larger table
other predicates single out, so successes on the two cannot be compared as they are. Both are
therefore referred to tables of train's size: let n of N train rows, drawn at random, make room for
the n rows of holdout. If the generator did not know which rows were train, a predicate singles out
a row of holdout in that mixture as often as one of the n train rows in train. So the control rate
is N / n times the chance that exactly one row of holdout and none of the remaining train rows
matches. With n = N this is anonymeter's control; for other sizes anonymeter 1.1 fits a curve to the
number of predicates, where the number of successes was meant.
"""

from __future__ import annotations

from math import comb

import numpy as np
import pandas as pd

from ..bench.content import row_hashes
from ..bench.contracts import Tables
from ..bench.schema import Schema, by_name
from .predicates import (
    Index,
    Predicates,
    guessed,
    matches,
    of_rows,
    single_column,
    singles,
    some_columns,
    united,
)
from .risk import Attack

BATCH, BATCHES = 10, 25  # tries of multivariate predicates, in multiples of the attacks wanted


def univariate(
    tables: Tables, schema: Schema, attacks: int, rng: np.random.Generator
) -> Attack | str:
    """Attack with conditions on one column, at most ``attacks`` of them, drawn at random."""
    synthetic, train, holdout = _indexes(tables, schema)
    predicates = _some(single_column(synthetic), attacks, rng)
    return attack(predicates, guessed(synthetic, attacks, 1, rng), train, holdout)


def multivariate(
    tables: Tables, schema: Schema, attacks: int, width: int, rng: np.random.Generator
) -> Attack | str:
    """Attack with conjunctions on ``width`` random columns of random synthetic rows.

    Rows are described until enough predicates single one out, or tries bring nothing new.
    """
    width = min(width, len(schema))
    if width < 2:
        return "the table has one column, so there is nothing to combine"
    synthetic, train, holdout = _indexes(tables, schema)
    batch = min(BATCH * attacks, 4 * len(synthetic) * comb(len(schema), width))
    found = _described(synthetic, batch, width, rng)
    for _ in range(BATCHES - 1):
        before = len(found)
        if before >= attacks:
            break
        found = united([found, _described(synthetic, batch, width, rng)])
        if len(found) == before:
            break
    predicates = _some(found, attacks, rng)
    return attack(predicates, guessed(synthetic, attacks, width, rng), train, holdout)


def _described(index: Index, n: int, width: int, rng: np.random.Generator) -> Predicates:
    """Describe ``n`` random rows; return the descriptions that hold for one row, each once."""
    rows = rng.integers(len(index), size=n)
    drawn = of_rows(index, rows, some_columns(len(index.numeric), n, width, rng))
    return united([drawn.take(singles(drawn, index))])


def attack(predicates: Predicates, blind: Predicates, train: Index, holdout: Index) -> Attack:
    """Try predicates on train and on holdout; ``blind`` are those of someone who guesses."""
    in_train, in_holdout = matches(predicates, train), matches(predicates, holdout)
    control = (in_holdout == 1) * chance_removed(in_train, len(holdout), len(train))
    return Attack(
        main=(in_train == 1)[:, None],
        control=control[:, None],
        baseline=np.array([singles(blind, train).mean()]),
        control_attacks=len(predicates) * len(holdout) / len(train),
    )


def chance_removed(matching: np.ndarray, removed: int, rows: int) -> np.ndarray:
    """Chance that ``removed`` of ``rows``, drawn without repetition, include all ``matching``."""
    from scipy.special import gammaln

    possible = matching <= removed
    kept = np.where(possible, removed - matching, 0)
    ways = gammaln(rows - matching + 1) - gammaln(kept + 1)
    return np.where(possible, np.exp(ways + gammaln(removed + 1) - gammaln(rows + 1)), 0.0)


def _indexes(tables: Tables, schema: Schema) -> tuple[Index, Index, Index]:
    """Index the distinct rows of synthetic, train and holdout, in an order set by their content.

    Of a holdout larger than train as many rows are taken as train has.
    """

    def make() -> tuple[Index, Index, Index]:
        synthetic, train, holdout = (
            _distinct(table, schema) for table in (tables.synthetic, tables.train, tables.holdout)
        )
        sides = (synthetic, train, holdout.iloc[: len(train)])
        synthetic, train, holdout = (Index.of(side, by_name(schema)) for side in sides)
        return synthetic, train, holdout

    return tables.once(("singling_out", "indexes"), make)


def _distinct(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Each distinct row once, in the order of the row hashes, which is as good as random."""
    return table.iloc[np.unique(row_hashes(table, schema), return_index=True)[1]]


def _some(predicates: Predicates, count: int, rng: np.random.Generator) -> Predicates:
    return predicates.take(np.sort(rng.permutation(len(predicates))[:count]))
