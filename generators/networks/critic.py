"""The critic of Wasserstein GANs with a gradient penalty; imported late, because of torch.

A critic of linear layers and rectifiers is linear between its kinks, so the gradient of its score
in a row is a product of its weight matrices and the slopes of its rectifiers, and the penalty of
WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028, equation 3) is a function of the weights that one
backward pass differentiates; there is no second pass through the first, and it is exact. A mix of
a real and a generated row enters the first layer as the same mix of what the two of them do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from .room import Along, Places

KINKED = 0.2  # slope of the leaky rectifiers below 0


class Beside(nn.Module):
    """A linear layer of numbers beside one-hot vectors, which are handed over as places.

    Parameters
    ----------
    numbers : int
        Length of the numbers.
    width : int
        Length of all one-hot vectors together; 0 for none.
    outputs : int
        Units of the layer.
    """

    def __init__(self, numbers: int, width: int, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(numbers, outputs)
        self.rows = nn.Parameter(torch.empty(width, outputs)) if width else None
        spread_out(self, numbers + width)

    def forward(self, numbers: Tensor, places: Tensor | None) -> Tensor:
        """Map numbers of shape (n, numbers) and places of shape (m, vectors) to (n, outputs).

        Where m is less than n, the places are those of the first m rows, the next m, and so on.
        """
        dense = self.dense(numbers)
        if places is None or self.rows is None:
            return dense
        told = functional.embedding_bag(places, self.rows, mode="sum")
        return (dense.view(-1, *told.shape) + told).view(dense.shape)


def spread_out(module: nn.Module, inputs: int) -> None:
    """Draw weights as a linear layer of so many inputs begins: uniform, variance 1 / (3 inputs)."""
    for weights in module.parameters():
        nn.init.uniform_(weights, -(inputs**-0.5), inputs**-0.5)


class CriticNoise(NamedTuple):
    """What one step of a critic draws, all of it uniform in [0, 1).

    Parameters
    ----------
    uniforms, uniforms_mixed : list of Tensor
        Decide which of each hidden layer's units dropout leaves out, of real and generated packs
        and of their mixes.
    shares : Tensor, shape (packs, 1)
        Of the real pack in each mix.
    """

    uniforms: list[Tensor]
    uniforms_mixed: list[Tensor]
    shares: Tensor


class Critic(nn.Module):
    """Scores packs of rows (Lin et al. 2018, PacGAN, arXiv:1712.04086).

    Parameters
    ----------
    width : int
        Length of a row.
    hidden : sequence of int
        Units of the hidden layers.
    numbers : int
        How many of a row come after the places.
    asked : int
        Length of the conditional vector beside a row.
    asked_blocks : int
        How many blocks it has, the first ones.
    pack : int
        Rows in a pack.
    slope : float
        Of the rectifiers below 0.
    dropout : float
        Share of hidden units that is left out, in [0, 1).
    """

    offsets: Tensor

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        *,
        numbers: int = 0,
        asked: int = 0,
        asked_blocks: int = 0,
        pack: int = 1,
        slope: float = KINKED,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.entry = Beside(pack * width, pack * asked, hidden[0])
        self.layers = nn.ModuleList(nn.Linear(*ends) for ends in pairwise([*hidden, 1]))
        self.hidden, self.pack, self.slope, self.dropout = hidden, pack, slope, dropout
        self.numbers, self.asked_blocks = numbers, asked_blocks
        self.register_buffer("offsets", torch.arange(pack) * asked, persistent=False)

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        found = {"entry.dense.weight": [Along(1, [Places(), self.numbers] * self.pack)]}
        if self.entry.rows is not None:
            found["entry.rows"] = [Along(0, [Places(self.asked_blocks)] * self.pack)]
        return found

    def noise(self, packs: int, draws: Generator) -> CriticNoise:
        """Draw what a step on so many real packs and as many generated ones needs."""
        shares = torch.rand(packs, 1, generator=draws, device=draws.device)
        return CriticNoise(self.uniforms(2 * packs, draws), self.uniforms(packs, draws), shares)

    def uniforms(self, packs: int, draws: Generator) -> list[Tensor]:
        """Draw what decides on the dropout of so many packs; nothing where there is none."""
        sizes = [(packs, units) for units in self.hidden] if self.dropout else []
        return [torch.rand(size, generator=draws, device=draws.device) for size in sizes]

    def kept(self, uniforms: Sequence[Tensor]) -> list[Tensor]:
        """Return what dropout multiplies each hidden layer's units with."""
        return [(drawn >= self.dropout) / (1 - self.dropout) for drawn in uniforms]

    def enter(self, rows: Tensor, asked: Tensor | None = None) -> Tensor:
        """Return what the first rectifiers see of rows (n, width) and the places asked for (m,).

        Where m is less than n, the rows are several batches with the same places.
        """
        packed = rows.reshape(len(rows) // self.pack, -1)
        if asked is not None:
            asked = asked.reshape(-1, self.pack) + self.offsets
        return self.entry(packed, asked)

    def scores(self, entered: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """Return the score of each pack, shape (packs,)."""
        for position, layer in enumerate(self.layers):
            entered = functional.leaky_relu(entered, self.slope)
            entered = layer(entered * kept[position] if kept else entered)
        return entered.squeeze(1)

    def gradients(self, entered: Tensor, kept: Sequence[Tensor]) -> Tensor:
        """Return the gradient of each pack's score in its rows, shape (packs, pack * width)."""
        slopes = []
        with torch.no_grad():
            for position, layer in enumerate(self.layers):
                steep = torch.full_like(entered, self.slope).masked_fill_(entered > 0, 1.0)
                slopes.append(steep * kept[position] if kept else steep)
                entered = layer(entered * slopes[-1])
        upstream = torch.ones_like(entered)
        layers: list[Any] = list(self.layers)
        for layer, steep in zip(layers[::-1], slopes[::-1], strict=True):
            upstream = (upstream @ layer.weight) * steep
        return upstream @ self.entry.dense.weight

    def loss(
        self, real: Tensor, fake: Tensor, asked: Tensor | None, noise: CriticNoise, penalty: float
    ) -> Tensor:
        """Return the loss of WGAN-GP on as many generated rows as real ones.

        The gradient that is penalised is that in the rows; both sorts share a conditional vector.
        """
        entered = self.enter(torch.cat([real, fake]), asked)
        real_scores, fake_scores = self.scores(entered, self.kept(noise.uniforms)).chunk(2)
        with torch.no_grad():
            real_side, fake_side = entered.chunk(2)
            mixed = torch.lerp(fake_side, real_side, noise.shares)
        norms = self.gradients(mixed, self.kept(noise.uniforms_mixed)).norm(dim=1)
        return fake_scores.mean() - real_scores.mean() + penalty * (norms - 1).square().mean()
