"""Status: what the sweeps of a Store expect, and how far they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..slurm.overview import Overview, overview
from ..statuses import ENDED_WELL
from ..store import Store


@dataclass(frozen=True)
class Status:
    """How far the sweeps of a Store are.

    ``counts`` counts every expected cell once, under its record's status, ``running``, ``queued``
    or ``missing``; ``ended_badly`` lists summaries of cells with their record's status and reason;
    ``seconds`` are the mean seconds of the cells of each generator, and ``jobs`` says what a
    cluster is doing for this Store.
    """

    counts: Counter[str]
    ended_badly: tuple[Mapping[str, Any], ...]
    seconds: Mapping[str, float]
    jobs: Overview

    @property
    def expected(self) -> int:
        """Cells that the sweeps expect."""
        return sum(self.counts.values())


def status(store: Store) -> Status:
    """Count what every sweep in the Store expects, has and lacks."""
    counts: Counter[str] = Counter()
    ended_badly = []
    took: dict[str, list[float]] = {}
    records = {record["key"]: record for record in store.records()}
    jobs = overview(store, records)
    running = store.running() | jobs.running
    for item in store.expected():
        record = records.get(item["key"])
        if record is None:
            key = item["key"]
            counts["running" if key in running else _absent(key, jobs)] += 1
            continue
        counts[record["status"]] += 1
        if record["status"] not in ENDED_WELL:
            ended_badly.append({**item, "status": record["status"], "reason": record["reason"]})
        else:
            took.setdefault(item["names"]["generator"], []).append(record["seconds"])
    seconds = {name: sum(known) / len(known) for name, known in took.items()}
    return Status(counts, tuple(ended_badly), seconds, jobs)


def _absent(key: str, jobs: Overview) -> str:
    return "queued" if key in jobs.queued else "missing"
