"""Fit one generator on a large mixed table, and tell what that cost: ``python -m sides.large``.

Half of the columns are numbers: normal, skewed, mostly zero, whole, and one in five with missing
values. The others are categories, 2 to 30 of them, once 50 and once 3,000, and a target of two.
What they have in common is a few hidden factors.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
from typing import Any

import numpy as np
import pandas as pd

from sides import meter
from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema

FACTORS = 5
MANY = (50, 3000)  # categories of the last columns but the target


def main() -> None:
    """Fit, draw, and draw with conditions if asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generator")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--columns", type=int, required=True)
    parser.add_argument("--preset", required=True, choices=config.PRESETS)
    parser.add_argument("--asked", type=int, default=0, help="columns that conditions fix")
    options = parser.parse_args()
    spec = config.all_options("generator", preset=options.preset)[options.generator]
    schema, train = mixed_table(options.rows, options.columns)
    for module in spec["about"]["preload"]:
        importlib.import_module(module)
    model = targets.build(spec, ("fit", "sample"))
    meter.forget_peak()
    meter.tell(table=train.memory_usage(index=False).sum() / 2**20)
    measure("fit", model.fit, train, schema=schema, budget=Budget(), rng=np.random.default_rng(1))
    made = measure("sample", model.sample, options.rows, rng=np.random.default_rng(2))
    check(schema, made, options.rows)
    meter.tell(apart=float(abs(correlation(train) - correlation(made))))
    if options.asked and "conditions" in inspect.signature(model.sample).parameters:
        names = schema.names[:: max(len(schema) // options.asked, 1)][: options.asked]
        asked = made.iloc[::-1][names].reset_index(drop=True)
        draw = {"rng": np.random.default_rng(3), "conditions": asked}
        kept = measure("given", model.sample, options.rows, **draw)
        check(schema, kept, options.rows)
        pd.testing.assert_frame_equal(kept[names], asked)
    meter.tell(done=True)


def measure(name: str, call: Any, *arguments: Any, **named: Any) -> Any:
    """Call something, and tell its CPU seconds and the peak of memory until then, in MiB."""
    started = meter.cpu_seconds()
    found = call(*arguments, **named)
    meter.tell(**{name: meter.cpu_seconds() - started, "peak": meter.mib("VmHWM")})
    return found


def correlation(table: pd.DataFrame) -> float:
    """Return the correlation of the first two numbers, 0 if one has a single value."""
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.corrcoef(table["n0"], table["n1"])[0, 1]))


def check(schema: Schema, table: pd.DataFrame, rows: int) -> None:
    """Raise a ValueError if a drawn table breaks the Schema."""
    if problems := schema.problems(table, rows):
        raise ValueError("; ".join(problems))


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
