"""The progress view: bars on a terminal, plain lines in a log file.

Both stay short for ten thousand cells: a few running cells have a bar, a few failures of a sort a
line, and the rest is counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ..cells import Cell
from ..escape import printable
from ..running.sweep import Progress
from ..statuses import ENDED_WELL
from .tally import Tally, short

LINE_SECONDS = (5.0, 60.0)  # a log file gets a line this often: at first, and in the end
SLOWING = 1.3  # each line of a log file is so much later than the one before
ROWS = 8  # running cells that have a bar
ALIKE = 3  # failures of one sort that have a line
REFRESH_SECONDS = 0.5


def make_view(quiet: bool = False) -> Any:
    """Return the view that fits where standard error goes."""
    if quiet:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


class Silent:
    """Shows nothing."""

    def begin(self, progress: Progress) -> None:
        """Take the sweep's progress."""

    def on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Take one event."""

    def close(self) -> None:
        """End the view."""


class Lines(Silent):
    """Writes a line now and then, and one for the first cells that did not end well.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def begin(self, progress: Progress) -> None:
        """Say what there is to do."""
        self._tally = Tally(progress, self._clock)
        self._last, self._pause = self._clock(), LINE_SECONDS[0]
        done = len(progress.cells) - len(progress.pending)
        _say(f"{len(progress.cells)} cells, {done} already done, {len(progress.pending)} to run")

    def on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Count an event, and write what is due."""
        self._tally.take(cell, event)
        if line := failure(self._tally, cell, event):
            _say(line)
        now = self._clock()
        is_last = "done" in event and self._tally.done == self._tally.pending
        if is_last or now - self._last > self._pause:
            self._last = now
            self._pause = min(SLOWING * self._pause, LINE_SECONDS[1])
            _say(self._tally.line())


class Bars(Silent):
    """One bar for the sweep, and one for each of the first cells that are running."""

    def begin(self, progress: Progress) -> None:
        """Show the bars."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._tally = Tally(progress)
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )
        self._rows: dict[str, Any] = {}
        self._stages: dict[str, str] = {}
        self._last = 0.0
        self._total = self._bars.add_task(
            "cells",
            total=len(progress.cells),
            completed=len(progress.cells) - len(progress.pending),
            note="",
        )
        self._bars.start()

    def on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Move the bars."""
        self._tally.take(cell, event)
        message, key = event.get("event", {}), cell.record_key
        if "started" in event:
            self._show(cell, "")
        elif "stage" in message:
            self._show(cell, message["stage"])
        elif "step" in message and key in self._rows:
            losses = " ".join(f"{k} {v:.4g}" for k, v in message["losses"].items())
            self._bars.update(
                self._rows[key],
                completed=message["step"],
                total=message["total"],
                note=f"{self._stages[key]} {losses}",
            )
        elif "done" in event or "queued" in event:
            self._hide(key)
        if line := failure(self._tally, cell, event):
            self._bars.console.print(line, markup=False)
        self._count("done" in event)

    def _count(self, is_done: bool) -> None:
        """Move the bar of the sweep; its note is written a few times a second at most."""
        now = time.monotonic()
        self._bars.update(self._total, advance=int(is_done))
        if now - self._last > REFRESH_SECONDS or self._tally.done == self._tally.pending:
            self._last = now
            self._bars.update(self._total, note=self._tally.line())

    def _show(self, cell: Cell, stage: str) -> None:
        """Give a cell a new bar for a new stage, whose steps begin again, if there is room."""
        self._hide(cell.record_key)
        if len(self._rows) < ROWS:
            row = self._bars.add_task(describe(cell), total=None, note=stage)
            self._rows[cell.record_key], self._stages[cell.record_key] = row, stage

    def _hide(self, key: str) -> None:
        if key in self._rows:
            self._bars.remove_task(self._rows.pop(key))
            del self._stages[key]

    def close(self) -> None:
        """Leave the last state on the screen."""
        if hasattr(self, "_bars"):
            self._bars.stop()


def failure(tally: Tally, cell: Cell, event: dict[str, Any]) -> str:
    """Return a line on a cell that did not end well, for the first few that ended so."""
    end = event.get("done")
    if end is None or end["status"] in ENDED_WELL:
        return ""
    number = tally.failures[end["status"], short(end["reason"])]
    if number > ALIKE:
        return ""
    more = " (more of these are only counted)" if number == ALIKE else ""
    reason = printable(" ".join(end["reason"].split()))
    return f"{describe(cell)}: {end['status']}: {reason}{more}"


def describe(cell: Cell) -> str:
    """Name a cell in one line of printable text."""
    epsilon = cell.budget.epsilon
    budget = f" eps={epsilon:g}" if cell.budget.is_private else ""
    return printable(f"{cell.names['dataset']} {cell.label}{budget} seed={cell.seeds['train']}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
