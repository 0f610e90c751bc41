"""Sweeps on a pool: resume, kills, stops, races (faults F1, F3, F6)."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from driver import processes_of, start_driver, wait_for_nobody
from sweeps import HONEST, board_text, hostile

from syntharena.bench.commands.status import status
from syntharena.bench.data.datasets import DatasetError
from syntharena.bench.running import sweep
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.running.processors import slots, taken
from syntharena.bench.store import Store, StoreError

pytestmark = pytest.mark.usefixtures("generators_can_be_imported")


def test_a_crash_never_takes_the_sweep_down(store, place, make_cell):
    names = ["Segfaults", "ExitsAtOnce", "Raises", "WrongOutput", "Honest", "AsksTooMuch"]
    cells = [make_cell(hostile(name), seed=seed) for name in names for seed in (0, 1)]
    progress = sweep.run(cells, store, Local(workers=2), place)
    assert dict(progress.counts) == {"failed": 6, "invalid_output": 2, "ok": 2, "oom": 2}
    assert progress.missing == 0


def test_a_finished_sweep_runs_nothing(store, place, make_cell):
    cells = [make_cell(HONEST, seed=seed) for seed in range(4)]
    sweep.run(cells, store, Local(workers=2), place)

    class Never:
        def run(self, *args, **kwargs):
            pytest.fail("a finished sweep started its launcher")

    again = sweep.run(cells, store, Never(), place)
    assert dict(again.counts) == {"ok": 4}


def test_a_larger_sweep_runs_only_what_is_new(store, place, make_cell):
    sweep.run([make_cell(HONEST, seed=seed) for seed in range(2)], store, Local(1), place)
    started = []

    class Watcher:
        def begin(self, progress):
            pass

        def on_event(self, cell, event):
            if "started" in event:
                started.append(cell.seeds["train"])

    cells = [make_cell(HONEST, seed=seed) for seed in range(4)]
    sweep.run(cells, store, Local(1), place, watchers=[Watcher()])
    assert sorted(started) == [2, 3]


def test_failed_cells_run_again_only_when_asked(store, place, make_cell):
    cells = [make_cell(hostile("Raises"))]
    sweep.run(cells, store, Local(1), place)
    before = store.get(cells[0])["started"]
    sweep.run(cells, store, Local(1), place)
    assert store.get(cells[0])["started"] == before
    sweep.run(cells, store, Local(1), place, retry=["failed"])
    assert store.get(cells[0])["started"] > before
    assert len(list((store.root / "superseded").iterdir())) == 1


def test_nothing_starts_when_a_table_or_a_class_is_wrong(store, place, make_cell, toy):
    pins = {**toy["pins"], "sha256": "0" * 64}
    with pytest.raises(DatasetError, match="sha256"):
        sweep.run([make_cell(dataset={**toy, "pins": pins})], store, Local(1), place)
    with pytest.raises(ValueError, match="cannot be imported"):
        sweep.run([make_cell(hostile("Nobody"))], store, Local(1), place)
    assert not store.root.exists()


def test_a_results_folder_that_cannot_be_written_fails_before_training(tmp_path, make_cell):
    blocker = tmp_path / "file"
    blocker.write_text("")
    store = Store(blocker / "runs")
    with pytest.raises(StoreError, match=r"paths\.results"):
        sweep.run([make_cell(HONEST)], store, Local(1), Workplace(store.root, None, tmp_path))


def test_a_results_folder_that_is_lost_midway_stops_the_sweep(store, place, make_cell):
    class Blocker:
        def begin(self, progress):
            pass

        def on_event(self, cell, event):
            records = store.root / "records"
            if "event" in event and not records.exists():
                records.write_text("")  # from now on no record can be written

    with pytest.raises(StoreError, match=r"paths\.results can no longer be written .*records"):
        sweep.run([make_cell(HONEST)], store, Local(1), place, watchers=[Blocker()])


def test_a_worker_that_is_killed_costs_one_cell(store, place, make_cell):
    cells = [make_cell(hostile("Slow", seconds=3), seed=0)]
    cells += [make_cell(HONEST, seed=seed) for seed in (1, 2)]

    progress = sweep.run(cells, store, Local(1), place, watchers=[Killer(cells[0], 1)])
    assert dict(progress.counts) == {"failed": 1, "ok": 2}
    assert store.get(cells[0])["reason"] == "its worker process was killed"


def test_a_cell_whose_worker_is_killed_goes_on_where_it_was(
    store, place, make_cell, monkeypatch, tmp_path
):
    trace = tmp_path / "trace"
    monkeypatch.setenv("SYNTHARENA_TRACE", str(trace))
    cell = make_cell(hostile("Patient", steps=30))
    killer = Killer(cell, 5)
    progress = sweep.run([cell], store, Local(1), place, watchers=[killer])
    assert dict(progress.counts) == {"ok": 1}
    assert killer.killed
    assert len(trace.read_text().split()) <= 31  # at most the step in hand was done twice


class Killer:
    """Kills the worker of a cell that reports a step, once."""

    def __init__(self, cell, step):
        self.cell, self.step, self.killed = cell, step, False

    def begin(self, progress):
        pass

    def on_event(self, cell, event):
        reached = event.get("event", {}).get("step", 0)
        if cell is self.cell and reached >= self.step and not self.killed:
            os.kill(parent_of(cell_process()), signal.SIGKILL)
            self.killed = True


def cell_process():
    """The deepest descendant: launcher -> nursery -> worker -> cell."""
    from syntharena.bench import process

    return list(process.descendants())[-1]


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_workers_never_share_processors_that_were_asked_for():
    assert slots([0, 1, 2, 3], 2, 2) == [(0, 1), (2, 3)]
    assert slots([4, 9], 2, 1) == [(4,), (9,)]
    assert slots([0, 1], 3, 1) == [(0, 1)] * 3


@pytest.fixture
def four(monkeypatch, tmp_path):
    """A machine of four processors that nobody else has taken any of."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 3, 5, 7})
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_least_taken_processors_are_taken(four):
    with taken(1) as first, taken(2) as second:
        assert (first, second) == ([2], [3, 5])
        with taken(3) as third, taken(9) as fourth, taken(1) as fifth:
            assert (third, fourth, fifth) == ([2, 3, 7], [2, 3, 5, 7], [5])
        with taken(1) as sixth:
            assert sixth == [7]
    with taken(2) as seventh:
        assert seventh == [2, 3]


def test_who_is_killed_gives_his_processors_back(four, tmp_path):
    code = (
        "import os, sys, tempfile, time; from syntharena.bench.running.processors import taken;"
        "tempfile.tempdir = sys.argv[1]; os.sched_getaffinity = lambda pid: {2, 3, 5, 7};"
        "block = taken(3); print(block.__enter__(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"[2, 3, 5]\n"
        with taken(2) as beside:
            assert beside == [2, 7]
        other.kill()
        other.wait()
    with taken(2) as after:
        assert after == [2, 3]


def test_where_nobody_can_be_asked_the_first_are_taken(four, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with taken(2) as first, taken(2) as second:
        assert first == second == [2, 3]


def test_a_folder_without_locks_stops_no_sweep(four, monkeypatch):
    def refuse(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with taken(2) as first, taken(2) as second:
        assert first == second == [2, 3]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a single processor")
def test_sweeps_side_by_side_have_different_processors(make_cell, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notes = tmp_path / "notes"
    cells = [make_cell(hostile("Bound", note=str(notes)), seed=seed) for seed in range(2)]
    store = Store(tmp_path / "runs")
    place = Workplace(store.root, None, tmp_path / "cache")
    with taken(1) as others:
        sweep.run(cells, store, Local(1), place)
    found = [json.loads(line) for line in notes.read_text().splitlines()]
    assert len(found) == 2
    assert all(len(own) == 1 and own != others for own in found)


def kill_and_resume(make_cell, tmp_path, *, seeds, kills, seconds):
    """Kill a sweep at arbitrary instants, finish it, and compare with an unbroken one."""
    cells = [make_cell(hostile("Slow", seconds=0.1), seed=seed) for seed in range(seeds)]
    unbroken = Store(tmp_path / "unbroken")
    sweep.run(cells, unbroken, Local(2), Workplace(unbroken.root, None, tmp_path / "cache"))
    broken = Store(tmp_path / "broken")
    clock = random.Random(11)
    for _ in range(kills):
        driver = start_driver(cells, broken.root, tmp_path)
        time.sleep(clock.uniform(0.5, seconds))
        assert driver.pid in processes_of(broken.root)
        driver.kill()
        driver.communicate()
        wait_for_nobody(broken.root)
    driver = start_driver(cells, broken.root, tmp_path)
    output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert output.strip() == "0"
    assert board_text(broken) == board_text(unbroken)
    assert not (broken.root / "corrupt").exists()
    for cell in cells:
        assert broken.get(cell)["synthetic"] == unbroken.get(cell)["synthetic"]


def test_a_sweep_killed_five_times_ends_with_the_same_board(make_cell, tmp_path):
    kill_and_resume(make_cell, tmp_path, seeds=24, kills=5, seconds=2.0)


@pytest.mark.slow
def test_a_sweep_killed_fifty_times_ends_with_the_same_board(make_cell, tmp_path):
    kill_and_resume(make_cell, tmp_path, seeds=200, kills=50, seconds=3.0)


def test_a_stopped_sweep_leaves_preempted_cells_and_goes_on(make_cell, tmp_path):
    cells = [make_cell(hostile("Slow", seconds=4), seed=seed) for seed in range(4)]
    root = tmp_path / "runs"
    driver = start_driver(cells, root, tmp_path)
    deadline = time.monotonic() + 30
    while len(Store(root).running()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status(Store(root)).counts["running"] == 2
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130, errors
    counts = status(Store(root)).counts
    assert counts == {"preempted": 2, "missing": 2}
    again = start_driver(cells, root, tmp_path)
    again.communicate(timeout=120)
    assert status(Store(root)).counts == {"ok": 4}


def test_two_sweeps_on_one_store_lose_nothing(make_cell, tmp_path):
    cells = [make_cell(hostile("Slow", seconds=0.1), seed=seed) for seed in range(12)]
    root = tmp_path / "runs"
    drivers = [start_driver(cells, root, tmp_path) for _ in range(2)]
    for driver in drivers:
        _, errors = driver.communicate(timeout=120)
        assert driver.returncode == 0, errors
    assert status(Store(root)).counts == {"ok": 12}
    assert not (root / "corrupt").exists()
