"""Attacks: from one run of a generator to features, and from runs to one score each.

Black-box features are read off synthetic rows, white-box features off what the fitted model itself
calls its ``release``; a model that learns in noisy steps may say itself what they show (``trace``
in the contract). Which mixture of them tells the worlds apart is learned on the first part of
the runs, which then takes no part in any bound. The attacker knows the Schema, both tables and the
generator, as differential privacy assumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..contracts import Budget
from ..schema import Schema
from ..seeds import stream
from .pairs import Pair, ends

Side = Literal["rows", "model", "training"]
Features = Mapping[str, float]
BINS = 32  # equal cells of a numeric range
LARGEST = 4096  # numbers of a release that are features of their own
SHRINKAGE = 0.1  # of the correlations that a rule is learned with, towards none
WIDEST = 1000  # features beyond which their correlations are not learned


@dataclass(frozen=True)
class Encoder:
    """A table as numbers and as cells, by public ends or those of rows the attacker knows.

    Parameters
    ----------
    schema : Schema
    low, high : ndarray of float64, shape (columns,)
        Ends of the numeric columns; 0 and 1 for discrete ones.
    """

    schema: Schema
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, schema: Schema, known: pd.DataFrame) -> Encoder:
        """Take ends from the Schema, and from ``known`` where it has none."""
        found = [(0.0, 1.0) if c.is_discrete else ends(c, known[c.name]) for c in schema]
        low, high = np.array(found).T
        return cls(schema, low, high)

    def units(self, table: pd.DataFrame) -> np.ndarray:
        """Return float64 of shape (rows, columns): codes, or numbers in [0, 1]; NaN if missing."""
        values = np.empty((len(table), len(self.schema)), order="F")
        for i, column in enumerate(self.schema):
            series = table[column.name]
            if column.is_discrete:
                codes = column.codes(series)
                values[:, i] = np.where(codes < 0, np.nan, codes)
            else:
                scaled = (column.numbers(series) - self.low[i]) / (self.high[i] - self.low[i])
                values[:, i] = np.clip(scaled, 0.0, 1.0)
        return values

    def cells(self, units: np.ndarray) -> np.ndarray:
        """Return int16 of shape (rows, columns): codes, or which of ``BINS``; -1 if missing."""
        cells = np.empty(units.shape, dtype=np.int16, order="F")
        for i in range(len(self.schema)):
            cells[:, i] = np.nan_to_num(self.cell(i, units[:, i]), nan=-1)
        return cells

    def cell(self, i: int, units: np.ndarray) -> np.ndarray:
        """Return the cells of column ``i`` as float64; NaN if missing."""
        if self.schema.columns[i].is_discrete:
            return units
        return np.minimum(np.floor(units * BINS), BINS - 1)


def row_features(encoder: Encoder, canary: pd.DataFrame) -> Callable[[pd.DataFrame], Features]:
    """Return what turns synthetic rows into black-box features.

    They are, all in [0, 1]: the share of rows in all of the canary's cells, and in each of them;
    the nearest row's distance (mean over columns of the difference in ranges, 1 for another
    category); and each numeric column's mean.
    """
    columns = list(encoder.schema)
    targets = encoder.units(canary)[0]

    def features(rows: pd.DataFrame) -> Features:
        units = encoder.units(rows)
        everywhere = np.ones(len(rows), dtype=bool)
        distance = np.zeros(len(rows))
        found = {}
        for i, column in enumerate(columns):
            values, target = units[:, i], targets[i]
            known = ~np.isnan(values)
            if np.isnan(target):
                same, gap = ~known, known
            else:
                gap = np.abs(values - target) if not column.is_discrete else values != target
                gap = np.where(known, gap, 1.0)
                same = encoder.cell(i, values) == encoder.cell(i, target)
            everywhere &= same
            distance += gap
            found[f"rows:cell:{column.name}"] = float(same.mean())
            if not column.is_discrete:
                found[f"rows:mean:{column.name}"] = float(values.sum(where=known) / len(rows))
        found["rows:all cells"] = float(everywhere.mean())
        found["rows:nearest"] = float(distance.min() / len(columns))
        return found

    return features


def model_features(release: Mapping[str, Any], direction: Mapping[str, np.ndarray]) -> Features:
    """Turn a fitted model's ``release`` into white-box features.

    With a ``direction``, one feature per key: the projection on it. Without one, each number, up to
    ``LARGEST`` per key; a larger array counts by its mean and its root mean square.
    """
    found = {}
    for key, value in release.items():
        numbers = np.nan_to_num(np.asarray(value, dtype=np.float64).ravel())
        along = direction.get(key)
        if direction:
            if along is not None and len(along) == len(numbers):
                found[f"model:{key}"] = float(numbers @ along)
        elif len(numbers) > LARGEST:
            found[f"model:{key}:mean"] = float(numbers.mean())
            found[f"model:{key}:rms"] = float(np.sqrt((numbers**2).mean()))
        else:
            found |= {f"model:{key}:{i}": float(number) for i, number in enumerate(numbers)}
    return found


def exact_direction(
    make: Callable[[], Any], pair: Pair, schema: Schema, seed: int
) -> dict[str, np.ndarray]:
    """Return by how much the canary moves each key of a release that has no noise.

    The best direction for noise that is equal in all of a key's numbers. Empty where the generator
    has no release, refuses or fails at an infinite epsilon, or draws a different release each time.
    """
    budget = Budget()

    def exact(table: pd.DataFrame, draw: str) -> Mapping[str, Any]:
        rng = stream(seed, "audit", "exact", draw)
        fitted = make().fit(table, schema=schema, budget=budget, rng=rng)
        return getattr(fitted, "release", {})

    skip = getattr(make(), "skip", None)
    if skip is not None and skip(schema, budget):
        return {}
    asked = ((pair.absent, "first"), (pair.absent, "second"), (pair.present, "first"))
    try:
        releases = [exact(table, draw) for table, draw in asked]
    except Exception:  # nobody promised that it can do without a budget
        return {}
    absent, again, present = (
        {key: np.asarray(value, dtype=np.float64).ravel() for key, value in release.items()}
        for release in releases
    )
    if absent.keys() != again.keys() or any(
        not np.array_equal(absent[key], again[key]) for key in absent
    ):
        return {}
    common = [key for key in absent if key in present and absent[key].shape == present[key].shape]
    moved = {key: present[key] - absent[key] for key in common}
    return {key: move for key, move in moved.items() if np.isfinite(move).all() and move.any()}


def scores(
    names: tuple[str, ...],
    absent: np.ndarray,
    present: np.ndarray,
    side: Side,
    learning: float = 0.4,
) -> tuple[np.ndarray, np.ndarray]:
    """Return one score for each run that no rule was learned on, in both worlds.

    Parameters
    ----------
    names : tuple of str
        Of the features.
    absent, present : ndarray of float64, shapes (m, features) and (n, features)
        One row per run; NaN where a run has no such feature.
    side : {"rows", "model", "training"}
        Which features the attack may use; a single one is its own score and needs no learning.
    learning : float
        Share of the runs, the first ones, that the rule is learned on, in (0, 1).

    Raises
    ------
    ValueError
        If there is no such feature.
    """
    mine = [i for i, name in enumerate(names) if name.startswith(f"{side}:")]
    if not mine:
        raise ValueError(f"no feature of side {side!r}; audit a generator that has a release")
    worlds = absent[:, mine], present[:, mine]
    if len(mine) == 1 and not any(np.isnan(world).any() for world in worlds):
        return worlds[0][:, 0], worlds[1][:, 0]
    learned = [round(learning * len(world)) for world in worlds]
    first = [world[:count] for world, count in zip(worlds, learned, strict=True)]
    usable = ~np.isnan(np.concatenate(first)).any(axis=0)
    if not usable.any():
        raise ValueError(f"no feature of side {side!r} is there in every run")
    centre, weights = _discriminant(first[0][:, usable], first[1][:, usable])
    rest = [world[count:, usable] for world, count in zip(worlds, learned, strict=True)]
    projected = [np.nan_to_num(world - centre) @ weights for world in rest]
    return projected[0], projected[1]


def _discriminant(absent: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Learn Fisher's linear discriminant with shrunken correlations: its centre and weights."""
    means = absent.mean(axis=0), present.mean(axis=0)
    within = np.concatenate([absent - means[0], present - means[1]])
    spread = within.std(axis=0)
    shift = means[1] - means[0]
    # A feature that never varies within a world decides alone where it differs between them.
    scale = np.where(spread > 0, spread, np.maximum(np.abs(shift), 1.0) * 1e-6)
    effect = shift / scale
    if len(effect) <= WIDEST:
        standard = within / scale
        correlations = (1 - SHRINKAGE) * standard.T @ standard / len(within)
        effect = np.linalg.solve(correlations + SHRINKAGE * np.eye(len(effect)), effect)
    return (means[0] + means[1]) / 2, effect / scale
