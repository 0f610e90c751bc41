"""Networks and rows of one seed laid out in wider blocks; imported late (torch).

Other rows have other modes and categories, so the blocks of two seeds may have different sizes, and
networks that are trained side by side need equal ones. A place that a seed lacks makes it wider
and changes nothing: its input is 0, weights from it and to it are 0, and its logit is so low that
its share is 0 to the last bit. No gradient reaches any of these numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..views.blocks import Blocks

ABSENT = -1e4  # logit of a place that a seed lacks


class Places(NamedTuple):
    """A part of a dimension that runs over the places of the first blocks, or of all."""

    blocks: int | None = None


class Along(NamedTuple):
    """A dimension of a weight that runs over places.

    Parameters
    ----------
    dim : int
    parts : sequence of int or Places
        What it runs over; a number stands for so many others.
    fill : float
        The weight where a place is absent.
    """

    dim: int = 0
    parts: Sequence[int | Places] = (Places(),)
    fill: float = 0.0


FIRST = Along()


@dataclass(frozen=True)
class Room:
    """Where places of a seed's own blocks stand in wider ones.

    Networks tell by a method ``along_places`` of theirs or of their parts which weights run over
    places: a mapping of names to sequences of ``Along``.

    Parameters
    ----------
    own, wide : Blocks
        Equally many; none is wider than that in its place.
    """

    own: Blocks
    wide: Blocks

    @cached_property
    def index(self) -> Tensor:
        """Where each own place stands, int64 of shape (own.width,)."""
        shift = torch.from_numpy(self.wide.starts - self.own.starts).to(self.own.device)
        return torch.arange(self.own.width, device=self.own.device) + shift[self.own.owners]

    def places(self, places: Tensor) -> Tensor:
        """Return wide places instead of own ones, of the same type."""
        return self.index[places.long()].to(places.dtype)

    def spread(self, numbers: Tensor, along: Along = FIRST) -> Tensor:
        """Make room along a dimension."""
        index, size = self._where(along.parts)
        shape = [*numbers.shape]
        shape[along.dim] = size
        return numbers.new_full(shape, along.fill).index_copy(along.dim, index, numbers)

    def widened(self, network: nn.Module, wide: nn.Module) -> nn.Module:
        """Give a network for the wide blocks the weights of one for the own blocks."""
        state = network.state_dict()
        for name, along in _all_along(network):
            state[name] = self.spread(state[name], along)
        wide.load_state_dict(state)
        return wide

    def narrowed(self, wide: nn.Module, network: nn.Module) -> nn.Module:
        """Return a copy of a network for the own blocks, with the weights of a wide one."""
        state = wide.state_dict()
        for name, along in _all_along(network):
            state[name] = state[name].index_select(along.dim, self._where(along.parts)[0])
        narrow = copy.deepcopy(network).train(wide.training)
        narrow.load_state_dict(state)
        return narrow

    def _where(self, parts: Sequence[int | Places]) -> tuple[Tensor, int]:
        """Return where all of a dimension goes, and how long it is then."""
        found, size = [self.index[:0]], 0
        for part in parts:
            if isinstance(part, Places):
                own, wide = (sum(b.sizes[: part.blocks]) for b in (self.own, self.wide))
                found.append(self.index[:own] + size)
                size += wide
            else:
                found.append(torch.arange(part, device=self.index.device) + size)
                size += part
        return torch.cat(found), size


def _all_along(network: nn.Module) -> Iterator[tuple[str, Along]]:
    for prefix, part in network.named_modules():
        tell: Any = getattr(part, "along_places", dict)
        for name, alongs in tell().items():
            yield from ((f"{prefix}.{name}".removeprefix("."), along) for along in alongs)
