"""What TabDiff and flow matching share: one network for numbers and codes, and its training.

A subclass says what a step draws and loses, and how rows are drawn: ``_noise``, ``_losses`` and
``_draw``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from ..common import check_at_least, check_rows
from ..views.scaled import Asked, Scaled
from .learning import Average, Falling, Learning, steps_of
from .network import Network
from .start import Course, Start
from .training import Batches, device_of, initialised, seeded

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ..views.blocks import Blocks
    from .room import Room
    from .seeds import Seeds
    from .tokens import Denoiser

FALL = 0.9  # of the learning rate, whenever the loss has stopped falling


class Denoising(Network):
    """A network that learns to clean rows.

    Parameters
    ----------
    width : int
        Length of a column's token, >= 1.
    layers, factor : int
        Layers of each of the two transformers, >= 0; how much they widen a token, >= 1.
    hidden : int
        Width of the perceptron, even, >= 2; its inner layers are twice as wide.
    epochs : int
        Passes over the table, >= 1.
    steps : int or None
        Most steps of the optimiser, >= 1; None: as many as the passes have.
    batch : int
        Rows in a step, >= 1.
    learning_rate : float
        Of Adam, > 0.
    patience : int
        Passes without a lower loss after which the learning rate falls; 0: it falls evenly to 0.
    average : float
        Weight of the past in the running average of weights, in [0, 1): for each step, or for each
        pass if ``steps`` is None, as published.
    sampling_steps : int
        Steps in which rows are drawn, >= 1.
    device : {"auto", "cpu", "cuda"}
        Where it trains and draws; auto: a GPU where there is one.
    """

    warm_up = 0  # steps, or passes if ``steps`` is None, in which the learning rate rises
    largest_gradient: float | None = None  # norm; None: any

    def __init__(
        self,
        width: int = 4,
        layers: int = 0,
        factor: int = 8,
        hidden: int = 256,
        epochs: int = 8000,
        steps: int | None = 4000,
        batch: int = 256,
        learning_rate: float = 2e-3,
        patience: int = 0,
        average: float = 0.995,
        sampling_steps: int = 50,
        device: str = "auto",
    ) -> None:
        self.width = width
        self.layers = layers
        self.factor = factor
        self.hidden = hidden
        self.steps = steps
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.patience = patience
        self.average = average
        self.sampling_steps = sampling_steps
        self.device = device

    def _network(self, scaled: Scaled) -> Any:
        """Build the network; its weights begin as torch draws them."""
        return self._denoiser(scaled)

    def _denoiser(self, scaled: Scaled) -> Denoiser:
        from .tokens import Denoiser

        return Denoiser(
            len(scaled.mixed.numeric),
            scaled.blocks,
            width=self.width,
            layers=self.layers,
            factor=self.factor,
            hidden=self.hidden,
        )

    def _noise(self, n: int, start: Start) -> tuple[Any, ...]:
        """Draw what the losses of ``n`` rows need."""
        raise NotImplementedError

    def _losses(
        self, network: Any, blocks: Blocks, numbers: Tensor, places: Tensor, *noise: Any
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of numbers and of codes in a batch of clean rows, scalars."""
        raise NotImplementedError

    def _weight(self, done: float) -> float:
        """Return the weight of the numbers' loss when the share ``done`` of training is."""
        return 1.0

    def _draw(self, n: int, asked: Asked | None, draws: Generator) -> tuple[Tensor, Tensor]:
        """Draw numbers and places of ``n`` rows."""
        raise NotImplementedError

    def _check(self) -> None:
        for name in ("width", "factor", "batch", "sampling_steps"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("layers", self.layers, 0)
        check_at_least("patience", self.patience, 0)
        check_at_least("hidden", self.hidden, 2)
        if self.hidden % 2:
            raise ValueError(f"hidden must be even, got {self.hidden!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate!r}")

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start:
        """Scale rows, and build the network."""
        self._check()
        check_rows(train)
        device = device_of(self.device)
        scaled = self.scaled_ = Scaled.of(train, schema, device)
        rows = scaled.tensors(train)
        network = initialised(lambda: self._network(scaled), rng).to(device)
        draws = seeded(rng, device)
        batches = Batches(len(rows[0]), self.batch, draws)
        return Start(
            {"network": network},
            rows,
            draws,
            {"rows": batches},
            alike=(len(scaled.mixed.numeric), batches.per_pass, batches.per_epoch),
            blocks=scaled.blocks,
        )

    def _widened(self, start: Start, room: Room) -> Start:
        numbers, places = start.held
        scaled = replace(self.scaled_, blocks=room.wide)

        def networks(rng: np.random.Generator) -> dict[str, Any]:
            return {"network": initialised(lambda: self._network(scaled), rng)}

        return start.widened(room, networks, (numbers, room.places(places)))

    def _course(self, seeds: Seeds) -> Course:
        network, batches = seeds.networks["network"], seeds.first.batches["rows"]
        blocks = seeds.first.blocks
        total = steps_of(self.steps, self.epochs, batches.per_epoch)
        stride = 1 if self.steps is not None else batches.per_epoch
        falls = {"patience": self.patience, "factor": FALL}
        learning = Learning(
            network,
            [Falling(self.learning_rate, total, **falls) for _ in range(seeds.count)],
            batches.per_pass,
            warm_up=self.warm_up * stride,
            clip=self.largest_gradient,
        )
        average = Average(network, self.average ** (1 / stride))

        def draw(start: Start) -> tuple[Any, ...]:
            rows = start.batches["rows"].draw()
            return rows, *self._noise(len(rows), start)

        def losses(
            network: Any, numbers: Tensor, places: Tensor, rows: Tensor, *noise: Any
        ) -> tuple[Tensor, Tensor]:
            return self._losses(network, blocks, numbers[rows], places[rows], *noise)

        def step(number: int) -> dict[str, Tensor]:
            of_numbers, of_codes = seeds.each(losses, network, *seeds.held, *seeds.drawn(draw))
            loss = self._weight(number / total) * of_numbers + of_codes
            learning.follow(number, loss, watched=of_numbers + of_codes)
            average.update()
            return {"numbers": of_numbers, "codes": of_codes}

        return Course(
            step,
            total,
            {"learning": learning, "average": average},
            lambda seed: {"network": seeds.own(average.kept, seed)},
        )

    def _rows(self, n: int, rng: np.random.Generator, asked: Asked | None = None) -> pd.DataFrame:
        """Draw ``n`` rows, with what is ``asked`` where that is possible."""
        draws = seeded(rng, self.scaled_.blocks.device)

        def draw(part: slice) -> tuple[Tensor, Tensor]:
            return self._draw(part.stop - part.start, asked and asked.rows(part), draws)

        return self.scaled_.drawn(n, draw)


def steady_times(first: Tensor, n: int) -> Tensor:
    """Return ``n`` times in [0, 1), spread evenly from the first, uniform one, of shape (1,).

    So a batch's loss varies less than with independent times (Kingma et al. 2021,
    arXiv:2107.00630, appendix I.1).
    """
    import torch

    return (torch.arange(n, device=first.device) / n + first) % 1
