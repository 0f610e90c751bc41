"""TabSyn's second half: EDM over the latents of an autoencoder; imported late (torch).

Zhang et al. 2024 (arXiv:2310.09656), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from .column_vae import ColumnVae
from .edm import sampled, scales, wanted
from .tokens import TimedPerceptron

DATA = 0.5  # standard deviation of what diffusion sees
LOG_MEAN, LOG_DEVIATION = -1.2, 1.2  # of the noise in training
GAIN = 4.0  # of what the network sees, so that it tells close codes apart sooner
CHUNK = 4096  # rows encoded at a time


class Latents(nn.Module):
    """Where the latents of a table lie.

    Parameters
    ----------
    center : Tensor of shape (d,)
        Their mean.
    spread : Tensor, scalar
        Standard deviation of all of them around it.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, center: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("center", center)
        self.register_buffer("spread", spread)

    @classmethod
    def of(cls, vae: ColumnVae, rows: Sequence[Tensor]) -> tuple[Latents, Tensor]:
        """Encode numbers and places by their means; return also the scaled latents, (n, d)."""
        parts = [part.split(CHUNK) for part in rows]
        with torch.no_grad():
            encoded = [vae.encode(*part)[0].flatten(1) for part in zip(*parts, strict=True)]
        latents = torch.cat(encoded)
        center = latents.mean(0)
        latents = latents - center
        spread = latents.square().mean().sqrt().clamp(min=1e-6)
        return cls(center, spread), latents * (DATA / spread)

    def unscaled(self, scaled: Tensor) -> Tensor:
        """Return latents of the autoencoder."""
        return scaled * (self.spread / DATA) + self.center


def loss(network: TimedPerceptron, clean: Tensor, noise: Tensor, log: Tensor) -> Tensor:
    """Return EDM's mean weighted loss.

    Parameters
    ----------
    network : TimedPerceptron
    clean, noise : Tensor of shape (n, d)
        Scaled latents, and standard normal noise.
    log : Tensor of shape (n,)
        Standard normal; decides the amount of noise.
    """
    log = LOG_MEAN + LOG_DEVIATION * log
    sigma = log.exp()[:, None]
    noisy = clean + sigma * noise
    found = _predicted(network, noisy, scales(sigma, DATA)[2], log)
    return (found - wanted(clean, noisy, sigma, DATA)).square().mean()


def loss_of_rows(
    network: TimedPerceptron, latents: Tensor, rows: Tensor, noise: Tensor, log: Tensor
) -> Tensor:
    """Return the loss of some of the scaled latents."""
    return loss(network, latents[rows], noise, log)


def drawn(network: TimedPerceptron, unit: Tensor, steps: int, draws: Generator) -> Tensor:
    """Draw scaled latents from standard normal noise of the same shape (n, d)."""

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        skip, out, into = scales(sigma, DATA)
        return skip * noisy + out * _predicted(network, noisy, into, sigma.log()[None])

    return sampled(denoise, unit, steps, draws)


def _predicted(network: TimedPerceptron, noisy: Tensor, into: Tensor, log: Tensor) -> Tensor:
    """Return what the network says of noisy latents, given the logarithm of their noise."""
    return network(GAIN * into * noisy, log / 4)
