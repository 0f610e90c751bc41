"""Processors of this machine: which of them each worker of a sweep may use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path


def slots(processors: Sequence[int], workers: int, threads: int) -> list[tuple[int, ...]]:
    """Give each worker its own processors; where there are too few, they share all."""
    if workers * threads > len(processors):
        return [tuple(processors)] * workers
    return [tuple(processors[i * threads : (i + 1) * threads]) for i in range(workers)]


@contextlib.contextmanager
def taken(wanted: int) -> Iterator[list[int]]:
    """Take processors for a while: of those this process may use, the least taken ones.

    Sweeps that run side by side so have different ones while there are enough. What a process has
    taken is free again when it ends, however it ends.

    Parameters
    ----------
    wanted : int
        How many; all, if there are fewer.

    Yields
    ------
    list of int
        Their numbers, ascending.
    """
    processors = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as held:
        found: list[int] = []
        places = ((number, others) for others in count() for number in processors)
        while len(found) < min(wanted, len(processors)):
            number, others = next(places)  # others: how many sweeps may have it as well
            if number not in found and _lock(f"processor-{number}.{others}", held):
                found.append(number)
        yield sorted(found)


def _lock(name: str, held: contextlib.ExitStack) -> bool:
    """Lock a file that all sweeps of this user know; whether nobody else has."""
    folder = Path(tempfile.gettempdir(), f"syntharena-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        held.callback(os.close, file)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no folder, or one without locks: nobody can be asked
        return True
    return True
