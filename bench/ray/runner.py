"""The runner: a pool of one worker on the node where Ray put it, fed by the launcher."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..cells import Cell
from ..running.pool import Pool, Workplace

STEP_SECONDS = 2.0  # steps of a training are reported no more often

Said = tuple[str, dict[str, Any]]  # a record key, and an event as in ``Launcher.run``


class Runner:
    """Runs packs of cells, one after another. Ray makes an actor of it, with two threads.

    Parameters
    ----------
    place : Workplace
        Folders, which this node sees under the same paths, and preloaded modules.
    threads : int
        What libraries are told that a cell may use.
    folder : str
        Where the launcher was started, for classes and paths that are named from there.
    variables : mapping of str to str
        Of the launcher's environment.
    """

    def __init__(
        self, place: Workplace, threads: int, folder: str, variables: Mapping[str, str]
    ) -> None:
        os.chdir(folder)
        os.environ.update(variables)
        self._events: queue.SimpleQueue[Said | BaseException | None] = queue.SimpleQueue()
        self._is_asked_to_stop = threading.Event()
        self._said = 0.0
        cpus = tuple(sorted(os.sched_getaffinity(0)))  # Ray binds nothing
        self._pool = Pool(place, [cpus], threads, self._on_event)

    def run(self, pack: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
        """Run cells that are fitted together; yield what happens.

        Raises
        ------
        StoreError
            If the Store can no longer be written.
        """
        cells = [Cell.from_dict(cell) for cell in pack]
        thread = threading.Thread(target=self._run, args=(cells,))
        thread.start()
        while isinstance(said := self._events.get(), tuple):
            yield said
        thread.join()
        if said is not None:
            raise said

    def _run(self, cells: list[Cell]) -> None:
        try:
            self._pool.run(iter([cells]), self._is_asked_to_stop.is_set)
        except BaseException as error:
            self._events.put(error)
        else:
            self._events.put(None)

    def _on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        if "step" in event.get("event", {}):
            now = time.monotonic()
            if now - self._said < STEP_SECONDS:
                return
            self._said = now
        self._events.put((cell.record_key, event))

    def stop(self) -> None:
        """End the cells in hand as ``preempted``, and take no more."""
        self._is_asked_to_stop.set()

    def close(self) -> None:
        """End the worker; a cell that it has in hand ends without a record."""
        self._pool.close()
