"""Tuning is part of a private claim: charged, public, or marked."""

import pytest

from syntharena.bench import claim
from syntharena.bench.cells import Cell
from syntharena.bench.contracts import Budget
from syntharena.bench.running.worker import Worker
from syntharena.bench.tuning import Tuning

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
    assert 5 * 0.9 * 0.4 < privacy["spent_epsilon"] <= 2.0
    assert privacy["spent_epsilon"] > 4 * 0.4  # what the other trials were handed
    assert privacy["claimed_epsilon"] == pytest.approx(2.0)
    assert privacy["tuning"] == "5 trials charged, sequential composition"
    marginals = [e for e in privacy["ledger"] if e["purpose"] == "one-way marginals"]
    assert sum(event["count"] for event in marginals) == 4  # columns; the ledger is of one fit


def test_charged_trials_share_no_noise(store, tmp_path, make_cell):
    """Else the noise could be taken off by comparing the trials, whatever was paid."""

    def drawn(note, tuning):
        spec = {"_target_": "hostile.FirstDraw", "note": note, "about": {"version": 1}}
        record = worker.run(make_cell(spec, evaluators={}, tuning=tuning))
        return worker.store.get_table(record["synthetic"]["sha256"])["x"].iloc[0]

    worker = Worker(store, None, tmp_path / "cache")
    private, charged = Tuning("private"), Tuning("charged", trials=2)
    assert drawn("a", private) == drawn("b", private)
    assert drawn("a", charged) != drawn("b", charged)


def test_an_understated_word_is_found_among_charged_trials():
    class Modest:
        ledger = ({"mechanism": "laplace", "sensitivity": 1.0, "scale": 1.0},)
        claimed_epsilon = 0.5

    budget = Budget(2.0)
    found = claim.account(Modest(), budget, Tuning("charged", trials=2))
    assert "its ledger spends 2" in claim.violation(found, budget)


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
