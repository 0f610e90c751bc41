"""Cells on a Ray cluster of two nodes, started here: the same records, and what clusters do."""

import signal
import sys

import pytest
from driver import start_driver, wait_for_nobody
from ray_cluster import RayCluster
from sweeps import (
    HONEST,
    assert_same_records,
    board_text,
    hostile,
    run_locally,
    wait_until,
)

from syntharena.bench.commands.status import status
from syntharena.bench.ray.launcher import Ray
from syntharena.bench.ray.needs import Needs, RayError
from syntharena.bench.running import sweep

pytestmark = pytest.mark.usefixtures("generators_can_be_imported")
RAY = "syntharena.bench.ray.launcher.Ray"


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    found = RayCluster()
    yield found
    found.stop()


@pytest.fixture
def start(cluster, store, tmp_path):
    """Return a function that starts a sweep on the cluster, in a process of its own."""

    def begin(cells, **settings):
        launcher = {"_target_": RAY, "address": cluster.address, **settings}
        return start_driver(cells, store.root, tmp_path, launcher)

    return begin


def end_of(driver):
    """Return the exit code of a sweep, and what it said."""
    _, errors = driver.communicate(timeout=300)
    return driver.returncode, errors


def test_the_records_are_those_of_the_local_launcher(start, store, make_cell, tmp_path):
    names = ["Honest", "Raises", "WrongOutput", "AsksTooMuch", "ExitsAtOnce"]
    cells = [make_cell(hostile(name), seed=seed) for name in names for seed in range(2)]
    code, errors = end_of(start(cells))
    assert code == 1, errors  # some cells ended badly, as they should
    local = run_locally(cells, tmp_path / "local")
    assert_same_records(store, local, cells)
    assert board_text(store) == board_text(local)
    wait_for_nobody(store.root)


def test_cells_run_on_all_nodes_at_once(start, store, make_cell, tmp_path):
    gate = tmp_path / "gate"
    cells = [make_cell(hostile("Waits", gate=str(gate)), seed=seed) for seed in range(3)]
    driver = start(cells)
    wait_until(lambda: status(store).counts["running"] == 2, "two running cells")
    gate.touch()
    assert end_of(driver) == (0, "")


def test_seeds_are_fitted_together(start, store, make_cell):
    cells = [make_cell(hostile("Joint"), seed=seed) for seed in range(4)]
    assert end_of(start(cells, together=4)) == (0, "")
    assert [record["together"] for record in map(store.get, cells)] == [4] * 4


def test_a_node_that_disappears_costs_no_cell(cluster, start, store, make_cell, tmp_path):
    gate = tmp_path / "gate"
    cells = [make_cell(hostile("Waits", gate=str(gate)), seed=seed) for seed in range(4)]
    driver = start(cells)
    wait_until(lambda: status(store).counts["running"] == 2, "two running cells")
    cluster.tell("remove")
    try:
        gate.touch()
        assert end_of(driver) == (0, "")
        assert status(store).counts == {"ok": 4}
    finally:
        cluster.tell("add")


def test_a_cell_that_ends_its_runner_again_and_again_gets_a_record(start, store, make_cell):
    cells = [make_cell(hostile("KillsItsRunner")), *(make_cell(HONEST, seed=s) for s in range(3))]
    code, errors = end_of(start(cells, retries=1))
    assert code == 1, errors
    assert status(store).counts == {"failed": 1, "ok": 3}
    assert store.get(cells[0])["reason"].startswith("its runner was lost 2 times while it ran: ")


def test_a_stopped_sweep_leaves_preempted_cells_and_goes_on(start, store, make_cell):
    cells = [make_cell(hostile("Slow", seconds=4), seed=seed) for seed in range(4)]
    driver = start(cells)
    wait_until(lambda: status(store).counts["running"] == 2, "two running cells")
    driver.send_signal(signal.SIGINT)
    code, errors = end_of(driver)
    assert code == 130, errors
    assert status(store).counts == {"preempted": 2, "missing": 2}
    wait_for_nobody(store.root)
    assert end_of(start(cells)) == (0, "")
    assert status(store).counts == {"ok": 4}


def test_a_killed_sweep_leaves_nobody_and_goes_on(start, store, make_cell, tmp_path):
    gate = tmp_path / "gate"
    cells = [make_cell(hostile("Waits", gate=str(gate)), seed=seed) for seed in range(3)]
    driver = start(cells)
    wait_until(lambda: status(store).counts["running"] == 2, "two running cells")
    driver.kill()
    driver.communicate()
    wait_for_nobody(store.root)
    gate.touch()
    assert end_of(start(cells)) == (0, "")
    assert status(store).counts == {"ok": 3}


def test_a_cell_that_fits_on_no_node_is_an_error(start, store, make_cell):
    large = {**HONEST, "resources": {"cpus": 2, "partition": "only SLURM knows this"}}
    large["resources"]["partition"] = "short"
    code, errors = end_of(start([make_cell(large)]))
    assert code == 1
    assert "a node must have room for a cell (num_cpus=2, num_gpus=0), and none of the 2" in errors
    assert status(store).counts == {"missing": 1}


def test_a_cluster_that_is_not_there_is_an_error(start, store, make_cell):
    code, errors = end_of(start([make_cell(HONEST)], address="127.0.0.1:1"))
    assert code == 1
    assert "hydra.launcher.address must lead to a Ray cluster, got '127.0.0.1:1'" in errors


# Without a cluster


def test_what_a_runner_asks_for(make_cell):
    asking = {**HONEST, "resources": {"gpus": 1, "memory_mib": 1000, "minutes": 3}}
    cell = make_cell(asking, limits={"threads": 2})
    assert Needs.of(cell, {}) == Needs(threads=2, cpus=2, gpus=1, memory_mib=1000)
    own = Needs.of(cell, {"honest": {"cpus": 4, "gpus": 0}})
    assert own.options() == {"num_cpus": 4, "num_gpus": 0, "memory": 1000 * 2**20}
    assert own.room([{"CPU": 9.0, "memory": 2e9}, {"CPU": 3.0, "memory": 9e9}, {"GPU": 1.0}]) == 1
    assert Needs(1, 1, 1, None).room([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}]) == 2


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"hydra\.launcher\.workers must be a whole number >= 1"):
        Ray(workers=0)
    with pytest.raises(ValueError, match=r"hydra\.launcher\.retries must be a whole number >= 0"):
        Ray(retries=-1)
    with pytest.raises(ValueError, match="did you mean 'gpus'"):
        Ray(by_generator={"ctgan": {"gpu": 1}})


def test_without_ray_a_run_says_so_and_a_dry_run_works(store, place, make_cell, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    cells = [make_cell(HONEST), make_cell({**HONEST, "resources": {"gpus": 1}}, seed=1)]
    with pytest.raises(RayError, match=r"pip install 'syntharena\[ray\]'"):
        sweep.run(cells, store, Ray(), place)
    lines = sweep.outline(cells, store, Ray(), place, ())
    assert lines[1:4] == [
        "2 cells on a Ray cluster (as Ray finds one, or else Ray on this machine)",
        "1 cells, each with num_cpus 1, num_gpus 0: about 0.0 core-hours",
        "1 cells, each with num_cpus 1, num_gpus 1: about 0.0 core-hours",
    ]
