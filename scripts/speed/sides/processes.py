"""Run a side in a process of its own, on one thread, and end it when it takes too much.

What it told before its end is kept: a fit may be done where drawing is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .meter import spent

HERE = Path(__file__).parents[1]  # where "sides" can be imported
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
LOOK = 1.0  # seconds between two looks at what a process takes
PATIENCE = 20  # times the limit of CPU seconds: so long may a process take that only waits


@dataclass(frozen=True)
class Limits:
    """What a process may take.

    Parameters
    ----------
    seconds : float
        Of CPU time, imports included.
    mib : float
        Of memory.
    """

    seconds: float
    mib: float

    def broken(self, cpu: float, mib: float, wall: float) -> str:
        """Say which limit a process has reached; empty for none."""
        if cpu >= self.seconds:
            return f"not done in {self.seconds:g} s"
        if mib >= self.mib:
            return f"ended above {self.mib:g} MiB"
        if wall >= PATIENCE * self.seconds:
            return f"not done in {wall:.0f} s of waiting"
        return ""


def run(python: str | Path, module: str, arguments: Iterable[object], limits: Limits) -> dict:
    """Run a module of this folder.

    Returns
    -------
    dict
        All that it told, and ``ended``, why it is not done, if it is not.
    """
    command = [str(python), "-W", "ignore", "-m", f"sides.{module}", *map(str, arguments)]
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        worker = subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=out, stderr=err, start_new_session=True
        )
        try:
            ended = _watch(worker, limits)
        finally:
            _end(worker)
        out.seek(0)
        err.seek(0)
        found = told(out.read())
        if ended:
            found |= {"ended": ended, "limit": limits.seconds}
        elif "done" not in found:
            lines = err.read().strip().splitlines() or [f"ended with {worker.returncode}"]
            found["ended"] = f"failed: {lines[-1][:120]}"
    return found


def _watch(worker: subprocess.Popen, limits: Limits) -> str:
    """Wait for a process; say why it is to be ended if it reaches a limit."""
    started, most = time.perf_counter(), 0.0
    while True:
        try:
            worker.wait(LOOK)
            return ""
        except subprocess.TimeoutExpired:
            cpu, mib = sum(spent(worker.pid).values()), memory(worker.pid)
        most = max(most, mib)
        if reason := limits.broken(cpu, mib, time.perf_counter() - started):
            return f"{reason} (used {cpu:.0f} s and {most:.0f} MiB with imports)"


def _end(worker: subprocess.Popen) -> None:
    """End a process and the workers that it left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def memory(process: int) -> float:
    """MiB of a process; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def told(output: str) -> dict[str, Any]:
    """Merge the lines of JSON objects in what a process printed; later ones win."""
    found: dict[str, Any] = {}
    for line in output.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found |= value
    return found
