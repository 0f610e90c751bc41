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
from syntharena.bench.running import sweep
from syntharena.bench.cells import Cell
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.store import Store
cells = [Cell.from_dict(value) for value in json.load(open(sys.argv[1]))]
root = Path(sys.argv[2])
progress = sweep.run(cells, Store(root), Local(2), Workplace(root, None, root / "cache"),
                     retry=["preempted"])
print(progress.missing)
sys.exit(130 if progress.stopped else 0)
"""


def start_driver(cells, root, folder):
    plan = folder / "cells.json"
    plan.write_text(json.dumps([cell.to_dict() for cell in cells]))
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(plan), str(root)],
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
