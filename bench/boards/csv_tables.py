"""CSV: a wide table of every board, and the tidy frame of every cell and metric."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..escape import csv_text
from .board import Estimate, Leaderboard, Row


def to_csv(leaderboard: Leaderboard) -> str:
    """Render every table of every board as one wide CSV: a row per board, table and generator."""
    columns = [name for name, metric in leaderboard.metrics.items() if not metric["per"]]
    parts = ("", "_low", "_high", "_rank", "_datasets", "_imputed", "_best")
    head = ["scenario", "epsilon", "delta", "neighbours", "imputation", "generator", "reference"]
    head += ["position", "mean_rank", "mean_rank_low", "mean_rank_high", "coverage", "ok"]
    head += ["expected", "skipped", "missing", "datasets", "imputed_share", "unranked"]
    head += [csv_text(name + part) for name in columns for part in parts]
    lines = [",".join(head)]
    for board in leaderboard.boards:
        key = [csv_text(board.scenario), _digits(board.epsilon), _digits(board.delta)]
        key.append(csv_text(board.neighbours))
        for table in (board.plain, board.imputed):
            for row in table.rows:
                values = [field for name in columns for field in _fields(row.estimates.get(name))]
                fields = [*key, "yes" if table.imputation else "no", *_standing(row), *values]
                lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def _standing(row: Row) -> list[str]:
    rank = row.mean_rank
    numbers = [row.position] + ([rank.mean, rank.low, rank.high] if rank else [None] * 3)
    counts = [row.statuses.get("skipped", 0), row.statuses.get("missing", 0), row.datasets]
    numbers += [row.coverage, row.ok, row.expected, *counts, row.imputed]
    texts = [csv_text(row.generator), csv_text(row.reference)]
    return texts + [_digits(value) for value in numbers] + [csv_text(row.unranked)]


def _fields(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return [""] * 7
    numbers = [estimate.mean, estimate.low, estimate.high, estimate.rank, estimate.datasets]
    return [*(_digits(value) for value in numbers), _digits(estimate.imputed), str(+estimate.best)]


def _digits(value: float | None) -> str:
    return "" if value is None else format(value, ".12g")


def to_tidy_csv(leaderboard: Leaderboard) -> str:
    """Render the tidy frame as CSV, values exact.

    What a cell's rows have in common is written once: the columns up to ``status``, and the key.
    """
    cells = leaderboard.cells
    shared = list(cells.columns)[: list(cells.columns).index("status") + 1]
    numbers, keys = pd.factorize(cells["cell_key"].to_numpy())
    first = np.unique(numbers, return_index=True)[1]
    one_each = [_csv_column(cells[name].iloc[first]) for name in shared]
    starts = list(map(",".join, zip(*one_each, strict=True)))
    ends = [csv_text(key) for key in keys]
    own = [_csv_column(cells[name]) for name in ("reason", "metric", "value", "imputed")]
    lines = [
        f"{starts[number]},{','.join(fields)},{ends[number]}"
        for number, *fields in zip(numbers.tolist(), *own, strict=True)
    ]
    return "\n".join([",".join(cells.columns), *lines]) + "\n"


def _csv_column(column: pd.Series) -> list[str]:
    """Write each distinct value once; most columns repeat a few of them."""
    codes, distinct = pd.factorize(column.to_numpy())  # -1 where there is none
    write = csv_text if column.dtype == object else repr
    texts = [write(value) for value in distinct.tolist()]
    return np.array([*texts, ""], dtype=object)[codes].tolist()
