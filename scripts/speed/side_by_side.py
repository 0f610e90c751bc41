"""What the speed scripts share: adult at any size, and a measurement in a process of its own.

The other side of a comparison runs under an interpreter without this project, so nothing of it is
imported before it is needed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from syntharena.bench.schema import Schema

Timing = tuple[float, float, Any]  # CPU seconds, MiB at the peak, what was returned
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def adult(csv: str, rows: int) -> pd.DataFrame:
    """Read adult; more rows than the file has repeat it with shifted weights."""
    return repeated(pd.read_csv(csv, na_values=["?"], skipinitialspace=True), rows)


def repeated(table: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Repeat adult with shifted weights until it has ``rows`` rows or more."""
    copies = -(-rows // len(table))
    parts = [table.assign(fnlwgt=table["fnlwgt"] + 7 * copy) for copy in range(copies)]
    return pd.concat(parts, ignore_index=True)


def train_and_holdout(csv: str, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw ``rows`` rows of train and half as many of holdout."""
    table = adult(csv, rows + rows // 2)
    order = np.random.default_rng(0).permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    return table[:rows], table[rows : rows + rows // 2].reset_index(drop=True)


def schema_of(frames: Iterable[pd.DataFrame], target: str | None = None) -> Schema:
    """Describe tables: numbers are whole, the others categories."""
    from syntharena.bench.schema import Column, Schema

    columns = []
    for name, series in pd.concat(frames).items():
        missing = bool(series.isna().any())
        if pd.api.types.is_numeric_dtype(series):
            columns.append(Column(str(name), "integer", missing=missing))
        else:
            known = tuple(sorted(series.dropna().unique()))
            columns.append(Column(str(name), "categorical", known, missing=missing))
    return Schema(tuple(columns), target, "binary" if target else None)


def timed(run: Callable[[], Any]) -> Timing:
    """CPU seconds of a call, the process's peak memory in MiB, and what the call returned."""
    started = time.process_time()
    found = run()
    seconds = time.process_time() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found


def measured(python: str, script: str, arguments: Iterable[object], seconds: float) -> str:
    """Run a script, which prints what ``timed`` returned as JSON, on one thread; describe it."""
    environment = os.environ | dict.fromkeys(THREADS, "1")
    command = [python, "-W", "ignore", script, *map(str, arguments)]
    try:
        done = subprocess.run(
            command, env=environment, timeout=seconds, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"not done in {seconds:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["killed"])[-1][:70]
    cpu, mib, found = json.loads(done.stdout.splitlines()[-1])
    return f"{cpu:8.2f} s {mib:6.0f} MiB  {found or ''}".rstrip()
