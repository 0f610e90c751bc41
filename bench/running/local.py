"""The local launcher: a pool of workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ..cells import Cell
from ..numbers import check_whole
from ..store import Store
from .costs import Costs
from .packs import packs
from .pool import Event, Pool, Workplace, slots


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
        threads, cpus = self._slots(cells)
        pool = Pool(place, cpus, threads, on_event)
        try:
            pool.run(iter(packs(cells, self.together)), stopping)
        finally:
            pool.close()
        return 0

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would do."""
        costs = Costs.of(Store(place.results))
        _, cpus = self._slots(cells)
        hours = sum(map(costs.seconds, cells)) / 3600
        lines = [f"{len(cells)} cells on this machine, {len(cpus)} at once"]
        lines.append(f"about {hours:.1f} hours of cells, {hours / len(cpus):.1f} hours in all")
        return [*lines, *costs.guessed(cells)]

    def _slots(self, cells: Sequence[Cell]) -> tuple[int, list[tuple[int, ...]]]:
        """Return the threads of a cell, and the processors of each worker."""
        threads = int(max(cell.limits["threads"] for cell in cells))
        processors = sorted(os.sched_getaffinity(0))
        workers = min(self.workers or max(1, len(processors) // threads), len(cells))
        return threads, slots(processors, workers, threads)
