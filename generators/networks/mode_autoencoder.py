"""The networks of TVAE; imported late, because torch takes seconds to load."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..views.blocks import Blocks
from .room import ABSENT, Along, Places

DEVIATIONS = (0.01, 1.0)  # least and largest one of an offset
FIRST_DEVIATION = 0.1


class ModeAutoencoder(nn.Module):
    """Encoder and decoder of rows that are one-hot blocks and offsets.

    Parameters
    ----------
    width, offsets : int
        Length of the blocks and of the offsets of a row.
    hidden : int
        Units of both hidden layers of each.
    latent : int
        Length of the latent vectors.
    """

    def __init__(self, width: int, offsets: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.width = width
        self.encoder = _layers(width + offsets, hidden, 2 * latent)
        self.decoder = _layers(latent, hidden, width + offsets)
        self.deviations = nn.Parameter(torch.full((offsets,), FIRST_DEVIATION))

    def forward(
        self, blocks: Blocks, places: Tensor, offsets: Tensor, told: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both parts of the negative evidence lower bound, each a mean over rows.

        Parameters
        ----------
        blocks : Blocks
            Where the places stand.
        places, offsets, told, noise : Tensor
            Shapes (n, blocks), twice (n, offsets), and (n, latent); ``told`` is 1 where an offset
            says something, 0 where the mode is a single value or missing.

        Returns
        -------
        tuple of Tensor
            How badly the rows are reconstructed, up to a constant, and the divergence of their
            latent vectors from a standard normal (Kingma and Welling 2014, appendix B).
        """
        rows = torch.cat([blocks.rows(places), offsets], dim=1)
        mean, log_variance = self.encoder(rows).chunk(2, dim=1)
        logits, means = self.decoded(mean + torch.exp(log_variance / 2) * noise)
        apart = (offsets - means) / self.deviations
        misfit = (apart.square() / 2 + torch.log(self.deviations)) * told
        misfit = (blocks.surprisals(logits, places).sum() + misfit.sum()) / len(rows)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return misfit, divergence / len(rows)

    def decoded(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of all places and the means of the offsets."""
        outputs = self.decoder(latent)
        return outputs[:, : self.width], torch.tanh(outputs[:, self.width :])

    def along_places(self) -> dict[str, list[Along]]:
        """Say which weights run over places (``room``)."""
        row = Places(), len(self.deviations)
        return {
            "encoder.0.weight": [Along(1, row)],
            "decoder.4.weight": [Along(0, row)],
            "decoder.4.bias": [Along(0, row, ABSENT)],
        }

    def clip(self) -> None:
        """Bring the deviations into their range."""
        with torch.no_grad():
            self.deviations.clamp_(*DEVIATIONS)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )
