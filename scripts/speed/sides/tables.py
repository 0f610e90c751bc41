"""The tables that both sides see, and what the rows that they draw are worth.

adult as files: text and whole numbers, a missing value as the category "?", so that no side has to
know missing values. Larger tables repeat the train rows; the holdout stays what nobody saw.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import adult, repeated, schema_of

from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Schema
from syntharena.evaluators.shape import Shape
from syntharena.evaluators.trend import Trend
from syntharena.evaluators.utility import scores

TARGET = "income"
TRAIN = 2 / 3  # share of adult's rows
MODEL = "xgboost"


def write(csv: str, rows: int | None, folder: Path) -> int:
    """Write train.csv with so many rows, two thirds of adult if None, and holdout.csv.

    Returns
    -------
    int
        The rows of train.
    """
    table = adult(csv, 1).fillna("?")
    order = np.random.default_rng(0).permutation(len(table))
    share = known(len(table))
    train = repeated(table.iloc[order[:share]], rows or share)[: rows or share]
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    table.iloc[order[share:]].to_csv(folder / "holdout.csv", index=False)
    return len(train)


def known(rows: int) -> int:
    """Return how many rows of the file the generators may know."""
    return round(TRAIN * rows)


def read(folder: Path) -> tuple[Schema, pd.DataFrame, pd.DataFrame]:
    """Return the Schema, train and holdout."""
    sides = [pd.read_csv(folder / f"{name}.csv") for name in ("train", "holdout")]
    schema = schema_of(sides, TARGET)
    train, holdout = (schema.conform(side) for side in sides)
    return schema, train, holdout


def bounded(schema: Schema, train: pd.DataFrame) -> Schema:
    """Give numbers the bounds of their own rows, which is no private release."""
    columns = [
        column
        if column.is_discrete
        else replace(
            column, minimum=float(train[column.name].min()), maximum=float(train[column.name].max())
        )
        for column in schema
    ]
    return Schema(tuple(columns), schema.target, schema.task)


class Judge:
    """Scores tables against the same real rows.

    Parameters
    ----------
    folder : Path
        Of the tables.
    """

    def __init__(self, folder: Path) -> None:
        schema, train, holdout = read(folder)
        columns = tuple(replace(column, missing=True) for column in schema)
        self.schema = Schema(columns, schema.target, schema.task)
        self.train, self.holdout = (self.schema.conform(side) for side in (train, holdout))

    def scores(self, drawn: Path) -> dict[str, float]:
        """Return TSTR, shape and trend of the rows in a file."""
        table = pd.read_csv(drawn)[self.schema.names]
        for column in self.schema:
            if not column.is_discrete:
                table[column.name] = table[column.name].round()
        synthetic = self.schema.conform(table)
        tables = Tables(self.train, self.holdout, self.holdout, synthetic)
        rng = np.random.default_rng(0)
        given = {"schema": self.schema, "rng": rng}
        found = {
            "shape": Shape().evaluate(tables, **given)["shape_score"],
            "trend": Trend().evaluate(tables, **given)["trend_score"],
        }
        return {"auroc": self._auroc(tables, "tstr"), **found}

    def real(self) -> float:
        """Return the AUROC of what real rows teach."""
        return self._auroc(Tables(self.train, self.holdout, self.holdout, self.train), "trtr")

    def _auroc(self, tables: Tables, route: str) -> float:
        found = scores(MODEL, route, tables, self.schema)["auroc_score"]
        return float("nan") if isinstance(found, str) else found.value
