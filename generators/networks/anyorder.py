"""Networks that tell each sub-column from any others, all of them at once; imported late.

Every sub-column has an embedding and a regressor: one hidden layer on the embeddings of the
sub-columns that come before it. Which do is a mask on the weights, so that the first layers of all
regressors are one product of matrices. The layers behind are one batched product for all
sub-columns of about the same size, of which sorts there are few: a training step has no loop over
columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

UNITS = 16  # of a hidden layer, for every factor e of a sub-column's size
SHORTEST = 10  # embedding, where a sub-column has so many codes
SMALLEST = 1e-6  # deviation of a walk that is divided by
BELOW_ONE = 1 - 2**-23  # keeps rounding from drawing what has no share


class Sort(NamedTuple):
    """Sub-columns of about the same size, which lie side by side.

    Parameters
    ----------
    first, count : int
        Which they are.
    size : int
        Codes of the largest.
    length, hidden : int
        Of an embedding and of a hidden layer.
    inputs, units : int
        Where their embeddings and hidden layers begin in those of all sub-columns.
    """

    first: int
    count: int
    size: int
    length: int
    hidden: int
    inputs: int
    units: int


def sorts_of(sizes: Sequence[int]) -> list[Sort]:
    """Part ascending sizes, each >= 1, where their logarithms round to another whole number."""
    coefficients = [max(1, round(math.log(size))) for size in sizes]
    found: list[Sort] = []
    inputs = units = 0
    for coefficient in sorted(set(coefficients)):
        first, count = coefficients.index(coefficient), coefficients.count(coefficient)
        size, hidden = sizes[first + count - 1], UNITS * coefficient
        length = min(size, max(SHORTEST, 3 * math.ceil(size**0.25)))
        found.append(Sort(first, count, size, length, hidden, inputs, units))
        inputs, units = inputs + count * length, units + count * hidden
    return found


class AnyOrder(nn.Module):
    """Embeddings, regressors and predictors of sub-columns.

    Parameters
    ----------
    sizes : sequence of int
        How many codes each sub-column has, ascending, >= 1.
    owners : ndarray of int64, shape (sub-columns,)
        Which column each belongs to.
    turns : ndarray of int64, shape (sub-columns,)
        Their order within a column.
    ordered : ndarray of bool, shape (sub-columns,)
        Whether the order of the codes has a meaning: embeddings of near ones begin alike.
    """

    owners: Tensor
    within: Tensor
    input_owners: Tensor
    unit_owners: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        owners: np.ndarray,
        turns: np.ndarray,
        ordered: np.ndarray,
    ) -> None:
        super().__init__()
        self.sorts = sorts_of(sizes)
        inputs = [(s.first + i, s.length) for s in self.sorts for i in range(s.count)]
        units = [(s.first + i, s.hidden) for s in self.sorts for i in range(s.count)]
        self.inputs, self.units = (sum(n for _, n in parts) for parts in (inputs, units))
        self._keep("input_owners", np.repeat(*np.array(inputs).T))
        self._keep("unit_owners", np.repeat(*np.array(units).T))
        self._keep("owners", owners)
        self._keep("within", np.equal.outer(owners, owners) & np.less.outer(turns, turns))
        self.embeddings = nn.ParameterList(_embeddings(ordered, s) for s in self.sorts)
        self.regressors = _uniform(self.inputs, self.inputs, self.units)
        self.biases = _uniform(self.inputs, self.units)
        self.predictors = nn.ParameterList(
            _uniform(s.hidden, s.count, s.hidden, s.size) for s in self.sorts
        )
        self.logits = nn.ParameterList(_uniform(s.hidden, s.count, 1, s.size) for s in self.sorts)
        for number, sort in enumerate(self.sorts):
            own = np.array(sizes[sort.first : sort.first + sort.count])[:, None, None]
            absent = np.arange(sort.size) >= own
            self._keep(f"absent_{number}", np.where(absent, -np.inf, 0.0).astype(np.float32))

    def _keep(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def earlier(self, ranks: Tensor) -> Tensor:
        """Say which sub-column comes before which, bool of shape (sub-columns, sub-columns).

        Parameters
        ----------
        ranks : Tensor, shape (columns,)
            Of the columns, all different; those of one column keep their order.
        """
        own = ranks[self.owners]
        return (own[:, None] < own) | self.within

    def embedded(self, codes: Tensor) -> Tensor:
        """Return the embeddings of all sub-columns side by side, shape (n, inputs).

        Parameters
        ----------
        codes : Tensor of int64, shape (n, sub-columns)
        """
        parts = []
        for sort, weight in zip(self.sorts, self.embeddings, strict=True):
            starts = torch.arange(sort.count, device=codes.device) * sort.size
            places = codes[:, sort.first : sort.first + sort.count] + starts
            rows = nn.functional.embedding(places, weight.flatten(0, 1))
            parts.append(rows.flatten(1))
        return torch.cat(parts, 1)

    def forward(self, codes: Tensor, earlier: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return minus the log-likelihood of every code given those before it.

        Parameters
        ----------
        codes : Tensor of int64, shape (n, sub-columns)
        earlier : Tensor of bool, shape (sub-columns, sub-columns)
            Whether the first comes before the second.
        kept : Tensor, shape (n, inputs), optional
            Factors of the embeddings, for dropout.

        Returns
        -------
        Tensor, shape (n, sub-columns)
        """
        inputs = self.embedded(codes)
        if kept is not None:
            inputs = inputs * kept
        seen = earlier[self.input_owners][:, self.unit_owners]
        units = torch.relu(torch.addmm(self.biases, inputs, self.regressors * seen))
        losses = []
        for number, sort in enumerate(self.sorts):
            hidden = units[:, sort.units : sort.units + sort.count * sort.hidden]
            hidden = hidden.unflatten(1, (sort.count, sort.hidden)).transpose(0, 1)
            shift = self.logits[number] + getattr(self, f"absent_{number}")
            logits = torch.baddbmm(shift, hidden, self.predictors[number])
            asked = codes[:, sort.first : sort.first + sort.count].T
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), asked.flatten(), reduction="none"
            )
            losses.append(loss.view(sort.count, -1))
        return torch.cat(losses).T

    def draw(
        self, codes: Tensor, known: Tensor, order: Sequence[int], generator: Generator
    ) -> Tensor:
        """Draw the sub-columns of ``order`` one after the other, given those that are known.

        Parameters
        ----------
        codes : Tensor of int64, shape (n, sub-columns)
            Of which those that are known are read.
        known : Tensor of bool, shape (n, sub-columns)
            Those of ``order`` are not.
        order : sequence of int
            Sub-columns.

        Returns
        -------
        Tensor of int64, shape (n, sub-columns)
        """
        codes = torch.where(known, codes, 0)
        inputs = self.embedded(codes) * known[:, self.input_owners]
        places = [(n, i) for n, sort in enumerate(self.sorts) for i in range(sort.count)]
        for position in order:
            number, i = places[position]
            sort = self.sorts[number]
            begun = sort.units + i * sort.hidden
            own = slice(begun, begun + sort.hidden)
            units = torch.relu(torch.addmm(self.biases[own], inputs, self.regressors[:, own]))
            shift = self.logits[number][i] + getattr(self, f"absent_{number}")[i]
            sums = torch.addmm(shift, units, self.predictors[number][i]).softmax(1).cumsum(1)
            heights = torch.rand(len(codes), 1, generator=generator, device=codes.device)
            drawn = torch.searchsorted(sums, heights * (BELOW_ONE * sums[:, -1:]), right=True)
            codes[:, position] = drawn[:, 0]
            begun = sort.inputs + i * sort.length
            inputs[:, begun : begun + sort.length] = self.embeddings[number][i][drawn[:, 0]]
        return codes


def _uniform(inputs: int, *shape: int) -> nn.Parameter:
    """Return weights with variance 1 / (3 inputs)."""
    bound = inputs**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _embeddings(ordered: np.ndarray, sort: Sort) -> Tensor:
    """Return standard normal embeddings; those of ordered codes walk at random along the order."""
    steps = torch.randn(sort.count, sort.size, sort.length)
    walks = steps.cumsum(1)
    walks = walks - walks.mean(1, keepdim=True)
    walks = walks / walks.square().mean(1, keepdim=True).sqrt().clamp(min=SMALLEST)
    chosen = torch.from_numpy(ordered[sort.first : sort.first + sort.count])
    return torch.where(chosen[:, None, None], walks, steps)
