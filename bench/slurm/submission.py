"""Submissions: what one job array was given, and what its tasks have done of it.

::

    jobs/<name>.json             the plan, sealed: cells in parcels, and what was asked for them
    jobs/<name>/<parcel>.taken   the task that runs a parcel; the first one to take it has it
    jobs/<name>/<task>.journal   what a task reports, line by line
    jobs/<name>/<task>.out       what it printed
    jobs/<name>/<parcel>.closed  a parcel that was lost, and has been dealt with
    jobs/<name>/cancelled, over  nothing of it is to be submitted again; nothing is left to be done
    jobs/<name>/dismissed        its tasks that had not run yet were taken out of the queue

Any task may take any parcel, so one that is done goes on with another, and how long cells were
expected to take decides nothing but how many tasks there are. Correctness rests on records alone:
two tasks that run one cell by mistake agree on the first record.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..canonical import digest
from ..cells import Cell, vars_of
from ..files import publish
from ..running.pool import Workplace
from ..store import Store, seal
from .cluster import PREFIX
from .parcels import Parcel
from .request import Request

FOLDER = "jobs"


@dataclass(frozen=True)
class Submission:
    """One job array.

    Parameters
    ----------
    root : Path
        Of the Store.
    name : str
        Of the job; unique.
    plan : mapping
        Plain values: see ``plan_of``.
    """

    root: Path
    name: str
    plan: Mapping[str, Any]

    # The plan

    @classmethod
    def new(
        cls,
        parcels: Sequence[Parcel],
        request: Request,
        place: Workplace,
        launcher: Mapping[str, Any],
        lost: Mapping[str, int],
    ) -> Submission:
        """Make a submission, without writing it.

        Parameters
        ----------
        parcels : sequence of Parcel
            One for each task.
        request : Request
            What each of its jobs asks for.
        place : Workplace
            Folders and preloaded modules.
        launcher : mapping
            The launcher's settings, for those who submit again what is lost.
        lost : mapping of str to int
            How often a job ended without a word while it ran a cell, by record key.
        """
        parts: dict[str, Any] = {}
        names: dict[int, str] = {}
        plan = {
            "folder": os.getcwd(),
            "request": asdict(request),
            "place": {k: v if v is None else str(v) for k, v in vars(place).items()}
            | {"preload": list(place.preload), "foreign": list(place.foreign)},
            "launcher": dict(launcher),
            "parcels": [
                {"seconds": p.seconds, "cells": [_written(c, parts, names, lost) for c in p.cells]}
                for p in parcels
            ],
            "parts": parts,
        }
        name = PREFIX + secrets.token_hex(5)
        return cls(Path(place.results), name, json.loads(json.dumps(plan)))

    def write(self) -> None:
        """Keep the plan; it is there before the job is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # As a text, because canonical JSON sorts keys and the order of columns is a Schema's.
        publish(self._path, json.dumps(seal({"plan": json.dumps(self.plan)})).encode())

    def discard(self) -> None:
        """Forget the plan: SLURM did not take it."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    @classmethod
    def read(cls, store: Store, name: str) -> Submission | None:
        """Read a submission; None if it does not verify."""
        found = store.read_sealed(store.root / FOLDER / f"{name}.json")
        return None if found is None else cls(store.root, name, json.loads(found["plan"]))

    @classmethod
    def all(cls, store: Store, *, unfinished: bool = False) -> Iterator[Submission]:
        """Yield the submissions of a Store."""
        for path in sorted((store.root / FOLDER).glob(f"{PREFIX}*.json")):
            if unfinished and (path.with_suffix("") / "over").exists():
                continue
            if (found := cls.read(store, path.stem)) is not None:
                yield found

    @property
    def _path(self) -> Path:
        return self.root / FOLDER / f"{self.name}.json"

    @property
    def folder(self) -> Path:
        """Where its tasks leave what they say."""
        return self._path.with_suffix("")

    @property
    def written(self) -> float:
        """When it was written, in seconds since 1970."""
        return self._path.stat().st_mtime

    @property
    def tasks(self) -> int:
        """How many tasks it has, one for each parcel."""
        return len(self.plan["parcels"])

    @cached_property
    def request(self) -> Request:
        """What each of its jobs asks for."""
        asked = self.plan["request"]
        return Request(**{**asked, "sbatch": tuple(asked["sbatch"])})

    @property
    def together(self) -> int:
        """Of how many cells a batch is at most that is fitted at once."""
        return self.plan["launcher"]["together"]

    @cached_property
    def place(self) -> Workplace:
        """Folders and preloaded modules."""
        kept = self.plan["place"]
        data = kept["data"] and Path(kept["data"])
        return Workplace(
            Path(kept["results"]),
            data,
            Path(kept["cache"]),
            tuple(kept["preload"]),
            tuple(kept["foreign"]),
        )

    @cached_property
    def keys(self) -> list[list[str]]:
        """The record keys of the cells of each parcel."""
        return [[cell["key"] for cell in p["cells"]] for p in self.plan["parcels"]]

    @cached_property
    def all_keys(self) -> frozenset[str]:
        """The record keys of its cells; that of a shared search is in several parcels."""
        return frozenset(key for keys in self.keys for key in keys)

    @cached_property
    def lost(self) -> dict[str, int]:
        """How often a cell had been lost when this was submitted."""
        return {c["key"]: c["lost"] for p in self.plan["parcels"] for c in p["cells"] if c["lost"]}

    def seconds(self, parcel: int) -> float:
        """Return how long a parcel is expected to take."""
        return self.plan["parcels"][parcel]["seconds"]

    def cells(self, parcel: int) -> Iterator[Cell]:
        """Yield the cells of a parcel."""
        parts = self.plan["parts"]
        for written in self.plan["parcels"][parcel]["cells"]:
            fields = {name: parts[kept] for name, kept in written["parts"].items()}
            yield Cell.from_dict(fields)

    # What its tasks have done

    def take(self, parcel: int, task: int) -> bool:
        """Take a parcel for a task; False if another has it."""
        return publish(self.folder / f"{parcel}.taken", str(task).encode())

    def taken(self) -> set[int]:
        """Return the parcels that tasks have taken."""
        return {int(name.partition(".")[0]) for name in self._names(".taken")}

    def holder(self, parcel: int) -> int | None:
        """Return the task that has a parcel."""
        try:
            return int((self.folder / f"{parcel}.taken").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def close(self, parcel: int) -> None:
        """Say that what was lost of a parcel has been dealt with."""
        publish(self.folder / f"{parcel}.closed", b"")

    def closed(self) -> set[int]:
        """Return the parcels that were lost and dealt with."""
        return {int(name.partition(".")[0]) for name in self._names(".closed")}

    def mark(self, word: str) -> bool:
        """Mark it as ``cancelled``, ``over`` or ``dismissed``; False if it was."""
        return publish(self.folder / word, b"")

    def is_marked(self, word: str) -> bool:
        """Whether it is marked as ``cancelled``, ``over`` or ``dismissed``."""
        return (self.folder / word).exists()

    def journal(self, task: int) -> Path:
        """Where a task reports."""
        return self.folder / f"{task}.journal"

    def journals(self) -> dict[int, Path]:
        """Return the journals that there are, by task."""
        return {int(n.partition(".")[0]): self.folder / n for n in self._names(".journal")}

    def output(self, task: int) -> Path:
        """Where a task's output goes."""
        return self.folder / f"{task}.out"

    def _names(self, ending: str) -> list[str]:
        try:
            return [name for name in os.listdir(self.folder) if name.endswith(ending)]
        except FileNotFoundError:
            return []


def _written(
    cell: Cell, parts: dict[str, Any], names: dict[int, str], lost: Mapping[str, int]
) -> dict[str, Any]:
    """Write a cell as references to its parts, which the cells of a grid share."""
    plain = cell.to_dict()
    kept = {}
    for field, own in vars_of(cell).items():
        if id(own) not in names:
            text = json.dumps(plain[field])
            names[id(own)] = digest(text)[:16]
            parts.setdefault(names[id(own)], plain[field])
        kept[field] = names[id(own)]
    key = cell.record_key
    return {"key": key, "lost": lost.get(key, 0), "parts": kept}
