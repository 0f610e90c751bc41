"""Rows as network input and back: one-hot cells of the public domain.

Categories, bins of numbers and a missing value are cells of their own, so every column is a block
of the input and a network's logits for the block are a distribution over its cells. A value that
the Schema does not know is a block of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .domain import NOWHERE, Axis, Domain, uniform_edges

if TYPE_CHECKING:
    from torch import Generator, Tensor

LARGEST_LOGIT = 20.0  # beyond it a cell's share is 0 or 1 to float32


@dataclass(frozen=True)
class Encoding:
    """Where each column's cells stand in a row of network input.

    Parameters
    ----------
    domain : Domain
        Of the table; columns without a cell take no room.
    """

    domain: Domain

    @classmethod
    def of(cls, schema: Schema, bins: int) -> Encoding:
        """Lay at most ``bins`` cells of equal width over every numeric column."""
        return cls(Domain(schema, [Axis(c, uniform_edges(c, bins)) for c in schema]))

    @cached_property
    def sizes(self) -> list[int]:
        """Number of cells of each column."""
        return [int(size) for size in self.domain.sizes]

    @property
    def width(self) -> int:
        """Length of a row."""
        return sum(self.sizes)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each column's block begins, int64."""
        return np.cumsum([0, *self.sizes[:-1]])

    @cached_property
    def blocks(self) -> Tensor:
        """Which block a place belongs to: 0 and 1, float32 of shape (width, columns)."""
        import torch

        return torch.repeat_interleave(torch.eye(len(self.sizes)), torch.tensor(self.sizes), dim=0)

    def places(self, table: pd.DataFrame) -> Tensor:
        """Return the place of each value in a row, int64; ``width`` where it has none."""
        import torch

        codes = self.domain.codes(table)
        return torch.from_numpy(np.where(codes == NOWHERE, self.width, codes + self.starts))

    def rows(self, places: Tensor) -> Tensor:
        """Turn places of shape (n, columns) into network input, float32 of shape (n, width)."""
        import torch

        wide = torch.zeros(len(places), self.width + 1)
        return wide.scatter_(1, places, 1.0)[:, : self.width]

    def shares(self, logits: Tensor) -> Tensor:
        """Softmax within each block, shape (n, width)."""
        import torch

        weights = torch.exp(torch.clamp(logits, -LARGEST_LOGIT, LARGEST_LOGIT))
        return weights / ((weights @ self.blocks) @ self.blocks.T)

    def draw(self, shares: Tensor, generator: Generator) -> Tensor:
        """Draw one place of each block by its ``shares``; int64 of shape (n, columns)."""
        import torch

        n, columns = len(shares), len(self.sizes)
        heights = torch.rand(n, columns, generator=generator, dtype=torch.float64)
        sums = torch.cumsum(shares.double(), dim=1)  # every block adds 1
        found = torch.searchsorted(sums, heights + torch.arange(columns), right=True)
        starts, sizes = torch.from_numpy(self.starts), torch.tensor(self.sizes)
        return torch.minimum(torch.maximum(found, starts), starts + sizes - 1)  # rounding

    def table(self, places: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Turn drawn places into a canonical table."""
        return self.domain.rows(places - self.starts, rng)
