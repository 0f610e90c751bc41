"""DP-TVAE: a variational autoencoder of rows, all of it trained by DP-SGD.

The idea of TVAE (Xu et al. 2019, arXiv:1907.00503) in what needs no private statistics: columns are
one-hot cells of the public domain in place of modes fitted to the rows, and there is no layer that
mixes rows. Real rows enter through gradients that are clipped row by row, of encoder and decoder
together; sampling needs the decoder alone.

An infinite epsilon trains the same networks without clipping and noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import check_at_least
from .networks.private import Neural, check_allowed
from .networks.training import seeded
from .privacy.dpsgd import Descent, noisy_number_of_rows
from .views.blocks import Encoding

if TYPE_CHECKING:
    from torch import Tensor

    from .privacy.dpsgd import Tap

COUNT_SHARE = 0.02  # of the budget, for the number of rows


class DpTvae(Neural):
    """Differentially private variational autoencoder.

    Parameters
    ----------
    bins : int
        Most cells of a numeric column, >= 1.
    lot : int
        Expected rows in a lot, >= 1.
    steps : int
        Gradient steps, >= 1.
    bound : float
        Largest norm of a row's gradient, > 0.
    learning_rate : float
        Of Adam, > 0.
    hidden, noise : int
        Widths of the hidden layers and of the latent space, >= 1.
    average : float
        Weight of the past in the running average of the decoder's weights, in [0, 1).
    """

    def __init__(
        self,
        bins: int = 32,
        lot: int = 256,
        steps: int = 2000,
        bound: float = 1.0,
        learning_rate: float = 3e-3,
        hidden: int = 64,
        noise: int = 16,
        average: float = 0.995,
    ) -> None:
        self.bins = bins
        self.lot = lot
        self.steps = steps
        self.bound = bound
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.noise = noise
        self.average = average

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train encoder and decoder for the planned number of steps."""
        import torch

        from .networks.learning import Average
        from .networks.rows import Perceptron, RowGenerator, elbo

        for name in ("bins", "lot", "steps", "hidden", "noise"):
            check_at_least(name, getattr(self, name), 1)
        check_allowed(self, schema, budget)
        estimate, paid = noisy_number_of_rows(len(train), budget, COUNT_SHARE, rng)
        encoding = self.encoding_ = Encoding.of(schema, self.bins)
        descent = Descent.of(
            estimate,
            paid,
            budget,
            lot=self.lot,
            steps=self.steps,
            bound=self.bound,
            trace=self._trace(),
        )
        places, draws = encoding.places(train), seeded(rng)
        encoder = Perceptron([encoding.width, self.hidden, 2 * self.noise], draws)
        decoder = RowGenerator(encoding, self.noise, [self.hidden], draws)
        weights = [*encoder.parameters(), *decoder.parameters()]
        average = Average(decoder, self.average)
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate, fused=True)

        def per_row(places: Tensor) -> tuple[Tensor, list[Tap]]:
            return elbo(encoding.rows(places), encoder, decoder, draws)

        for step in range(1, self.steps + 1):
            lot = places[descent.draw(len(places), rng)]
            gradients = descent.gradients(per_row, lot, rng)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            optimizer.step()
            average.update()
            self.progress(step, self.steps)  # every loss here would be one of real rows
        self._account(descent)
        self.networks_ = {"generator": average.kept, "encoder": encoder}
        self.noisy_ = {"number of rows": np.array([estimate])}
        return self
