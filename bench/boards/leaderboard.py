"""The leaderboard: a pure function from records to boards.

A board holds the cells of one scenario and one privacy budget; private and non-private generators
are never in one ranking. Absolute values come first, because a rank depends on who else takes part.
A failed cell is never left out of a mean in silence: each board has a table without imputation, in
which incomplete rows are not ranked, and one with, in which a hole takes the worst value among the
reference rows. Nothing here depends on the order of records, the clock, the locale or BLAS.

Limits: intervals say how much datasets and seeds vary, not whether two rows differ; below six
datasets no order is significant.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from .board import Board, Claim, Incident, Leaderboard, Note, Table
from .claims import broken, claims
from .grid import AUDIT, SEEDS, Grid, read
from .standings import Block, beyond_limit, mean, tables

BoardKey = tuple[str, float, float, str]
KEY = ("scenario", "epsilon", "delta", "neighbours")
REFERENCES = ("ceiling", "floor", "copy")  # the order in which reference rows stand
ENOUGH_DATASETS = 6  # the exact two-sided Wilcoxon test cannot reach p < 0.05 with fewer


def compile(
    records: Iterable[Mapping[str, Any]],
    expected: Iterable[Mapping[str, Any]] = (),
    audits: Iterable[Any] = (),
    *,
    families: Iterable[str] | None = None,
    bootstrap: int = 1000,
) -> Leaderboard:
    """Compile records into boards.

    Parameters
    ----------
    records : iterable of mapping
        As the Store yields them; any order.
    expected : iterable of mapping
        Planned cells (``key``, ``cell_key``, ``cell``, ``names``, ``reference``); one without a
        record is counted as ``missing``.
    audits : iterable
        What was concluded from audits among the records (``audit.conclusions``).
    families : iterable of str, optional
        Families of metrics to keep; all by default.
    bootstrap : int
        Replicates of the bootstrap.

    Returns
    -------
    Leaderboard

    Raises
    ------
    ValueError
        If a status is unknown, or a metric is not finite or not declared.
    """
    grid = read(records, expected, families)
    applicable = _applicable(grid)
    imputed = np.full_like(grid.values, np.nan)
    boards = []
    audits = list(audits)
    for key, mask in _board_masks(grid.cells):
        cells = grid.cells.loc[mask]
        own = [a for a in audits if (a.epsilon, a.delta, a.neighbours) == key[1:]]
        if key[0] == AUDIT:
            boards.append(_audit_board(key, cells, claims(cells, own)))
            continue
        block = _block(grid, mask, applicable)
        filled = block.impute()
        _put_back(imputed, grid.columns, block, filled)
        standings = tables(block, filled, bootstrap)
        boards.append(_board(key, cells, block, standings, claims(cells, own)))
    tidy = _tidy(grid, applicable, imputed)
    return Leaderboard(tuple(boards), grid.metrics, _store_notes(grid), tidy)


def _put_back(imputed: np.ndarray, columns: list[str], block: Block, filled: np.ndarray) -> None:
    """Write what was filled in on a board into an array of the grid's cells x columns."""
    used = block.hole & ~np.isnan(filled)
    row, dataset, seed, metric = np.nonzero(used)
    column_of = np.array([columns.index(name) for name in block.metrics], dtype=int)
    imputed[block.place[row, dataset, seed], column_of[metric]] = filled[used]


def _board(
    key: BoardKey,
    cells: pd.DataFrame,
    block: Block,
    standings: tuple[Table, Table],
    made: tuple[Claim, ...],
) -> Board:
    return Board(
        *key,
        datasets=tuple(block.datasets),
        metrics=tuple(block.metrics),
        plain=standings[0],
        imputed=standings[1],
        notes=(*_board_notes(block), *_flattered(block, *standings), *broken(made)),
        claims=made,
        **_outcomes(cells),
    )


def _audit_board(key: BoardKey, cells: pd.DataFrame, made: tuple[Claim, ...]) -> Board:
    """Return a board of claims alone: blocks of an audit are no rows that could be ranked."""
    return Board(
        *key,
        datasets=tuple(sorted(set(cells["dataset"]))),
        metrics=(),
        plain=Table(False, ()),
        imputed=Table(True, ()),
        notes=tuple(broken(made)),
        claims=made,
        **_outcomes(cells),
    )


def _outcomes(cells: pd.DataFrame) -> dict[str, tuple[Incident, ...]]:
    status = cells["status"].to_numpy()
    return {
        "failures": _incidents(cells.loc[(status != "ok") & (status != "skipped")]),
        "not_applicable": _incidents(cells.loc[status == "skipped"]),
    }


def _board_masks(cells: pd.DataFrame) -> Iterator[tuple[BoardKey, np.ndarray]]:
    """Which cells stand on which board.

    Reference rows without privacy stand on all boards of their scenario; under a budget they say
    nothing more and stand on none.
    """
    private = np.isfinite(cells["epsilon"].to_numpy())
    reference = cells["reference"].to_numpy() != ""
    scenario = cells["scenario"].to_numpy()
    audit = scenario == AUDIT
    shared = reference & ~private & ~audit
    board, keys = _numbered(cells, KEY)
    for number, key in enumerate(keys):
        own = (board == number) & ~(private & reference)
        if own.any():
            yield key, own | (shared & (scenario == key[0]))


def _numbered(cells: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[Any]]:
    """Give each group of cells that agree in these columns a number; list the groups.

    In place of pandas' groupby, which may turn a text into an Arrow string: not all texts are one.
    """
    keys = list(zip(*(cells[name] for name in names), strict=True))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=int), list(numbers)


def _applicable(grid: Grid) -> np.ndarray:
    """Whether any cell of the same scenario and dataset has such a value: cells x columns."""
    groups, names = _numbered(grid.cells, ("scenario", "dataset"))
    found = np.zeros((len(names), len(grid.columns)), dtype=bool)
    row, column = np.nonzero(~np.isnan(grid.values))
    found[groups[row], column] = True
    return found[groups]


def _block(grid: Grid, mask: np.ndarray, applicable: np.ndarray) -> Block:
    """Lay out the cells of a board; a row whose cells were all skipped is left out."""
    cells = grid.cells.loc[mask]
    planned = cells.loc[(cells["status"] != "skipped").to_numpy()]
    pairs = list(zip(planned["generator"], planned["reference"], strict=True))
    rows = sorted(set(pairs), key=_row_order)
    datasets = sorted(set(planned["dataset"]))
    columns = np.flatnonzero(applicable[planned.index].any(axis=0))
    row_of = {pair: place for place, pair in enumerate(rows)}
    dataset_of = {name: place for place, name in enumerate(datasets)}
    seeds = _running_count(zip(pairs, planned["dataset"], strict=True))
    at = (
        np.array([row_of[pair] for pair in pairs], dtype=int),
        np.array([dataset_of[name] for name in planned["dataset"]], dtype=int),
        seeds,
    )
    place = np.full((len(rows), len(datasets), seeds.max(initial=-1) + 1), -1)
    place[at] = planned.index.to_numpy()
    failed = np.zeros(place.shape, dtype=bool)
    failed[at] = (planned["status"] != "ok").to_numpy()
    is_cell = (place >= 0)[..., None]
    values = np.where(is_cell, grid.values[:, columns][place], np.nan)
    names = [grid.columns[column] for column in columns]
    return Block(
        rows=rows,
        datasets=datasets,
        metrics={name: grid.metrics[name] for name in names},
        place=place,
        failed=failed,
        values=values,
        hole=is_cell & applicable[:, columns][place] & np.isnan(values),
        statuses=_statuses(cells, rows),
    )


def _running_count(keys: Iterable[Any]) -> np.ndarray:
    """How many equal keys stand before each."""
    seen: Counter[Any] = Counter()
    counts = []
    for key in keys:
        counts.append(seen[key])
        seen[key] += 1
    return np.array(counts, dtype=int)


def _statuses(cells: pd.DataFrame, rows: list[tuple[str, str]]) -> list[dict[str, int]]:
    counts: dict[tuple[str, str], Counter[str]] = {row: Counter() for row in rows}
    for *row, status in zip(cells["generator"], cells["reference"], cells["status"], strict=True):
        if tuple(row) in counts:
            counts[tuple(row)][status] += 1
    return [dict(counts[row]) for row in rows]


def _row_order(row: tuple[str, str]) -> tuple[int, str]:
    generator, reference = row
    return (REFERENCES.index(reference) + 1 if reference in REFERENCES else 0, generator)


def _incidents(cells: pd.DataFrame) -> tuple[Incident, ...]:
    """Group cells that did not end well by status and reason."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    columns = (cells[name] for name in ("status", "reason", "generator", "dataset"))
    for status, reason, generator, dataset in zip(*columns, strict=True):
        found[status, reason, generator].append(dataset)
    alike: dict[tuple[str, str, tuple[str, ...]], list[tuple[str, int]]] = defaultdict(list)
    for (status, reason, generator), datasets in sorted(found.items()):
        alike[status, reason, tuple(sorted(set(datasets)))].append((generator, len(datasets)))
    return tuple(
        Incident(
            generators=tuple(generator for generator, _ in members),
            status=status,
            reason=reason,
            datasets=datasets,
            cells=sum(count for _, count in members),
        )
        for (status, reason, datasets), members in alike.items()
    )


def _board_notes(block: Block) -> Iterator[Note]:
    roles = {role for _, role in block.rows}
    if "copy" in roles:
        yield from _photocopier(block)
    if absent := [role for role in REFERENCES if role not in roles]:
        yield Note(
            f"Reference rows missing: {', '.join(absent)}. Nothing shows what a photocopier, real "
            "rows or independent columns would score here."
        )
    if len(block.datasets) < ENOUGH_DATASETS:
        count = len(block.datasets)
        yield Note(
            f"{count} dataset{'s' if count != 1 else ''}: the order of rows is not significant. "
            f"With fewer than {ENOUGH_DATASETS} the exact Wilcoxon test can separate no two rows."
        )


def _photocopier(block: Block) -> Iterator[Note]:
    """Say loudly where nothing stops the copy of train.

    That is, where no limit keeps it out of the ranking and no ranked privacy metric puts it below
    every generator.
    """
    judges = [
        metric["family"] == "privacy" and metric["ranked"] for metric in block.metrics.values()
    ]
    copies = np.array([role == "copy" for _, role in block.rows])
    stopped = beyond_limit(block)[copies].any(axis=(0, 2))
    if not any(judges) and not stopped.any():
        yield Note("A PHOTOCOPIER PASSES HERE: this board has no ranked privacy metric.", True)
        return
    scores = (block.sign * mean(block.values, axis=2))[..., judges]
    copy = np.fmax.reduce(scores[copies], axis=0, initial=np.nan)
    rival = np.fmin.reduce(scores[~block.is_reference], axis=0, initial=np.nan)
    passes = ~np.isnan(rival).all(axis=1) & ~(copy < rival).any(axis=1) & ~stopped
    if passes.any():
        where = ", ".join(block.datasets[dataset] for dataset in np.flatnonzero(passes))
        yield Note(
            f"A PHOTOCOPIER PASSES HERE: on {where} no ranked privacy metric puts the copy of the "
            "training rows below every generator.",
            True,
        )


def _flattered(block: Block, plain: Table, imputed: Table) -> Iterator[Note]:
    """Say where a row gains by its failures, as one that is worse than every reference row does."""
    before = {row.generator: row.estimates for row in plain.rows}
    signs = list(zip(block.metrics, block.sign, strict=True))
    gaining = [
        row.generator
        for row in imputed.rows
        if any(
            sign * (row.estimates[name].mean - before[row.generator][name].mean) > 0
            for name, sign in signs
            if name in before[row.generator] and row.estimates[name].imputed
        )
    ]
    if gaining:
        yield Note(
            f"Imputation flatters {', '.join(gaining)}: on some metric the worst reference row is "
            "better than the row's own values. Read the table without imputation."
        )


def _store_notes(grid: Grid) -> tuple[Note, ...]:
    notes = []
    if grid.pending:
        notes.append(Note(f"{grid.pending} planned evaluations of finished cells have no record."))
    if grid.outdated:
        notes.append(
            Note(f"{grid.outdated} values are left out: a newer version of their metric exists.")
        )
    return tuple(notes)


def _tidy(grid: Grid, measured: np.ndarray, imputed: np.ndarray) -> pd.DataFrame:
    """One row for each cell and metric that applies, and at least one for each cell."""
    at = np.nonzero(measured)
    names = (grid.columns[column] for column in at[1])
    bare = np.setdiff1d(np.arange(len(grid.cells)), at[0])
    rows = [
        *zip(at[0].tolist(), names, grid.values[at].tolist(), imputed[at].tolist(), strict=True),
        *((row, "", np.nan, np.nan) for row in bare.tolist()),
        *((row, name, value, np.nan) for row, name, value in grid.details),
    ]
    rows.sort(key=itemgetter(0))  # stable: metrics stay in the order of columns
    cells = grid.cells.take([row for row, *_ in rows]).reset_index(drop=True)
    reasons = [
        grid.reasons.get((row, name), "not measured") if status == "ok" and value != value else why
        for (row, name, value, _), status, why in zip(
            rows, cells["status"], cells["reason"], strict=True
        )
    ]
    tidy = cells.assign(
        reason=pd.Series(reasons, dtype=object),
        metric=pd.Series([name for _, name, _, _ in rows], dtype=object),
        value=np.array([value for _, _, value, _ in rows], dtype=np.float64),
        imputed=np.array([value for *_, value in rows], dtype=np.float64),
    )
    order = [*KEY, "dataset", "generator", "reference", *(f"seed_{stage}" for stage in SEEDS)]
    order += ["status", "reason", "metric", "value", "imputed", "cell_key"]
    return tidy.reindex(columns=order)
