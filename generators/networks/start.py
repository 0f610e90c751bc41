"""What a training begins with and what it is, for one seed or for many."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..views.blocks import Blocks

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .room import Room

NO_BLOCKS = Blocks(())


@dataclass(frozen=True)
class Start:
    """What a fit brings to its training.

    Parameters
    ----------
    networks : mapping of str to Module
        With their first weights.
    held : tuple
        Tensors that steps look things up in, such as rows; tuples and lists of them too.
    draws : torch.Generator
        Draws whatever steps draw.
    batches : mapping of str to Batches
        Which draw rows, if steps do so by passes.
    alike : hashable
        What else must be equal for fits to be trained together, beside the sizes of their batches
        and the shapes of their networks: how many steps there are, and how many in a pass.
    blocks : Blocks
        Those whose places networks run over, if they can be made wider for other seeds; else none.
    room : Room, optional
        Where those of the seed are, if they were made wider.
    narrow : mapping of str to Module
        The networks as they were before.
    """

    networks: Mapping[str, Any]
    held: tuple[Any, ...]
    draws: Generator
    batches: Mapping[str, Any] = field(default_factory=dict)
    alike: Hashable = None
    blocks: Blocks = NO_BLOCKS
    room: Room | None = None
    narrow: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Any]:
        """What drawing changes, by name."""
        batches = {f"batches of {name}": batches for name, batches in self.batches.items()}
        return {"draws": self.draws, **batches}

    @property
    def own(self) -> Blocks:
        """The seed's own blocks."""
        return self.room.own if self.room else self.blocks

    @property
    def shape(self) -> Hashable:
        """What is equal for fits that can be trained together."""
        batches = tuple(batches.size for batches in self.batches.values())
        if self.blocks.sizes:
            return self.alike, batches, len(self.blocks.sizes)
        sizes = [
            (name, key, tuple(part.shape))
            for name, network in self.networks.items()
            for key, part in network.state_dict().items()
        ]
        return self.alike, batches, tuple(sizes)

    def widened(
        self,
        room: Room,
        networks: Callable[[np.random.Generator], Mapping[str, Any]],
        held: tuple[Any, ...],
    ) -> Start:
        """Lay the start out in wider blocks.

        Parameters
        ----------
        room : Room
            Leads from ``blocks`` to the wider ones.
        networks : callable
            Builds networks for these; their weights, drawn by a generator, are replaced.
        held : tuple
            What is held, in the wider blocks.
        """
        made = networks(np.random.default_rng(0))
        wide = {
            name: room.widened(network, made[name].to(self.draws.device))
            for name, network in self.networks.items()
        }
        return replace(
            self, networks=wide, held=held, blocks=room.wide, room=room, narrow=self.networks
        )

    def spread(self, places: Tensor) -> Tensor:
        """Make room in what was drawn for each own place, shape (n, own.width)."""
        from .room import Along

        return self.room.spread(places, Along(1)) if self.room else places

    def narrowed(self, name: str, network: Any) -> Any:
        """Return a network of this start without the places that the seed lacks."""
        if self.room is None or name not in self.narrow:
            return network
        return self.room.narrowed(network, self.narrow[name])


@dataclass(frozen=True)
class Course:
    """A training.

    Parameters
    ----------
    step : callable
        Takes the number of a step, returns its losses by name: scalars, or one for each seed.
    total : int
        How many steps there are at most.
    parts : mapping of str to object
        What steps change, beside what draws (``training.train``).
    learned : callable
        Returns the networks of a seed by name, given its place among the seeds.
    until : callable
        Says whether to end before the last step.
    """

    step: Callable[[int], Mapping[str, Tensor]]
    total: int
    parts: Mapping[str, Any]
    learned: Callable[[int], Mapping[str, Any]]
    until: Callable[[], bool] = lambda: False
