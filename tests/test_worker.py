"""One cell at a time: every way it can end has its own status (faults F7, F8, F9, F11)."""

import math

import pandas as pd
import pytest

from syntharena.bench.contracts import Budget
from syntharena.bench.running import stages
from syntharena.bench.running.worker import Worker


@pytest.fixture
def worker(store, tmp_path):
    return Worker(store, None, tmp_path / "cache")


@pytest.fixture(params=["at home", "abroad"])
def place(request):
    """Where a generator or an evaluator runs: nothing that tests say of it depends on that."""
    if request.param == "at home":
        return lambda spec: spec
    return request.getfixturevalue("abroad")


@pytest.fixture
def run(worker, make_cell, place):
    """Return a function that runs a hostile generator as a cell and returns its record."""

    def call(name="Honest", *, limits=(), evaluators=None, budget=None, seed=0, **hyperparameters):
        spec = {"_target_": f"hostile.{name}", "about": {"version": 1}, **hyperparameters}
        fields = {} if evaluators is None else {"evaluators": evaluators}
        spec = place(spec)
        cell = make_cell(spec, limits=limits, budget=budget, seed=seed, **fields)
        record = worker.run(cell)
        assert worker.store.get(cell)["status"] == record["status"]
        return record

    return call


def test_an_honest_cell_leaves_a_whole_record(run, worker):
    record = run()
    assert (record["status"], record["reason"]) == ("ok", "")
    assert 0 < record["metrics"]["shape_score"] <= 1
    assert record["cost"]["fit_seconds"] >= 0
    assert record["cost"]["sample_seconds"] >= 0
    table = worker.store.get_table(record["synthetic"]["sha256"])
    assert len(table) == record["synthetic"]["rows"] == 240
    assert not list(worker.store.root.glob("stages/*"))


@pytest.mark.parametrize(
    ("name", "limits", "status", "reason"),
    [
        ("Raises", {}, "failed", "RuntimeError: cannot\nlearn <script>"),
        ("RaisesBase", {}, "failed", "BaseException: odd"),
        ("Exits", {}, "failed", "SystemExit: 0"),
        ("ExitsAtOnce", {}, "failed", "(exit code 0)"),
        ("Segfaults", {}, "failed", "was killed by SIGSEGV"),
        ("Hangs", {"seconds": 1.0}, "timeout", "train ran beyond limits.seconds=1.0"),
        ("FillsMemory", {"memory_mib": 400}, "oom", "train grew beyond limits.memory_mib=400"),
        ("AsksTooMuch", {}, "oom", "Unable to allocate"),
        ("NoMethods", {}, "failed", "has no method fit and no method sample"),
        ("DoesNotExist", {}, "failed", "cannot be imported"),
    ],
)
def test_every_bad_end_has_its_status_and_reason(run, name, limits, status, reason):
    record = run(name, limits=limits)
    assert record["status"] == status
    assert reason in record["reason"]
    assert record["metrics"] == {}


def test_what_fit_learned_is_counted_and_scored_as_a_cost(worker, make_cell):
    marginals = {"_target_": "syntharena.generators.dp_marginals.DpMarginals", "bins": 4}
    cost = {"_target_": "syntharena.evaluators.cost.Cost"}
    record = worker.run(make_cell(marginals, evaluators={"cost": cost}))
    # x and visits in four cells each, three cities, two labels
    assert record["metrics"]["parameters_count"] == 4 + 4 + 3 + 2
    assert record["cost"]["evaluate_seconds"] > 0
    assert "peak_gpu_mib was not measured" in record["unavailable"]["peak_gpu_mib"]


def test_a_hang_is_ended_soon_after_its_limit(run):
    assert run("Hangs", limits={"seconds": 0.5})["seconds"] < 0.5 + 10


def test_a_chatterbox_is_ok_and_a_failing_one_leaves_its_last_words(run, worker):
    assert run("Prints")["status"] == "ok"
    record = run("Raises")
    log = (worker.store.root / "logs" / f"{record['key']}.txt").read_text()
    assert "RuntimeError: cannot" in log


def test_a_generator_that_forks_leaves_one_record(run, worker):
    assert run("ForksAndReturns")["status"] == "ok"
    assert len(list(worker.store.records())) == 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nothing", "a pandas DataFrame is expected, got NoneType"),
        ("text", "a pandas DataFrame is expected, got str"),
        ("empty", "240 rows were asked for, got 0"),
        ("rows", "240 rows were asked for, got 239"),
        ("a column less", "columns are missing: 'x'"),
        ("a column more", "columns are not in the Schema: 'extra'"),
        ("renamed", "columns are not in the Schema: '../x'"),
        ("dtype", "column 'x': dtype must be numeric"),
        ("nan", "column 'x': 1 missing values"),
        ("inf", "column 'x': 1 infinite values"),
        ("bounds", "column 'x': values outside [-6, 6]: 1000000000.0"),
        ("fraction", "column 'visits': whole numbers expected"),
        ("category", "column 'city': categories outside the Schema: 'Atlantis'"),
        ("missing", "column 'city': 1 missing values"),
        ("index", "the index repeats"),
    ],
)
def test_an_invalid_table_is_never_scored(run, how, reason):
    record = run("WrongOutput", how=how)
    assert record["status"] == "invalid_output"
    assert reason in record["reason"]
    assert record["metrics"] == {}
    assert record["synthetic"] is None


def test_a_claim_that_the_ledger_does_not_support_is_a_violation(run):
    budget = Budget(1.0)
    record = run("Overspends", budget=budget, factor=2.0)
    assert record["status"] == "budget_violation"
    assert "spends epsilon 2" in record["reason"]
    assert run("Overspends", budget=budget, factor=0.0)["status"] == "budget_violation"
    honest = run("Overspends", budget=budget, factor=1.0)
    assert honest["status"] == "ok"
    assert honest["privacy"]["spent_epsilon"] == pytest.approx(1.0)


def test_a_generator_without_a_ledger_is_skipped_at_a_finite_epsilon(run):
    record = run("Honest", budget=Budget(1.0))
    assert record["status"] == "skipped"
    assert "declares no ledger" in record["reason"]


def test_a_guessed_schema_is_refused_at_a_finite_epsilon(worker, make_cell, toy):
    cell = make_cell(
        {"_target_": "hostile.Overspends", "factor": 1.0, "about": {"version": 1}},
        dataset={**toy, "public": False},
        budget=Budget(1.0),
    )
    record = worker.run(cell)
    assert record["status"] == "skipped"
    assert "set dataset.public=true" in record["reason"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nan", "nan lies outside"),
        ("range", "2.0 lies outside [0.0, 1.0]"),
        ("absent", "the evaluator returned nothing"),
        ("raises", "the evaluator raised ZeroDivisionError: of course"),
    ],
)
def test_a_bad_metric_says_why_and_the_rest_stands(run, how, reason):
    bad = {"_target_": "hostile.BadEvaluator", "how": how, "about": {"version": 1}}
    shape = {"_target_": "syntharena.evaluators.shape.Shape", "about": {"version": 1}}
    record = run(evaluators={"bad": bad, "shape": shape})
    assert record["status"] == "ok"
    assert reason in record["unavailable"]["bad_score"]
    assert "shape_score" in record["metrics"]
    assert all(math.isfinite(value) for value in record["metrics"].values())


def test_an_evaluator_that_segfaults_fails_the_cell(run):
    bad = {"_target_": "hostile.BadEvaluator", "how": "segfault", "about": {"version": 1}}
    record = run(evaluators={"bad": bad})
    assert (record["status"], record["stage"]) == ("failed", "evaluate")


def test_a_dataset_that_does_not_match_its_pins_fails_the_cell(worker, make_cell, toy):
    pins = {**toy["pins"], "sha256": "0" * 64}
    record = worker.run(make_cell(dataset={**toy, "pins": pins}))
    assert (record["status"], record["stage"]) == ("failed", "load")
    assert "sha256" in record["reason"]


def test_equal_cells_are_bit_identical_in_fresh_stores(make_cell, tmp_path):
    from syntharena.bench.store import Store

    records = []
    for folder in ("a", "b"):
        records.append(Worker(Store(tmp_path / folder), None, tmp_path).run(make_cell()))
    assert records[0]["synthetic"] == records[1]["synthetic"]
    assert records[0]["metrics"] == records[1]["metrics"]


def test_seeds_of_stages_move_only_their_stage(worker, make_cell):
    base = worker.run(make_cell())
    split = worker.run(make_cell(seeds={"split": 1}))
    sample = worker.run(make_cell(seeds={"sample": 1}))
    evaluate = worker.run(make_cell(seeds={"evaluate": 1}))
    assert split["synthetic"] != base["synthetic"]
    assert sample["synthetic"] != base["synthetic"]
    assert evaluate["synthetic"] == base["synthetic"]
    assert evaluate["cell_key"] == base["cell_key"]
    assert evaluate["key"] != base["key"]


def test_a_new_evaluator_scores_the_old_table(worker, make_cell, monkeypatch):
    honest = {"_target_": "hostile.Honest", "about": {"version": 1}}
    first = worker.run(make_cell(honest))
    broken = {"_target_": "hostile.BadEvaluator", "how": "absent", "about": {"version": 1}}
    both = {"shape": make_cell().evaluators["shape"], "bad": broken}
    monkeypatch.setattr(stages.Stages, "generator", lambda self: pytest.fail("trained again"))
    second = worker.run(make_cell(honest, evaluators=both))
    assert second["status"] == "ok", second["reason"]
    assert second["synthetic"] == first["synthetic"]
    assert second["metrics"] == {**first["metrics"], "good_score": 0.5}
    assert second["cost"]["fit_seconds"] == first["cost"]["fit_seconds"]


def test_a_finished_sample_survives_a_cell_that_ended_badly(worker, make_cell, monkeypatch):
    """The cell dies in its evaluation; the next attempt neither trains nor samples again."""
    honest = {"_target_": "hostile.Honest", "about": {"version": 1}}
    dies = {"_target_": "hostile.BadEvaluator", "how": "segfault", "about": {"version": 1}}
    assert worker.run(make_cell(honest, evaluators={"bad": dies}))["status"] == "failed"
    monkeypatch.setattr(stages.Stages, "generator", lambda self: pytest.fail("trained again"))
    record = worker.run(make_cell(honest))
    assert record["status"] == "ok", record["reason"]
    assert not list(worker.store.root.glob("stages/*"))


def test_a_fitted_model_survives_when_training_was_long(worker, make_cell, monkeypatch):
    monkeypatch.setattr(stages, "MODEL_SECONDS", 0.0)
    monkeypatch.setattr(worker.store, "clear_stages", lambda *args, **kwargs: None)
    honest = {"_target_": "hostile.Honest", "about": {"version": 1}}
    first = worker.run(make_cell(honest))
    monkeypatch.setattr("hostile.Honest.fit", lambda *args, **kwargs: pytest.fail("trained again"))
    second = worker.run(make_cell(honest, seeds={"sample": 5}))
    assert second["status"] == "ok", second["reason"]
    assert second["synthetic"] != first["synthetic"]


def test_a_foreign_model_is_never_unpickled(worker, make_cell, tmp_path):
    cell = make_cell({"_target_": "hostile.Honest", "about": {"version": 1}})
    path = worker.store.model_path(cell.train_key)
    path.parent.mkdir(parents=True)
    touch = tmp_path / "executed"
    payload = b"cposix\nsystem\n(S'touch " + str(touch).encode() + b"'\ntR."
    path.write_bytes(bytes(32) + payload)
    assert worker.run(cell)["status"] == "ok"
    assert not touch.exists()


def test_a_synthetic_table_that_was_tampered_with_is_made_again(worker, make_cell):
    cell = make_cell()
    record = worker.run(cell)
    path = worker.store.table_path(record["synthetic"]["sha256"])
    table = pd.read_parquet(path)
    table.loc[0, "visits"] = 9 - table.loc[0, "visits"]
    path.unlink()
    table.to_parquet(path, index=False)
    again = worker.run(make_cell(seeds={"evaluate": 3}))
    assert again["status"] == "ok"
    assert again["synthetic"] == record["synthetic"]


def test_progress_is_reported_while_training(worker, make_cell):
    seen = []
    slow = {"_target_": "hostile.Slow", "seconds": 1.5, "about": {"version": 1}}
    worker.run(make_cell(slow), on_message=seen.append)
    steps = [message["step"] for message in seen if "step" in message]
    assert steps[-1] == 5
    assert len(steps) > 2
    assert [message["stage"] for message in seen if "stage" in message] == [
        "train",
        "sample",
        "evaluate",
    ]


def test_a_stopped_cell_is_preempted_and_an_orphaned_one_leaves_nothing(worker, make_cell):
    slow = make_cell({"_target_": "hostile.Slow", "seconds": 30, "about": {"version": 1}})
    record = worker.run(slow, stopped=lambda: "stop")
    assert record["status"] == "preempted"
    orphan = make_cell({"_target_": "hostile.Slow", "seconds": 31, "about": {"version": 1}})
    assert worker.run(orphan, stopped=lambda: "gone") is None
    assert worker.store.get(orphan) is None
