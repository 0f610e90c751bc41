"""Generators whose model is networks: one fit, or the fits of many seeds as one batch.

A generator says how a fit begins (``_begin``) and what its steps are (``_course``). The steps serve
one seed or several whose weights are stacked (``seeds``): small networks leave most of a processor
idle, and the work around a step is then done once for all seeds.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from ..common import NotPrivate
from ..views.blocks import Blocks
from .start import Course, Start
from .training import not_installed, train

if TYPE_CHECKING:
    from .room import Room
    from .seeds import Seeds


class Network(NotPrivate):
    """What generators without a privacy mechanism have in common whose model is networks."""

    drawn_on: str | None = None  # the device that draws rows; None: the one that trained
    networks_: dict[str, Any]
    _learned: Callable[[], Mapping[str, Any]]  # while it is being trained

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply."""
        return super().skip(schema, budget) or not_installed()

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train the networks."""
        start = self._begin(train, schema, rng)
        if start is not None:
            _train([self], [start])
        return self

    @classmethod
    def fit_together(
        cls,
        generators: Sequence[Self],
        tables: Sequence[pd.DataFrame],
        *,
        schema: Schema,
        budget: Budget,
        rngs: Sequence[np.random.Generator],
    ) -> None:
        """Fit each generator to its table with its rng, as its own ``fit`` would to rounding.

        Those whose networks have the same shapes are one batch. Each reports its own progress; the
        checkpoint of a batch is that of its first generator.

        Raises
        ------
        ValueError
            If generators differ in more than their tables and random numbers.
        """
        _check_alike(generators, tables, rngs)
        batches: dict[Hashable, list[tuple[Self, Start]]] = {}
        for generator, table, rng in zip(generators, tables, rngs, strict=True):
            start = generator._begin(table, schema, rng)
            if start is not None:
                batches.setdefault(start.shape, []).append((generator, start))
        for batch in batches.values():
            _train(*zip(*batch, strict=True))

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start | None:
        """Learn all that precedes the first step; None where there is nothing for networks."""
        raise NotImplementedError

    def _widened(self, start: Start, room: Room) -> Start:
        """Lay a start that has blocks out in a room of wider ones (``Start.widened``)."""
        raise NotImplementedError

    def _course(self, seeds: Seeds) -> Course:
        """Return the steps for seeds whose hyperparameters and shapes are those of this fit."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """How many weights were learned."""
        return sum(p.numel() for net in self.networks_.values() for p in net.parameters())

    def snapshot(self) -> None:
        """Let ``sample`` draw from what was learned so far; to be called within ``progress``."""
        self.networks_ = {
            name: copy.deepcopy(network).to(self.drawn_on)
            for name, network in self._learned().items()
        }


def _train(generators: Sequence[Network], starts: Sequence[Start]) -> None:
    """Train generators from their starts, and keep copies of what they learned."""
    from .seeds import Many, One

    starts = _in_one_layout(generators, starts)
    seeds = One(starts[0]) if len(starts) == 1 else Many(starts)
    course = generators[0]._course(seeds)
    for place, (generator, start) in enumerate(zip(generators, starts, strict=True)):
        generator._learned = functools.partial(_narrow, course, start, place)
    train(
        course.step,
        course.total,
        {**course.parts, **seeds.parts},
        progress=[generator.progress for generator in generators],
        checkpoint=generators[0].checkpoint,
        until=course.until,
    )
    for generator in generators:
        generator.snapshot()
        del generator._learned


def _in_one_layout(generators: Sequence[Network], starts: Sequence[Start]) -> Sequence[Start]:
    """Give all starts the same blocks, if any."""
    from .room import Room

    all_sizes = {start.blocks.sizes for start in starts}
    if len(all_sizes) == 1:
        return starts
    sizes = tuple(map(max, zip(*all_sizes, strict=True)))
    blocks = Blocks(sizes, starts[0].draws.device.type)
    return [
        generator._widened(start, Room(start.blocks, blocks))
        for generator, start in zip(generators, starts, strict=True)
    ]


def _narrow(course: Course, start: Start, place: int) -> dict[str, Any]:
    """Return what the seed in its place among others has learned so far."""
    return {name: start.narrowed(name, net) for name, net in course.learned(place).items()}


def _check_alike(
    generators: Sequence[Network],
    tables: Sequence[pd.DataFrame],
    rngs: Sequence[np.random.Generator],
) -> None:
    """Raise a ValueError unless generators are alike, and each has a table and an rng."""
    if not len(generators) == len(tables) == len(rngs):
        raise ValueError(
            "fit_together needs a table and an rng for each generator, got "
            f"{len(generators)} generators, {len(tables)} tables and {len(rngs)} rngs"
        )
    first = _hyperparameters(generators[0]) if generators else {}
    for other in map(_hyperparameters, generators):
        for name, value in first.items():
            if other.get(name) != value:
                raise ValueError(
                    f"fit_together needs equal hyperparameters, got {name}={value!r} and "
                    f"{other.get(name)!r}; fit these generators apart"
                )


def _hyperparameters(generator: Network) -> dict[str, Any]:
    names = inspect.signature(type(generator).__init__).parameters
    kept = {name: getattr(generator, name) for name in names if name != "self"}
    return {"class": type(generator).__name__, **kept}
