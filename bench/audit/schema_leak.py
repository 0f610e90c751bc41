"""Schema leaks: whether a record outside the public Schema shows in what a generator gives away.

A generator that takes its categories, bounds or number of rows from private rows tells that a
record was there with certainty, whatever noise it adds elsewhere. So it is fitted on rows and on
the same rows with one more, the ``foreign`` one, and what it gives away is searched: synthetic rows
and the fitted model, byte by byte, for the foreign values, its numbers for those that no noise
moves. No finding is no proof: a value that the model holds only scaled or mixed with others is not
recognised.
"""

from __future__ import annotations

import pickle
import struct
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..contracts import Budget, Generator
from ..schema import Column, Schema
from ..seeds import stream
from .pairs import FOREIGN_TEXT, Pair, foreign, foreign_number

Place = Literal[
    "crash", "rows", "bounds", "vocabulary", "model", "row count", "exact number", "shape"
]
DEPTH = 12  # how deep a fitted model is searched
AGAIN = 8  # fits of each table, beside the first, in which a noisy number has the chance to move
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


@dataclass(frozen=True)
class Finding:
    """One way in which the foreign record can be recognised.

    Parameters
    ----------
    place : str
        ``crash``: fitting or sampling fails only with the record. ``rows``: its value is among the
        synthetic rows. ``bounds``: so is a number outside the public bounds. ``vocabulary``: a
        dtype of theirs has a category of its. ``model``: the fitted model holds its value. ``row
        count``: the model or its ledger holds the exact number of rows. ``exact number``: one that
        no noise moves and that the record changed. ``shape``: the release has other shapes.
    where : str
        The column, or the path in the model.
    seen : str
        What was seen.
    """

    place: Place
    where: str
    seen: str


def schema_leaks(
    make: Callable[[], Generator],
    schema: Schema,
    known: pd.DataFrame,
    *,
    budget: Budget,
    seed: int,
    rows: int = 2000,
) -> list[Finding]:
    """Fit a generator with and without a foreign record, and search what it gives away.

    Parameters
    ----------
    make : callable
        Returns a new, unfitted generator.
    known : DataFrame
        Canonical; a few hundred rows do.
    seed : int
        Of the audit, >= 0; fits of both tables draw the same random numbers.
    rows : int
        Synthetic rows that are searched.

    Returns
    -------
    list of Finding
        Empty where nothing was recognised.

    Raises
    ------
    Exception
        What the generator itself raises on rows within the Schema.
    """
    pair = foreign(schema, known, budget.neighbours)

    def fit(table: pd.DataFrame, *again: str) -> Any:
        rng = stream(seed, "audit", "schema", "fit", *again)
        return make().fit(table.copy(), schema=schema, budget=budget, rng=rng)

    plain = fit(pair.absent)
    try:
        fitted = fit(pair.present)
        sampled = fitted.sample(rows, rng=stream(seed, "audit", "schema", "sample"))
    except Exception as error:
        return [Finding("crash", "fit or sample", f"{type(error).__name__}: {error}")]
    fits = ((fit(pair.absent, str(k)), fit(pair.present, str(k))) for k in range(AGAIN))
    return [
        *_in_rows(sampled, schema),
        *_in_model(fitted, schema),
        *_exact_numbers(plain, fitted, fits, pair),
    ]


def _in_rows(sampled: pd.DataFrame, schema: Schema) -> Iterator[Finding]:
    for column in schema:
        series = sampled[column.name]
        if column.kind == "categorical":
            if hits := int((series.astype(object) == FOREIGN_TEXT).sum()):
                yield Finding("rows", column.name, f"{FOREIGN_TEXT!r} in {hits} of {len(series)}")
            if FOREIGN_TEXT in getattr(series.dtype, "categories", ()):
                yield Finding("vocabulary", column.name, f"dtype knows {FOREIGN_TEXT!r}")
        elif not column.is_discrete and column.is_bounded:
            numbers = column.numbers(series)
            if hits := int((numbers == foreign_number(column)).sum()):
                number = foreign_number(column)
                yield Finding("rows", column.name, f"{number!r} in {hits} of {len(series)}")
            outside = numbers[(numbers < column.lower) | (numbers > column.upper)]
            if len(outside):
                seen = f"{len(outside)} of {len(series)} up to {float(np.abs(outside).max())!r}"
                yield Finding("bounds", column.name, seen)


def _in_model(fitted: Any, schema: Schema) -> Iterator[Finding]:
    try:
        content = pickle.dumps(fitted)
    except Exception as error:  # contract tests demand pickling; here it only blinds one search
        yield Finding("crash", "pickle", f"{type(error).__name__}: {error}")
        return
    texts = {text: FOREIGN_TEXT.encode(text) for text in ("utf-8", "utf-16-le", "utf-32-le")}
    for encoding, wanted in texts.items():
        if wanted in content:
            yield Finding("model", "pickled bytes", f"{FOREIGN_TEXT!r} as {encoding}")
    for column in schema:
        if column.is_discrete or not column.is_bounded:
            continue
        for form, wanted in _number_forms(column).items():
            if wanted in content:
                seen = f"{foreign_number(column)!r} of column {column.name!r} as {form}"
                yield Finding("model", "pickled bytes", seen)


def _number_forms(column: Column) -> dict[str, bytes]:
    """How a model may hold a column's foreign number."""
    number = foreign_number(column)
    forms = {
        "float64": struct.pack("<d", number),
        "pickled float": struct.pack(">d", number),
        "text": repr(number).encode(),
    }
    with np.errstate(over="ignore"):
        forms["float32"] = np.float32(number).astype("<f4").tobytes()
    if number == int(number):
        whole = int(number)
        forms["integer"] = whole.to_bytes((whole.bit_length() + 8) // 8, "little", signed=True)
    return forms


def _exact_numbers(
    plain: Any, fitted: Any, fits: Iterable[tuple[Any, Any]], pair: Pair
) -> Iterator[Finding]:
    """Find numbers that no noise ever moves and that differ between the tables.

    The number of rows is one, a sampling rate in the ledger that was computed from it, or the size
    of an array that is released. A noisy number differs from fit to fit; models are fitted again
    until each that is left has had ``AGAIN`` chances to. Which keys a release has may be chosen by
    a private selection.
    """
    before, after = dict(_numbers(plain)), dict(_numbers(fitted))
    apart = {path for path in before.keys() & after.keys() if before[path] != after[path]}
    again = iter(fits)
    while apart and (models := next(again, None)) is not None:
        numbers = [dict(_numbers(model)) for model in models]
        apart = {
            path
            for path in apart
            if (numbers[0].get(path), numbers[1].get(path)) == (before[path], after[path])
        }
    for path in sorted(apart):
        seen = before[path], after[path]
        yield Finding(_kind(path, seen, pair), path, f"{seen[0]:.12g} and {seen[1]:.12g}")


def _kind(path: str, seen: tuple[float, float], pair: Pair) -> Place:
    if seen == (len(pair.absent), len(pair.present)):
        return "row count"
    return "shape" if ".shape[" in path else "exact number"


@dataclass
class _Walk:
    """Which objects of a model have been visited; kept alive, so that no id is used twice."""

    visited: dict[int, Any] = field(default_factory=dict)

    def leaves(self, value: Any, path: str, depth: int) -> Iterator[tuple[str, float]]:
        """Yield every number in a model with its path, and the sizes of arrays and tables."""
        if isinstance(value, bool | str | bytes | Schema | Column | type) or value is None:
            return
        if isinstance(value, int | float | np.number):
            yield path, float(value)
            return
        if depth > DEPTH or id(value) in self.visited or isinstance(value, FUNCTIONS):
            return
        self.visited[id(value)] = value
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            yield from ((f"{path}.shape[{i}]", float(size)) for i, size in enumerate(shape))
            if isinstance(value, np.ndarray) and value.size <= 64 and value.dtype.kind in "iuf":
                yield from ((f"{path}[{i}]", float(x)) for i, x in enumerate(value.ravel()))
            return
        for name, child in _children(value):
            yield from self.leaves(child, f"{path}{name}", depth + 1)


def _numbers(model: Any) -> Iterator[tuple[str, float]]:
    walk, name = _Walk(), type(model).__name__
    yield from walk.leaves(model, name, 0)
    for shown in ("ledger", "release"):  # may be properties
        yield from walk.leaves(getattr(model, shown, ()), f"{name}.{shown}", 0)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        yield "(length)", len(value)
        yield from ((f"[{i}]", child) for i, child in enumerate(value))
    elif is_dataclass(value) or hasattr(value, "__dict__"):
        yield from ((f".{name}", child) for name, child in vars(value).items())
