"""The submitter: from cells to parcels, submissions and calls of ``sbatch``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import plan
from ..cells import Cell
from ..foreign import servers
from ..numbers import is_number
from ..running import resources
from ..running.costs import Costs
from ..running.packs import packs
from ..running.pool import Workplace
from .cluster import Cluster, ClusterError
from .parcels import Pack, Parcel, by_request, fill
from .request import Request
from .submission import Submission
from .task import warning_seconds

REFUSED_SECONDS = 60.0  # after a refusal, SLURM is asked again so much later
START_SECONDS = 10.0  # of a task, expected before its first cell
NUMBERS = {  # settings that are numbers, with the least that each may be
    "at_once": 1,
    "tasks": 1,
    "parcel_seconds": 1,
    "guess_seconds": 0,
    "retries": 0,
    "search_jobs": 1,
    "together": 1,
    "poll_seconds": 0,
    "settle_seconds": 0,
}


@dataclass(frozen=True)
class Settings:
    """What a user sets of the launcher; kept with every submission.

    Parameters
    ----------
    job : mapping
        What each job asks for, as in ``Request``; the ``resources`` of a generator's YAML win.
    by_generator : mapping of str to mapping
        The same for single generators, by name; these win over both.
    setup : sequence of str
        Lines of shell that a job begins with.
    at_once : int, optional
        Most tasks of one array that run at the same time.
    tasks : int
        Most tasks of one array.
    parcel_seconds : float
        Expected length of a parcel.
    guess_seconds : float
        Expected length of a cell whose generator has no record yet.
    retries : int
        How often a cell is run again whose job ended without a word.
    search_jobs : int
        Tasks that run the same cell where it has ``tuning.search.shared``.
    together : int
        Most cells that differ in nothing but their seeds whose generators are fitted as one batch.
    poll_seconds : float
        Time between two looks at the queue.
    settle_seconds : float
        Time after the end of a task in which its records may still appear.

    Raises
    ------
    ValueError
        If a setting is wrong.
    """

    job: Mapping[str, Any] = field(default_factory=dict)
    by_generator: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    setup: Sequence[str] = ()
    at_once: int | None = None
    tasks: int = 1000
    parcel_seconds: float = 300.0
    guess_seconds: float = 60.0
    retries: int = 2
    search_jobs: int = 4
    together: int = 1
    poll_seconds: float = 10.0
    settle_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, least in NUMBERS.items():
            value = getattr(self, name)
            if value is None and name == "at_once":
                continue
            if not is_number(value) or value < least:
                raise ValueError(
                    f"hydra.launcher.{name} must be a number >= {least}, got {value!r}"
                )
        for wish in (self.job, *self.by_generator.values()):
            resources.check(wish)
        if isinstance(self.setup, str) or not all(isinstance(line, str) for line in self.setup):
            raise ValueError(
                f"hydra.launcher.setup must list lines of shell, got {self.setup!r}; "
                "write ['module load python']"
            )

    def request(self, pack: Pack) -> Request:
        """Return what the job of cells that are fitted as one batch asks for."""
        wanted = resources.wanted(pack[0], self.job, self.by_generator)
        return Request.of(pack[0], wanted, together=len(pack))


class Submitter:
    """Makes submissions, and submits them as far as SLURM takes them.

    Parameters
    ----------
    settings : Settings
        Of the launcher.
    place : Workplace
        Folders of the Store and of tables.
    costs : Costs
        Expected seconds of cells.
    most : int
        Most tasks of one array that the cluster takes.
    """

    def __init__(self, settings: Settings, place: Workplace, costs: Costs, most: int) -> None:
        self._settings = settings
        self._place = place
        self._costs = costs
        self._most = min(settings.tasks, most)
        self._waiting: list[Submission] = []
        self._next = 0.0
        self.refusal = ""

    def make(self, cells: Sequence[Cell], times: Mapping[str, int]) -> Iterator[Submission]:
        """Yield submissions of cells.

        Parameters
        ----------
        cells : sequence of Cell
            Neighbours share a dataset where they can.
        times : mapping of str to int
            By record key, how often a cell has been lost; one that has been gets its own parcel.

        A search whose trials are shared is in as many parcels as tasks share it.
        """

        def is_alone(cell: Cell) -> bool:
            return times.get(cell.record_key, 0) > 0 or is_shared(cell)

        batches = [[cell] for cell in cells if is_alone(cell)]
        rest = [cell for cell in cells if not is_alone(cell)]
        batches += packs(rest, self._settings.together)
        for asked, group in by_request(batches, self._settings.request).items():
            side_by_side = asked.cpus // asked.threads
            parcels = fill(
                group,
                lambda cell, side_by_side=side_by_side: self._costs.seconds(cell) / side_by_side,
                self._settings.parcel_seconds,
                is_alone,
            )
            parcels = [copy for parcel in parcels for copy in [parcel] * self._tasks(parcel)]
            ours = [cell for batch in group for cell in batch]
            foreign = servers.wanted_by(plan.specifications(ours), self._place.foreign)
            place = replace(self._place, preload=plan.preload(ours), foreign=foreign)
            for first in range(0, len(parcels), self._most):
                some = parcels[first : first + self._most]
                yield Submission.new(some, asked, place, asdict(self._settings), times)

    def _tasks(self, parcel: Parcel) -> int:
        """Return how many tasks run a parcel at the same time."""
        return self._settings.search_jobs if is_shared(parcel.cells[0]) else 1

    def add(self, submissions: Sequence[Submission]) -> None:
        """Take submissions that are to be submitted."""
        self._waiting += submissions

    @property
    def waiting(self) -> int:
        """How many cells SLURM has not taken yet."""
        return len({key for submission in self._waiting for key in submission.all_keys})

    def submit(self, cluster: Cluster) -> Iterator[Submission]:
        """Submit what waits, and yield what SLURM took; a refusal ends it for a while."""
        while self._waiting and time.monotonic() >= self._next:
            submission = self._waiting[0]
            submission.write()
            try:
                cluster.submit(self.options(submission), self.script(submission))
            except ClusterError as error:
                submission.discard()
                self.refusal = str(error)
                self._next = time.monotonic() + REFUSED_SECONDS
                return
            self.refusal = ""
            yield self._waiting.pop(0)

    def options(self, submission: Submission) -> list[str]:
        """Return the options of ``sbatch`` for a submission."""
        asked, at_once = submission.request, self._settings.at_once
        throttle = f"%{at_once}" if at_once else ""
        folder = str(submission.folder).replace("%", "%%")
        return [
            f"--job-name={submission.name}",
            f"--array=0-{submission.tasks - 1}{throttle}",
            f"--output={folder}/%a.out",
            "--open-mode=append",
            "--requeue",
            f"--signal=B:USR1@{warning_seconds(asked.minutes):.0f}",
            f"--chdir={submission.plan['folder']}",
            *asked.options(),
        ]

    def script(self, submission: Submission) -> str:
        """Return the script of a submission's job."""
        command = [sys.executable, "-m", "syntharena.bench.slurm.task"]
        command += [str(submission.root), submission.name, str(submission.tasks)]
        lines = ["#!/bin/bash", *self._settings.setup]
        # Replaced by exec, so that SLURM's warnings reach the task itself.
        lines += [f'exec {shlex.join(command)} "$SLURM_ARRAY_TASK_ID"', ""]
        return "\n".join(lines)

    def core_hours(self, submission: Submission) -> float:
        """Return the processor time that a submission is expected to take."""
        asked = submission.request
        seconds = sum(START_SECONDS + submission.seconds(p) for p in range(submission.tasks))
        return seconds * asked.cpus / 3600


def is_shared(cell: Cell) -> bool:
    """Whether several tasks may run a cell at the same time, each some trials of its search."""
    return cell.tuning.search is not None and cell.tuning.search.shared
