"""Runs: fit a generator many times in both worlds, and keep what an attacker sees of each.

Every run draws its random numbers from the audit's seed, its world and its own number, so that runs
can be split over processes and cells in any way and joined later: ``pool``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..contracts import Budget, Generator
from ..schema import Schema
from ..seeds import stream
from .attacks import Encoder, Side, exact_direction, model_features, row_features, scores
from .pairs import Pair

ROWS = 10_000  # synthetic rows per run: sampling noise hides leakage, and rows cost no privacy
WORLDS = ("absent", "present")


@dataclass(frozen=True)
class Runs:
    """Features of runs in both worlds.

    Parameters
    ----------
    names : tuple of str
        Of the features: ``rows:...`` black-box, ``model:...`` white-box, ``training:trace``.
    numbers : tuple of int
        The runs' own numbers, ascending.
    absent, present : ndarray of float64, shape (runs, features)
        One row per run; NaN where a run has no such feature.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    absent: np.ndarray
    present: np.ndarray

    @property
    def sides(self) -> tuple[Side, ...]:
        """Which attacks there are features for."""
        sides: tuple[Side, ...] = ("rows", "model", "training")
        return tuple(s for s in sides if any(n.startswith(f"{s}:") for n in self.names))

    def scores(self, side: Side) -> tuple[np.ndarray, np.ndarray]:
        """Return the attack's scores without and with the canary; see ``attacks.scores``."""
        return scores(self.names, self.absent, self.present, side)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists; None where a run has no such feature."""
        worlds = {"absent": self.absent, "present": self.present}
        plain = {
            world: [[None if np.isnan(x) else float(x) for x in row] for row in rows]
            for world, rows in worlds.items()
        }
        return {"names": list(self.names), "numbers": list(self.numbers), **plain}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        shape = (len(content["numbers"]), len(content["names"]))
        absent, present = (
            np.array(content[world], dtype=np.float64).reshape(shape) for world in WORLDS
        )
        return cls(tuple(content["names"]), tuple(content["numbers"]), absent, present)


def collect(
    make: Callable[[], Generator],
    pair: Pair,
    *,
    budget: Budget,
    schema: Schema,
    numbers: Iterable[int],
    seed: int,
    rows: int = ROWS,
    fitted: Callable[[Any], None] = lambda generator: None,
    progress: Callable[[int, int], None] = lambda step, total: None,
) -> Runs:
    """Fit and sample a generator in both worlds, once each for every run.

    Parameters
    ----------
    make : callable
        Returns a new, unfitted generator.
    numbers : iterable of int
        Which runs to make, each >= 0 and once.
    seed : int
        Of the audit, >= 0.
    rows : int
        Synthetic rows per run.
    fitted : callable
        Sees the first fitted generator of each world, to check its ledger.
    progress : callable
        Called with the runs that are done and their number.

    Raises
    ------
    ValueError
        If the generator says that the budget or the Schema does not apply.
    """
    skip = getattr(make(), "skip", None)
    if skip is not None and (reason := skip(schema, budget)):
        raise ValueError(reason)
    observe = row_features(Encoder.of(schema, pair.absent), pair.canary)
    direction = exact_direction(make, pair, schema, seed)
    tables = {"absent": pair.absent, "present": pair.present}
    numbers = tuple(sorted(numbers))
    found: dict[str, list[Mapping[str, float]]] = {world: [] for world in WORLDS}
    for place, number in enumerate(numbers):
        for world in WORLDS:
            streams = [stream(seed, "audit", world, str(number), use) for use in ("fit", "sample")]
            model: Any = make()
            if hasattr(model, "watched"):
                model.watched = pair.absent, pair.present
            model.fit(tables[world], schema=schema, budget=budget, rng=streams[0])
            if not found[world]:
                fitted(model)
            features = dict(observe(model.sample(rows, rng=streams[1])))
            features |= model_features(getattr(model, "release", {}), direction)
            if hasattr(model, "trace"):
                features["training:trace"] = model.trace
            found[world].append(features)
        progress(place + 1, len(numbers))
    names = tuple(sorted({name for world in WORLDS for run in found[world] for name in run}))
    absent, present = (
        np.array([[run.get(name, np.nan) for name in names] for run in found[world]])
        for world in WORLDS
    )
    return Runs(names, numbers, absent.reshape(-1, len(names)), present.reshape(-1, len(names)))


def pool(blocks: Sequence[Runs]) -> Runs:
    """Join blocks of runs of one audit, in the order of their numbers.

    A number that occurs twice is the same run, recorded again, and counts once.

    Raises
    ------
    ValueError
        If two runs of one number differ.
    """
    numbers = np.array([number for block in blocks for number in block.numbers], dtype=np.int64)
    _, order, same = np.unique(numbers, return_index=True, return_inverse=True)
    names = tuple(sorted({name for block in blocks for name in block.names}))
    place = {name: i for i, name in enumerate(names)}

    def joined(world: str) -> np.ndarray:
        parts = []
        for block in blocks:
            part = np.full((len(block.numbers), len(names)), np.nan)
            part[:, [place[name] for name in block.names]] = getattr(block, world)
            parts.append(part)
        every = np.concatenate(parts)
        once = every[order]
        if not np.array_equal(once[same], every, equal_nan=True):
            raise ValueError("two runs of one number differ; audit again in an empty Store")
        return once

    return Runs(names, tuple(numbers[order].tolist()), joined("absent"), joined("present"))
