"""The tally of a sweep: what is done, runs, waits and failed, how long the rest will take."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from ..cells import Cell
from ..running.sweep import Progress
from ..statuses import ENDED_WELL

REASON_CHARACTERS = 80
SLOWEST = 3  # generators that are named


class Tally:
    """Counts the events of a sweep.

    Parameters
    ----------
    progress : Progress
        Of the sweep; counts what is done.
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = progress
        self.done = 0
        self.running: dict[str, float] = {}
        self.queued: dict[str, str] = {}
        self.failures: Counter[tuple[str, str]] = Counter()
        self._clock = clock
        self._began = clock()
        self._left = Counter(cell.label for cell in progress.pending)
        self._took: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])  # seconds, cells

    def take(self, cell: Cell, event: dict[str, Any]) -> None:
        """Count one event."""
        key = cell.record_key
        if "started" in event:
            self.queued.pop(key, None)
            self.running[key] = self._clock()
        elif "queued" in event:
            self.running.pop(key, None)
            self.queued[key] = event["queued"]
        elif "done" in event:
            self.queued.pop(key, None)
            self.done += 1
            self._left[cell.label] -= 1
            if (started := self.running.pop(key, None)) is not None:
                self._took[cell.label][0] += self._clock() - started
                self._took[cell.label][1] += 1
            if (end := event["done"])["status"] not in ENDED_WELL:
                self.failures[end["status"], short(end["reason"])] += 1

    @property
    def pending(self) -> int:
        """Cells that this sweep is to run, done or not."""
        return len(self.progress.pending)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take, at the pace so far; None before the first cell is done.

        Cells of a generator are expected to take what its cells have taken, so a sweep whose slow
        generators come last is not taken for nearly done.
        """
        if not self._took:
            return None
        seconds, cells = map(sum, zip(*self._took.values(), strict=True))
        took = {label: total / count for label, (total, count) in self._took.items()}
        work = sum(n * took.get(label, seconds / cells) for label, n in self._left.items())
        now = self._clock()
        begun = sum(now - started for started in self.running.values())
        lanes = (seconds + begun) / max(now - self._began, 1e-9)
        return max(0.0, work - begun) / max(lanes, 1e-9)

    @property
    def slowest(self) -> list[tuple[str, float]]:
        """The generators whose cells took longest, with the mean seconds of a cell."""
        means = {label: total / count for label, (total, count) in self._took.items()}
        return sorted(means.items(), key=lambda item: -item[1])[:SLOWEST]

    def line(self) -> str:
        """Say how far the sweep is in one line."""
        parts = [f"{self.done}/{self.pending} cells run ({count_text(self.progress.counts)})"]
        if self.running:
            parts.append(f"{len(self.running)} running")
        if self.queued:
            reason, _ = Counter(self.queued.values()).most_common(1)[0]
            parts.append(f"{len(self.queued)} queued ({reason})")
        if self.done < self.pending and (left := self.seconds_left) is not None:
            parts.append(f"{duration(left)} left")
        if len(self._took) > 1:
            named = ", ".join(f"{label} {duration(seconds)}" for label, seconds in self.slowest)
            parts.append(f"slowest {named}")
        return "; ".join(parts)


def short(reason: str) -> str:
    """Return the beginning of a reason's first line."""
    first = reason.partition("\n")[0]
    return first if len(first) <= REASON_CHARACTERS else f"{first[:REASON_CHARACTERS]}…"


def count_text(counts: Counter[str]) -> str:
    """Write statuses with their counts, the most frequent first."""
    return ", ".join(f"{number} {status}" for status, number in counts.most_common()) or "none"


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 100:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
