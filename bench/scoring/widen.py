"""Widen: a guessed column made to hold what a synthetic table has, with a note of each concession.

A Schema that was guessed from real rows is no judge of what values are allowed. So a category, a
missing value or a fraction that only the synthetic table has is let in and said, and the same
value spelled otherwise (``1.0`` for ``1``, ``true`` for ``True``) is read as what it means. A new
class of the target, which would change the task, counts as missing. A text among numbers or dates
is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from ..data.guess import ABSENT, PLAIN_NUMBER
from ..schema import Column, SchemaError

NAMED = 3  # values that a note spells out
Texts = np.ndarray  # of object, shape (rows,): the fields of a column as the file writes them


def typed(column: Column, texts: Texts) -> pd.Series:
    """Turn the texts of a file into a canonical column.

    Raises
    ------
    SchemaError
        If a text is no value of the column.
    """
    places, distinct = pd.factorize(texts)
    absent = np.isin(distinct.astype(object), _absent(column))
    if column.is_discrete:
        codes = pd.Index(column.categories, dtype=object).get_indexer(pd.Index(distinct))
        if (unseen := distinct[(codes < 0) & ~absent]).size:
            raise SchemaError(f"categories outside the Schema: {some(unseen)}")
        return column.from_codes(np.where(absent, -1, codes)[places])
    numbers = np.full(len(distinct), np.nan)
    numbers[~absent] = [_number(column, text) for text in distinct[~absent]]
    series = pd.Series(numbers[places], name=column.name)
    if column.kind == "datetime":
        series = replace(column, minimum=None, maximum=None).from_numbers(numbers[places])
    if problem := column.problem(series):
        raise SchemaError(problem)
    return column.canonical(series)


def _number(column: Column, text: str) -> float:
    is_date = column.kind == "datetime"
    try:
        return pd.Timestamp(datetime.fromisoformat(text)).timestamp() if is_date else float(text)
    except ValueError as error:
        raise SchemaError(f"{'dates' if is_date else 'numbers'} expected, got {text!r}") from error


def respelled(column: Column, texts: Texts) -> tuple[Texts, list[str]]:
    """Write values of a discrete column as its categories do; return the texts, and notes."""
    if not column.is_discrete:
        return texts, []
    known = {*column.categories, *_absent(column)}
    by_meaning = {_meaning(column, category): category for category in column.categories}
    meant = {
        text: by_meaning[_meaning(column, text)]
        for text in pd.unique(texts)
        if text not in known and _meaning(column, text) in by_meaning
    }
    if not meant:
        return texts, []
    pairs = some([f"{text} as {category}" for text, category in sorted(meant.items())])
    return np.array([meant.get(text, text) for text in texts], dtype=object), [f"read {pairs}"]


def _meaning(column: Column, text: str) -> str | float:
    if column.kind == "boolean":
        return text.casefold()
    return float(text) if PLAIN_NUMBER.fullmatch(text) else text


def widened(column: Column, texts: Texts, *, is_target: bool) -> tuple[Column, list[str]]:
    """Let in what only the synthetic table has; return the column, and notes."""
    new_values = _new_classes if is_target else _new_categories
    let_in = new_values if column.is_discrete else _fractions
    notes = []
    for change in (_words_for_missing, let_in, _missing_values):
        column, found = change(column, texts)
        notes += found
    return column, notes


def _words_for_missing(column: Column, texts: Texts) -> tuple[Column, list[str]]:
    known = {*column.categories, *column.missing_values}
    words = [word for word in ABSENT if word not in known and word in set(texts)]
    if not words:
        return column, []
    column = replace(column, missing_values=(*column.missing_values, *words))
    return column, [f"read {some(words)} as missing"]


def _new_categories(column: Column, texts: Texts) -> tuple[Column, list[str]]:
    unseen, rows = _unseen(column, texts)
    if not unseen:
        return column, []
    kind = "categorical" if column.kind == "boolean" else column.kind
    note = f"{rows} have a category that no real row has: {some(unseen)}"
    return replace(column, kind=kind, categories=(*column.categories, *unseen)), [note]


def _new_classes(column: Column, texts: Texts) -> tuple[Column, list[str]]:
    unseen, rows = _unseen(column, texts)
    if not unseen:
        return column, []
    note = f"{rows} have a class that no real row has, which counts as missing: {some(unseen)}"
    words = (*column.missing_values, *unseen)
    return replace(column, missing=True, missing_values=words), [note]


def _unseen(column: Column, texts: Texts) -> tuple[list[str], str]:
    """Return the values outside the categories, and which rows have them."""
    known = {*column.categories, *_absent(column)}
    unseen = sorted(text for text in pd.unique(texts) if text not in known)
    return unseen, _rows(int(np.isin(texts, unseen).sum()), texts)


def _fractions(column: Column, texts: Texts) -> tuple[Column, list[str]]:
    if column.kind != "integer":
        return column, []
    numbers = typed(replace(column, kind="continuous", missing=True), texts).to_numpy()
    broken = int((numbers != np.rint(numbers))[~np.isnan(numbers)].sum())
    if not broken:
        return column, []
    note = f"{_rows(broken, texts)} have a fraction, where every real row has a whole number"
    return replace(column, kind="continuous"), [note]


def _missing_values(column: Column, texts: Texts) -> tuple[Column, list[str]]:
    absent = int(np.isin(texts, _absent(column)).sum())
    if column.missing or not absent:
        return column, []
    note = f"{_rows(absent, texts)} have no value, where every real row has one"
    return replace(column, missing=True), [note]


def _absent(column: Column) -> list[str]:
    return ["", *column.missing_values]


def _rows(count: int, texts: Texts) -> str:
    return f"{count} of {len(texts)} synthetic rows"


def some(values: Iterable[str]) -> str:
    """Show the first few values, each as code would write it."""
    values = list(values)
    more = f" and {len(values) - NAMED} more" * (len(values) > NAMED)
    return ", ".join(map(repr, values[:NAMED])) + more
