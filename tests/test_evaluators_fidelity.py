"""Shape and Trend against closed forms, slow definitions and SDMetrics."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import oracle_tables
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.associations import correlation_ratio, correlations, cramers_v
from syntharena.evaluators.contingency import gapless, joint_distance
from syntharena.evaluators.shape import Shape, column_similarity
from syntharena.evaluators.trend import BINS, Trend, contingency_similarities, inner_edges

X = Column("x", "continuous", missing=True)
Y = Column("y", "continuous", missing=True)
C = Column("c", "categorical", ("a", "b", "c"), missing=True)
D = Column("d", "datetime")
numbers = st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=30)


def series(column, values):
    return (column.from_codes if column.is_discrete else column.from_numbers)(np.array(values))


def evaluate(evaluator, real, synthetic, schema):
    tables = Tables(real, real, real, synthetic)
    return evaluator.evaluate(tables, schema=schema, rng=np.random.default_rng(0))


def test_shape_of_known_columns():
    assert column_similarity(X, series(X, [0.0, 1]), series(X, [2.0, 3])) == 0
    assert column_similarity(X, series(X, [0.0, 1, 2, 3]), series(X, [0.0, 1])) == 0.5
    assert column_similarity(C, series(C, [0, 0, 1, 1]), series(C, [0, 1, 1, 2])) == 0.75
    # missing values are left out on both sides
    assert column_similarity(C, series(C, [0, 0, 1, 1]), series(C, [0, 1, -1, -1])) == 1
    assert column_similarity(X, series(X, [0.0, np.nan]), series(X, [0.0])) == 1


def test_a_dropped_column_is_not_rewarded_and_an_empty_one_is_not_measured():
    full, empty = series(X, [1.0, 2]), series(X, [np.nan, np.nan])
    assert column_similarity(X, full, empty) == 0
    assert column_similarity(X, empty, full) is None
    schema = Schema((X, Y))
    real = pd.DataFrame({"x": full, "y": empty})
    values = evaluate(Shape(), real, real, schema)
    assert values["shape_score"] == 1
    assert isinstance(values["column_shape_score[y]"], str)


@given(numbers, numbers)
def test_numeric_shape_is_the_largest_distance_of_distribution_functions(first, second):
    known = [np.array([v for v in side if v == v]) for side in (first, second)]
    if not all(map(len, known)):
        return
    steps = [[np.mean(side <= x) for x in np.concatenate(known)] for side in known]
    value = column_similarity(X, series(X, first), series(X, second))
    assert value == pytest.approx(1 - np.abs(np.subtract(*steps)).max(), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 1e9]))
def test_correlations_are_scipys_over_complete_rows(seed, offset):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(40, 2)) @ [[1.0, 0.5], [0, 1]] + offset
    values[rng.random((40, 2)) < 0.2] = np.nan
    table = pd.DataFrame(values, columns=["x", "y"])
    complete = table.dropna()
    expected = stats.pearsonr(complete["x"], complete["y"]).statistic
    assert correlations(table, [X, Y])[0, 1] == pytest.approx(
        expected, abs=1e-7 if offset > 1 else 1e-12
    )


@given(st.lists(st.integers(-1, 2), min_size=8, max_size=8), st.booleans())
def test_contingency_is_the_distance_of_normalised_cross_tables(codes, wide):
    columns = (C, Column("d", "categorical", ("p", "q"), missing=True))
    halves = np.array(codes).reshape(4, 2) % [4, 3] - 1
    tables = [
        pd.DataFrame({"c": series(C, part[:, 0]), "d": series(columns[1], part[:, 1])})
        for part in (halves[:2], halves[1:])
    ]
    counts = [pd.Series([*map(tuple, t.astype(object).fillna("?").to_numpy())]) for t in tables]
    shares = [c.value_counts(normalize=True) for c in counts]
    expected = 1 - shares[0].sub(shares[1], fill_value=0).abs().sum() / 2
    found = list(contingency_similarities(*tables, Schema(columns)))
    assert found == pytest.approx([expected])


def test_a_wide_contingency_table_is_counted_alike(monkeypatch):
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 50, (2, 1000))
    dense = joint_distance(first, second, 400)
    monkeypatch.setattr("syntharena.evaluators.contingency.DENSE_CELLS", 10)
    assert joint_distance(first, second, 400) == pytest.approx(dense, abs=1e-15)


def test_bins_have_the_edges_of_the_real_column():
    assert inner_edges(np.array([0.0, 10, np.nan])) == pytest.approx(np.arange(1, BINS))
    for odd in ([7.0, 7.0], [np.nan], [1e16, 1e16 + 2]):
        assert len(inner_edges(np.array(odd))) == BINS - 1
    schema = Schema((X, C))
    real = pd.DataFrame({"x": series(X, np.linspace(0, 1, 40)), "c": series(C, [0] * 40)})
    moved = real.assign(x=series(X, np.linspace(0, 1, 40) + 5))
    # by its own edges (as SDMetrics' report bins) the moved column would look equal
    assert evaluate(Trend(), real, moved, schema)["trend_score"] == pytest.approx(0.1)


@pytest.mark.parametrize("constant", np.linspace(0.1, 3, 30))
def test_a_column_that_is_constant_on_the_complete_rows_has_no_correlation(constant):
    x = [*[constant] * 7, 50.0]
    y = [*np.arange(7.0) ** 2, np.nan]
    assert np.isnan(correlations(pd.DataFrame({"x": x, "y": y}), [X, Y])[0, 1])


def test_undefined_correlations():
    schema = Schema((X, Y))
    real = pd.DataFrame({"x": [0.0, 1, 2, 3], "y": [0.0, 1, 2, 4]})
    flat = real.assign(x=0.1)
    assert evaluate(Trend(), real, flat, schema)["trend_score"] == 0
    assert isinstance(evaluate(Trend(), flat, real, schema)["trend_score"], str)
    assert evaluate(Trend(), real, real.iloc[:1], schema)["trend_score"] == 0
    opposite = real.assign(x=-real["x"])
    r = np.corrcoef(real["x"], real["y"])[0, 1]
    assert evaluate(Trend(), real, opposite, schema)["trend_score"] == pytest.approx(1 - r)


@pytest.mark.parametrize("name", ["german_credit", "adult"])
def test_values_are_those_of_sdmetrics(name):
    oracle = oracle_tables.script("sdmetrics_values")
    expected = oracle_tables.values("sdmetrics")[name]
    table = oracle_tables.real_table(name)
    for kind in oracle.VARIANTS:
        schema, tables = oracle_tables.tables(*oracle.variant(table, kind))
        sides = tables.train, tables.synthetic
        shape, trend = expected[kind]["shape"], expected[kind]["trend"]
        found = evaluate(Shape(), *sides, schema)
        by_column = [found[f"column_shape_score[{column.name}]"] for column in schema]
        assert by_column == pytest.approx(shape, abs=1e-9)
        assert found["shape_score"] == pytest.approx(np.mean(shape), abs=1e-9)
        mixed = [a.is_discrete or b.is_discrete for a, b in combinations(schema, 2)]
        pairs = list(contingency_similarities(*sides, schema))
        assert pairs == pytest.approx(np.array(trend)[mixed], abs=1e-9)
        found = evaluate(Trend(), *sides, schema)
        assert found["trend_score"] == pytest.approx(np.mean(trend), abs=1e-9)


def test_pictures_show_every_column_the_worst_first_and_associations():
    matplotlib = pytest.importorskip("matplotlib.figure")
    schema = Schema((X, Y, C, Column("n", "integer", missing=True), D))
    rng = np.random.default_rng(0)
    real = schema.assemble(
        {
            "x": series(X, rng.normal(size=50)),
            "y": series(Y, np.full(50, 2.0)),
            "c": series(C, rng.integers(-1, 3, 50)),
            "n": schema["n"].from_numbers(rng.integers(0, 200, 50).astype(float)),
            "d": schema["d"].from_numbers(rng.integers(0, 10**9, 50).astype(float)),
        }
    )
    synthetic = real.assign(c=series(C, [0] * 50), n=schema["n"].from_numbers(np.full(50, np.nan)))
    tables = Tables(real, real, real, synthetic)
    nothing = np.random.default_rng(0)
    shapes = Shape().pictures(tables, schema=schema, rng=nothing)
    assert [picture.title.partition(" ")[0] for picture in shapes[:2]] == ["n", "c"]
    assert len(shapes) == len(schema)
    (trend,) = Trend().pictures(tables, schema=schema, rng=nothing)
    for picture in (*shapes, trend):
        axes = matplotlib.Figure().add_subplot()
        picture.draw(axes)
        assert axes.has_data()
    axes = matplotlib.Figure().add_subplot()
    trend.draw(axes)
    drawn = axes.images[0].get_array()
    assert drawn.shape == (5, 5)
    assert drawn[0, 4] == 0  # x and d are as they were
    assert drawn[0, 2] > 0


@given(st.integers(0, 2**32 - 1))
def test_associations_are_scipys(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 4, (2, 60))
    second = np.where(rng.random(60) < 0.5, first, second)
    table = stats.contingency.crosstab(first, second).count
    expected = stats.contingency.association(table, method="cramer")
    assert cramers_v(gapless(first), gapless(second)) == pytest.approx(expected, abs=1e-12)
    numbers = rng.normal(size=60) + first
    numbers[:5] = np.nan
    groups = [numbers[5:][first[5:] == code] for code in np.unique(first[5:])]
    f = stats.f_oneway(*groups).statistic * (len(groups) - 1) / (55 - len(groups))
    assert correlation_ratio(first, numbers) == pytest.approx(np.sqrt(f / (1 + f)), abs=1e-9)
    assert cramers_v(np.zeros(9, int), gapless(first[:9])) == 0
    assert correlation_ratio(first, np.full(60, 0.1)) == 0
