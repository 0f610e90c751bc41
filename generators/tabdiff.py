"""TabDiff: one diffusion of numbers and codes in continuous time (Shi et al. 2025, ICLR).

arXiv:2410.20626. Deviations:

- Times are spread evenly over a batch, which changes the mean of no loss.
- Churn goes back in time until the noise of some number has grown by 1/steps; numbers and codes
  take part at that same time. In the authors' code the time and the noise of numbers with other
  schedules differ.
- The last average of weights draws rows; the authors take that of the lowest training loss.
- A repeated number stands at the mean of its normal scores.
- Conditions are in-painted without guidance: guidance sharpens beyond the conditional distribution
  and needs a second network. See ``joint_solver`` for how exact that is.
- Transformers normalise before each part and have no extra token.
- Presets below ``paper`` fix the number of steps, over which the learning rate falls evenly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .common import fixed_columns
from .networks.denoising import Denoising, steady_times
from .views.scaled import Asked, Scaled

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .networks.start import Start
    from .views.blocks import Blocks


class TabDiff(Denoising):
    """Joint diffusion with learned schedules; parameters as in ``Denoising``."""

    def _network(self, scaled: Scaled) -> Any:
        from .networks.joint_diffusion import Diffusion

        numbers, codes = len(scaled.mixed.numeric), len(scaled.mixed.variables)
        return Diffusion(self._denoiser(scaled), numbers, codes)

    def _noise(self, n: int, start: Start) -> tuple[Tensor, ...]:
        """Draw a time, standard normal noise, and whether codes are hidden."""
        import torch

        draws = start.draws
        numbers, codes = len(self.scaled_.mixed.numeric), len(self.scaled_.mixed.variables)
        first = torch.rand(1, generator=draws, device=draws.device)
        noise = torch.randn(n, numbers, generator=draws, device=draws.device)
        return first, noise, torch.rand(n, codes, generator=draws, device=draws.device)

    def _losses(
        self, network: Any, blocks: Blocks, numbers: Tensor, places: Tensor, *noise: Any
    ) -> tuple[Tensor, Tensor]:
        from .networks.joint_diffusion import losses

        first, of_numbers, of_codes = noise
        time = steady_times(first, len(numbers))
        return losses(network, blocks, (numbers, places), time, of_numbers, of_codes)

    def _weight(self, done: float) -> float:
        """Return what falls from 1 to 0 while training (appendix of the paper)."""
        return 1 - done

    def _draw(self, n: int, asked: Asked | None, draws: Generator) -> tuple[Tensor, Tensor]:
        from .networks.joint_solver import Solver

        network, blocks = self.networks_["network"], self.scaled_.blocks
        return Solver(network, blocks, self.sampling_steps, draws, asked).rows(n)

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, given the columns in ``conditions`` if there are any."""
        schema = self.scaled_.mixed.schema
        fixed = fixed_columns(conditions, schema, n)
        rows = self._rows(n, rng, self.scaled_.asked(fixed, n) if fixed else None)
        return schema.assemble({name: fixed.get(name, rows[name]) for name in schema.names})
