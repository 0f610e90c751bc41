"""Variational flow matching of numbers and codes; imported late, because torch takes seconds.

Guzman-Cordero et al. 2025 (ICML), after Eijkelboom et al. 2024 (arXiv:2406.04843). Time runs from
0, standard normal noise, to 1, clean rows: normal scores beside one-hot codes. On the line between,
``x = t clean + (1 - t) noise``, the network says what the clean row is on average, and the flow
``(average - x) / (1 - t)`` carries noise to rows. Nothing here draws.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ..views.blocks import Blocks
from .tokens import Denoiser

END = 0.999  # where the flow is stopped; codes are one-hot there but for a thousandth
LAST_VARIANCE = 0.01  # of the numbers' likelihood at time 1; 1 at time 0
NEAREST = 1e-3  # to 0 and 1, of the times that the network is told


def averages(
    network: Denoiser, numbers: Tensor, rows: Tensor, time: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the numbers' posterior means and the codes' logits.

    The network is told the logarithm of the ratio of noise to signal, and finds what is left of
    the numbers' means once the best linear guess for standard normal ones is taken out.

    Parameters
    ----------
    network : Denoiser
    numbers, rows : Tensor of float32, shape (n, numbers) and (n, blocks.width)
        On the way.
    time : Tensor of shape (n,) or (1,)
    """
    clear, noise = time[:, None], 1 - time[:, None]
    total = clear.square() + noise.square()
    told = (noise.clamp(min=NEAREST) / clear.clamp(min=NEAREST)).log()[:, 0] / 4
    left, logits = network(numbers * total.rsqrt(), rows, told)
    return clear / total * numbers + noise * total.rsqrt() * left, logits


def losses(
    network: Denoiser,
    blocks: Blocks,
    rows: tuple[Tensor, Tensor],
    time: Tensor,
    noise: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Return minus the log-likelihood of clean numbers, but for a constant, and of codes.

    Means over rows, sums over columns.

    Parameters
    ----------
    network : Denoiser
    blocks : Blocks
        Of the codes.
    rows : tuple of Tensor
        Clean numbers and places.
    time : Tensor of shape (n,)
        Uniform in [0, 1).
    noise : tuple of Tensor, shapes (n, numbers) and (n, blocks.width)
        Standard normal.
    """
    clear = time[:, None]
    numbers, hot = (
        clear * clean + (1 - clear) * unclean
        for clean, unclean in zip((rows[0], blocks.rows(rows[1])), noise, strict=True)
    )
    means, logits = averages(network, numbers, hot, time)
    variances = 1 - (1 - LAST_VARIANCE) * clear.square()
    squares = (means - rows[0]).square() / (2 * variances)
    return squares.sum(1).mean(), blocks.surprisals(logits, rows[1]).sum(1).mean()


def times(steps: int) -> Tensor:
    """Return where ``steps`` steps begin and end; they shorten towards the end.

    Numbers that take few values part late, when the noise is as small as the gaps between them.
    """
    left = torch.linspace(1, 0, steps + 1, dtype=torch.float64).square()
    return (END * (1 - left)).float()


def carried(
    network: Denoiser, blocks: Blocks, noise: tuple[Tensor, Tensor], steps: int
) -> tuple[Tensor, Tensor]:
    """Follow the flow by Heun's method, from noise to numbers and places.

    A code is where its one-hot vector is largest. There is nothing to draw: at the end the vectors
    are within noise of a thousandth of what they stand for.
    """
    device = noise[0].device

    def slopes(numbers: Tensor, rows: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        means, logits = averages(network, numbers, rows, time)
        return (means - numbers) / (1 - time), (blocks.softmax(logits) - rows) / (1 - time)

    state = list(noise)
    for now, then in itertools.pairwise(times(steps).to(device).split(1)):
        first = slopes(state[0], state[1], now)
        ahead = [x + (then - now) * s for x, s in zip(state, first, strict=True)]
        second = slopes(ahead[0], ahead[1], then)
        state = [
            x + (then - now) * (s + later) / 2
            for x, s, later in zip(state, first, second, strict=True)
        ]
    return state[0], blocks.likeliest(state[1])
