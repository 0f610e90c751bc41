"""Parcels: cells that one task of a job array takes at once, of about the same expected length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..cells import Cell
from .request import Request


@dataclass(frozen=True)
class Parcel:
    """Cells for one task, and the seconds that they are expected to take one after another."""

    cells: tuple[Cell, ...]
    seconds: float


Pack = Sequence[Cell]  # whose generators are fitted as one batch; most have one cell


def by_request(
    packs: Sequence[Pack], request_of: Callable[[Pack], Request]
) -> Mapping[Request, list[Pack]]:
    """Group packs by what their jobs ask for, in their order."""
    groups: dict[Request, list[Pack]] = {}
    for pack in packs:
        groups.setdefault(request_of(pack), []).append(pack)
    return groups


def fill(
    packs: Sequence[Pack],
    expected: Callable[[Cell], float],
    seconds: float,
    alone: Callable[[Cell], bool] = lambda cell: False,
) -> list[Parcel]:
    """Put packs into parcels, in their order.

    Parameters
    ----------
    packs : sequence of sequence of Cell
        Neighbours share a dataset where they can.
    expected : callable
        Seconds of a cell.
    seconds : float
        Length of a parcel; only a single pack may be longer.
    alone : callable
        Whether a cell gets a parcel of its own.

    Returns
    -------
    list of Parcel
        The longest first, so that the last ones to end are short.
    """
    parcels = []
    cells_in: list[Cell] = []
    length = 0.0
    for pack in packs:
        took = sum(map(expected, pack))
        if any(map(alone, pack)):
            parcels.append(Parcel(tuple(pack), took))
            continue
        if cells_in and length + took > seconds:
            parcels.append(Parcel(tuple(cells_in), length))
            cells_in, length = [], 0.0
        cells_in += pack
        length += took
    if cells_in:
        parcels.append(Parcel(tuple(cells_in), length))
    return sorted(parcels, key=lambda parcel: -parcel.seconds)
