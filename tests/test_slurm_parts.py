"""The parts of the SLURM launcher that need no cluster: parcels, requests, plans, journals."""

import itertools
import json

import pytest
import searched
from hypothesis import given
from hypothesis import strategies as st
from sweeps import HONEST

from syntharena.bench import plan, targets
from syntharena.bench.cells import Cell
from syntharena.bench.foreign.spec import resolve
from syntharena.bench.names import UnknownName
from syntharena.bench.running import resources, sweep
from syntharena.bench.running.costs import Costs
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.slurm.cluster import ClusterError, TaskState, spans
from syntharena.bench.slurm.journal import History, Journal
from syntharena.bench.slurm.launcher import Slurm
from syntharena.bench.slurm.parcels import Parcel, fill
from syntharena.bench.slurm.request import Request
from syntharena.bench.slurm.submission import Submission
from syntharena.bench.slurm.submitter import Settings, Submitter
from syntharena.bench.slurm.task import is_needless, warning_seconds
from syntharena.bench.slurm.watched import Watched


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    """A machine without SLURM's commands."""
    monkeypatch.setenv("PATH", str(tmp_path))


# Parcels


def in_packs(cells, size):
    return [cells[first : first + size] for first in range(0, len(cells), size)]


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 400), st.integers(1, 4))
def test_every_cell_is_in_one_parcel_and_only_single_packs_are_longer(lengths, seconds, size):
    cells = list(range(len(lengths)))
    packs = in_packs(cells, size)
    parcels = fill(packs, lengths.__getitem__, seconds)
    assert sorted(cell for parcel in parcels for cell in parcel.cells) == cells
    assert all(p.seconds <= seconds or list(p.cells) in packs for p in parcels)
    assert all(len({cell in p.cells for cell in pack}) == 1 for p in parcels for pack in packs)
    assert all(p.seconds == sum(lengths[cell] for cell in p.cells) for p in parcels)
    assert [p.seconds for p in parcels] == sorted((p.seconds for p in parcels), reverse=True)
    assert all(list(p.cells) == sorted(p.cells) for p in parcels)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_parcels_are_no_more_than_twice_as_many_as_needed(lengths):
    parcels = fill(in_packs(range(len(lengths)), 1), lengths.__getitem__, 100)
    assert len(parcels) <= 2 * -(-sum(lengths) // 100)


def test_a_cell_that_was_lost_has_a_parcel_of_its_own():
    parcels = fill(in_packs(range(5), 1), lambda cell: 1.0, 100, alone=lambda cell: cell == 2)
    assert sorted(p.cells for p in parcels) == [(0, 1, 3, 4), (2,)]


# Costs


def test_a_cell_is_expected_to_take_what_its_like_took(make_cell, make_record, toy):
    costs = Costs(60.0)
    known, other = make_cell(HONEST), make_cell({**HONEST, "note": "x"}, label="other")
    assert (costs.seconds(known), costs.knows(known)) == (60.0, False)
    for seed, seconds in enumerate((2.0, 4.0)):
        costs.learn(make_record(make_cell(HONEST, seed=seed), seconds=seconds))
    assert costs.seconds(make_cell(HONEST, seed=9)) == 3.0
    assert costs.seconds(make_cell(HONEST, evaluators={})) == 3.0
    assert costs.seconds(make_cell(HONEST, dataset={**toy, "rows": 50})) == 3.0
    assert (costs.seconds(other), costs.knows(other)) == (60.0, False)
    costs.learn(make_record(make_cell(HONEST, dataset={**toy, "rows": 50}), seconds=0.5))
    assert costs.seconds(make_cell(HONEST, seed=8, dataset={**toy, "rows": 50})) == 0.5
    assert costs.seconds(make_cell(HONEST, seed=9)) == 3.0


def test_cells_that_broke_off_teach_nothing(make_cell, make_record):
    costs = Costs(60.0)
    costs.learn(make_record(make_cell(HONEST), status="failed", seconds=0.1))
    assert costs.seconds(make_cell(HONEST, seed=1)) == 60.0


def test_costs_are_read_from_a_part_of_a_large_store(store, make_cell, make_record, monkeypatch):
    monkeypatch.setattr("syntharena.bench.running.costs.READ", 5)
    for seed in range(23):
        store.put(make_record(make_cell(HONEST, seed=seed), seconds=2.0))
    read = []
    monkeypatch.setattr(Costs, "learn", lambda self, record: read.append(record))
    Costs.of(store, 60.0)
    assert 3 <= len(read) <= 5


# Requests


def test_later_wishes_win_and_null_wishes_nothing(make_cell):
    cell = make_cell(HONEST, limits={"seconds": 600.0, "threads": 2})
    plain = Request.of(cell, {})
    assert (plain.cpus, plain.minutes, plain.memory_mib) == (2, 15, None)
    first = {"cpus": 8, "partition": "short", "sbatch": ["--qos=a"]}
    second = {"cpus": None, "gpus": 1, "partition": "gpu", "memory_mib": 900}
    found = Request.of(cell, resources.merged(first, second))
    assert found.options() == [
        "--ntasks=1",
        "--cpus-per-task=8",
        "--time=15",
        "--mem=900M",
        "--gres=gpu:1",
        "--partition=gpu",
        "--qos=a",
    ]


def test_memory_follows_the_limit_of_a_cell(make_cell):
    cell = make_cell(HONEST, limits={"memory_mib": 1000})
    assert Request.of(cell, {}).memory_mib == 2048 + 1000
    assert Request.of(cell, {"cpus": 3}).memory_mib == 2048 + 3000
    assert Request.of(cell, {}, together=4).memory_mib == 2048 + 4000


def test_a_cell_without_a_limit_needs_one_for_its_job(make_cell):
    cell = make_cell(HONEST, limits={"seconds": None})
    with pytest.raises(ValueError, match=r"hydra\.launcher\.job\.minutes must be set"):
        Request.of(cell, {})
    assert Request.of(cell, {"minutes": 90}).minutes == 90
    limited = make_cell(limits={"seconds": 600.0})
    assert [Request.of(limited, {}, together=n).minutes for n in (1, 4)] == [15, 45]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"cpu": 1}, "did you mean 'cpus'"),
        ({"cpus": 0}, "cpus must be a whole number >= 1, got 0"),
        ({"gpus": -1}, "gpus must be a whole number >= 0, got -1"),
        ({"minutes": 1.5}, "minutes must be a whole number"),
        ({"partition": "a b"}, "partition must be a name"),
        ({"partition": "a\nb"}, "partition must be a name"),
        ({"sbatch": "--qos=long"}, "sbatch must list options"),
        ({"sbatch": ["rm -rf"]}, "each as one word that begins with -"),
    ],
)
def test_wrong_wishes_are_refused(wish, message, make_cell):
    with pytest.raises((ValueError, UnknownName), match=message):
        resources.wanted(make_cell({**HONEST, "resources": wish}), {}, {})
    with pytest.raises((ValueError, UnknownName), match=message):
        Slurm(job=wish)


def test_resources_are_in_no_key_and_in_no_name(make_cell):
    asking = {**HONEST, "resources": {"gpus": 1}}
    assert make_cell(asking).record_key == make_cell(HONEST).record_key
    assert targets.arguments(asking) == {}
    settings = Settings(job={"gpus": 3}, by_generator={"honest": {"gpus": 2}})
    assert settings.request([make_cell(asking)]).gpus == 2
    assert Settings(job={"gpus": 3}).request([make_cell(asking)]).gpus == 1
    point = plan.Point({"generator": HONEST, "tuning": {}}, {}, ("+generator.resources.gpus=1",))
    assert plan._label(point) == "honest"


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"hydra\.launcher\.at_once must be a number >= 1, got 0"):
        Slurm(at_once=0)
    with pytest.raises(ValueError, match=r"hydra\.launcher\.setup must list lines"):
        Slurm(setup="module load python")


# Submissions


def submission_of(cells, place, **lost):
    parcels = [Parcel((cell,), 60.0) for cell in cells]
    request = Request.of(cells[0], {})
    return Submission.new(parcels, request, place, {"together": 1}, lost)


def test_a_submission_comes_back_as_it_was(store, place, make_cell, toy):
    columns = dict(reversed(toy["columns"].items()))  # an order that is not the alphabet's
    cells = [make_cell(HONEST, seed=s, dataset={**toy, "columns": columns}) for s in range(3)]
    written = submission_of(cells, place, **{cells[1].record_key: 2})
    written.write()
    (found,) = Submission.all(store)
    back = [cell for parcel in range(3) for cell in found.cells(parcel)]
    assert [json.dumps(c.to_dict()) for c in back] == [json.dumps(c.to_dict()) for c in cells]
    assert [c.record_key for c in back] == [key for keys in found.keys for key in keys]
    assert (found.request, found.place, found.lost) == (
        written.request,
        place,
        {cells[1].record_key: 2},
    )


def test_cells_that_share_their_parts_write_them_once(place, make_cell):
    few, many = (
        len(json.dumps(submission_of([make_cell(HONEST, seed=s) for s in range(n)], place).plan))
        for n in (1, 101)
    )
    assert (many - few) / 100 < 800  # bytes of a cell beyond the first


def test_a_damaged_submission_is_set_aside(store, place, make_cell):
    submission = submission_of([make_cell(HONEST)], place)
    submission.write()
    path = store.root / "jobs" / f"{submission.name}.json"
    path.write_text(path.read_text().replace("honest", "h0nest", 1))
    assert list(Submission.all(store)) == []
    assert list((store.root / "corrupt").iterdir())


def test_a_parcel_has_one_holder(place, make_cell):
    submission = submission_of([make_cell(HONEST, seed=s) for s in range(3)], place)
    submission.write()
    assert submission.holder(1) is None
    assert submission.take(1, 0)
    assert not submission.take(1, 2)
    assert (submission.holder(1), submission.taken()) == (0, {1})


def test_a_task_is_needless_when_every_parcel_is_taken_by_others(place, make_cell):
    submission = submission_of([make_cell(HONEST, seed=s) for s in range(2)], place)
    submission.write()
    submission.take(0, 0)
    assert not is_needless(submission.folder, 2, 1)
    submission.take(1, 0)
    assert is_needless(submission.folder, 2, 1)
    Journal(submission.journal(1)).add(begin={})  # it ran before, and may hold one
    assert not is_needless(submission.folder, 2, 1)


@given(st.sets(st.integers(0, 30)))
def test_tasks_are_named_as_slurm_reads_them(tasks):
    named = [list(map(int, span.split("-"))) for span in spans(tasks).split(",") if span]
    assert [i for ends in named for i in range(ends[0], ends[-1] + 1)] == sorted(tasks)
    assert all(a[-1] + 1 < b[0] for a, b in itertools.pairwise(named))  # in as few as can be


def test_a_warning_comes_in_the_second_half_of_a_job():
    assert [warning_seconds(minutes) for minutes in (1, 2, 3, 600)] == [30, 60, 90, 90]


def test_the_script_and_its_options(place, make_cell, tmp_path):
    odd = Workplace(tmp_path / "100% mine's", None, place.cache)
    settings = Settings(at_once=7, setup=["module load python"], tasks=2)
    submitter = Submitter(settings, odd, Costs(100.0), most=1000)
    cells = [make_cell(HONEST, seed=seed) for seed in range(9)]
    first, second = submitter.make(cells, {})
    assert [first.tasks, second.tasks] == [2, 1]  # three parcels, two tasks in an array
    options, script = submitter.options(first), submitter.script(first)
    assert "--array=0-1%7" in options
    assert f"--output={tmp_path}/100%% mine's/jobs/{first.name}/%a.out" in options
    assert "--signal=B:USR1@90" in options
    assert script.splitlines()[:2] == ["#!/bin/bash", "module load python"]
    assert script.splitlines()[2].startswith("exec ")
    assert "'\"'\"'" in script  # the quote in the path is quoted
    assert submitter.core_hours(first) == pytest.approx((600 + 20) / 3600)


def test_a_shared_search_has_as_many_tasks_as_share_it(place, make_cell, store):
    shared, own = (
        make_cell(searched.spec(), tuning=searched.tuning(9, shared=flag)) for flag in (True, False)
    )
    cells = [shared, own, make_cell(searched.spec())]
    submitter = Submitter(Settings(search_jobs=3), place, Costs(1.0), most=1000)
    found = [submission.keys for submission in submitter.make(cells, {})]
    assert sorted(key for keys in found for parcel in keys for key in parcel) == sorted(
        [shared.record_key] * 3 + [cell.record_key for cell in cells[1:]]
    )
    (first,) = (keys for keys in found if [shared.record_key] in keys)
    assert first.count([shared.record_key]) == 3
    submitter.add(list(submitter.make(cells, {})))
    assert submitter.waiting == 3
    lines = sweep.outline([shared], store, Slurm(search_jobs=3), place, ())
    assert "an array of 3 tasks for 1 cells:" in lines


def test_without_slurm_a_run_says_so_and_a_dry_run_works(no_slurm, place, make_cell, store):
    cells = [make_cell(HONEST, seed=seed) for seed in range(3)]
    with pytest.raises(ClusterError, match="hydra/launcher=slurm needs SLURM's commands"):
        sweep.run(cells, store, Slurm(), place)
    assert not (store.root / "jobs").exists()
    lines = sweep.outline(cells, store, Slurm(), place, ())
    assert lines[0] == "3 cells, 0 already done, 3 to run"
    assert any(line.startswith("sbatch --job-name=syntharena-") for line in lines)
    assert "about 0.1 core-hours" in lines
    assert lines[-1].endswith("honest")
    assert not (store.root / "jobs").exists()


def foreign(make_cell, requirement="waterlily==1.2", name="honest"):
    about = {"version": 1, "name": name}
    environment = {"requirements": [requirement]}
    return make_cell(resolve({**HONEST, "about": about, "environment": environment}))


def test_a_submission_carries_the_environments_of_its_own_cells(make_cell, store, foreign_cache):
    cells = [foreign(make_cell), foreign(make_cell, "waterlily==2.0", "lily"), make_cell(HONEST)]
    place = Workplace(store.root, None, foreign_cache)
    place = sweep.with_environments(cells, place, lambda text: None)
    assert len(place.foreign) == 2
    settings = Settings(job={"minutes": 7}, by_generator={"lily": {"minutes": 9}})
    mixed, lily = sorted(
        Submitter(settings, place, Costs(1.0), most=1000).make(cells, {}),
        key=lambda submission: submission.request.minutes,
    )
    for submission, known in ((mixed, place.foreign[0]), (lily, place.foreign[1])):
        submission.write()
        read = Submission.read(store, submission.name)
        assert read is not None
        assert list(read.place.foreign) == [known]
        assert read.place.cache == foreign_cache


@pytest.mark.parametrize("launcher", [Local(1), Slurm()], ids=["local", "slurm"])
def test_a_dry_run_names_the_environments_that_it_does_not_make(
    launcher, no_slurm, place, make_cell, store
):
    cells = [foreign(make_cell), make_cell(HONEST)]
    lines = sweep.outline(cells, store, launcher, place, ())
    assert lines[-1] == "an environment of waterlily==1.2 is to be made"
    assert not place.cache.exists()
    assert not store.root.exists()


def test_a_dry_run_asks_no_evaluator_abroad_what_it_declares(no_slurm, place, make_cell, store):
    evaluator = resolve({**searched.SHAPE, "environment": {"requirements": ["waterlily==1.2"]}})
    cell = make_cell(searched.spec(), tuning=searched.tuning(3, evaluators={"shape": evaluator}))
    lines = sweep.outline([cell], store, Slurm(), place, ())
    assert lines[0] == "1 cells, 0 already done, 1 to run"
    assert lines[-1] == "an environment of waterlily==1.2 is to be made"


# Journals


def test_a_journal_survives_a_torn_line(tmp_path):
    path = tmp_path / "0.journal"
    journal = Journal(path)
    journal.add(begin={"node": "n1"})
    journal.add(started=1.0, key="a")
    with open(path, "ab") as file:
        file.write(b'\n{"done": {"sta')
    history = History(path)
    assert [next(iter(line)) for line in history.read()] == ["begin", "started"]
    assert list(history.in_hand) == ["a"]
    journal.add(begin={"node": "n2"})
    journal.add(started=2.0, key="a")
    journal.add(done={"status": "ok", "reason": ""}, key="a")
    assert len(list(history.read())) == 3
    assert (history.in_hand, history.interrupted, history.began) == ({}, ["a"], 2)
    assert list(history.read()) == []


@given(st.lists(st.binary(max_size=30)))
def test_a_journal_of_anything_is_read(tmp_path_factory, chunks):
    path = tmp_path_factory.mktemp("journal") / "0.journal"
    path.write_bytes(b"\n".join(chunks))
    History(path).catch_up()


# What is seen from outside


def task_states(*words):
    return {task: TaskState(word, node="n1") for task, word in enumerate(words)}


@pytest.fixture
def watched(place, make_cell):
    submission = submission_of([make_cell(HONEST, seed=s) for s in range(2)], place)
    submission.write()
    return Watched(submission)


def seen(watched, *words):
    watched.look(task_states(*words))
    list(watched.news())
    return [watched.is_lost(parcel, 0.0) for parcel in range(2)]


def test_a_parcel_that_nobody_took_waits_for_any_task(watched):
    assert seen(watched, "PENDING", "PENDING") == [False, False]
    assert seen(watched, "FAILED", "RUNNING") == [False, False]
    assert seen(watched, "FAILED", "FAILED") == [True, True]


def test_a_parcel_is_lost_with_the_task_that_has_it(watched):
    watched.submission.take(1, 0)
    assert seen(watched, "RUNNING", "COMPLETED") == [False, False]
    assert seen(watched, "NODE_FAIL", "RUNNING") == [False, True]
    assert seen(watched, "PENDING", "RUNNING") == [False, False]  # SLURM put it back


def test_a_task_that_slurm_forgot_is_over(watched):
    assert seen(watched, "RUNNING", "RUNNING") == [False, False]
    watched.look({})
    assert [watched.is_lost(parcel, 0.0) for parcel in range(2)] == [True, True]


def test_only_a_cell_in_hand_is_blamed_for_the_end_of_its_job(watched):
    submission = watched.submission
    for parcel in range(2):
        submission.take(parcel, 0)
    journal = Journal(submission.journal(0))
    journal.add(begin={})
    (first,), (second,) = submission.keys
    journal.add(started=1.0, key=first)
    journal.add(done={"status": "ok", "reason": ""}, key=first)
    journal.add(started=2.0, key=second)
    assert seen(watched, "FAILED", "COMPLETED") == [True, True]
    assert (watched.blamed(0), watched.blamed(1)) == ([], [second])
    seen(watched, "PREEMPTED", "COMPLETED")
    assert watched.blamed(1) == []
    journal.add(stopped="time")
    seen(watched, "FAILED", "COMPLETED")
    assert watched.blamed(1) == []


def test_jobs_that_printed_and_took_nothing_are_blamed_as_a_whole(watched):
    seen(watched, "FAILED", "FAILED")
    assert watched.blamed(0) == []
    watched.submission.output(0).write_text("no such module")
    assert watched.blamed(0) == watched.submission.keys[0]


def test_a_plain_cell_survives_json(make_cell):
    cell = make_cell(HONEST)
    assert Cell.from_dict(json.loads(json.dumps(cell.to_dict()))).record_key == cell.record_key
