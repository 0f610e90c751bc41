"""Costs: how long a cell will take, from how long its like took before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from ..cells import Cell
from ..store import Store

GUESS_SECONDS = 60.0  # of a cell whose generator has no record yet
READ = 2000  # records of a Store that are read at most


class Costs:
    """Expected seconds of cells, learned from records.

    A cell is expected to take the mean of the records that are most like it: the same generator,
    dataset and evaluators; the same generator and dataset; the same generator.

    Parameters
    ----------
    guess : float
        Seconds of a cell of a generator that no record is of.
    """

    def __init__(self, guess: float = GUESS_SECONDS) -> None:
        self.guess = guess
        self._seen: dict[Hashable, list[float]] = defaultdict(lambda: [0.0, 0.0])

    @classmethod
    def of(cls, store: Store, guess: float = GUESS_SECONDS) -> Costs:
        """Learn from a Store, from an even choice of its records where there are many."""
        costs = cls(guess)
        paths = store.record_paths()
        for path in paths[:: -(-len(paths) // READ) or 1]:
            if record := store.read(path):
                costs.learn(record)
        return costs

    def learn(self, record: Mapping[str, Any]) -> None:
        """Take in how long a cell took."""
        if record["status"] in ("ok", "timeout"):
            for sort in _sorts(record):
                total = self._seen[sort]
                total[0] += record["seconds"]
                total[1] += 1

    def seconds(self, cell: Cell) -> float:
        """Return how long a cell is expected to take."""
        for sort in _sorts(cell.summary()):
            if sort in self._seen:
                total, count = self._seen[sort]
                return total / count
        return self.guess

    def knows(self, cell: Cell) -> bool:
        """Whether there is a record of the cell's generator."""
        return any(sort in self._seen for sort in _sorts(cell.summary()))

    def guessed(self, cells: Iterable[Cell], setting: str = "") -> list[str]:
        """Return a line that names the cells whose seconds are a guess, if there are any."""
        unknown = sorted({cell.label for cell in cells if not self.knows(cell)})
        taken = f"{self.guess:g} s{f' ({setting})' if setting else ''}"
        names = ", ".join(unknown)
        return [f"without a record here, and so taken for {taken}: {names}"] if unknown else []


def _sorts(summary: Mapping[str, Any]) -> Iterator[Hashable]:
    """Yield what a cell is like, the narrowest first."""
    names, identity = summary["names"], summary["cell"]
    table = identity["dataset"]["sha256"], identity["dataset"]["rows"]
    evaluators = tuple(sorted(summary["evaluation"]["evaluators"]))
    yield names["scenario"], names["generator"], table, evaluators
    yield names["scenario"], names["generator"], table
    yield names["scenario"], names["generator"]
