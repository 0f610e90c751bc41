"""Linkability and attribute inference: what the synthetic row nearest to a real one gives away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ..bench.content import draw_rows, keys, row_hashes
from ..bench.contracts import Tables
from ..bench.schema import Column, Schema, by_name
from .gower import Gower, View, each_left_out, halves, nearest
from .risk import Attack

TOLERANCE = 0.05  # of a guessed number, or of the range of dates


def linkage(
    tables: Tables, schema: Schema, attacks: int, splits: int, rng: np.random.Generator
) -> Attack | str:
    """Link two halves of a row, each known to one attacker, by their nearest synthetic row.

    Columns are halved at random, once for each split. Of equally near synthetic rows both halves
    take the one that comes first in one random order, so they are linked with the chance that their
    sets of nearest distinct rows share (their Jaccard index).

    Returns
    -------
    Attack or str
        One variant for each split; guessing links two synthetic rows drawn blindly.
    """
    if len(schema) < 2:
        return "the table has one column, so there are no two halves to link"
    half = len(schema) // 2
    see = halves([rng.permutation(len(schema))[:half] for _ in range(splits)])
    synthetic = _in_random_order(tables.synthetic, schema, rng)
    main, control = (
        (near[::2] == near[1::2]).T
        for _, near in _searches(tables, synthetic, schema, attacks, see, rng)
    )
    return Attack(main, control, np.full(splits, 1 / len(synthetic)))


def inference(
    tables: Tables, schema: Schema, attacks: int, rng: np.random.Generator
) -> Attack | str:
    """Guess each column of a row from the synthetic row that is nearest in all others.

    Returns
    -------
    Attack or str
        One variant for each column, in the order of their names; guessing takes the value of a
        synthetic row drawn blindly.
    """
    if len(schema) < 2:
        return "the table has one column, so nothing is known from which to guess it"
    columns = by_name(schema)
    synthetic = _in_random_order(tables.synthetic, schema, rng)
    searches = _searches(tables, synthetic, schema, attacks, each_left_out, rng)
    (targets, near), (others, near_others) = searches
    return Attack(
        main=_guessed(columns, synthetic, near, targets),
        control=_guessed(columns, synthetic, near_others, others),
        baseline=np.array(
            [blind(column, synthetic[column.name], targets[column.name]) for column in columns]
        ),
    )


def _in_random_order(table: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> pd.DataFrame:
    """Put rows in an order that depends on their content and a random number alone."""
    return table.iloc[np.argsort(keys(row_hashes(table, schema), rng))]


def _searches(
    tables: Tables,
    synthetic: pd.DataFrame,
    schema: Schema,
    attacks: int,
    see: View,
    rng: np.random.Generator,
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Draw targets of train, then of holdout, and find their nearest synthetic rows per view."""
    gower = Gower(by_name(schema), tables.train)
    for side in (tables.train, tables.holdout):
        targets = side.iloc[draw_rows(row_hashes(side, schema), attacks, rng)]
        yield targets, nearest(gower, targets, synthetic, see)


def _guessed(
    columns: Sequence[Column], synthetic: pd.DataFrame, near: np.ndarray, targets: pd.DataFrame
) -> np.ndarray:
    """Whether each target's value is right in its nearest row, bool, shape (targets, columns)."""
    return np.column_stack(
        [
            correct(column, synthetic[column.name].iloc[rows], targets[column.name])
            for column, rows in zip(columns, near, strict=True)
        ]
    )


def correct(column: Column, guesses: pd.Series, secrets: pd.Series) -> np.ndarray:
    """Whether each guess is right.

    Categories and missing values are right if equal; numbers if the difference is at most 5 % of
    the guess (of its size: anonymeter takes every negative guess for right), whole numbers too;
    dates if it is at most 5 % of the public range, or of that of the guesses.

    Returns
    -------
    ndarray of bool, shape (len(secrets),)
    """
    if column.is_discrete:
        return column.codes(guesses) == column.codes(secrets)
    guess, secret = column.numbers(guesses), column.numbers(secrets)
    with np.errstate(invalid="ignore"):
        near = np.abs(guess - secret) <= _reach(column, guess)
    return near | (np.isnan(guess) & np.isnan(secret))


def blind(column: Column, values: pd.Series, secrets: pd.Series) -> float:
    """Chance that one of ``values``, drawn blindly, is a right guess of one of ``secrets``."""
    if column.is_discrete:
        width = len(column.categories) + 1
        shares = [
            np.bincount(column.codes(side) + 1, minlength=width) / len(side)
            for side in (values, secrets)
        ]
        return float(shares[0] @ shares[1])
    guess, secret = np.sort(column.numbers(values)), np.sort(column.numbers(secrets))
    absent = np.isnan(guess).mean() * np.isnan(secret).mean()
    guess = guess[~np.isnan(guess)]
    reach = _reach(column, guess)
    # Each guess is right for the secrets within its reach.
    first = np.searchsorted(secret, guess - reach, side="left")
    last = np.searchsorted(secret, guess + reach, side="right")
    hits = (last - first).sum()
    return float(absent + hits / (len(values) * len(secret)))


def _reach(column: Column, guess: np.ndarray) -> np.ndarray:
    """How far from each guess a secret may lie."""
    if column.kind != "datetime":
        return TOLERANCE * np.abs(guess)
    if column.is_bounded:
        return np.full(len(guess), TOLERANCE * (column.upper - column.lower))
    known = guess[~np.isnan(guess)]
    return np.full(len(guess), TOLERANCE * np.ptp(known) if len(known) else 0.0)
