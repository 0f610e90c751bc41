"""Audits as cells: blocks of runs, joined to a verdict that stands beside the claim."""

import copy
from types import SimpleNamespace

import pandas as pd
import pytest

from syntharena.bench.audit.conclusions import conclude, conclusions
from syntharena.bench.audit.runs import Runs
from syntharena.bench.audit.scenario import Audit
from syntharena.bench.boards import claims, leaderboard, render
from syntharena.bench.boards.claims import fields
from syntharena.bench.claim import UNTUNED
from syntharena.bench.contracts import Budget
from syntharena.bench.running.verify import verify
from syntharena.bench.running.worker import Worker
from syntharena.bench.tuning import Tuning

HONEST = {
    "_target_": "syntharena.generators.dp_marginals.DpMarginals",
    "discretiser": "uniform",
    "about": {"name": "dp_marginals", "version": 1},
}
BUDGET = Budget(1.0, 1e-5)


def liar(how):
    return {"_target_": f"audited.{how}", "about": {"name": how, "version": 1}}


@pytest.fixture
def worker(store, tmp_path):
    return Worker(store, None, tmp_path / "cache")


@pytest.fixture
def audit(worker, make_cell, toy):
    """Return a function that runs a block of an audit as a cell."""

    def call(generator=HONEST, *, block=0, budget=BUDGET, dataset=toy, tuning=UNTUNED, **settings):
        settings = {"runs": 60, "rows": 500, "records": 80, **settings}
        scenario = {
            "_target_": "syntharena.bench.audit.scenario.Audit",
            "about": {"name": "audit", "version": 1},
            **settings,
        }
        cell = make_cell(
            generator,
            scenario=scenario,
            seed=block,
            budget=budget,
            tuning=tuning,
            evaluators={},
            dataset=dataset,
            label=generator["about"]["name"],
        )
        return worker.run(cell)

    return call


def test_a_block_keeps_what_the_attacker_saw(audit):
    record = audit()
    assert (record["status"], record["reason"]) == ("ok", "")
    runs = Runs.from_json(record["audit"]["runs"])
    assert runs.numbers == tuple(range(60))
    assert runs.sides == ("rows", "model")
    assert record["audit"]["leaks"] == []
    assert record["metrics"] == {
        "empirical_epsilon_score": conclude(runs, 1e-5).epsilon,
        "schema_leak_count": 0.0,
    }
    assert record["privacy"]["claimed_epsilon"] == pytest.approx(1.0)


def test_a_block_can_be_executed_again(audit, worker, make_cell, tmp_path):
    worker.store.put_sweep([make_cell()])  # writes down what the dataset is
    record = audit(runs=3)
    assert verify(record, worker.store, None, tmp_path).status == "identical"
    forged = record["audit"]["runs"]["present"][0]
    forged[0] = (forged[0] or 0.0) + 1.0
    assert verify(record, worker.store, None, tmp_path).status == "different"


def test_blocks_join_to_the_audit_that_one_block_would_have_been(audit):
    halves = [audit(block=block, runs=30) for block in range(2)]
    whole = audit(runs=60)
    (joined,), (single,) = conclusions(halves), conclusions([whole])
    assert joined.found == single.found
    assert joined.fits == single.fits == 120


def test_promises_that_are_kept_and_broken_are_told_apart(audit):
    records = [audit(runs=200), audit(liar("TenTimesTooLittleNoise"), runs=150)]
    verdicts = {c.generator: c for c in conclusions(records)}
    assert verdicts["dp_marginals"].verdict == "consistent"
    assert verdicts["dp_marginals"].found.epsilon < 1
    broken = verdicts["TenTimesTooLittleNoise"]
    assert broken.verdict == "VIOLATION"
    assert broken.found.epsilon > 1


def test_a_record_outside_the_schema_is_a_violation(audit):
    record = audit(liar("LearnsCategories"))
    (found,) = conclusions([record])
    assert found.verdict == "VIOLATION"
    assert any("zq-foreign" in leak for leak in found.leaks)
    assert record["metrics"]["schema_leak_count"] >= 1


def test_what_cannot_be_audited_says_why(audit):
    assert "no claim to audit" in audit(budget=Budget())["reason"]
    silent = {
        "_target_": "syntharena.generators.independent.Independent",
        "about": {"name": "independent", "version": 1},
    }
    assert audit(silent)["status"] == "skipped"
    overspends = audit(liar("Overspends"))
    assert overspends["status"] == "budget_violation"
    assert conclusions([overspends]) == []


def test_the_outlier_pair_uses_real_rows(audit):
    record = audit(pair="outlier", runs=20)
    assert record["status"] == "ok"
    (found,) = conclusions([record])
    assert found.worlds == ("outlier pair, toy",)
    assert found.verdict == "inconclusive"  # with so few runs


def test_several_worlds_share_the_confidence(audit):
    records = [audit(), audit(pair="outlier")]
    (both,) = conclusions(records)
    (one,) = conclusions(records[:1])
    assert both.worlds == ("outlier pair, toy", "tiny pair, toy")
    assert both.found.confidence == pytest.approx(0.95)
    assert one.found.confidence == pytest.approx(0.95)
    assert both.fits == 2 * one.fits


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"pair": "huge"}, "pair must be one of"), ({"runs": 0}, "runs must be >= 1")],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Audit(**settings)


# On the board


def test_claims_stand_beside_what_was_measured(audit, worker, make_cell):
    released = worker.run(make_cell(HONEST, budget=BUDGET))
    lying = worker.run(make_cell(liar("TenTimesTooLittleNoise"), budget=BUDGET))
    records = [
        released,
        lying,
        audit(runs=200),
        audit(liar("TenTimesTooLittleNoise"), runs=200),
        audit(liar("Overspends")),
    ]
    board = leaderboard.compile(records, audits=conclusions(records), bootstrap=10)
    titles = {item.scenario: item for item in board.boards}
    assert set(titles) == {"release", "audit"}
    claims = {claim.generator: claim for claim in titles["release"].claims}
    honest, broken = claims["dp_marginals"], claims["TenTimesTooLittleNoise"]
    assert honest.verdict == "consistent"
    assert honest.noise == "exact"
    assert honest.stated == pytest.approx(1.0)
    assert broken.alarm
    assert broken.noise == "floating point"
    assert any("A PROMISE IS BROKEN: Ten" in n.text and n.alarm for n in titles["release"].notes)
    assert titles["audit"].plain.rows == ()
    assert [i.status for i in titles["audit"].failures] == ["budget_violation"]
    for text in (render.to_text(board), render.to_markdown(board), render.to_html(board)):
        assert "VIOLATION" in text
        assert "consistent" in text
    assert "A PROMISE IS BROKEN" in render.to_html(board)


def test_a_board_shows_the_worst_of_several_audits():
    """One label may stand for several settings; the order of their hashes must hide nothing."""

    def audited(setting, verdict, epsilon):
        found = SimpleNamespace(epsilon=epsilon, ceiling=4.0, confidence=0.95)
        return SimpleNamespace(
            setting=setting,
            verdict=verdict,
            found=found,
            fits=400,
            worlds=("tiny pair, toy",),
            leaks=(),
        )

    cells = pd.DataFrame(
        {
            "generator": "g",
            "reference": "",
            "setting": ["a", "b", "c"],
            "spent": 1.0,
            "claimed": 1.0,
            "noise": "exact",
            "tuning": "not tuned",
        }
    )
    audits = [audited("a", "consistent", 0.9), audited("c", "inconclusive", 0.1)]
    broken = audited("b", "VIOLATION", 3.0)
    made = claims.claims(cells, [*audits, broken])
    (claim,) = made
    assert (claim.verdict, claim.empirical) == ("VIOLATION", 3.0)
    assert len(list(claims.broken(made))) == 1
    (claim,) = claims.claims(cells, [*audits, audited("a", "VIOLATION", 2.0)])
    assert (claim.verdict, claim.empirical) == ("VIOLATION", 2.0)
    (claim,) = claims.claims(cells, audits)
    assert claim.verdict == "inconclusive"


def test_a_run_recorded_twice_counts_once(audit):
    record = audit(runs=30)
    again = {**record, "key": "f" * 64}
    (once,), (twice,) = conclusions([record]), conclusions([record, again])
    assert once == twice


def test_charged_trials_are_judged_by_what_each_was_handed(audit):
    whole = audit(runs=40)
    trial = audit(runs=40, tuning=Tuning("charged", trials=10))
    both = conclusions([whole, trial])
    assert [c.fits for c in both] == [80, 80]
    assert len({c.setting for c in both}) == 2
    (alone,) = conclusions([trial])
    handed = Budget(*(value / 10 for value in (BUDGET.epsilon, BUDGET.delta)))
    leaky = copy.deepcopy(trial)
    runs = Runs.from_json(leaky["audit"]["runs"])
    leaky["audit"]["runs"]["present"] = (runs.present + 100).tolist()
    assert alone.verdict == "inconclusive"  # too few runs
    (found,) = conclusions([leaky])
    assert found.found.epsilon > handed.epsilon
    assert found.epsilon == BUDGET.epsilon


def test_a_generator_without_an_audit_says_so(worker, make_cell):
    record = worker.run(make_cell(HONEST, budget=BUDGET))
    (board,) = leaderboard.compile([record], bootstrap=10).boards
    (claim,) = board.claims
    assert fields(claim)[-4:] == ["–", "–", "not audited", "–"]


def test_without_a_budget_there_is_nothing_to_claim(worker, make_cell):
    record = worker.run(make_cell(HONEST))
    (board,) = leaderboard.compile([record], bootstrap=10).boards
    assert board.claims == ()
    assert "Privacy claims" not in render.to_html(leaderboard.compile([record], bootstrap=10))


# One fit


@pytest.fixture
def audit_once(worker, make_cell, toy):
    def call(generator=HONEST, *, seed=0, **settings):
        scenario = {
            "_target_": "syntharena.bench.audit.scenario.AuditOnce",
            "about": {"name": "audit_once", "version": 1},
            "canaries": 100,
            "records": 200,
            "rows": 2_000,
            **settings,
        }
        cell = make_cell(
            generator,
            scenario=scenario,
            seed=seed,
            budget=BUDGET,
            evaluators={},
            dataset=toy,
            label=generator["about"]["name"],
        )
        return worker.run(cell)

    return call


def test_one_fit_tells_a_copier_from_an_honest_generator(audit_once):
    records = [audit_once(), audit_once(liar("CopiesUnderAPromise"))]
    assert [record["status"] for record in records] == ["ok", "ok"]
    verdicts = {c.generator: c for c in conclusions(records)}
    assert verdicts["dp_marginals"].verdict == "consistent"
    assert verdicts["dp_marginals"].worlds == ("100 canaries, toy",)
    assert verdicts["dp_marginals"].fits == 1
    broken = verdicts["CopiesUnderAPromise"]
    assert broken.found.epsilon > 1
    assert broken.verdict == "VIOLATION"


def test_many_fits_and_single_fits_are_judged_together(audit, audit_once):
    (found,) = conclusions([audit(), audit_once(), audit_once(seed=1)])
    assert found.worlds == ("100 canaries, toy", "tiny pair, toy")
    assert found.fits == 2 * 60 + 2
    assert found.found.confidence == pytest.approx(0.95)
