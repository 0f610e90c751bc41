"""Conditions by selection, for models that draw whole rows only.

Candidates are drawn without conditions; every row asked for takes the one that fits its conditions
best and then has them exactly. What the other columns say is as good as the fit is close: with
conditions that few candidates meet, draw more of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import fixed_columns, to_values

CANDIDATES = 20  # for each row asked for
FEWEST, MOST = 5_000, 200_000  # candidates in all
MISMATCH = 1e3  # distance of two categories, in ranges of a number
JITTER = 1e-3  # picks among equal candidates at random


def by_selection(
    draw: Callable[[int], pd.DataFrame],
    conditions: pd.DataFrame | None,
    schema: Schema,
    n: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw ``n`` rows that meet the conditions, if there are any.

    Parameters
    ----------
    draw : callable
        Draws so many canonical rows.
    conditions : DataFrame or None
        n rows, some of the columns.

    Raises
    ------
    ValueError
        If the conditions break the Schema or have another number of rows.
    """
    fixed = fixed_columns(conditions, schema, n)
    if not fixed or not n:
        return draw(n)
    candidates = draw(int(np.clip(CANDIDATES * n, FEWEST, MOST)))
    asked = pd.DataFrame(fixed)
    chosen = _nearest(_points(candidates, asked, schema, rng), len(candidates))
    rows = candidates.iloc[chosen].reset_index(drop=True)
    return schema.assemble({name: fixed.get(name, rows[name]) for name in schema.names})


def _points(
    candidates: pd.DataFrame, asked: pd.DataFrame, schema: Schema, rng: np.random.Generator
) -> np.ndarray:
    """Place candidates, then what is asked, in one space; float32 of shape (rows, coordinates)."""
    kept = [column for column in schema if column.name in asked.columns]
    part = Schema(tuple(kept))
    values = np.vstack([to_values(table[part.names], part) for table in (candidates, asked)])
    parts = [rng.normal(scale=JITTER, size=(len(values), 2))]
    for column, seen in zip(kept, values.T, strict=True):
        missing = np.isnan(seen)
        if column.is_discrete:
            codes = np.where(missing, len(column.categories), seen).astype(np.int64)
            parts.append(MISMATCH * np.eye(len(column.categories) + 1)[codes])
            continue
        known = seen[~missing]
        reach = (np.ptp(known) if len(known) else 0.0) or 1.0
        scaled = (seen - (known.min() if len(known) else 0.0)) / reach
        parts.append(np.column_stack([np.where(missing, 0.0, scaled), MISMATCH * missing]))
    return np.hstack(parts).astype(np.float32)


def _nearest(points: np.ndarray, candidates: int) -> np.ndarray:
    """Return the candidate nearest to each row asked for."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1).fit(points[:candidates])
    return search.kneighbors(points[candidates:], return_distance=False)[:, 0]
