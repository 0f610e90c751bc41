"""Print what every generator without a privacy mechanism costs on a large mixed table.

    python scripts/speed/large_table.py [NAME ...] [--rows 300000] [--columns 50] [--preset cpu]
        [--asked COLUMNS] [--draws ROWS]

Half of the columns are numbers: normal, skewed, mostly zero, whole, and one in five with missing
values. The others are categories, 2 to 30 of them, once 50 and once 3,000, and a target of two.
What they have in common is a few hidden factors. Each line is a process of its own that fits the
table and draws as many rows; with --asked, then as many again given that number of columns. A
process above 9 GiB or 20 CPU minutes is ended, and the line says so. "apart" is the distance of
the correlation of the first two numbers from that in the table.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema

PROMISED_MIB, MOST_MIB = 8 * 1024, 9 * 1024
MOST_SECONDS = 20 * 60
LOOK_SECONDS = 0.1  # between two looks at a process; it can take half a GiB in them
FACTORS = 5
MANY = (50, 3000)  # categories of the last columns but the target


def main() -> None:
    """Measure each generator in a process of its own."""
    options = arguments()
    if options.worker:
        print(json.dumps(work(options)))
        return
    specs = config.all_options("generator", preset=options.preset)
    plain = [name for name, spec in specs.items() if "dp" not in spec["about"].get("tags", ())]
    print(f"{options.rows} rows of {options.columns} columns, preset {options.preset}")
    heads = f"{'generator':18} {'fit s':>8} {'sample s':>8} {'rows/s':>8} {'given s':>8}"
    print(f"{heads} {'peak MiB':>8} {'- table':>8} {'apart':>6}  within 8 GiB")
    for name in options.names or plain:
        print(f"{name:18} {line(watched(name))}", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--preset", default="cpu", choices=config.PRESETS)
    parser.add_argument("--asked", type=int, default=0)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def watched(name: str) -> dict[str, Any]:
    """Run this script as a worker, and end it if it takes too much."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", name]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ended = ""
    while not ended:
        try:
            out, err = worker.communicate(timeout=LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            ended = excess(worker.pid)
    if ended:
        worker.kill()
        worker.communicate()
        return {"ended": ended}
    if worker.returncode:
        return {"ended": err.strip().splitlines()[-1]}
    return json.loads(out.splitlines()[-1])


def excess(process: int) -> str:
    """Say of what a process has taken too much, or nothing."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if pages * os.sysconf("SC_PAGE_SIZE") > MOST_MIB * 2**20:
        return f"ended above {MOST_MIB} MiB"
    if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") > MOST_SECONDS:
        return f"ended after {MOST_SECONDS} CPU seconds"
    return ""


def line(found: dict[str, Any]) -> str:
    """Format what was measured."""
    if "ended" in found:
        return found["ended"]
    rate = found["draws"] / max(found["sample"], 1e-9)
    given = f"{found['given']:8.1f}" if "given" in found else " " * 8
    return (
        f"{found['fit']:8.1f} {found['sample']:8.1f} {rate:8.0f} {given} "
        f"{found['peak']:8.0f} {found['peak'] - found['table']:8.0f} {found['apart']:6.2f}  "
        f"{'yes' if found['peak'] <= PROMISED_MIB else 'NO'}"
    )


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Fit one generator and draw from it; CPU seconds and MiB."""
    spec = config.all_options("generator", preset=options.preset)[options.worker]
    schema, train = mixed_table(options.rows, options.columns)
    for module in spec["about"]["preload"]:
        importlib.import_module(module)
    model = targets.build(spec, ("fit", "sample"))
    draws = options.draws or options.rows
    forget_peak()
    started = time.process_time()
    model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(1))
    fitted = time.process_time()
    made = model.sample(draws, rng=np.random.default_rng(2))
    found = {"draws": draws, "fit": fitted - started, "sample": time.process_time() - fitted}
    check(schema, made, draws)
    if options.asked and "conditions" in inspect.signature(model.sample).parameters:
        names = schema.names[:: max(len(schema) // options.asked, 1)][: options.asked]
        asked = made.iloc[::-1][names].reset_index(drop=True)
        started = time.process_time()
        kept = model.sample(draws, rng=np.random.default_rng(3), conditions=asked)
        found["given"] = time.process_time() - started
        check(schema, kept, draws)
        pd.testing.assert_frame_equal(kept[names], asked)
    found["apart"] = float(abs(correlation(train) - correlation(made)))
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["table"] = train.memory_usage(index=False).sum() / 2**20
    return found


def correlation(table: pd.DataFrame) -> float:
    """Return the correlation of the first two numbers, 0 if one has a single value."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.corrcoef(table["n0"], table["n1"])[0, 1]))


def check(schema: Schema, table: pd.DataFrame, rows: int) -> None:
    """Raise a ValueError if a drawn table breaks the Schema."""
    if problems := schema.problems(table, rows):
        raise ValueError("; ".join(problems))


def forget_peak() -> None:
    """Let the peak of memory begin anew, so that making the table is not in it."""
    Path("/proc/self/clear_refs").write_text("5")


def mixed_table(rows: int, columns: int) -> tuple[Schema, pd.DataFrame]:
    """Make the table: numbers ``n0``, ..., categories ``c0``, ..., and the target ``y``."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((FACTORS, rows))
    numbers = columns // 2
    sizes = [2 + 7 * place % 29 for place in range(columns - numbers - 1 - len(MANY))]
    made = [number(place, factors, rng) for place in range(numbers)]
    made += [category(i, size, factors, rng) for i, size in enumerate([*sizes, *MANY])]
    target = Column("y", "categorical", ("no", "yes"))
    likely = factors[:2].sum(axis=0) + rng.standard_normal(rows) > 1
    made.append((target, target.from_codes(likely.astype(np.int64))))
    schema = Schema(tuple(column for column, _ in made), target="y", task="binary")
    return schema, schema.assemble({column.name: series for column, series in made})


def number(place: int, factors: np.ndarray, rng: np.random.Generator) -> tuple[Column, pd.Series]:
    """Make a numeric column that a factor shows in; the first two share theirs."""
    shared = factors[max(place - 1, 0) % FACTORS]
    normal = 0.9 * shared + np.sqrt(1 - 0.9**2) * rng.standard_normal(len(shared))
    sort = place % 5
    if sort in (0, 1):
        return filled(Column(f"n{place}", "continuous"), normal)
    if sort == 2:
        return filled(Column(f"n{place}", "continuous", decimals=2), 1000 * np.exp(normal))
    if sort == 3:
        return filled(Column(f"n{place}", "integer", minimum=0), np.maximum(500 * normal - 400, 0))
    absent = rng.random(len(normal)) < 0.05
    column = Column(f"n{place}", "integer", missing=True)
    return filled(column, np.where(absent, np.nan, np.rint(10 * normal)))


def filled(column: Column, numbers: np.ndarray) -> tuple[Column, pd.Series]:
    """Put a column beside its values."""
    return column, column.from_numbers(numbers)


def category(
    place: int, size: int, factors: np.ndarray, rng: np.random.Generator
) -> tuple[Column, pd.Series]:
    """Make a column of categories, the last ones rare, that a factor shows in."""
    noisy = factors[place % FACTORS] + 0.5 * rng.standard_normal(factors.shape[1])
    ranks = noisy.argsort().argsort() / len(noisy)
    names = tuple(f"v{i}" for i in range(size))
    column = Column(f"c{place}", "categorical", names)
    return column, column.from_codes((size * ranks**2).astype(np.int64))


if __name__ == "__main__":
    main()
