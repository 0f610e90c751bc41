"""Conditions by selection: the best candidates against a search of all, and bounds of memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_tables import schemas, table

from syntharena.bench.schema import Column, Schema
from syntharena.generators import selection
from syntharena.generators.common import to_values
from syntharena.generators.selection import by_selection, fitting


def test_selected_rows_have_what_was_asked_for():
    columns = (
        Column("group", "categorical", ("a", "b"), missing=True),
        Column("size", "continuous", missing=True),
        Column("sum", "continuous"),
    )
    schema = Schema(columns)
    rng = np.random.default_rng(0)

    def draw(n):
        group = rng.integers(0, 3, n) - 1
        size = rng.normal(size=n)
        rows = {
            "group": pd.Categorical.from_codes(group, dtype=columns[0].dtype),
            "size": np.where(rng.random(n) < 0.2, np.nan, size),
        }
        return pd.DataFrame(rows | {"sum": 10.0 * group + size})

    asked = pd.DataFrame({"group": ["a", "b", None, "b"] * 50, "size": [0.3, -1.0, 0.0, None] * 50})
    found = by_selection(draw, asked, schema, len(asked), rng)
    schema.conform(found, len(asked))
    assert found["group"].astype(object).fillna("?").tolist() == ["a", "b", "?", "b"] * 50
    known = asked["size"].notna().to_numpy()
    assert found.loc[known, "size"].tolist() == asked.loc[known, "size"].tolist()
    expected = 10.0 * found["group"].cat.codes + asked["size"]
    assert found["sum"].to_numpy()[known] == pytest.approx(expected.to_numpy()[known], abs=0.1)
    assert found.loc[~known, "sum"].nunique() > 20  # not one row again and again
    assert len(by_selection(draw, None, schema, 7, rng)) == 7


def unfit(candidates, asked, schema):
    """Return how many categories differ, and how far numbers are; (asked, candidates) each."""
    pairs = [to_values(side[schema.names], schema).T for side in (asked, candidates)]
    others, squares = np.zeros((2, len(asked), len(candidates)))
    for column, wanted, offered in zip(schema, *pairs, strict=True):
        if column.is_discrete:
            wanted, offered = (np.nan_to_num(side, nan=-1) for side in (wanted, offered))
            others += wanted[:, None] != offered
            continue
        others += np.isnan(wanted)[:, None] != np.isnan(offered)
        known = np.concatenate([wanted, offered])
        known = known[~np.isnan(known)]
        if not len(known):
            continue
        least, reach = known.min(), np.ptp(known) or 1.0
        wanted, offered = (np.nan_to_num((side - least) / reach) for side in (wanted, offered))
        squares += (wanted[:, None] - offered) ** 2
    return others, np.sqrt(squares)


@pytest.mark.parametrize("pairs", [selection.PAIRS, 1])
@settings(max_examples=60, deadline=None)
@given(schema=schemas(), rows=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_the_best_candidate_is_that_of_a_search_of_all(pairs, schema, rows, seed):
    candidates, asked = table(schema, 300, seed), table(schema, rows, seed + 1)
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "PAIRS", pairs)
        patch.setattr(selection, "AT_ONCE", 1000)
        chosen = fitting(candidates, asked, schema, rng)
    others, apart = unfit(candidates, asked, schema)
    found, least = others[np.arange(rows), chosen], others.min(axis=1)
    if pairs == 1:  # rows that no candidate meets are compared with one of them
        assert np.all((found == 0) == (least == 0))
        return
    assert np.array_equal(found, least)
    nearest = np.where(others == least[:, None], apart, np.inf).min(axis=1)
    assert np.all(apart[np.arange(rows), chosen] <= nearest + 10 * selection.JITTER)


def test_thousands_of_categories_take_little_memory():
    column = Column("c", "categorical", tuple(map(str, range(5_000))))
    schema = Schema((column, Column("x", "continuous")))
    rng = np.random.default_rng(0)

    def draw(n):
        codes = rng.integers(5_000, size=n)
        return schema.assemble({"c": column.from_codes(codes), "x": pd.Series(codes / 10)})

    asked = draw(10_000)[["c"]]
    tracemalloc.start()
    found = by_selection(draw, asked, schema, 10_000, rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["c"].equals(asked["c"])
    assert (found["x"] * 10 == asked["c"].cat.codes).mean() > 0.99
    assert peak < 150e6  # one-hot vectors would take 8 GB
