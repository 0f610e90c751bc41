"""Intervals against closed forms, and their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t

from syntharena.evaluators.intervals import of_auroc, of_mean, of_seeds, of_share, within


@given(st.integers(1, 400), st.data())
def test_a_share_has_the_exact_interval(n, data):
    hits = data.draw(st.integers(0, n))
    found = of_share(hits, n)
    exact = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.value == hits / n


def test_a_mean_has_the_normal_interval_cut_to_its_range():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    found = of_mean(values)
    half = norm.ppf(0.975) * values.std(ddof=1) / np.sqrt(5)
    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))
    assert of_mean(values, 0, 1).high == 1
    assert of_mean(np.array([0.3]), 0, 1) == within(0.3, 0, 1, 0, 1)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9))
def test_few_runs_have_the_interval_of_student(values):
    found = of_seeds(values)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    half = t.ppf(0.975, len(values) - 1) * error
    mean = np.mean(values)
    assert (found.value, found.low, found.high) == pytest.approx((mean, mean - half, mean + half))


def test_a_single_run_has_no_interval():
    assert of_seeds([0.3]) == within(0.3, 0.3, 0.3, 0, 1)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
)
def test_the_area_is_the_share_of_pairs_won_ties_counting_half(positives, negatives):
    a, b = np.array(positives, dtype=float), np.array(negatives, dtype=float)
    pairs = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    found = of_auroc(a, b)
    assert found.value == pytest.approx(pairs, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_interval_of_an_area_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = norm.cdf(1 / np.sqrt(2))
    draws = [of_auroc(rng.normal(1, 1, 80), rng.normal(0, 1, 120)) for _ in range(600)]
    covered = np.mean([found.low <= truth <= found.high for found in draws])
    assert 0.92 <= covered <= 0.975


def test_a_perfect_separation_is_not_certain():
    found = of_auroc(np.arange(10, 20.0), np.arange(10.0))
    assert (found.value, found.high) == (1, 1)
    assert found.low == of_share(10, 10).low
    assert of_auroc(np.arange(10.0), np.arange(10, 20.0)).high == 1 - found.low
