"""Tables that a user can bring and nobody expects, and what a generator does with each.

``SHAPES`` are fixed ones, each with one thing in excess. ``schemas`` and ``table`` draw others: one
column to four of any kind; bounds or none, missing values, constants, very many categories, a
column with nothing in it, one row.
"""

import inspect
import pickle

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema

KINDS = ("continuous", "integer", "categorical", "boolean", "datetime")


@st.composite
def columns(draw, name):
    kind, missing = draw(st.sampled_from(KINDS)), draw(st.booleans())
    if kind in ("categorical", "boolean"):
        count = draw(st.sampled_from([0, 1, 2, 3, 17, 700]))
        names = tuple(f"c{i}" for i in range(count if missing else max(count, 1)))
        return Column(name, kind, names, missing=missing)
    low, high = draw(st.sampled_from([(0, 0), (-3, 5), (0, 10**9), (None, None)]))
    if kind == "datetime" and low is not None:
        low, high = (pd.Timestamp(value, unit="s").isoformat() for value in (low, high))
    decimals = draw(st.sampled_from([None, 0, 2])) if kind == "continuous" else None
    return Column(name, kind, minimum=low, maximum=high, decimals=decimals, missing=missing)


@st.composite
def schemas(draw):
    made = tuple(draw(columns(name)) for name in "abcd"[: draw(st.integers(1, 4))])
    target = draw(st.sampled_from([None, *made]))
    if target is None or (target.is_discrete and not target.categories):
        return Schema(made)
    task = "regression"
    if target.is_discrete:
        task = "binary" if len(target.categories) == 2 else "multiclass"
    return Schema(made, target=target.name, task=task)


def table(schema, rows, seed, missing_shares=(0.0, 0.4, 1.0)):
    """Draw a table; numbers are two sorts by turns: five values, or all different."""
    rng = np.random.default_rng(seed)
    made = {}
    for place, column in enumerate(schema):
        missing = rng.random(rows) < rng.choice(missing_shares) * column.missing
        if column.is_discrete:
            codes = rng.integers(max(len(column.categories), 1), size=rows)
            absent = missing | (not column.categories)
            made[column.name] = column.from_codes(np.where(absent, -1, codes))
            continue
        low, high = max(column.lower, -1e6), min(column.upper, 1e9)
        numbers = rng.uniform(low, high, size=rows if place % 2 else 5)
        numbers = numbers if place % 2 else rng.choice(numbers, size=rows)
        made[column.name] = column.from_numbers(np.where(missing, np.nan, numbers))
    return schema.assemble(made)


EMPTY = Column("empty", "categorical", (), missing=True)
UNKNOWN = Column("unknown", "continuous", minimum=0, maximum=1, missing=True)
CONSTANT = Column("constant", "continuous", minimum=2.5, maximum=2.5)
BORN = Column("born", "datetime", missing=True)
SECONDS = Column("seconds", "datetime", minimum="1900-01-01", maximum="2100-01-01")
LABEL = Column("label", "boolean")
AMOUNT = Column("amount", "continuous", decimals=2)


def classes(name, count, **fields):
    return Column(name, "categorical", tuple(f"v{i}" for i in range(count)), **fields)


def numeric(count):
    """Return columns of numbers of both kinds, some with missing values."""
    kinds = ("continuous", "integer")
    return [Column(f"n{i}", kinds[i % 2], missing=i % 5 == 4) for i in range(count)]


def discrete(count):
    """Return columns of 2 to 21 categories, some with an order or missing values."""
    return [
        classes(f"c{i}", 2 + i % 20, ordered=i % 4 == 3, missing=i % 5 == 4) for i in range(count)
    ]


def predicting(target, *features):
    task = "regression"
    if target.is_discrete:
        task = "binary" if len(target.categories) == 2 else "multiclass"
    return Schema((*features, target), target=target.name, task=task)


SHAPES = {
    "few rows, many columns": (200, predicting(LABEL, *numeric(24), *discrete(25))),
    "three rows": (3, predicting(LABEL, *numeric(5), *discrete(5), BORN)),
    "one number": (50, Schema((Column("x", "continuous"),))),
    "one date": (50, Schema((SECONDS,))),
    "one label": (50, predicting(LABEL)),
    "thousands of categories": (6000, predicting(LABEL, classes("many", 5000), *numeric(2))),
    "categories alone": (150, predicting(LABEL, *discrete(39))),
    "numbers alone": (150, Schema(tuple(numeric(60)))),
    "regression": (150, predicting(AMOUNT, *numeric(3), *discrete(3))),
    "thirty classes": (300, predicting(classes("class", 30), *numeric(3), *discrete(3))),
    "a class is missing": (90, predicting(classes("class", 3, missing=True), *numeric(3))),
    "an amount is missing": (90, predicting(Column("y", "continuous", missing=True), *discrete(3))),
    "nothing known": (60, predicting(UNKNOWN, *numeric(2), *discrete(2), EMPTY, CONSTANT)),
    "nothing at all": (9, Schema((EMPTY, CONSTANT, UNKNOWN))),
    "dates": (90, predicting(LABEL, BORN, SECONDS)),
    "far numbers": (90, Schema((Column("far", "continuous"), Column("near", "continuous")))),
}


def shape(name, seed=0):
    """Return the Schema of a fixed shape and a table of it, in which every category occurs."""
    rows, schema = SHAPES[name]
    made = table(schema, rows, seed, missing_shares=(0.2,))
    for column in schema:
        if column.is_discrete and not column.missing:
            codes = np.random.default_rng(seed).permutation(rows) % len(column.categories)
            made[column.name] = column.from_codes(codes)
    if UNKNOWN in schema.columns:
        made["unknown"] = UNKNOWN.from_numbers(np.full(rows, np.nan))
    if name == "far numbers":
        made = made.assign(far=made["far"] * 1e200, near=made["near"] * 1e-200)
    return schema, schema.conform(made, rows)


def survives(make, schema, train, seed, sizes):
    """Fit, pickle, sample, condition; everything is valid and repeats."""
    assert schema.problems(train, len(train)) == []
    rng = np.random.default_rng(seed)
    model = make().fit(train, schema=schema, budget=Budget(), rng=rng)
    model = pickle.loads(pickle.dumps(model))
    assert getattr(model, "parameters", 0) >= 0
    for n in sizes:
        made, again = (model.sample(n, rng=np.random.default_rng(seed)) for _ in range(2))
        assert schema.problems(made, n) == []
        pd.testing.assert_frame_equal(made, schema.conform(made))
        pd.testing.assert_frame_equal(made, again)
    if "conditions" not in inspect.signature(model.sample).parameters:
        return
    names = [name for name in schema.names if rng.random() < 0.5]
    asked = table(schema, 7, seed + 1)[names]
    asked.index = range(10, 17)
    made = model.sample(7, rng=np.random.default_rng(0), conditions=asked)
    assert schema.problems(made, 7) == []
    pd.testing.assert_frame_equal(made[names], asked.reset_index(drop=True))
