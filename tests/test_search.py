"""Searches for hyperparameters: by one rule, on train rows alone, and not spoiled by any kill."""

import dataclasses
import hashlib
import json
import math
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import searched
from driver import start_driver, wait_for_nobody

from syntharena.bench import config, plan, targets
from syntharena.bench.contracts import Budget, Metric
from syntharena.bench.data import datasets
from syntharena.bench.running import verify
from syntharena.bench.running.worker import Worker
from syntharena.bench.search import objective, space, trials
from syntharena.bench.search.study import ALONE, Study, Trial, count_ended, held, mend
from syntharena.bench.tuning import Search, Tuning, merit

optuna = pytest.importorskip("optuna")

DEFAULTS = {"noise": 0.5, "way": ["a", 1]}


@pytest.fixture(autouse=True)
def _support_is_at_hand(monkeypatch):
    """A sweep of its own process finds what tests hand to it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"))


@pytest.fixture
def worker(store, tmp_path):
    return Worker(store, None, tmp_path / "cache")


@pytest.fixture
def tuned(worker, make_cell):
    """Return a function that runs a cell with a search."""

    def run(generator=None, *, cell=None, **fields):
        cell = cell or make_cell(generator or searched.spec(), tuning=searched.tuning(**fields))
        worker.store.put_sweep([cell])
        return worker.run(cell)

    return run


def choices(found):
    """What does not depend on how fast the machine is."""
    timeless = [
        {key: value for key, value in trial.items() if not key.endswith("seconds")}
        for trial in found["trials"]
    ]
    return {**found, "trials": timeless}


# What a cell with a search leaves


def test_the_best_of_all_trials_is_what_is_fitted(tuned):
    record = tuned(trials=12)
    found = record["tuning"]
    values = [trial["value"] for trial in found["trials"]]
    assert record["status"] == "ok"
    assert len(values) == 12
    assert found["ended"] == "trials"
    assert found["trials"][0]["hyperparameters"] == DEFAULTS
    assert found["default"] == values[0]
    assert found["best"] == max(values) > values[0]
    assert found["chosen"] == found["trials"][int(np.argmax(values))]["hyperparameters"]
    assert found["chosen"]["noise"] < 0.2
    assert found["chosen"]["way"] in (["a", 1], ["b", 2])
    assert record["metrics"]["shape_score"] > 0.9
    assert record["cost"]["tuning_seconds"] == sum(t["seconds"] for t in found["trials"]) > 0
    assert record["cost"]["tuning_cpu_seconds"] > 0


def test_a_search_is_the_same_every_time(tuned, worker, make_cell, tmp_path):
    first = tuned()
    cell = make_cell(searched.spec(), tuning=searched.tuning())
    again = Worker(type(worker.store)(tmp_path / "other"), None, tmp_path / "cache").run(cell)
    assert choices(first["tuning"]) == choices(again["tuning"])
    assert first["synthetic"] == again["synthetic"]


def test_the_table_is_that_of_the_chosen_hyperparameters(tuned, worker, make_cell):
    record = tuned()
    plain = worker.run(make_cell(searched.spec(**record["tuning"]["chosen"])))
    assert plain["synthetic"] == record["synthetic"]
    assert plain["key"] != record["key"]


def test_searching_is_another_cell_and_its_space_too(make_cell):
    plain = make_cell(searched.spec())
    known = make_cell({k: v for k, v in searched.spec().items() if k != "search"})
    assert plain.key == known.key
    searches = [
        make_cell(searched.spec(), tuning=searched.tuning()),
        make_cell(searched.spec(), tuning=searched.tuning(trials=7)),
        make_cell(searched.spec(), tuning=searched.tuning(validation=0.3)),
        make_cell(
            searched.spec(search={"noise": searched.SPACE["noise"]}), tuning=searched.tuning()
        ),
    ]
    assert len({cell.key for cell in (plain, *searches)}) == 5
    for cell in searches:
        assert type(cell).from_dict(json.loads(json.dumps(cell.to_dict()))).key == cell.key


def test_a_generator_without_a_space_is_skipped(tuned):
    record = tuned({k: v for k, v in searched.spec().items() if k != "search"})
    assert record["status"] == "skipped"
    assert "nothing to search" in record["reason"]


def test_a_record_is_verified_by_its_choice(tuned, worker, tmp_path):
    record = tuned()
    verdict = verify.verify(record, worker.store, None, tmp_path / "cache")
    assert verdict.status == "identical", verdict.differences
    lied = json.loads(json.dumps(record))
    lied["tuning"]["chosen"]["noise"] = 0.9
    assert verify.verify(lied, worker.store, None, tmp_path / "cache").status == "different"


# What it reads


def test_trials_see_train_rows_alone(worker, make_cell, toy, tmp_path, monkeypatch):
    """Neither holdout nor reference, nor the validation rows they are measured against."""
    monkeypatch.setenv("SYNTHARENA_SPY", str(tmp_path))
    cell = make_cell(searched.spec("Spy"), tuning=searched.tuning(trials=3))
    assert worker.run(cell)["status"] == "ok"
    seen = [pd.read_parquet(path) for path in sorted(tmp_path.glob("*.parquet"))]
    *of_trials, last = (set(map(tuple, table.astype(str).to_numpy())) for table in seen)
    assert len(of_trials) == 3
    assert all(rows < last for rows in of_trials)  # the last fit is that of the cell
    assert len(last) == 240
    assert 185 <= len(of_trials[0]) <= 199
    assert of_trials[0] == of_trials[1] == of_trials[2]


def test_rows_are_divided_by_the_target(worker, make_cell, toy):
    task = task_of(worker, make_cell(searched.spec(), tuning=searched.tuning(validation_rows=200)))
    assert len(task.divisions) == 3  # of 80 validation rows each
    validated = set()
    for division in task.divisions:
        sides = division.learned, division.validation
        assert [len(side) for side in sides] == pytest.approx([320, 80], abs=8)
        shares = [(side["label"] == "yes").mean() for side in sides]
        assert shares[0] == pytest.approx(shares[1], abs=0.02)
        both = pd.concat(sides).astype(str)
        rows = worker._dataset(task.cell.dataset).table.astype(str)
        assert sorted(map(tuple, both.to_numpy())) == sorted(map(tuple, rows.to_numpy()))
        validated.add(tuple(division.validation["x"]))
    assert len(validated) == 3


@pytest.mark.parametrize(
    ("rows", "divisions"),
    [(0, 5), (600, 5), (2499, 5), (2500, 4), (7398, 2), (10_000, 1), (10**6, 1)],
)
def test_small_tables_are_divided_more_often(rows, divisions):
    assert Search(validation=0.2, validation_rows=2000).divisions(rows) == divisions


def test_a_trial_is_worth_the_mean_over_its_divisions(worker, make_cell):
    cell = make_cell(searched.spec(), tuning=searched.tuning(validation_rows=400))
    task = task_of(worker, cell)
    reached = []
    value, metrics = task.attempt(0, DEFAULTS, lambda *said: reached.append(said))
    alone = dataclasses.replace(task, divisions=task.divisions[:1])
    assert len(task.divisions) == 5
    assert [rung for rung, _ in reached] == [3, 4, 5, 6]  # after those within a training
    assert reached[0][1] == alone.attempt(0, DEFAULTS, None)[0]
    means = [mean * (place + 1) for place, (_, mean) in enumerate([*reached, (7, value)])]
    assert 0 < np.ptp(np.diff(means, prepend=0)) < 0.1  # each division has a value of its own
    assert metrics == {"shape_score": pytest.approx(value)}


def test_a_limit_is_compared_with_the_mean_over_divisions(toy):
    rule = searched.rule(guards={"membership": MEMBERSHIP})
    judge = objective.Objective(rule, datasets.schema_of(toy), 0)
    (limited,) = judge._limited
    below, above = limited.limit - 0.05, limited.limit + 0.03
    parts = [{"shape_score": 0.5, limited.name: auc} for auc in (above, below)]
    assert judge.value(parts[:1]) == -0.5
    assert judge.value(parts) == 0.5
    assert judge.value([*parts, *parts[:1] * 3]) == -0.5


def task_of(worker, cell, rows=slice(None)):
    dataset = worker._dataset(cell.dataset)
    return trials.Task.of(cell, cell.tuning.search, dataset.schema, dataset.table[rows])


def test_a_public_stand_in_is_read_instead(worker, make_cell, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHARENA_SPY", str(tmp_path))
    path = tmp_path / "public.csv"
    lines = Path(toy["path"]).read_text().replace("Oslo", "Bonn").splitlines()[:301]
    path.write_text("\n".join(lines) + "\n")
    pins = {"rows": 300, "columns": 4, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    public = {**toy, "name": "public", "path": str(path), "pins": pins}
    rule = searched.tuning(3, "public", "public")
    cell = make_cell(searched.spec("Spy"), tuning=rule, stand_in=public)
    assert type(cell).from_dict(json.loads(json.dumps(cell.to_dict()))).key == cell.key
    worker.store.put_sweep([cell])
    record = worker.run(cell)
    assert record["status"] == "ok"
    assert record["privacy"]["tuning"] == "tuned on public public"
    *of_trials, last = (pd.read_parquet(p) for p in sorted(tmp_path.glob("*.parquet")))
    assert len(of_trials) == 3
    assert not any((table["city"] == "Oslo").any() for table in of_trials)
    assert (last["city"] == "Oslo").any()
    verdict = verify.verify(record, worker.store, None, tmp_path / "cache")
    assert verdict.status == "identical", verdict.differences


def test_trials_of_a_private_cell_get_its_budget_and_the_row_says_so(worker, make_cell):
    cell = make_cell(
        searched.spec("Sworn"), budget=Budget(1.0), tuning=searched.tuning(3), label="sworn"
    )
    record = worker.run(cell)
    assert record["status"] == "ok", record["reason"]
    assert record["privacy"]["tuning"] == "tuning not private"
    assert record["privacy"]["spent_epsilon"] == pytest.approx(1.0)


UTILITY = {
    "_target_": "syntharena.evaluators.utility.Utility",
    "models": ["xgboost"],
    "about": {"version": 2},
}


MEMBERSHIP = {
    "_target_": "syntharena.evaluators.membership.Membership",
    "about": {"version": 1},
}


def charged(make_cell, trials=4, epsilon=2.0, **fields):
    rule = searched.tuning(trials, "charged", evaluators={"utility": UTILITY})
    return make_cell(searched.spec("Sworn"), budget=Budget(epsilon), tuning=rule, **fields)


def test_charged_trials_and_the_fit_after_them_keep_the_budget(worker, make_cell):
    record = worker.run(charged(make_cell))
    assert record["status"] == "ok", record["reason"]
    privacy = record["privacy"]
    assert privacy["spent_epsilon"] == pytest.approx(2.0)
    assert privacy["tuning"] == "5 trials charged, sequential composition"
    (event,) = privacy["ledger"]
    assert 1 / event["scale"] == pytest.approx(2.0 / 5)
    for trial in record["tuning"]["trials"]:  # no number but the noisy count is kept
        assert list(trial["metrics"]) == [objective.COUNTED]


def test_charged_trials_are_divided_by_coins_that_no_other_row_moves(worker, make_cell):
    cell = charged(make_cell)
    (first,) = task_of(worker, cell).divisions
    (fewer,) = task_of(worker, cell, slice(-1)).divisions
    for ours, theirs in ((first.learned, fewer.learned), (first.validation, fewer.validation)):
        assert len(ours) - len(theirs) in (0, 1)
        pd.testing.assert_frame_equal(ours[: len(theirs)], theirs)


def test_a_count_is_as_noisy_as_it_says_and_reads_nothing_else(worker, make_cell):
    cell = charged(make_cell)
    dataset = worker._dataset(cell.dataset)
    drawn, rows = dataset.table[:200], dataset.table[200:].reset_index(drop=True)
    rule, schema = cell.tuning.search, dataset.schema

    def counts(epsilon, rows, times):
        judge = objective.Counted(rule, schema, 0, epsilon, np.random.default_rng(0))
        found = [judge.measure(drawn, rows)[objective.COUNTED] for _ in range(times)]
        return np.array(found) * len(rows)

    (truth,) = counts(1e3, rows, 1).round()
    noisy = counts(0.5, rows, 60) - truth
    assert np.allclose(noisy, noisy.round())
    assert 1.2 < np.abs(noisy).mean() < 3.0  # 2 e^-1/2 / (1 - e^-1) = 1.92 in expectation
    one_less = [counts(1e3, rows.drop(index=i), 1).round() for i in (0, 7, 100)]
    assert all(truth - count in (0, 1) for (count,) in one_less)


def test_what_cannot_be_counted_is_refused(make_cell, toy):
    rule = searched.tuning(4, "charged")
    uncounted = make_cell(searched.spec("Sworn"), budget=Budget(1.0), tuning=rule)
    with pytest.raises(ValueError, match="which no evaluator of"):
        plan.check_targets([uncounted])
    numbers = charged(make_cell, dataset={**toy, "target": "x", "task": "regression"})
    with pytest.raises(ValueError, match="a count of rows whose class"):
        plan.check_targets([numbers])


# Trials that break, lag or take too long


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        ("raises", "ValueError: too much noise"),
        ("dies", "code -9"),
        ("swells", "ran out of memory"),
        ("invents", "SchemaError"),
    ],
)
def test_a_trial_that_breaks_costs_itself_alone(worker, make_cell, breaks, reason):
    spec = searched.spec("Moody", breaks=breaks)
    cell = make_cell(spec, tuning=searched.tuning(8), limits={"memory_mib": 600.0})
    record = worker.run(cell)
    found = record["tuning"]["trials"]
    assert record["status"] == "ok"
    assert {t["state"] for t in found if t["hyperparameters"]["noise"] > 0.25} == {"failed"}
    assert {t["state"] for t in found if t["hyperparameters"]["noise"] < 0.25} == {"complete"}
    assert reason in found[0]["reason"]
    assert record["tuning"]["default"] is None
    assert record["tuning"]["chosen"]["noise"] < 0.25


def test_if_every_trial_breaks_the_defaults_are_fitted(tuned):
    spec = searched.spec("Moody", breaks="raises", search={"noise": {"low": 0.3, "high": 0.9}})
    record = tuned(spec, trials=3)
    assert record["status"] == "failed"
    assert "too much noise" in record["reason"]


def test_a_search_ends_when_its_time_is_over(tuned):
    spec = searched.spec("Moody", breaks="hangs", noise=0.2)
    record = tuned(spec, trials=50, seconds=5.0)
    found = record["tuning"]
    assert record["status"] == "ok"
    *before, last = found["trials"]
    assert 5 <= record["cost"]["tuning_seconds"] < 10  # the trial that was cut short counts
    assert found["ended"] == "seconds"
    assert 1 <= len(before) < 49
    assert all(trial["hyperparameters"]["noise"] <= 0.25 for trial in before)
    assert (last["state"], last["value"]) == ("unfinished", None)
    assert last["hyperparameters"]["noise"] > 0.25
    assert found["chosen"]["noise"] <= 0.2


def test_what_lags_is_pruned(tuned):
    record = tuned(searched.spec("Slow", noise=0.1), trials=20)
    states = Counter(trial["state"] for trial in record["tuning"]["trials"])
    assert states["complete"] >= 5  # Optuna's pruner compares with five or more
    assert states["pruned"] >= 2
    assert states["failed"] == 0
    pruned = [t for t in record["tuning"]["trials"] if t["state"] == "pruned"]
    assert min(t["hyperparameters"]["noise"] for t in pruned) > 0.1
    assert all(trial["value"] is None for trial in pruned)


# Kills


def quick(study):
    """Go on with a study whose objective takes no time."""
    while (asked := study.ask()) is not None:
        value = 1 - abs(asked["noise"] - 0.3) - 0.1 * (asked["way"] == ["b", 2])
        if study.lags(1, value / 2):
            study.tell(Trial(asked, "pruned"))
        elif len(study.ended) % 5 == 4:
            study.tell(Trial(asked, "failed", reason="now and then"))
        else:
            study.tell(Trial(asked, "complete", value))
    return study.ended


def studied(path, total, **options):
    dimensions = space.parse(searched.SPACE, DEFAULTS)
    return Study(path, dimensions, DEFAULTS, total, lambda done: done, **options)


def test_a_journal_that_is_cut_off_anywhere_goes_on_to_the_same_end(tmp_path):
    """The torn last line, the lock that nobody holds, the trial that nobody runs."""
    whole = tmp_path / "whole.journal"
    expected = quick(studied(whole, 14))
    assert {trial.state for trial in expected} == {"complete", "pruned", "failed"}
    content = whole.read_bytes()
    cuts = sorted(random.Random(0).sample(range(len(content)), 60))
    for cut in [0, 1, *cuts, len(content) - 1]:
        path = tmp_path / f"{cut}.journal"
        path.write_bytes(content[:cut])
        os.symlink(path, f"{path}.lock")
        assert quick(studied(path, 14)) == expected, cut
        assert not os.path.lexists(f"{path}.lock")
        path.unlink()


def test_a_trial_that_is_begun_again_and_again_is_no_progress(store, make_cell):
    cell = make_cell(searched.spec(), tuning=searched.tuning(3))
    path = store.journal_path(cell.train_key)
    seen = [store.progress_of(cell)]
    for ended in range(3):
        for _ in range(2):
            study = studied(path, 3)
            assert study.ask() is not None
            study.tell(None)
            assert store.progress_of(cell) == seen[-1]
        study = studied(path, 3)
        study.tell(Trial(study.ask(), "failed" if ended == 1 else "complete", 0.5))
        seen.append(store.progress_of(cell))
        assert seen[-1] != seen[-2]
    with path.open("ab") as file:
        file.write(b'{"user_attr": {"trial": ')
    assert count_ended(path) == 3


def test_noise_in_a_journal_is_cut_off(tmp_path):
    path = tmp_path / "a.journal"
    expected = quick(studied(path, 6))
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    for noise in (b"\0\0\0\0", b'{"op_code"', b"[1]\n", b"\xff\xfe\n", b"7\n"):
        path.write_bytes(b"".join(lines[:-3]) + noise)
        mend(path)
        assert path.read_bytes() == b"".join(lines[:-3])
        assert quick(studied(path, 6)) == expected


def test_nobody_waits_for_a_dead_process_but_for_a_living_one(tmp_path):
    path = tmp_path / "a.journal"
    path.touch()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with held(path, ALONE):
            os.write(theirs, b"!")
            time.sleep(600)
        os._exit(0)
    os.read(ours, 1)
    started = time.monotonic()
    killer = os.fork()
    if killer == 0:
        time.sleep(0.5)
        os.kill(child, signal.SIGKILL)
        os._exit(0)
    with held(path, ALONE):
        assert 0.4 < time.monotonic() - started < 5
    os.waitpid(child, 0)
    os.waitpid(killer, 0)


def shared_worker(path, total):
    """Run trials of a shared study in a child that may be killed; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            study = studied(path, total, shared=True)
            while (asked := study.ask()) is not None:
                time.sleep(0.02)
                study.lags(1, asked["noise"])
                study.tell(Trial(asked, "complete", asked["noise"]))
        finally:
            os._exit(0)
    return child


@pytest.mark.parametrize(
    ("total", "every"),
    [(40, 5), pytest.param(200, 10, marks=pytest.mark.slow)],
    ids=["40 trials", "200 trials"],
)
def test_workers_that_share_a_study_and_are_killed_end_it_with_the_right_number(
    tmp_path, total, every
):
    path = tmp_path / "shared.journal"
    draw, killed_at = random.Random(2), 0
    workers = [shared_worker(path, total) for _ in range(4)]
    while workers:
        time.sleep(0.02)
        done = len(studied(path, total, shared=True).ended) if path.exists() else 0
        if killed_at + every <= done < total:  # so the machine's speed decides nothing
            os.kill(draw.choice(workers), signal.SIGKILL)
            killed_at = done
        ended = [pid for pid in workers if os.waitpid(pid, os.WNOHANG)[0]]
        workers = [pid for pid in workers if pid not in ended]
        if done < total:
            workers += [shared_worker(path, total) for _ in ended]
    found = studied(path, total, shared=True)
    assert killed_at > 0
    assert len(found.ended) == total
    assert found.ask() is None
    assert all(trial.state == "complete" for trial in found.ended)
    for line in path.read_bytes().splitlines():
        json.loads(line)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    states = [t.state.name for t in optuna.load_study(study_name="search", storage=storage).trials]
    assert states.count("COMPLETE") == total
    assert "RUNNING" not in states


def lines_of(root):
    """Count what searches have written: about seven lines for each of their trials."""
    journals = (root / "studies").rglob("*.journal")
    return sum(path.read_bytes().count(b"\n") for path in journals)


def test_a_sweep_that_is_killed_again_and_again_searches_to_the_same_end(
    store, make_cell, tmp_path
):
    cells = [
        make_cell(searched.spec("Slow"), tuning=searched.tuning(8), seeds={"train": seed})
        for seed in (0, 1)
    ]
    unbroken = tmp_path / "unbroken"
    worker = Worker(type(store)(unbroken), None, tmp_path / "cache")
    expected = {cell.key: worker.run(cell) for cell in cells}
    draw, kills = random.Random(1), 0
    while True:
        sweep, before = start_driver(cells, store.root, tmp_path), lines_of(store.root)
        limit = before + draw.randint(1, 20) if kills < 6 else math.inf
        while sweep.poll() is None and lines_of(store.root) < limit:
            time.sleep(0.02)
        if sweep.poll() is not None:
            break
        sweep.kill()
        sweep.communicate()
        wait_for_nobody(store.root)
        kills += 1
    assert sweep.returncode == 0, sweep.stderr.read()
    assert kills >= 3  # or nothing was shown
    for cell in cells:
        record = store.get(cell)
        assert record["status"] == "ok"
        assert choices(record["tuning"]) == choices(expected[cell.key]["tuning"])
        assert record["synthetic"] == expected[cell.key]["synthetic"]


# What is refused


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"epsilon": {"low": 0.1, "high": 1.0}}, "search.epsilon belongs to the budget"),
        ({"nois": {"low": 0.0, "high": 1.0}}, "did you mean 'noise'"),
        ({"noise": {"low": 1.0, "high": 0.0, "log": True}}, "low < high"),
        ({"noise": {"low": 0.0, "high": 1.0, "log": True}}, "low > 0"),
        ({"noise": {"low": "a", "high": 1.0}}, "needs numbers"),
        ({"way": {"low": 1, "high": 2}}, "use choices"),
        ({"noise": [0.1, 0.2]}, "must be {low"),
        ({"noise": {"choices": []}}, "must be {low"),
        ({"noise": {"low": 0.0, "high": 1.0, "step": 0.1}}, "must be {low"),
    ],
)
def test_a_space_that_means_nothing_is_refused(form, message):
    with pytest.raises(ValueError, match=message):
        space.parse(form, DEFAULTS | {"epsilon": 1.0})


def test_defaults_are_always_in_the_space():
    found = space.parse(
        {"a": {"low": 1, "high": 4}, "b": {"choices": [2, 3]}, "c": {"low": 0.5, "high": 1.0}},
        {"a": 9, "b": None, "c": 0.1},
    )
    assert found["a"] == space.Numbers(1, 9)
    assert found["b"] == space.Choices((None, 2, 3))
    assert found["c"] == space.Numbers(0.1, 1.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seconds": 0}, "seconds must be > 0"),
        ({"validation": 1.0}, "validation must be between"),
        ({"rows": 0}, "rows must be"),
        ({"objective": {"binry": []}}, "did you mean 'binary'"),
    ],
)
def test_a_rule_outside_its_range_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Search(**fields)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda: Tuning("none", trials=5, search=searched.rule()), "private"),
        (lambda: Tuning("public", trials=5, search=searched.rule()), "names the public table"),
    ],
)
def test_a_search_says_who_pays(how, message):
    with pytest.raises(ValueError, match=message):
        how()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({}, "names no metric for the task 'binary'"),
        ({"binary": ["shape_scor"]}, "did you mean 'shape_score'"),
    ],
)
def test_an_objective_that_nobody_measures_is_refused_before_the_sweep(
    make_cell, objective, message
):
    cell = make_cell(searched.spec(), tuning=searched.tuning(objective=objective))
    with pytest.raises(ValueError, match=message):
        plan.check_targets([cell])


def metric(name, best, worst):
    return Metric(name, "utility", best=best, worst=worst, definition="")


def test_an_objective_is_a_mean_of_what_runs_from_nought_to_one():
    r2, gap = metric("r2_score", 1.0, -np.inf), metric("gap_error", 0.0, 1.0)
    points = metric("k_score", 1000.0, 0.0)
    rule = Search(objective={"binary": ["r2_score", "gap_error"], "none": ["k_score"]})
    declared = {m.name: m for m in (r2, gap, points)}
    assert rule.of_task("binary", declared) == [r2, gap]
    with pytest.raises(ValueError, match=r"runs from 0\.0 to 1000\.0"):
        rule.of_task(None, declared)
    assert [merit(r2, v) for v in (0.5, -3.0, None)] == [0.5, 0.0, 0.0]
    assert [merit(gap, v) for v in (0.25, 0.0, None)] == [0.75, 1.0, 0.0]


def test_a_photocopy_comes_after_all_that_is_none(worker, make_cell):
    cell = make_cell(searched.spec(), tuning=searched.tuning(guards={"membership": MEMBERSHIP}))
    dataset = worker._dataset(cell.dataset)
    judge = objective.Objective(cell.tuning.search, dataset.schema, 0)
    learned, validation = (
        rows.reset_index(drop=True) for rows in (dataset.table[:200], dataset.table[200:])
    )
    others = learned.assign(x=np.random.default_rng(0).normal(size=200).round(3))
    found = {}
    for name, drawn in {"copy": learned, "others": others}.items():
        measured = judge.measure(drawn, validation) | judge.guard(drawn, learned, validation)
        found[name] = judge.value([measured])
        assert measured["photocopy_error"] == (name == "copy")
    assert -1 < found["copy"] < 0 < found["others"] < 1


def test_scenarios_that_fit_many_times_search_nothing(make_cell):
    scenario = {"_target_": "syntharena.bench.audit.scenario.Audit", "about": {"version": 1}}
    cell = make_cell(searched.spec(), tuning=searched.tuning(), scenario=scenario)
    with pytest.raises(ValueError, match="searches no hyperparameters"):
        plan.check_targets([cell])


# Our own generators

OWN = [
    pytest.param(name, spec, id=f"{name}-{preset}")
    for preset in config.PRESETS
    for name, spec in config.all_options("generator", preset=preset).items()
]
FIXED = {"gaussian_copula", "independent", "train_copy", "fresh_real"}


@pytest.mark.parametrize(("name", "spec"), OWN)
def test_every_generator_with_something_to_choose_has_a_space(name, spec):
    found = space.parse(spec.get("search") or {}, targets.arguments(spec))
    assert (not found) == (name in FIXED)
    for name, dimension in found.items():
        encoded = dimension.encode(spec[name])
        assert dimension.distribution()._contains(
            dimension.distribution().to_internal_repr(encoded)
        )
        assert dimension.decode(encoded) == spec[name]


def ends(dimension):
    if isinstance(dimension, space.Choices):
        return dimension.values
    return dimension.low, dimension.high


@pytest.mark.parametrize("name", sorted(set(config.all_options("generator")) - FIXED))
def test_a_generator_takes_the_ends_of_its_space(name):
    """Constructed at least; what does not fit together is a failed trial."""
    spec = config.all_options("generator")[name]
    found = space.parse(spec["search"], targets.arguments(spec))
    for key, dimension in found.items():
        for value in ends(dimension):
            targets.build({**spec, key: value}, ("fit", "sample"))
