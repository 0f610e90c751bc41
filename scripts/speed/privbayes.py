"""Print what PrivBayes costs here and in another library, on one integer-coded table.

    python scripts/speed/privbayes.py TRAIN_CSV DOMAIN_JSON [OTHER_PYTHON] [--method dpmm_privbayes]

TRAIN_CSV holds codes 0, 1, ... of every column, DOMAIN_JSON the public domain as worker.py of
scripts/others reads it. OTHER_PYTHON is the interpreter of an environment with the other library;
without it only ours runs. Each side fits in a process of its own, one thread, imports not counted.
Error is the mean total variation distance of all 2-way marginals; a missing code is a cell.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import THREADS

WORKER = Path(__file__).parent.parent / "others" / "worker.py"


def main() -> None:
    """Fit every side and print them below each other."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("domain")
    parser.add_argument("other", nargs="?")
    parser.add_argument("--method", default="dpmm_privbayes")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--ours", nargs=2, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        ours(options)
        return
    given = [options.train, options.domain, "--epsilon", options.epsilon, "--delta", options.delta]
    report("ours", [sys.executable, __file__, *given, "--ours"], options.train)
    if options.other:
        named = ["--method", options.method, "--table", given[0], "--domain", *given[1:]]
        named += ["--rows", len(pd.read_csv(options.train)), "--out"]
        report(options.method, [options.other, str(WORKER), *named], options.train, "--seconds-out")


def report(name: str, command: list[object], train: str, *between: str) -> None:
    """Run a command that writes rows and costs to two files, and describe what it wrote."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    with tempfile.TemporaryDirectory() as folder:
        rows, costs = Path(folder) / "rows.csv", Path(folder) / "costs.json"
        words = [str(word) for word in (*command, rows, *between, costs)]
        subprocess.run(words, env=environment, check=True, stderr=subprocess.DEVNULL)
        cost = json.loads(costs.read_text())
        error = two_way_error(pd.read_csv(train), pd.read_csv(rows))
    fit, sample = cost["fit_cpu_seconds"], cost["sample_cpu_seconds"]
    print(f"{name:16} fit {fit:8.2f} CPU s  sample {sample:6.2f} CPU s  error {error:.4f}")


def two_way_error(train: pd.DataFrame, made: pd.DataFrame) -> float:
    """Mean total variation distance of all pairs of columns."""
    train, made = (table.fillna(-1).astype(np.int64) + 1 for table in (train, made))
    distances = []
    for one, other in itertools.combinations(train.columns, 2):
        width = 1 + max(int(t[other].max()) for t in (train, made))
        cells = [t[one].to_numpy() * width + t[other].to_numpy() for t in (train, made)]
        size = 1 + max(int(c.max()) for c in cells)
        shares = [np.bincount(c, minlength=size) / len(c) for c in cells]
        distances.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(distances))


def ours(options: argparse.Namespace) -> None:
    """Fit ours and write rows and costs."""
    import scipy.optimize  # noqa: F401

    from syntharena.bench.contracts import Budget
    from syntharena.bench.schema import Column, Schema
    from syntharena.generators.privbayes import PrivBayes

    domain = json.loads(Path(options.domain).read_text())
    columns = [Column(n, "categorical", (*map(str, domain[n]["categories"]),)) for n in domain]
    schema = Schema(tuple(columns))
    table = schema.conform(pd.read_csv(options.train, dtype=str))
    budget = Budget(options.epsilon, options.delta)
    times = [time.process_time()]
    model = PrivBayes().fit(table, schema=schema, budget=budget, rng=np.random.default_rng(0))
    times.append(time.process_time())
    made = model.sample(len(table), rng=np.random.default_rng(1))
    times.append(time.process_time())
    made.to_csv(options.ours[0], index=False)
    fit, sample = np.diff(times).tolist()
    costs = {"fit_cpu_seconds": fit, "sample_cpu_seconds": sample}
    Path(options.ours[1]).write_text(json.dumps(costs))


if __name__ == "__main__":
    main()
