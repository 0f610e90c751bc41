"""Coverage against closed forms and SDMetrics' definition."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.coverage import Coverage, distinct, diversity

X = Column("x", "continuous", missing=True)
C = Column("c", "categorical", ("a", "b", "c", "d", "e"), missing=True)


def evaluate(column, real, synthetic, **options):
    make = column.from_codes if column.is_discrete else column.from_numbers
    sides = [pd.DataFrame({column.name: make(np.array(side))}) for side in (real, synthetic)]
    tables = Tables(sides[0], sides[0], sides[0], sides[1])
    schema = Schema((column,))
    return Coverage(**options).evaluate(tables, schema=schema, rng=np.random.default_rng(0))


def test_categories_are_covered_when_they_occur():
    real = [0] * 90 + [1] * 6 + [2] * 3 + [3]  # "e" does not occur
    found = evaluate(C, real, [0, 1, 2, 4, -1])
    assert found["category_coverage_score"] == 3 / 4
    assert found["rare_category_coverage_score"] == 1 / 2  # of c (3 %) and d (1 %)
    assert evaluate(C, real, [0], rare=0.5)["rare_category_coverage_score"] == 0
    assert evaluate(C, real, real)["rare_category_coverage_score"] == 1
    assert isinstance(evaluate(C, [0, 1], [0])["rare_category_coverage_score"], str)
    assert isinstance(evaluate(C, [-1, -1], [0])["category_coverage_score"], str)
    assert isinstance(evaluate(X, [1.0], [1.0])["category_coverage_score"], str)


def test_ranges_are_covered_bin_by_bin():
    real = np.linspace(0, 1, 2001)
    assert evaluate(X, real, real)["range_coverage_score"] == 1
    assert evaluate(X, real, real[:1001])["range_coverage_score"] == 11 / 20
    # two extremes cover two bins, not the range; what lies beyond train covers nothing
    assert evaluate(X, real, [0.011, 0.989])["range_coverage_score"] == 2 / 20
    assert evaluate(X, real, [-5.0, 7])["range_coverage_score"] == 0
    # bins without real rows need not be covered
    assert evaluate(X, [0.0, 0, 10, 10], [0.0, 10])["range_coverage_score"] == 1
    assert evaluate(X, [3.0, 3], [3.0, 4])["range_coverage_score"] == 1
    assert evaluate(X, [3.0, 3], [np.nan])["range_coverage_score"] == 0
    assert isinstance(evaluate(X, [np.nan], [1.0])["range_coverage_score"], str)


def test_rarefaction_is_the_mean_over_draws():
    rng = np.random.default_rng(0)
    values = np.repeat(np.arange(5), [1, 2, 4, 8, 16])
    draws = [len(np.unique(rng.permutation(values)[:7])) for _ in range(4000)]
    assert distinct(values, 7) == pytest.approx(np.mean(draws), abs=0.05)
    assert distinct(values, 1) == pytest.approx(1)
    assert distinct(values, len(values)) == pytest.approx(5)


def test_diversity_counts_distinct_rows_at_equal_size():
    real = np.arange(1000)
    rng = np.random.default_rng(0)
    assert diversity(real, np.arange(5000, 9000)) == pytest.approx(1)
    assert diversity(real, np.zeros(500)) == 0
    # a bootstrap has 1 - 1/e distinct rows, however many rows train has
    bootstrap = rng.integers(0, 1000, 1000)
    assert diversity(real, bootstrap) == pytest.approx(1 - np.exp(-1), abs=0.03)
    # a table of few possible rows is not blamed for repeating them
    few = [rng.integers(0, 8, size) for size in (1000, 400)]
    assert diversity(*few) == pytest.approx(1, abs=0.01)
    assert isinstance(diversity(np.zeros(10), real), str)
    assert isinstance(diversity(real, real[:1]), str)


def test_faults_and_empty_tables():
    for wrong in (0, 1.5):
        with pytest.raises(ValueError, match="rare"):
            Coverage(rare=wrong)
    assert set(evaluate(X, [1.0], []).values()) == {"synthetic has no rows"}
