"""Variational flow matching of tables, known as TabbyFlow (Guzman-Cordero et al. 2025, ICML).

"Exponential Family Variational Flow Matching for Tabular Data Generation". Deviations:

- The network finds what is left of the numbers' posterior means once the best linear guess is taken
  out, and is told the ratio of noise to signal, as in EDM. The means are the same thing to learn,
  but the flow stays finite where the time nears 1 and small errors of a mean would be divided by
  next to nothing.
- The flow is that of the line it is trained on, ``(mean - x) / (1 - t)``. The authors' code follows
  the flow of a line that ends in noise of 0.01, and writes codes over numbers.
- Heun's method with fixed steps stands for an adaptive solver, so that all rows take the same ones.
- Times are spread evenly over a batch, which changes the mean of no loss.
- The last average of weights draws rows; the authors take that of the lowest training loss.
- A repeated number stands at the mean of its normal scores.
- Presets below ``paper`` fix the number of steps, over which the learning rate falls evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .networks.denoising import Denoising, steady_times
from .selection import by_selection

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.start import Start
    from .views.blocks import Blocks
    from .views.scaled import Asked


class FlowMatching(Denoising):
    """Flow matching with variational posteriors; parameters as in ``Denoising``.

    Conditions are met by selection among rows drawn without them.
    """

    warm_up = 100
    largest_gradient = 1.0

    def _noise(self, n: int, start: Start) -> tuple[Any, ...]:
        """Draw a time, and what numbers and codes begin as."""
        import torch

        first = torch.rand(1, generator=start.draws, device=start.draws.device)
        numbers, codes = self._unclean(n, start.own.width, start.draws)
        return first, (numbers, start.spread(codes))

    def _losses(
        self, network: Any, blocks: Blocks, numbers: Tensor, places: Tensor, *noise: Any
    ) -> tuple[Tensor, Tensor]:
        from .networks.flow import losses

        first, unclean = noise
        time = steady_times(first, len(numbers))
        return losses(network, blocks, (numbers, places), time, unclean)

    def _weight(self, done: float) -> float:
        """Return what falls from 1 to 0 while training, as in the authors' code."""
        return 1 - done

    def _draw(self, n: int, asked: Asked | None, draws: Generator) -> tuple[Tensor, Tensor]:
        from .networks.flow import carried

        network, blocks = self.networks_["network"], self.scaled_.blocks
        noise = self._unclean(n, blocks.width, draws)
        return carried(network, blocks, noise, self.sampling_steps)

    def _unclean(self, n: int, width: int, draws: Generator) -> tuple[Tensor, Tensor]:
        """Draw standard normal numbers and places."""
        import torch

        widths = len(self.scaled_.mixed.numeric), width
        numbers, rows = (
            torch.randn(n, width, generator=draws, device=draws.device) for width in widths
        )
        return numbers, rows

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, those that fit ``conditions`` best if there are any."""
        schema = self.scaled_.mixed.schema
        return by_selection(lambda count: self._rows(count, rng), conditions, schema, n, rng)
