"""A sweep: run the cells of a grid that have no record yet."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .. import plan, targets
from ..cells import Cell, table_identity
from ..data import datasets
from ..foreign import servers
from ..seeds import stream
from ..statuses import ENDED_WELL
from ..store import Store
from .pool import Event, Workplace


class Launcher(Protocol):
    """Runs cells somewhere."""

    def run(
        self,
        cells: Sequence[Cell],
        place: Workplace,
        on_event: Event,
        stopping: Callable[[], bool] = ...,
    ) -> int:
        """Run every cell; return how many are left to others, who will run them.

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

    ``counts`` are the statuses of all its cells that have a record; ``left`` is how many of the
    others are in a queue or running without this process.
    """

    cells: Sequence[Cell]
    pending: Sequence[Cell]
    counts: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    left: int = 0

    @property
    def missing(self) -> int:
        """Cells without a record."""
        return len(self.cells) - sum(self.counts.values())

    @property
    def exit_code(self) -> int:
        """0: all is well so far; 1: some ended badly or are missing; 130: stopped."""
        if self.stopped:
            return 130
        return int(self.missing > self.left or not set(self.counts) <= ENDED_WELL)


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
    say: Callable[[str], None] = lambda text: None,
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
    say : callable
        Told what takes long before the first cell starts.

    Returns
    -------
    Progress
        What every cell ended as.
    """
    progress = find_pending(cells, store, retry)
    if progress.pending:
        check_data(progress.pending, place)
        place = with_environments(progress.pending, place, say)
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


def outline(
    cells: Sequence[Cell], store: Store, launcher: Launcher, place: Workplace, retry: Sequence[str]
) -> list[str]:
    """Return lines that say what ``run`` would do; nothing is run, made or written."""
    progress = find_pending(cells, store, retry)
    plan.check_targets(progress.pending, abroad=False)
    done = len(cells) - len(progress.pending)
    lines = launcher.outline(progress.pending, place) if progress.pending else []
    missing = servers.missing(plan.specifications(progress.pending), place.cache)
    lines += [f"an environment of {text} is to be made" for text in missing]
    return [f"{len(cells)} cells, {done} already done, {len(progress.pending)} to run", *lines]


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


def with_environments(
    cells: Sequence[Cell], place: Workplace, say: Callable[[str], None]
) -> Workplace:
    """Make the environments of foreign generators and evaluators before the first cell starts."""
    foreign = servers.prepare(plan.specifications(cells), place.cache, say)
    servers.register(foreign)
    return replace(place, foreign=foreign)


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
