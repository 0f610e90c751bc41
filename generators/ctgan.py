"""CTGAN: a conditional GAN of rows with modes (Xu et al. 2019, NeurIPS, arXiv:1907.00503).

Numbers are modes and offsets (``modes``). The generator is asked for one category of one discrete
column at a time, and training rows are drawn that have it (``asking``). The critic scores packs of
ten rows, trained as in WGAN-GP. Choices where the paper leaves one, and deviations:

- The logarithm of a frequency is log(1 + count), so that a category of one row is asked for too.
- One batch of generated rows serves a step of the critic and then one of the generator; the paper
  generates a second one.
- Batch normalisation uses its running averages when rows are drawn, so that a row does not depend
  on the others beside it.
- Where no column is discrete, nothing is asked for and training rows are drawn evenly.
- A table of few rows is passed over more often, for ``least_steps`` steps, and one of very many
  less often, for ``most_steps``; the paper has 1 and no limit.
- The generator's weights may be averaged over the last steps; the paper does not do so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least, column_values, fixed_columns
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import device_of, initialised, seeded
from .selection import by_selection
from .views.blocks import chunks
from .views.modes import ModeRows

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.room import Room
    from .networks.seeds import Seeds
    from .views.blocks import Blocks

TEMPERATURE = 0.2  # of the Gumbel softmax
PENALTY = 10.0  # weight of the critic's gradients
DROPOUT = 0.5
DECAY = 1e-6  # of the generator's weights
BETAS = (0.5, 0.9)


class Ctgan(Network):
    """Conditional tabular GAN.

    Rows with a given category of a discrete column are drawn under its conditional vector; what
    else is asked for is met by selection among them.

    Parameters
    ----------
    epochs : int
        Passes over the table, of rows / ``batch`` steps each, >= 1.
    least_steps : int
        Fewest steps in all, >= 1.
    most_steps : int or None
        Most steps in all, >= 1; None: as many as the passes have.
    batch : int
        Rows of a step, a multiple of ``pack``.
    pack : int
        Rows that the critic scores together, >= 1.
    hidden : int
        Units of both hidden layers of generator and critic, >= 1.
    noise : int
        Length of the generator's noise, >= 1.
    learning_rate : float
        Of both, > 0.
    modes : int
        Most modes of a numeric column, >= 1.
    threshold : float
        Share of rows below which a mode is dropped, in [0, 1 / modes).
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1).
    device : {"auto", "cpu", "cuda"}
        Where it is trained; rows are drawn on the CPU.
    """

    drawn_on = "cpu"

    def __init__(
        self,
        epochs: int = 60,
        least_steps: int = 2000,
        most_steps: int | None = 6000,
        batch: int = 500,
        pack: int = 10,
        hidden: int = 256,
        noise: int = 128,
        learning_rate: float = 2e-4,
        modes: int = 10,
        threshold: float = 0.005,
        average: float = 0.99,
        device: str = "auto",
    ) -> None:
        self.epochs = epochs
        self.least_steps = least_steps
        self.most_steps = most_steps
        self.batch = batch
        self.pack = pack
        self.hidden = hidden
        self.noise = noise
        self.learning_rate = learning_rate
        self.modes = modes
        self.threshold = threshold
        self.average = average
        self.device = device

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start:
        """Encode rows, sort them by what is asked for, and build generator and critic."""
        from .networks.asking import Asking

        self._check()
        self.rows_ = ModeRows.of(train, schema, self.modes, self.threshold)
        places, offsets = self.rows_.encode(train, rng)
        device = device_of(self.device)
        draws, blocks = seeded(rng, device), self.rows_.blocks(device)
        networks = self._networks(blocks, offsets.shape[1], rng)
        held = self._held(blocks, places.to(device), offsets.to(device))
        self.asking_ = None
        if held[-1] is not None:
            counts = held[-1].counts.double().cpu()
            self.asking_ = Asking.of(counts, self.rows_.discrete_blocks())
            self.counts_ = counts.numpy()
        return Start(
            {name: network.to(device) for name, network in networks.items()},
            held,
            draws,
            alike=(offsets.shape[1], len(self.rows_.discrete), self._total(len(places))),
            blocks=blocks,
        )

    def _held(self, blocks: Blocks, places: Tensor, offsets: Tensor) -> tuple[Any, ...]:
        """Return encoded rows, and how to ask for discrete places and find rows with them."""
        import torch

        from .networks.asking import Asking, Rows

        asked = self._asked(blocks)
        if not asked.sizes:
            return places, offsets, None, None
        having = Rows.of(places[:, : len(asked.sizes)], asked)
        return places, offsets, Asking.of(torch.log1p(having.counts.double()), asked), having

    def _asked(self, blocks: Blocks) -> Blocks:
        """Return the blocks of discrete columns, which come first."""
        return replace(blocks, sizes=blocks.sizes[: len(self.rows_.discrete)])

    def _check(self) -> None:
        for name in ("epochs", "least_steps", "batch", "pack", "hidden", "noise"):
            check_at_least(name, getattr(self, name), 1)
        if self.most_steps is not None:
            check_at_least("most_steps", self.most_steps, 1)
        if self.batch % self.pack:
            raise ValueError(
                f"batch must be a multiple of pack, got {self.batch} and {self.pack}; "
                f"set batch to {self.pack * max(self.batch // self.pack, 1)}"
            )

    def _total(self, rows: int) -> int:
        """Return how many steps a table of so many rows takes."""
        wanted = max(self.epochs * max(rows // self.batch, 1), self.least_steps)
        return min(wanted, self.most_steps or wanted)

    def _networks(self, blocks: Blocks, offsets: int, rng: np.random.Generator) -> dict[str, Any]:
        """Build generator and critic."""
        from .networks.critic import Critic
        from .networks.gan import ResidualGenerator

        hidden, width, asks = [self.hidden] * 2, blocks.width + offsets, self._asked(blocks).width
        layout = {"numbers": offsets, "asked_blocks": len(self.rows_.discrete)}
        generator, critic = initialised(
            lambda: (
                ResidualGenerator(self.noise, asks, hidden, width, **layout),
                Critic(width, hidden, asked=asks, pack=self.pack, dropout=DROPOUT, **layout),
            ),
            rng,
        )
        return {"generator": generator, "critic": critic}

    def _widened(self, start: Start, room: Room) -> Start:
        places, offsets, *_ = start.held
        held = self._held(room.wide, room.places(places), offsets)
        width = offsets.shape[1]
        return start.widened(room, lambda rng: self._networks(room.wide, width, rng), held)

    def _course(self, seeds: Seeds) -> Course:
        from .networks.asking import found
        from .networks.critic import Critic
        from .networks.gan import Adversaries, generated, misled, real_rows

        places, offsets, asking, having = seeds.held
        blocks = seeds.first.blocks
        pair = Adversaries(
            **seeds.networks,
            learning_rate=self.learning_rate,
            betas=BETAS,
            decay=DECAY,
            average=self.average,
        )

        def step(number: int) -> dict[str, Tensor]:
            chosen, noise, jitter, for_critic, uniforms = seeds.drawn(self._draw)
            asked, rows = None, chosen
            if asking is not None:
                asked, rows = seeds.each(found, asking, having, *chosen)
            real = seeds.each(real_rows, blocks, places, offsets, rows)
            fake, outputs = seeds.each(
                generated, pair.generator, blocks, noise, asked, jitter, TEMPERATURE
            )
            critic_loss = seeds.each(
                Critic.loss, pair.critic, real, fake.detach(), asked, for_critic, PENALTY
            )
            pair.teach_critic(critic_loss)
            loss = seeds.each(misled, pair.critic, blocks, fake, outputs, asked, uniforms)
            pair.teach_generator(loss)
            return {"critic": critic_loss, "generator": loss}

        return Course(
            step,
            self._total(places.shape[-2]),
            pair.parts,
            lambda seed: pair.learned(seeds, seed),
        )

    def _draw(self, start: Start) -> tuple[Any, ...]:
        """Draw all that a step needs."""
        import torch

        from .networks.asking import heights_of_rows

        draws, critic = start.draws, start.networks["critic"]
        places, _, asking, _ = start.held
        device, packs = draws.device, self.batch // self.pack
        if asking is None:
            chosen = torch.randint(len(places), (self.batch,), generator=draws, device=device)
        else:
            heights = asking.heights(self.batch, draws)
            chosen = (*heights, heights_of_rows(self.batch, draws))
        noise = torch.randn(self.batch, self.noise, generator=draws, device=device)
        jitter = torch.rand(self.batch, start.own.width, generator=draws, device=device)
        for_critic = critic.noise(packs, draws)
        return chosen, noise, start.spread(jitter), for_critic, critic.uniforms(packs, draws)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, each under the vector of the rarest category that it is asked for."""
        schema, draws = self.rows_.mixed.schema, seeded(rng)
        wanted = self._wanted(fixed_columns(conditions, schema, n), n)
        return by_selection(lambda m: self._drawn(m, wanted, draws), conditions, schema, n, rng)

    def _wanted(self, fixed: dict[str, pd.Series], n: int) -> np.ndarray:
        """Return the rarest place that each row is asked for, -1 for none; int64."""
        schema, starts = self.rows_.mixed.schema, self.rows_.discrete_blocks().starts
        wanted, rarest = np.full(n, -1), np.full(n, np.inf)
        for variable, start in zip(self.rows_.discrete, starts, strict=True):
            column = schema.columns[variable.position]
            if column.name in fixed:
                codes = variable.find(column_values(column, fixed[column.name]))
                counts = self.counts_[start + codes]
                better = (codes >= 0) & (counts < rarest)
                wanted[better], rarest[better] = (start + codes)[better], counts[better]
        return wanted

    def _drawn(self, n: int, wanted: np.ndarray, draws: Generator) -> pd.DataFrame:
        """Draw ``n`` rows; what is wanted is gone through evenly, again and again."""
        import torch

        blocks, generator = self.rows_.blocks(), self.networks_["generator"]
        places = torch.empty(n, len(blocks.sizes), dtype=torch.int64)
        offsets = torch.empty(n, len(self.rows_.modes.counts))
        for rows in chunks(n, blocks.width):
            asked = None if self.asking_ is None else self.asking_.draw(len(rows), draws)
            if asked is not None and len(wanted):
                told = torch.from_numpy(wanted[rows * max(len(wanted), n) // n % len(wanted)])
                asked = torch.where(told < 0, asked, told)
            with torch.no_grad():
                outputs = generator(torch.randn(len(rows), self.noise, generator=draws), asked)
            shares = blocks.softmax(outputs[:, : blocks.width])
            places[rows] = blocks.draw(shares, draws)
            offsets[rows] = torch.tanh(outputs[:, blocks.width :])
        return self.rows_.table(places.numpy(), offsets.numpy())
