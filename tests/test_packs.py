"""Packs: cells that differ in their seeds alone, fitted as one batch inside a sweep."""

import threading

import pytest

from syntharena.bench import config
from syntharena.bench.contracts import Budget
from syntharena.bench.running import sweep, verify
from syntharena.bench.running.local import Local
from syntharena.bench.running.packs import limits, packs
from syntharena.bench.running.pool import Workplace
from syntharena.bench.running.worker import Worker
from syntharena.bench.store import Store

pytestmark = pytest.mark.usefixtures("generators_can_be_imported")


@pytest.fixture
def worker(store, tmp_path):
    return Worker(store, None, tmp_path / "cache")


def joint(**fields):
    return {"_target_": "hostile.Joint", "about": {"version": 1, "name": "joint"}, **fields}


def record_of(store, cell):
    found = store.get(cell)
    assert found is not None
    return found


def table_of(store, record):
    found = store.get_table(record["synthetic"]["sha256"])
    assert found is not None
    return found


# What makes a pack


def test_cells_that_differ_in_their_seeds_alone_are_packed(make_cell):
    seeds = [make_cell(joint(), seed=seed) for seed in range(5)]
    honest = {"_target_": "hostile.Honest", "about": {"version": 1}}
    others = [
        make_cell(joint(end="otherwise")),
        make_cell(joint(), limits={"seconds": 9.0}, seed=7),
        make_cell(joint(), budget=Budget(1.0), seed=0),
        make_cell(joint(), budget=Budget(1.0), seed=1),
        make_cell(honest, seed=0),
        make_cell(honest, seed=1),
    ]
    mixed = [seeds[0], *others[:3], *seeds[1:], *others[3:]]
    found = packs(mixed, 3)
    assert found[0] == seeds[:3]
    assert seeds[3:] in found
    assert sorted(map(len, found)) == [1] * len(others) + [2, 3]
    assert packs(mixed, 1) == [[cell] for cell in mixed]


def test_one_fit_is_no_part_of_a_pack_twice(make_cell):
    drawn = [make_cell(joint(), seeds={"sample": seed}) for seed in range(2)]
    assert packs(drawn, 4) == [[drawn[0]], [drawn[1]]]


def test_a_batch_may_use_what_its_fits_may(make_cell):
    pack = [make_cell(joint(), seed=seed, limits={"memory_mib": 100}) for seed in range(3)]
    assert (limits(pack, (1,)).seconds, limits(pack, (1,)).memory_mib) == (180.0, 300)
    free = [make_cell(joint(), limits={"seconds": None})]
    assert (limits(free, None).seconds, limits(free, None).memory_mib) == (None, None)


@pytest.mark.parametrize("together", [0, "two", None])
def test_a_launcher_says_what_is_no_number_of_seeds(together):
    with pytest.raises(ValueError, match=r"hydra.launcher.together must be a whole number >= 1"):
        Local(together=together)


# Fits


def test_a_sweep_in_packs_says_so_and_scores_the_same(store, place, make_cell, tmp_path):
    cells = [make_cell(joint(), seed=seed) for seed in range(5)]
    progress = sweep.run(cells, store, Local(workers=2, together=3), place)
    assert (dict(progress.counts), progress.missing) == ({"ok": 5}, 0)
    alone = Store(tmp_path / "alone")
    sweep.run(cells, alone, Local(2), Workplace(alone.root, None, tmp_path / "cache"))
    for seed, cell in enumerate(cells):
        found, expected = record_of(store, cell), record_of(alone, cell)
        assert found["together"] == (3 if seed < 3 else 2)
        assert "together" not in expected
        assert found["metrics"] == expected["metrics"]
        assert found["synthetic"] == expected["synthetic"]
        assert found["cost"].keys() == expected["cost"].keys()
        assert found["cost"]["parameters_count"] == 3
    assert not list(store.root.glob("stages/*"))


def test_a_batch_of_networks_draws_what_each_draws_alone(store, place, make_cell, tmp_path):
    pytest.importorskip("torch")
    tvae = config.all_options("generator", preset="smoke")["tvae"]
    cells = [make_cell(tvae, seed=seed, limits={"seconds": 600.0}) for seed in range(3)]
    sweep.run(cells, store, Local(workers=1, together=8), place)
    alone = Store(tmp_path / "alone")
    sweep.run(cells, alone, Local(1), Workplace(alone.root, None, tmp_path / "cache"))
    for cell in cells:
        found, expected = record_of(store, cell), record_of(alone, cell)
        assert (found["status"], expected["status"], found["together"]) == ("ok", "ok", 3)
        assert found["privacy"] == expected["privacy"]
        one = table_of(store, found)
        other = table_of(alone, expected)
        discrete = ["city", "label"]
        assert (one[discrete] != other[discrete]).to_numpy().mean() < 0.01
        assert ((one["x"] - other["x"]).abs() > 0.01).mean() < 0.01


@pytest.mark.parametrize("end", ["raises", "crashes"])
def test_cells_of_a_batch_that_fails_fit_by_themselves(store, place, make_cell, end):
    cells = [make_cell(joint(end=end), seed=seed) for seed in range(3)]
    progress = sweep.run(cells, store, Local(workers=2, together=3), place)
    assert dict(progress.counts) == {"ok": 3}
    assert not any("together" in record for record in store.records())
    log = (store.root / "logs" / f"{cells[0].record_key}.txt").read_text()
    assert ("cannot learn these together" if end == "raises" else "Segmentation fault") in log


def test_a_stop_in_a_batch_leaves_its_cells_for_the_next_start(store, place, make_cell):
    cells = [make_cell(joint(end="hangs"), seed=seed) for seed in range(3)]
    began = threading.Event()

    def on_event(cell, event):
        if "event" in event:
            began.set()

    Local(workers=1, together=3).run(cells, place, on_event, began.is_set)
    assert [record["status"] for record in store.records()] == ["preempted"]
    assert record_of(store, cells[0])["status"] == "preempted"


def test_a_batch_takes_too_long_and_its_cells_do_not(worker, make_cell):
    pack = [make_cell(joint(end="hangs"), seed=seed, limits={"seconds": 0.5}) for seed in (0, 1)]
    worker.fit_together(pack)
    assert worker.run(pack[0])["status"] == "ok"


def test_what_a_batch_learned_outlives_a_kill(worker, store, make_cell):
    pack = [make_cell(joint(), seed=seed) for seed in range(3)]
    worker.fit_together(pack)
    kept = sorted(path.name for path in store.root.glob("stages/*"))
    assert kept == sorted(f"{cell.train_key}.model" for cell in pack)
    before = [path.stat().st_mtime_ns for path in sorted(store.root.glob("stages/*"))]
    worker.fit_together(pack)  # nothing is left to fit
    assert before == [path.stat().st_mtime_ns for path in sorted(store.root.glob("stages/*"))]
    assert [worker.run(cell)["together"] for cell in pack] == [3, 3, 3]


def test_the_next_evaluation_of_a_table_remembers_its_batch(worker, make_cell):
    pack = [make_cell(joint(), seed=seed) for seed in range(2)]
    worker.fit_together(pack)
    worker.run(pack[0])
    again = make_cell(joint(), seed=0, seeds={"evaluate": 5})
    assert worker.run(again)["together"] == 2


def test_verify_names_the_batch_where_something_differs(make_record):
    alone = make_record(metrics={"shape_score": 0.5})
    joint = alone | {"together": 4}
    assert verify.compare(joint, alone).status == "identical"
    for change, status in ((1e-8, "within tolerance"), (0.1, "different")):
        again = alone | {"metrics": {"shape_score": 0.5 + change}}
        verdict = verify.compare(joint, again)
        assert verdict.status == status
        assert "fitted in a batch of 4, and here alone" in verdict.differences[-1]
        assert verify.compare(alone, again).status == "different"
