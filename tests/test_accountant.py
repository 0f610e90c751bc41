"""The accountant against published figures, closed forms and brute force."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syntharena.bench.accountant import _profile_of_pair, delta_of, spent, spent_epsilon
from syntharena.bench.ledger import (
    Event,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    zcdp_delta,
    zcdp_epsilon,
    zcdp_rho,
)

DELTA = 1e-5


# Published figures


@pytest.mark.parametrize(
    ("rate", "noise", "steps", "rdp", "pld"),
    [
        (0.01, 4.0, 10_000, 1.0355, 0.9470),
        (0.01, 1.0, 1_000, 2.1014, 1.8282),
        (0.00128, 1.1, 10_000, 0.7245, 0.5269),
        (0.05, 2.0, 500, 2.7686, 2.5320),
    ],
)
def test_sampled_gaussian_noise_costs_what_dp_accounting_publishes(rate, noise, steps, rdp, pld):
    found = spent([Event("gaussian", 1.0, noise, count=steps, sampling_rate=rate)], DELTA)
    assert found.by == {"rdp": pytest.approx(rdp, abs=1e-4), "pld": pytest.approx(pld, abs=1e-4)}
    assert found.epsilon == found.by["pld"]


def test_one_gaussian_costs_what_is_published():
    found = spent([Event("gaussian", 3.0, 3.0)], DELTA)
    assert found.by["gaussian"] == pytest.approx(4.3772, abs=1e-4)
    assert found.by["rdp"] == pytest.approx(4.7285, abs=1e-4)


@pytest.mark.parametrize(
    ("epsilon", "delta", "rho"),
    [
        (1, 1e-9, 0.0149731),
        (1, 1e-5, 0.0305566),
        (10, 1e-5, 1.782696),
        (10, 1e-9, 1.09079),
        (0.1, 1e-5, 0.000432994),
        (0.1, 1e-9, 0.000177138),
    ],
)
def test_rho_is_that_of_private_pgm(epsilon, delta, rho):
    assert zcdp_rho(epsilon, delta) == pytest.approx(rho, rel=1e-5)
    assert zcdp_epsilon(zcdp_rho(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-9)


def test_sigma_is_that_of_mst():
    assert math.sqrt(3 / (2 * zcdp_rho(1, 1e-9))) == pytest.approx(10.0090, rel=1e-5)
    assert math.sqrt(3 / (2 * zcdp_rho(1, 1e-5))) == pytest.approx(7.0064, rel=1e-5)


# Closed forms


@settings(max_examples=50, deadline=None)
@given(mu=st.floats(0.01, 10), delta=st.floats(1e-12, 0.3))
def test_gaussian_conversions_are_inverse(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    if epsilon > 0:
        assert gaussian_delta(mu, epsilon) == pytest.approx(delta, rel=1e-6)
        assert gaussian_mu(epsilon, delta) == pytest.approx(mu, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(rho=st.floats(1e-6, 5), epsilon=st.floats(0.01, 20))
def test_no_order_gives_less_than_the_best(rho, epsilon):
    orders = 1 + np.logspace(-3, 4, 200)
    log = (orders - 1) * (orders * rho - epsilon) - np.log(orders - 1)
    log += orders * np.log1p(-1 / orders)
    assert zcdp_delta(rho, epsilon) <= min(1.0, math.exp(min(0.0, log.min()))) * (1 + 1e-9)


@pytest.mark.parametrize("mechanism", ["laplace", "discrete_laplace", "exponential", "pure"])
def test_pure_mechanisms_add_up(mechanism):
    ledger = [Event(mechanism, 1.0, 2.0, count=3), Event(mechanism, 3.0, 4.0)]
    assert spent(ledger, 0.0).by == {"pure": pytest.approx(3 / 2 + 3 / 4)}
    assert spent_epsilon(ledger, DELTA) <= 9 / 4
    many = [Event(mechanism, 1.0, 100.0, count=1_000)]
    assert spent_epsilon(many, DELTA) < 2.0  # far below the sum, 10


def test_sampling_amplifies_pure_mechanisms():
    (event,) = [Event("laplace", 1.0, 1.0, sampling_rate=0.1)]
    assert event.pure_epsilon == pytest.approx(math.log(1 + 0.1 * (math.e - 1)))
    assert spent_epsilon([event], 0.0, "replace") == pytest.approx(1.0)


def test_gaussian_noise_is_never_pure():
    assert spent_epsilon([Event("gaussian", 1.0, 5.0)], 0.0) == math.inf
    assert spent_epsilon([Event("discrete_gaussian", 1, 5.0)], 0.0) == math.inf


def test_an_empty_ledger_spends_nothing():
    assert spent_epsilon([], DELTA) == 0.0
    assert delta_of([], DELTA)(np.array([0.5])) == 0.0


def test_adaptive_scales_are_accounted_by_sums_alone():
    fixed = [Event("discrete_gaussian", 1, 10.0, count=5)]
    adaptive = [Event("discrete_gaussian", 1, 10.0, count=5, adaptive=True)]
    assert set(spent(fixed, DELTA).by) == {"pld", "rdp", "zcdp"}
    assert set(spent(adaptive, DELTA).by) == {"zcdp"}
    assert spent_epsilon(adaptive, DELTA) == pytest.approx(zcdp_epsilon(5 / 200, DELTA))


def test_what_decides_over_others_is_added_to_them():
    count = Event("discrete_laplace", 1, 50.0, decides=True)
    rest = [Event("gaussian", 1.0, 2.0, count=100, sampling_rate=0.1)]
    alone = spent(rest, DELTA)
    together = spent([count, *rest], DELTA)
    assert together.by == {name: pytest.approx(0.02 + e) for name, e in alone.by.items()}
    # What was decided differs from fit to fit: epsilon at delta is all that every fit keeps.
    profile = delta_of([count, *rest], DELTA)
    epsilon = together.epsilon
    assert profile(np.array([epsilon])) == pytest.approx(DELTA)
    assert profile(np.array([0.0])) == pytest.approx(math.tanh(epsilon / 2), abs=DELTA)


def test_the_profile_of_adaptive_events_is_that_of_their_rho():
    adaptive = [Event("discrete_gaussian", 1, 10.0, count=5, adaptive=True)]
    fixed = [replace(adaptive[0], adaptive=False)]
    epsilons = np.array([0.05, 0.3, 0.6, 1.0])
    found = delta_of(adaptive, DELTA)(epsilons)
    assert (found > delta_of(fixed, DELTA)(epsilons)).all()
    np.testing.assert_allclose(found, [zcdp_delta(5 / 200, e) for e in epsilons], rtol=1e-6)


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-5), (0.3, 0.0), (10.0, 0.01)])
def test_no_private_pair_exceeds_the_profile_of_a_pair(epsilon, delta):
    """Randomised response that reveals a share delta is the pair that reaches it."""
    kept = (1 - delta) / (1 + math.exp(epsilon))
    p = np.array([delta, kept * math.exp(epsilon), kept, 0.0])
    for order in (0.0, epsilon / 3, epsilon):
        exact = hockey_stick(p, p[::-1], order)
        assert exact == pytest.approx(_profile_of_pair(epsilon, delta)(np.array(order)))


def test_what_adds_up_in_pure_epsilons_keeps_their_profile():
    event = Event("discrete_laplace", 1, 4.0, count=2, adaptive=True)
    at_zero = delta_of([event], 0.0)(np.array([0.0]))
    assert at_zero <= math.tanh(0.25) + 1e-9


# Brute force


def hockey_stick(p, q, epsilon):
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum())


def discrete_gaussian(sigma, shift):
    values = np.arange(-200, 201)
    weights = np.exp(-((values - shift) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0, 2.0])
def test_discrete_gaussian_profile_equals_its_definition(epsilon):
    exact = hockey_stick(discrete_gaussian(2.5, 1), discrete_gaussian(2.5, 0), epsilon)
    found = delta_of([Event("discrete_gaussian", 1, 2.5)], DELTA)(epsilon)
    assert exact <= found <= exact + 1e-4


@pytest.mark.parametrize(("shift", "sigma"), [(2, 0.8), (5, 2.6), (5, 4.0), (10, 3.0)])
def test_discrete_gaussian_of_a_wide_shift_is_another_mechanism(shift, sigma):
    event = Event("discrete_gaussian", shift, sigma)
    epsilon = spent_epsilon([event], DELTA)
    exact = hockey_stick(discrete_gaussian(sigma, shift), discrete_gaussian(sigma, 0), epsilon)
    assert exact <= DELTA
    closer = hockey_stick(
        discrete_gaussian(sigma, shift), discrete_gaussian(sigma, 0), epsilon - 0.02
    )
    assert closer > 0.9 * DELTA  # and it is no looser than it must be


def test_wide_noise_is_accounted_without_discretising():
    found = spent([Event("discrete_gaussian", 1, 1e6, count=100)], DELTA)
    assert set(found.by) == {"rdp", "zcdp"}
    sampled = Event("discrete_gaussian", 1, 5.0, sampling_rate=0.1)
    assert set(spent([sampled], DELTA).by) == {"pld"}


@settings(max_examples=80, deadline=None)
@given(
    scores=st.lists(st.floats(-4, 4), min_size=2, max_size=5),
    changes=st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    order=st.floats(-1.5, 1.5),
)
def test_no_choice_exceeds_the_profile_of_choices(scores, changes, order):
    # Scores move by at most 1 each, so their range of change is at most 2: epsilon = 2 / scale.
    scores, changes = np.array(scores), np.array(changes[: len(scores)])
    chances = [np.exp((scores + move) / 2) for move in (0, changes)]
    p, q = (chance / chance.sum() for chance in chances)
    profile = delta_of([Event("exponential", 2.0, 2.0)], DELTA)
    for one, other in itertools.permutations((p, q)):
        assert hockey_stick(one, other, order) <= profile(order) + 1e-9


def test_the_profile_of_choices_is_reached():
    # Two outcomes with log-ratios (t, t - 1), t = (x + 1) / 2, are the worst at order x.
    x = 0.2
    t = (x + 1) / 2
    q = (1 - math.exp(t - 1)) / (math.exp(t) - math.exp(t - 1))
    p = math.exp(t) * q
    exact = hockey_stick(np.array([p, 1 - p]), np.array([q, 1 - q]), x)
    assert delta_of([Event("exponential", 1.0, 1.0)], DELTA)(x) == pytest.approx(exact, rel=1e-3)


# Bad events


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mechanism": "none"}, "mechanism must be one of"),
        ({"scale": 0.0}, "scale must be > 0"),
        ({"sensitivity": -1.0}, "sensitivity must be > 0"),
        ({"count": 0}, "count must be > 0"),
        ({"sampling_rate": 0.0}, "sampling_rate must be in"),
        ({"mechanism": "discrete_gaussian", "sensitivity": 1.5}, "must be a whole number"),
        ({"mechanism": "gaussian", "decides": True}, "must be pure"),
    ],
)
def test_events_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Event(**{"mechanism": "laplace", "sensitivity": 1.0, "scale": 1.0, **changes})
