"""One-run bounds: published figures, another implementation, closed forms and simulations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, norm

from syntharena.bench.audit.estimates import gaussian_curve, trade_off
from syntharena.bench.audit.one_run import (
    correct_guesses,
    curve_mu,
    curve_refuted,
    draw_canaries,
    estimate,
    guess_chance,
    guess_epsilon,
    order_mu,
)
from syntharena.bench.ledger import gaussian_delta, gaussian_epsilon
from syntharena.bench.probes import schemas, table

OPAKE = json.loads((Path(__file__).parent / "fixtures" / "opake.json").read_text())


def gaussian_profile(mu):
    return np.vectorize(lambda epsilon: gaussian_delta(mu, epsilon))


@pytest.mark.parametrize(
    ("r", "published"),
    [(20, 1.82), (50, 2.78), (100, 3.49), (200, 4.19), (500, 5.11), (1000, 5.81)],
)
def test_perfect_guesses_reach_the_published_ceilings(r, published):
    assert guess_epsilon(r, r, r, 0.0, 0.05) == pytest.approx(published, abs=0.006)


@pytest.mark.parametrize(("right", "published"), [(60, 0.05), (70, 0.47), (80, 0.96), (90, 1.63)])
def test_a_hundred_guesses_give_the_published_bounds(right, published):
    assert guess_epsilon(100, 100, right, 0.0, 0.05) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize(("right", "r"), [(81, 100), (157, 200), (383, 500), (755, 1000)])
def test_so_many_right_guesses_and_no_fewer_refute_epsilon_1(right, r):
    assert guess_chance(r, r, right, 1.0, 0.0) < 0.05 <= guess_chance(r, r, right - 1, 1.0, 0.0)


@pytest.mark.parametrize(
    "case", OPAKE["values"], ids=lambda case: f"{case['wrong']} of {case['m']}"
)
def test_another_implementation_agrees(case):
    m, right, level = case["m"], case["m"] - case["wrong"], OPAKE["significance"]
    assert guess_epsilon(m, m, right, 0.0, level) == pytest.approx(case["epsilon"], abs=2e-4)
    # It rounds m * delta to a whole number of lost guesses, here 0; the theorem does not.
    ours = guess_epsilon(m, m, right, OPAKE["delta"], level)
    assert case["epsilon_at_delta"] - 0.05 < ours <= case["epsilon_at_delta"] + 1e-4
    gaussian = gaussian_epsilon(order_mu(m, m, right, level), OPAKE["delta"])
    if case["wrong"]:  # it bounds by Chernoff what is exact here
        assert gaussian >= case["gaussian_epsilon"]
    assert gaussian == pytest.approx(case["gaussian_epsilon"], rel=0.3, abs=1.4)


def test_without_delta_right_guesses_are_binomial():
    share = math.exp(0.7) / (1 + math.exp(0.7))
    for right in (0, 1, 30, 50):
        exact = binom.sf(right - 1, 50, share)
        assert guess_chance(80, 50, right, 0.7, 0.0) == pytest.approx(exact, rel=1e-10)


def test_delta_costs_what_the_theorem_says():
    """r = 1 and v = 1: at most the binomial chance plus 2 m delta times that of the rest."""
    share = 1 / (1 + math.exp(-0.3))
    expected = share + 2 * 10 * 0.01 * (1 - share)
    assert guess_chance(10, 1, 1, 0.3, 0.01) == pytest.approx(expected)


@pytest.mark.parametrize("level", [0.6, 0.9, 0.99])
def test_one_guess_of_one_canary_meets_the_curves_fixed_point(level):
    assert curve_mu(1, 1, 1, level) == pytest.approx(2 * norm.ppf(level), abs=1e-4)


def test_all_guesses_of_independent_losses_are_binomial():
    for right in (60, 85, 100):
        mu = order_mu(100, 100, right, 0.05)
        assert binom.cdf(100 - right, 100, norm.sf(mu / 2)) == pytest.approx(0.05, abs=1e-4)


def gaussian_audits(mu, m, repeats, rng):
    included = rng.random((repeats, m)) < 0.5
    return included, rng.normal(size=(repeats, m)) + mu * included


@pytest.mark.parametrize("r", [100, 400, 500])
def test_bounds_hold_for_independent_gaussian_losses(r):
    m, repeats = 500, 400
    rng = np.random.default_rng(r)
    included, scores = gaussian_audits(1.0, m, repeats, rng)
    right = [correct_guesses(s, i, r) for s, i in zip(scores, included, strict=True)]
    order = {v: order_mu(m, r, v, 0.05) for v in set(right)}
    curve = {v: curve_mu(m, r, v, 0.05) for v in set(right)}
    assert np.mean([order[v] > 1 for v in right]) <= 0.07
    assert np.mean([curve[v] > 1 for v in right]) <= 0.05
    assert 0.7 <= np.median([order[v] for v in right]) <= 1
    assert 0.2 <= np.median([curve[v] for v in right]) <= np.median([order[v] for v in right])


def test_losses_shared_by_all_canaries_refute_the_independent_reading_only():
    """Each canary alone is hidden by exactly the Gaussian curve, but all have the same loss.

    That curve is a mixture of randomised responses; here one draw of the mixture serves all.
    """
    rng = np.random.default_rng(0)
    m, mu, repeats = 400, 1.0, 1000
    z = rng.normal(size=repeats) + mu * (rng.random(repeats) < 0.5)
    share = 1 / (1 + np.exp(-np.abs(mu * z - mu**2 / 2)))
    right = rng.binomial(m, share)
    counts = {int(v) for v in right}
    curve = gaussian_curve(mu)
    refuted = {v: curve_refuted(m, m, v, curve, 0.05) for v in counts}
    beyond = {v: order_mu(m, m, v, 0.05) > mu for v in counts}
    assert np.mean([refuted[int(v)] for v in right]) <= 0.05
    assert np.mean([beyond[int(v)] for v in right]) > 0.25


def test_a_delta_that_gives_all_away_at_once_is_paid_for():
    """With chance m delta / i it tells i coins: what each canary alone may suffer."""
    rng = np.random.default_rng(1)
    m, delta, epsilon, repeats = 100, 1e-3, 0.5, 4000
    share = 1 / (1 + math.exp(-epsilon))
    told = np.where(rng.random(repeats) < m * delta / 10, 10, 0)
    right = told + rng.binomial(m - told, share)
    bound = {int(v): guess_epsilon(m, m, int(v), delta, 0.05) for v in set(right)}
    assert np.mean([bound[int(v)] > epsilon for v in right]) <= 0.05


def test_an_estimate_holds_and_finds_what_is_there():
    rng = np.random.default_rng(2)
    epsilon, m = 1.0, 1000
    share = 1 / (1 + math.exp(-epsilon))
    found = []
    for _ in range(60):
        included = rng.random(m) < 0.5
        said = np.where(rng.random(m) < share, included, ~included)
        found.append(estimate(said + 1e-3 * rng.random(m), included, delta=0.0).epsilon)
    assert np.mean(np.array(found) > epsilon) <= 0.1  # of 60, at a true share of 0.05
    assert np.median(found) > 0.6


def test_skipped_noise_is_caught_by_one_run():
    """DP-SGD without noise on one branch: the sum of clipped gradients along each canary."""
    rng = np.random.default_rng(3)
    m, steps, rate, sigma = 1000, 200, 0.1, 6.0
    mu = 0.3  # what the ledger of the honest mechanism says, generously
    profile = gaussian_profile(mu)
    included = rng.random(m) < 0.5
    seen = rng.binomial(steps, rate, size=m) * included
    honest = seen + rng.normal(scale=sigma * math.sqrt(steps), size=m)
    broken = seen + rng.normal(scale=0.1, size=m)
    assert estimate(honest, included, delta=1e-5, profile=profile).epsilon < 1
    assert estimate(honest, included, delta=1e-5, profile=profile).excess < 1
    assert estimate(broken, included, delta=1e-5, profile=profile).epsilon > 4
    assert estimate(broken, included, delta=1e-5, profile=profile).excess > 1


def test_an_excess_counts_from_the_ledgers_curve():
    rng = np.random.default_rng(4)
    included, scores = gaussian_audits(2.0, 1000, 1, rng)
    found = estimate(scores[0], included[0], delta=1e-5, profile=gaussian_profile(0.5))
    assert found.excess * 0.5 == pytest.approx(found.mu, rel=0.05)
    assert found.excess_ceiling > found.excess


def test_guesses_follow_the_scores_alone():
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    included = np.array([True, False, True, False, False])
    assert correct_guesses(scores, included, 2) == 2
    assert correct_guesses(scores, included, 4) == 3
    assert correct_guesses(scores, included, 5) == 4


@pytest.mark.parametrize("attack", ["density", "nearness"])
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_canaries_are_valid_and_a_copy_of_train_gives_them_away(neighbours, attack):
    rng = np.random.default_rng(5)
    schema = schemas()["mixed"]
    known = table(schema, 500, rng)
    canaries = draw_canaries(schema, known, 200, rng, neighbours)
    train = canaries.planted(known)
    extra = int(canaries.included.sum()) if neighbours == "add_remove" else 200
    assert len(train) == 500 + extra
    assert schema.problems(train) == []
    attacked = [canaries.scores(rows, known, schema)[attack] for rows in (train, known)]
    copied, unseen = (estimate(s, canaries.included, delta=1e-5) for s in attacked)
    assert copied.epsilon > 2.5
    assert unseen.epsilon < 0.5


def test_a_curve_with_a_delta_is_no_tighter_than_the_theorem_for_it():
    """The pure curve, guessed at r = m: the recursion never refutes what the binomial allows."""
    curve = trade_off(lambda epsilons: np.where(epsilons >= 1, 0.0, 1.0))
    for right in range(100, 60, -1):
        if curve_refuted(100, 100, right, curve, 0.05):
            assert guess_chance(100, 100, right, 1.0, 0.0) < 0.05
