"""Fit a differentially private synthesizer of another library and write what came out.

This script and ``libraries.py`` run on the Python, numpy and pandas of each library's own
environment (README.md beside them) and import nothing of this project. Files go in, files come out.

    worker.py --method M --pair DIR --epsilon 1 --delta 1e-5 --runs 0:200 --rows 5000 --out F.npz
    worker.py --method M --pair DIR --check-schema CATEGORY --runs 0:5 --rows 2000 --out F.json
    worker.py --method M --table T.csv --domain S.json --rows N --out F.csv --seconds-out C.json

DIR holds without.csv, with.csv (the same rows and one more) and schema.json, the public domain:
{column: {"kind": "categorical", "categories": [...]}} or {"kind": "integer" or "continuous",
"minimum": a, "maximum": b}. --set NAME=JSON changes an argument of the library's constructor.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
import warnings
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from libraries import METHODS, Fitted, Task, fit, load_library


def read(path: Path, domain: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Read a table with the types of its public domain; a column with text categories is text."""
    types: dict[str, Any] = {}
    for name, column in domain.items():
        texts = any(isinstance(category, str) for category in column.get("categories", []))
        types[name] = {"continuous": float, "integer": int}.get(
            column["kind"], str if texts else int
        )
    return pd.read_csv(path, dtype=types, keep_default_na=False)[list(domain)]


def as_text(values: Any) -> np.ndarray:
    """Texts of categories, whole numbers without a point, so that libraries' types compare."""
    return np.array([str(int(v)) if is_whole(v) else str(v) for v in values], dtype=object)


def is_whole(value: Any) -> bool:
    """Whether a value is a number without fraction."""
    return isinstance(value, (int, float, np.integer, np.floating)) and float(value).is_integer()


def extra_record(without: pd.DataFrame, with_: pd.DataFrame) -> tuple[Any, ...]:
    """Return the one row that with.csv has more."""
    rows = [Counter(frame.itertuples(index=False, name=None)) for frame in (without, with_)]
    (extra,) = (rows[1] - rows[0]).elements()
    return extra


@dataclass
class Attack:
    """Simple features of synthetic rows that betray the extra record."""

    extra: tuple[Any, ...]
    middles: dict[str, float]  # halfway from the common value of a number to the extra's

    @classmethod
    def against(cls, without: pd.DataFrame, with_: pd.DataFrame, task: Task) -> Attack:
        """Prepare for a pair."""
        extra = extra_record(without, with_)
        named = dict(zip(with_, extra, strict=True))
        return cls(extra, {n: (without[n].median() + named[n]) / 2 for n in task.numeric})

    def names(self, columns: list[str]) -> list[str]:
        """Names of the features."""
        return [
            "equal_rows",
            *(f"share:{column}" for column in columns),
            "rows",
            "default_rows",
            "vocabulary",
        ]

    def features(self, fitted: Fitted, synthetic: pd.DataFrame, columns: list[str]) -> list[float]:
        """Count what looks like the extra record.

        Rows like it in all columns; per column the share of rows with its value, or on its side of
        the middle; rows; rows by default; columns whose stored vocabulary has its value.
        """
        alike = np.ones((len(synthetic), len(columns)), dtype=bool)
        stored = math.nan
        for position, (name, value) in enumerate(zip(columns, self.extra, strict=True)):
            if name in self.middles:
                numbers = synthetic[name].to_numpy(dtype=float)
                alike[:, position] = (numbers > self.middles[name]) == (value > self.middles[name])
                continue
            alike[:, position] = as_text(synthetic[name]) == as_text([value])[0]
            if name in fitted.vocabulary:
                held = as_text([value])[0] in set(as_text(fitted.vocabulary[name]))
                stored = held + (0 if math.isnan(stored) else stored)
        shares = alike.mean(0) if len(alike) else np.zeros(len(columns))
        equal = float(alike.all(1).sum())
        return [equal, *map(float, shares), len(synthetic), fitted.default_rows, stored]


def audit(options: argparse.Namespace) -> None:
    """Fit on both tables of a pair in every run and store the features of each world."""
    domain = json.loads((options.pair / "schema.json").read_text())
    tables = [read(options.pair / f"{name}.csv", domain) for name in ("without", "with")]
    columns = list(domain)
    attack = Attack.against(*tables, task=asked(options, tables[0], domain, 0))
    names = attack.names(columns)
    runs = list(range(*options.runs))
    features = np.full((2, len(runs), len(names)), math.nan)
    errors = np.full((2, len(runs)), "", dtype="U300")
    seconds = np.full((2, len(runs)), math.nan)
    for position, run in enumerate(runs):
        for world, table in enumerate(tables):
            task = asked(options, table, domain, seed_of(options.seed, run, world))
            started = cpu_seconds()
            try:
                fitted = fit(options.method, task)
                synthetic = sampled(fitted, options.rows)
                features[world, position] = attack.features(fitted, synthetic, columns)
            except Exception as error:
                errors[world, position] = f"{type(error).__name__}: {error}"[:300]
            seconds[world, position] = cpu_seconds() - started
        done = slice(0, position + 1)
        np.savez(
            options.out,
            features0=features[0, done],
            features1=features[1, done],
            names=np.array(names),
            runs=np.array(runs[done]),
            errors0=errors[0, done],
            errors1=errors[1, done],
            seconds0=seconds[0, done],
            seconds1=seconds[1, done],
        )


def check_schema(options: argparse.Namespace) -> None:
    """Say whether a category outside the public domain comes out, and what else tells of it."""
    domain = json.loads((options.pair / "schema.json").read_text())
    report = []
    for run in range(*options.runs):
        for world, name in enumerate(("without", "with")):
            table = read(options.pair / f"{name}.csv", domain)
            task = asked(options, table, domain, seed_of(options.seed, run, world))
            entry: dict[str, Any] = {"run": run, "table": name, "rows_fitted": len(table)}
            try:
                fitted = fit(options.method, task)
                entry.update(told(fitted, sampled(fitted, options.rows), task, options.category))
            except Exception as error:
                entry["error"] = f"{type(error).__name__}: {error}"[:300]
            report.append(entry)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def told(fitted: Fitted, synthetic: pd.DataFrame, task: Task, category: str) -> dict[str, Any]:
    """Count what lies outside the public domain, in the rows and in the stored vocabulary."""
    outside, stored, hits = {}, {}, np.zeros(len(synthetic), dtype=bool)
    for name in task.discrete:
        public = set(as_text(task.domain[name]["categories"]))
        values = as_text(synthetic[name])
        hits |= values == category
        outside[name] = int(sum(value not in public for value in values))
        if name in fitted.vocabulary:
            stored[name] = sorted(set(as_text(fitted.vocabulary[name])) - public)
    for name in task.numeric:
        low, high = task.bounds(name)
        numbers = synthetic[name].to_numpy(dtype=float)
        outside[name] = int(((numbers < low) | (numbers > high)).sum())
    return {
        "rows": len(synthetic),
        "default_rows": fitted.default_rows,
        "rows_with_category": int(hits.sum()),
        "rows_outside": outside,
        "vocabulary_outside": stored,
    }


def one_table(options: argparse.Namespace) -> None:
    """Fit once, write synthetic rows, and say what it cost."""
    domain = json.loads(options.domain.read_text())
    table = read(options.table, domain)
    load_library(options.method)
    marks = [(cpu_seconds(), time.perf_counter())]
    fitted = fit(options.method, asked(options, table, domain, options.seed))
    marks.append((cpu_seconds(), time.perf_counter()))
    synthetic = sampled(fitted, options.rows)
    marks.append((cpu_seconds(), time.perf_counter()))
    synthetic.to_csv(options.out, index=False)
    cost = {
        "method": options.method,
        "settings": options.settings,
        "epsilon": options.epsilon,
        "delta": options.delta,
        "rows_fitted": len(table),
        "rows": len(synthetic),
        "default_rows": fitted.default_rows,
        "fit_cpu_seconds": marks[1][0] - marks[0][0],
        "sample_cpu_seconds": marks[2][0] - marks[1][0],
        "fit_wall_seconds": marks[1][1] - marks[0][1],
        "sample_wall_seconds": marks[2][1] - marks[1][1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if options.seconds_out:
        options.seconds_out.write_text(json.dumps(cost, indent=1) + "\n")


def asked(options: argparse.Namespace, table: pd.DataFrame, domain: Any, seed: int) -> Task:
    """Put together what a library is asked."""
    return Task(table, domain, options.epsilon, options.delta, seed, dict(options.settings))


def sampled(fitted: Fitted, rows: int) -> pd.DataFrame:
    """Sample rows; what the library prints goes to standard error."""
    with redirect_stdout(sys.stderr):
        return pd.DataFrame(fitted.sample(rows)).reset_index(drop=True)


def seed_of(seed: int, run: int, world: int) -> int:
    """Seed of one fit, below 2**31, for libraries that take no larger one."""
    return int(np.random.SeedSequence([seed, run, world]).generate_state(1)[0] >> 1)


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--pair", type=Path, help="folder of without.csv, with.csv, schema.json")
    parser.add_argument("--table", type=Path, help="one table instead of a pair")
    parser.add_argument("--domain", type=Path, help="public domain of --table")
    parser.add_argument("--check-schema", dest="category", help="category outside the domain")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--runs", default="0:20", help="first:after the last")
    parser.add_argument("--rows", type=int, required=True, help="synthetic rows of each fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=JSON")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds-out", type=Path)
    options = parser.parse_args()
    if (options.pair is None) == (options.table is None):
        parser.error("hand over one of --pair and --table")
    if options.table and not options.domain:
        parser.error("--table needs --domain")
    options.runs = tuple(map(int, options.runs.split(":")))
    pairs = (setting.partition("=") for setting in options.settings)
    options.settings = {name: json.loads(value) for name, _, value in pairs}
    return options


def main() -> None:
    """Run one of the three modes."""
    warnings.filterwarnings("ignore")
    options = parsed()
    if options.table:
        one_table(options)
    elif options.category:
        check_schema(options)
    else:
        audit(options)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
