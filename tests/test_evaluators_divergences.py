"""Divergences against SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from syntharena.bench import probes
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.binning import quantile_codes
from syntharena.evaluators.divergences import Divergences
from syntharena.evaluators.transport import wasserstein

X = Column("x", "continuous", missing=True)
B = Column("b", "integer", minimum=-10, maximum=30)
C = Column("c", "categorical", ("a", "b", "c"), missing=True)
numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def evaluate(tables, schema):
    return Divergences().evaluate(tables, schema=schema, rng=np.random.default_rng(0))


def single(column, real, synthetic):
    make = column.from_codes if column.is_discrete else column.from_numbers
    sides = [pd.DataFrame({column.name: make(np.array(side))}) for side in (real, synthetic)]
    return evaluate(Tables(sides[0], sides[0], sides[0], sides[1]), Schema((column,)))


@given(numbers, numbers, st.booleans())
def test_wasserstein_is_scipys(first, second, equal):
    second = (second * len(first))[: len(first)] if equal else second
    expected = stats.wasserstein_distance(first, second)
    found = wasserstein(np.sort(first), np.sort(second))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_columns_are_measured_by_scipys_definitions():
    schema = probes.schemas()["mixed"]
    tables = probes.tables(schema, np.random.default_rng(0))
    found = evaluate(tables, schema)
    codes = quantile_codes(tables, schema)
    for column in schema:
        sides = [side[column.name] for side in (tables.train, tables.synthetic)]
        if not column.is_discrete:
            known = [column.numbers(side.dropna()) for side in sides]
            expected = stats.wasserstein_distance(*known) / (column.upper - column.lower)
            value = found[f"column_wasserstein_error[{column.name}]"]
            assert value == pytest.approx(expected, abs=1e-12)
        n, cells = len(tables.train), codes[column.name].max() + 1
        counts = [
            np.bincount(part, minlength=cells)
            for part in (codes[column.name][:n], codes[column.name][n:])
        ]
        value = found[f"column_jensen_shannon_error[{column.name}]"]
        assert value == pytest.approx(jensenshannon(*counts, base=2), abs=1e-9)
    for name in ("wasserstein_error", "jensen_shannon_error"):
        by_column = [v for key, v in found.items() if key.startswith(f"column_{name}[")]
        assert found[name] == pytest.approx(np.mean(by_column))


def test_wasserstein_is_in_units_of_the_range():
    assert single(B, [0, 0], [10, 10])["wasserstein_error"] == 10 / 40
    assert single(X, [0.0, 5], [5.0, 10])["wasserstein_error"] == 1
    assert single(X, [0.0, 5], [1.0, 6])["wasserstein_error"] == pytest.approx(0.2)
    assert single(X, [0.0, 5], [1e300, -1e300])["wasserstein_error"] == 1
    assert single(X, [7.0, 7], [7.0])["wasserstein_error"] == 0
    assert single(X, [7.0, 7], [7.5])["wasserstein_error"] == 1


def test_lost_and_absent_values():
    assert single(X, [1.0, 2], [np.nan])["wasserstein_error"] == 1
    assert isinstance(single(X, [np.nan], [1.0])["wasserstein_error"], str)
    assert isinstance(single(C, [0], [1])["wasserstein_error"], str)
    # a missing value is a category of its own, and so is an invented number
    assert single(C, [0, -1], [0, 0])["jensen_shannon_error"] == pytest.approx(
        jensenshannon([1, 1], [2, 0], base=2)
    )
    assert single(X, [1.0, 2], [3.0, 4])["jensen_shannon_error"] == 1


def test_the_best_value_is_that_of_a_copy():
    schema = probes.schemas()["mixed"]
    train = probes.tables(schema, np.random.default_rng(0)).train
    found = evaluate(Tables(train, train, train, train), schema)
    assert all(value == 0 for value in found.values() if not isinstance(value, str))


def test_correlations_of_mixed_pairs_are_compared():
    d = Column("d", "categorical", ("p", "q"))
    y = Column("y", "continuous")
    schema = Schema((X, y, C, d))
    x, codes = np.arange(200.0), np.arange(200) % 2
    real = schema.assemble(
        {
            "x": X.from_numbers(x),
            "y": y.from_numbers(2 * x),
            "c": C.from_codes(codes),
            "d": d.from_codes(codes),
        }
    )
    # y turned against x, and c against d: Pearson from 1 to -1, Cramer's V stays 1
    turned = real.assign(y=y.from_numbers(-2 * x), d=d.from_codes(1 - codes))
    tables = Tables(real, real, real, turned)
    small = abs(np.corrcoef(x, codes)[0, 1])  # the correlation ratio of two groups is |r|
    assert small < 0.01
    assert evaluate(tables, schema)["correlation_error"] == pytest.approx(2 / 6, abs=1e-9)
    flat = real.assign(x=X.from_numbers(np.zeros(200)))
    expected = (1 + 2 * small) / 6  # x lost what it had with y, c and d
    found = evaluate(Tables(real, real, real, flat), schema)["correlation_error"]
    assert found == pytest.approx(expected, abs=1e-9)


def test_missing_values_are_compared_by_rate_and_by_pattern():
    y = Column("y", "continuous", missing=True)
    schema = Schema((X, y, B))
    gone, there = np.nan, 1.0

    def table(x, also):
        columns = {"x": X.from_numbers(np.array(x)), "y": y.from_numbers(np.array(also))}
        return schema.assemble(columns | {"b": B.from_numbers(np.zeros(4))})

    together = table([gone, gone, there, there], [gone, gone, there, there])
    apart = table([gone, gone, there, there], [there, there, gone, gone])
    full = table([there] * 4, [there] * 4)
    found = evaluate(Tables(together, together, together, apart), schema)
    assert (found["missing_rate_error"], found["missing_pattern_error"]) == (0, 1)
    found = evaluate(Tables(together, together, together, full), schema)
    assert (found["missing_rate_error"], found["missing_pattern_error"]) == (0.5, 0.5)
    none = single(B, [1], [2])
    assert isinstance(none["missing_rate_error"], str)
    assert isinstance(none["missing_pattern_error"], str)
