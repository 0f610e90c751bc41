"""An allowance spends its budget and no more, and books what it did."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench import claim
from syntharena.bench.accountant import spent_epsilon
from syntharena.bench.contracts import Budget
from syntharena.generators.privacy.allowance import Allowance

CHANCE = 1e-4
BUDGETS = st.builds(
    Budget,
    epsilon=st.sampled_from([0.1, 0.3, 1.0, 3.0, 10.0]),
    delta=st.sampled_from([0.0, 1e-9, 1e-5]),
    neighbours=st.sampled_from(["add_remove", "replace"]),
)


@settings(max_examples=40, deadline=None)
@given(
    budget=BUDGETS,
    uses=st.lists(
        st.tuples(st.sampled_from(["noisy", "choose", "pure"]), st.floats(0.01, 1)),
        min_size=1,
        max_size=6,
    ),
)
def test_what_is_booked_is_within_the_budget(budget, uses):
    allowance = Allowance(budget)
    rng = np.random.default_rng(0)
    total = sum(share for _, share in uses)
    for use, share in uses:
        if use == "noisy":
            allowance.noisy(np.zeros(3), share / total, "counts", rng)
        elif use == "choose":
            allowance.choose(np.zeros(3), 1.0, share / total, "choice", rng)
        else:
            allowance.pure(share / total, "tree")
    spent = spent_epsilon(allowance.ledger, budget.delta, budget.neighbours)
    assert 0 < spent <= budget.epsilon * (1 + 1e-6)
    assert allowance.claimed_epsilon == pytest.approx(budget.epsilon, rel=1e-6)
    assert allowance.left == pytest.approx(0.0, abs=1e-9)


def test_shares_that_exceed_the_budget_are_refused():
    allowance = Allowance(Budget(1.0, 1e-5))
    allowance.pure(0.7, "first")
    with pytest.raises(ValueError, match="at most what is left"):
        allowance.noisy(np.zeros(2), 0.4, "second", np.random.default_rng(0))
    with pytest.raises(ValueError, match="share must be > 0"):
        allowance.pure(0.0, "nothing")
    assert [event.purpose for event in allowance.ledger] == ["first"]


def test_equal_uses_are_counted_together():
    allowance = Allowance(Budget(1.0, 1e-5, "replace"))
    for _ in range(4):
        allowance.noisy(np.zeros(2), 0.25, "marginals", np.random.default_rng(0))
    (event,) = allowance.ledger
    assert event.count == 8  # a replaced row changes two cells of each


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_noise_has_the_stated_deviation(delta):
    allowance = Allowance(Budget(1.0, delta))
    expected = allowance.deviation(0.5)
    noise = allowance.noisy(np.full(200_000, 7), 0.5, "counts", np.random.default_rng(1)) - 7
    assert (noise == np.rint(noise)).all()
    assert noise.std() == pytest.approx(expected, rel=0.02)
    assert abs(noise.mean()) < 5 * expected / math.sqrt(len(noise))


@pytest.mark.parametrize("delta", [0.0, 1e-5])
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_choices_have_the_chances_of_the_exponential_mechanism(delta, neighbours):
    scores = np.array([0.0, 3.0, 5.0])
    rng = np.random.default_rng(2)
    chosen, event = [], None
    for _ in range(3_000):
        allowance = Allowance(Budget(1.0, delta, neighbours))
        chosen.append(allowance.choose(scores, 1.0, 1.0, "choice", rng))
        (event,) = allowance.ledger
    chances = np.exp(scores / event.scale)
    counts = np.bincount(chosen, minlength=3)
    assert stats.chisquare(counts, 3_000 * chances / chances.sum()).pvalue > CHANCE
    assert event.sensitivity == (2.0 if neighbours == "add_remove" else 4.0)


def test_without_a_budget_everything_is_exact_and_nothing_is_booked():
    allowance = Allowance(Budget())
    rng = np.random.default_rng(0)
    counts = np.array([3, 0, 5])
    assert (allowance.noisy(counts, 0.5, "counts", rng) == counts).all()
    assert allowance.choose(np.array([1.0, 2.0, 0.0]), 1.0, 0.5, "choice", rng) == 1
    assert allowance.ledger == ()
    assert allowance.deviation(0.3) == 0.0
    assert claim.violation(claim.account(object(), Budget()), Budget()) is None


# The claim


class Spender:
    def __init__(self, ledger, claimed=None):
        self.ledger = ledger
        if claimed is not None:
            self.claimed_epsilon = claimed


LAPLACE = {"mechanism": "laplace", "sensitivity": 1.0, "scale": 1.0, "purpose": "counts"}


@pytest.mark.parametrize(
    ("spender", "reason"),
    [
        (Spender([LAPLACE], 1.0), None),
        (Spender([LAPLACE]), None),
        (Spender([]), "empty"),
        (Spender([LAPLACE, LAPLACE]), "spends epsilon 2"),
        (Spender([LAPLACE], 0.5), "says that it spent epsilon 0.5, its ledger spends 1"),
        (Spender([LAPLACE], 2.0), "says that it spent epsilon 2 of 1"),
        (Spender([LAPLACE], math.nan), "says that it spent epsilon nan"),
    ],
)
def test_claims_are_held_against_the_ledger(spender, reason):
    budget = Budget(1.0)
    privacy = claim.account(spender, budget)
    found = claim.violation(privacy, budget)
    assert found is None if reason is None else reason in found
    if spender.ledger:
        assert privacy["floating_point"] == ["counts"]
