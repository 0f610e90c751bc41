"""Many-run bounds: published figures, closed forms, and that they hold as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from syntharena.bench.audit.estimates import (
    Estimate,
    estimate,
    gaussian_curve,
    rates_epsilon,
    rates_mu,
    share_upper,
    stretched,
    strongest,
    trade_off,
    verdict,
)
from syntharena.bench.ledger import gaussian_delta, gaussian_epsilon, gaussian_mu

# Runs per world and the highest epsilon they can show, one-sided 0.025 + 0.025.
CEILINGS = {
    50: 2.57,
    100: 3.28,
    200: 3.98,
    500: 4.91,
    1000: 5.60,
    2000: 6.29,
    5000: 7.21,
    10000: 7.90,
}


def perfect(n, delta=0.0, confidence=0.95):
    """An attack that is always right, with ``n`` evaluated runs per world."""
    return estimate(np.zeros(2 * n), np.ones(2 * n), delta=delta, confidence=confidence)


def laplace_profile(epsilons):
    return np.maximum(0.0, -np.expm1((epsilons - 1) / 2))


def gaussian_profile(mu):
    return np.vectorize(lambda epsilon: gaussian_delta(mu, epsilon))


@pytest.mark.parametrize(("confidence", "published"), [(0.95, 4.681517), (0.99, 4.317435)])
def test_a_perfect_attack_gives_the_figures_of_the_pategan_audit(confidence, published):
    found = perfect(400, 1e-5, confidence)
    assert found.epsilon == pytest.approx(published, abs=1e-6)
    assert found.ceiling == found.epsilon


@pytest.mark.parametrize(("n", "published"), CEILINGS.items())
def test_ceilings_are_the_published_ones(n, published):
    assert perfect(n).ceiling == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 40), (7, 40), (39, 40), (40, 40), (3, 1000)])
def test_upper_bounds_are_those_of_clopper_and_pearson(hits, n):
    exact = binomtest(hits, n).proportion_ci(0.95, method="exact").high
    assert share_upper(n, 0.025)[hits] == pytest.approx(exact, abs=1e-12)


def test_randomised_response_is_read_exactly():
    wrong = 1 / (1 + math.exp(1.7))
    assert rates_epsilon(wrong, wrong, 0.0) == pytest.approx(1.7)
    assert rates_mu(norm.sf(1.1), norm.sf(0.3)) == pytest.approx(1.4)


def test_the_direction_of_a_score_is_learned():
    rng = np.random.default_rng(0)
    absent, present = rng.normal(size=600), rng.normal(3, 1, 600)
    assert estimate(-absent, -present, delta=0).epsilon == pytest.approx(
        estimate(absent, present, delta=0).epsilon, abs=0.4
    )
    assert estimate(-absent, -present, delta=0).epsilon > 1


def test_counts_with_ties_and_constants_are_scores():
    assert estimate(np.zeros(100), np.zeros(100), delta=0).epsilon == 0
    found = estimate(np.repeat([0, 1], 50), np.repeat([0, 1], 50)[::-1], delta=0)
    assert found.runs == 50


@pytest.mark.parametrize("scores", [np.zeros(1), np.array([0.0, np.nan, 1.0])])
def test_scores_that_say_nothing_are_refused(scores):
    with pytest.raises(ValueError, match="finite"):
        estimate(scores, np.ones(10), delta=0)


def test_the_power_is_the_published_one():
    """Median empirical epsilon of Laplace mechanisms with 1000 runs per world."""
    rng = np.random.default_rng(1)
    published = {
        1: (0.68, 0.15),
        2: (1.57, 0.2),
        5: (3.95, 0.45),
        10: (4.51, 0.45),
        100: (4.87, 0.1),
    }
    for true, (median, slack) in published.items():
        noise = rng.laplace(scale=1 / true, size=(2, 40, 1000))
        found = [estimate(a, 1 + p, delta=0).epsilon for a, p in zip(*noise, strict=True)]
        assert np.median(found) == pytest.approx(median, abs=slack)
        assert np.mean(np.array(found) > 1) >= (0.0 if true == 1 else 0.85)


@pytest.mark.parametrize("runs", [100, 400])
def test_the_bound_exceeds_the_truth_in_at_most_the_stated_share(runs):
    """An exact (1, 0) mechanism whose worst test is met all along: randomised response."""
    rng = np.random.default_rng(2)
    share = 1 / (1 + math.exp(-1.0))
    absent = rng.random((1500, runs)) > share
    present = rng.random((1500, runs)) < share
    above = [estimate(a, p, delta=0).epsilon > 1 for a, p in zip(absent, present, strict=True)]
    assert np.mean(above) <= 0.05
    assert np.mean(above) > 0.001  # and the bound is no empty one


def test_the_ledgers_curve_is_refuted_in_at_most_the_stated_share():
    rng = np.random.default_rng(3)
    mu = gaussian_mu(1, 1e-5)
    gaussian = [
        estimate(a, mu + p, delta=1e-5, profile=gaussian_profile(mu)).excess > 1
        for a, p in zip(*rng.normal(size=(2, 300, 400)), strict=True)
    ]
    laplace = [
        estimate(a, 1 + p, delta=0, profile=laplace_profile).excess > 1
        for a, p in zip(*rng.laplace(size=(2, 300, 400)), strict=True)
    ]
    assert np.mean(gaussian) <= 0.05
    assert np.mean(laplace) <= 0.05


def test_the_ledgers_curve_catches_a_gaussian_mechanism_that_no_epsilon_does():
    """Half the noise at (1, 1e-5): the worst case of a Gaussian lies too far out to be seen."""
    rng = np.random.default_rng(4)
    mu = gaussian_mu(1, 1e-5)
    found = [
        estimate(a, 2 * mu + p, delta=1e-5, profile=gaussian_profile(mu))
        for a, p in zip(*rng.normal(size=(2, 40, 2000)), strict=True)
    ]
    assert np.mean([verdict(1.0, one) == "VIOLATION" for one in found]) >= 0.9
    assert max(one.epsilon for one in found) < 1


def test_mu_is_near_the_truth():
    """Published for MST and AIM with 10,000 runs: mu 0.43 of 0.45."""
    rng = np.random.default_rng(5)
    found = [
        estimate(a, 0.45 + p, delta=1e-2, profile=gaussian_profile(0.45)).mu
        for a, p in zip(*rng.normal(size=(2, 20, 10_000)), strict=True)
    ]
    assert 0.38 <= np.median(found) <= 0.45


def test_a_rare_but_certain_leak_is_caught_beside_the_curve():
    """One run in twenty gives the canary away, hardly any test errs less on the whole."""
    rng = np.random.default_rng(7)
    mu = gaussian_mu(1, 1e-5)
    absent, present = rng.normal(size=(2, 2000))
    present = np.where(rng.random(2000) < 0.05, 50.0, present)
    found = estimate(absent, present, delta=1e-5, profile=gaussian_profile(mu))
    assert found.excess < 1
    assert found.form == "threshold"
    assert verdict(1.0, found) == "VIOLATION"


def test_a_gaussian_reading_convicts_nobody():
    """Its epsilon for an honest Laplace mechanism is far above 1; the verdict does not use it."""
    rng = np.random.default_rng(6)
    absent, present = rng.laplace(size=(2, 2000))
    found = estimate(absent, present + 1, delta=1e-5)
    assert found.gaussian_epsilon > 2
    assert verdict(1.0, found) == "consistent"


@pytest.mark.parametrize("mu", [0.1, 1.0, 3.0])
def test_a_profile_and_its_curve_say_the_same(mu):
    fpr = np.linspace(0.001, 0.999, 301)
    found = trade_off(gaussian_profile(mu))(fpr)
    exact = gaussian_curve(mu)(fpr)
    assert found == pytest.approx(exact, abs=2e-3)
    assert (found <= exact + 1e-12).all()
    assert stretched(gaussian_curve(mu), 2.0)(fpr) == pytest.approx(gaussian_curve(2 * mu)(fpr))


def test_a_pure_profile_gives_the_two_lines():
    curve = trade_off(lambda epsilons: np.where(epsilons >= 1, 0.0, 1.0))
    fpr = np.array([0.0, 0.1, 0.5, 1.0])
    lines = np.maximum(np.maximum(1 - math.e * fpr, (1 - fpr) / math.e), 0)
    assert curve(fpr) == pytest.approx(lines, abs=0.02)
    assert (curve(fpr) <= lines).all()


def made(**fields):
    plain = {
        "epsilon": 0.5,
        "form": "threshold",
        "delta": 0.0,
        "confidence": 0.95,
        "ceiling": 4.9,
        "runs": 500,
        "mu": 0.3,
    }
    return Estimate(**plain | fields)


@pytest.mark.parametrize(
    ("claim", "fields", "judged"),
    [
        (1.0, {}, "consistent"),
        (0.4, {}, "VIOLATION"),
        (3.0, {}, "inconclusive"),  # twice 3 is beyond 4.9
        (2.4, {}, "consistent"),
        (1.0, {"runs": 49}, "inconclusive"),
        (0.4, {"runs": 49}, "VIOLATION"),  # a bound is a bound
        (1.0, {"excess": 1.01, "excess_ceiling": 9.0}, "VIOLATION"),
        (10.0, {"excess": 0.9, "excess_ceiling": 2.5}, "consistent"),
        (10.0, {"excess": 0.9, "excess_ceiling": 1.5}, "inconclusive"),
        (math.inf, {}, "inconclusive"),
    ],
)
def test_verdicts(claim, fields, judged):
    assert verdict(claim, made(**fields)) == judged


def test_the_strongest_of_several_pays_for_all():
    both = strongest([made(confidence=0.975), made(confidence=0.975, epsilon=2.0, mu=0.1)])
    assert (both.epsilon, both.mu) == (2.0, 0.3)
    assert both.confidence == pytest.approx(0.95)
    assert made(mu=1.0, delta=1e-5).gaussian_epsilon == gaussian_epsilon(1.0, 1e-5)
