"""DP-GAN: a Wasserstein GAN whose critic learns by DP-SGD (Xie et al. 2018, arXiv:1802.06739).

Real rows enter the gradient of the critic's real term and nothing else. Deviations:

- Gradients are clipped row by row (Abadi et al. 2016). The paper bounds them by the clipped weights
  alone, and its noise formula is contested; here noise is calibrated by an accountant.
- The number of rows is estimated by a noisy count that the budget pays for.
- Many critic steps go with one of the generator (Bie, Kamath and Zhang 2023, arXiv:2302.02936),
  Adam stands for RMSProp, columns are one-hot cells of the public domain, and the generator's
  weights are averaged over its last steps.

An infinite epsilon trains the same networks without clipping of gradients and noise.
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

COUNT_SHARE = 0.02  # of the budget, for the number of rows


class DpGan(Neural):
    """Differentially private generative adversarial network.

    Parameters
    ----------
    bins : int
        Most cells of a numeric column, >= 1.
    lot : int
        Expected rows in a lot, >= 1.
    steps : int
        Steps of the critic, >= 1.
    critic_steps : int
        Of them, for each of the generator, >= 1.
    bound : float
        Largest norm of a row's gradient, > 0.
    weight_bound : float
        Largest absolute weight of the critic, > 0 (the paper's c_p).
    learning_rate : float
        Of the critic and the generator, > 0.
    hidden, noise : int
        Widths of hidden layers and of the generator's input, >= 1.
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1).
    """

    def __init__(
        self,
        bins: int = 16,
        lot: int = 256,
        steps: int = 3000,
        critic_steps: int = 10,
        bound: float = 1.0,
        weight_bound: float = 0.03,
        learning_rate: float = 1e-3,
        hidden: int = 64,
        noise: int = 64,
        average: float = 0.95,
    ) -> None:
        self.bins = bins
        self.lot = lot
        self.steps = steps
        self.critic_steps = critic_steps
        self.bound = bound
        self.weight_bound = weight_bound
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.noise = noise
        self.average = average

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train critic and generator in turn for the planned number of steps."""
        import torch

        from .networks.learning import Average, follow
        from .networks.rows import Perceptron, RowGenerator, bound_weights, criticise, wasserstein

        for name in ("bins", "lot", "steps", "critic_steps", "hidden", "noise"):
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
        generator = RowGenerator(encoding, self.noise, [self.hidden] * 2, draws)
        critic = Perceptron([encoding.width, self.hidden, self.hidden, 1], draws)
        average = Average(generator, self.average)
        adam = {"lr": self.learning_rate, "betas": (0.0, 0.9), "fused": True}
        generator_steps = torch.optim.Adam(generator.parameters(), **adam)
        critic_steps = torch.optim.Adam(critic.parameters(), **adam)

        def fake() -> Tensor:
            return encoding.rows(generator.places(self.lot, draws))

        for step in range(1, self.steps + 1):
            lot = places[descent.draw(len(places), rng)]
            criticise(critic, encoding.rows, lot, fake, wasserstein, descent, rng)
            critic_steps.step()
            bound_weights(critic, self.weight_bound)
            if step % self.critic_steps == 0:
                loss = wasserstein(-critic(generator(self.lot, draws))).mean()
                follow(loss, generator, generator_steps)
                average.update()
                self.progress(step, self.steps, generator=float(loss.detach()))
        self._account(descent)
        self.networks_ = {"generator": average.kept, "critic": critic}
        self.noisy_ = {"number of rows": np.array([estimate])}
        return self
