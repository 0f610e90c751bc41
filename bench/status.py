"""Status: what the sweeps of a Store expect, and how far they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .statuses import ENDED_WELL
from .store import Store


@dataclass(frozen=True)
class Status:
    """How far the sweeps of a Store are.

    ``counts`` counts every expected cell once, under its record's status, ``running`` or
    ``missing``; ``ended_badly`` lists summaries of cells with their record's status and reason.
    """

    counts: Counter[str]
    ended_badly: tuple[Mapping[str, Any], ...]

    @property
    def expected(self) -> int:
        """Cells that the sweeps expect."""
        return sum(self.counts.values())


def status(store: Store) -> Status:
    """Count what every sweep in the Store expects, has and lacks."""
    counts: Counter[str] = Counter()
    ended_badly = []
    records = {record["key"]: record for record in store.records()}
    running = store.running()
    for item in store.expected():
        record = records.get(item["key"])
        if record is None:
            counts["running" if item["key"] in running else "missing"] += 1
            continue
        counts[record["status"]] += 1
        if record["status"] not in ENDED_WELL:
            ended_badly.append({**item, "status": record["status"], "reason": record["reason"]})
    return Status(counts, tuple(ended_badly))
