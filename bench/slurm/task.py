"""A task of a job array: runs parcels on a node of the cluster until there are no more.

    python -m syntharena.bench.slurm.task STORE NAME TASKS INDEX

It takes its own parcel, then others that nobody has begun. Where SLURM warns it (a time limit, a
preemption), it ends the cells in hand without a record, puts itself back into the queue, and begins
with those cells when it runs again. A cell that had a whole job to itself and left no checkpoint
would need the same time in the next one, so it ends as ``timeout``.

Nothing heavy is imported before it is clear that there is something to do.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cells import Cell
    from .submission import Submission

EVENT_SECONDS = 5.0  # steps of a cell are reported no more often
WARN_SECONDS = 90.0  # SLURM warns a task so long before its time limit,
EARLY_SECONDS = 60.0  # or so much earlier (sbatch(1), --signal)
BROKEN = 74  # exit code: the Store cannot be written (EX_IOERR)
UNFINISHED = 75  # exit code: there is more to do, but not in this job (EX_TEMPFAIL)


def main(arguments: list[str]) -> int:
    """Run a task and return its exit code."""
    began = time.monotonic()
    warned: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda number, frame: warned.append(number))
    root, name, tasks, index = Path(arguments[0]), arguments[1], *map(int, arguments[2:])
    if is_needless(root / "jobs" / name, tasks, index):
        return 0
    from ..store import Store, StoreError
    from .submission import Submission

    submission = Submission.read(Store(root), name)
    if submission is None:
        sys.stderr.write(f"{name} is not in {root}\n")
        return 1
    try:
        return Task(submission, index, began, warned).run()
    except (OSError, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return BROKEN


def is_needless(folder: Path, tasks: int, index: int) -> bool:
    """Whether every parcel is taken, and none by this task, since it never ran before."""
    names = os.listdir(folder) if folder.is_dir() else []
    taken = sum(name.endswith(".taken") for name in names)
    return taken == tasks and f"{index}.journal" not in names


def warning_seconds(minutes: int) -> float:
    """Return how long before a time limit a task is warned: not before half of it is over."""
    return min(WARN_SECONDS, minutes * 30)


class Task:
    """One task, on the node where it runs.

    Parameters
    ----------
    submission : Submission
        What it belongs to.
    index : int
        Which task of the array it is.
    began : float
        When its job began, on the monotonic clock.
    warned : list of int
        Not empty when SLURM has asked it to stop.
    """

    def __init__(self, submission: Submission, index: int, began: float, warned: list[int]) -> None:
        from ..store import Store
        from .journal import History, Journal

        self._submission = submission
        self._index = index
        self._warned = warned
        self._store = Store(submission.root)
        self._history = History(submission.journal(index))
        self._history.catch_up()
        self._journal = Journal(submission.journal(index))
        minutes = submission.request.minutes
        self._limit = began + 60 * minutes - warning_seconds(minutes)
        self._started: dict[str, _Start] = {}
        self._took: dict[tuple[str, str], float] = {}  # seconds of the longest cell of a sort
        self._is_late = False
        self._is_through = False

    def run(self) -> int:
        """Run parcels; return the exit code of the job."""
        from ..running.pool import Pool

        self._journal.add(begin=_job() | {"time": time.time()})
        pool = Pool(self._submission.place, self._slots(), self._threads, self._on_event)
        try:
            pool.run(self._packs(), lambda: bool(self._warned), leave=True)
            left = pool.in_hand
            is_done = self._is_through and not left
            is_time = self._is_late or time.monotonic() > self._limit - EARLY_SECONDS
            # Said before anything else is done, since there may be no time for that.
            self._journal.add(**{"end" if is_done else "stopped": "time" if is_time else "word"})
        finally:
            pool.close()
        return 0 if is_done else self._leave(left if is_time else [])

    @property
    def _threads(self) -> int:
        return self._submission.request.threads

    def _slots(self) -> list[tuple[int, ...]]:
        """Return the processors of each worker.

        Where SLURM does not bind a job to its processors, no worker is bound: other jobs may be
        on any of them.
        """
        from ..running.processors import slots

        cpus, processors = self._submission.request.cpus, sorted(os.sched_getaffinity(0))
        workers = max(1, cpus // self._threads)
        if len(processors) > cpus:
            return [tuple(processors)] * workers
        return slots(processors, workers, self._threads)

    # What to run

    def _packs(self) -> Iterator[list[Cell]]:
        """Yield what to run, that first which an earlier run of this task was ended in."""
        from ..running.packs import packs

        for parcel in self._parcels():
            for pack in packs(self._in_order(parcel), self._submission.together):
                left = [cell for cell in pack if self._store.get(cell) is None]
                if left and self._would_be_cut(left[0]):
                    self._is_late = True
                    return
                if left:
                    yield left
        self._is_through = True

    def _parcels(self) -> Iterator[int]:
        submission = self._submission
        interrupted = set(self._history.interrupted)
        if self._history.began:
            held = [p for p in submission.taken() if submission.holder(p) == self._index]
            yield from sorted(held, key=lambda p: interrupted.isdisjoint(submission.keys[p]))
        if submission.take(self._index, self._index):
            yield self._index
        while (parcel := self._free_one()) is not None:
            if submission.take(parcel, self._index):
                yield parcel
        self._dismiss()

    def _dismiss(self) -> None:
        """Take tasks out of the queue that would find nothing.

        SLURM starts and ends no more than a few in a second, and what waits behind them waits on.
        One that ran before, and may hold a parcel, has a journal.
        """
        from .cluster import cancel_tasks

        submission = self._submission
        if len(submission.taken()) == submission.tasks:
            never_ran = set(range(submission.tasks)) - set(submission.journals())
            if never_ran and submission.mark("dismissed"):
                cancel_tasks(os.environ["SLURM_ARRAY_JOB_ID"], never_ran)

    def _free_one(self) -> int | None:
        """Return a parcel that nobody has taken and for which there is time."""
        taken, tasks = self._submission.taken(), self._submission.tasks
        left = self._limit - time.monotonic()
        nearest = ((self._index + i) % tasks for i in range(1, tasks))
        fitting = (p for p in nearest if p not in taken and self._submission.seconds(p) < left)
        return next(fitting, None)

    def _in_order(self, parcel: int) -> list[Cell]:
        interrupted = set(self._history.interrupted)
        return sorted(
            self._submission.cells(parcel), key=lambda cell: cell.record_key not in interrupted
        )

    def _would_be_cut(self, cell: Cell) -> bool:
        """Whether the job ends before the cell, as far as others of its sort tell."""
        left = self._limit - time.monotonic()
        return self._took.get(_sort(cell), 0.0) > left

    # What happened

    def _on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        key, now = cell.record_key, time.monotonic()
        if "started" in event:
            is_first = len(self._started) < self._submission.request.cpus // self._threads
            self._started[key] = _Start(now, is_first, self._store.progress_of(cell))
            self._journal.add(started=event["started"], key=key)
        elif "done" in event:
            took = now - self._started[key].at
            self._took[_sort(cell)] = max(took, self._took.get(_sort(cell), 0.0))
            self._journal.add(done=event["done"], key=key)
        elif self._is_news(key, event["event"], now):
            self._journal.add(event=event["event"], key=key)

    def _is_news(self, key: str, message: dict[str, Any], now: float) -> bool:
        start = self._started[key]
        if "stage" in message:
            start.stage = message["stage"]
            return True
        if "step" not in message or now - start.said < EVENT_SECONDS:
            return False
        start.said = now
        return True

    # How a job ends before its work does

    def _leave(self, cut: list[Cell]) -> int:
        """Go back into the queue, without cells that would be cut off for ever."""
        from .cluster import requeue_if_running

        for cell in filter(self._would_never_end, cut):
            self._end_as_timeout(cell)
        requeue_if_running(_job()["job"])
        return UNFINISHED  # of no consequence once it is in the queue again

    def _would_never_end(self, cell: Cell) -> bool:
        """Whether a cell had the whole job to itself and got no further in it."""
        start = self._started[cell.record_key]
        return start.is_first and start.progress == self._store.progress_of(cell)

    def _end_as_timeout(self, cell: Cell) -> None:
        from ..process import Outcome
        from ..running.worker import make_record

        start, minutes = self._started[cell.record_key], self._submission.request.minutes
        end = {
            "status": "timeout",
            "reason": f"{start.stage} left no checkpoint in a job of {minutes} minutes; "
            "set hydra.launcher.job.minutes",
            "stage": start.stage,
        }
        seconds = time.monotonic() - start.at
        outcome = Outcome("timeout", 1, seconds, 0.0, b"")
        self._store.put(make_record(cell, outcome, end, time.time() - seconds))
        done = {"status": end["status"], "reason": end["reason"]}
        self._journal.add(done=done, key=cell.record_key)


class _Start:
    """When a cell was started in this job, and how far it was."""

    def __init__(self, at: float, is_first: bool, progress: Any) -> None:
        self.at = at
        self.is_first = is_first
        self.progress = progress
        self.stage = "start"
        self.said = 0.0


def _sort(cell: Cell) -> tuple[str, str]:
    return cell.label, cell.dataset["name"]


def _job() -> dict[str, str]:
    job = "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format_map(os.environ)
    return {"job": job, "node": os.environ.get("SLURMD_NODENAME", "")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
