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

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import check_at_least, column_values, fixed_columns
from .networks.training import Network, device_of, initialised, seeded
from .selection import by_selection
from .views.blocks import chunks
from .views.modes import ModeRows

if TYPE_CHECKING:
    from torch import Generator

    from .networks.gan import Adversaries

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

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train generator and critic in turn."""
        for name in ("epochs", "least_steps", "batch", "pack", "hidden", "noise"):
            check_at_least(name, getattr(self, name), 1)
        if self.most_steps is not None:
            check_at_least("most_steps", self.most_steps, 1)
        if self.batch % self.pack:
            raise ValueError(
                f"batch must be a multiple of pack, got {self.batch} and {self.pack}; "
                f"set batch to {self.pack * max(self.batch // self.pack, 1)}"
            )
        self.rows_ = ModeRows.of(train, schema, self.modes, self.threshold)
        places, offsets = self.rows_.encode(train, rng)
        self._train(places, offsets, rng)
        return self

    def _train(self, places: Any, offsets: Any, rng: np.random.Generator) -> None:
        """Train on encoded rows."""
        import torch

        from .networks.asking import Asking, Rows
        from .networks.gan import activated, gumbel, misses

        device = device_of(self.device)
        draws = seeded(rng, device)
        blocks, asked_blocks = self.rows_.blocks(device), self.rows_.discrete_blocks(device)
        places, offsets = places.to(device), offsets.to(device)
        pair = self._adversaries(blocks.width + offsets.shape[1], asked_blocks.width, rng)
        self.asking_ = asking = None
        if asked_blocks.width:
            having = Rows(places[:, : len(asked_blocks.sizes)], asked_blocks)
            asking = Asking(torch.log1p(having.counts.double()), asked_blocks)
            counts = having.counts.double().cpu()
            self.asking_ = Asking(counts, self.rows_.discrete_blocks())
            self.counts_ = counts.numpy()

        def real_rows() -> tuple[Any, Any]:
            """Draw what is asked for, if anything, and training rows that have it."""
            if asking is None:
                rows = torch.randint(len(places), (self.batch,), generator=draws, device=device)
                asked = None
            else:
                asked = asking.draw(self.batch, draws)
                rows = having.draw(asked, draws)
            return torch.cat([blocks.rows(places[rows].long()), offsets[rows]], dim=1), asked

        def step(number: int) -> dict[str, Any]:
            real, asked = real_rows()
            noise = torch.randn(self.batch, self.noise, generator=draws, device=device)
            outputs = pair.generator(noise, asked)
            jitter = gumbel(self.batch, blocks.width, draws)
            fake = activated(blocks, outputs, jitter, TEMPERATURE)
            packs = self.batch // self.pack
            drawn = pair.critic.noise(packs, draws)
            critic_loss = pair.critic.loss(real, fake.detach(), asked, drawn, PENALTY)
            pair.teach_critic(critic_loss)
            kept = pair.critic.kept(packs, draws)
            loss = -pair.critic.scores(pair.critic.enter(fake, asked), kept).mean()
            if asked is not None:
                loss = loss + misses(blocks, outputs[:, : blocks.width], asked).mean()
            pair.teach_generator(loss)
            return {"critic": critic_loss, "generator": loss}

        wanted = max(self.epochs * max(len(places) // self.batch, 1), self.least_steps)
        total = min(wanted, self.most_steps or wanted)
        parts = {**pair.parts, "draws": draws}
        self._learn(step, total, parts, pair.learned)

    def _adversaries(self, width: int, asks: int, rng: np.random.Generator) -> Adversaries:
        """Build generator and critic."""
        from .networks.critic import Critic
        from .networks.gan import Adversaries, ResidualGenerator

        hidden = [self.hidden] * 2
        generator, critic = initialised(
            lambda: (
                ResidualGenerator(self.noise, asks, hidden, width),
                Critic(width, hidden, asked=asks, pack=self.pack, dropout=DROPOUT),
            ),
            rng,
        )
        return Adversaries(
            generator,
            critic,
            learning_rate=self.learning_rate,
            betas=BETAS,
            decay=DECAY,
            average=self.average,
            device=device_of(self.device),
        )

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
