"""MLflow: live, complete, rebuildable, and never in the way (fault F13)."""

import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import searched

from syntharena.bench import tracking
from syntharena.bench.boards import leaderboard, render
from syntharena.bench.running import sweep
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace

pytestmark = pytest.mark.usefixtures("generators_can_be_imported")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An MLflow database without runs; making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    tracking._client(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(store, empty_database):
    store.prepare()
    shutil.copy(empty_database, store.root / "mlflow.db")
    return tracking.tracking_uri(None, store.root)


def slow(seconds=0.0):
    return {"_target_": "hostile.Slow", "seconds": seconds, "about": {"version": 1, "name": "slow"}}


def run(store, cells, uri, workers=2, warn=None):
    warnings = []
    tracker = tracking.Tracker(store, uri, "syntharena", warn or warnings.append)
    place = Workplace(store.root, None, store.root / "cache")
    progress = sweep.run(cells, store, Local(workers), place, watchers=[tracker])
    tracker.close()
    return progress, warnings


def boards(store, uri):
    """The board from the Store and the one from MLflow."""
    texts = []
    for records, expected in (
        (list(store.records()), list(store.expected())),
        tracking.read(uri, "syntharena"),
    ):
        texts.append(render.to_markdown(leaderboard.compile(records, expected)))
    return texts


def all_runs(uri):
    client = tracking._client(uri)
    experiment = client.get_experiment_by_name("syntharena").experiment_id
    return list(tracking._runs(client, experiment, ""))


def test_a_cell_is_a_parent_run_with_three_children(store, uri, make_cell):
    cell = make_cell(slow(0.6))
    _, warnings = run(store, [cell], uri)
    assert warnings == []
    runs = all_runs(uri)
    (parent,) = (r for r in runs if r.data.tags.get(tracking.KIND_TAG) == "cell")
    children = {
        r.info.run_name: r
        for r in runs
        if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert set(children) == {"train", "sample", "evaluate"}
    assert {r.info.status for r in (parent, *children.values())} == {"FINISHED"}
    record = store.get(cell)
    assert parent.data.metrics["shape_score"] == record["metrics"]["shape_score"]
    assert parent.data.params["dataset"] == "toy"
    assert parent.data.params["generator.seconds"] == "0.6"
    assert parent.data.tags["syntharena.status"] == "ok"
    assert parent.data.tags[tracking.KEY_TAG] == cell.record_key
    assert parent.data.tags["syntharena.dataset_sha256"] == cell.dataset["pins"]["sha256"]
    client = tracking._client(uri)
    curve = client.get_metric_history(children["train"].info.run_id, "loss")
    assert [point.step for point in curve][-1] == 5
    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert names == {"record.json", "synthetic"}


def test_a_search_is_a_run_of_its_own_with_every_trial(store, uri, make_cell):
    cell = make_cell(searched.spec(), tuning=searched.tuning(4))
    _, warnings = run(store, [cell], uri)
    assert warnings == []
    record = store.get(cell)
    client = tracking._client(uri)
    (found,) = (r for r in all_runs(uri) if r.info.run_name == "tune")
    assert found.info.status == "FINISHED"
    assert found.data.params["chosen.noise"] == str(record["tuning"]["chosen"]["noise"])
    assert found.data.metrics["best"] == record["tuning"]["best"]
    assert found.data.metrics["tuning_seconds"] == record["cost"]["tuning_seconds"]
    values = client.get_metric_history(found.info.run_id, "trial.value")
    assert [v.value for v in values] == [t["value"] for t in record["tuning"]["trials"]]
    live = client.get_metric_history(found.info.run_id, "objective")
    assert live[-1].value == record["tuning"]["best"]
    assert [item.path for item in client.list_artifacts(found.info.run_id)] == ["search.json"]
    assert boards(store, uri)[0] == boards(store, uri)[1]


def test_losses_appear_while_the_cell_trains(store, uri, make_cell):
    seen = threading.Event()

    class Peek:
        def begin(self, progress):
            pass

        def on_event(self, cell, event):
            if "done" in event:
                seen.set()

    found = []

    def look():
        client = tracking._client(uri)
        while not seen.wait(0.3):
            experiment = client.get_experiment_by_name("syntharena")
            if experiment is None:
                continue
            for run_ in tracking._runs(client, experiment.experiment_id, ""):
                if run_.info.status == "RUNNING" and "loss" in run_.data.metrics:
                    found.append(run_.data.metrics["loss"])

    watcher = threading.Thread(target=look)
    watcher.start()
    tracker = tracking.Tracker(store, uri, "syntharena", pytest.fail)
    place = Workplace(store.root, None, store.root / "cache")
    sweep.run([make_cell(slow(5.0))], store, Local(1), place, watchers=[tracker, Peek()])
    tracker.close()
    watcher.join()
    assert found


def test_eight_workers_at_once_lose_nothing_and_both_boards_are_equal(store, uri, make_cell):
    cells = [make_cell(slow(), seed=seed) for seed in range(24)]
    cells += [make_cell({"_target_": "hostile.Raises", "about": {"version": 1, "name": "bad"}})]
    _, warnings = run(store, cells, uri, workers=8)
    assert warnings == []
    runs = [r for r in all_runs(uri) if r.data.tags.get(tracking.KIND_TAG) == "cell"]
    assert sorted(r.data.tags[tracking.KEY_TAG] for r in runs) == sorted(
        cell.record_key for cell in cells
    )
    from_store, from_mlflow = boards(store, uri)
    assert from_store == from_mlflow


def fresh_process(*arguments):
    """Run a command by itself, because a process keeps its connection to a lost database."""
    done = subprocess.run(
        [sys.executable, "-m", "syntharena.bench.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("damage", ["deleted", "corrupted"])
def test_a_lost_database_is_rebuilt_from_the_store(store, uri, make_cell, tmp_path, damage):
    cells = [make_cell(slow(), seed=seed) for seed in range(3)]
    run(store, cells, uri)
    database = store.root / "mlflow.db"
    if damage == "deleted":
        database.unlink()
    else:
        database.write_bytes(b"this is no database" * 1000)
    for _ in range(2):  # a second rebuild adds nothing
        assert fresh_process("mlflow", "rebuild", "--results", store.root).startswith("3 records")
    fresh_process("leaderboard", "--results", store.root, "--out", tmp_path / "a")
    fresh_process("leaderboard", "--from-mlflow", uri, "--out", tmp_path / "b")
    for page in (tmp_path / "a").iterdir():
        assert page.read_bytes() == (tmp_path / "b" / page.name).read_bytes()


def test_who_is_killed_while_the_database_is_made_leaves_none(store, make_cell, tmp_path):
    store.prepare()
    uri = tracking.tracking_uri(None, store.root)
    making = tmp_path / "making"
    making.mkdir()
    code = f"from syntharena.bench import tracking; tracking._client({uri!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(making)}
    )
    while not any(path.stat().st_size for path in making.glob("*/mlflow.db")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(store.root.glob("mlflow.db*"))
    progress, warnings = run(store, [make_cell(slow())], uri)
    assert (dict(progress.counts), warnings) == ({"ok": 1}, [])
    assert len(tracking.read(uri, "syntharena")[0]) == 1


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///runs/mlflow.db", "runs/mlflow.db"),
        ("sqlite:////tmp/mlflow.db?timeout=60", "/tmp/mlflow.db"),
        ("http://127.0.0.1:5000", None),
        ("postgresql://host/name", None),
    ],
)
def test_the_file_of_a_database_is_read_off_its_uri(uri, file):
    assert tracking.database_of(uri) == (file and Path(file))


def test_a_corrupt_database_warns_once_and_the_sweep_ends(store, make_cell):
    store.prepare()
    (store.root / "mlflow.db").write_bytes(b"this is no database" * 1000)
    cells = [make_cell(slow(), seed=seed) for seed in range(3)]
    progress, warnings = run(store, cells, tracking.tracking_uri(None, store.root))
    assert dict(progress.counts) == {"ok": 3}
    (warning,) = warnings
    assert "syntharena mlflow rebuild" in warning
    assert "\n" not in warning


def test_a_server_that_refuses_warns_once_and_the_sweep_ends(store, make_cell):
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        uri = f"http://127.0.0.1:{server.server_port}"
        progress, warnings = run(store, [make_cell(slow())], uri)
    finally:
        server.shutdown()
    assert dict(progress.counts) == {"ok": 1}
    assert len(warnings) == 1


def test_a_later_sweep_makes_up_for_what_mlflow_missed(store, uri, make_cell):
    cells = [make_cell(slow(), seed=seed) for seed in range(3)]
    place = Workplace(store.root, None, store.root / "cache")
    sweep.run(cells[:2], store, Local(1), place)
    run(store, cells, uri)
    keys = {r.data.tags.get(tracking.KEY_TAG) for r in all_runs(uri)}
    assert {cell.record_key for cell in cells} <= keys


def test_a_finished_sweep_does_not_wake_mlflow(store, uri, make_cell, monkeypatch):
    cells = [make_cell(slow(), seed=seed) for seed in range(2)]
    run(store, cells, uri)
    monkeypatch.setattr(tracking, "_client", lambda uri: pytest.fail("MLflow was woken"))
    _, warnings = run(store, cells, uri)
    assert warnings == []


def test_hostile_names_reach_mlflow_as_text(store, uri, make_cell, toy):
    name = "../x\n=CMD()<script>|${oc.env:HOME}"
    cell = make_cell(slow(), dataset={**toy, "name": name}, label=name)
    _, warnings = run(store, [cell], uri)
    assert warnings == []
    (parent,) = (r for r in all_runs(uri) if r.data.tags.get(tracking.KIND_TAG) == "cell")
    assert parent.data.tags["syntharena.generator"] == name


def test_sync_adds_what_is_missing_and_nothing_twice(store, uri, make_cell):
    cells = [make_cell(slow(), seed=seed) for seed in range(3)]
    sweep.run(cells[:2], store, Local(2), Workplace(store.root, None, store.root / "cache"))
    assert tracking.sync(store, uri, "syntharena") == 2
    run(store, cells, uri)  # the third one live
    assert tracking.sync(store, uri, "syntharena") == 0
    for notes in store.root.glob("mlflow-*.logged"):
        notes.unlink()
    assert tracking.sync(store, uri, "syntharena") == 0
    kinds = [r.data.tags.get(tracking.KIND_TAG) for r in all_runs(uri)]
    assert kinds.count("cell") == 3
    one, other = boards(store, uri)
    assert one == other


def test_sync_replaces_what_a_process_left_half_written(store, uri, make_cell):
    cell = make_cell(slow())
    sweep.run([cell], store, Local(1), Workplace(store.root, None, store.root / "cache"))
    log = tracking._Log(uri, "syntharena", store)
    log.open(cell.record_key, cell.summary(), 1.0)
    log.live(cell.record_key, {"stage": "train"})
    assert tracking.sync(store, uri, "syntharena") == 1
    kinds = [r.data.tags.get(tracking.KIND_TAG) for r in all_runs(uri)]
    assert (kinds.count("cell"), kinds.count("stage")) == (1, 3)


def test_sync_keeps_out_of_a_sweep_that_writes(store, uri):
    held = tracking._Journal(store.root, uri, "syntharena")
    assert held.hold()
    with pytest.raises(ValueError, match="sync when it has ended"):
        tracking.sync(store, uri, "syntharena")
    held.release()
    assert tracking.sync(store, uri, "syntharena") == 0


def test_a_cell_that_is_started_again_goes_on_in_its_run(store, uri, make_cell):
    cell = make_cell(slow())
    tracker = tracking.Tracker(store, uri, "syntharena", pytest.fail)
    tracker.begin(sweep.Progress([cell], [cell]))
    for event in (
        {"started": 1.0},
        {"event": {"stage": "train"}},
        {"queued": "interrupted"},
        {"started": 2.0},
        {"event": {"stage": "train"}},
    ):
        tracker.on_event(cell, event)
    tracker.close()
    kinds = [r.data.tags.get(tracking.KIND_TAG) for r in all_runs(uri)]
    assert (kinds.count("cell"), kinds.count("stage")) == (1, 1)
