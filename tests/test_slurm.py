"""The SLURM launcher on a real cluster: the same records, whatever happens to its jobs."""

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
from slurm_cluster import NODES, SlurmCluster, environment_of, missing

from syntharena.bench import leaderboard, render, sweep
from syntharena.bench.local import Local
from syntharena.bench.pool import Workplace
from syntharena.bench.slurm.launcher import Slurm
from syntharena.bench.slurm.submission import Submission
from syntharena.bench.status import status
from syntharena.bench.store import Store

pytestmark = pytest.mark.slurm
SUPPORT = Path(__file__).parent / "support"
HONEST = {"_target_": "hostile.Honest", "about": {"version": 1, "name": "honest"}}
QUICK = {"poll_seconds": 0.3, "settle_seconds": 1.0, "job": {"minutes": 5}}


@pytest.fixture(scope="module")
def cluster():
    if why := missing():
        pytest.skip(f"no SLURM here: {why}")
    found = SlurmCluster(tempfile.mkdtemp(prefix="slurm"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(autouse=True)
def on_the_cluster(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    yield
    cluster.settle()


@pytest.fixture
def place(store, tmp_path):
    return Workplace(store.root, None, tmp_path / "cache")


def slurm(**settings):
    return Slurm(**{**QUICK, **settings})


def hostile(name, **fields):
    return {"_target_": f"hostile.{name}", "about": {"version": 1, "name": name}, **fields}


def comparable(record):
    """What of a record does not depend on how long things took, or where."""
    kept = ("key", "status", "reason", "stage", "synthetic", "privacy", "metrics", "unavailable")
    found = {name: record[name] for name in kept}
    costs = {n for n, m in record["declared"].items() if m["family"] == "cost"}
    return {**found, "metrics": {k: v for k, v in record["metrics"].items() if k not in costs}}


def same_records(one, other, cells):
    return all(comparable(one.get(cell)) == comparable(other.get(cell)) for cell in cells)


def submissions(store):
    return list(Submission.all(store))


def test_the_records_are_those_of_the_local_launcher(store, place, make_cell, tmp_path):
    names = ["Honest", "Raises", "WrongOutput", "AsksTooMuch", "ExitsAtOnce"]
    cells = [make_cell(hostile(name), seed=seed) for name in names for seed in range(4)]
    cells += [make_cell(seed=seed) for seed in range(8)]
    local = Store(tmp_path / "local")
    sweep.run(cells, local, Local(2), Workplace(local.root, None, tmp_path / "cache"))
    progress = sweep.run(cells, store, slurm(parcel_seconds=600), place)
    assert progress.missing == 0
    assert progress.left == ""
    assert same_records(store, local, cells)
    (submission,) = submissions(store)
    assert submission.tasks == 3  # 28 cells of 60 s each in parcels of 600 s
    assert submission.is_marked("over")
