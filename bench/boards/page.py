"""The HTML page: every board on one self-contained page that asks nothing of any other host."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from .. import templates
from ..escape import decimals, interval, number, visible
from . import claims
from .board import Board, Estimate, Leaderboard, Row, headlines

PLOT_WIDTH, LABEL_WIDTH, ROW_HEIGHT = 460, 150, 20
LABEL_LENGTH = 22  # characters of a name that fit beside a plot


def to_html(leaderboard: Leaderboard) -> str:
    """Render the page."""
    boards = [_board(leaderboard, board) for board in leaderboard.boards]
    return templates.render(
        "board.html.jinja",
        boards=boards,
        metrics=leaderboard.metrics,
        notes=leaderboard.notes,
        claims_head=claims.HEAD,
    )


def _board(leaderboard: Leaderboard, board: Board) -> dict[str, Any]:
    tables = [board.plain, board.imputed] if board.has_imputation else [board.plain]
    tables = [table for table in tables if table.rows]
    by_family = groupby(board.metrics, key=lambda name: leaderboard.metrics[name]["family"])
    statuses = {status for row in board.plain.rows for status in row.statuses}
    return {
        "board": board,
        "headlines": headlines(leaderboard, board),
        "families": [(family, list(names)) for family, names in by_family],
        "tables": [
            {"title": table.title, "imputation": table.imputation, "groups": _groups(board, rows)}
            for table in tables
            for rows in [table.rows]
        ],
        "plots": [_plot(board.plain.rows, name) for name in _plotted(leaderboard, board)],
        "statuses": sorted(statuses, key=lambda status: (status != "ok", status)),
        "datasets": [_dataset(board, name) for name in board.datasets if board.plain.rows],
        "claims": [(claim, claims.fields(claim)) for claim in board.claims],
        "legend": claims.legend(board.claims),
    }


def _groups(board: Board, rows: Iterable[Row]) -> list[list[dict[str, Any]]]:
    """Split generators from reference rows, which are never sorted among them."""
    return [
        [_row(board, row) for row in members]
        for _, members in groupby(rows, key=lambda row: row.reference != "")
    ]


def _row(board: Board, row: Row) -> dict[str, Any]:
    return {
        "row": row,
        "mean_rank": _value(row.mean_rank),
        "imputed": f"{100 * row.imputed:.1f} %" if row.imputed else "",
        "values": {name: _value(row.estimates.get(name)) for name in board.metrics},
    }


def _value(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    mean, _, span = interval(estimate.mean, estimate.low, estimate.high).partition(" ")
    return {
        "sort": format(estimate.mean, ".12g"),
        "mean": mean,
        "span": span,
        "rank": "" if estimate.rank is None else number(estimate.rank, 2),
        "best": estimate.best,
        "imputed": bool(estimate.imputed),
        "datasets": estimate.datasets,
    }


def _dataset(board: Board, dataset: str) -> dict[str, Any]:
    rows = [(row, row.by_dataset.get(dataset, {})) for row in board.plain.rows]
    names = [name for name in board.metrics if any(name in values for _, values in rows)]
    texts = [
        (row, [number(values[name]) if name in values else "–" for name in names])
        for row, values in rows
    ]
    return {"name": dataset, "metrics": names, "rows": texts}


def _plotted(leaderboard: Leaderboard, board: Board) -> list[str]:
    """Choose the first ranked metric of each family that some row has a value of."""
    known = {name for row in board.plain.rows for name in row.estimates}
    ranked = [name for name in board.metrics if leaderboard.metrics[name]["ranked"]]
    ranked = [name for name in ranked if name in known]
    by_family = groupby(ranked, key=lambda name: leaderboard.metrics[name]["family"])
    return [next(names) for _, names in by_family]


def _plot(rows: Iterable[Row], name: str) -> dict[str, Any]:
    """Lay out a dot and an interval for each row, in units of the SVG."""
    shown = [(row, row.estimates[name]) for row in rows if name in row.estimates]
    spans = [_ends(estimate) for _, estimate in shown]
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def x(value: float) -> str:
        room = PLOT_WIDTH - LABEL_WIDTH - 10
        return f"{LABEL_WIDTH + room * (value - low) / (high - low):.1f}"

    ticks = [low + share * (high - low) for share in (0.1, 0.5, 0.9)]
    return {
        "name": name,
        "width": PLOT_WIDTH,
        "left": LABEL_WIDTH - 8,
        "height": ROW_HEIGHT * len(shown) + 24,
        "ticks": [(x(tick), number(tick, max(decimals(tick), 2))) for tick in ticks],
        "dots": [
            {
                "label": _short(row.generator),
                "reference": row.reference,
                "best": estimate.best,
                "y": ROW_HEIGHT * place + 12,
                "x": x(estimate.mean),
                "low": x(span[0]),
                "high": x(span[1]),
                "text": f"{row.generator}: {interval(estimate.mean, estimate.low, estimate.high)}",
            }
            for place, ((row, estimate), span) in enumerate(zip(shown, spans, strict=True))
        ],
    }


def _ends(estimate: Estimate) -> tuple[float, float]:
    if estimate.low is None or estimate.high is None:
        return estimate.mean, estimate.mean
    return min(estimate.low, estimate.mean), max(estimate.high, estimate.mean)


def _short(text: str) -> str:
    text = visible(text)
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
