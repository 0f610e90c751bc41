"""Training by sampling: which category each generated row is asked for, and real rows that have it.

Section 4.3 of Xu et al. 2019 (arXiv:1907.00503). A conditional vector asks for one category of one
discrete column: columns are drawn evenly, categories by the logarithm of their frequency, so that
rare ones are learned too. Imported late.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ..views.blocks import Blocks


class Asking:
    """Draws places: a block evenly, then one of its places by its weight.

    Parameters
    ----------
    weights : Tensor of float64, shape (blocks.width,)
        > 0; places are drawn in proportion to them within their block.
    blocks : Blocks
        Of the discrete columns; one at least.
    """

    def __init__(self, weights: Tensor, blocks: Blocks) -> None:
        self.weights = weights
        begins = torch.from_numpy(blocks.starts).to(weights.device)
        sizes = torch.tensor(blocks.sizes, device=weights.device)
        self._ends = torch.stack([begins, begins + sizes - 1], dim=1)
        totals = torch.zeros(len(sizes), dtype=torch.float64, device=weights.device)
        totals.index_add_(0, blocks.owners, weights)
        self._levels = torch.cumsum(weights / totals[blocks.owners], dim=0)  # a block adds 1

    def draw(self, n: int, draws: Generator) -> Tensor:
        """Draw ``n`` places, int64."""
        device = self._levels.device
        blocks = torch.randint(len(self._ends), (n,), generator=draws, device=device)
        heights = torch.rand(n, generator=draws, dtype=torch.float64, device=device)
        found = torch.searchsorted(self._levels, blocks + heights, right=True)
        ends = self._ends[blocks]
        return torch.minimum(torch.maximum(found, ends[:, 0]), ends[:, 1])  # rounding


class Rows:
    """For each place of each block, the rows that have it.

    Parameters
    ----------
    places : Tensor of int32, shape (rows, columns)
        Every place occurs.
    blocks : Blocks
        Whose places they are.
    """

    def __init__(self, places: Tensor, blocks: Blocks) -> None:
        flat = places.T.reshape(-1)
        self.counts = torch.bincount(flat, minlength=blocks.width)
        self._rows = torch.argsort(flat, stable=True).remainder_(len(places)).int()
        self._begins = torch.cumsum(self.counts, dim=0) - self.counts

    def draw(self, places: Tensor, draws: Generator) -> Tensor:
        """Draw one row for each place, evenly among those that have it; int64."""
        heights = torch.rand(len(places), generator=draws, dtype=torch.float64, device=draws.device)
        counts = self.counts[places]
        within = torch.minimum((heights * counts).long(), counts - 1)
        return self._rows[self._begins[places] + within].long()
