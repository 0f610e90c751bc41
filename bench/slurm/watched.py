"""Watched: one submission as it is seen from outside, by its files and by what SLURM says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .cluster import BLAMELESS, GONE, Cluster, TaskState
from .journal import History
from .submission import Submission


class Watched:
    """One submission.

    Parameters
    ----------
    submission : Submission
        What is watched.
    """

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self._states = dict.fromkeys(range(submission.tasks), GONE)
        self._over_since: dict[int, float] = {}
        self._histories: dict[int, History] = {}
        self._holders: dict[int, int] = {}
        self._closed = submission.closed()
        self._all_over_since = float("inf")
        self._was_asked = False  # accounting

    def look(self, known: Mapping[int, TaskState]) -> None:
        """Take in what SLURM says now; a task that it has forgotten stays as it ended."""
        now = time.monotonic()
        for task, last in self._states.items():
            state = known.get(task) or (last if last.is_over else GONE)
            self._states[task] = state
            if state.is_over:
                self._over_since.setdefault(task, now)
            else:
                self._over_since.pop(task, None)
        is_over = len(self._over_since) == len(self._states)
        self._all_over_since = max(self._over_since.values()) if is_over else float("inf")

    def news(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what cells have reported since the last call, with their record keys."""
        for parcel in self.submission.taken() - set(self._holders):
            if (holder := self.submission.holder(parcel)) is not None:
                self._holders[parcel] = holder
        for task, path in self.submission.journals().items():
            history = self._histories.setdefault(task, History(path))
            for line in history.read():
                if "key" in line:
                    yield line["key"], line
                elif "begin" in line or "stopped" in line:
                    for key in history.interrupted:
                        yield key, {"queued": "interrupted"}

    def in_hand(self) -> Iterator[tuple[str, float]]:
        """Yield the cells that are being run, and when each was started."""
        for task, history in self._histories.items():
            if not self._states[task].is_over:
                yield from history.in_hand.items()

    def remember(self, cluster: Cluster) -> None:
        """Ask accounting, once, for what ``squeue`` has forgotten."""
        if not self._was_asked and GONE in self._states.values():
            self._was_asked = True
            known = cluster.forgotten(self.submission.name)
            gone = [task for task, state in self._states.items() if state == GONE]
            self._states |= {task: known[task] for task in gone if task in known}

    @property
    def is_live(self) -> bool:
        """Whether a task of it is in the queue or running."""
        return self._all_over_since == float("inf")

    @property
    def counts(self) -> Counter[str]:
        """How many tasks are in each of SLURM's states, but for those that were dismissed."""
        is_dismissed = self.submission.is_marked("dismissed")
        return Counter(
            state.state
            for task, state in self._states.items()
            if not (is_dismissed and state.is_over and task not in self._histories)
        )

    def open_parcels(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the parcels that nobody has dealt with, and the keys of their cells."""
        for parcel, keys in enumerate(self.submission.keys):
            if parcel not in self._closed:
                yield parcel, keys

    def close(self, parcel: int) -> None:
        """Remember that what was lost of a parcel has been dealt with."""
        self._closed.add(parcel)
        if self.is_live:
            self.submission.close(parcel)
        else:
            self.submission.mark("over")  # one file for all of them

    def state(self, parcel: int) -> TaskState:
        """Return the state of the task that has a parcel, or was to have it."""
        return self._states[self._holders.get(parcel, parcel)]

    def is_lost(self, parcel: int, settled: float) -> bool:
        """Whether no task will run a parcel, and that for ``settled`` seconds."""
        holder = self._holders.get(parcel)
        since = self._all_over_since
        if holder is not None:
            since = self._over_since.get(holder, float("inf"))
        return time.monotonic() - since >= settled

    def is_cancelled(self, parcel: int) -> bool:
        """Whether a lost parcel was lost because somebody wanted it."""
        return self.state(parcel).state == "CANCELLED" or self.submission.is_marked("cancelled")

    def blamed(self, parcel: int) -> list[str]:
        """Return the keys of cells of a lost parcel that may have ended the job that lost it.

        All of them if a job ended before it took one.
        """
        if self.state(parcel).state in BLAMELESS:
            return []
        keys = self.submission.keys[parcel]
        holder = self._holders.get(parcel)
        if holder is None:
            return keys if self.submission.output(parcel).exists() else []
        history = self._histories.get(holder)
        return [key for key in keys if history is not None and key in history.in_hand]

    def is_begun(self, parcel: int) -> bool:
        """Whether a task has taken a parcel."""
        return parcel in self._holders
