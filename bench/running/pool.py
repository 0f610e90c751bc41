"""A pool of workers on this machine, and the cells that each has in hand."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cells import Cell
from ..process import STOP_SIGNALS
from ..store import Store, StoreError
from .worker import KILL_PATIENCE, put_lost

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
    foreign : sequence of dict
        How the servers of foreign environments are started (``foreign.servers``).
    """

    results: Path
    data: Path | None
    cache: Path
    preload: Sequence[str] = ()
    foreign: Sequence[dict[str, Any]] = ()


class Pool:
    """The nursery, its workers, and the pack that each has in hand.

    A worker fits a pack, then runs its first cell. The others wait for that, and go to any worker.

    Parameters
    ----------
    place : Workplace
        Folders and preloaded modules.
    cpus : sequence of tuple of int
        For each worker the processors that it may use.
    threads : int
        What libraries are told that a cell may use.
    on_event : callable
        As in ``Launcher.run``.
    """

    def __init__(
        self,
        place: Workplace,
        cpus: Sequence[tuple[int, ...]],
        threads: int,
        on_event: Event,
    ) -> None:
        self._place = place
        self._on_event = on_event
        self._stopping: Callable[[], bool] = lambda: False
        self._selector = selectors.DefaultSelector()
        self._in_hand: dict[socket.socket, list[Cell]] = {}
        self._cpus: dict[socket.socket, tuple[int, ...]] = {}
        self._pending: dict[socket.socket, bytes] = {}
        self._progress: dict[socket.socket, Hashable] = {}  # when the cell in hand was begun
        self._left: deque[Cell] = deque()  # by workers that were killed, or that ran one of a pack
        self._store = Store(place.results)
        self._nursery, self._process = _start_nursery(place, threads)
        for slot in cpus:
            self._hire(slot)

    @property
    def in_hand(self) -> list[Cell]:
        """The cells that are being run."""
        return [pack[0] for pack in self._in_hand.values() if pack]

    def _hire(self, cpus: tuple[int, ...]) -> None:
        ours, theirs = socket.socketpair()
        socket.send_fds(self._nursery, [json.dumps({"cpus": cpus}).encode()], [theirs.fileno()])
        theirs.close()
        self._selector.register(ours, selectors.EVENT_READ)
        self._in_hand[ours], self._cpus[ours], self._pending[ours] = [], cpus, b""

    def run(
        self, packs: Iterator[list[Cell]], stopping: Callable[[], bool], *, leave: bool = False
    ) -> None:
        """Run cells until there are no more.

        Parameters
        ----------
        packs : iterator of list of Cell
            Asked for one whenever a worker is free (``packs``); most have one cell.
        stopping : callable
            Asked often; True takes no more cells and ends those in hand, as ``preempted``.
        leave : bool
            Return at once instead, for ``close`` to end them without a record.
        """
        self._stopping = stopping
        deadline = None
        while True:
            if deadline is None and stopping():
                if leave:
                    return
                packs = iter(())
                deadline = time.monotonic() + STOP_SECONDS
                self._stop_cells()
            if deadline is not None:
                self._left.clear()
            self._feed(packs)
            if not self.in_hand:
                return
            if deadline is not None and time.monotonic() > deadline:
                return
            for key, _ in self._selector.select(POLL_SECONDS):
                self._receive(key.fileobj)  # type: ignore[arg-type]

    def _feed(self, packs: Iterator[list[Cell]]) -> None:
        for worker, pack in list(self._in_hand.items()):
            if not pack and (following := self._next(packs)):
                self._in_hand[worker] = following
                self._progress[worker] = self._store.progress_of(following[0])
                self._on_event(following[0], {"started": time.time()})
                worker.sendall(json.dumps([cell.to_dict() for cell in following]).encode() + b"\n")

    def _next(self, packs: Iterator[list[Cell]]) -> list[Cell]:
        return [self._left.popleft()] if self._left else next(packs, [])

    def _take(self, worker: socket.socket) -> Cell | None:
        """Take the pack off a worker; all but its first cell are left to others."""
        cell, *others = self._in_hand[worker] or [None]
        self._in_hand[worker] = []
        self._left.extendleft(other for other in reversed(others) if other)
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
            cell = self._in_hand[worker][0] if self._in_hand[worker] else None
            if "done" in event:
                self._take(worker)
            if cell is not None:
                self._on_event(cell, event)

    def _replace(self, worker: socket.socket) -> None:
        """Record what a worker that died had in hand, and hire another, unless all is to stop.

        A cell that left a newer checkpoint or an ended trial is run again instead, and goes on.
        """
        cell, cpus = self._take(worker), self._cpus.pop(worker)
        del self._in_hand[worker]
        before = self._progress.pop(worker, None)
        self._selector.unregister(worker)
        worker.close()
        time.sleep(KILL_PATIENCE)  # who kills a worker may be about to kill or stop this process
        if self._stopping():
            return
        if self._process.poll() is not None:
            raise RuntimeError(f"the nursery process ended with code {self._process.returncode}")
        if cell is not None and self._store.progress_of(cell) != before:
            self._left.append(cell)
        elif cell is not None:
            done = put_lost(self._store, cell, "failed", "its worker process was killed")
            self._on_event(cell, {"done": done})
        self._hire(cpus)

    def close(self) -> None:
        """End the workers; a cell that one has in hand ends without a record."""
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
    # It ignores these signals, but not before Python has started; blocked ones wait until then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "syntharena.bench.running.nursery"],
            stdin=theirs.fileno(),
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops the cells
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    settings = {
        "results": str(place.results),
        "data_dir": str(place.data) if place.data else None,
        "cache_dir": str(place.cache),
        "preload": list(place.preload),
        "foreign": list(place.foreign),
    }
    ours.sendall(json.dumps(settings).encode() + b"\n")
    return ours, process
