"""Networks that see rows as one token per column; imported late, because torch takes seconds.

What TabSyn, TabDiff and flow matching share: a tokenizer of columns, transformers over them, a wide
perceptron that knows the time, and heads that lead back to numbers and to logits of codes. Nothing
here draws: noise and times are handed in. Weights begin as torch draws them, within
``training.initialised``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..views.blocks import Blocks
from .room import ABSENT, Along

LONGEST_WAVE = 10_000.0  # of the embedded times, in radians


class Tokens(nn.Module):
    """Column tokenizer (Gorishniy et al. 2021, arXiv:2106.11959): a vector for every column.

    Parameters
    ----------
    numbers : int
        How many numeric columns there are.
    blocks : Blocks
        Of the codes.
    width : int
        Length of a token.
    """

    within: Tensor

    def __init__(self, numbers: int, blocks: Blocks, width: int) -> None:
        super().__init__()
        self.slopes = _parameter(numbers, width)
        self.places = _parameter(blocks.width, width)
        self.hidden = _parameter(len(blocks.sizes), width)
        self.offsets = _parameter(numbers + len(blocks.sizes), width)
        self.register_buffer("within", blocks.blocks.cpu(), persistent=False)

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        return {"places": [Along()]}

    def forward(self, numbers: Tensor, codes: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return tokens of shape (n, columns, width).

        Parameters
        ----------
        numbers : Tensor of shape (n, numbers)
        codes : Tensor
            Places in a row, int64 of shape (n, codes), or weights of all places, float32 of shape
            (n, blocks.width).
        hidden : Tensor of shape (n, codes), optional
            1 where a code is not to be seen, else 0; gradients pass.
        """
        if codes.is_floating_point():
            found = codes @ side_by_side(self.places, self.within)
            found = found.unflatten(1, (-1, self.places.shape[1]))
        else:
            found = nn.functional.embedding(codes, self.places)
        if hidden is not None:
            found = torch.lerp(found, self.hidden, hidden[:, :, None])
        return torch.cat([numbers[:, :, None] * self.slopes, found], 1) + self.offsets


class Heads(nn.Module):
    """The way back from tokens.

    Parameters
    ----------
    numbers, blocks, width
        As in ``Tokens``.
    """

    within: Tensor

    def __init__(self, numbers: int, blocks: Blocks, width: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.slopes = _parameter(numbers, width)
        self.offsets = nn.Parameter(torch.zeros(numbers))
        self.places = _parameter(blocks.width, width)
        self.biases = nn.Parameter(torch.zeros(blocks.width))
        self.register_buffer("within", blocks.blocks.cpu(), persistent=False)

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        return {"places": [Along()], "biases": [Along(fill=ABSENT)]}

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers of shape (n, numbers) and logits of shape (n, blocks.width)."""
        numbers = (tokens[:, : self.numbers] * self.slopes).sum(2) + self.offsets
        codes = tokens[:, self.numbers :].flatten(1)
        return numbers, codes @ side_by_side(self.places, self.within).T + self.biases


def side_by_side(vectors: Tensor, within: Tensor) -> Tensor:
    """Lay each block's vectors in columns of their own, so that one product serves all blocks.

    Parameters
    ----------
    vectors : Tensor of shape (places, width)
    within : Tensor of shape (places, blocks)
        1 where a place belongs to a block, else 0.

    Returns
    -------
    Tensor of shape (places, blocks * width)
    """
    return (within[:, :, None] * vectors[:, None, :]).flatten(1)


class Layer(nn.Module):
    """Transformer layer (Vaswani et al. 2017) with one head, normalised before each part.

    Parameters
    ----------
    width : int
        Length of a token.
    factor : int
        How many times wider the hidden layer is.
    """

    compiles = True  # its tokens are too narrow for a GPU's ready kernels (``replays``)

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, factor * width), nn.Linear(factor * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, columns, width) to the same shape."""
        queries, keys, values = self.ask(self.first(tokens)).chunk(3, dim=2)
        attention = torch.softmax(queries @ keys.mT * queries.shape[2] ** -0.5, dim=2)
        tokens = tokens + self.answer(attention @ values)
        return tokens + self.narrow(torch.relu(self.widen(self.second(tokens))))


def transformer(layers: int, width: int, factor: int) -> nn.Module:
    """Return so many layers, 0 or more."""
    return nn.Sequential(*(Layer(width, factor) for _ in range(layers)))


class TimedPerceptron(nn.Module):
    """Wide perceptron that knows the time (TabDDPM's, as TabSyn and TabDiff have it).

    Parameters
    ----------
    inputs : int
        Length of the vectors that go in and come out.
    hidden : int
        Width of the embedded time, even; the inner layers are twice as wide.
    """

    waves: Tensor

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.time = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.layers = nn.Sequential(
            nn.Linear(hidden, 2 * hidden),
            nn.SiLU(),
            nn.Linear(2 * hidden, 2 * hidden),
            nn.SiLU(),
            nn.Linear(2 * hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, inputs),
        )
        waves = LONGEST_WAVE ** -(torch.arange(hidden // 2) / (hidden // 2))
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, vectors: Tensor, time: Tensor) -> Tensor:
        """Map (n, inputs) to (n, inputs) at times of shape (n,), or (1,) for one of all rows."""
        angles = time[:, None] * self.waves
        known = self.time(torch.cat([angles.cos(), angles.sin()], 1))
        return self.layers(self.enter(vectors) + known)


class Denoiser(nn.Module):
    """Network of TabDiff and flow matching: tokens, transformer, perceptron, transformer, heads.

    Parameters
    ----------
    numbers, blocks
        As in ``Tokens``.
    width, layers, factor, hidden : int
        Length of a token; layers of each transformer and how much they widen; the perceptron's.
    """

    def __init__(
        self, numbers: int, blocks: Blocks, *, width: int, layers: int, factor: int, hidden: int
    ) -> None:
        super().__init__()
        self.tokens = Tokens(numbers, blocks, width)
        self.before = transformer(layers, width, factor)
        self.perceptron = TimedPerceptron((numbers + len(blocks.sizes)) * width, hidden)
        self.after = transformer(layers, width, factor)
        self.heads = Heads(numbers, blocks, width)

    def forward(
        self, numbers: Tensor, codes: Tensor, time: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return numbers and logits; arguments as in ``Tokens`` and ``TimedPerceptron``."""
        tokens = self.before(self.tokens(numbers, codes, hidden))
        mixed = self.perceptron(tokens.flatten(1), time).view_as(tokens)
        return self.heads(self.after(mixed))


def mean(losses: Tensor) -> Tensor:
    """Return the mean, 0 of nothing."""
    return losses.sum() / max(losses.numel(), 1)


def _parameter(rows: int, width: int) -> nn.Parameter:
    """Draw vectors, uniform with the bound 1 / sqrt(width) of a linear layer."""
    return nn.Parameter((torch.rand(rows, width) * 2 - 1) / math.sqrt(width))
