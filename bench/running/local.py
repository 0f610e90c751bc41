"""The local launcher: a pool of workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ..cells import Cell
from ..numbers import check_whole
from ..store import Store
from .costs import Costs
from .packs import packs
from .pool import Event, Pool, Workplace
from .processors import slots, taken


class Local:
    """Runs cells on this machine, as many at once as its processors hold.

    Parameters
    ----------
    workers : int, optional
        How many cells run at once; None: processors / threads of a cell.
    together : int
        Most cells that differ in nothing but their seeds whose generators are fitted as one batch.

    Raises
    ------
    ValueError
        If either is not a whole number >= 1.
    """

    def __init__(self, workers: int | None = None, together: int = 1) -> None:
        if workers is not None:
            check_whole("hydra.launcher.workers", workers, cure="null takes every processor")
        check_whole("hydra.launcher.together", together, cure="1 fits every cell by itself")
        self.workers = workers
        self.together = together

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
            Folders and preloaded modules.
        on_event : callable
            As in ``Launcher.run``.
        stopping : callable
            Asked often; True ends the cells in hand as ``preempted`` and starts no more.

        Returns
        -------
        int
            0: nothing is left to others.
        """
        workers, threads = self._at_once(cells)
        with taken(workers * threads) as processors:
            pool = Pool(place, slots(processors, workers, threads), threads, on_event)
            try:
                pool.run(iter(packs(cells, self.together)), stopping)
            finally:
                pool.close()
        return 0

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would do."""
        costs = Costs.of(Store(place.results))
        workers, _ = self._at_once(cells)
        hours = sum(map(costs.seconds, cells)) / 3600
        lines = [f"{len(cells)} cells on this machine, {workers} at once"]
        lines.append(f"about {hours:.1f} hours of cells, {hours / workers:.1f} hours in all")
        return [*lines, *costs.guessed(cells)]

    def _at_once(self, cells: Sequence[Cell]) -> tuple[int, int]:
        """Return how many cells run at once, and the threads of each."""
        threads = int(max(cell.limits["threads"] for cell in cells))
        workers = self.workers or max(1, len(os.sched_getaffinity(0)) // threads)
        return min(workers, len(cells)), threads
