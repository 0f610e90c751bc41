"""Packs: cells that differ in nothing but their seeds, whose generators are fitted as one batch.

A batch of seeds ends as each seed alone but for the order of sums, so its records say that it was
one (``together``). What it learned lies in the Store as after any long fit, where each cell finds
it: a pack that fails costs its time, and its cells then fit by themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .. import targets
from ..canonical import digest
from ..cells import Cell
from ..process import Limits
from ..statuses import is_out_of_memory
from .models import Checkpoint
from .stages import Stages


def packs(cells: Sequence[Cell], most: int) -> list[list[Cell]]:
    """Divide cells into packs of at most so many, each in the place of its first cell."""
    found: list[list[Cell]] = []
    last: dict[str, list[Cell]] = {}
    for cell in cells:
        if most == 1 or not _can_share(cell):
            found.append([cell])
            continue
        name = _alike(cell)
        fits = {other.train_key for other in last.get(name, ())}
        if not fits or len(fits) == most or cell.train_key in fits:
            last[name] = []
            found.append(last[name])
        last[name].append(cell)
    return found


def _can_share(cell: Cell) -> bool:
    """Whether a cell's only fit is one that can be part of a batch, which is fitted at home."""
    if targets.is_foreign(cell.generator):
        return False
    fits_once = getattr(targets.find(cell.scenario["_target_"], ("run",)), "searches", False)
    generator = targets.find(cell.generator["_target_"], ("fit", "sample"))
    is_plain = cell.tuning.search is None and not cell.budget.is_private
    return bool(fits_once) and is_plain and hasattr(generator, "fit_together")


def _alike(cell: Cell) -> str:
    """Name what cells of a pack have in common."""
    rest = {key: value for key, value in cell.identity.items() if key != "seeds"}
    return digest({"cell": rest, "limits": cell.limits})


def limits(pack: Sequence[Cell], cpus: tuple[int, ...] | None) -> Limits:
    """Return what a batch may use: what its fits may, one after the other and all at once."""
    first, count = pack[0], len(pack)
    seconds, memory = first.limits["seconds"], first.limits["memory_mib"]
    return Limits(seconds and seconds * count, memory and memory * count, cpus)


def fit(all_stages: Sequence[Stages], all_parts: Sequence[Mapping[str, pd.DataFrame]]) -> None:
    """Fit the generators of cells as one batch, and keep them; costs are shared evenly.

    Raises
    ------
    CellEnd
        If one of the cells does not apply.
    """
    pairs = zip(all_stages, all_parts, strict=True)
    wanting = [(stages, parts[stages.fit_on]) for stages, parts in pairs if stages.wants_fit]
    if len(wanting) < 2:
        return
    fitted = [stages for stages, _ in wanting]
    generators = [stages.generator() for stages in fitted]
    checkpoint = fitted[0].checkpoint
    try:
        _fit(fitted, generators, [rows for _, rows in wanting], checkpoint)
    except Exception as error:
        if not is_out_of_memory(error):
            checkpoint.drop()
        raise
    for stages, generator in zip(fitted, generators, strict=True):
        stages.share(len(fitted))
        stages.account(generator)
        stages.keep(generator)
    checkpoint.drop()


def _fit(
    all_stages: Sequence[Stages],
    generators: Sequence[Any],
    tables: Sequence[pd.DataFrame],
    checkpoint: Checkpoint,
) -> None:
    first = all_stages[0]
    with contextlib.ExitStack() as stack:
        for stages, generator in zip(all_stages, generators, strict=True):
            stack.enter_context(stages.fitting(generator, checkpoint))
        type(generators[0]).fit_together(
            generators,
            [rows.copy() for rows in tables],
            schema=first.schema,
            budget=first.cell.handed,
            rngs=[stages.train_stream for stages in all_stages],
        )
