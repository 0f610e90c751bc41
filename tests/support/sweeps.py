"""Generators for tests of sweeps, on whatever launcher, and what must be equal afterwards."""

import time
from pathlib import Path

from syntharena.bench.boards import leaderboard, render
from syntharena.bench.running import sweep
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.store import Store

SUPPORT = Path(__file__).parent
HONEST = {"_target_": "hostile.Honest", "about": {"version": 1, "name": "honest"}}


def hostile(name, **fields):
    return {"_target_": f"hostile.{name}", "about": {"version": 1, "name": name}, **fields}


def board_text(store):
    """Everything of a board that does not depend on how long things took."""
    board = leaderboard.compile(
        store.records(), store.expected(), families=["fidelity", "utility", "privacy"]
    )
    return render.to_markdown(board)


def run_locally(cells, root):
    """Run cells by the local launcher, in a Store of its own, and return it."""
    store = Store(root)
    sweep.run(cells, store, Local(2), Workplace(store.root, None, store.root / "cache"))
    return store


def comparable(record):
    """What of a record does not depend on how long things took, or where."""
    kept = ("key", "status", "reason", "stage", "synthetic", "privacy", "metrics", "unavailable")
    found = {name: record[name] for name in kept}
    costs = {n for n, m in record["declared"].items() if m["family"] == "cost"}
    return {**found, "metrics": {k: v for k, v in record["metrics"].items() if k not in costs}}


def assert_same_records(one, other, cells):
    for cell in cells:
        assert comparable(one.get(cell)) == comparable(other.get(cell))


def wait_until(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return found
