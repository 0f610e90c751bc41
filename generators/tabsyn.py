"""TabSyn: diffusion in the latent space of an autoencoder of columns (Zhang et al. 2024, ICLR).

arXiv:2310.09656. First a variational autoencoder of the columns is trained, with a weight beta of
its divergence that falls; then a diffusion of the means of its latents. Deviations:

- What paces beta and the autoencoder's learning rate, and decides which of its weights are kept, is
  the loss on a part of the training rows that it does not learn from, numbers counted as well as
  codes. The authors' code looks at the test rows, beta at their codes alone, and keeps the last
  encoder with the best decoder.
- Beta falls again after every so many passes without progress.
- Latents are divided by twice their standard deviation, which makes it the 0.5 that EDM's scales
  assume; the authors divide by 2. The perceptron sees them four times wider.
- Transformers normalise before each part and have no extra token.
- A repeated number stands at the mean of its normal scores.
- Presets below ``paper`` fix the number of steps, over which learning rates and beta fall evenly;
  then the diffusion's last weights are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least, check_rows
from .networks.learning import Best, Falling, Learning, steps_of
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import Batches, device_of, initialised, seeded
from .selection import by_selection
from .views.scaled import Scaled

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.room import Room
    from .networks.seeds import Seeds
    from .views.blocks import Blocks

VAE_FALL, FALL = 0.95, 0.9  # of the learning rates, whenever the loss has stopped falling
BETA_FALL, LEAST_BETA = 0.7, 1e-5
STOPS = 500  # passes without a lower loss, after which the diffusion's training ends
HELD, MOST_HELD = 0.1, 4096  # share, and most, of the rows that the autoencoder does not see


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

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start:
        """Scale rows, hold out some from the autoencoder, and build the networks."""
        import torch

        self._check()
        check_rows(train)
        device = device_of(self.device)
        scaled = self.scaled_ = Scaled.of(train, schema, device)
        rows, draws = scaled.tensors(train), seeded(rng, device)
        n, numbers = rows[0].shape
        order = torch.from_numpy(rng.permutation(n)).to(device)
        count = min(int(HELD * n), MOST_HELD)
        held, seen = (order[:count], order[count:]) if count else (order, order)
        networks = self._networks(scaled.blocks, rng)
        batches = {
            "vae": Batches(len(seen), self.vae_batch, draws),
            "diffusion": Batches(n, self.batch, draws),
        }
        return Start(
            {name: network.to(device) for name, network in networks.items()},
            (*rows, held, seen),
            draws,
            batches,
            alike=(numbers, len(held), *(b.per_epoch for b in batches.values())),
            blocks=scaled.blocks,
        )

    def _networks(self, blocks: Blocks, rng: np.random.Generator) -> dict[str, Any]:
        """Build autoencoder and diffusion."""
        from .networks.column_vae import ColumnVae
        from .networks.tokens import TimedPerceptron

        numbers = len(self.scaled_.mixed.numeric)
        shape = {"width": self.width, "layers": self.layers, "factor": self.factor}
        inputs = (numbers + len(blocks.sizes)) * self.width
        vae = initialised(lambda: ColumnVae(numbers, blocks, **shape), rng)
        diffusion = initialised(lambda: TimedPerceptron(inputs, self.hidden), rng)
        return {"vae": vae, "diffusion": diffusion}

    def _widened(self, start: Start, room: Room) -> Start:
        numbers, places, *rest = start.held
        held = numbers, room.places(places), *rest
        return start.widened(room, lambda rng: self._networks(room.wide, rng), held)

    def _course(self, seeds: Seeds) -> Course:
        first = self._autoencoding(seeds)
        second = self._diffusing(seeds, first)

        def step(number: int) -> Mapping[str, Tensor]:
            if number < first.total:
                return first.step(number)
            return second.step(number - first.total)

        def learned(seed: int) -> dict[str, Any]:
            return {**first.learned(seed), **second.learned(seed)}

        total = first.total + second.total
        return Course(step, total, {**first.parts, **second.parts}, learned, second.until)

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

    def _autoencoding(self, seeds: Seeds) -> Course:
        import torch

        from .networks.column_vae import losses, missed

        vae, batches = seeds.networks["vae"], seeds.first.batches["vae"]
        numbers, places, held, _ = seeds.held
        blocks, columns = seeds.first.blocks, numbers.shape[-1] + places.shape[-1]
        total = steps_of(self.vae_steps, self.vae_epochs, batches.per_epoch)
        of_rate = {"patience": self.vae_patience, "factor": VAE_FALL}
        of_beta = {"patience": self.beta_patience, "factor": BETA_FALL, "lowest": LEAST_BETA}
        rates = [Falling(self.vae_learning_rate, total, **of_rate) for _ in seeds.starts]
        betas = [Falling(self.beta, total, **of_beta) for _ in seeds.starts]
        best = Best(vae, seeds.count)

        def after_pass(_: Sequence[float]) -> None:
            with torch.no_grad():
                found = seeds.each(missed, vae, blocks, numbers, places, held)
            all_missed = found.reshape(-1).tolist()
            for rate, beta, missed_by_one in zip(rates, betas, all_missed, strict=True):
                rate.after_pass(missed_by_one)
                beta.after_pass(missed_by_one)
            best.after_pass(all_missed)

        learning = Learning(vae, rates, batches.per_epoch, after_pass)

        def draw(start: Start) -> tuple[Tensor, Tensor]:
            rows = start.held[3][start.batches["vae"].draw()]
            return rows, torch.randn(len(rows), columns, self.width, **_drawn_by(start.draws))

        def step(number: int) -> dict[str, Tensor]:
            drawn = seeds.drawn(draw)
            far, apart = seeds.each(losses, vae, blocks, numbers, places, *drawn)
            beta = seeds.joined([beta.at(number) for beta in betas])
            learning.follow(number, far + beta * apart)
            return {"misses": far, "divergence": apart}

        parts = {"vae": learning, "vae best": best, "betas": betas}
        return Course(step, total, parts, lambda seed: {"vae": seeds.own(best.kept, seed)})

    def _diffusing(self, seeds: Seeds, autoencoding: Course) -> Course:
        import torch

        from .networks.latent_diffusion import Latents, loss_of_rows

        network, batches = seeds.networks["diffusion"], seeds.first.batches["diffusion"]
        total = steps_of(self.steps, self.epochs, batches.per_epoch)
        inputs = self.width * sum(part.shape[-1] for part in seeds.held[:2])
        falls = {"patience": self.patience, "factor": FALL}
        rates = [Falling(self.learning_rate, total, **falls) for _ in seeds.starts]
        in_steps = self.steps is not None
        best = Best(network, seeds.count, last=in_steps, stops=None if in_steps else STOPS)

        def after_pass(losses: Sequence[float]) -> None:
            learning.fall(losses)
            best.after_pass(losses)

        learning = Learning(network, rates, batches.per_epoch, after_pass)
        encoded: list[Tensor] = []  # once the autoencoder has been trained

        def latents(seed: int) -> tuple[Latents, Tensor]:
            rows = seeds.starts[seed].held[:2]
            return Latents.of(autoencoding.learned(seed)["vae"], rows)

        def draw(start: Start) -> tuple[Tensor, Tensor, Tensor]:
            rows, at = start.batches["diffusion"].draw(), _drawn_by(start.draws)
            return rows, torch.randn(len(rows), inputs, **at), torch.randn(len(rows), **at)

        def step(number: int) -> dict[str, Tensor]:
            if not encoded:
                encoded.append(seeds.joined([latents(seed)[1] for seed in range(seeds.count)]))
            missed = seeds.each(loss_of_rows, network, encoded[0], *seeds.drawn(draw))
            learning.follow(number, missed)
            return {"diffusion": missed}

        def learned(seed: int) -> dict[str, Any]:
            return {"diffusion": seeds.own(best.kept, seed), "latents": latents(seed)[0]}

        parts = {"diffusion": learning, "diffusion best": best}
        return Course(step, total, parts, learned, lambda: best.ended)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, those that fit ``conditions`` best if there are any."""
        schema = self.scaled_.mixed.schema
        return by_selection(lambda count: self._rows(count, rng), conditions, schema, n, rng)

    def _rows(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        import torch

        from .networks.latent_diffusion import drawn

        scaled, networks = self.scaled_, self.networks_
        latents = networks["latents"]
        draws = seeded(rng, scaled.blocks.device)

        def draw(part: slice) -> tuple[Tensor, Tensor]:
            shape = part.stop - part.start, len(latents.center)
            unit = torch.randn(shape, generator=draws, device=draws.device)
            made = drawn(networks["diffusion"], unit, self.sampling_steps, draws)
            vectors = latents.unscaled(made).unflatten(1, (-1, self.width))
            numbers, logits = networks["vae"].decode(vectors)
            return numbers, scaled.blocks.likeliest(logits)

        return scaled.drawn(n, draw)


def _drawn_by(draws: Generator) -> dict[str, Any]:
    return {"generator": draws, "device": draws.device}
