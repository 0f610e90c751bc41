"""TabSyn: diffusion in the latent space of an autoencoder of columns (Zhang et al. 2024, ICLR).

arXiv:2310.09656. First a variational autoencoder of the columns is trained, with a weight beta of
its divergence that falls; then a diffusion of the means of its latents. Deviations:

- What paces beta and the autoencoder's learning rate, and decides which of its weights are kept, is
  the loss on a part of the training rows that it does not learn from, numbers counted as well as
  codes. The authors' code looks at the test rows, beta at their codes alone, and keeps the last
  encoder with the best decoder.
- Beta falls again after every so many passes without progress.
- Latents are divided by twice their standard deviation, which makes it the 0.5 that EDM's scales
  assume; the authors divide by 2.
- Transformers normalise before each part and have no extra token.
- Diffusion trains for all of its passes instead of stopping after 500 without progress; either way
  the weights of the best pass are kept, by its mean loss and not, as there, by its last batch's.
- A repeated number stands at the mean of its normal scores.
- Presets below ``paper`` fix the number of steps, over which learning rates and beta fall evenly;
  then the diffusion's last weights are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import check_at_least, check_rows
from .networks.learning import Best, Falling, Learning, steps_of
from .networks.training import Batches, Network, device_of, initialised, seeded
from .selection import by_selection
from .views.scaled import Scaled

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.latent_diffusion import Latents

    Rows = tuple[Tensor, Tensor]

VAE_FALL, FALL = 0.95, 0.9  # of the learning rates, whenever the loss has stopped falling
BETA_FALL, LEAST_BETA = 0.7, 1e-5
HELD, MOST_HELD = 0.1, 4096  # share, and most, of the rows that the autoencoder does not see


@dataclass(frozen=True)
class Phase:
    """One of the two trainings.

    Parameters
    ----------
    total : int
        Its steps.
    step : callable
        Takes the number of a step, returns its losses.
    best : Best
        The weights to keep.
    parts : mapping of str to object
        What steps change.
    """

    total: int
    step: Callable[[int], dict[str, Tensor]]
    best: Best
    parts: Mapping[str, Any]


class TabSyn(Network):
    """Latent diffusion of tables.

    Conditions are met by selection among rows drawn without them.

    Parameters
    ----------
    width : int
        Length of a column's token and latent vector, >= 1.
    layers, factor : int
        Layers of each transformer of the autoencoder, >= 0; how much they widen a token, >= 1.
    hidden : int
        Width of the diffusion's perceptron, even, >= 2; its inner layers are twice as wide.
    vae_epochs, epochs : int
        Passes over the table for autoencoder and diffusion, >= 1.
    vae_steps, steps : int or None
        Most steps of the optimiser, >= 1; None: as many as the passes have.
    vae_batch, batch : int
        Rows in a step, >= 1.
    vae_learning_rate, learning_rate : float
        Of Adam, > 0.
    vae_patience, patience : int
        Passes without a lower loss after which the learning rate falls; 0: it falls evenly to 0.
    beta : float
        First weight of the divergence, >= 1e-5.
    beta_patience : int
        Passes without a lower loss after which it falls; 0: it falls evenly to 1e-5.
    sampling_steps : int
        Steps in which latents are drawn, >= 1.
    device : {"auto", "cpu", "cuda"}
        Where it trains and draws; auto: a GPU where there is one.
    """

    latents_: Latents

    def __init__(
        self,
        width: int = 4,
        layers: int = 1,
        factor: int = 8,
        hidden: int = 256,
        vae_epochs: int = 4000,
        vae_steps: int | None = 1500,
        vae_batch: int = 256,
        vae_learning_rate: float = 3e-3,
        vae_patience: int = 0,
        beta: float = 1e-2,
        beta_patience: int = 0,
        epochs: int = 10_001,
        steps: int | None = 3000,
        batch: int = 256,
        learning_rate: float = 2e-3,
        patience: int = 0,
        sampling_steps: int = 50,
        device: str = "auto",
    ) -> None:
        self.width = width
        self.layers = layers
        self.factor = factor
        self.hidden = hidden
        self.vae_steps = vae_steps
        self.vae_epochs = vae_epochs
        self.vae_batch = vae_batch
        self.vae_learning_rate = vae_learning_rate
        self.vae_patience = vae_patience
        self.beta = beta
        self.beta_patience = beta_patience
        self.steps = steps
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.patience = patience
        self.sampling_steps = sampling_steps
        self.device = device

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train the autoencoder, then the diffusion of its latents."""
        from .networks.latent_diffusion import Latents

        self._check()
        check_rows(train)
        device = device_of(self.device)
        self.scaled_ = Scaled.of(train, schema, device)
        rows, draws = self.scaled_.tensors(train), seeded(rng, device)
        first = self._autoencoding(rows, draws, rng)
        second = self._diffusing(rows, first.best, draws, rng)

        def step(number: int) -> dict[str, Tensor]:
            if number < first.total:
                return first.step(number)
            return second.step(number - first.total)

        parts = {"draws": draws, **first.parts, **second.parts}

        def learned() -> dict[str, Any]:
            self.latents_, _ = Latents.of(first.best.kept, rows)
            return {"vae": first.best.kept, "diffusion": second.best.kept}

        self._learn(step, first.total + second.total, parts, learned)
        return self

    def _check(self) -> None:
        for name in ("width", "factor", "vae_batch", "batch", "sampling_steps"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("layers", "vae_patience", "beta_patience", "patience"):
            check_at_least(name, getattr(self, name), 0)
        check_at_least("hidden", self.hidden, 2)
        if self.hidden % 2:
            raise ValueError(f"hidden must be even, got {self.hidden!r}")
        least = {"vae_learning_rate": 0.0, "learning_rate": 0.0, "beta": LEAST_BETA}
        for name, bound in least.items():
            if not getattr(self, name) > bound:
                raise ValueError(f"{name} must be > {bound}, got {getattr(self, name)!r}")

    def _autoencoding(self, rows: Rows, draws: Generator, rng: np.random.Generator) -> Phase:
        import torch

        from .networks.column_vae import ColumnVae, divergence, misses

        blocks, device = self.scaled_.blocks, draws.device
        n, columns = len(rows[0]), sum(part.shape[1] for part in rows)
        order = torch.from_numpy(rng.permutation(n)).to(device)
        count = min(int(HELD * n), MOST_HELD)
        held, seen = (order[:count], order[count:]) if count else (order, order)
        shape = {"width": self.width, "layers": self.layers, "factor": self.factor}
        vae = initialised(lambda: ColumnVae(rows[0].shape[1], blocks, **shape), rng).to(device)
        batches = Batches(len(seen), self.vae_batch, draws)
        total = steps_of(self.vae_steps, self.vae_epochs, batches.per_epoch)
        rate = Falling(self.vae_learning_rate, total, patience=self.vae_patience, factor=VAE_FALL)
        beta = Falling(
            self.beta, total, patience=self.beta_patience, factor=BETA_FALL, lowest=LEAST_BETA
        )
        best = Best(vae)

        def after_pass(loss: float) -> None:
            clean = rows[0][held], rows[1][held]
            with torch.no_grad():
                missed = float(misses(blocks, *clean, vae.decode(vae.encode(*clean)[0])))
            for listener in (rate.after_pass, beta.after_pass, best.after_pass):
                listener(missed)

        learning = Learning(vae, rate, batches.per_epoch, [after_pass])

        def step(number: int) -> dict[str, Tensor]:
            chosen = seen[batches.draw()]
            clean = rows[0][chosen], rows[1][chosen]
            shape = len(chosen), columns, self.width
            found = vae(*clean, torch.randn(shape, generator=draws, device=device))
            missed, apart = misses(blocks, *clean, found[:2]), divergence(*found[2:])
            learning.follow(number, missed + beta.at(number) * apart)
            return {"misses": missed, "divergence": apart}

        parts = {"vae": learning, "vae best": best, "vae batches": batches, "beta": beta}
        return Phase(total, step, best, parts)

    def _diffusing(
        self, rows: Rows, vae: Best, draws: Generator, rng: np.random.Generator
    ) -> Phase:
        import torch

        from .networks.latent_diffusion import Latents, loss
        from .networks.tokens import TimedPerceptron

        device = draws.device
        inputs = sum(part.shape[1] for part in rows) * self.width
        network = initialised(lambda: TimedPerceptron(inputs, self.hidden), rng).to(device)
        batches = Batches(len(rows[0]), self.batch, draws)
        total = steps_of(self.steps, self.epochs, batches.per_epoch)
        rate = Falling(self.learning_rate, total, patience=self.patience, factor=FALL)
        best = Best(network, last=self.steps is not None)
        learning = Learning(network, rate, batches.per_epoch, [rate.after_pass, best.after_pass])
        encoded: list[Tensor] = []  # once the autoencoder has been trained

        def step(number: int) -> dict[str, Tensor]:
            if not encoded:
                encoded.append(Latents.of(vae.kept, rows)[1])
            clean = encoded[0][batches.draw()]
            noise = torch.randn(clean.shape, generator=draws, device=device)
            log = torch.randn(len(clean), generator=draws, device=device)
            missed = loss(network, clean, noise, log)
            learning.follow(number, missed)
            return {"diffusion": missed}

        parts = {"diffusion": learning, "diffusion best": best, "diffusion batches": batches}
        return Phase(total, step, best, parts)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, those that fit ``conditions`` best if there are any."""
        schema = self.scaled_.mixed.schema
        return by_selection(lambda count: self._rows(count, rng), conditions, schema, n, rng)

    def _rows(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        import torch

        from .networks.latent_diffusion import drawn

        scaled, latents, networks = self.scaled_, self.latents_, self.networks_
        draws = seeded(rng, scaled.blocks.device)

        def draw(part: slice) -> Rows:
            shape = part.stop - part.start, len(latents.center)
            unit = torch.randn(shape, generator=draws, device=draws.device)
            made = drawn(networks["diffusion"], unit, self.sampling_steps, draws)
            vectors = latents.unscaled(made).unflatten(1, (-1, self.width))
            numbers, logits = networks["vae"].decode(vectors)
            return numbers, scaled.blocks.likeliest(logits)

        return scaled.drawn(n, draw)
