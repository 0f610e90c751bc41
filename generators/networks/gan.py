"""What generative adversarial generators share; imported late, because torch takes seconds to load.

Noise enters every network as an argument, so a training step is a function of weights, rows and
noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..views.blocks import Blocks
from .critic import Beside, Critic, spread_out
from .learning import Average, follow
from .room import ABSENT, Along, Places
from .seeds import Seeds


class ResidualGenerator(nn.Module):
    """Layers each of which sees the noise, the condition and all layers before it.

    That is the paper's chain of concatenating blocks; what the layers make of noise and condition
    is one product here.

    Parameters
    ----------
    noise, asked : int
        Lengths of the noise and of the conditional vector.
    hidden : sequence of int
        Units of the hidden layers, each with batch normalisation and a rectifier.
    width : int
        Length of the output.
    numbers : int
        How many of it come after the places.
    asked_blocks : int
        How many blocks the conditional vector has, the first ones.
    """

    def __init__(
        self,
        noise: int,
        asked: int,
        hidden: Sequence[int],
        width: int,
        *,
        numbers: int = 0,
        asked_blocks: int = 0,
    ) -> None:
        super().__init__()
        self.sizes, self.numbers, self.asked_blocks = [*hidden, width], numbers, asked_blocks
        self.entry = Beside(noise, asked, sum(self.sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(units) for units in hidden)
        before = list(accumulate(hidden))
        self.layers = nn.ModuleList(
            nn.Linear(inputs, units, bias=False)
            for inputs, units in zip(before, self.sizes[1:], strict=True)
        )
        for layer, inputs in zip(self.layers, before, strict=True):
            spread_out(layer, noise + asked + inputs)
        inputs = noise + asked + torch.tensor([0, *before])
        reach = inputs.rsqrt().repeat_interleave(torch.tensor(self.sizes))
        with torch.no_grad():  # as one layer of all its inputs begins
            for weights in self.entry.parameters():
                over_units = reach[:, None] if weights is self.entry.dense.weight else reach
                weights.uniform_(-1, 1).mul_(over_units)

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        row = Places(), self.numbers
        units = *self.sizes[:-1], *row
        found = {
            "entry.dense.weight": [Along(0, units)],
            "entry.dense.bias": [Along(0, units, ABSENT)],
            f"layers.{len(self.layers) - 1}.weight": [Along(0, row)],
        }
        if self.entry.rows is not None:
            found["entry.rows"] = [Along(0, [Places(self.asked_blocks)]), Along(1, units)]
        return found

    def forward(self, noise: Tensor, asked: Tensor | None) -> Tensor:
        """Map noise (n, noise) and the places asked for (n,) to (n, width)."""
        places = None if asked is None else asked[:, None]
        first, *parts = self.entry(noise, places).split(self.sizes, dim=1)
        known = functional.relu(self.norms[0](first))
        for norm, layer, part in zip(self.norms[1:], self.layers, parts, strict=False):
            known = torch.cat([known, functional.relu(norm(part + layer(known)))], dim=1)
        return parts[-1] + self.layers[-1](known)


class TanhLayers(nn.Sequential):
    """Linear layers with tanh between them, that make rows from noise and other rows.

    Parameters
    ----------
    noise, width : int
        Lengths of the noise, which comes first in the input, and of a row.
    hidden : sequence of int
        Units of the hidden layers.
    numbers : int
        How many of a row come after the places.
    """

    def __init__(self, noise: int, hidden: Sequence[int], width: int, *, numbers: int = 0) -> None:
        *inner, last = pairwise([noise + width, *hidden, width])
        layers = [module for ends in inner for module in (nn.Linear(*ends), nn.Tanh())]
        super().__init__(*layers, nn.Linear(*last))
        self.noise, self.numbers = noise, numbers

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        row, last = (Places(), self.numbers), len(self) - 1
        return {
            "0.weight": [Along(1, [self.noise, *row])],
            f"{last}.weight": [Along(0, row)],
            f"{last}.bias": [Along(0, row, ABSENT)],
        }


def xavier(network: Any) -> Any:
    """Draw weights of every linear layer with variance 2 / inputs; biases begin at 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)
    return network


class Adversaries:
    """A generator and a critic that learn in turn, each by Adam.

    Parameters
    ----------
    generator, critic : Module
        The networks: of one seed, or of several, stacked.
    learning_rate : float
        Of both, > 0.
    betas : tuple of float
        Of Adam, for both.
    decay : float
        Weight of the generator's squared weights, >= 0.
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1).
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: Critic,
        *,
        learning_rate: float,
        betas: tuple[float, float],
        decay: float = 0.0,
        average: float = 0.0,
    ) -> None:
        self.generator, self.critic = generator, critic
        options: dict[str, Any] = {"lr": learning_rate, "betas": betas, "fused": True}
        self._steps = torch.optim.Adam(generator.parameters(), weight_decay=decay, **options)
        self._critic_steps = torch.optim.Adam(critic.parameters(), **options)
        self.average = Average(self.generator, average)

    @property
    def parts(self) -> dict[str, Any]:
        """Whatever changes in training, by name."""
        return {
            "generator": self.generator,
            "critic": self.critic,
            "generator_steps": self._steps,
            "critic_steps": self._critic_steps,
            "average": self.average,
        }

    def learned(self, seeds: Seeds, seed: int) -> dict[str, nn.Module]:
        """Return the networks of one of the seeds, the generator as rows are drawn from it."""
        networks = {"generator": self.average.kept.eval(), "critic": self.critic}
        return {name: seeds.own(network, seed) for name, network in networks.items()}

    def teach_critic(self, loss: Tensor) -> None:
        """Take a step of the critic down a loss."""
        follow(loss, self.critic, self._critic_steps)

    def teach_generator(self, loss: Tensor) -> None:
        """Take a step of the generator down a loss."""
        follow(loss, self.generator, self._steps)
        self.average.update()


def gumbel(uniform: Tensor) -> Tensor:
    """Turn uniform noise in [0, 1) into noise of the standard Gumbel distribution."""
    return -torch.log(-torch.log(uniform.clamp(min=torch.finfo(uniform.dtype).tiny)))


def activated(blocks: Blocks, outputs: Tensor, jitter: Tensor, temperature: float) -> Tensor:
    """Turn outputs into rows through which gradients pass: shares of each block, then offsets.

    Shares are drawn by the Gumbel softmax (Jang et al. 2017, arXiv:1611.01144); ``jitter`` is its
    noise, of shape (n, blocks.width). Offsets are in [-1, 1].
    """
    logits, offsets = outputs.split([blocks.width, outputs.shape[1] - blocks.width], dim=1)
    shares = blocks.softmax((logits + jitter) / temperature)
    return torch.cat([shares, torch.tanh(offsets)], dim=1)


def real_rows(blocks: Blocks, places: Tensor, offsets: Tensor, rows: Tensor) -> Tensor:
    """Return some rows of a table of places, int32 of shape (rows, blocks), and of offsets."""
    return torch.cat([blocks.rows(places[rows].long()), offsets[rows]], dim=1)


def generated(
    generator: ResidualGenerator,
    blocks: Blocks,
    noise: Tensor,
    asked: Tensor | None,
    uniform: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return rows through which gradients pass (``activated``), and the outputs they come from.

    ``uniform`` is noise in [0, 1), of shape (n, blocks.width).
    """
    outputs = generator(noise, asked)
    return activated(blocks, outputs, gumbel(uniform), temperature), outputs


def misled(
    critic: Critic,
    blocks: Blocks,
    fake: Tensor,
    outputs: Tensor,
    asked: Tensor | None,
    uniforms: Sequence[Tensor],
) -> Tensor:
    """Return the loss of a generator: low scores, and places asked for that it misses."""
    loss = -critic.scores(critic.enter(fake, asked), critic.kept(uniforms)).mean()
    if asked is None:
        return loss
    return loss + misses(blocks, outputs[:, : blocks.width], asked).mean()


def unit_rows(blocks: Blocks, outputs: Tensor) -> Tensor:
    """Turn outputs into rows through which gradients pass: shares, then numbers in [0, 1]."""
    logits, numbers = outputs.split([blocks.width, outputs.shape[1] - blocks.width], dim=1)
    return torch.cat([blocks.softmax(logits), torch.sigmoid(numbers)], dim=1)


def misses(blocks: Blocks, logits: Tensor, asked: Tensor) -> Tensor:
    """Cross entropy of each row's place asked for among the places of its block, shape (n,)."""
    elsewhere = blocks.owners != blocks.owners[asked][:, None]
    inside = logits.masked_fill(elsewhere, -torch.inf)
    return inside.logsumexp(1) - logits.gather(1, asked[:, None]).squeeze(1)
