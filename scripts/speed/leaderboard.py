"""Print how long a leaderboard takes from a Store of many records.

    python scripts/speed/leaderboard.py [--records 10000]

The records are made up; reading, verifying, compiling and writing them is real.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time

import numpy as np

from syntharena.bench.canonical import digest, dumps
from syntharena.bench.store import FORMAT, Store, seal

# What the standard suite gives for german_credit: values of a cell, and of its columns and classes.
METRICS, PARTS = 20, 29
GENERATORS, BUDGETS, SEEDS = 25, 4, 5


def main() -> None:
    """Make a Store, compile its leaderboard in a fresh process, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        fill(Store(folder), count)
        command = [sys.executable, "-m", "syntharena.bench.cli", "leaderboard", "--results", folder]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(
            f"leaderboard from {count} records: {time.perf_counter() - started:.2f} s of wall time"
        )


def fill(store: Store, count: int) -> None:
    """Write made-up records; not through ``put``, which flushes each to disk."""
    rng = np.random.default_rng(0)
    declared = {f"m{i}_score": declaration(f"m{i}_score", i < 5) for i in range(METRICS)}
    declared["part_score"] = declaration("part_score", False, per="column")
    key = digest(declared)
    path = store.root / "metrics" / f"{key}.json"
    path.parent.mkdir(parents=True)
    path.write_text(dumps(seal({"declared": declared})))
    datasets = -(-count // (GENERATORS * BUDGETS * SEEDS))
    grid = itertools.product(range(datasets), range(GENERATORS), range(BUDGETS), range(SEEDS))
    for d, g, b, s in itertools.islice(grid, count):
        values = rng.random(METRICS + PARTS).tolist()
        write(store, d, g, ["inf", 1.0, 3.0, 10.0][b], s, values, key)


def declaration(name: str, ranked: bool, per: str = "") -> dict[str, object]:
    """Declare a made-up metric as a record does."""
    return {
        "name": name,
        "family": "fidelity",
        "direction": "higher",
        "best": 1.0,
        "worst": 0.0,
        "unit": "",
        "ranked": ranked,
        "per": per,
        "definition": "made up",
        "version": 1,
        "evaluator": "e",
    }


def write(
    store: Store, d: int, g: int, epsilon: float | str, seed: int, values: list[float], key: str
) -> None:
    """Write one record as the Store would."""
    dataset = {"sha256": f"{d}", "schema_sha256": f"{d}", "rows": None}
    cell = {
        "scenario": {"target": "s", "version": 1, "hyperparameters": {}},
        "dataset": dataset,
        "generator": {"target": f"g{g}", "version": 1, "hyperparameters": {}},
        "budget": {"epsilon": epsilon, "delta": 0.0, "neighbours": "add_remove"},
        "seeds": {"split": seed, "train": seed, "sample": seed},
    }
    evaluation = {"seed": seed, "evaluators": {}}
    cell_key = digest(cell)
    record_key = digest({"cell": cell_key, "evaluation": evaluation})
    record = {
        "format": FORMAT,
        "key": record_key,
        "cell_key": cell_key,
        "cell": cell,
        "evaluation": evaluation,
        "names": {"scenario": "release", "dataset": f"dataset {d}", "generator": f"generator {g}"},
        "reference": {0: "copy", 1: "ceiling", 2: "floor"}.get(g),
        "status": "ok",
        "reason": "",
        "metrics": {
            f"m{i}_score" if i < METRICS else f"part_score[{i}]": value
            for i, value in enumerate(values)
        },
        "unavailable": {},
        "declared": key,
        "cost": {},
        "environment": {},
        "started": 0.0,
        "seconds": 1.0,
    }
    path = store.root / "records" / cell_key[:2] / f"{cell_key}.{record_key[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(seal(record), indent=1))


if __name__ == "__main__":
    main()
