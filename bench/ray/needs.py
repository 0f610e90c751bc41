"""What a runner needs of a node, and how many of them the nodes have room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..cells import Cell
from ..running.resources import wanted


class RayError(RuntimeError):
    """Ray is not there, or has no room for a cell."""


@dataclass(frozen=True)
class Needs:
    """What one runner asks Ray for.

    Parameters
    ----------
    threads : int
        Of one cell.
    cpus, gpus : int
        Processors and GPUs.
    memory_mib : int, optional
        Memory; None: Ray does not count it.
    """

    threads: int
    cpus: int
    gpus: int
    memory_mib: int | None

    @classmethod
    def of(cls, cell: Cell, by_generator: Mapping[str, Mapping[str, Any]]) -> Needs:
        """Return what a cell's runner asks for; what only SLURM knows is passed over."""
        wish = wanted(cell, {}, by_generator)
        threads = int(cell.limits["threads"])
        cpus = max(threads, int(wish.get("cpus", threads)))
        return cls(threads, cpus, int(wish.get("gpus", 0)), wish.get("memory_mib"))

    def options(self) -> dict[str, Any]:
        """Return Ray's options of an actor that asks for it."""
        memory = {"memory": self.memory_mib * 2**20} if self.memory_mib else {}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **memory}

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many runners fit on nodes with such resources at once."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory_mib or 0) * 2**20}
        asked = {name: amount for name, amount in asked.items() if amount}
        return sum(
            int(min(node.get(name, 0.0) // amount for name, amount in asked.items()))
            for node in nodes
        )
