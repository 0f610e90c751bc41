"""Discrete noise has exactly its distribution, and is no function of anything but the rng."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.generators.privacy import noise
from syntharena.generators.privacy.noise import discrete_gaussian, discrete_laplace

CHANCE = 1e-4  # p-value below which a test of random draws fails
SCALES = [0.2, 0.7, 1.0, 3.3, 7.0064, 58.9, 228.0, 7600.5]


def chi_squared(drawn, log_weight, scale):
    """P-value of draws against P(y) proportional to exp(log_weight(y)), cells of at least 20."""
    values = np.arange(-int(40 * scale) - 20, int(40 * scale) + 21)
    chances = np.exp(log_weight(values.astype(float)))
    chances /= chances.sum()
    counts = np.bincount(drawn - values[0], minlength=len(values))
    cells = np.floor(np.cumsum(chances) * len(drawn) / 20).astype(int)
    cells = np.unique(np.minimum(cells, cells[-1] - 1), return_inverse=True)[1]
    observed, expected = (np.bincount(cells, w) for w in (counts, chances * len(drawn)))
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("scale", SCALES)
def test_gaussian_noise_has_the_discrete_distribution(scale):
    drawn = discrete_gaussian(scale, 100_000, np.random.default_rng(1))
    assert chi_squared(drawn, lambda y: -(y**2) / (2 * scale**2), scale) > CHANCE


@pytest.mark.parametrize("scale", SCALES)
def test_laplace_noise_has_the_discrete_distribution(scale):
    drawn = discrete_laplace(scale, 100_000, np.random.default_rng(2))
    assert chi_squared(drawn, lambda y: -np.abs(y) / scale, scale) > CHANCE


def test_the_check_of_distributions_can_fail():
    drawn = discrete_gaussian(7.0, 100_000, np.random.default_rng(1))
    assert chi_squared(drawn, lambda y: -(y**2) / (2 * 7.2**2), 7.2) < CHANCE


def test_chances_of_acceptance_are_exponentials():
    rng = np.random.default_rng(3)
    for numerator, denominator in ((0, 5), (1, 3), (3, 3), (7, 2), (10**15, 3 * 10**15)):
        accepted = noise._bernoulli_exp(np.full(40_000, numerator), denominator, rng)
        expected = np.exp(-numerator / denominator)
        assert stats.binomtest(int(accepted.sum()), 40_000, expected).pvalue > CHANCE


@settings(max_examples=60, deadline=None)
@given(scale=st.floats(0.01, 1e7), size=st.integers(0, 50), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_equal_seeds_give_equal_noise_of_any_scale(draw, scale, size, seed):
    first, second = (draw(scale, size, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.int64
    assert first.shape == (size,)
    assert (first == second).all()
    assert (np.abs(first) <= 60 * scale + 1).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e12])
@pytest.mark.parametrize("draw", [discrete_gaussian, discrete_laplace])
def test_scales_without_a_sampler_are_refused(draw, scale):
    with pytest.raises(ValueError, match="must be in"):
        draw(scale, 1, np.random.default_rng(0))
