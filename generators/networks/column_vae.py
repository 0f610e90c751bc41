"""TabSyn's autoencoder: a row as one latent vector per column; imported late (torch).

Zhang et al. 2024 (arXiv:2310.09656), section 3.2: tokens of the columns, a transformer for the mean
and one for the logarithm of the variance of their latents, a transformer back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..views.blocks import Blocks
from .tokens import Heads, Tokens, mean, transformer

LARGEST_LOG = 10.0  # of a variance


class ColumnVae(nn.Module):
    """Variational autoencoder over columns.

    Parameters
    ----------
    numbers : int
        How many numeric columns there are.
    blocks : Blocks
        Of the codes.
    width, layers, factor : int
        Length of a token and a latent vector; layers of each transformer; how much they widen.
    """

    def __init__(
        self, numbers: int, blocks: Blocks, *, width: int, layers: int, factor: int
    ) -> None:
        super().__init__()
        self.tokens = Tokens(numbers, blocks, width)
        self.means = transformer(layers, width, factor)
        self.log_variances = transformer(layers, width, factor)
        self.back = transformer(layers, width, factor)
        self.heads = Heads(numbers, blocks, width)

    def encode(self, numbers: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log-variances of the latents, shape (n, columns, width) each."""
        tokens = self.tokens(numbers, places)
        log_variances = self.log_variances(tokens).clamp(-LARGEST_LOG, LARGEST_LOG)
        return self.means(tokens), log_variances

    def decode(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers of shape (n, numbers) and logits of all places."""
        return self.heads(self.back(latents))

    def forward(self, numbers: Tensor, places: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Return numbers, logits, means and log-variances; ``noise`` is standard normal."""
        means, log_variances = self.encode(numbers, places)
        decoded = self.decode(means + torch.exp(log_variances / 2) * noise)
        return *decoded, means, log_variances


def misses(
    blocks: Blocks, numbers: Tensor, places: Tensor, decoded: tuple[Tensor, Tensor]
) -> Tensor:
    """Return how far rows are from what was decoded: mean square plus mean cross entropy."""
    found, logits = decoded
    squares = (found - numbers).square()
    return mean(squares) + mean(blocks.surprisals(logits, places))


def divergence(means: Tensor, log_variances: Tensor) -> Tensor:
    """Return the mean over rows and latents of the divergence from a standard normal."""
    return (means.square() + log_variances.exp() - 1 - log_variances).mean() / 2


def losses(
    vae: ColumnVae, blocks: Blocks, numbers: Tensor, places: Tensor, rows: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Return how far rows are from what noisy latents of theirs lead to, and the divergence."""
    clean = numbers[rows], places[rows]
    found = vae(*clean, noise)
    return misses(blocks, *clean, found[:2]), divergence(*found[2:])


def missed(vae: ColumnVae, blocks: Blocks, numbers: Tensor, places: Tensor, rows: Tensor) -> Tensor:
    """Return how far some rows of a table are from what the means of their latents lead to."""
    clean = numbers[rows], places[rows]
    return misses(blocks, *clean, vae.decode(vae.encode(*clean)[0]))
