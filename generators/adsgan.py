"""ADS-GAN: a GAN that makes each row from a real one and is paid to stay away from it.

Yoon, Drumright and van der Schaar 2020 (IEEE JBHI 24(8), doi:10.1109/JBHI.2020.2980262). The
generator takes noise and a training row; the critic learns as in WGAN-GP, five steps to one of the
generator, whose loss is less by ``identifiability`` times its distance from the rows it took.

**What that means for privacy.** Training rows are an input of sampling, so the fitted model holds
them all, and every synthetic row is a function of one of them. The distance is an average over
rows: it keeps no single row from coming back, and nothing here is differentially private.

The distance counts all columns alike, as in the authors' code; their entropy weights belong to the
measure of identifiability (evaluator ``identifiability``). Choices where the paper leaves one:

- Numbers lie in [0, 1] by their extremes and end in a sigmoid, as in the authors' code; or, by
  ``scale``, by their ranks, because no sigmoid reaches an extreme that most rows share.
- A discrete column, and where a numeric one is missing, is a one-hot block that ends in a softmax;
  drawn rows draw from it. Its distance is 1 between two categories.
- A missing number stands at the middle.
- Synthetic rows are made in passes over the training rows, each with noise of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least, check_rows, draw_in_passes
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import device_of, initialised, seeded
from .selection import by_selection
from .views.blocks import Blocks, chunks
from .views.mixed import Mixed
from .views.scales import Range, Ranks

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module

    from .networks.critic import Critic
    from .networks.room import Room
    from .networks.seeds import Seeds

SCALES: dict[str, type[Ranks | Range]] = {"ranks": Ranks, "range": Range}
PENALTY = 10.0  # weight of the critic's gradients
CRITIC_STEPS = 5  # for each of the generator
BETAS = (0.5, 0.999)
MIDDLE = 0.5
TINY = 1e-12  # keeps the root's slope finite


class AdsGan(Network):
    """Anonymization through data synthesis by a GAN.

    Parameters
    ----------
    steps : int
        Of the generator, >= 1.
    batch : int
        Rows of a step, >= 1.
    hidden : int
        Units of each hidden layer, three of the generator and two of the critic, >= 1.
    noise : int
        Length of the generator's noise, >= 1.
    learning_rate : float
        Of both, > 0.
    identifiability : float
        Weight of the distance between rows and what they became (the paper's lambda), >= 0.
    scale : {"ranks", "range"}
        Whether numbers enter by their ranks or by their place between the extremes.
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1); the paper
        has none.
    device : {"auto", "cpu", "cuda"}
        Where it is trained; rows are drawn on the CPU.
    """

    drawn_on = "cpu"

    def __init__(
        self,
        steps: int = 3000,
        batch: int = 128,
        hidden: int = 128,
        noise: int = 32,
        learning_rate: float = 1e-4,
        identifiability: float = 0.1,
        scale: Literal["ranks", "range"] = "ranks",
        average: float = 0.998,
        device: str = "auto",
    ) -> None:
        self.steps = steps
        self.batch = batch
        self.hidden = hidden
        self.noise = noise
        self.learning_rate = learning_rate
        self.identifiability = identifiability
        self.scale = scale
        self.average = average
        self.device = device

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start:
        """Scale rows, and build generator and critic."""
        self._check()
        check_rows(train)
        self.mixed_ = Mixed.of(train, schema)
        numbers, codes = self.mixed_.split(train)
        self.scale_ = SCALES[self.scale].of(numbers)
        scaled = self.scale_.scaled(numbers)
        self.codes_ = codes.astype(np.int32)
        self.scaled_ = np.nan_to_num(scaled, nan=MIDDLE).astype(np.float32)
        device = device_of(self.device)
        draws = seeded(rng, device)
        rows, blocks = self._tensors(device), Blocks(tuple(self.mixed_.sizes), device)
        networks = self._networks(blocks, rng)
        return Start(
            {name: network.to(device) for name, network in networks.items()},
            rows,
            draws,
            alike=self.mixed_.numeric,
            blocks=blocks,
        )

    def _check(self) -> None:
        for name in ("steps", "batch", "hidden", "noise"):
            check_at_least(name, getattr(self, name), 1)
        if not self.identifiability >= 0:
            raise ValueError(
                f"identifiability must be >= 0, got {self.identifiability!r}; set it to 0.1"
            )
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {self.scale!r}")

    def _tensors(self, device: str) -> tuple[Tensor, Tensor]:
        """Return the places and the scaled numbers of the training rows."""
        import torch

        starts = Blocks(tuple(self.mixed_.sizes)).starts.astype(np.int32)
        return (
            torch.from_numpy(self.codes_ + starts).to(device),
            torch.from_numpy(self.scaled_).to(device),
        )

    def _networks(self, blocks: Blocks, rng: np.random.Generator) -> dict[str, Any]:
        """Build generator and critic."""
        from .networks.critic import Critic
        from .networks.gan import TanhLayers, xavier

        numbers, hidden = len(self.mixed_.numeric), [self.hidden] * 3
        width = blocks.width + numbers
        generator, critic = initialised(
            lambda: (
                xavier(TanhLayers(self.noise, hidden, width, numbers=numbers)),
                xavier(Critic(width, hidden[:2], numbers=numbers, slope=0.0)),
            ),
            rng,
        )
        return {"generator": generator, "critic": critic}

    def _widened(self, start: Start, room: Room) -> Start:
        places, scaled = start.held
        held = room.places(places), scaled
        return start.widened(room, lambda rng: self._networks(room.wide, rng), held)

    def _course(self, seeds: Seeds) -> Course:
        import torch

        from .networks.critic import Critic
        from .networks.gan import Adversaries, real_rows, unit_rows

        blocks, numbers = seeds.first.blocks, len(self.mixed_.numeric)
        weights = torch.from_numpy(distance_weights(blocks.sizes, numbers)).to(blocks.device)
        pair = Adversaries(
            **seeds.networks,
            learning_rate=self.learning_rate,
            betas=BETAS,
            average=self.average,
        )

        def made(
            generator: Module, places: Tensor, scaled: Tensor, rows: Tensor, uniform: Tensor
        ) -> tuple[Tensor, Tensor]:
            """Return training rows, and rows made of them."""
            real = real_rows(blocks, places, scaled, rows)
            return real, unit_rows(blocks, generator(torch.cat([uniform * 2 - 1, real], dim=1)))

        def judged(critic: Critic, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
            """Return the scores' mean, and how far rows are from those they are made of."""
            apart = ((fake - real).square() @ weights).mean().add(TINY).sqrt()
            return critic.scores(critic.enter(fake), []).mean(), apart

        def step(number: int) -> dict[str, Tensor]:
            several, for_critic, one = seeds.drawn(self._draw)
            with torch.no_grad():
                rows = seeds.each(made, pair.generator, *seeds.held, *several)
                rows = zip(*(part.split(self.batch, dim=-2) for part in rows), strict=True)
            for (real, fake), noise in zip(rows, for_critic, strict=True):
                critic_loss = seeds.each(Critic.loss, pair.critic, real, fake, None, noise, PENALTY)
                pair.teach_critic(critic_loss)
            real, fake = seeds.each(made, pair.generator, *seeds.held, *one)
            score, apart = seeds.each(judged, pair.critic, real, fake)
            pair.teach_generator(-score - self.identifiability * apart)
            return {"critic": critic_loss, "distance": apart}

        return Course(
            step,
            self.steps,
            pair.parts,
            lambda seed: pair.learned(seeds, seed),
        )

    def _draw(self, start: Start) -> tuple[Any, ...]:
        """Draw training rows and noise: for all critic's steps, for each, for the generator's."""
        import torch

        draws, critic, rows = start.draws, start.networks["critic"], len(start.held[0])

        def made_of(batches: int) -> tuple[Tensor, Tensor]:
            n = batches * self.batch
            chosen = torch.randint(rows, (n,), generator=draws, device=draws.device)
            return chosen, torch.rand(n, self.noise, generator=draws, device=draws.device)

        several = made_of(CRITIC_STEPS)
        for_critic = [critic.noise(self.batch, draws) for _ in range(CRITIC_STEPS)]
        return several, for_critic, made_of(1)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, each made from a training row; conditions are met by selection."""
        draws = seeded(rng)
        return by_selection(
            lambda m: self._drawn(m, rng, draws), conditions, self.mixed_.schema, n, rng
        )

    def _drawn(self, n: int, rng: np.random.Generator, draws: Generator) -> pd.DataFrame:
        """Draw ``n`` rows."""
        import torch

        blocks, (codes, scaled) = Blocks(tuple(self.mixed_.sizes)), self._tensors("cpu")
        base = draw_in_passes(len(codes), n, rng)
        places = torch.empty(n, len(blocks.sizes), dtype=torch.int64)
        numbers = torch.empty(n, scaled.shape[1])
        for rows in chunks(n, blocks.width):
            taken = torch.from_numpy(base[rows])
            real = torch.cat([blocks.rows(codes[taken].long()), scaled[taken]], dim=1)
            noise = torch.rand(len(taken), self.noise, generator=draws) * 2 - 1
            with torch.no_grad():
                outputs = self.networks_["generator"](torch.cat([noise, real], dim=1))
            places[rows] = blocks.draw(blocks.softmax(outputs[:, : blocks.width]), draws)
            numbers[rows] = torch.sigmoid(outputs[:, blocks.width :])
        unscaled = self.scale_.numbers(numbers.double().numpy())
        return self.mixed_.table(unscaled, places.numpy() - blocks.starts)


def distance_weights(sizes: Sequence[int], numbers: int) -> np.ndarray:
    """Return the weight of each squared difference between rows of blocks and numbers.

    Returns
    -------
    ndarray of float32, shape (sum of sizes + numbers,)
        Equal for all columns, halved in a block, where two categories differ twice; numbers that
        differ by their range and categories that differ add 1 if all do.
    """
    parts = len(sizes) + numbers
    blocks = np.full(sum(sizes), 0.5 / parts)
    return np.append(blocks, np.full(numbers, 1 / parts)).astype(np.float32)
