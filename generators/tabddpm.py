"""TabDDPM: diffusion of mixed rows (Kotelnikov et al. 2023, ICML, arXiv:2209.15421).

Numbers are put on a normal scale by their ranks and diffuse as Gaussians, codes as multinomials.
One perceptron sees a noisy row with its time and its class and predicts the noise of the numbers
and the clean codes. Rows of a class are drawn for classes that are drawn by their shares; a target
that is a number is one more number. Deviations:

- A code that enters the network is one-hot, as the paper says; the published code feeds logarithms
  in which 0 is -69.
- Predicted clean numbers are kept within the range of the training rows. The cosine schedule's last
  steps blow up errors of the predicted noise a thousandfold.
- A repeated number stands at the mean of its normal scores, not at one end of them, and a missing
  one at 0 beside a code that says so.
- The times of a batch are spread evenly, which takes variance out of the loss.
- The weights are the last ones. The published code averages weights too, and does not use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least, check_rows, column_values, fixed_columns
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import Batches, device_of, initialised, seeded
from .selection import by_selection
from .views.blocks import Blocks
from .views.mixed import Mixed
from .views.scales import NormalScores

if TYPE_CHECKING:
    from torch import Tensor

    from .networks.ddpm import Denoiser, Noise, Process
    from .networks.room import Room
    from .networks.seeds import Seeds

CHUNK = 4096  # rows drawn at a time
ENTRIES = 2**24  # of a tensor, most; rows of very many categories are taken in parts


class TabDdpm(Network):
    """Gaussian and multinomial diffusion with a perceptron.

    A condition on the class alone is met exactly. Other conditions are met by selection from rows
    that are drawn without (``selection``).

    Parameters
    ----------
    steps : int
        Steps of training, >= 1.
    batch : int
        Rows of a batch, >= 1; all rows where there are fewer.
    hidden : sequence of int
        Widths of the hidden layers, each >= 1.
    times : int
        Steps of noise, >= 1.
    sampling_steps : int or None
        Steps from noise back to a row, in [1, times]; None: as many as there are times. With fewer,
        times are left out evenly.
    learning_rate : float
        Of the first step, > 0; it falls to 0 linearly.
    weight_decay : float
        >= 0.
    device : {"auto", "cpu", "cuda"}
        Where tensors are; auto: a GPU where there is one.
    """

    def __init__(
        self,
        steps: int = 4000,
        batch: int = 1024,
        hidden: Sequence[int] = (256, 256),
        times: int = 100,
        sampling_steps: int | None = None,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.0,
        device: str = "auto",
    ) -> None:
        self.steps = steps
        self.batch = batch
        self.hidden = hidden
        self.times = times
        self.sampling_steps = sampling_steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start | None:
        """Scale numbers, count codes, and build the network unless there is but a class."""
        self._check()
        check_rows(train)
        self.device_ = device_of(self.device)
        mixed = self.mixed_ = Mixed.of(train, schema)
        numbers, codes = mixed.split(train)
        self.scale_ = NormalScores.of(numbers)
        scaled = np.nan_to_num(self.scale_.scaled(numbers)).astype(np.float32)
        self.label_ = _label(mixed)
        labels, codes = self._parted(codes)
        sizes = [size for place, size in enumerate(mixed.sizes) if place != self.label_]
        self.shares_ = np.bincount(labels) / len(labels)
        self.blocks_ = Blocks(tuple(sizes), self.device_)
        self.range_ = np.stack([scaled.min(0), scaled.max(0)])
        self.networks_ = {}
        if not scaled.shape[1] and not sizes:
            return None
        return self._ready((scaled, codes + self.blocks_.starts[: len(sizes)], labels), rng)

    def _ready(self, rows: Sequence[np.ndarray], rng: np.random.Generator) -> Start:
        """Build the network for scaled numbers, places and labels."""
        import torch

        network = self._network(self.blocks_, rng)
        draws = seeded(rng, self.device_)
        batches = Batches(len(rows[0]), self.batch, draws)
        part = min(batches.size, seen_at_once(self.blocks_.width))
        return Start(
            {"denoiser": network.to(self.device_)},
            (*(torch.from_numpy(of).to(self.device_) for of in rows), None),
            draws,
            {"rows": batches},
            alike=(rows[0].shape[1], len(self.shares_), part),
            blocks=self.blocks_,
        )

    def _network(self, blocks: Blocks, rng: np.random.Generator) -> Denoiser:
        from .networks.ddpm import Denoiser

        numbers, labels = self.range_.shape[1], len(self.shares_)
        return initialised(
            lambda: Denoiser(numbers, blocks.width, labels, self.times, self.hidden), rng
        )

    def _widened(self, start: Start, room: Room) -> Start:
        numbers, places, labels, _ = start.held
        members = room.spread(room.own.blocks)
        return start.widened(
            room,
            lambda rng: {"denoiser": self._network(room.wide, rng)},
            (numbers, room.places(places), labels, members),
        )

    def _check(self) -> None:
        for name in ("steps", "batch", "times"):
            check_at_least(name, getattr(self, name), 1)
        for width in self.hidden:
            check_at_least("hidden", width, 1)
        if not self.hidden:
            raise ValueError("hidden must name one layer at least, got none; set hidden=[256]")
        if self.sampling_steps is not None:
            check_at_least("sampling_steps", self.sampling_steps, 1)
            if self.sampling_steps > self.times:
                raise ValueError(
                    f"sampling_steps must be at most times={self.times}, "
                    f"got {self.sampling_steps!r}"
                )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate!r}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be >= 0, got {self.weight_decay!r}")

    def _parted(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Part the labels, all 0 where there are none, from the other codes."""
        if self.label_ is None:
            return np.zeros(len(codes), dtype=np.int64), codes
        return codes[:, self.label_], np.delete(codes, self.label_, axis=1)

    def _course(self, seeds: Seeds) -> Course:
        import torch

        from .networks.learning import slow_down
        from .networks.multinomial import Codes

        process, network = self._process(), seeds.networks["denoiser"]
        blocks, columns = seeds.first.blocks, self.range_.shape[1]
        size = seeds.first.batches["rows"].size
        part = min(size, seen_at_once(self.blocks_.width))
        options = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        adam = torch.optim.AdamW(network.parameters(), **options)
        for weights in network.parameters():
            weights.grad = torch.zeros_like(weights)  # parts add to it; a replay has its own

        def draw(start: Start) -> list[tuple[Tensor, Noise]]:
            parts = start.batches["rows"].draw().split(part)
            return [(rows, process.noise(len(rows), columns, start.draws)) for rows in parts]

        def losses(
            network: Denoiser, held: Sequence[Any], rows: Tensor, noise: Noise
        ) -> dict[str, Tensor]:
            numbers, places, labels = (of[rows] for of in held[:3])
            codes = process.codes if held[3] is None else Codes(blocks, held[3])
            return process.losses(network, numbers, places, labels, noise, codes)

        def step(number: int) -> dict[str, Tensor]:
            slow_down(adam, self.learning_rate, number / self.steps)
            adam.zero_grad(set_to_none=False)
            means: dict[str, Tensor] = {}
            for rows, noise in seeds.drawn(draw):
                found = seeds.each(losses, network, seeds.held, rows, noise)
                share = rows.shape[-1] / size
                loss = torch.stack(list(found.values())).sum(0) * share
                loss.backward(torch.ones_like(loss))
                for name, loss in found.items():
                    means[name] = means.get(name, 0.0) + loss.detach() * share
            adam.step()
            return means

        return Course(
            step,
            self.steps,
            {"network": network, "adam": adam},
            lambda seed: {"denoiser": seeds.own(network, seed)},
        )

    def _process(self) -> Process:
        import torch

        from .networks.ddpm import Process, cosine
        from .networks.multinomial import Codes

        lowest, highest = torch.from_numpy(self.range_).to(self.device_)
        return Process(Codes(self.blocks_), cosine(self.times), lowest, highest)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.
        conditions : DataFrame, optional
            n rows, some of the columns.

        Raises
        ------
        ValueError
            If the conditions break the Schema or have another number of rows.
        """
        schema = self.mixed_.schema
        fixed = fixed_columns(conditions, schema, n)
        if list(fixed) == [schema.target] and self.label_ is not None:
            made = self._drawn(self._asked(fixed, rng), rng)
            return schema.assemble({name: fixed.get(name, made[name]) for name in schema.names})

        def draw(rows: int) -> pd.DataFrame:
            return self._drawn(rng.choice(len(self.shares_), size=rows, p=self.shares_), rng)

        return by_selection(draw, conditions, schema, n, rng)

    def _asked(self, fixed: Mapping[str, pd.Series], rng: np.random.Generator) -> np.ndarray:
        """Return the labels asked for; any label for a class that no training row has."""
        target = self.mixed_.schema[self.mixed_.schema.target or ""]
        known = self.mixed_.variables[self.label_ or 0]
        labels = known.find(column_values(target, fixed[target.name]))
        drawn = rng.choice(len(self.shares_), size=len(labels), p=self.shares_)
        return np.where(labels < 0, drawn, labels)

    def _drawn(self, labels: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Draw a row for every label."""
        import torch

        numbers = np.empty((len(labels), self.range_.shape[1]))
        codes = np.empty((len(labels), len(self.blocks_.sizes)), dtype=np.int64)
        if self.networks_:
            process, draws = self._process(), seeded(rng, self.device_)
            network, steps = self.networks_["denoiser"], self.sampling_steps or self.times
            wanted = torch.from_numpy(labels).to(self.device_)
            size = min(CHUNK, seen_at_once(self.blocks_.width))
            with torch.inference_mode():
                for begun in range(0, len(labels), size):
                    part = slice(begun, begun + size)
                    drawn, places = process.draw(network, wanted[part], steps, draws)
                    numbers[part] = drawn.cpu().numpy()
                    codes[part] = places.cpu().numpy() - self.blocks_.starts
        if self.label_ is not None:
            codes = np.insert(codes, self.label_, labels, axis=1)
        return self.mixed_.table(self.scale_.numbers(numbers), codes)


def seen_at_once(width: int) -> int:
    """Return how many rows of so many places are looked at together."""
    return max(1, ENTRIES // max(width, 1))


def _label(mixed: Mixed) -> int | None:
    """Return which of the codes is the class of a row; None without one."""
    target = mixed.schema.target
    if target is None or not mixed.schema[target].is_discrete:
        return None
    return mixed.places([target])[1][0]
