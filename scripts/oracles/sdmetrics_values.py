"""Values of SDMetrics for Shape, Trend and Detection: tests/fixtures/sdmetrics.json.

Runs in an environment of its own that holds sdmetrics==0.32.0 and nothing of this project:

    python scripts/oracles/sdmetrics_values.py conf/dataset/tables tests/fixtures/sdmetrics.json

Pairs are scored by SDMetrics' own pair metrics, averaged as its report does with both thresholds at
0. The report itself is not asked: since 0.2x it leaves out pairs whose real correlation is at most
0.5 (association 0.3), bins each table by its own extremes, and draws 50,000 rows without a seed.
LogisticDetection draws its folds from numpy's global generator, seeded here, and is handed columns
sorted by name.
"""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TARGETS = {"german_credit": "class", "adult": "income"}
ROWS = 5000
VARIANTS = ("rolled", "noised", "holes", "drifted")
FOLD_SEED = 0


def read(path: Path, target: str) -> pd.DataFrame:
    """Read the first rows of a table; discrete columns are texts, the others float64."""
    table = pd.read_csv(path, nrows=ROWS)
    for name in table:
        numeric = pd.api.types.is_numeric_dtype(table[name]) and name != target
        table[name] = table[name].astype("float64" if numeric else object)
    return table


def variant(table: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a (real, synthetic) pair from a table by arithmetic alone, without random numbers."""
    real, synthetic = table.copy(), table.copy()
    rows = np.arange(len(table))
    if kind == "drifted":  # the more often a row, the further up it stands
        first = next(name for name in table if table[name].dtype == float)
        synthetic = real.sort_values(first, kind="stable").iloc[rows**2 // len(rows)]
        return real, synthetic.reset_index(drop=True)
    for position, name in enumerate(table, start=1):
        values = table[name]
        if kind == "rolled":
            synthetic[name] = np.roll(values.to_numpy(), 37 * position)
        elif kind == "noised" and values.dtype == float:
            synthetic[name] = values + np.sin(rows * position) * values.std()
        elif kind == "noised":
            synthetic[name] = values.where(rows % 3 > 0, values.shift(1, fill_value=values[0]))
        else:
            real[name] = values.where((rows + position) % 11 > 0)
            synthetic[name] = values[::-1].reset_index(drop=True).where((rows + position) % 7 > 0)
    return real, synthetic


def values(real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, Any]:
    """Score all columns and all pairs, in table order, and the table."""
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement

    numeric = {name for name in real if real[name].dtype == float}
    shape = [
        (KSComplement if name in numeric else TVComplement).compute(real[name], synthetic[name])
        for name in real
    ]
    trend = []
    for pair in combinations(real, 2):
        sides = real[list(pair)].copy(), synthetic[list(pair)].copy()
        binned = [name for name in pair if name in numeric]
        if len(binned) == 2:
            trend.append(CorrelationSimilarity.compute(*sides))
        else:
            trend.append(ContingencySimilarity.compute(*sides, continuous_column_names=binned))
    return {
        "shape": [float(x) for x in shape],
        "trend": [float(x) for x in trend],
        "detection": detection(real, synthetic),
    }


def detection(real: pd.DataFrame, synthetic: pd.DataFrame) -> float | None:
    """Score the whole table by LogisticDetection, which refuses categories new to it (None)."""
    from sdmetrics.single_table import LogisticDetection

    names = sorted(real)
    if any(
        set(synthetic[name].dropna()) - set(real[name])
        for name in names
        if real[name].dtype == object
    ):
        return None
    np.random.seed(FOLD_SEED)  # noqa: NPY002 - SDMetrics takes no generator
    return float(LogisticDetection.compute(real[names].copy(), synthetic[names].copy()))


def main(tables: Path, out: Path) -> None:
    """Write the values of every table and variant."""
    found = {
        name: {
            kind: values(*variant(read(tables / f"{name}.csv.gz", target), kind))
            for kind in VARIANTS
        }
        for name, target in TARGETS.items()
    }
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
