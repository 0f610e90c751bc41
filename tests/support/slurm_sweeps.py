"""Sweeps on the cluster of the tests, and ways to look at what became of them."""

import contextlib
import os
import tempfile
import threading
from pathlib import Path

import pytest
from driver import start_driver
from slurm_cluster import SlurmCluster, missing
from sweeps import HONEST

from syntharena.bench.running import sweep
from syntharena.bench.slurm.journal import History
from syntharena.bench.slurm.launcher import Slurm
from syntharena.bench.slurm.submission import Submission
from syntharena.bench.store import Store

QUICK = {"poll_seconds": 0.3, "settle_seconds": 1.0, "job": {"minutes": 20}}


@contextlib.contextmanager
def running_cluster(accounting=False, **options):
    """Run a cluster; tests that need it are skipped where that is not possible."""
    if why := missing(accounting):
        pytest.skip(f"no SLURM here: {why}")
    found = SlurmCluster(tempfile.mkdtemp(prefix="slurm"), accounting, **options)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def slurm(**settings):
    return Slurm(**{**QUICK, **settings})


def preloading(module):
    """Return an honest generator that has a module imported on the nodes."""
    return {**HONEST, "about": {**HONEST["about"], "preload": [module]}}


def start_slurm_driver(cells, root, folder, **settings):
    """Start a sweep on the cluster in a process of its own."""
    launcher = {"_target_": "syntharena.bench.slurm.launcher.Slurm", **QUICK, **settings}
    return start_driver(cells, root, folder, launcher)


class InBackground(threading.Thread):
    """A sweep in a thread of this process, for tests that do something to it meanwhile."""

    def __init__(self, cells, place, **settings):
        super().__init__(daemon=True)
        self.progress = self.error = None
        self.stop = False
        self._work = (cells, place, settings)
        self.start()

    def run(self):
        cells, place, settings = self._work
        try:
            store = Store(place.results)
            pending = sweep.find_pending(cells, store, ())
            sweep.check_data(cells, place)
            store.prepare()
            store.put_sweep(cells)
            launcher = slurm(**settings)

            def on_event(cell, event):
                if "done" in event:
                    pending.counts[event["done"]["status"]] += 1

            pending.left = launcher.run(pending.pending, place, on_event, lambda: self.stop)
            self.progress = pending
        except Exception as error:
            self.error = error

    def result(self, seconds=600):
        self.join(seconds)
        assert not self.is_alive(), "the sweep did not end"
        if self.error is not None:
            raise self.error
        return self.progress


def submissions(store):
    return sorted(Submission.all(store), key=lambda submission: submission.written)


def lines_of(submission, task=0):
    return list(History(submission.journal(task)).read())


def runs_of(submission, task=0):
    """How often a task was begun."""
    return sum("begin" in line for line in lines_of(submission, task))


def trace():
    """Return the steps that Patient cells have done."""
    path = Path(os.environ["SYNTHARENA_TRACE"])
    return [int(line) for line in path.read_text().split()] if path.exists() else []
