"""Print what the harness costs beside the cells themselves.

    python scripts/speed/overhead.py [--cells 200] [--relaunch 1000]

1. CPU per cell outside fit, sample and evaluate, in a sweep of `independent` on german_credit,
   without and with MLflow, and MLflow's own floor: the same runs written by a loop that does
   nothing else.
2. Wall time to re-launch a finished sweep.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("fit_cpu_seconds", "sample_cpu_seconds", "evaluate_cpu_seconds")


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--relaunch", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{options.cells} cells of independent on german_credit, {os.cpu_count()} processors")
        for tracking in ("none", "mlflow"):
            total, stages, wall = sweep(Path(folder) / tracking, options.cells, tracking)
            rest = 1000 * (total - stages) / options.cells
            print(
                f"  tracking={tracking:6} {rest:6.1f} ms of CPU per cell outside the stages "
                f"(all {total:.1f} s, stages {stages:.1f} s, wall {wall:.1f} s)"
            )
        print(f"  MLflow's floor  {1000 * mlflow_floor(Path(folder), 50):6.1f} ms of CPU per cell")
        cells = options.relaunch
        sweep(Path(folder) / "relaunch", cells, "none", suite="quick")
        _, _, wall = sweep(Path(folder) / "relaunch", cells, "none", suite="quick")
        print(f"re-launch of a finished sweep of {cells} cells: {wall:.2f} s of wall time")


def sweep(folder: Path, cells: int, tracking: str, suite: str = "standard") -> tuple[float, ...]:
    """Run a sweep; return its CPU seconds, those of its stages, and its wall seconds."""
    command = [sys.executable, "-m", "syntharena.bench.cli", "run", "-m", "--quiet"]
    command += ["generator=independent", "dataset=german_credit", f"seed=range({cells})"]
    command += [f"tracking={tracking}", f"suite={suite}", f"paths.results={folder}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    from syntharena.bench.store import Store

    records = list(Store(folder).records())
    assert len(records) == cells
    return total, sum(r["cost"][stage] for r in records for stage in STAGES), wall


def mlflow_floor(folder: Path, cells: int) -> float:
    """CPU seconds that MLflow takes for the runs, parameters, metrics and files of one cell."""
    from syntharena.bench import tracking
    from syntharena.bench.canonical import dumps
    from syntharena.bench.store import Store

    store = Store(folder / "none")
    record = next(iter(store.records()))
    table = store.table_path(record["synthetic"]["sha256"])
    client = tracking._client(f"sqlite:///{folder / 'floor.db'}")
    experiment = client.create_experiment("floor", (folder / "artifacts").as_uri())
    from mlflow.entities import Metric, Param

    started = time.process_time()
    for _ in range(cells):
        parent = client.create_run(experiment).info.run_id
        client.log_batch(parent, params=[Param(f"p{i}", "x") for i in range(8)])
        client.log_batch(
            parent,
            metrics=[Metric(tracking._safe(k), v, 0, 0) for k, v in record["metrics"].items()],
        )
        client.log_text(parent, dumps(record, indent=1), "record.json")
        client.log_artifact(parent, str(table), "synthetic")
        for _ in tracking.STAGES:
            child = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
            client.log_batch(child, metrics=[Metric("seconds", 1.0, 0, 0)])
            client.set_terminated(child)
        client.set_terminated(parent)
    return (time.process_time() - started) / cells


if __name__ == "__main__":
    main()
