"""The SLURM launcher on a real cluster: the same records, whatever happens to its jobs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import optuna
import pytest
import searched
from slurm_sweeps import (
    InBackground,
    lines_of,
    preloading,
    running_cluster,
    runs_of,
    slurm,
    start_slurm_driver,
    submissions,
    trace,
)
from sweeps import (
    HONEST,
    SUPPORT,
    assert_same_records,
    board_text,
    hostile,
    run_locally,
    wait_until,
)

from syntharena.bench.commands.status import status
from syntharena.bench.foreign.spec import Environment, resolve
from syntharena.bench.running import sweep
from syntharena.bench.running.pool import Workplace
from syntharena.bench.search.study import NAME
from syntharena.bench.slurm.cluster import ClusterError
from syntharena.bench.slurm.overview import cancel, overview
from syntharena.bench.store import Store

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def cluster():
    with running_cluster() as found:
        yield found


@pytest.fixture(autouse=True)
def on_the_cluster(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.setenv("SYNTHARENA_TRACE", str(tmp_path / "trace"))
    yield
    cluster.settle()


def waiting(folder, make_cell, name="Waits", seed=0, **fields):
    """Return a cell that goes on when there is a file ``gate`` in a folder, however late."""
    generator = hostile(name, gate=str(folder / "gate"), **fields)
    return make_cell(generator, seed=seed, limits={"seconds": 600.0})


# The same records


def test_the_records_are_those_of_the_local_launcher(store, place, make_cell, tmp_path):
    names = ["Honest", "Raises", "WrongOutput", "AsksTooMuch", "ExitsAtOnce"]
    cells = [make_cell(hostile(name), seed=seed) for name in names for seed in range(3)]
    cells += [make_cell(seed=seed) for seed in range(5)]
    local = run_locally(cells, tmp_path / "local")
    progress = sweep.run(cells, store, slurm(parcel_seconds=600), place)
    assert (progress.missing, progress.left) == (0, 0)
    assert_same_records(store, local, cells)
    assert board_text(store) == board_text(local)
    (submission,) = submissions(store)
    assert submission.tasks == 2  # 20 cells, taken for 60 s each, in parcels of 600 s
    assert submission.is_marked("over")


def test_one_task_does_what_others_have_not_begun(store, place, make_cell):
    cells = [make_cell(HONEST, seed=seed) for seed in range(12)]
    # One task at a time, each with one cell of its own: the first one does them all.
    sweep.run(cells, store, slurm(parcel_seconds=60, at_once=1), place)
    (submission,) = submissions(store)
    assert submission.tasks == 12
    done = [sum("done" in line for line in lines_of(submission, task)) for task in range(12)]
    assert max(done) == 12
    assert len(list(submission.folder.glob("*.journal"))) == 1


def test_tasks_that_would_find_nothing_leave_the_queue(store, place, make_cell, cluster):
    cells = [make_cell(HONEST, seed=seed) for seed in range(100)]
    sweep.run(cells, store, slurm(parcel_seconds=60, at_once=1, detach=True), place)
    cluster.wait_for(lambda: not cluster.run("squeue", "-h").strip(), "an empty queue")
    assert status(store).counts == {"ok": 100}
    (submission,) = submissions(store)
    assert [path.name for path in submission.folder.glob("*.out")] == ["0.out"]


def test_a_task_that_holds_cells_stays_in_the_queue(store, place, make_cell, cluster, tmp_path):
    cells = [waiting(tmp_path, make_cell), *(make_cell(HONEST, seed=seed) for seed in range(1, 6))]
    sweep.run(cells, store, slurm(parcel_seconds=60, at_once=1, detach=True), place)
    wait_until(lambda: status(store).counts["running"], "the cell that waits")
    (submission,) = submissions(store)
    first = lines_of(submission)[0]["begin"]["job"]
    cluster.run("scontrol", "requeuehold", first)
    wait_until(lambda: status(store).counts["ok"] == 5, "the others")
    wait_until(lambda: submission.is_marked("dismissed"), "the end of tasks that never ran")
    wait_until(
        lambda: overview(store).arrays == [(submission.name, {"PENDING": 1, "COMPLETED": 1})],
        "a queue without them",
    )
    (tmp_path / "gate").touch()
    cluster.run("scontrol", "release", first)
    wait_until(lambda: status(store).counts == {"ok": 6}, "the cell that waited")
    assert runs_of(submission) == 2
    assert len(submissions(store)) == 1


def test_no_more_tasks_run_at_once_than_allowed(store, place, make_cell):
    cells = [make_cell(hostile("Slow", seconds=1.0), seed=seed) for seed in range(8)]
    sweep.run(cells, store, slurm(parcel_seconds=60, at_once=2), place)
    (submission,) = submissions(store)
    assert submission.tasks == 8
    spans = [(r["started"], r["started"] + r["seconds"]) for r in map(store.get, cells)]
    assert max(sum(a <= start < b for a, b in spans) for start, _ in spans) <= 2


def test_cells_run_side_by_side_in_a_job_of_many_processors(store, place, make_cell, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(2)]
    running = InBackground(cells, place, job={"minutes": 20, "cpus": 2})
    wait_until(lambda: status(store).counts["running"] == 2, "two running cells")
    (tmp_path / "gate").touch()
    assert dict(running.result().counts) == {"ok": 2}
    (submission,) = submissions(store)
    assert submission.tasks == 1


def test_seeds_are_fitted_together(store, place, make_cell):
    cells = [make_cell(hostile("Joint"), seed=seed) for seed in range(6)]
    sweep.run(cells, store, slurm(parcel_seconds=240, together=4), place)
    assert sorted(record["together"] for record in map(store.get, cells)) == [2, 2, 4, 4, 4, 4]
    (submission,) = submissions(store)
    assert sorted(map(len, submission.keys)) == [2, 4]


def test_resources_of_a_generator_reach_its_job(store, place, make_cell):
    plain = make_cell(HONEST)
    asking = {**hostile("NamesItsGpu"), "resources": {"gpus": 1, "minutes": 7}}
    cells = [plain, make_cell(asking, seed=1)]
    sweep.run(cells, store, slurm(), place)
    by_gpus = {submission.request.gpus: submission for submission in submissions(store)}
    assert {gpus: s.request.minutes for gpus, s in by_gpus.items()} == {0: 20, 1: 7}
    assert store.get(cells[1])["status"] == "ok"  # it saw its GPU
    assert cells[1].key == make_cell(hostile("NamesItsGpu"), seed=1).key


# Environments of their own


def test_cells_abroad_find_their_environments_on_the_nodes(store, make_cell, foreign_cache):
    lily = {"environment": {"requirements": ["waterlily==1.2"]}}
    spec = resolve({**hostile("Traveller"), "_target_": "travellers.Traveller", **lily})
    cells = [*(make_cell(spec, seed=seed) for seed in range(4)), make_cell(HONEST, seed=9)]
    said = []
    place = Workplace(store.root, None, foreign_cache)
    progress = sweep.run(cells, store, slurm(), place, say=said.append)
    assert dict(progress.counts) == {"ok": 5}
    assert all(line == "making an environment of waterlily==1.2 (once)" for line in said)
    (submission,) = submissions(store)
    assert [known["key"] for known in submission.place.foreign] == [Environment.wanted_by(spec).key]
    record = store.get(cells[0])
    assert record["environment"]["foreign"]["generator"]["packages"]["waterlily"] == "1.2"


def test_a_cell_abroad_that_scancel_ends_is_no_failure(
    store, make_cell, foreign_cache, cluster, tmp_path
):
    spec = hostile("Waits", gate=str(tmp_path / "gate"))
    spec = resolve({**spec, "environment": {"requirements": ["waterlily==1.2"]}})
    cells = [make_cell(spec, seed=seed, limits={"seconds": 600.0}) for seed in range(2)]
    place = sweep.with_environments(
        cells, Workplace(store.root, None, foreign_cache), lambda text: None
    )
    running = InBackground(cells, place)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    cluster.run("scancel", "--user=root")
    progress = running.result()
    assert (progress.left, progress.missing) == (0, 2)
    assert not list((store.root / "records").glob("*/*.json"))


# Submit and leave, come back


def test_a_detached_sweep_is_watched_by_the_same_call(store, place, make_cell, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(4)]
    progress = sweep.run(cells, store, slurm(detach=True), place)
    assert (progress.left, progress.missing, progress.exit_code) == (4, 4, 0)
    counts = status(store).counts
    assert counts["queued"] + counts["running"] == 4
    (tmp_path / "gate").touch()
    progress = sweep.run(cells, store, slurm(), place)
    assert dict(progress.counts) == {"ok": 4}
    assert len(submissions(store)) == 1


def test_a_stopped_call_leaves_its_jobs_alone(store, place, make_cell, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(2)]
    running = InBackground(cells, place)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    running.stop = True
    assert running.result().left == 2
    (tmp_path / "gate").touch()
    sweep.run(cells, store, slurm(), place)
    assert len(submissions(store)) == 1


def test_cells_with_a_record_are_not_submitted(store, place, make_cell, tmp_path):
    cells = [make_cell(HONEST, seed=seed) for seed in range(4)]
    sweep.run(cells[:2], store, slurm(), place)
    sweep.run(cells, store, slurm(), place)
    first, second = submissions(store)
    assert [len(keys) for keys in first.keys] == [2]
    assert {key for keys in second.keys for key in keys} == {c.record_key for c in cells[2:]}


def test_cells_that_ended_badly_are_submitted_again_when_asked(store, place, make_cell):
    cells = [make_cell(hostile("Raises"))]
    sweep.run(cells, store, slurm(), place)
    sweep.run(cells, store, slurm(), place)
    assert len(submissions(store)) == 1
    sweep.run(cells, store, slurm(), place, retry=["failed"])
    assert len(submissions(store)) == 2
    assert store.get(cells[0])["status"] == "failed"


def test_cancelled_jobs_are_not_submitted_until_asked(store, place, make_cell, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(3)]
    running = InBackground(cells, place, parcel_seconds=60)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    assert len(cancel(store)) == 1
    progress = running.result()
    assert (progress.left, progress.missing) == (0, 3)
    assert status(store).counts == {"missing": 3}
    assert overview(store).arrays == []
    assert not list((store.root / "records").glob("*/*.json"))  # and none says "failed"
    again = sweep.run(cells, store, slurm(detach=True), place)
    assert again.left == 3


def test_scancel_from_outside_is_no_failure(store, place, make_cell, cluster, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(2)]
    running = InBackground(cells, place)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    cluster.run("scancel", "--user=root")
    progress = running.result()
    assert (progress.left, progress.missing) == (0, 2)
    assert len(submissions(store)) == 1


# Preemption, time limits, death


PATIENT = 120.0  # seconds in which SLURM surely puts a task back into the queue


def preempt(cluster):
    """Take both nodes for a moment, as somebody with more rights."""
    cluster.run("sbatch", "-p", "high", "-N2", "-c2", "-t1", "-o/dev/null", "--wrap", "sleep 1")


@pytest.mark.parametrize("partition", ["main", "warned"])
def test_a_preempted_cell_goes_on_where_it_was(
    partition, store, place, make_cell, cluster, tmp_path
):
    """In "main" by SIGTERM and five seconds later SIGKILL, in "warned" half a minute before."""
    cell = waiting(tmp_path, make_cell, "Patient", steps=30)
    job = {"minutes": 20, "partition": partition}
    running = InBackground([cell], place, job=job, settle_seconds=PATIENT)
    wait_until(lambda: len(trace()) == 10, "the first steps")
    preempt(cluster)
    (submission,) = submissions(store)
    wait_until(lambda: runs_of(submission) == 2, "the second run")
    (tmp_path / "gate").touch()
    assert dict(running.result().counts) == {"ok": 1}
    assert runs_of(submission) == 2
    assert len(trace()) == 30  # no step was done twice
    local = run_locally([cell], tmp_path / "local")
    assert_same_records(store, local, [cell])


def test_a_job_that_is_killed_without_a_word_is_submitted_again(
    store, place, make_cell, cluster, tmp_path
):
    cell = waiting(tmp_path, make_cell, "Patient", steps=30)
    running = InBackground([cell], place)
    wait_until(lambda: len(trace()) == 10, "the first steps")
    cluster.kill_job()
    (tmp_path / "gate").touch()
    assert dict(running.result().counts) == {"ok": 1}
    assert len(submissions(store)) == 2
    assert len(trace()) == 30
    assert_same_records(store, run_locally([cell], tmp_path / "local"), [cell])


def test_a_cell_that_ends_its_job_again_and_again_gets_a_record(store, place, make_cell):
    cells = [make_cell(hostile("KillsItsJob")), *(make_cell(HONEST, seed=s) for s in range(3))]
    progress = sweep.run(cells, store, slurm(retries=1), place)
    assert dict(progress.counts) == {"failed": 1, "ok": 3}
    reason = store.get(cells[0])["reason"]
    assert reason.startswith("its job ended 2 times while it ran, at last on n")


def test_a_time_limit_ends_what_would_never_end_and_nothing_else(store, place, make_cell, tmp_path):
    """SLURM warns a job of two minutes when half a minute is over, or a whole one."""
    patient = waiting(tmp_path, make_cell, "Patient", steps=30)
    endless = make_cell(hostile("Slow", seconds=500), limits={"seconds": 600.0})
    limits = {"parcel_seconds": 60, "job": {"minutes": 2}, "settle_seconds": PATIENT}
    running = InBackground([patient, endless], place, **limits)
    (submission,) = wait_until(lambda: submissions(store), "a submission")
    wait_until(lambda: any(runs_of(submission, task) == 2 for task in (0, 1)), "the second run")
    (tmp_path / "gate").touch()
    assert dict(running.result().counts) == {"ok": 1, "timeout": 1}
    assert store.get(endless)["reason"].startswith("train left no checkpoint in a job of 2 minutes")
    assert len(trace()) == 30
    assert len(submissions(store)) == 1


def test_a_node_that_disappears_costs_one_cell_at_most(store, place, make_cell, cluster, tmp_path):
    cells = [waiting(tmp_path, make_cell, seed=seed) for seed in range(6)]
    running = InBackground(cells, place, parcel_seconds=60, settle_seconds=PATIENT)
    wait_until(lambda: status(store).counts["running"] == 4, "four running cells")
    cluster.kill_node("n1")
    (tmp_path / "gate").touch()
    try:
        assert dict(running.result().counts) == {"ok": 6}
    finally:
        cluster.start_node("n1")
    assert len(submissions(store)) == 1  # SLURM itself put the tasks back


def test_jobs_that_cannot_begin_are_an_error_and_no_records(store, place, make_cell):
    cells = [make_cell(HONEST, seed=seed) for seed in range(2)]
    setup = ["echo there is no such module >&2", "exit 3"]
    with pytest.raises(ClusterError, match=r"before their first cell \(there is no such module\)"):
        sweep.run(cells, store, slurm(setup=setup, retries=1), place)
    assert status(store).counts == {"missing": 2}
    assert dict(sweep.run(cells, store, slurm(), place).counts) == {"ok": 2}


def test_what_slurm_refuses_is_said_in_its_words(store, place, make_cell):
    with pytest.raises(ClusterError, match="invalid partition"):
        sweep.run([make_cell(HONEST)], store, slurm(job={"partition": "none"}), place)
    assert list(store.expected())
    assert overview(store).arrays == []


# A search whose trials are shared


@pytest.mark.parametrize(
    ("total", "kills"), [(40, 3), pytest.param(200, 12, marks=pytest.mark.slow)]
)
def test_jobs_that_share_a_search_and_are_killed_end_it_with_the_right_number(
    total, kills, store, place, make_cell, cluster
):
    cell = make_cell(searched.spec(), tuning=searched.tuning(total, shared=True))
    journal = store.journal_path(cell.train_key)
    running = InBackground([cell], place, retries=kills)
    for kill in range(1, kills + 1):
        due = kill * total // (kills + 2)
        wait_until(lambda due=due: trials_of(journal)["COMPLETE"] >= due, f"{due} trials")
        cluster.kill_job()
    assert dict(running.result().counts) == {"ok": 1}
    trials = store.get(cell)["tuning"]["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * total
    states = trials_of(journal)
    assert states["COMPLETE"] == total
    assert not states["RUNNING"]
    first, *_ = submissions(store)
    assert first.tasks == 4
    assert len(first.journals()) > 1  # more than one of them took part


def trials_of(journal):
    """Count the trials of a study by their states, as Optuna itself reads them."""
    if not journal.exists():
        return Counter()
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    with contextlib.suppress(KeyError):  # no study yet
        return Counter(
            t.state.name for t in optuna.load_study(study_name=NAME, storage=storage).trials
        )
    return Counter()


# Faults of the Store


def test_two_sweeps_on_one_store_lose_nothing(store, make_cell, tmp_path):
    cells = [make_cell(hostile("Slow", seconds=0.2), seed=seed) for seed in range(8)]
    drivers = [
        start_slurm_driver(cells, store.root, tmp_path, parcel_seconds=120) for _ in range(2)
    ]
    for driver in drivers:
        _, errors = driver.communicate(timeout=600)
        assert driver.returncode == 0, errors
    assert status(store).counts == {"ok": 8}
    assert not (store.root / "corrupt").exists()


def test_a_job_may_die_between_any_two_steps_of_writing_a_record(
    store, place, make_cell, monkeypatch, tmp_path
):
    import faults

    struck = tmp_path / "struck"
    struck.mkdir()
    monkeypatch.setenv("SYNTHARENA_STRUCK", str(struck))
    cells = [make_cell(preloading("faults"), seed=seed) for seed in range(8)]
    progress = sweep.run(cells, store, slurm(retries=8, parcel_seconds=60), place)
    assert {path.name for path in struck.iterdir()} == set(faults.POINTS)
    assert dict(progress.counts) == {"ok": 8}
    assert not (store.root / "corrupt").exists()
    assert_same_records(store, run_locally(cells, tmp_path / "local"), cells)


def test_a_clock_that_jumps_changes_nothing(store, place, make_cell, monkeypatch, tmp_path):
    import jumping

    cells = [make_cell(preloading("jumping"), seed=seed) for seed in range(6)]  # on the nodes
    local = run_locally(cells, tmp_path / "local")
    with monkeypatch.context() as patch:
        patch.setattr("time.time", jumping.Clock())  # and here
        progress = sweep.run(cells, store, slurm(), place)
    assert dict(progress.counts) == {"ok": 6}
    assert_same_records(store, local, cells)


def test_a_full_disk_stops_the_sweep_and_nothing_is_torn(make_cell, tmp_path, small_disk):
    cells = [make_cell(HONEST, seed=seed) for seed in range(60)]
    store = Store(small_disk / "runs")
    place = Workplace(store.root, None, tmp_path / "cache")
    with pytest.raises((OSError, RuntimeError), match=r"[Nn]o space left|can no longer be written"):
        sweep.run(cells, store, slurm(settle_seconds=0.5), place)
    for path in store.root.rglob("*.json"):
        assert path.stat().st_size  # whole, or not there
    grow(small_disk)
    progress = sweep.run(cells, store, slurm(), place)
    assert dict(progress.counts) == {"ok": 60}
    assert not (store.root / "corrupt").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def grow(folder):
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


# From the command line


@pytest.fixture
def syntharena(tmp_path, monkeypatch):
    """Return a function that runs a command in a process and a folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SYNTHARENA_DATA", raising=False)

    def run(*words, code=0):
        command = [sys.executable, "-m", "syntharena.bench.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


GRID = ["run", "-m", "generator=independent,train_copy", "dataset=german_credit", "seed=0,1"]
GRID += ["suite=quick", "tracking=none", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=0.3"]


def test_a_sweep_from_any_shell(syntharena, tmp_path, cluster):
    plan = syntharena(*GRID, "--dry-run")
    assert "4 cells, 0 already done, 4 to run" in plan
    assert "--array=0-0" in plan
    assert not (tmp_path / "results").exists()
    cluster.run("scontrol", "update", "partitionname=main", "state=down")  # nothing starts
    try:
        output = syntharena(*GRID, "hydra.launcher.detach=true")
        assert "4 are in the queue or running; look at them: syntharena status" in output
        assert f"wait for them: syntharena {' '.join(GRID)}; end" in output  # without detach
        assert re.search(r"4 queued\n.*tasks 1 pending", syntharena("status", code=1), re.DOTALL)
        assert "cancelled syntharena-" in syntharena("cancel")
        output = syntharena("status", code=1)
        assert "4 missing" in output
        assert "complete what is missing: syntharena retry" in output
    finally:
        cluster.run("scontrol", "update", "partitionname=main", "state=up")
    output = syntharena("retry")
    assert "4 of 4 cells have a record: 4 ok" in output
    assert "4 ok" in syntharena("status")
    assert "4 cells, 4 already done, 0 to run" in syntharena(*GRID)
    local = [word for word in GRID if "launcher" not in word]
    syntharena(*local, "paths.results=local")
    assert board_text(Store(tmp_path / "local")) == board_text(Store(tmp_path / "results/runs"))


@pytest.mark.slow
def test_fifty_kills_leave_the_same_board(store, make_cell, cluster, tmp_path):
    """Fault F1: driver, tasks and whole nodes, at arbitrary instants."""
    import random
    import time

    draw = random.Random(5)
    cells = [make_cell(hostile("Patient", steps=5, seconds=0.05), seed=s) for s in range(300)]
    settings = {"parcel_seconds": 300, "retries": 60}
    driver = start_slurm_driver(cells, store.root, tmp_path, **settings)
    for kill in range(50):
        wait_until(lambda kill=kill: len(store.record_paths()) >= 5 * kill, f"{5 * kill} records")
        time.sleep(draw.uniform(0.0, 1.0))
        if draw.random() < 0.4 or not (found := sorted(cluster.processes())):
            driver.kill()
            driver.communicate()
            driver = start_slurm_driver(cells, store.root, tmp_path, **settings)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(found), signal.SIGKILL)
    output, errors = driver.communicate(timeout=900)
    if driver.returncode != 0:  # a cell whose worker was killed is a record, and run again
        place = Workplace(store.root, None, tmp_path / "cache")
        sweep.run(cells, store, slurm(**settings), place, retry=["failed"])
    assert status(store).counts == {"ok": 300}, (output, errors)
    assert not (store.root / "corrupt").exists()
    local = run_locally(cells, tmp_path / "local")
    assert board_text(store) == board_text(local)
    assert_same_records(store, local, cells)
