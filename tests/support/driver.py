"""Sweeps in a process of their own, for tests that kill them."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

DRIVER = """
import json, sys
from pathlib import Path
from syntharena.bench import targets
from syntharena.bench.cells import Cell
from syntharena.bench.running import sweep
from syntharena.bench.running.pool import Workplace
from syntharena.bench.store import Store
cells = [Cell.from_dict(value) for value in json.load(open(sys.argv[1]))]
root = Path(sys.argv[2])
launcher = targets.build(json.loads(sys.argv[3]), ("run",))
place = Workplace(root, None, root / "cache")
progress = sweep.run(cells, Store(root), launcher, place, retry=["preempted"])
print(progress.missing)
sys.exit(progress.exit_code)
"""
LOCAL = {"_target_": "syntharena.bench.running.local.Local", "workers": 2}


def start_driver(cells, root, folder, launcher=LOCAL):
    """Start a sweep; it prints how many cells have no record, and ends with its exit code."""
    plan = folder / "cells.json"
    plan.write_text(json.dumps([cell.to_dict() for cell in cells]))
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(plan), str(root), json.dumps(launcher)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SYNTHARENA_DRIVEN": str(root)},
    )


def processes_of(root):
    """Find the processes that a driver of this Store left, by what they inherited."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SYNTHARENA_DRIVEN={root}\0".encode() in (process / "environ").read_bytes():
                yield int(process.name)


def wait_for_nobody(root):
    """Wait until no process of the killed sweep is left."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(processes_of(root)):
            return
        time.sleep(0.05)
    pytest.fail("processes of a killed sweep are still running")
