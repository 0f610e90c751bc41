"""Requests: what a job asks of the cluster, by the launcher's settings and a generator's YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..cells import Cell

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
    def of(cls, cell: Cell, wish: Mapping[str, Any], together: int = 1) -> Request:
        """Return what a cell's job asks for, where the cell needs ``wish`` (``resources``).

        ``together`` is of how many cells a batch is that is fitted at once.

        Raises
        ------
        ValueError
            If no time limit follows from either.
        """
        threads = int(cell.limits["threads"])
        cpus = max(threads, int(wish.get("cpus", threads)))
        memory = cell.limits["memory_mib"]
        if memory is not None:
            memory = BASE_MIB + memory * (cpus // threads) * together
        memory = wish.get("memory_mib", memory)
        return cls(
            threads=threads,
            cpus=cpus,
            minutes=int(wish.get("minutes") or _minutes(cell, together)),
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


def _minutes(cell: Cell, together: int) -> int:
    """Return a time limit in which one cell, or a batch of some, surely ends."""
    if cell.seconds is None:
        raise ValueError(
            "hydra.launcher.job.minutes must be set where limits.seconds is null; set either"
        )
    return math.ceil((cell.seconds * together + START_SECONDS) / 60)
