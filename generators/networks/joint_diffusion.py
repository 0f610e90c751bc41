"""TabDiff's diffusion of numbers and codes together; imported late, because torch takes seconds.

Time runs from 0, clean rows, to 1. A number gains noise of standard deviation sigma, a code is
hidden with some chance; how these rise with time is learned for every column (Shi et al. 2025,
arXiv:2410.20626, section 3). Nothing here draws.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..views.blocks import Blocks
from .edm import BEND, HIGHEST, LOWEST, between, scales, wanted
from .tokens import Denoiser, mean

DATA = 1.0  # standard deviation of normal scores
LEAST_BEND, FIRST_BEND = 5.0, 7.0  # rho of the numbers' noise; the first before softplus
LEAST_SPEED, FIRST_SPEED = 1.0, -6.0  # k of the chance to be hidden, likewise
SEEN = 1e-3  # chance of a code to be seen at time 1; keeps odds finite
FIRST_TIME = 1e-5  # in training; the weight of a hidden code is k / time
TEMPERATURE = 0.01  # of the relaxed draws that the speeds learn from


class Schedules(nn.Module):
    """How noise rises with time in every column.

    Parameters
    ----------
    numbers, codes : int
        How many columns of each sort there are.
    """

    def __init__(self, numbers: int, codes: int) -> None:
        super().__init__()
        self.raw_bends = nn.Parameter(torch.full((numbers,), FIRST_BEND))
        self.raw_speeds = nn.Parameter(torch.full((codes,), FIRST_SPEED))

    def bends(self) -> Tensor:
        """Return rho of each number, > LEAST_BEND."""
        return LEAST_BEND + nn.functional.softplus(self.raw_bends)

    def speeds(self) -> Tensor:
        """Return k of each code, > LEAST_SPEED."""
        return LEAST_SPEED + nn.functional.softplus(self.raw_speeds)

    def sigma(self, time: Tensor) -> Tensor:
        """Return the noise of numbers at times of shape (n,); shape (n, numbers)."""
        return between(time[:, None], self.bends())

    def chance(self, time: Tensor) -> Tensor:
        """Return the chance of codes to be hidden at times of shape (n,); shape (n, codes)."""
        return (1 - SEEN) * time[:, None] ** self.speeds()

    def raised(self, time: Tensor, factor: float) -> Tensor:
        """Return the time, at most 1, until which no number's noise grows by more than a factor."""
        if not len(self.raw_bends):
            return time
        roots = 1 / self.bends()
        low, high = LOWEST**roots, HIGHEST**roots
        shares = ((factor * self.sigma(time)) ** roots - low) / (high - low)
        return shares.amin(1).clamp(max=1.0)


class Diffusion(nn.Module):
    """The network, with the schedules that learn beside it.

    Parameters
    ----------
    denoiser : Denoiser
    numbers, codes : int
        How many columns of each sort there are.
    """

    def __init__(self, denoiser: Denoiser, numbers: int, codes: int) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.schedules = Schedules(numbers, codes)

    def forward(
        self, noisy: Tensor, places: Tensor, hidden: Tensor, time: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what EDM's network says of the numbers (``edm.wanted``), and the codes' logits.

        The network is told the time as the noise of a number whose rho is 7.

        Parameters
        ----------
        noisy : Tensor of float32, shape (n, numbers)
        places : Tensor of int64, shape (n, codes)
            Anything where a code is hidden.
        hidden : Tensor of float32, shape (n, codes)
        time : Tensor of float32, shape (n,) or (1,)
        """
        _, _, into = scales(self.schedules.sigma(time), DATA)
        told = between(time, BEND).log() / 4
        return self.denoiser(into * noisy, places, told, hidden)


def hidden_softly(chance: Tensor, uniform: Tensor) -> Tensor:
    """Return 1 with the chance, else 0, with gradients of a relaxed draw of low temperature.

    Gumbel-softmax for two outcomes, straight through (Jang et al. 2017, arXiv:1611.01144).
    """
    odds = torch.logit(chance, 1e-6) + torch.logit(uniform, 1e-6)
    soft = torch.sigmoid(odds / TEMPERATURE)
    return (odds > 0).float() + (soft - soft.detach())


def losses(
    network: Diffusion,
    blocks: Blocks,
    rows: tuple[Tensor, Tensor],
    time: Tensor,
    noise: Tensor,
    uniform: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the mean losses of numbers and of codes: EDM's, and the bound of masked diffusion.

    Parameters
    ----------
    network : Diffusion
    blocks : Blocks
        Of the codes.
    rows : tuple of Tensor
        Clean numbers and places.
    time, noise, uniform : Tensor of shape (n,), (n, numbers) and (n, codes)
        Uniform in [0, 1), standard normal, uniform in [0, 1).
    """
    numbers, places = rows
    time = time.clamp(min=FIRST_TIME)
    sigma = network.schedules.sigma(time)
    noisy = numbers + sigma * noise
    hidden = hidden_softly(network.schedules.chance(time), uniform)
    found, logits = network(noisy, places, hidden, time)
    squares = (found - wanted(numbers, noisy, sigma, DATA)).square()
    weights = network.schedules.speeds() / time[:, None] * hidden.detach()
    return mean(squares), mean(weights * blocks.surprisals(logits, places))
