"""Denoising diffusion of rows: Gaussian for numbers, multinomial for codes; imported late.

Ho, Jain and Abbeel 2020 (arXiv:2006.11239); Kotelnikov et al. 2023 (arXiv:2209.15421).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from .multinomial import Codes, Leap
from .room import ABSENT, Along, Places

LENGTH = 128  # of the embeddings of a row, its time and its label
LONGEST = 10_000  # wave, in times over 2 pi
OFFSET = 0.008  # keeps the first steps from being too small
LARGEST_STEP = 0.999  # share of the signal that one step may lose


def cosine(steps: int) -> np.ndarray:
    """Return the share of the signal's variance left after 0, 1, ... ``steps`` steps of noise.

    Nichol and Dhariwal 2021, equation 17 (arXiv:2102.09672).

    Returns
    -------
    ndarray of float64, shape (steps + 1,)
        From 1, falling.
    """
    angles = (np.arange(steps + 1) / steps + OFFSET) / (1 + OFFSET) * math.pi / 2
    left = np.cos(angles) ** 2
    lost = np.minimum(1 - left[1:] / left[:-1], LARGEST_STEP)
    return np.concatenate([[1.0], np.cumprod(1 - lost)])


def leaps(kept: np.ndarray) -> Tensor:
    """Describe every leap from one of the times to the next, float32 of shape (times - 1, 6)."""
    between = kept[1:] / kept[:-1]
    parts = [kept[1:], kept[:-1], between]
    columns = [column for part in parts for column in (part, 1 - part)]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def noisy_numbers(numbers: Tensor, noise: Tensor, leap: Leap) -> Tensor:
    """Mix clean numbers with standard normal noise as at the later time of a leap."""
    return leap.kept.sqrt() * numbers + leap.lost.sqrt() * noise


class Noise(NamedTuple):
    """What one look at ``n`` rows draws.

    Parameters
    ----------
    times : Tensor, shape (n,)
        Uniform in [0, 1): which of the row's part of the times.
    numbers : Tensor, shape (n, numbers)
        Standard normal.
    codes : Tensor, shape (2, n, columns)
        Uniform in [0, 1): whether a code is kept, and what stands in its place.
    """

    times: Tensor
    numbers: Tensor
    codes: Tensor


class Denoiser(nn.Module):
    """Predicts the noise of numbers and the clean codes from a noisy row, its time and its label.

    Parameters
    ----------
    numbers : int
        How many numbers a row has.
    width : int
        Length of a row's one-hot blocks.
    labels : int
        How many labels there are, >= 1.
    times : int
        How many times there are.
    hidden : sequence of int
        Widths of the hidden layers.
    """

    waves: Tensor

    def __init__(
        self, numbers: int, width: int, labels: int, times: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_buffer("waves", waves(times), persistent=False)
        bound = (numbers + width) ** -0.5
        self.entry = nn.Parameter(torch.empty(numbers + width, LENGTH).uniform_(-bound, bound))
        self.time = nn.Sequential(nn.Linear(LENGTH, LENGTH), nn.SiLU(), nn.Linear(LENGTH, LENGTH))
        self.label = nn.Embedding(labels, LENGTH)
        layers: list[nn.Module] = []
        for ends in pairwise([LENGTH, *hidden]):
            layers += [nn.Linear(*ends), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.Linear(hidden[-1], numbers + width))

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        row, last = (self.numbers, Places()), len(self.trunk) - 1
        return {
            "entry": [Along(0, row)],
            f"trunk.{last}.weight": [Along(0, row)],
            f"trunk.{last}.bias": [Along(0, row, ABSENT)],
        }

    def forward(
        self, numbers: Tensor, places: Tensor, times: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict.

        Parameters
        ----------
        numbers : Tensor, shape (n, numbers)
            Noisy.
        places : Tensor of int64, shape (n, codes)
            Noisy codes, by where they stand in the blocks.
        times : Tensor of int64, shape (n,) or (1,)
        labels : Tensor of int64, shape (n,)

        Returns
        -------
        tuple of Tensor
            Noise of shape (n, numbers), logits of shape (n, width).
        """
        entry = numbers @ self.entry[: self.numbers]
        if places.shape[1]:
            weights = self.entry[self.numbers :]
            entry = entry + nn.functional.embedding_bag(places, weights, mode="sum")
        if len(times) > len(self.waves):  # embed every time once, not every row's
            time = nn.functional.embedding(times, self.time(self.waves))
        else:
            time = self.time(self.waves[times])
        outputs = self.trunk(entry + time + nn.functional.silu(self.label(labels)))
        return outputs[:, : self.numbers], outputs[:, self.numbers :]


def waves(times: int) -> Tensor:
    """Return sines and cosines of every time (Vaswani et al. 2017), shape (times, LENGTH)."""
    half = LENGTH // 2
    rates = torch.exp(torch.arange(half) * (-math.log(LONGEST) / half))
    angles = torch.arange(times)[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


@dataclass(frozen=True)
class Process:
    """Noise that rows are turned into, and the way back.

    Parameters
    ----------
    codes : Codes
        Noise of the codes.
    kept : ndarray of float64, shape (times + 1,)
        Share of the signal that is left at each time.
    lowest, highest : Tensor, shape (numbers,)
        Between which clean numbers lie.
    """

    codes: Codes
    kept: np.ndarray
    lowest: Tensor
    highest: Tensor

    @property
    def times(self) -> int:
        """How many steps of noise there are."""
        return len(self.kept) - 1

    @cached_property
    def leaps(self) -> Tensor:
        """What noise does from each time to the next, shape (times, 6)."""
        return leaps(self.kept).to(self.lowest.device)

    def noise(self, n: int, numbers: int, generator: Generator) -> Noise:
        """Draw what the losses of ``n`` rows of so many numbers need."""
        device, columns = self.lowest.device, len(self.codes.counts)
        return Noise(
            torch.rand(n, generator=generator, device=device),
            torch.randn(n, numbers, generator=generator, device=device),
            torch.rand(2, n, columns, generator=generator, device=device),
        )

    def losses(
        self,
        network: Denoiser,
        numbers: Tensor,
        places: Tensor,
        labels: Tensor,
        noise: Noise,
        codes: Codes | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean squared error of the noise and the bound on the codes' log-likelihood.

        The bound is the mean over codes of a sum over times, of which every row has one, drawn at
        random from a part of its own of all times: that is as good as independent ones, with less
        variance (Kingma et al. 2021, arXiv:2107.00630). ``codes`` stand for the process's own.
        """
        codes = codes or self.codes
        n, columns = places.shape
        parts = torch.arange(n, device=numbers.device) + noise.times
        times = (parts * (self.times / n)).long().clamp(max=self.times - 1)
        leap = Leap(*self.leaps[times].T[:, :, None])
        noisy = codes.noisy(places, noise.codes, leap.kept)
        mixed = noisy_numbers(numbers, noise.numbers, leap)
        predicted, logits = network(mixed, noisy, times, labels)
        losses = {}
        if numbers.shape[1]:
            losses["numbers"] = (predicted - noise.numbers).square().mean()
        if columns:
            divergence = codes.divergence(logits, places, noisy, leap)
            losses["codes"] = self.times * divergence.mean()
        return losses

    def draw(
        self, network: Denoiser, labels: Tensor, steps: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw a row for every label, in so many steps from noise.

        Returns
        -------
        tuple of Tensor
            Numbers of shape (n, numbers); places of shape (n, columns).
        """
        device, n = labels.device, len(labels)
        visited = np.linspace(0, self.times, steps + 1).round().astype(np.int64)
        back = [Leap(*leap[:, None]) for leap in leaps(self.kept[visited]).to(device)]
        times = torch.from_numpy(visited[1:] - 1).to(device)
        numbers = torch.randn(n, network.numbers, generator=generator, device=device)
        uniforms = torch.rand(n, len(self.codes.counts), generator=generator, device=device)
        places = self.codes.uniform(uniforms)
        for step in reversed(range(steps)):
            noise, logits = network(numbers, places, times[step : step + 1], labels)
            fresh = torch.randn(numbers.shape, generator=generator, device=device)
            numbers = self._earlier_numbers(numbers, noise, fresh, back[step])
            if places.shape[1]:
                places = self.codes.earlier(logits, places, back[step], generator)
        return numbers, places

    def _earlier_numbers(self, numbers: Tensor, noise: Tensor, fresh: Tensor, leap: Leap) -> Tensor:
        """Take one step back (Ho et al. 2020, equations 7 and 11, variance beta)."""
        clean = (numbers - leap.lost.sqrt() * noise) / leap.kept.sqrt()
        clean = torch.minimum(torch.maximum(clean, self.lowest), self.highest)
        mean = leap.kept_before.sqrt() * leap.lost_between * clean
        mean = (mean + leap.kept_between.sqrt() * leap.lost_before * numbers) / leap.lost
        return mean + leap.lost_between.sqrt() * fresh * (leap.kept_before < 1)
