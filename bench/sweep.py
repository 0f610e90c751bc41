"""A sweep: run the cells of a grid that have no record yet."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import datasets, plan, targets
from .cells import Cell, table_identity
from .pool import Event, Workplace
from .seeds import stream
from .store import Store


class Launcher(Protocol):
    """Runs cells somewhere."""

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = ...,
    ) -> str:
        """Run every cell; return what is left to others, in a line, or an empty text.

        ``on_event`` is called with the cell and one of ``{"started": time}``,
        ``{"event": message}``, ``{"queued": reason}`` and ``{"done": {"status", "reason"}}``.
        """
        ...

    def outline(self, cells: Sequence[Cell], place: Workplace) -> list[str]:
        """Return lines that say what ``run`` would do."""
        ...


@dataclass
class Progress:
    """How far a sweep is.

    ``counts`` are the statuses of all its cells that have a record; ``left`` says, in a line, what
    the launcher has left to others.
    """

    cells: Sequence[Cell]
    pending: Sequence[Cell]
    counts: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    left: str = ""

    @property
    def missing(self) -> int:
        """Cells without a record."""
        return len(self.cells) - sum(self.counts.values())


def find_pending(cells: Sequence[Cell], store: Store, retry: Sequence[str]) -> Progress:
    """Say which cells still need to run: those without a valid record, or with a retried status.

    Cells that share a dataset and a split become neighbours, so that a worker loads them once.
    """
    progress = Progress(cells, ())
    pending = []
    for cell in cells:
        record = store.get(cell)
        if record is None or record["status"] in retry:
            pending.append(cell)
        else:
            progress.counts[record["status"]] += 1
    progress.pending = sorted(pending, key=lambda c: (c.dataset["name"], c.seeds["split"]))
    return progress


def run(
    cells: Sequence[Cell],
    store: Store,
    launcher: Launcher,
    place: Workplace,
    *,
    retry: Sequence[str] = (),
    watchers: Sequence[Any] = (),
) -> Progress:
    """Run a sweep to its end, or to a Ctrl-C; the same call goes on where it stopped.

    Parameters
    ----------
    cells : sequence of Cell
        The whole grid.
    store : Store
        Where records go.
    launcher : Launcher
        What runs the cells.
    place : Workplace
        Folders and preloaded modules.
    retry : sequence of str
        Statuses of earlier records that are set aside and run again.
    watchers : sequence
        Objects with ``begin(progress)`` and ``on_event(cell, event)``: views, trackers.

    Returns
    -------
    Progress
        What every cell ended as.
    """
    progress = find_pending(cells, store, retry)
    if progress.pending:
        check_data(progress.pending, place)
        plan.check_targets(progress.pending)
    store.prepare()
    store.put_sweep(cells)
    for watcher in watchers:
        watcher.begin(progress)
    if not progress.pending:
        return progress
    for cell in progress.pending:
        store.supersede(cell)

    def on_event(cell: Cell, event: dict[str, Any]) -> None:
        if "done" in event:
            progress.counts[event["done"]["status"]] += 1
        for watcher in watchers:
            watcher.on_event(cell, event)

    with _stop_signals() as stopping:
        progress.left = launcher.run(progress.pending, place, on_event, stopping)
        progress.stopped = stopping()
    return progress


def check_data(cells: Sequence[Cell], place: Workplace) -> None:
    """Load, verify and split every table before the first cell starts."""
    tables: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        scenarios = tables.setdefault(str(cell.identity["dataset"]), {})
        scenarios[str(cell.identity["scenario"])] = cell
    for scenarios in tables.values():
        spec = next(iter(scenarios.values())).dataset
        dataset = datasets.load(spec, data_dir=place.data, cache_dir=place.cache)
        for cell in scenarios.values():
            scenario = targets.build(cell.scenario, ("parts", "run"))
            scenario.parts(dataset, stream(cell.seeds["split"], "split"))
    public = {str(table_identity(s)): s for cell in cells if (s := cell.stand_in) is not None}
    for spec in public.values():
        datasets.load(spec, data_dir=place.data, cache_dir=place.cache)


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a flag; a second Ctrl-C has its usual effect."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
