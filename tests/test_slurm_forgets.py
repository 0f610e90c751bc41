"""A cluster that forgets what is over at once, with accounting and without."""

import os
import signal

import pytest
from slurm_sweeps import (
    running_cluster,
    slurm,
    submissions,
)
from sweeps import HONEST, SUPPORT, assert_same_records, hostile, run_locally, wait_until

from syntharena.bench.commands.status import status
from syntharena.bench.running import sweep
from syntharena.bench.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "accounting"])
def cluster(request):
    with running_cluster(accounting=request.param, memory_seconds=2) as found:
        yield found


@pytest.fixture(autouse=True)
def on_the_cluster(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    yield
    cluster.settle()


def wait_until_forgotten(store):
    names = [submission.name for submission in submissions(store)]
    wait_until(lambda: not Cluster().states(names), "an empty memory")


def test_the_records_are_those_of_the_local_launcher(store, place, make_cell, tmp_path):
    cells = [make_cell(hostile(name), seed=s) for name in ("Honest", "Raises") for s in range(4)]
    sweep.run(cells, store, slurm(parcel_seconds=120), place)
    assert_same_records(store, run_locally(cells, tmp_path / "local"), cells)


def test_what_was_killed_long_ago_is_blamed_once(store, place, make_cell, cluster):
    cell = make_cell(hostile("Slow", seconds=60))
    sweep.run([cell], store, slurm(detach=True), place)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    for pid in cluster.processes():
        os.kill(pid, signal.SIGKILL)
    wait_until_forgotten(store)
    assert status(store).counts == {"missing": 1}
    sweep.run([cell], store, slurm(detach=True), place)
    first, second = submissions(store)
    assert second.lost == {cell.record_key: 1}
    found = Cluster().forgotten(first.name)
    assert [state.state for state in found.values()] == (["FAILED"] if cluster.accounts else [])


def test_what_was_cancelled_long_ago_is_told_by_accounting(store, place, make_cell, cluster):
    cells = [make_cell(hostile("Slow", seconds=60)), make_cell(HONEST, seed=1)]
    sweep.run(cells, store, slurm(detach=True), place)
    wait_until(lambda: status(store).counts["running"], "a running cell")
    cluster.run("scancel", "--user=root")
    wait_until_forgotten(store)
    sweep.run(cells, store, slurm(detach=True), place)
    assert submissions(store)[1].lost == {}
