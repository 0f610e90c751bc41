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


def by_request(
    cells: Sequence[Cell], request_of: Callable[[Cell], Request]
) -> Mapping[Request, list[Cell]]:
    """Group cells by what their jobs ask for, in their order."""
    groups: dict[Request, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(request_of(cell), []).append(cell)
    return groups


def pack(
    cells: Sequence[Cell],
    expected: Callable[[Cell], float],
    seconds: float,
    alone: Callable[[Cell], bool] = lambda cell: False,
) -> list[Parcel]:
    """Pack cells into parcels, in their order.

    Parameters
    ----------
    cells : sequence of Cell
        Neighbours share a dataset where they can.
    expected : callable
        Seconds of a cell.
    seconds : float
        Length of a parcel; only a single cell may be longer.
    alone : callable
        Whether a cell gets a parcel of its own.

    Returns
    -------
    list of Parcel
        The longest first, so that the last ones to end are short.
    """
    parcels = []
    cells_in, length = [], 0.0
    for cell in cells:
        took = expected(cell)
        if alone(cell):
            parcels.append(Parcel((cell,), took))
            continue
        if cells_in and length + took > seconds:
            parcels.append(Parcel(tuple(cells_in), length))
            cells_in, length = [], 0.0
        cells_in.append(cell)
        length += took
    if cells_in:
        parcels.append(Parcel(tuple(cells_in), length))
    return sorted(parcels, key=lambda parcel: -parcel.seconds)
