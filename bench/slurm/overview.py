"""Overview: what the job arrays of a Store are doing, from any shell, and how to end them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

from ..cells import Cell
from ..store import Store
from .cluster import Cluster, ClusterError
from .submission import Submission
from .watched import Watched


@dataclass
class Overview:
    """What the job arrays of a Store are doing.

    Parameters
    ----------
    running, queued : set of str
        Record keys of cells that are in hand, or will be.
    arrays : list of (str, Counter)
        The jobs that are not over, each with the number of its tasks in each of SLURM's states.
    trouble : str
        Why SLURM could not be asked; then nothing else is known.
    """

    running: set[str] = field(default_factory=set)
    queued: set[str] = field(default_factory=set)
    arrays: list[tuple[str, Counter[str]]] = field(default_factory=list)
    trouble: str = ""


def overview(store: Store, done: Container[str] = ()) -> Overview:
    """Look at the job arrays of a Store; ``done`` holds the keys of records that are there."""
    found = Overview()
    watched = [Watched(submission) for submission in Submission.all(store, unfinished=True)]
    if not watched:
        return found
    try:
        states = Cluster().states(one.submission.name for one in watched)
    except ClusterError as error:
        return Overview(trouble=str(error))
    for one in watched:
        one.look(states.get(one.submission.name, {}))
        for _ in one.news():
            pass
        if not one.is_live:
            continue
        found.arrays.append((one.submission.name, one.counts))
        found.running |= {key for key, _ in one.in_hand() if key not in done}
        for parcel, keys in one.open_parcels():
            if not one.is_lost(parcel, 0.0):
                found.queued |= {key for key in keys if key not in done}
    found.queued -= found.running
    return found


def cancel(store: Store) -> list[str]:
    """Cancel the job arrays of a Store and return the names of those that were not over.

    Raises
    ------
    ClusterError
        If SLURM cannot be asked.
    """
    submissions = list(Submission.all(store, unfinished=True))
    if not submissions:
        return []
    cluster = Cluster()
    states = cluster.states(submission.name for submission in submissions)
    live = [
        submission
        for submission in submissions
        if any(not state.is_over for state in states.get(submission.name, {}).values())
    ]
    for submission in live:
        submission.mark("cancelled")  # before it is, so that no follower submits it again
        cluster.cancel([submission.name])
    return [submission.name for submission in live]


def submitted(store: Store) -> tuple[list[Cell], Submission]:
    """Return every cell that was ever submitted from a Store, and the newest submission.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = list(Submission.all(store))
    if not found:
        raise ValueError(
            f"nothing was submitted to SLURM from {str(store.root)!r}; "
            "repeat the command of the sweep, with retry=[STATUS] for cells that ended badly"
        )
    found.sort(key=lambda submission: submission.written)
    cells = {
        cell.record_key: cell
        for submission in found
        for parcel in range(submission.tasks)
        for cell in submission.cells(parcel)
    }
    return list(cells.values()), found[-1]
