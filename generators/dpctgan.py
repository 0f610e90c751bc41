"""DP-CTGAN: a conditional GAN whose critic learns by DP-SGD.

CTGAN's conditional vectors (Xu et al. 2019, arXiv:1907.00503), as far as they need no exact
statistics. A vector names one cell of one column, drawn uniformly. Of a generated row the cell
comes from noisy one-way marginals, which the budget pays for; of a real row it is the row's own, so
a pair of row and vector still depends on one row. What CTGAN has beside, and is not private, is
left out: training by sampling on exact frequencies, modes fitted to numbers, rows packed together
(pac = 1), and the gradient penalty between real and generated rows. The critic's loss is cross
entropy, and its weights are clipped: without that, training does not settle. The generator's biases
begin at the logarithms of the noisy marginals.

An infinite epsilon trains the same networks with exact marginals and without clipping and noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.ledger import Event
from ..bench.schema import Schema
from .common import check_at_least
from .networks.private import Neural, check_allowed
from .networks.training import seeded
from .privacy.dpsgd import Descent, noise_on_counts, noisy_number_of_rows
from .privacy.noise import discrete_gaussian
from .views.blocks import Encoding

if TYPE_CHECKING:
    from torch import Tensor

COUNT_SHARE = 0.02  # of the budget, for the number of rows
MARGINALS_SHARE = 0.1  # of the rest
LEAST_COUNT = 0.5  # that a noisy count is taken for, so that no cell is impossible


class DpCtgan(Neural):
    """Differentially private conditional generative adversarial network.

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
        Largest absolute weight of the critic, > 0.
    learning_rate : float
        Of the critic and the generator, > 0.
    hidden, noise : int
        Widths of hidden layers and of the generator's noise, >= 1.
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1).
    """

    def __init__(
        self,
        bins: int = 16,
        lot: int = 256,
        steps: int = 2000,
        critic_steps: int = 10,
        bound: float = 1.0,
        weight_bound: float = 0.1,
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
        """Count the marginals, then train critic and generator in turn."""
        import torch

        from .networks.learning import Average, follow
        from .networks.rows import (
            ConditionalGenerator,
            Perceptron,
            bound_weights,
            criticise,
            cross_entropy,
        )

        for name in ("bins", "lot", "steps", "critic_steps", "hidden", "noise"):
            check_at_least(name, getattr(self, name), 1)
        check_allowed(self, schema, budget)
        encoding = self.encoding_ = Encoding.of(schema, self.bins)
        places, draws = encoding.places(train), seeded(rng)
        estimate, decided = noisy_number_of_rows(len(train), budget, COUNT_SHARE, rng)
        counts, paid = _noisy_marginals(places.numpy(), encoding, budget, rng)
        descent = Descent.of(
            estimate,
            (*decided, *paid),
            budget,
            lot=self.lot,
            steps=self.steps,
            bound=self.bound,
            trace=self._trace(),
        )
        generator = ConditionalGenerator(
            encoding, np.maximum(counts, LEAST_COUNT), self.noise, [self.hidden] * 2, draws
        )
        critic = Perceptron([2 * encoding.width, self.hidden, self.hidden, 1], draws)
        average = Average(generator, self.average)
        adam = {"lr": self.learning_rate, "betas": (0.0, 0.9), "fused": True}
        generator_steps = torch.optim.Adam(generator.parameters(), **adam)
        critic_steps = torch.optim.Adam(critic.parameters(), **adam)

        def shown(places: Tensor) -> Tensor:
            column = torch.randint(len(encoding.sizes), (len(places), 1), generator=draws)
            return torch.cat([encoding.rows(places), encoding.rows(places.gather(1, column))], 1)

        def fake() -> Tensor:
            with torch.no_grad():
                return generator.pairs(self.lot, draws)[0]

        for step in range(1, self.steps + 1):
            lot = places[descent.draw(len(places), rng)]
            criticise(critic, shown, lot, fake, cross_entropy, descent, rng)
            critic_steps.step()
            bound_weights(critic, self.weight_bound)
            if step % self.critic_steps == 0:
                pairs, misses = generator.pairs(self.lot, draws)
                loss = cross_entropy(-critic(pairs)).mean() + misses.mean()
                follow(loss, generator, generator_steps)
                average.update()
                self.progress(step, self.steps, generator=float(loss.detach()))
        self._account(descent)
        self.networks_ = {"generator": average.kept, "critic": critic}
        self.noisy_ = {"number of rows": np.array([estimate]), "one-way marginals": counts}
        return self


def _noisy_marginals(
    places: np.ndarray, encoding: Encoding, budget: Budget, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[Event, ...]]:
    """Count the rows in every cell, float64 of shape (width,), and say what that cost."""
    counts = np.bincount(places.ravel(), minlength=encoding.width + 1)[: encoding.width]
    if not budget.is_private:
        return counts.astype(np.float64), ()
    columns = len(encoding.sizes)
    sigma = noise_on_counts(budget, MARGINALS_SHARE, columns)
    noisy = counts + discrete_gaussian(sigma, encoding.width, rng)
    purpose = "one-way marginals"
    return noisy.astype(np.float64), (
        Event("discrete_gaussian", 1, sigma, columns, purpose=purpose),
    )
