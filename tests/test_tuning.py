"""Tuning is part of a private claim: charged, public, or marked."""

import pytest

from syntharena.bench import claim
from syntharena.bench.cells import Cell
from syntharena.bench.contracts import Budget
from syntharena.bench.tuning import Tuning
from syntharena.bench.worker import Worker

MARGINALS = {
    "_target_": "syntharena.generators.dp_marginals.DpMarginals",
    "about": {"name": "dp_marginals", "version": 1},
}
BUDGET = Budget(2.0, 1e-5)


@pytest.fixture
def run(store, tmp_path, make_cell):
    worker = Worker(store, None, tmp_path / "cache")
    return lambda **fields: worker.run(make_cell(MARGINALS, evaluators={}, **fields))


def test_charged_trials_fit_into_the_budget_together(run):
    record = run(budget=BUDGET, tuning=Tuning("charged", trials=5))
    assert record["status"] == "ok"
    privacy = record["privacy"]
    assert privacy["spent_epsilon"] <= 2.0
    assert privacy["claimed_epsilon"] == pytest.approx(2.0)
    assert privacy["tuning"] == "5 trials charged, sequential composition"
    marginals = [e for e in privacy["ledger"] if e["purpose"] == "one-way marginals"]
    assert sum(event["count"] for event in marginals) == 5 * 4  # four columns


def test_a_trial_that_takes_the_whole_budget_is_a_violation():
    class Greedy:
        ledger = ({"mechanism": "laplace", "sensitivity": 1.0, "scale": 0.5},)

    budget = Budget(2.0)
    assert claim.violation(claim.account(Greedy(), budget), budget) is None
    charged = claim.account(Greedy(), budget, Tuning("charged", trials=3))
    assert "spends epsilon 6" in claim.violation(charged, budget)


def test_what_was_tuned_is_another_cell_but_untuned_keys_stay(make_cell):
    plain = make_cell(MARGINALS, budget=BUDGET)
    tuned = make_cell(MARGINALS, budget=BUDGET, tuning=Tuning("private"))
    assert "tuning" not in plain.identity
    assert plain.key != tuned.key
    assert Cell.from_dict(tuned.to_dict()).key == tuned.key


@pytest.mark.parametrize(
    ("tuning", "text"),
    [
        (Tuning(), "not tuned"),
        (Tuning("public", "adult"), "tuned on public adult"),
        (Tuning("private"), "tuning not private"),
    ],
)
def test_records_say_how_hyperparameters_were_chosen(run, tuning, text):
    record = run(budget=BUDGET, tuning=tuning)
    assert record["privacy"]["tuning"] == text
    assert record["privacy"]["spent_epsilon"] > 1.5  # the whole budget


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"how": "secret"}, "tuning.how must be one of"),
        ({"how": "public"}, "tuning.stand_in names the public table"),
        ({"stand_in": "adult"}, "tuning.stand_in names the public table"),
        ({"how": "private", "trials": 3}, "tuning.trials must be"),
        ({"how": "charged", "trials": 0}, "tuning.trials must be"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Tuning(**fields)
