"""The words of a leaderboard: what compiling records yields and what rendering prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

HEADLINES = 6  # columns that fit beside each other


@dataclass(frozen=True)
class Estimate:
    """Mean over datasets of the mean over seeds.

    Parameters
    ----------
    mean : float
    low, high : float, optional
        95 % hierarchical bootstrap interval; None where there is a single value.
    datasets : int
        Datasets averaged over.
    rank : float, optional
        Mean over datasets of the rank within the dataset (1 is best, ties averaged).
    imputed : float
        Share of imputed values, in [0, 1].
    best : bool
        Whether the row is the best or its interval overlaps the best row's.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    datasets: int = 0
    rank: float | None = None
    imputed: float = 0.0
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One generator on one board.

    Parameters
    ----------
    generator : str
        Its label, any text.
    reference : str
        Role of a reference row (``ceiling``, ``floor``, ``copy``), else empty.
    statuses : dict of str to int
        Cells by status, ``missing`` included.
    datasets : int
        Datasets on which it applies.
    position : int, optional
        Place by mean rank, from 1; None for a row that is not ranked.
    mean_rank : Estimate, optional
        Mean over datasets of the mean rank over ranked metrics.
    unranked : str
        Why it is not ranked, else empty.
    imputed : float
        Share of imputed values over all metrics but cost, in [0, 1].
    estimates : dict of str to Estimate
        By metric; a metric without any value is absent.
    by_dataset : dict of str to dict of str to float
        Mean over seeds, by dataset and metric.
    """

    generator: str
    reference: str
    statuses: dict[str, int]
    datasets: int
    position: int | None
    mean_rank: Estimate | None
    unranked: str
    imputed: float
    estimates: dict[str, Estimate]
    by_dataset: dict[str, dict[str, float]]

    @property
    def ok(self) -> int:
        """Cells that ended well."""
        return self.statuses.get("ok", 0)

    @property
    def expected(self) -> int:
        """Cells that should have ended well: all but the skipped ones."""
        return sum(self.statuses.values()) - self.statuses.get("skipped", 0)

    @property
    def coverage(self) -> float:
        """``ok / expected``, in [0, 1]."""
        return self.ok / self.expected


@dataclass(frozen=True)
class Incident:
    """Cells that share a status and a reason: every generator on every of the datasets."""

    generators: tuple[str, ...]
    status: str
    reason: str
    datasets: tuple[str, ...]
    cells: int

    @property
    def line(self) -> str:
        """The incident in one line."""
        cells = f"{self.cells} cell{'s' if self.cells > 1 else ''} {self.status}"
        reason = f": {self.reason}" if self.reason else ""
        return f"{', '.join(self.generators)} on {', '.join(self.datasets)}, {cells}{reason}"


@dataclass(frozen=True)
class Claim:
    """What a private generator promises under a board's budget, and what was measured of it.

    Parameters
    ----------
    generator : str
        Its label.
    spent : float
        Epsilon that its ledger adds up to, the largest over cells.
    stated : float, optional
        Epsilon by its own word, the largest over cells.
    noise : str
        ``exact``, ``floating point``, or both.
    tuning : str
        How hyperparameters were chosen.
    verdict : str
        ``consistent``, ``VIOLATION``, ``inconclusive`` or ``not audited``.
    empirical, ceiling, confidence : float, optional
        Lower bound on epsilon that the audit showed, the highest it could have shown, and how sure
        it is; None where there was none.
    fits : int
        Of the audit, in both worlds.
    worlds : tuple of str
        Pairs and datasets that it was audited on.
    leaks : tuple of str
        Where a record outside the public Schema was recognised.
    """

    generator: str
    spent: float
    stated: float | None
    noise: str
    tuning: str
    verdict: str
    empirical: float | None
    ceiling: float | None
    confidence: float | None
    fits: int
    worlds: tuple[str, ...]
    leaks: tuple[str, ...]

    @property
    def alarm(self) -> bool:
        """Whether the promise was found broken."""
        return self.verdict == "VIOLATION"


@dataclass(frozen=True)
class Note:
    """A line under a board; an alarm says that the board is not to be trusted."""

    text: str
    alarm: bool = False


@dataclass(frozen=True)
class Table:
    """The rows of a board: ranked ones by mean rank, others by name, reference rows last."""

    imputation: bool
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Which of the two tables it is."""
        return "With imputation" if self.imputation else "Without imputation"


@dataclass(frozen=True)
class Board:
    """One scenario under one privacy budget."""

    scenario: str
    epsilon: float
    delta: float
    neighbours: str
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    plain: Table
    imputed: Table
    failures: tuple[Incident, ...]
    not_applicable: tuple[Incident, ...]
    notes: tuple[Note, ...]
    claims: tuple[Claim, ...] = ()

    @property
    def title(self) -> str:
        """Scenario and budget."""
        if math.isinf(self.epsilon):
            return f"{self.scenario}: no privacy asked"
        budget = f"ε = {self.epsilon:g}, δ = {self.delta:g}"
        return f"{self.scenario}: {budget}, neighbours {self.neighbours}"

    @property
    def has_imputation(self) -> bool:
        """Whether the table with imputation differs from the one without."""
        return self.plain.rows != self.imputed.rows


@dataclass(frozen=True)
class Leaderboard:
    """Boards, the declarations of their metrics, and every value behind them.

    ``cells`` is tidy: one row a cell and metric, with ``value`` as measured (NaN: none) and
    ``imputed`` as the board with imputation counts it instead (NaN: nothing imputed).
    """

    boards: tuple[Board, ...]
    metrics: dict[str, Mapping[str, Any]]
    notes: tuple[Note, ...]
    cells: pd.DataFrame


def headlines(leaderboard: Leaderboard, board: Board) -> list[str]:
    """Choose the metrics that stand for the board: ranked ones, then what search and fit took."""
    ranked = [name for name in board.metrics if leaderboard.metrics[name]["ranked"]]
    known = {name for row in board.plain.rows for name in row.estimates}
    last = [name for name in ("tuning_seconds", "fit_seconds") if name in known]
    return ranked[: HEADLINES - len(last)] + last
