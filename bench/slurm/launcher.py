"""The SLURM launcher: parcels of cells in job arrays, one array for each request of resources.

The same sweep, started again, watches what is in the queue and submits only what nobody will run.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..cells import Cell
from ..running.costs import Costs
from ..running.pool import Event, Workplace
from ..store import Store
from .cluster import Cluster, ClusterError
from .follow import Follower, Lost
from .submitter import Settings, Submitter

TAIL_BYTES = 4000  # of a task's output, in which its last line is looked for


class Slurm:
    """Runs cells in job arrays of a SLURM cluster.

    Parameters
    ----------
    detach : bool
        Whether to submit and leave.
    **settings
        As in ``Settings``.
    """

    def __init__(self, *, detach: bool = False, **settings: Any) -> None:
        self.detach = detach
        self.settings = Settings(**settings)

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = lambda: False,
    ) -> int:
        """Submit what nobody will run yet and, unless detached, return when each has its record.

        Parameters
        ----------
        cells : sequence of Cell
            What is to be run; cells that share a dataset and split should be neighbours.
        place : Workplace
            Folders; every node must see them under the same paths.
        on_event : callable
            As in ``Launcher.run``; sees ``{"queued": reason}`` as well.
        stopping : callable
            Asked often; True leaves everything as it is in SLURM's hands.

        Returns
        -------
        int
            How many cells are in SLURM's hands.

        Raises
        ------
        ClusterError
            If SLURM takes nothing, or its jobs end before their first cell.
        """
        sweep = _Sweep(self.settings, cells, place, Cluster(), on_event)
        sweep.deal_with(sweep.follower.adopt())
        sweep.submit()
        if not self.detach:
            sweep.follow(stopping)
        return sweep.left

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would submit; nothing is."""
        store = Store(place.results)
        try:
            follower = Follower(cells, store, Cluster(), lambda cell, event: None)
            rest = follower.adopt()
            left, times = list(rest.cells.values()), rest.times
        except ClusterError:
            left, times = list(cells), {}
        costs = Costs.of(store, self.settings.guess_seconds)
        submitter = Submitter(self.settings, place, costs, self.settings.tasks)
        lines, hours = [], 0.0
        for submission in submitter.make(left, times):
            number = len(submission.all_keys)
            hours += submitter.core_hours(submission)
            lines.append(f"an array of {submission.tasks} tasks for {number} cells:")
            lines.append(shlex.join(["sbatch", *submitter.options(submission)]))
            lines += submitter.script(submission).splitlines()
        queued = len(cells) - len(left)
        lines.append(f"{queued} cells are in the queue or running, {len(left)} are to be submitted")
        lines.append(f"about {hours:.1f} core-hours")
        return [*lines, *costs.guessed(left, "hydra.launcher.guess_seconds")]


class _Sweep:
    """The cells of one call: what is watched, and what is submitted."""

    def __init__(
        self,
        settings: Settings,
        cells: Sequence[Cell],
        place: Workplace,
        cluster: Cluster,
        on_event: Event,
    ) -> None:
        store = Store(place.results)
        costs = Costs.of(store, settings.guess_seconds)
        self.follower = Follower(cells, store, cluster, on_event)
        self._settings = settings
        self._cluster = cluster
        self._submitter = Submitter(settings, place, costs, cluster.most_tasks())
        self._keys = set(self.follower.outstanding)

    def deal_with(self, lost: Lost) -> None:
        """Submit lost cells again, or give them up.

        Raises
        ------
        ClusterError
            If jobs end before their first cell, again and again.
        """
        again = []
        for key, cell in lost.cells.items():
            times = lost.times.get(key, 0)
            if times <= self._settings.retries:
                again.append(cell)
            elif key in lost.unbegun:
                lost.close()
                raise ClusterError(
                    f"jobs end before their first cell ({_last_line(lost.unbegun[key])}); "
                    f"see {lost.unbegun[key]}"
                )
            else:
                self.follower.give_up(cell, lost.states[key], times)
        self._submitter.add(list(self._submitter.make(again, lost.times)))
        lost.close()

    def submit(self) -> None:
        """Submit what waits.

        Raises
        ------
        ClusterError
            If SLURM refuses and nothing of this sweep is in its hands.
        """
        before = self._submitter.refusal
        for submission in self._submitter.submit(self._cluster):
            self.follower.watch(submission)
        refusal = self._submitter.refusal
        if refusal and not self._is_live:
            raise ClusterError(refusal)
        if refusal and refusal != before:
            text = "%d cells are not submitted yet: %s"
            logging.getLogger(__name__).warning(text, self._submitter.waiting, refusal)

    @property
    def _is_live(self) -> bool:
        return any(watched.is_live for watched in self.follower.watched.values())

    def follow(self, stopping: Callable[[], bool]) -> None:
        """Watch until every cell has a record, or nothing will give it one."""
        follower = self.follower
        while follower.outstanding and not stopping():
            _sleep(self._settings.poll_seconds, stopping)
            follower.look()
            lost = follower.lost(self._settings.settle_seconds)
            for key in lost.cancelled:
                del follower.outstanding[key], lost.cells[key]
            self.deal_with(lost)
            self.submit()
        self._finish()

    def _finish(self) -> None:
        """Take submissions out of the queue that have nothing left to do."""
        for name, watched in self.follower.watched.items():
            keys = watched.submission.all_keys
            if keys <= self._keys and keys.isdisjoint(self.follower.outstanding):
                watched.submission.mark("over")
                if watched.is_live:
                    self._cluster.cancel([name])

    @property
    def left(self) -> int:
        """How many cells are in SLURM's hands."""
        return len(self.follower.outstanding) - self._submitter.waiting


def _sleep(seconds: float, stopping: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not stopping():
        time.sleep(min(left, 0.2))


def _last_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return "no output"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
