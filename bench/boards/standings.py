"""Standings: the table of one board, from an array of values to estimates, ranks and ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .board import Estimate, Row, Table
from .bootstrap import intervals

TIE_DECIMALS = 12  # rounding noise of a mean must not break a tie


@dataclass(frozen=True)
class Block:
    """The cells of one board as an array of rows x datasets x seeds x metrics.

    Parameters
    ----------
    rows : list of (str, str)
        Generator and role (empty: not a reference row).
    datasets : list of str
    metrics : dict of str to mapping
        Declarations.
    place : ndarray of int, shape (rows, datasets, seeds)
        The cell's row in the grid; -1 where there is none.
    failed : ndarray of bool, of the same shape
        Cells that should have ended well and did not.
    values : ndarray of float64, shape (rows, datasets, seeds, metrics)
        NaN where there is no value.
    hole : ndarray of bool, of the same shape
        Where a value should be: others have one for this dataset and metric.
    statuses : list of dict of str to int
        Cells of each row by status.
    """

    rows: list[tuple[str, str]]
    datasets: list[str]
    metrics: dict[str, Mapping[str, Any]]
    place: np.ndarray
    failed: np.ndarray
    values: np.ndarray
    hole: np.ndarray
    statuses: list[dict[str, int]]

    @property
    def is_reference(self) -> np.ndarray:
        """Which rows are reference rows: bool, shape (rows,)."""
        return np.array([role != "" for _, role in self.rows], dtype=bool)

    @property
    def ranked(self) -> np.ndarray:
        """Which metrics are ranked by: bool, shape (metrics,)."""
        return np.array([metric["ranked"] for metric in self.metrics.values()], dtype=bool)

    @property
    def is_baseline(self) -> np.ndarray:
        """Which metrics say nothing of a generator: bool, shape (metrics,)."""
        return np.array([m.get("baseline", False) for m in self.metrics.values()], dtype=bool)

    @property
    def sign(self) -> np.ndarray:
        """1 for metrics that are better high, -1 for the others: float64, shape (metrics,)."""
        higher = [metric["direction"] == "higher" for metric in self.metrics.values()]
        return np.where(np.array(higher, dtype=bool), 1.0, -1.0)

    @property
    def limits(self) -> np.ndarray:
        """Worst values with which a row is ranked, NaN where any will do: shape (metrics,)."""
        limits = [metric.get("limit") for metric in self.metrics.values()]
        return np.array([np.nan if limit is None else limit for limit in limits], dtype=np.float64)

    def impute(self) -> np.ndarray:
        """Values, with holes filled by the worst seed-mean among the dataset's reference rows.

        Never a rival's value, so that nobody's score depends on who else failed; and never a cost,
        because what a crashed cell would have taken is not known. Reference rows keep their holes.
        """
        means = self.sign * mean(self.values[self.is_reference], axis=2)
        worst = self.sign * np.fmin.reduce(means, axis=0, initial=np.nan)
        worst[:, [metric["family"] == "cost" for metric in self.metrics.values()]] = np.nan
        fillable = self.hole & ~self.is_reference[:, None, None, None]
        return np.where(fillable, worst[None, :, None, :], self.values)


def mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is not NaN, added up in a fixed order; NaN where there is nothing."""
    present = ~np.isnan(values)
    total = sum(np.moveaxis(np.where(present, values, 0.0), axis, 0), np.float64(0))
    count = present.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def tables(block: Block, filled: np.ndarray, replicates: int) -> tuple[Table, Table]:
    """Build the tables without and with imputation; ``filled`` is ``block.impute()``."""
    ends = _ends(block.values, replicates)
    filled_ends = ends.copy()
    changed = (block.hole & ~np.isnan(filled)).any(axis=(1, 2, 3))
    filled_ends[changed] = _ends(filled[changed], replicates)
    plain_reasons = [_incomplete(block, row) for row in range(len(block.rows))]
    filled_reasons = [_unfillable(block, filled, row) for row in range(len(block.rows))]
    return (
        Table(False, _rows(block, block.values, ends, plain_reasons, replicates)),
        Table(True, _rows(block, filled, filled_ends, filled_reasons, replicates)),
    )


def _ends(values: np.ndarray, replicates: int) -> np.ndarray:
    """Intervals of every row and metric: shape (rows, metrics, 2)."""
    rows, datasets, seeds, metrics = values.shape
    series = np.moveaxis(values, 3, 1).reshape(rows * metrics, datasets, seeds)
    return intervals(series, replicates).reshape(rows, metrics, 2)


def _incomplete(block: Block, row: int) -> str:
    """Why a row cannot be ranked without imputation, or an empty text."""
    if reason := _absent(block, row) or _beyond_limit(block, row):
        return reason
    statuses = block.statuses[row]
    expected = sum(statuses.values()) - statuses.get("skipped", 0)
    if block.failed[row].any():
        return f"{statuses.get('ok', 0)} of {expected} cells ok"
    return _first_hole(block, block.hole[row], "no value of {metric} on {dataset}")


def _unfillable(block: Block, filled: np.ndarray, row: int) -> str:
    """Why a row cannot be ranked with imputation, or an empty text."""
    if reason := _absent(block, row) or _beyond_limit(block, row):
        return reason
    left = block.hole[row] & np.isnan(filled[row])
    if reason := _first_hole(block, left, "no reference row has {metric} on {dataset}"):
        return reason
    comparable = ~np.isnan(block.values[..., block.ranked]).all(axis=(0, 2, 3))
    for dataset in np.flatnonzero(block.failed[row].any(axis=1) & ~comparable):
        return f"no reference row has any ranked metric on {block.datasets[dataset]}"
    return ""


def _absent(block: Block, row: int) -> str:
    """Name a dataset that others ran on and this row did not: ranks need the same ones."""
    ran: np.ndarray = np.any(block.place >= 0, axis=2)
    wanted: np.ndarray = np.any(ran[~block.is_reference], axis=0)
    for dataset in np.flatnonzero(wanted & ~ran[row]):
        return f"not run on {block.datasets[dataset]}"
    return ""


def _beyond_limit(block: Block, row: int) -> str:
    """Name a metric that a row's own values put beyond the limit of what is ranked."""
    means = mean(block.values[row], axis=1)
    for dataset, metric in np.argwhere(beyond_limit(block)[row]):
        name = list(block.metrics)[metric]
        value, limit = means[dataset, metric], block.limits[metric]
        return f"{name} is {value:.3g} on {block.datasets[dataset]}, the limit is {limit:g}"
    return ""


def beyond_limit(block: Block) -> np.ndarray:
    """Whether the mean over seeds lies beyond a metric's limit: rows x datasets x metrics."""
    return block.sign * (mean(block.values, axis=2) - block.limits) < 0


def _first_hole(block: Block, hole: np.ndarray, text: str) -> str:
    """Say which ranked metric lacks a value, given holes (datasets, seeds, metrics) of a row."""
    if not block.ranked.any():
        return "no ranked metric"
    for dataset, metric in np.argwhere(hole.any(axis=1) & block.ranked):
        return text.format(metric=list(block.metrics)[metric], dataset=block.datasets[dataset])
    return ""


def _rows(
    block: Block, values: np.ndarray, ends: np.ndarray, reasons: list[str], replicates: int
) -> tuple[Row, ...]:
    by_seed = mean(values, axis=2)
    ranked = ~block.is_reference & np.array([reason == "" for reason in reasons], dtype=bool)
    merits = np.where(block.is_baseline, np.nan, by_seed)
    ranks = _ranks(merits, block.sign, ranked)
    estimates = _estimates(block, values, by_seed, ends, ranks)
    _mark_ties(block, estimates, ranked, (~np.isnan(by_seed)).any(axis=0).sum(axis=0))
    overall = _overall(ranks[:, :, block.ranked], replicates)
    rows = []
    for place, (generator, role) in enumerate(block.rows):
        rows.append(
            Row(
                generator=generator,
                reference=role,
                statuses=block.statuses[place],
                datasets=int((block.place[place] >= 0).any(axis=1).sum()),
                position=_position(overall, place) if ranked[place] else None,
                mean_rank=overall[place],
                unranked=reasons[place] if not role else "",
                imputed=_imputed_share(block, values, place),
                estimates=estimates[place],
                by_dataset=_by_dataset(block, by_seed[place]),
            )
        )
    return tuple(sorted(rows, key=_standing))


def _standing(row: Row) -> tuple[bool, float]:
    """Ranked rows by place, then the others, then reference rows; ties stay as they were."""
    return (row.reference != "", float("inf") if row.position is None else row.position)


def _ranks(by_seed: np.ndarray, sign: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """Rank the rows within each dataset and metric, 1 for the best; NaN where not ranked."""
    rows, datasets, metrics = by_seed.shape
    scores = np.where(ranked[:, None, None], np.round(-sign * by_seed, TIE_DECIMALS), np.nan)
    flat = pd.DataFrame(scores.reshape(rows, datasets * metrics))
    return flat.rank(axis=0, method="average").to_numpy().reshape(by_seed.shape)


def _overall(ranks: np.ndarray, replicates: int) -> list[Estimate | None]:
    """Mean over datasets of the mean rank over ranked metrics; datasets are resampled."""
    by_dataset = mean(ranks, axis=2)
    means = mean(by_dataset, axis=1)
    ends = intervals(by_dataset[:, :, None], replicates)
    overall: list[Estimate | None] = [
        None if np.isnan(value) else Estimate(float(value), *_interval(ends[place]), int(count))
        for place, (value, count) in enumerate(
            zip(means, (~np.isnan(by_dataset)).sum(axis=1), strict=True)
        )
    ]
    for place in _tied([(place, entry) for place, entry in enumerate(overall) if entry], sign=-1):
        overall[place] = replace(overall[place], best=True)  # type: ignore[type-var]
    return overall


def _position(overall: list[Estimate | None], place: int) -> int | None:
    own = overall[place]
    if own is None:
        return None
    better = [entry for entry in overall if entry and round(own.mean - entry.mean, 9) > 0]
    return len(better) + 1


def _estimates(
    block: Block, values: np.ndarray, by_seed: np.ndarray, ends: np.ndarray, ranks: np.ndarray
) -> list[dict[str, Estimate]]:
    means = mean(by_seed, axis=1)
    mean_ranks = mean(ranks, axis=1)
    counts = (~np.isnan(by_seed)).sum(axis=1)
    filled = (block.hole & ~np.isnan(values)).sum(axis=(1, 2))
    shares = filled / np.maximum((~np.isnan(values)).sum(axis=(1, 2)), 1)
    return [
        {
            name: Estimate(
                mean=float(means[row, column]),
                low=_interval(ends[row, column])[0],
                high=_interval(ends[row, column])[1],
                datasets=int(counts[row, column]),
                rank=_number(mean_ranks[row, column]),
                imputed=float(shares[row, column]),
            )
            for column, name in enumerate(block.metrics)
            if counts[row, column]
        }
        for row in range(len(block.rows))
    ]


def _interval(ends: np.ndarray) -> tuple[float | None, float | None]:
    return _number(ends[0]), _number(ends[1])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mark_ties(
    block: Block, estimates: list[dict[str, Estimate]], ranked: np.ndarray, datasets: np.ndarray
) -> None:
    """Mark, for each metric, the ranked rows that are tied with the best one.

    Only rows that were measured on every dataset compete: means over other datasets do not compare.
    """
    for name, sign, wanted in zip(block.metrics, block.sign, datasets, strict=True):
        if block.metrics[name].get("baseline"):
            continue
        rivals = [
            (row, estimates[row][name])
            for row in np.flatnonzero(ranked).tolist()
            if name in estimates[row] and estimates[row][name].datasets == wanted
        ]
        for row in _tied(rivals, sign):
            estimates[row][name] = replace(estimates[row][name], best=True)


def _tied(rivals: list[tuple[int, Estimate]], sign: float) -> list[int]:
    """Rows whose interval overlaps that of the best; nobody is best alone on a board."""
    if len(rivals) < 2:
        return []
    low, high = _span(max(rivals, key=lambda rival: sign * rival[1].mean)[1])
    return [row for row, entry in rivals if _span(entry)[0] <= high and _span(entry)[1] >= low]


def _span(entry: Estimate) -> tuple[float, float]:
    if entry.low is None or entry.high is None:
        return entry.mean, entry.mean
    return entry.low, entry.high


def _imputed_share(block: Block, values: np.ndarray, row: int) -> float:
    measured = [metric["family"] != "cost" for metric in block.metrics.values()]
    present = ~np.isnan(values[row][..., measured])
    filled = block.hole[row][..., measured] & present
    return float(filled.sum() / max(present.sum(), 1))


def _by_dataset(block: Block, by_seed: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        dataset: {
            name: float(value)
            for name, value in zip(block.metrics, by_seed[place], strict=True)
            if not np.isnan(value)
        }
        for place, dataset in enumerate(block.datasets)
    }
