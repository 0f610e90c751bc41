"""TVAE: a variational autoencoder of rows with modes (Xu et al. 2019, arXiv:1907.00503).

Numbers are modes and offsets (``modes``). The decoder gives a distribution of every block and the
mean of every offset, whose deviation is learned, one per numeric column. Rows come evenly from the
table: training by sampling is CTGAN's, not TVAE's. Drawn rows draw from what the decoder gives.

A table of few rows is passed over more often, for ``least_steps`` steps, and one of very many less
often, for ``most_steps``; the paper has 1 and no limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least
from .networks.learning import follow
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import Batches, device_of, initialised, seeded
from .selection import by_selection
from .views.blocks import chunks
from .views.modes import ModeRows

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.mode_autoencoder import ModeAutoencoder
    from .networks.room import Room
    from .networks.seeds import Seeds
    from .views.blocks import Blocks

FACTOR = 2.0  # weight of the reconstruction beside the divergence
DECAY = 1e-5  # of all weights


class Tvae(Network):
    """Tabular variational autoencoder.

    Parameters
    ----------
    epochs : int
        Passes over the table, >= 1.
    least_steps : int
        Fewest steps in all, >= 1.
    most_steps : int or None
        Most steps in all, >= 1; None: as many as the passes have.
    batch : int
        Rows of a step, >= 1.
    hidden : int
        Units of both hidden layers of encoder and decoder, >= 1.
    latent : int
        Length of the latent vectors, >= 1.
    learning_rate : float
        Of Adam, > 0.
    modes : int
        Most modes of a numeric column, >= 1.
    threshold : float
        Share of rows below which a mode is dropped, in [0, 1 / modes).
    device : {"auto", "cpu", "cuda"}
        Where it is trained; rows are drawn on the CPU.
    """

    drawn_on = "cpu"

    def __init__(
        self,
        epochs: int = 150,
        least_steps: int = 3000,
        most_steps: int | None = 12_000,
        batch: int = 500,
        hidden: int = 128,
        latent: int = 128,
        learning_rate: float = 1e-3,
        modes: int = 10,
        threshold: float = 0.005,
        device: str = "auto",
    ) -> None:
        self.epochs = epochs
        self.least_steps = least_steps
        self.most_steps = most_steps
        self.batch = batch
        self.hidden = hidden
        self.latent = latent
        self.learning_rate = learning_rate
        self.modes = modes
        self.threshold = threshold
        self.device = device

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start:
        """Encode rows, and build the autoencoder."""
        import torch

        for name in ("epochs", "least_steps", "batch", "hidden", "latent"):
            check_at_least(name, getattr(self, name), 1)
        if self.most_steps is not None:
            check_at_least("most_steps", self.most_steps, 1)
        self.rows_ = ModeRows.of(train, schema, self.modes, self.threshold)
        places, offsets = self.rows_.encode(train, rng)
        device = device_of(self.device)
        draws, blocks = seeded(rng, device), self.rows_.blocks(device)
        network = self._network(blocks, offsets.shape[1], rng)
        held = (places, offsets, torch.from_numpy(self.rows_.wide()))
        batches = Batches(len(places), self.batch, draws)
        return Start(
            {"autoencoder": network.to(device)},
            tuple(part.to(device) for part in held),
            draws,
            {"rows": batches},
            alike=(offsets.shape[1], self._total(batches)),
            blocks=blocks,
        )

    def _total(self, batches: Batches) -> int:
        """Return how many steps there are."""
        wanted = max(self.epochs * batches.per_epoch, self.least_steps)
        return min(wanted, self.most_steps or wanted)

    def _network(self, blocks: Blocks, offsets: int, rng: np.random.Generator) -> ModeAutoencoder:
        from .networks.mode_autoencoder import ModeAutoencoder

        return initialised(
            lambda: ModeAutoencoder(blocks.width, offsets, self.hidden, self.latent), rng
        )

    def _widened(self, start: Start, room: Room) -> Start:
        places, offsets, wide = start.held

        def networks(rng: np.random.Generator) -> dict[str, ModeAutoencoder]:
            return {"autoencoder": self._network(room.wide, offsets.shape[1], rng)}

        held = room.places(places), offsets, room.spread(wide)
        return start.widened(room, networks, held)

    def _course(self, seeds: Seeds) -> Course:
        import torch

        network, blocks = seeds.networks["autoencoder"], seeds.first.blocks
        adam = torch.optim.Adam(
            network.parameters(), lr=self.learning_rate, weight_decay=DECAY, fused=True
        )

        def draw(start: Start) -> tuple[Tensor, Tensor]:
            rows, draws = start.batches["rows"].draw(), start.draws
            return rows, torch.randn(len(rows), self.latent, generator=draws, device=draws.device)

        def losses(
            network: ModeAutoencoder,
            places: Tensor,
            offsets: Tensor,
            wide: Tensor,
            rows: Tensor,
            noise: Tensor,
        ) -> tuple[Tensor, Tensor]:
            taken = places[rows].long()
            told = wide[taken[:, -offsets.shape[1] :]] if offsets.shape[1] else offsets[rows]
            return network(blocks, taken, offsets[rows], told, noise)

        def step(number: int) -> dict[str, Tensor]:
            misfit, divergence = seeds.each(losses, network, *seeds.held, *seeds.drawn(draw))
            loss = FACTOR * misfit + divergence
            follow(loss, network, adam)
            network.clip()
            return {"misfit": misfit, "divergence": divergence}

        return Course(
            step,
            self._total(seeds.first.batches["rows"]),
            {"network": network, "adam": adam},
            lambda seed: {"autoencoder": seeds.own(network, seed)},
        )

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows; conditions are met by selection."""
        schema, draws = self.rows_.mixed.schema, seeded(rng)
        return by_selection(lambda m: self._drawn(m, draws), conditions, schema, n, rng)

    def _drawn(self, n: int, draws: Generator) -> pd.DataFrame:
        import torch

        blocks, network = self.rows_.blocks(), self.networks_["autoencoder"]
        places = torch.empty(n, len(blocks.sizes), dtype=torch.int64)
        offsets = torch.empty(n, len(network.deviations))
        for rows in chunks(n, blocks.width):
            with torch.no_grad():
                logits, means = network.decoded(
                    torch.randn(len(rows), self.latent, generator=draws)
                )
                noise = torch.randn(means.shape, generator=draws)
                places[rows] = blocks.draw(blocks.softmax(logits), draws)
                offsets[rows] = (means + network.deviations * noise).clamp(-1, 1)
        return self.rows_.table(places.numpy(), offsets.numpy())
