"""A cell that is killed in training goes on from its checkpoint and ends as an unbroken one."""

import os
import pickle
import signal
import time
from pathlib import Path

import pytest
import restless
from driver import start_driver, wait_for_nobody

from syntharena.bench.running import environment, models, stages, sweep
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.running.worker import Worker
from syntharena.bench.store import Store
from syntharena.generators.networks.training import REPORT

pytest.importorskip("torch")

NO_LIMIT = {"seconds": None}


def spec(version=1, **hyperparameters):
    about = {"name": "restless", "version": version, "preload": ["torch"]}
    return {"_target_": "restless.Restless", "about": about, **hyperparameters}


@pytest.fixture
def worker(store, tmp_path):
    return Worker(store, None, tmp_path / "cache")


@pytest.fixture
def strike(monkeypatch):
    """Return a function that says what happens to trainings; without an argument, nothing."""
    return lambda how=None: monkeypatch.setattr(restless.Restless, "strikes", (how,) if how else ())


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    time.sleep(3600)


def fill_memory():
    hoard = []
    while True:
        hoard.append(b"x" * 20_000_000)


def fail():
    raise ValueError("of course")


def run_out():
    raise MemoryError


def run(worker, cell, **options):
    """Run a cell, again if it has a record; return the record and the steps that were reported."""
    messages = []
    worker.store.supersede(cell)
    record = worker.run(cell, messages.append, **options)
    return record, [message["step"] for message in messages if "step" in message]


def checkpoint_of(worker, cell):
    return worker.store.checkpoint_path(cell.train_key)


def table_of(store, record):
    return store.table_path(record["synthetic"]["sha256"]).read_bytes()


@pytest.fixture(scope="module")
def unbroken():
    """Return a function that gives the bytes of the table of a cell that nothing interrupts."""
    known = {}

    def table(cell, folder):
        if cell.key not in known:
            worker = Worker(Store(folder / "unbroken"), None, folder / "cache")
            record, steps = run(worker, cell)
            assert (record["status"], steps[0]) == ("ok", REPORT)
            assert not checkpoint_of(worker, cell).exists()
            known[cell.key] = table_of(worker.store, record)
        return known[cell.key]

    return table


def test_a_killed_sweep_goes_on_in_the_middle_of_a_training(
    make_cell, tmp_path, monkeypatch, unbroken
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"))
    cell = make_cell(spec(least_steps=1000), limits=NO_LIMIT)
    store = Store(tmp_path / "broken")
    path = store.checkpoint_path(cell.train_key)
    driver = start_driver([cell], store.root, tmp_path)
    while not path.exists() and driver.poll() is None:
        time.sleep(0.005)
    driver.kill()
    _, errors = driver.communicate()
    wait_for_nobody(store.root)
    assert path.exists(), errors
    assert store.get(cell) is None
    left = models.Checkpoint(path)
    saved, _ = left.load()
    assert 0 < saved < 1000
    seen = []

    class Watcher:
        def begin(self, progress):
            pass

        def on_event(self, cell, event):
            seen.append(event.get("event", {}).get("step"))

    place = Workplace(store.root, None, tmp_path / "cache")
    sweep.run([cell], store, Local(1), place, watchers=[Watcher()])
    assert next(filter(None, seen)) == saved + REPORT
    record = store.get(cell)
    assert record["status"] == "ok", record["reason"]
    assert table_of(store, record) == unbroken(cell, tmp_path)
    assert not list(path.parent.iterdir())
    for kind, before in left.cost.items():
        assert 0 < before < record["cost"][kind]
    assert record["cost"]["fit_seconds"] < left.cost["fit_seconds"] + record["seconds"]


@pytest.mark.parametrize(
    ("how", "limits", "status"),
    [
        (die, [{}], "failed"),
        (hang, [{"seconds": 3.0}, {"seconds": 60.0}], "timeout"),  # the second for a slow machine
        (fill_memory, [{"memory_mib": 600}], "oom"),
        (hang, [{}], "preempted"),
    ],
)
def test_a_training_goes_on_however_it_was_cut_short(
    worker, make_cell, tmp_path, strike, unbroken, how, limits, status
):
    strike(how)
    cell = make_cell(spec(), limits=NO_LIMIT)
    path = checkpoint_of(worker, cell)
    wanted = "stop" if status == "preempted" else ""
    for limit in limits:
        limited = make_cell(spec(), limits=NO_LIMIT | limit)
        record, _ = run(worker, limited, stopped=lambda: wanted if path.exists() else "")
        assert (record["status"], record["stage"]) == (status, "train")
        if path.exists():
            break
    strike()
    saved, _ = models.Checkpoint(path).load()
    record, steps = run(worker, cell)
    assert record["status"] == "ok", record["reason"]
    assert steps[0] == saved + REPORT
    assert table_of(worker.store, record) == unbroken(cell, tmp_path)
    assert not path.exists()


@pytest.fixture
def killed(worker, make_cell, strike):
    """Return a cell that was killed in training, and the path of its checkpoint."""
    strike(die)
    cell = make_cell(spec(), limits=NO_LIMIT)
    run(worker, cell)
    strike()
    return cell, checkpoint_of(worker, cell)


@pytest.mark.parametrize(
    ("hyperparameters", "options"),
    [({}, {"seed": 1}), ({"latent": 3}, {}), ({"version": 2}, {})],
)
def test_no_other_cell_takes_a_checkpoint(worker, make_cell, killed, hyperparameters, options):
    _, path = killed
    other = make_cell(spec(**hyperparameters), limits=NO_LIMIT, **options)
    record, steps = run(worker, other)
    assert (record["status"], steps[0]) == ("ok", REPORT)
    assert path.exists()


def test_a_torn_checkpoint_is_a_fresh_start(worker, tmp_path, killed, unbroken):
    cell, path = killed
    path.write_bytes(path.read_bytes()[:-1000])
    record, steps = run(worker, cell)
    assert (record["status"], steps[0]) == ("ok", REPORT)
    assert table_of(worker.store, record) == unbroken(cell, tmp_path)


@pytest.mark.parametrize(("how", "status", "stays"), [(fail, "failed", 0), (run_out, "oom", 1)])
def test_a_training_that_fails_begins_anew(worker, make_cell, strike, how, status, stays):
    """It would fail again, or be mended half way; memory may be free the next time."""
    strike(how)
    cell = make_cell(spec(), limits=NO_LIMIT)
    record, _ = run(worker, cell)
    assert record["status"] == status
    assert checkpoint_of(worker, cell).exists() == stays


def test_nothing_is_left_of_a_cell_killed_right_after_its_training(worker, make_cell, monkeypatch):
    cell = make_cell(spec(), limits=NO_LIMIT)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "MODEL_SECONDS", 0.0)
        patch.setattr(models.Checkpoint, "drop", lambda self: die())
        record, _ = run(worker, cell)
    assert record["stage"] == "train"
    assert checkpoint_of(worker, cell).exists()
    record, steps = run(worker, cell)
    assert (record["status"], steps) == ("ok", [])
    assert not list(checkpoint_of(worker, cell).parent.iterdir())


# The file alone


@pytest.fixture
def saved(tmp_path):
    """Return the path of a checkpoint that can be loaded."""
    path = tmp_path / "state"
    models.Checkpoint(path, seconds=0).save(lambda: [1, 2])
    assert models.Checkpoint(path).load() == [1, 2]
    return path


class Gone:
    """A class that cannot be found when its pickle is loaded."""


def of_a_class_that_is_gone(content):
    packed = pickle.dumps(Gone()).replace(b"Gone", b"Lost")
    return models._sign(packed) + packed


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        of_a_class_that_is_gone,
    ],
)
def test_a_damaged_checkpoint_is_none(saved, damage):
    saved.write_bytes(damage(saved.read_bytes()))
    assert models.Checkpoint(saved).load() is None


@pytest.mark.parametrize("changed", [{"git": "0123456789ab"}, {"packages": {"torch": "1.0"}}])
def test_a_checkpoint_of_other_software_is_none(saved, monkeypatch, changed):
    described = environment.describe() | changed
    monkeypatch.setattr(environment, "describe", lambda: described)
    assert models.Checkpoint(saved).load() is None


def test_a_checkpoint_of_another_processor_is_none(saved, monkeypatch):
    monkeypatch.setattr(environment, "gpu", lambda: "H100")
    assert models.Checkpoint(saved).load() is None


def test_a_state_that_cannot_be_pickled_is_not_kept(saved):
    models.Checkpoint(saved, seconds=0).save(lambda: lambda: None)
    assert models.Checkpoint(saved).load() == [1, 2]


def test_savings_are_some_time_apart(saved):
    models.Checkpoint(saved, seconds=3600).save(lambda: [3])
    assert models.Checkpoint(saved).load() == [1, 2]
