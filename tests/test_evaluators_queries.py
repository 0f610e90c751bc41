"""Queries against counting with pandas, and on tables whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from syntharena.bench import probes
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.queries import Queries, answers, domain, of_quantile

SCHEMA = probes.schemas()["mixed"]


def tables(seed=0):
    return probes.tables(SCHEMA, np.random.default_rng(seed))


def evaluate(given, schema=SCHEMA, queries=200, seed=0):
    rng = np.random.default_rng(seed)
    return Queries(queries).evaluate(given, schema=schema, rng=rng)


def test_answers_are_the_shares_that_pandas_counts():
    table = tables().train
    queries = [
        {"height": (-3.0, 0.5)},
        {"height": (-3.0, 0.5), "city": (1.0, 1.0)},
        {"weight": (10.0, 40.0), "grade": (0.0, 0.0), "visits": (2.0, 5.0)},
    ]
    expected = [
        table["height"].between(-3, 0.5).mean(),
        (table["height"].between(-3, 0.5) & (table["city"] == "Oslo")).mean(),
        (
            table["weight"].between(10, 40)
            & (table["grade"] == "a")
            & table["visits"].between(2, 5)
        ).mean(),
    ]
    assert table["weight"].isna().any()
    assert answers(queries, table, SCHEMA) == pytest.approx(expected, abs=1e-15)
    assert min(expected) > 0


def test_equal_tables_have_no_error_and_a_copy_of_train_has_that_of_sampling():
    given = tables()
    same = evaluate(replace(given, synthetic=given.holdout))
    assert {value.value for value in same.values()} == {0}
    copy = evaluate(replace(given, synthetic=given.train))["range_query_error"]
    fresh = evaluate(replace(given, synthetic=given.reference))["range_query_error"]
    assert copy.value == pytest.approx(fresh.value, rel=0.5)
    assert copy.low > 0


def test_disjoint_tables_have_the_worst_error():
    schema = Schema((Column("only", "categorical", ("a",), missing=True),))
    column = schema["only"]
    full = schema.assemble({"only": column.from_codes(np.zeros(9, dtype=int))})
    none = schema.assemble({"only": column.from_codes(np.full(9, -1))})
    found = evaluate(Tables(full, full, full, none), schema)
    assert found["range_query_error"].value == found["range_query_tail_error"].value == 1
    assert found["range_query_way_error[1]"].value == 1
    assert found["range_query_way_error[2]"] == "1 columns can be asked for"


def test_the_error_of_a_shift_is_the_one_of_the_closed_form():
    # Uniform on [0, 1] against all rows at 0: a range holds u of the first, none of the second, and
    # the mean length of a random range is 1/3.
    schema = Schema((Column("x", "continuous"),))
    grid = schema.assemble({"x": schema["x"].from_numbers(np.linspace(0, 1, 1001))})
    zero = schema.assemble({"x": schema["x"].from_numbers(np.full(10, -1.0))})
    given = Tables(grid, grid, grid, zero)
    found = [evaluate(given, schema, queries=500, seed=seed) for seed in range(60)]
    # 95 % of ranges are shorter than 1 - sqrt(0.05): their length has the density 2 (1 - u)
    truths = {"range_query_error": 1 / 3, "range_query_tail_error": 1 - np.sqrt(0.05)}
    for name, truth in truths.items():
        covered = np.mean([values[name].low <= truth <= values[name].high for values in found])
        assert 0.87 < covered <= 1, name
        assert np.mean([v[name].value for v in found]) == pytest.approx(truth, abs=0.006)


def test_worse_tables_have_larger_errors():
    given = tables()
    shifted = given.synthetic.assign(height=given.synthetic["height"].clip(upper=-2.0))
    fair, poor = (evaluate(replace(given, synthetic=t)) for t in (given.synthetic, shifted))
    assert poor["range_query_error"].low > fair["range_query_error"].high


def test_queries_follow_the_seed_and_the_content_of_train():
    first = evaluate(tables())
    assert evaluate(tables()) == first
    assert evaluate(tables(), seed=1) != first


def test_the_domain_is_trains_or_the_schemas():
    train = tables().train
    assert domain(SCHEMA["grade"], train) == (0, 2)
    assert domain(SCHEMA["unknown"], train) is None
    known = train["weight"].dropna()
    assert domain(SCHEMA["weight"], train) == (known.min(), known.max())
    assert domain(SCHEMA["weight"], train.assign(weight=np.nan)) is None


def test_what_cannot_be_asked_has_a_reason():
    given = tables()
    empty = replace(given, holdout=given.holdout.iloc[:0])
    assert set(evaluate(empty).values()) == {"holdout has no rows"}
    schema = Schema((SCHEMA["unknown"],))
    bare = Tables(
        *[
            getattr(given, side)[["unknown"]]
            for side in ("train", "holdout", "reference", "synthetic")
        ]
    )
    assert set(evaluate(bare, schema).values()) == {"no column of train has a value to ask for"}
    with pytest.raises(ValueError, match="queries must be at least 1"):
        Queries(0)


def test_the_interval_of_a_quantile_covers_it():
    rng = np.random.default_rng(0)
    found = [of_quantile(rng.random(300), 0.95) for _ in range(300)]
    covered = np.mean([one.low <= 0.95 <= one.high for one in found])
    assert 0.9 < covered <= 1
