"""The Store: whole records or none, under kills, races and damage (faults F2, F3, F4, F6)."""

import functools
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syntharena.bench import store as store_module
from syntharena.bench.canonical import digest, dumps, plain
from syntharena.bench.files import publish
from syntharena.bench.store import Store, StoreError, is_sealed, seal

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just(math.inf),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_canonical_json_survives_a_round_trip(value):
    assert json.loads(dumps(value)) == plain(value)
    assert dumps(json.loads(dumps(value))) == dumps(value)
    assert digest(value) == digest(json.loads(dumps(value, indent=1)))


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_a_digest_knows_no_order(value):
    assert digest(value) == digest(dict(reversed(value.items())))


def test_nan_has_no_canonical_form():
    with pytest.raises(ValueError, match="NaN"):
        dumps({"metric": math.nan})


@given(st.dictionaries(st.text().filter(lambda key: key != "sha256"), json_values))
def test_a_seal_holds_until_something_changes(value):
    sealed = seal(value)
    assert is_sealed(sealed)
    assert not is_sealed({**sealed, "added": 1})
    assert not is_sealed({**sealed, "sha256": sealed["sha256"][::-1] + "0"})


def test_a_record_comes_back_as_it_was(store, make_cell, make_record):
    cell = make_cell()
    record = make_record(cell)
    assert store.get(cell) is None
    assert store.put(record)
    found = store.get(cell)
    assert {key: found[key] for key in record} == plain(record)
    assert list(store.records()) == [found]
    assert list(store.of_cell(cell.key)) == [found]


def test_the_first_record_wins(store, make_cell, make_record):
    cell = make_cell()
    assert store.put(make_record(cell, metrics={"shape_score": 0.1}))
    assert not store.put(make_record(cell, metrics={"shape_score": 0.9}))
    assert store.get(cell)["metrics"] == {"shape_score": 0.1}


def test_a_superseded_record_is_kept_aside(store, make_cell, make_record):
    cell = make_cell()
    store.put(make_record(cell, status="timeout", metrics={}))
    store.supersede(cell)
    assert store.get(cell) is None
    assert store.put(make_record(cell))
    (old,) = (store.root / "superseded").iterdir()
    assert json.loads(old.read_text())["status"] == "timeout"


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "bit flip":
        place = content.index(b"0.5") + 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif how == "binary":
        path.write_bytes(b"\xff\xfe\x00" * 100)
    elif how == "stale format":
        value = {k: v for k, v in json.loads(content).items() if k != "sha256"}
        path.write_text(dumps(seal({**value, "format": 0})))
    elif how == "deeply nested":
        path.write_bytes(b"[" * 100_000)
    elif how == "honestly sealed lie":
        value = {k: v for k, v in json.loads(content).items() if k != "sha256"}
        value["cell"]["seeds"]["train"] = 99
        path.write_text(dumps(seal(value)))


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "empty",
        "bit flip",
        "binary",
        "stale format",
        "deeply nested",
        "honestly sealed lie",
    ],
)
def test_damage_is_found_set_aside_and_made_good(store, make_cell, make_record, how):
    cell, other = make_cell(), make_cell(seed=1)
    store.put(make_record(cell))
    store.put(make_record(other))
    (path,) = (p for p in store.root.glob("records/*/*.json") if p.name.startswith(cell.key))
    damage(path, how)
    fresh = Store(store.root)
    assert [record["key"] for record in fresh.records()] == [other.record_key]
    assert fresh.get(cell) is None
    assert len(list((store.root / "corrupt").iterdir())) == 1
    assert fresh.put(make_record(cell))
    assert fresh.get(cell)["status"] == "ok"


def test_a_damaged_file_never_blocks_its_writer(store, make_cell, make_record):
    cell = make_cell()
    store.put(make_record(cell))
    (path,) = store.root.glob("records/*/*.json")
    damage(path, "truncated")
    assert Store(store.root).put(make_record(cell))


def test_two_swapped_records_are_both_found_out(store, make_cell, make_record):
    cells = [make_cell(seed=seed) for seed in (1, 2)]
    for cell in cells:
        store.put(make_record(cell))
    one, two = store.root.glob("records/*/*.json")
    swap = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(swap)
    assert [store.get(cell) for cell in cells] == [None, None]


def test_damaged_declarations_void_the_records_that_need_them(store, make_cell, make_record):
    cell = make_cell()
    store.put(make_record(cell))
    (path,) = (store.root / "metrics").iterdir()
    path.write_text(path.read_text().replace("fidelity", "privacy"))
    assert Store(store.root).get(cell) is None


def write_records(root, records, barrier):
    barrier.wait()
    store = Store(root)
    for record in records:
        store.put(record)


def test_eight_writers_of_the_same_keys_leave_one_record_each(store, make_cell, make_record):
    records = [make_record(make_cell(seed=seed)) for seed in range(20)]
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    writers = [
        context.Process(
            target=write_records,
            args=(store.root, [{**r, "started": float(i)} for r in records], barrier),
        )
        for i in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert len(list(store.records())) == 20
    assert not list(store.root.rglob(".tmp-*"))
    assert not (store.root / "corrupt").exists()


def die_at(step, call):
    """Run a call in a child that kills itself before the given step; whether it got that far.

    Steps are lines of the Store's files, so between any two system calls there is one.
    """
    child = os.fork()
    if child == 0:
        left = step

        def trace(frame, event, argument):
            nonlocal left
            if not frame.f_code.co_filename.endswith(("bench/store.py", "bench/files.py")):
                return None
            left -= event == "line"
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            call()
        finally:
            os._exit(0)
    _, ended = os.waitpid(child, 0)
    return os.WIFSIGNALED(ended)


def test_a_writer_may_die_between_any_two_steps(tmp_path, make_cell, make_record):
    cell = make_cell()
    record = make_record(cell)
    step = written = 0
    while die_at(step, functools.partial(Store(tmp_path / str(step)).put, record)):
        store = Store(tmp_path / str(step))
        found = store.get(cell)
        written += found is not None
        assert found is None or found["metrics"] == record["metrics"]
        assert store.put(record) == (found is None)
        assert store.get(cell)["metrics"] == record["metrics"]
        assert not (store.root / "corrupt").exists()
        step += 1
    assert step > 40  # it died in many places,
    assert 2 < written < 20  # in some of them when the record was there


def test_a_file_is_written_although_its_temporary_file_is_swept_out(tmp_path, monkeypatch):
    """A process whose clock went wrong takes a living writer's file for an orphan."""
    swept = []

    def link(source, target):
        if len(swept) < 2:
            swept.append(source)
            os.unlink(source)
        os.rename(source, target)

    monkeypatch.setattr(store_module.os, "link", link)
    assert publish(tmp_path / "folder" / "file", b"all of it")
    assert (tmp_path / "folder" / "file").read_bytes() == b"all of it"
    assert len(swept) == 2


def test_orphans_are_told_by_the_clock_of_the_file_system(store, monkeypatch):
    store.prepare()
    young, old = store.root / ".tmp-1-a", store.root / ".tmp-1-b"
    for path in (young, old):
        path.write_text("")
    os.utime(old, (1.0, 1.0))
    monkeypatch.setattr("time.time", lambda: 1e12)
    store.prepare()
    assert (young.exists(), old.exists()) == (True, False)


WRITER = """
import json, sys
from syntharena.bench.store import Store
record = json.load(sys.stdin)
store = Store(sys.argv[1])
print("go", flush=True)
number = 0
while True:
    store.put({**record, "filler": "x" * 200_000, "started": float(number)})
    for path in store.root.glob("records/*/*.json"):
        path.unlink(missing_ok=True)
    number += 1
"""


def kill_writers(store, record, kills):
    """Kill a writer of 200 kB records at arbitrary instants; return how many records were torn."""
    torn = 0
    for kill in range(kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        json.dump(record, writer.stdin)
        writer.stdin.close()
        writer.stdout.readline()
        time.sleep(0.001 * (kill % 17))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for path in store.root.glob("records/*/*.json"):
            torn += store.read(path) is None
    return torn


def test_a_writer_killed_at_any_instant_leaves_no_torn_record(store, make_record):
    assert kill_writers(store, plain(make_record()), kills=10) == 0


@pytest.mark.slow
def test_five_hundred_killed_writers_leave_no_torn_record(store, make_record):
    assert kill_writers(store, plain(make_record()), kills=500) == 0


def test_orphaned_temporary_files_are_swept_when_they_are_old(store):
    store.prepare()
    old, young = store.root / "records" / ".tmp-1-old", store.root / "records" / ".tmp-2-young"
    for path in (old, young):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    long_ago = time.time() - store_module.ORPHAN_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    store.prepare()
    assert not old.exists()
    assert young.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "a file"
    blocker.write_text("")
    with pytest.raises(StoreError, match=r"paths\.results must be a folder .*a file"):
        Store(blocker / "runs").prepare()


def test_publish_replaces_only_when_told(tmp_path):
    path = tmp_path / "value"
    assert publish(path, b"one")
    assert not publish(path, b"two")
    assert path.read_bytes() == b"one"
    assert publish(path, b"three", replace=True)
    assert path.read_bytes() == b"three"


def test_a_sweep_expects_each_cell_once(store, make_cell):
    cells = [make_cell(seed=seed) for seed in range(3)]
    store.put_sweep(cells)
    store.put_sweep(list(reversed(cells)))
    store.put_sweep(cells[:2])
    assert sorted(item["key"] for item in store.expected()) == sorted(c.record_key for c in cells)
    assert store.dataset(cells[0].identity["dataset"]) == cells[0].dataset


def test_only_a_living_process_holds_a_claim(store):
    with store.claim("abc"):
        assert store.running() == {"abc"}
    assert store.running() == set()
    (store.root / "running" / "dead").write_text("")
    assert store.running() == set()
