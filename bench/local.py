"""The local launcher: a pool of workers on this machine."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cells import Cell
from .packs import packs
from .process import Outcome
from .store import Store, StoreError
from .worker import make_record

POLL_SECONDS = 0.2
STOP_SECONDS = 10.0  # how long stopped workers may take to write their records
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

Event = Callable[[Cell, dict[str, Any]], None]


@dataclass(frozen=True)
class Workplace:
    """Where cells find their tables and leave their records.

    Parameters
    ----------
    results, cache : Path
        Folders of the Store and of downloaded tables.
    data : Path or None
        Folder of tables.
    preload : sequence of str
        Modules imported once for all cells.
    """

    results: Path
    data: Path | None
    cache: Path
    preload: Sequence[str] = ()


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
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ValueError(
                f"hydra.launcher.workers must be a whole number >= 1 or null, got {workers!r}"
            )
        if not isinstance(together, int) or together < 1:
            raise ValueError(
                f"hydra.launcher.together must be a whole number >= 1, got {together!r}; "
                "1 fits every cell by itself"
            )
        self.workers = workers
        self.together = together

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run every cell and return when each has its record.

        Parameters
        ----------
        cells : sequence of Cell
            What is to be run; cells that share a dataset and split should be neighbours.
        place : Workplace
            Folders and preloaded modules.
        on_event : callable
            Called with the cell and one of ``{"started": time}``, ``{"event": message}`` and
            ``{"done": {"status", "reason"}}``.
        stopping : callable
            Asked often; True ends the cells in hand as ``preempted`` and starts no more.
        """
        threads = int(max(cell.limits["threads"] for cell in cells))
        processors = sorted(os.sched_getaffinity(0))
        workers = min(self.workers or max(1, len(processors) // threads), len(cells))
        pool = _Pool(place, _slots(processors, workers, threads), threads, on_event)
        try:
            pool.run(deque(packs(cells, self.together)), stopping)
        finally:
            pool.close()


def _slots(processors: list[int], workers: int, threads: int) -> list[tuple[int, ...]]:
    """Give each worker its own processors; where there are too few, they share all."""
    if workers * threads > len(processors):
        return [tuple(processors)] * workers
    return [tuple(processors[i * threads : (i + 1) * threads]) for i in range(workers)]


class _Pool:
    """The nursery, its workers, and the pack that each has in hand.

    A worker fits a pack, then runs its first cell. The others wait for that, and go to any worker.
    """

    def __init__(
        self, place: Workplace, slots: list[tuple[int, ...]], threads: int, on_event: Event
    ) -> None:
        self._place = place
        self._on_event = on_event
        self._selector = selectors.DefaultSelector()
        self._queue: deque[list[Cell]] = deque()
        self._in_hand: dict[socket.socket, list[Cell]] = {}
        self._cpus: dict[socket.socket, tuple[int, ...]] = {}
        self._pending: dict[socket.socket, bytes] = {}
        self._nursery, self._process = _start_nursery(place, threads)
        for slot in slots:
            self._hire(slot)

    def _hire(self, cpus: tuple[int, ...]) -> None:
        ours, theirs = socket.socketpair()
        socket.send_fds(self._nursery, [json.dumps({"cpus": cpus}).encode()], [theirs.fileno()])
        theirs.close()
        self._selector.register(ours, selectors.EVENT_READ)
        self._in_hand[ours], self._cpus[ours], self._pending[ours] = [], cpus, b""

    def run(self, queue: deque[list[Cell]], stopping: Callable[[], bool]) -> None:
        self._queue = queue
        deadline = None
        while True:
            if deadline is None and stopping():
                deadline = time.monotonic() + STOP_SECONDS
                self._stop_cells()
            if deadline is not None:
                queue.clear()
            for worker, pack in list(self._in_hand.items()):
                if not pack and queue:
                    self._give(worker, queue.popleft())
            if not queue and not any(self._in_hand.values()):
                return
            if deadline is not None and time.monotonic() > deadline:
                return
            for key, _ in self._selector.select(POLL_SECONDS):
                self._receive(key.fileobj)  # type: ignore[arg-type]

    def _give(self, worker: socket.socket, pack: list[Cell]) -> None:
        self._in_hand[worker] = pack
        self._on_event(pack[0], {"started": time.time()})
        worker.sendall(json.dumps([cell.to_dict() for cell in pack]).encode() + b"\n")

    def _taken(self, worker: socket.socket) -> Cell | None:
        """Take the pack off a worker, and queue what waited for its first cell."""
        cell, *others = self._in_hand[worker] or [None]
        self._in_hand[worker] = []
        self._queue.extendleft([other] for other in reversed(others) if other)
        return cell

    def _stop_cells(self) -> None:
        for worker, pack in self._in_hand.items():
            if pack:
                worker.sendall(b"\n")

    def _receive(self, worker: socket.socket) -> None:
        try:
            content = worker.recv(1 << 16)
        except ConnectionResetError:
            content = b""
        if not content:
            self._replace(worker)
            return
        *lines, self._pending[worker] = (self._pending[worker] + content).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "broken" in event:
                raise StoreError(
                    f"paths.results can no longer be written ({event['broken']}); "
                    "mend it, then the same command goes on"
                )
            in_hand = self._in_hand[worker]
            cell = self._taken(worker) if "done" in event else in_hand[0] if in_hand else None
            if cell is not None:
                self._on_event(cell, event)

    def _replace(self, worker: socket.socket) -> None:
        """Record what a worker that died had in hand, and hire another."""
        cell = self._taken(worker)
        del self._in_hand[worker]
        cpus = self._cpus.pop(worker)
        self._selector.unregister(worker)
        worker.close()
        if self._process.poll() is not None:
            raise RuntimeError(f"the nursery process ended with code {self._process.returncode}")
        if cell is not None:
            end = {"status": "failed", "reason": "its worker process was killed", "stage": "start"}
            outcome = Outcome("exit", 1, 0.0, 0.0, b"")
            Store(self._place.results).put(make_record(cell, outcome, end, time.time()))
            self._on_event(cell, {"done": {"status": end["status"], "reason": end["reason"]}})
        self._hire(cpus)

    def close(self) -> None:
        for worker in self._in_hand:
            worker.close()
        self._nursery.close()
        self._selector.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _start_nursery(place: Workplace, threads: int) -> tuple[socket.socket, subprocess.Popen]:
    """Start the process that workers are forked from; `-m` lets it import from this folder."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "syntharena.bench.worker"],
        stdin=theirs.fileno(),
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
        start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops the cells
    )
    theirs.close()
    settings = {
        "results": str(place.results),
        "data_dir": str(place.data) if place.data else None,
        "cache_dir": str(place.cache),
        "preload": list(place.preload),
    }
    ours.sendall(json.dumps(settings).encode() + b"\n")
    return ours, process
