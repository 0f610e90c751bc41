"""Joint against closed forms, slow definitions and the kernels of scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.sparse import csr_array
from sklearn.metrics.pairwise import rbf_kernel

from syntharena.bench import probes
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.joint import (
    Joint,
    encoded,
    fourier_discrepancy,
    kernel_gamma,
    mean_discrepancy,
    orthogonal_directions,
    raw_values,
    sliced_wasserstein,
)

SCHEMA = probes.schemas()["mixed"]


def evaluate(tables, schema=SCHEMA, seed=0, **options):
    return Joint(**options).evaluate(tables, schema=schema, rng=np.random.default_rng(seed))


def given_tables(schema=SCHEMA, seed=0):
    return probes.tables(schema, np.random.default_rng(seed))


def test_the_synthcity_protocol_is_its_formula():
    # eval_statistical.py of synthcity 0.2.12, class MaximumMeanDiscrepancy, kernel "rbf"
    tables = given_tables()
    real, synthetic = (raw_values(side, SCHEMA) for side in (tables.train, tables.synthetic))
    expected = (
        rbf_kernel(real, real, 1.0).mean()
        + rbf_kernel(synthetic, synthetic, 1.0).mean()
        - 2 * rbf_kernel(real, synthetic, 1.0).mean()
    )
    found = evaluate(tables, mmd="synthcity")["mmd_error"]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_the_exact_sum_is_that_over_all_pairs_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr("syntharena.evaluators.joint.BLOCK_CELLS", block)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 4)), rng.normal(size=(20, 4)) + 0.5
    kernels = [
        [np.exp(-0.3 * np.sum((x - y) ** 2)) for x in one for y in other]
        for one, other in ((first, first), (second, second), (first, second))
    ]
    means = [np.mean(kernel) for kernel in kernels]
    found = mean_discrepancy(first, second, gamma=0.3, unbiased=False)
    assert found == pytest.approx(means[0] + means[1] - 2 * means[2], abs=1e-12)
    apart = [
        (sum(kernel) - n) / (n * (n - 1)) for kernel, n in zip(kernels, (30, 20), strict=False)
    ]
    found = mean_discrepancy(first, second, gamma=0.3, unbiased=True)
    assert found == pytest.approx(sum(apart) - 2 * means[2], abs=1e-12)


def test_fourier_features_estimate_the_exact_value_without_bias():
    tables = given_tables()
    moved = tables.synthetic.assign(weight=tables.synthetic["weight"].to_numpy()[::-1] / 2)
    points = encoded(Tables(tables.train, tables.train, tables.train, moved), SCHEMA)
    gamma = kernel_gamma(points[0])
    dense = [side.toarray() for side in points]
    exact = mean_discrepancy(*dense, gamma=gamma, unbiased=True)
    found = [
        fourier_discrepancy(*points, gamma, 500, np.random.default_rng(seed)) for seed in range(40)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(exact, abs=4 * error)
    assert error < 0.05 * exact


def test_two_normals_have_the_discrepancy_of_the_closed_form():
    rng = np.random.default_rng(0)
    n, d, shift, gamma = 4000, 3, 1.0, 0.2
    first, second = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    second[:, 0] += shift
    # E k(x, y) for x - y ~ N(m, 2 I) is (1 + 4 gamma)^(-d/2) exp(-gamma m^2 / (1 + 4 gamma))
    scale = (1 + 4 * gamma) ** (-d / 2)
    expected = 2 * scale * (1 - np.exp(-gamma * shift**2 / (1 + 4 * gamma)))
    points = csr_array(first), csr_array(second)
    found = fourier_discrepancy(*points, gamma, 3000, rng)
    assert found == pytest.approx(expected, rel=0.1)
    # projections are normal too: their distance is |shift * direction|
    projected = abs(stats.norm.rvs(size=(200_000, d), random_state=0))
    cosine = np.mean(projected[:, 0] / np.linalg.norm(projected, axis=1))
    assert sliced_wasserstein(*points, 500, rng) == pytest.approx(shift * cosine, rel=0.05)


def test_the_kernel_is_as_wide_as_the_mean_squared_distance():
    points = np.random.default_rng(0).normal(size=(40, 3))
    squares = [np.sum((x - y) ** 2) for x in points for y in points]
    assert kernel_gamma(csr_array(points)) == pytest.approx(1 / (2 * np.mean(squares)))
    assert kernel_gamma(csr_array(np.ones((5, 2)))) == 1


def test_directions_are_unit_vectors_orthogonal_in_groups():
    drawn = orthogonal_directions(5, 12, np.random.default_rng(0))
    assert drawn.shape == (5, 12)
    assert drawn[:, :5].T @ drawn[:, :5] == pytest.approx(np.eye(5), abs=1e-12)
    assert np.linalg.norm(drawn, axis=0) == pytest.approx(np.ones(12))
    many = np.stack(
        [orthogonal_directions(3, 1, np.random.default_rng(s))[:, 0] for s in range(500)]
    )
    assert many.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.1)


def test_one_numeric_column_is_plain_wasserstein_over_its_deviation():
    column = Column("x", "continuous")
    schema = Schema((column,))
    rng = np.random.default_rng(0)
    sides = [rng.normal(size=100), rng.normal(size=70) + 1]
    real, synthetic = (pd.DataFrame({"x": column.from_numbers(side)}) for side in sides)
    found = evaluate(Tables(real, real, real, synthetic), schema, slices=2000)
    expected = stats.wasserstein_distance(*sides) / np.std(sides[0])
    # the indicator of a missing value is a second, constant direction: mean |cos| is 2 / pi
    assert found["sliced_wasserstein_error"] == pytest.approx(expected * 2 / np.pi, rel=0.05)


@pytest.mark.parametrize("mmd", ["fourier", "exact", "synthcity"])
def test_a_copy_is_best_and_a_collapsed_table_far(mmd):
    # without dates: in seconds, their squares leave synthcity's formula no digits
    schema = probes.schemas()["no target"]
    usual = given_tables(schema)
    train = usual.train
    same = evaluate(Tables(train, train, train, train), schema, mmd=mmd)
    assert same == {"sliced_wasserstein_error": 0.0, "mmd_error": pytest.approx(0, abs=1e-12)}
    fresh = evaluate(usual, schema, mmd=mmd)
    single = train.iloc[[0] * 100].reset_index(drop=True)
    collapsed = evaluate(Tables(train, train, train, single), schema, mmd=mmd)
    assert collapsed["mmd_error"] > 10 * fresh["mmd_error"]
    assert collapsed["sliced_wasserstein_error"] > 3 * fresh["sliced_wasserstein_error"]


def test_what_cannot_be_computed_has_a_reason():
    usual = given_tables()
    one = Tables(usual.train, usual.train, usual.train, usual.synthetic.iloc[:1])
    assert isinstance(evaluate(one)["mmd_error"], str)
    assert isinstance(evaluate(one, mmd="synthcity")["mmd_error"], float)
    none = Tables(usual.train, usual.train, usual.train, usual.synthetic.iloc[:0])
    assert set(evaluate(none).values()) == {"synthetic has no rows"}
    for wrong in ({"slices": 0}, {"frequencies": 0}, {"mmd": "median"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Joint(**wrong)
