"""Training by sampling: which category each generated row is asked for, and real rows that have it.

Section 4.3 of Xu et al. 2019 (arXiv:1907.00503). A conditional vector asks for one category of one
discrete column: columns are drawn evenly, categories by the logarithm of their frequency, so that
rare ones are learned too. Imported late.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..views.blocks import Blocks


class Asking(NamedTuple):
    """Draws places: a block evenly, then one of its places by its weight.

    Parameters
    ----------
    levels : Tensor of float64, shape (blocks.width,)
        Running sums over all places of their chances within their blocks.
    ends : Tensor of int64, shape (blocks, 2)
        First and last place of each block with a chance.
    """

    levels: Tensor
    ends: Tensor

    @classmethod
    def of(cls, weights: Tensor, blocks: Blocks) -> Asking:
        """Draw places of one block at least in proportion to weights, >= 0, within it.

        Each block's first place has a weight > 0.
        """
        begins = torch.from_numpy(blocks.starts).to(weights.device)
        totals = torch.zeros(len(begins), dtype=torch.float64, device=weights.device)
        totals.index_add_(0, blocks.owners, weights)
        levels = torch.cumsum(weights / totals[blocks.owners], dim=0)  # a block adds 1
        drawn = torch.arange(len(weights), device=weights.device) * (weights > 0)
        last = begins.scatter_reduce(0, blocks.owners, drawn, "amax")
        return cls(levels, torch.stack([begins, last], dim=1))

    def heights(self, n: int, draws: Generator) -> tuple[Tensor, Tensor]:
        """Draw ``n`` blocks, int64, and heights within them, uniform in [0, 1)."""
        device = self.levels.device
        blocks = torch.randint(len(self.ends), (n,), generator=draws, device=device)
        return blocks, torch.rand(n, generator=draws, dtype=torch.float64, device=device)

    def places(self, blocks: Tensor, heights: Tensor) -> Tensor:
        """Return the place at each height of its block, int64."""
        found = torch.searchsorted(self.levels, blocks + heights, right=True)
        ends = self.ends[blocks]
        return torch.minimum(torch.maximum(found, ends[:, 0]), ends[:, 1])  # rounding

    def draw(self, n: int, draws: Generator) -> Tensor:
        """Draw ``n`` places, int64."""
        return self.places(*self.heights(n, draws))


class Rows(NamedTuple):
    """For each place of each block, the rows that have it.

    Parameters
    ----------
    counts, begins : Tensor of int64, shape (blocks.width,)
        How many rows have each place, and where they begin in ``rows``.
    rows : Tensor of int32, shape (rows * blocks,)
        By place.
    """

    counts: Tensor
    begins: Tensor
    rows: Tensor

    @classmethod
    def of(cls, places: Tensor, blocks: Blocks) -> Rows:
        """Sort rows by their places, int32 of shape (rows, columns)."""
        flat = places.T.reshape(-1)
        counts = torch.bincount(flat, minlength=blocks.width)
        rows = torch.argsort(flat, stable=True).remainder_(len(places)).int()
        return cls(counts, torch.cumsum(counts, dim=0) - counts, rows)

    def at(self, places: Tensor, heights: Tensor) -> Tensor:
        """Return the row at each height, in [0, 1), among those that have the place; int64."""
        counts = self.counts[places]
        within = torch.minimum((heights * counts).long(), counts - 1)
        return self.rows[self.begins[places] + within].long()

    def draw(self, places: Tensor, draws: Generator) -> Tensor:
        """Draw one row for each place, evenly among those that have it; int64."""
        return self.at(places, heights_of_rows(len(places), draws))


def heights_of_rows(n: int, draws: Generator) -> Tensor:
    """Draw what decides on ``n`` rows, float64, uniform in [0, 1)."""
    return torch.rand(n, generator=draws, dtype=torch.float64, device=draws.device)


def found(
    asking: Asking, having: Rows, blocks: Tensor, heights: Tensor, of_rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the places that are asked for, and rows that have them, given what was drawn."""
    places = asking.places(blocks, heights)
    return places, having.at(places, of_rows)
