"""Follow: watch job arrays from outside, and submit again what they lose.

A cell is done when it has a record. A parcel is lost when it has cells without a record, and no
task that is in the queue or running has it or may still take it; what SLURM says of tasks decides
nothing else. Lost cells are submitted again. A cell that was in hand when its job ended without a
word, more often than is allowed, gets a record that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cells import Cell
from ..running.pool import Event
from ..running.worker import put_lost
from ..store import Store
from .cluster import Cluster, ClusterError, TaskState
from .submission import Submission
from .watched import Watched

STATUSES = {"OUT_OF_MEMORY": "oom", "TIMEOUT": "timeout", "DEADLINE": "timeout"}


@dataclass
class Lost:
    """Cells that no task will run any more.

    Parameters
    ----------
    cells : dict of str to Cell
        By record key.
    times : dict of str to int
        How often a job ended without a word while it ran the cell.
    states : dict of str to TaskState
        How SLURM says that the task ended that lost the cell.
    cancelled : set of str
        Cells that were lost because somebody wanted it.
    unbegun : dict of str to Path
        Cells that no task took, and what the task printed that was to take them.
    parcels : list of (Watched, int)
        Closed once the cells have been dealt with.
    """

    cells: dict[str, Cell] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    states: dict[str, TaskState] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    unbegun: dict[str, Path] = field(default_factory=dict)
    parcels: list[tuple[Watched, int]] = field(default_factory=list)

    def close(self) -> None:
        """Remember that the cells have been dealt with."""
        for watched, parcel in self.parcels:
            watched.close(parcel)


class Follower:
    """Watches the submissions that hold cells of one sweep.

    Parameters
    ----------
    cells : iterable of Cell
        Those that are to get a record.
    store : Store
        Where records and submissions are.
    cluster : Cluster
        Asked for the states of tasks.
    on_event : callable
        As in ``Launcher.run``; sees ``{"queued": reason}`` as well.
    """

    def __init__(
        self, cells: Iterable[Cell], store: Store, cluster: Cluster, on_event: Event
    ) -> None:
        self.outstanding = {cell.record_key: cell for cell in cells}
        self.watched: dict[str, Watched] = {}
        self._store = store
        self._cluster = cluster
        self._on_event = on_event
        self._said: dict[str, str] = {}  # why a cell waits, as it was said last
        self._unseen: set[str] = set()  # done, but their records cannot be seen yet
        self._live: set[str] = set()  # cells that a task will run
        self._is_silent = False

    def watch(self, submission: Submission) -> None:
        """Watch one more submission."""
        self.watched[submission.name] = Watched(submission)

    def adopt(self) -> Lost:
        """Watch what the Store holds of these cells; return those that no task will run."""
        for submission in Submission.all(self._store, unfinished=True):
            if not submission.all_keys.isdisjoint(self.outstanding):
                self.watch(submission)
        self.look(quiet=True)
        found = self.lost(0.0)
        for key, cell in self.outstanding.items():
            if key not in self._live:
                found.cells[key] = cell
        for watched in self.watched.values():
            for key, started in watched.in_hand():
                self._take(key, {"started": started})
        return found

    def look(self, *, quiet: bool = False) -> None:
        """Take in what SLURM and the tasks say, and which records there are.

        ``quiet`` reports of cells only that they are done: the rest is long past.
        """
        try:
            states = self._cluster.states(self.watched) if self.watched else {}
        except ClusterError as error:  # it may be restarting; what is known stays
            if not self._is_silent:
                logging.getLogger(__name__).warning("waiting for SLURM: %s", error)
            self._is_silent = True
        else:
            self._is_silent = False
            for name, watched in self.watched.items():
                watched.look(states.get(name, {}))
        for watched in self.watched.values():
            for key, line in watched.news():
                if not quiet or "done" in line:
                    self._take(key, line)
        for key in list(self._unseen):
            self._finish(key)
        for watched in self.watched.values():
            self._say_why(watched)

    def _take(self, key: str, line: dict[str, Any]) -> None:
        cell = self.outstanding.get(key)
        if cell is None:
            return
        if "done" in line:
            self._finish(key)
        elif "queued" in line:
            self._say(cell, line["queued"])
        else:
            self._said.pop(key, None)
            self._on_event(cell, {name: line[name] for name in line if name != "key"})

    def _finish(self, key: str) -> None:
        """Count a cell as done if its record can be seen."""
        self._unseen.discard(key)
        if key not in self.outstanding:
            return
        record = self._store.get(self.outstanding[key])
        if record is None:
            self._unseen.add(key)
            return
        cell = self.outstanding.pop(key)
        self._on_event(cell, {"done": {"status": record["status"], "reason": record["reason"]}})

    def _say_why(self, watched: Watched) -> None:
        """Report the cells that wait in SLURM's queue, when the reason is another than before."""
        for parcel, keys in watched.open_parcels():
            state = watched.state(parcel)
            if state.state == "PENDING":
                for key in keys:
                    if key in self.outstanding:
                        self._say(self.outstanding[key], state.reason)

    def _say(self, cell: Cell, reason: str) -> None:
        if self._said.get(cell.record_key) != reason:
            self._said[cell.record_key] = reason
            self._on_event(cell, {"queued": reason})

    def lost(self, settled: float) -> Lost:
        """Return what no task will run any more, but for what was cancelled.

        Parameters
        ----------
        settled : float
            Seconds for which SLURM must have said so; a record may be seen late.
        """
        found, dead = Lost(), []
        if self._is_silent:
            return found
        self._live.clear()
        for watched in self.watched.values():
            for parcel, keys in watched.open_parcels():
                if left := [key for key in keys if key in self.outstanding]:
                    if watched.is_lost(parcel, settled):
                        dead.append((watched, parcel, left))
                    else:
                        self._live.update(left)
        for watched, parcel, keys in dead:
            for key in keys:
                self._finish(key)
            left = [key for key in keys if key in self.outstanding and key not in self._live]
            if left:
                watched.remember(self._cluster)
                self._lose(watched, parcel, left, found)
        return found

    def _lose(self, watched: Watched, parcel: int, keys: list[str], found: Lost) -> None:
        is_cancelled = watched.is_cancelled(parcel)
        blamed = [] if is_cancelled else watched.blamed(parcel)
        for key in keys:
            times = watched.submission.lost.get(key, 0) + (key in blamed)
            found.cells[key] = self.outstanding[key]
            found.times[key] = max(times, found.times.get(key, 0))
            found.states[key] = watched.state(parcel)
            if is_cancelled:
                found.cancelled.add(key)
            if not watched.is_begun(parcel):
                found.unbegun[key] = watched.submission.output(parcel)
        found.parcels.append((watched, parcel))

    def give_up(self, cell: Cell, state: TaskState, times: int) -> None:
        """Write the record of a cell that ended its job too often."""
        where = f" on {state.node}" if state.node else ""
        reason = f"its job ended {times} times while it ran, at last{where} as {state.state}"
        put_lost(self._store, cell, STATUSES.get(state.state, "failed"), reason)
        self._finish(cell.record_key)
