"""EDM: how Karras et al. 2022 (arXiv:2206.00364) scale, weigh and solve a diffusion.

Noise of standard deviation sigma is added to rows x of standard deviation ``data``. A network F
predicts what is left of x once the best linear guess is taken out:
``D(x + sigma n) = skip (x + sigma n) + out F(into (x + sigma n))``, with ``out`` such that F learns
numbers of variance 1 (table 1 of the paper). Imported late, because torch takes seconds to load.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Generator, Tensor

LOWEST, HIGHEST = 0.002, 80.0  # noise that sampling ends and begins with
BEND = 7.0  # rho: the higher, the more of the steps are near the lowest noise
CHURN = 1.0  # S_churn: share of one step's worth of noise that each step puts back


def scales(sigma: Tensor, data: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``skip``, ``out`` and ``into`` at a noise of ``sigma``."""
    total = sigma.square() + data**2
    return data**2 / total, sigma * data / total.sqrt(), total.rsqrt()


def wanted(clean: Tensor, noisy: Tensor, sigma: Tensor, data: float) -> Tensor:
    """Return what F is to predict.

    The weighted loss of the paper, ``(D - x)^2 / out^2``, is the square of F's error.
    """
    skip, out, _ = scales(sigma, data)
    return (clean - skip * noisy) / out


def between(shares: Tensor, bend: Tensor | float = BEND) -> Tensor:
    """Return the noise at ``shares`` of the way from the lowest to the highest (equation 5)."""
    low, high = LOWEST ** (1 / bend), HIGHEST ** (1 / bend)
    return (low + shares * (high - low)) ** bend


def levels(steps: int) -> Tensor:
    """Return the noise before each of ``steps`` steps, falling, and 0 after the last."""
    falling = between(torch.linspace(1, 0, steps, dtype=torch.float64))
    return torch.cat([falling, falling.new_zeros(1)]).float()


def swell(steps: int) -> float:
    """Return by which factor each step raises the noise before it lowers it."""
    return 1 + min(CHURN / steps, 2**0.5 - 1)


def sampled(
    denoise: Callable[[Tensor, Tensor], Tensor], unit: Tensor, steps: int, draws: Generator
) -> Tensor:
    """Solve the diffusion by Heun's method with churn (algorithm 2).

    Parameters
    ----------
    denoise : callable
        D: rows and their noise, a scalar, to clean rows.
    unit : Tensor of shape (n, d)
        Standard normal noise to begin with.
    steps : int
        D is called twice for each, once for the last.
    draws : torch.Generator
        Draws the noise put back.
    """
    noise = levels(steps).to(unit.device)
    rows = unit * noise[0]
    for step, (before, after) in enumerate(itertools.pairwise(noise), 1):
        higher = before * swell(steps)
        fresh = torch.empty_like(rows).normal_(generator=draws)
        rows = rows + (higher.square() - before.square()).sqrt() * fresh
        slope = (rows - denoise(rows, higher)) / higher
        ahead = rows + (after - higher) * slope
        if step < steps:  # the noise is 0 after the last
            slope = (slope + (ahead - denoise(ahead, after)) / after) / 2
            ahead = rows + (after - higher) * slope
        rows = ahead
    return rows
