"""Tables that a user can bring and nobody expects: for generators whose defaults are not cheap.

One column to four of any kind; bounds or none, missing values, constants, very many categories, a
column with nothing in it, one row.
"""

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


def table(schema, rows, seed):
    """Draw a table; numbers are two sorts by turns: five values, or all different."""
    rng = np.random.default_rng(seed)
    made = {}
    for place, column in enumerate(schema):
        missing = rng.random(rows) < rng.choice([0.0, 0.4, 1.0]) * column.missing
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


def survives(make, schema, rows, seed):
    """Fit, pickle, sample, condition; everything is valid and repeats."""
    train = table(schema, rows, seed)
    assert schema.problems(train, rows) == []
    rng = np.random.default_rng(seed)
    model = make().fit(train, schema=schema, budget=Budget(), rng=rng)
    model = pickle.loads(pickle.dumps(model))
    for n in (0, 1, 3 * rows + 1):
        made, again = (model.sample(n, rng=np.random.default_rng(seed)) for _ in range(2))
        assert schema.problems(made, n) == []
        pd.testing.assert_frame_equal(made, schema.conform(made))
        pd.testing.assert_frame_equal(made, again)
    names = [name for name in schema.names if rng.random() < 0.5]
    asked = table(schema, 7, seed + 1)[names]
    asked.index = range(10, 17)
    made = model.sample(7, rng=np.random.default_rng(0), conditions=asked)
    assert schema.problems(made, 7) == []
    pd.testing.assert_frame_equal(made[names], asked.reset_index(drop=True))
