"""Rows as network input and back: one-hot blocks.

Every column is a block of the input, and a network's logits for the block are a distribution over
its places. For private networks the places are cells of the public domain: categories, bins of
numbers, a missing value; a value that the Schema does not know is a block of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from .domain import NOWHERE, Axis, Domain, uniform_edges

if TYPE_CHECKING:
    from torch import Generator, Tensor

LARGEST_LOGIT = 20.0  # beyond it a cell's share is 0 or 1 to float32
CHUNK = 8192  # rows drawn at a time, at most
ENTRIES = 2**25  # of a tensor of drawn rows, at most


def rows_at_once(width: int, most: int = CHUNK) -> int:
    """Return how many rows of so many places are drawn at a time, ``most`` if memory allows."""
    return max(1, min(most, ENTRIES // max(width, 1)))


def chunks(n: int, width: int) -> Iterator[np.ndarray]:
    """Yield the positions of ``n`` rows of so many places, those drawn at a time together."""
    size = rows_at_once(width)
    for begun in range(0, n, size):
        yield np.arange(begun, min(begun + size, n))


@dataclass(frozen=True)
class Blocks:
    """Columns one-hot side by side.

    Parameters
    ----------
    sizes : tuple of int
        Number of places of each column's block, >= 1.
    device : str
        Where tensors are made.
    """

    sizes: tuple[int, ...]
    device: str = "cpu"

    @property
    def width(self) -> int:
        """Length of a row."""
        return sum(self.sizes)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each column's block begins, int64."""
        return np.cumsum([0, *self.sizes])[:-1]

    @cached_property
    def ends(self) -> Tensor:
        """The first and the last place of each block, int64 of shape (2, columns)."""
        import torch

        first = torch.from_numpy(self.starts)
        last = first + torch.tensor(self.sizes, dtype=torch.int64) - 1
        return torch.stack([first, last]).to(self.device)

    @cached_property
    def blocks(self) -> Tensor:
        """Which block a place belongs to: 0 and 1, float32 of shape (width, columns)."""
        import torch

        matrix = torch.eye(len(self.sizes))[self.owners.cpu()]
        return matrix.to(self.device)

    @cached_property
    def owners(self) -> Tensor:
        """The block of each place, int64 of shape (width,)."""
        import torch

        owners = np.repeat(np.arange(len(self.sizes)), self.sizes)
        return torch.from_numpy(owners).to(self.device)

    def rows(self, places: Tensor) -> Tensor:
        """Turn places of shape (n, columns) into network input, float32 of shape (n, width)."""
        import torch

        wide = torch.zeros(len(places), self.width + 1, device=self.device)
        return wide.scatter(1, places, 1.0)[:, : self.width]

    def shares(self, logits: Tensor) -> Tensor:
        """Softmax within each block, shape (n, width)."""
        import torch

        weights = torch.exp(torch.clamp(logits, -LARGEST_LOGIT, LARGEST_LOGIT))
        return weights / ((weights @ self.blocks) @ self.blocks.T)

    def spread(self, columns: Tensor) -> Tensor:
        """Repeat what each block has for all of its places: (n, columns) to (n, width)."""
        return columns.index_select(1, self.owners)

    def highest(self, logits: Tensor) -> Tensor:
        """Return the largest logit of each block, without gradients; shape (n, columns)."""
        import torch

        with torch.no_grad():
            owners = self.owners.expand(len(logits), -1)
            lowest = logits.new_full((len(logits), len(self.sizes)), -torch.inf)
            return lowest.scatter_reduce(1, owners, logits, "amax")

    def likeliest(self, weights: Tensor) -> Tensor:
        """Return the first place of each block with its largest weight, int64, (n, columns)."""
        import torch

        highest = self.spread(self.highest(weights))
        places = torch.arange(self.width, device=self.device).expand_as(weights)
        places = torch.where(weights == highest, places, self.width)
        first = places.new_full((len(weights), len(self.sizes)), self.width)
        return first.scatter_reduce(1, self.owners.expand_as(weights), places, "amin")

    def softmax(self, logits: Tensor) -> Tensor:
        """Softmax within each block, of any logits; shape (n, width)."""
        import torch

        weights = torch.exp(logits - self.spread(self.highest(logits)))
        return weights / ((weights @ self.blocks) @ self.blocks.T)

    def log_shares(self, logits: Tensor) -> Tensor:
        """Logarithm of the softmax within each block, of any logits; shape (n, width)."""
        import torch

        below = logits - self.spread(self.highest(logits))
        return below - torch.log(torch.exp(below) @ self.blocks) @ self.blocks.T

    def surprisals(self, logits: Tensor, places: Tensor) -> Tensor:
        """Negative logarithm of the share of one place of each block; shape (n, columns)."""
        import torch

        highest = self.highest(logits)
        weights = torch.exp(logits - self.spread(highest))
        return torch.log(weights @ self.blocks) + highest - logits.gather(1, places)

    def draw(self, shares: Tensor, generator: Generator) -> Tensor:
        """Draw one place of each block by its ``shares``; int64 of shape (n, columns)."""
        import torch

        n, columns = len(shares), len(self.sizes)
        heights = torch.rand(
            n, columns, generator=generator, dtype=torch.float64, device=self.device
        )
        sums = torch.cumsum(shares.double(), dim=1)  # every block adds 1
        found = torch.searchsorted(
            sums, heights + torch.arange(columns, device=self.device), right=True
        )
        return torch.minimum(torch.maximum(found, self.ends[0]), self.ends[1])  # rounding


@dataclass(frozen=True)
class Encoding(Blocks):
    """Where the cells of a public domain stand in a row of network input.

    Parameters
    ----------
    domain : Domain, keyword only
        Of the table; columns without a cell take no room.
    """

    domain: Domain = field(kw_only=True)

    @classmethod
    def of(cls, schema: Schema, bins: int) -> Encoding:
        """Lay at most ``bins`` cells of equal width over every numeric column."""
        domain = Domain(schema, [Axis(c, uniform_edges(c, bins)) for c in schema])
        return cls(tuple(int(size) for size in domain.sizes), domain=domain)

    def places(self, table: pd.DataFrame) -> Tensor:
        """Return the place of each value in a row, int64; ``width`` where it has none."""
        import torch

        codes = self.domain.codes(table)
        return torch.from_numpy(np.where(codes == NOWHERE, self.width, codes + self.starts))

    def table(self, places: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Turn drawn places into a canonical table."""
        return self.domain.rows(places - self.starts, rng)
