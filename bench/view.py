"""The progress view: bars on a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from .cells import Cell
from .statuses import ENDED_WELL
from .sweep import Progress

LINE_SECONDS = 5.0  # a log file gets a line this often


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
    """Writes a line now and then, and one for every cell that did not end well."""

    def begin(self, progress: Progress) -> None:
        """Say what there is to do."""
        self._progress = progress
        self._done = 0
        self._started = self._last = time.monotonic()
        done = len(progress.cells) - len(progress.pending)
        _say(f"{len(progress.cells)} cells, {done} already done, {len(progress.pending)} to run")

    def on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Count ended cells."""
        if "done" not in event:
            return
        self._done += 1
        end = event["done"]
        if end["status"] not in ENDED_WELL:
            _say(f"{describe(cell)}: {end['status']}: {end['reason']}")
        now, pending = time.monotonic(), len(self._progress.pending)
        if now - self._last > LINE_SECONDS or self._done == pending:
            self._last = now
            left = (now - self._started) / self._done * (pending - self._done)
            counts = count_text(self._progress.counts)
            _say(f"{self._done}/{pending} cells run ({counts}), {left:.0f} s left")


class Bars(Silent):
    """One bar for the sweep and one line for each cell that is running."""

    def begin(self, progress: Progress) -> None:
        """Show the bars."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._progress = progress
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
        )
        self._rows: dict[str, Any] = {}
        self._stages: dict[str, str] = {}
        self._total = self._bars.add_task(
            "cells",
            total=len(progress.cells),
            completed=len(progress.cells) - len(progress.pending),
            note="",
        )
        self._bars.start()

    def on_event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Move the bars."""
        message = event.get("event", {})
        if "started" in event:
            self._show(cell, "")
        elif "stage" in message:
            self._show(cell, message["stage"])
        elif "step" in message:
            losses = " ".join(f"{k} {v:.4g}" for k, v in message["losses"].items())
            self._bars.update(
                self._rows[cell.record_key],
                completed=message["step"],
                total=message["total"],
                note=f"{self._stages[cell.record_key]} {losses}",
            )
        elif "done" in event:
            end = event["done"]
            self._bars.remove_task(self._rows.pop(cell.record_key))
            self._bars.update(self._total, advance=1, note=count_text(self._progress.counts))
            if end["status"] not in ENDED_WELL:
                self._bars.console.print(
                    f"{describe(cell)}: {end['status']}: {end['reason']}", markup=False
                )

    def _show(self, cell: Cell, stage: str) -> None:
        """Give a cell a new line for a new stage, whose steps begin again."""
        if cell.record_key in self._rows:
            self._bars.remove_task(self._rows[cell.record_key])
        self._rows[cell.record_key] = self._bars.add_task(describe(cell), total=None, note=stage)
        self._stages[cell.record_key] = stage

    def close(self) -> None:
        """Leave the last state on the screen."""
        if hasattr(self, "_bars"):
            self._bars.stop()


def describe(cell: Cell) -> str:
    """Name a cell in one line of printable text."""
    epsilon = cell.budget.epsilon
    budget = f" eps={epsilon:g}" if cell.budget.is_private else ""
    text = f"{cell.names['dataset']} {cell.label}{budget} seed={cell.seeds['train']}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def count_text(counts: Counter[str]) -> str:
    """Write statuses with their counts, the most frequent first."""
    return ", ".join(f"{number} {status}" for status, number in counts.most_common()) or "none"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
