"""A mixed table as networks see it: normal scores beside places in one-hot blocks.

A missing number stands at 0, the median; the code beside its column says that it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...bench.schema import Schema
from ..common import column_values
from .blocks import Blocks, rows_at_once
from .mixed import KNOWN, Mixed
from .scales import NormalScores

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 4096  # rows drawn at a time, at most


@dataclass(frozen=True)
class Asked:
    """What conditions fix, as tensors of shapes (n, numbers), (n, codes), and where they do.

    Parameters
    ----------
    numbers, codes : Tensor
        float32 and int64; anything where nothing is fixed.
    fixes_numbers, fixes_codes : Tensor of bool
        Whether the value is fixed. One that no training row has is not: a model cannot know it.
    """

    numbers: Tensor
    codes: Tensor
    fixes_numbers: Tensor
    fixes_codes: Tensor

    def rows(self, part: slice) -> Asked:
        """Return some of the rows."""
        all_of = (self.numbers, self.codes, self.fixes_numbers, self.fixes_codes)
        return Asked(*(tensor[part] for tensor in all_of))


@dataclass(frozen=True)
class Scaled:
    """The way from tables to tensors and back.

    Parameters
    ----------
    mixed : Mixed
        Which columns are numbers and which are codes.
    scale : NormalScores
        Of the numbers.
    blocks : Blocks
        Of the codes.
    """

    mixed: Mixed
    scale: NormalScores
    blocks: Blocks

    @classmethod
    def of(cls, train: pd.DataFrame, schema: Schema, device: str) -> Scaled:
        """Learn from the training rows, of which there is at least one."""
        mixed = Mixed.of(train, schema)
        numbers, _ = mixed.split(train)
        return cls(mixed, NormalScores.of(numbers), Blocks(tuple(mixed.sizes), device))

    def tensors(self, table: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """Return numbers, float32 of shape (n, numbers), and places, int64 of shape (n, codes)."""
        import torch

        numbers, codes = self.mixed.split(table)
        scaled = np.nan_to_num(self.scale.scaled(numbers)).astype(np.float32)
        places = codes + self.blocks.starts
        device = self.blocks.device
        return torch.from_numpy(scaled).to(device), torch.from_numpy(places).to(device)

    def drawn(self, n: int, draw: Callable[[slice], tuple[Tensor, Tensor]]) -> pd.DataFrame:
        """Return the table of ``n`` rows whose numbers and places are drawn some at a time."""
        import torch

        device = self.blocks.device
        numbers = torch.empty(n, len(self.mixed.numeric), device=device)
        places = torch.empty(n, len(self.mixed.variables), dtype=torch.int64, device=device)
        size = rows_at_once(self.blocks.width, CHUNK)
        with torch.no_grad():
            for begun in range(0, n, size):
                part = slice(begun, min(begun + size, n))
                numbers[part], places[part] = draw(part)
        unscaled = self.scale.numbers(numbers.cpu().double().numpy())
        return self.mixed.table(unscaled, places.cpu().numpy() - self.blocks.starts)

    def asked(self, fixed: Mapping[str, pd.Series], n: int) -> Asked:
        """Turn the canonical columns that conditions fix into tensors; the codes are places."""
        import torch

        schema, numeric = self.mixed.schema, self.mixed.numeric
        numbers = np.full((n, len(numeric)), np.nan)
        codes = np.zeros((n, len(self.mixed.variables)), dtype=np.int64)
        has_number, has_code = np.zeros(numbers.shape, bool), np.zeros(codes.shape, bool)
        for name, series in fixed.items():
            position = schema.names.index(name)
            values = column_values(schema.columns[position], series)
            if position in numeric:
                place = numeric.index(position)
                numbers[:, place], has_number[:, place] = values, ~np.isnan(values)
                values = np.where(np.isnan(values), np.nan, KNOWN)
            for place, variable in enumerate(self.mixed.variables):
                if variable.position == position:
                    found = variable.find(values)
                    codes[:, place], has_code[:, place] = np.maximum(found, 0), found >= 0
                    if position in numeric:  # a known missing number stands at 0
                        has_number[:, numeric.index(position)] |= found >= 0
        scaled = np.nan_to_num(self.scale.scaled(numbers)).astype(np.float32)
        parts = (scaled, codes + self.blocks.starts, has_number, has_code)
        return Asked(*(torch.from_numpy(part).to(self.blocks.device) for part in parts))
