"""The Ray launcher: cells on the nodes of a Ray cluster, as many at once as it has room for.

Every node must see the Store, the environment and the tables under the same paths. A runner that is
lost with its node costs the cell in hand, which another runner begins again, or goes on with where
it left a checkpoint.

Limit: how many runners there are is decided at the start; nodes that join later get none.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..cells import Cell
from ..numbers import check_whole
from ..running.costs import Costs
from ..running.packs import packs
from ..running.pool import Event, Workplace
from ..running.resources import check
from ..store import Store
from .crew import Crew
from .needs import Needs, RayError

REACH_SECONDS = 10.0  # for a cluster to answer


class Ray:
    """Runs cells on a Ray cluster.

    Parameters
    ----------
    address : str, optional
        Of the cluster; None: as ``ray.init`` finds one (RAY_ADDRESS, a cluster of this machine),
        else a Ray of this machine that ends with the sweep.
    workers : int, optional
        Most cells at once of those that ask for the same; None: as many as there is room for.
    by_generator : mapping of str to mapping
        What cells of a generator need, by its name: ``cpus``, ``gpus``, ``memory_mib``. It wins
        over the ``resources`` of the generator's YAML.
    together : int
        Most cells that differ in nothing but their seeds whose generators are fitted as one batch.
    retries : int
        How often a cell is run again whose runner was lost.

    Raises
    ------
    ValueError
        If a setting is wrong.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        by_generator: Mapping[str, Mapping[str, Any]] | None = None,
        together: int = 1,
        retries: int = 2,
    ) -> None:
        for name, value, least in (
            ("workers", 1 if workers is None else workers, 1),
            ("together", together, 1),
            ("retries", retries, 0),
        ):
            check_whole(f"hydra.launcher.{name}", value, least)
        self.address = address
        self.workers = workers
        self.by_generator = by_generator or {}
        self.together = together
        self.retries = retries
        for wish in self.by_generator.values():
            check(wish)

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Run every cell and return when each has its record.

        Parameters
        ----------
        cells : sequence of Cell
            What is to be run; cells that share a dataset and split should be neighbours.
        place : Workplace
            Folders; every node must see them under the same paths.
        on_event : callable
            As in ``Launcher.run``.
        stopping : callable
            Asked often; True ends the cells in hand as ``preempted`` and starts no more.

        Returns
        -------
        int
            0: nothing is left to others.

        Raises
        ------
        RayError
            If Ray cannot be reached, or no node is large enough for a cell.
        """
        with connected(self.address) as ray:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            crew = Crew(ray, place, on_event, self.retries)
            try:
                for needs, group in self._groups(cells).items():
                    waiting = packs(group, self.together)
                    crew.hire(needs, waiting, self._runners(needs, nodes))
                crew.run(stopping)
            finally:
                crew.close()
        return 0

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would do; Ray is not asked for anything."""
        costs = Costs.of(Store(place.results))
        where = self.address or "as Ray finds one, or else Ray on this machine"
        lines = [f"{len(cells)} cells on a Ray cluster ({where})"]
        for needs, group in self._groups(cells).items():
            hours = needs.cpus * sum(map(costs.seconds, group)) / 3600
            asked = ", ".join(f"{name} {value:g}" for name, value in needs.options().items())
            lines.append(f"{len(group)} cells, each with {asked}: about {hours:.1f} core-hours")
        return [*lines, *costs.guessed(cells)]

    def _groups(self, cells: Sequence[Cell]) -> dict[Needs, list[Cell]]:
        """Divide cells by what they need."""
        found: dict[Needs, list[Cell]] = {}
        for cell in cells:
            found.setdefault(Needs.of(cell, self.by_generator), []).append(cell)
        return found

    def _runners(self, needs: Needs, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many runners there shall be."""
        if room := needs.room(nodes):
            return min(room, self.workers or room)
        asked = ", ".join(f"{name}={value:g}" for name, value in needs.options().items())
        raise RayError(
            f"a node must have room for a cell ({asked}), and none of the {len(nodes)} nodes of "
            "the Ray cluster has; ask for less by limits.threads or hydra.launcher.by_generator"
        )


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Be connected to a Ray cluster, and hand out the module.

    Raises
    ------
    RayError
        If Ray is not installed or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no network but the cluster's
    try:
        import ray
    except ImportError:
        raise RayError(
            "hydra/launcher=ray needs Ray; install it: pip install 'syntharena[ray]'"
        ) from None
    try:
        _reach(address)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise RayError(
            f"hydra.launcher.address must lead to a Ray cluster, got {address!r} ({error})"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """See that somebody listens at an address, for which Ray itself would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
