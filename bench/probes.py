"""Probe tables: small tables of every sort, for contract checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from .contracts import Tables
from .schema import Column, Schema

ROWS = 120

NUMERIC = (
    Column("height", "continuous", minimum=-4.0, maximum=4.0, decimals=3),
    Column("weight", "continuous", minimum=0.0, maximum=100.0, missing=True),
    Column("visits", "integer", minimum=0, maximum=9),
    Column("age", "integer", minimum=18, maximum=99, missing=True),
)
DISCRETE = (
    Column("city", "categorical", categories=("Bonn", "Oslo", "=CMD()", "../x", "${oc.env:X}")),
    Column("grade", "categorical", categories=("a", "b", "c"), ordered=True, missing=True),
    Column("member", "boolean"),
)
OTHER = (
    Column("born", "datetime", minimum="1950-01-01", maximum="2020-12-31", missing=True),
    Column("constant", "categorical", categories=("only",)),
    Column("unknown", "categorical", missing=True),
)
LABEL = Column("label", "categorical", categories=("no", "yes"))
AMOUNT = Column("amount", "continuous", minimum=0.0, maximum=50.0)


def schemas() -> Mapping[str, Schema]:
    """Return the Schemas of the probe tables by name."""
    return {
        "mixed": Schema((*NUMERIC, *DISCRETE, *OTHER, LABEL), "label", "binary", ("member",)),
        "numeric": Schema((*NUMERIC, AMOUNT), "amount", "regression"),
        "discrete": Schema((*DISCRETE, LABEL), "label", "binary"),
        "no target": Schema((*NUMERIC, *DISCRETE)),
        "one column": Schema((LABEL,), "label", "binary"),
    }


def table(schema: Schema, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a table under ``schema``; where columns allow it, a tenth of the values is missing."""
    return schema.assemble({column.name: _draw(column, rows, rng) for column in schema})


def _draw(column: Column, rows: int, rng: np.random.Generator) -> pd.Series:
    absent = (rng.random(rows) < 0.1) & column.missing
    if column.is_discrete:
        if not column.categories:
            return column.from_codes(np.full(rows, -1))
        weights = 1 / np.arange(1, len(column.categories) + 1)
        codes = rng.choice(len(weights), size=rows, p=weights / weights.sum())
        return column.from_codes(np.where(absent, -1, codes))
    low, high = column.lower, column.upper
    numbers = low + (high - low) * rng.beta(2, 5, size=rows)
    return column.from_numbers(np.where(absent, np.nan, numbers))


def tables(schema: Schema, rng: np.random.Generator) -> Tables:
    """Draw the four tables that an evaluator is handed, all from one distribution."""
    cost = {"fit_seconds": 1.0, "sample_seconds": 0.5, "peak_rss_mib": 10.0}
    train, holdout, reference, synthetic = (table(schema, ROWS, rng) for _ in range(4))
    return Tables(train, holdout, reference, synthetic, cost)


def with_synthetic(given: Tables, synthetic: pd.DataFrame) -> Tables:
    """Return the same tables with other synthetic rows."""
    return replace(given, synthetic=synthetic, _shared={})
