"""Requests: what a job asks of the cluster, by the launcher's settings and a generator's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..cells import Cell
from ..names import UnknownName

START_SECONDS = 300.0  # of a job beyond its cells: imports, tables, a slow file system
BASE_MIB = 2048.0  # memory of a job beyond its cells: libraries and the table


@dataclass(frozen=True)
class Request:
    """What one job asks for; jobs with equal requests share an array.

    Parameters
    ----------
    threads : int
        Of one cell.
    cpus : int
        Processors; cells run side by side where there is room.
    minutes : int
        Time limit.
    memory_mib : int, optional
        Memory; None: what the cluster gives by itself.
    gpus : int
        GPUs.
    partition, account : str, optional
        Where it runs, and on whose account.
    sbatch : tuple of str
        Further options of ``sbatch``.
    """

    threads: int
    cpus: int
    minutes: int
    memory_mib: int | None = None
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    sbatch: tuple[str, ...] = ()

    @classmethod
    def of(cls, cell: Cell, *wishes: Mapping[str, Any]) -> Request:
        """Return what a cell's job asks for; later wishes win over earlier ones.

        Raises
        ------
        ValueError
            If a wish is unknown or impossible.
        """
        wish: dict[str, Any] = {}
        for given in wishes:
            check(given)
            wish |= {name: value for name, value in given.items() if value is not None}
        threads = int(cell.limits["threads"])
        cpus = max(threads, int(wish.get("cpus", threads)))
        memory = cell.limits["memory_mib"]
        if memory is not None:
            memory = BASE_MIB + memory * (cpus // threads)
        memory = wish.get("memory_mib", memory)
        return cls(
            threads=threads,
            cpus=cpus,
            minutes=int(wish.get("minutes") or _minutes(cell)),
            memory_mib=None if memory is None else math.ceil(memory),
            gpus=int(wish.get("gpus", 0)),
            partition=wish.get("partition"),
            account=wish.get("account"),
            sbatch=tuple(wish.get("sbatch", ())),
        )

    def options(self) -> list[str]:
        """Return the options of ``sbatch`` that ask for it."""
        asked = [
            "--ntasks=1",
            f"--cpus-per-task={self.cpus}",
            f"--time={self.minutes}",
            f"--mem={self.memory_mib}M" if self.memory_mib else "",
            f"--gres=gpu:{self.gpus}" if self.gpus else "",
            f"--partition={self.partition}" if self.partition else "",
            f"--account={self.account}" if self.account else "",
        ]
        return [*filter(None, asked), *self.sbatch]


NAMES = tuple(field.name for field in fields(Request) if field.name != "threads")


def _minutes(cell: Cell) -> int:
    """Return a time limit in which one cell surely ends."""
    if cell.seconds is None:
        raise ValueError(
            "hydra.launcher.job.minutes must be set where limits.seconds is null; set either"
        )
    return math.ceil((cell.seconds + START_SECONDS) / 60)


def check(wish: Mapping[str, Any]) -> None:
    """Check the names and values of a ``resources`` or ``job`` section.

    Raises
    ------
    ValueError
        If one of them is wrong.
    """
    for name, value in wish.items():
        if name not in NAMES:
            raise UnknownName("resource", str(name), NAMES)
        if value is None:
            continue
        if name == "sbatch":
            _check_options(value)
        elif name in ("partition", "account"):
            if not _is_word(value):
                raise ValueError(f"{name} must be a name without spaces, got {value!r}")
        elif not _is_number(value, least=0 if name == "gpus" else 1):
            raise ValueError(
                f"{name} must be a whole number >= {int(name != 'gpus')}, got {value!r}"
            )


def _check_options(value: Any) -> None:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not all(_is_word(text) and str(text).startswith("-") for text in value):
        raise ValueError(
            f"sbatch must list options such as [--qos=long], got {value!r}; "
            "write each as one word that begins with -"
        )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value) and " " not in value


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
