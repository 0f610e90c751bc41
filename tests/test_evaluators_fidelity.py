"""Shape and Trend against closed forms, slow definitions and SDMetrics."""

from __future__ import annotations

import importlib.util
import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import syntharena.conf
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.shape import Shape, column_similarity
from syntharena.evaluators.trend import (
    BINS,
    Trend,
    contingency_similarities,
    correlations,
    inner_edges,
    joint_distance,
)

ROOT = Path(__file__).parent.parent
ORACLE = ROOT / "scripts" / "oracles" / "sdmetrics_values.py"
X = Column("x", "continuous", missing=True)
Y = Column("y", "continuous", missing=True)
C = Column("c", "categorical", ("a", "b", "c"), missing=True)
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
    monkeypatch.setattr("syntharena.evaluators.trend.DENSE_CELLS", 10)
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


def oracle():
    spec = importlib.util.spec_from_file_location("sdmetrics_values", ORACLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def real_table(name):
    folders = [Path(syntharena.conf.__path__[0]) / "dataset" / "tables"]
    folders += [Path(os.environ["SYNTHARENA_DATA"])] if "SYNTHARENA_DATA" in os.environ else []
    for folder in folders:
        if (folder / f"{name}.csv.gz").exists():
            return folder / f"{name}.csv.gz"
    pytest.skip(f"{name}.csv.gz is neither shipped nor in SYNTHARENA_DATA")


@pytest.mark.parametrize("name", ["german_credit", "adult"])
def test_values_are_those_of_sdmetrics(name):
    scripts = oracle()
    expected = json.loads((ROOT / "tests" / "fixtures" / "sdmetrics.json").read_text())[name]
    table = scripts.read(real_table(name), scripts.TARGETS[name])
    for kind in scripts.VARIANTS:
        sides = scripts.variant(table, kind)
        columns = []
        for column in table:
            if table[column].dtype == float:
                columns.append(Column(column, "continuous", missing=True))
            else:
                values = pd.concat([side[column] for side in sides]).dropna().unique()
                columns.append(Column(column, "categorical", tuple(sorted(values)), missing=True))
        schema = Schema(tuple(columns))
        sides = [schema.conform(side) for side in sides]
        shape, trend = expected[kind]["shape"], expected[kind]["trend"]
        found = evaluate(Shape(), *sides, schema)
        by_column = [found[f"column_shape_score[{column.name}]"] for column in schema]
        assert by_column == pytest.approx(shape, abs=1e-9)
        assert found["shape_score"] == pytest.approx(np.mean(shape), abs=1e-9)
        mixed = [a.is_discrete or b.is_discrete for a, b in combinations(columns, 2)]
        pairs = list(contingency_similarities(*sides, schema))
        assert pairs == pytest.approx(np.array(trend)[mixed], abs=1e-9)
        found = evaluate(Trend(), *sides, schema)
        assert found["trend_score"] == pytest.approx(np.mean(trend), abs=1e-9)
