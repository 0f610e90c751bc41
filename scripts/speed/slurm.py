"""Print what a sweep of tiny cells costs on a SLURM cluster.

    python scripts/speed/slurm.py [--cells 10000] [--cpus 1]

Cells of `independent` on 100 rows of german_credit, in a results folder that knows nothing of what
they take. The cluster is that of the tests: two nodes on this machine, each with ``--cpus``
processors, so the default is right for a machine of two. Printed are the time to submit and leave,
the time to the last record, the memory of the process that submits and of the one that watches, the
files that are left, and the share of the processors' time that went into cells.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRID = ("generator=independent", "dataset=german_credit", "dataset.rows=100", "suite=quick")


def main() -> None:
    """Run the sweep and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--cpus", type=int, default=1, help="of each of the two nodes")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from slurm_cluster import SlurmCluster, missing

    if why := missing():
        sys.exit(f"no SLURM here: {why}")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    results = Path(tempfile.mkdtemp(prefix="results"))
    cluster = SlurmCluster(folder, cpus=options.cpus)
    try:
        cluster.start()
        os.environ["SLURM_CONF"] = str(cluster.configuration)
        measure(results, options.cells, 2 * options.cpus)
    finally:
        cluster.stop()
        shutil.rmtree(results)


def measure(results: Path, cells: int, processors: int) -> None:
    """Submit a sweep, watch it, and print the figures."""
    from syntharena.bench.store import Store

    began = time.time()
    submitted, submitter_mib = run(results, cells, "hydra.launcher.detach=true")
    watched, watcher_mib = run(results, cells)
    records = list(Store(results).records())
    assert len(records) == cells
    assert {record["status"] for record in records} == {"ok"}
    ended = max(record["started"] + record["seconds"] for record in records)
    in_cells = sum(record["seconds"] for record in records)
    files = sum(path.is_file() for path in results.rglob("*"))
    jobs = sum(path.is_file() for path in results.glob("jobs/**/*"))
    print(f"{cells} cells on {processors} processors")
    print(f"  submitted and left after {submitted:.1f} s, with {submitter_mib:.0f} MiB")
    print(f"  watched for {watched:.1f} s more, with {watcher_mib:.0f} MiB")
    print(f"  last record after {ended - began:.1f} s")
    print(f"  {1000 * in_cells / cells:.0f} ms in a cell, {files} files, {jobs} of them of jobs")
    share = in_cells / processors / (ended - began - submitted)
    print(f"  {100 * share:.0f} % of the processors' time in cells, from the first job on")
    share = in_cells / processors / (ended - began)
    print(f"  {100 * share:.0f} % from the start of the command on")


def run(results: Path, cells: int, *settings: str) -> tuple[float, float]:
    """Run the command; return its wall seconds and its peak memory in MiB."""
    words = ["run", "-m", "--quiet", *GRID, f"seed=range({cells})", "tracking=none"]
    words += [f"paths.results={results}", "hydra/launcher=slurm", "hydra.launcher.poll_seconds=2"]
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.execv(sys.executable, [sys.executable, "-m", "syntharena.bench.cli", *words, *settings])
    _, status, used = os.wait4(child, 0)
    assert status == 0, f"the command ended with status {status}"
    return time.perf_counter() - began, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
