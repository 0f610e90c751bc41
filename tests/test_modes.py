"""Mixtures of many columns against scikit-learn's of one, and numbers as modes and offsets."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.mixture import BayesianGaussianMixture

from syntharena.bench.probes import schemas, table
from syntharena.bench.schema import Column, Schema
from syntharena.generators.views.modes import ModeRows, Modes
from syntharena.generators.views.normal_mixtures import POINTS, Mixture, Points, Priors

CHANCE = 1e-4  # p-value below which a test of random numbers fails
UNIT = Priors(concentration=1e-3, mean_strength=1.0, variance=1.0)


class Started(BayesianGaussianMixture):
    """scikit-learn's mixture from a start that is handed in."""

    def _initialize_parameters(self, X, random_state, xp=None):
        self._initialize(X, self.start)


def standard(values):
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("rounds", [1, 20])
def test_a_mixture_is_that_of_scikit_learn_on_every_row(rounds):
    rng = np.random.default_rng(0)
    columns = [
        standard(rng.integers(0, 30, 400).astype(float)),
        standard(np.concatenate([rng.normal(-5, 1, 100), rng.normal(5, 0.1, 100)])),
    ]
    points = Points.of(columns)
    start = points.start(np.array([6, 6]))
    ours = Mixture.of(points, start, UNIT)
    alive = np.ones((2, 6), dtype=bool)
    for _ in range(rounds):
        ours = Mixture.of(points, ours.belonging(points, alive), UNIT)
    for position, column in enumerate(columns):
        distinct, places = np.unique(column, return_inverse=True)
        theirs = Started(
            n_components=6,
            weight_concentration_prior=UNIT.concentration,
            mean_precision_prior=UNIT.mean_strength,
            mean_prior=[0.0],
            covariance_prior=[[UNIT.variance]],
            degrees_of_freedom_prior=1.0,
            reg_covar=0.0,
            tol=0.0,
            max_iter=rounds,
        )
        theirs.start = start[position][:, : len(distinct)].T[places]
        with pytest.warns(match="did not converge"):
            theirs.fit(column[:, None])
        assert ours.means[position] == pytest.approx(theirs.means_[:, 0], abs=1e-9)
        assert ours.variances[position] == pytest.approx(theirs.covariances_[:, 0, 0], rel=1e-7)
        for one, other in zip(ours.sticks, theirs.weight_concentration_, strict=True):
            assert one[position] == pytest.approx(other, abs=1e-8)


@pytest.mark.parametrize("rows", [3, POINTS, 20_000])
def test_groups_of_values_keep_their_moments(rows):
    values = np.random.default_rng(0).lognormal(size=rows)
    points = Points.of([values, values[:2]])
    weights = points.weights[0]
    assert points.values.shape[1] == min(rows, POINTS)
    assert weights.sum() == rows
    assert weights @ points.values[0] / rows == pytest.approx(values.mean())
    second = weights @ (points.values[0] ** 2 + points.variances[0]) / rows
    assert second == pytest.approx((values**2).mean())
    assert points.weights[1].sum() == 2


def test_the_start_is_a_quantiser_of_least_error():
    """Panter and Dite 1951: cells hold equal shares of the cube root of the density."""
    values = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    start = Points.of([values]).start(np.array([8]))[0]
    assert (start.sum(axis=0) == 1).all()
    ends = [values[start[k] == 1].max() for k in range(7)]
    root = stats.norm(0, np.sqrt(3))  # the cube root of a normal density is normal
    low, high = root.cdf([values[0], values[-1]])
    assert ends == pytest.approx(root.ppf(np.linspace(low, high, 9)[1:-1]), abs=0.05)
    few = Points.of([np.array([0.0, 1.0, 5.0])]).start(np.array([8]))[0]
    assert (few.sum(axis=1) <= 1).all()


def test_modes_that_are_there_are_found():
    rng = np.random.default_rng(1)
    parts = [rng.normal(-20, 3, 6_000), rng.normal(0, 1, 3_000), rng.normal(50, 10, 1_000)]
    found = Modes.of(np.concatenate(parts)[:, None], 10, 0.005)
    shares, means = found.shares[0], found.means[0]
    for part in parts:  # several modes may share a part, as the paper's mixture has it
        own = np.abs(means - part.mean()) < 4 * part.std()
        assert shares[own].sum() == pytest.approx(len(part) / 10_000, abs=0.01)
        mean = shares[own] @ means[own] / shares[own].sum()
        second = shares[own] @ (found.deviations[0][own] ** 2 + means[own] ** 2) / shares[own].sum()
        assert mean == pytest.approx(part.mean(), abs=0.1 * part.std())
        assert np.sqrt(second - mean**2) == pytest.approx(part.std(), rel=0.3)
    assert list(means[shares > 0]) == sorted(means[shares > 0])


def test_rare_modes_are_dropped_and_the_others_take_their_values():
    values = standard(np.concatenate([np.linspace(0, 1, 9_990), np.full(10, 1.5)]))
    found = Modes.of(values[:, None], 10, 0.005)
    shares, means = found.shares[0], found.means[0]
    assert (shares[shares > 0] > 0.005).all()
    assert shares.sum() == pytest.approx(1)
    assert shares @ means == pytest.approx(0, abs=1e-3)
    assert shares @ (found.deviations[0] ** 2 + means**2) == pytest.approx(1, abs=1e-3)


def test_a_value_that_many_rows_share_comes_back_as_it_was():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(20_000) < 0.9, 0.0, rng.lognormal(8, 1, 20_000).round())
    found = Modes.of(values[:, None], 10, 0.005)
    modes, offsets = found.split(values[:, None], rng)
    assert len(np.unique(modes[values == 0])) == 1
    any_offsets = rng.uniform(-1, 1, size=offsets.shape)
    assert np.array_equal(found.numbers(modes, any_offsets) == 0, values[:, None] == 0)


def amounts(rng):
    """Return columns that are hard to part into modes: n rows, of which most or many are 0."""
    hours = np.where(rng.random(20_000) < 0.99, 0, rng.geometric(0.2, 20_000))
    paid = np.where(rng.random(20_000) < 0.18, 0, rng.lognormal(7.5, 1.2, 20_000).round())
    owed = np.where(rng.random(20_000) < 0.08, 0, rng.normal(3e4, 6e4, 20_000).round())
    return {"hours": hours, "paid": paid, "owed": owed}


@pytest.mark.parametrize("name", ["hours", "paid", "owed"])
def test_zeros_stay_zeros_and_large_amounts_stay_large(name):
    rng = np.random.default_rng(3)
    values = amounts(rng)[name][:, None].astype(float)
    found = Modes.of(values, 10, 0.005)
    modes, offsets = found.split(values, rng)
    jitter = np.clip(offsets + rng.normal(scale=0.1, size=offsets.shape), -1, 1)
    back = found.numbers(modes, jitter)
    assert (back[values == 0] == 0).all()
    back = found.numbers(modes, offsets)
    assert back.std() == pytest.approx(values.std(), rel=0.15)  # the ends of tails are cut
    assert back.mean() == pytest.approx(values.mean(), rel=0.02)


def test_the_largest_of_few_numbers_is_not_taken_for_another():
    values = np.repeat([0.0, 1.0, 4.0, 30.0], [970, 20, 9, 1])[:, None]
    found = Modes.of(values, 10, 0.005)
    modes, offsets = found.split(values, np.random.default_rng(0))
    assert np.array_equal(found.numbers(modes, offsets), values)


def test_modes_are_drawn_by_what_the_mixture_says():
    found = Modes(
        shares=np.array([[0.7, 0.3]]),
        means=np.array([[-1.0, 2.0]]),
        deviations=np.array([[1.0, 2.0]]),
        missing=np.array([True]),
    )
    value = 0.5
    heights = np.array([0.7, 0.3]) * stats.norm([-1.0, 2.0], [1.0, 2.0]).pdf(value)
    numbers = np.full((20_000, 1), value)
    numbers[0] = np.nan
    modes, offsets = found.split(numbers, np.random.default_rng(0))
    seen = np.bincount(modes[1:, 0])
    assert stats.chisquare(seen, heights / heights.sum() * 19_999).pvalue > CHANCE
    assert modes[0, 0] == 2
    assert offsets[0, 0] == 0
    assert offsets[1:][modes[1:] == 0] == pytest.approx(1.5 / 4)
    assert offsets[1:][modes[1:] == 1] == pytest.approx(-1.5 / 8)
    back = found.numbers(modes, offsets)
    assert np.isnan(back[0, 0])
    assert back[1:] == pytest.approx(value)


def test_a_column_does_not_change_another():
    rng = np.random.default_rng(0)
    numbers = np.column_stack([rng.normal(size=300), rng.integers(0, 5, 300), rng.random(300) ** 9])
    numbers[:40, 2] = np.nan
    together = Modes.of(numbers, 10, 0.005)
    for position in range(3):
        alone = Modes.of(numbers[:, [position]], 10, 0.005)
        assert alone.means[0] == pytest.approx(together.means[position], rel=1e-9)
        assert alone.deviations[0] == pytest.approx(together.deviations[position], rel=1e-6)
        assert alone.missing[0] == together.missing[position]


numbers = st.lists(
    st.one_of(st.integers(-(10**9), 10**9), st.integers(0, 3), st.just(float("nan"))),
    min_size=2,
    max_size=40,
).filter(lambda x: len({v for v in x if v == v}) > 1)


@settings(deadline=None)
@given(numbers)
def test_every_number_has_a_mode_that_reaches_it(values):
    column = np.array(values, dtype=float)[:, None]
    found = Modes.of(column, 10, 0.005)
    modes, offsets = found.split(column, np.random.default_rng(0))
    assert np.abs(offsets).max() <= 1
    back = found.numbers(modes, offsets)
    assert np.array_equal(np.isnan(back), np.isnan(column))
    error = np.nanmax(np.abs(back - column)) / np.nanstd(column)
    assert error < 1e-5 or np.abs(offsets).max() == 1


@pytest.mark.parametrize("name", sorted(schemas()))
@pytest.mark.parametrize("rows", [1, 2, 200])
def test_a_table_leads_there_and_back(name, rows):
    schema = schemas()[name]
    train = table(schema, rows, np.random.default_rng(0))
    encoding = ModeRows.of(train, schema, 10, 0.005)
    places, offsets = encoding.encode(train, np.random.default_rng(1))
    blocks = encoding.blocks()
    assert tuple(places.shape) == (rows, len(blocks.sizes))
    assert (places.numpy() - blocks.starts >= 0).all()
    assert (places.numpy() - blocks.starts < np.array(blocks.sizes, dtype=int)).all()
    back = encoding.table(places.numpy(), offsets.numpy())
    for column in schema:
        one, other = train[column.name], back[column.name]
        if column.is_discrete:
            pd.testing.assert_series_equal(one, other)
        else:
            one, other = column.numbers(one), column.numbers(other)
            assert other == pytest.approx(one, rel=1e-5, nan_ok=True)


def test_hyperparameters_are_checked():
    schema = Schema((Column("x", "continuous"),))
    train = pd.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="modes must be a whole number >= 1, got 0"):
        ModeRows.of(train, schema, 0, 0.005)
    with pytest.raises(ValueError, match=r"threshold must be >= 0 and below 1 / modes = 0.1"):
        ModeRows.of(train, schema, 10, 0.1)
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        ModeRows.of(train[:0], schema, 10, 0.005)
