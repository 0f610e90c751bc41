"""Rendering: a leaderboard as text, Markdown, CSV, LaTeX and one HTML page.

No format holds a date, a host name or a path, so two builds of the same records are byte-identical.
Every name goes through ``escape`` first.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..escape import interval, latex, markdown, number, plus_minus, visible
from . import claims
from .board import Board, Estimate, Leaderboard, Row, Table, headlines
from .csv_tables import to_csv, to_tidy_csv
from .page import to_html

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["to_csv", "to_html", "to_latex", "to_markdown", "to_text", "to_tidy_csv", "write"]

MEANS = "Values are means over datasets of means over seeds"
INTERVAL = "95 % hierarchical bootstrap interval (datasets, then seeds)"


def write(leaderboard: Leaderboard, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every format into a folder; each file appears whole or not at all.

    Returns
    -------
    list of Path
        ``leaderboard.md``, ``.csv``, ``.tex``, ``.html`` and ``cells.csv``.
    """
    formats: dict[str, Callable[[Leaderboard], str]] = {
        "leaderboard.md": to_markdown,
        "leaderboard.csv": to_csv,
        "leaderboard.tex": to_latex,
        "leaderboard.html": to_html,
        "cells.csv": to_tidy_csv,
    }
    texts = {name: render(leaderboard) for name, render in formats.items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [_replace(folder / name, text) for name, text in texts.items()]


def _replace(path: Path, text: str) -> Path:
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(text.encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _arrow(leaderboard: Leaderboard, name: str) -> str:
    return "↑" if leaderboard.metrics[name]["direction"] == "higher" else "↓"


def _cells(row: Row) -> str:
    return f"{row.ok}/{row.expected}"


def _name(row: Row) -> str:
    return row.generator + (f" ({row.reference})" if row.reference else "")


def _imputed(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %" if share else ""


def _tables(board: Board) -> Iterator[Table]:
    """Both tables, or one of them where nothing was imputed; none of a board of claims alone."""
    if board.plain.rows:
        yield board.plain
    if board.has_imputation:
        yield board.imputed


# Text


def to_text(leaderboard: Leaderboard, width: int = 110) -> str:
    """Render the headline metrics of every board as plain text, ``width`` characters wide."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, _environ={}
    )
    for board in leaderboard.boards:
        console.print(Text(f"\n{visible(board.title)}\n{'=' * min(len(board.title), width)}"))
        for table in _tables(board):
            console.print(_text_table(leaderboard, board, table))
        if board.claims:
            console.print(_text_claims(board))
        notes = [("!!! " if note.alarm else "") + note.text for note in board.notes]
        for line in (*notes, *_remarks(board)):
            console.print(Padding(Text(visible(line)), (0, 0, 0, 1)))
    for note in leaderboard.notes:
        console.print(Text(visible(note.text)))
    legend = f"\n{MEANS}; ± is half the width of the {INTERVAL}; * marks rows tied with the best."
    console.print(Text(legend if leaderboard.boards else "No records."))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def _text_table(leaderboard: Leaderboard, board: Board, table: Table) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    names = headlines(leaderboard, board)
    rows = [list(_text_fields(leaderboard, table, row, names)) for row in table.rows]
    heads = ["#", "generator"]
    heads += [f"{visible(name).replace('_', ' ')} {_arrow(leaderboard, name)}" for name in names]
    heads += ["mean rank", "imputed" if table.imputation else "cells ok"]
    grid = RichTable(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    grid.title, grid.title_justify, grid.title_style = Text(table.title), "left", ""
    for place, head in enumerate(heads):
        if head == "generator":
            grid.add_column(head, overflow="fold", max_width=30)
        else:  # numbers are never cut: names give way
            widest = max((len(row[place]) for row in rows), default=0)
            word = min(max(map(len, head.split())), 10)
            width = max(widest, word)
            grid.add_column(Text(head), justify="right", overflow="fold", width=width)
    for reference, members in groupby(
        zip(table.rows, rows, strict=True), key=lambda pair: pair[0].reference != ""
    ):
        if reference:
            grid.add_section()
        for _, fields in members:
            grid.add_row(*map(Text, fields))
    return grid


def _text_claims(board: Board) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    grid.title, grid.title_justify, grid.title_style = Text("Privacy claims"), "left", ""
    for head in claims.HEAD:
        right = "ε" in head or head in ("its own word", "ceiling")
        grid.add_column(Text(head), justify="right" if right else "left", overflow="fold")
    for claim in board.claims:
        grid.add_row(*(Text(visible(field)) for field in claims.fields(claim)))
    return grid


def _text_fields(
    leaderboard: Leaderboard, table: Table, row: Row, names: list[str]
) -> Iterator[str]:
    yield "" if row.position is None else str(row.position)
    yield visible(_name(row))
    for name in names:
        wide = leaderboard.metrics[name]["family"] != "cost"
        yield _text_value(row.estimates.get(name), wide=wide)
    yield _text_value(row.mean_rank, 2, wide=False)
    yield _imputed(row.imputed) if table.imputation else _cells(row)


def _text_value(estimate: Estimate | None, places: int | None = None, wide: bool = True) -> str:
    """Write the mean, starred if tied with the best, and in a wide column half its interval."""
    if estimate is None:
        return "– "
    star = "*" if estimate.best else " "
    value, half = plus_minus(estimate.mean, estimate.low, estimate.high)
    if half and wide:
        return f"{value}±{half}{star}"
    return number(estimate.mean, places) + star


def _remarks(board: Board) -> Iterator[str]:
    """Lines under a board's tables: what is not ranked, failed or does not apply, and why."""
    if legend := claims.legend(board.claims):
        yield legend
    if board.plain.rows and not board.has_imputation:
        yield "Nothing was imputed: the table with imputation is the same."
    for row in (board.imputed if board.has_imputation else board.plain).rows:
        if row.unranked:
            yield f"Not ranked: {row.generator} ({row.unranked})"
    for incident in board.failures:
        yield f"Failed: {incident.line}"
    for incident in board.not_applicable:
        yield f"Not applicable: {incident.line}"


# Markdown


def to_markdown(leaderboard: Leaderboard) -> str:
    """Render every board and metric as Markdown tables."""
    lines = ["# Leaderboard", "", f"{MEANS}, in brackets the {INTERVAL}.", _MARKDOWN_LEGEND, ""]
    lines += [*(f"> {markdown(note.text)}" for note in leaderboard.notes)]
    for board in leaderboard.boards:
        lines += ["", f"## {markdown(board.title)}", ""]
        for note in board.notes:
            text = markdown(note.text)
            lines += [f"> **{text}**" if note.alarm else f"> {text}", ""]
        for table in _tables(board):
            lines += _markdown_board(leaderboard, board, table)
        lines += _markdown_claims(board)
        lines += [f"- {markdown(line)}" for line in _remarks(board)]
    return "\n".join([*lines, "", *_markdown_definitions(leaderboard)]) + "\n"


_MARKDOWN_LEGEND = (
    "Bold marks rows tied with the best (their interval overlaps its own), † rows with imputed "
    "values. Reference rows (ceiling, floor, copy) are never ranked."
)


def _markdown_board(leaderboard: Leaderboard, board: Board, table: Table) -> Iterator[str]:
    yield f"### {table.title}"
    yield ""
    names = headlines(leaderboard, board)
    head = ["#", "generator", *(_markdown_head(leaderboard, name) for name in names)]
    head += ["mean rank", "cells ok"] + ["imputed"] * table.imputation
    yield from _markdown_table(head, (_markdown_row(row, table, names) for row in table.rows))
    by_family = groupby(board.metrics, key=lambda name: leaderboard.metrics[name]["family"])
    for family, names in by_family:
        columns = list(names)
        yield f"{family.capitalize()}, mean (and mean rank):"
        yield ""
        yield from _markdown_table(
            ["generator", *(_markdown_head(leaderboard, name) for name in columns)],
            (
                [markdown(_name(row))]
                + [_markdown_value(row.estimates.get(name), rank=True) for name in columns]
                for row in table.rows
            ),
        )


def _markdown_claims(board: Board) -> Iterator[str]:
    if board.claims:
        yield "### Privacy claims"
        yield ""
        rows = ([markdown(field) for field in claims.fields(claim)] for claim in board.claims)
        yield from _markdown_table(list(claims.HEAD), rows)


def _markdown_row(row: Row, table: Table, names: list[str]) -> list[str]:
    place = "" if row.position is None else str(row.position)
    name = markdown(_name(row)) + (" †" if row.imputed and table.imputation else "")
    fields = [place, name, *(_markdown_value(row.estimates.get(metric)) for metric in names)]
    fields += [_markdown_value(row.mean_rank), _cells(row)]
    return fields + [_imputed(row.imputed)] * table.imputation


def _markdown_head(leaderboard: Leaderboard, name: str) -> str:
    return f"{markdown(name)} {_arrow(leaderboard, name)}"


def _markdown_value(estimate: Estimate | None, *, rank: bool = False) -> str:
    if estimate is None:
        return "–"
    value = interval(estimate.mean, estimate.low, estimate.high)
    value = f"**{value}**" if estimate.best else value
    shown = rank and estimate.rank is not None
    return f"{value} ({number(estimate.rank or 0, 2)})" if shown else value


def _markdown_table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _markdown_definitions(leaderboard: Leaderboard) -> Iterator[str]:
    yield "## Metrics"
    yield ""
    yield from _markdown_table(
        ["metric", "family", "better", "best", "worst", "unit", "ranked", "definition"],
        (
            [
                markdown(name),
                metric["family"],
                metric["direction"],
                markdown(str(metric["best"])),
                markdown(str(metric["worst"])),
                markdown(metric["unit"]),
                "yes" if metric["ranked"] else "",
                markdown(metric["definition"]),
            ]
            for name, metric in leaderboard.metrics.items()
        ),
    )


# LaTeX


def to_latex(leaderboard: Leaderboard) -> str:
    """Render the headline metrics of every board as booktabs tables; input it in a document."""
    lines = ["% needs \\usepackage{booktabs,textcomp} and \\usepackage[T1]{fontenc}"]
    for board in leaderboard.boards:
        for table in _tables(board):
            lines += _latex_table(leaderboard, board, table)
    return "\n".join(lines) + "\n"


def _latex_table(leaderboard: Leaderboard, board: Board, table: Table) -> Iterator[str]:
    names = headlines(leaderboard, board)
    yield "\\begin{table}\n\\centering"
    yield f"\\caption{{{latex(board.title)}, {latex(table.title.lower())}. {_LATEX_LEGEND}}}"
    yield f"\\begin{{tabular}}{{rl{'r' * len(names)}rr}}\n\\toprule"
    head = [f"{latex(name)} {latex(_arrow(leaderboard, name))}" for name in names]
    share = "imputed" if table.imputation else "cells ok"
    yield " & ".join(["\\#", "generator", *head, "mean rank", share]) + " \\\\"
    for _, rows in groupby(table.rows, key=lambda row: row.reference != ""):
        yield "\\midrule"
        for row in rows:
            share = _imputed(row.imputed) if table.imputation else _cells(row)
            name = latex(_name(row))
            place = "{}" if row.position is None else str(row.position)
            fields = [place, f"\\textit{{{name}}}" if row.reference else name]
            fields += [_latex_value(row.estimates.get(name)) for name in names]
            fields += [_latex_value(row.mean_rank), latex(share)]
            yield " & ".join(fields) + " \\\\"
    yield "\\bottomrule\n\\end{tabular}\n\\end{table}"


_LATEX_LEGEND = (
    "Means over datasets of means over seeds $\\pm$ half the width of the 95\\,\\% hierarchical "
    "bootstrap interval; bold: tied with the best; italics: reference rows"
)


def _latex_value(estimate: Estimate | None) -> str:
    if estimate is None:
        return "--"
    value, half = plus_minus(estimate.mean, estimate.low, estimate.high)
    value = f"\\mathbf{{{_exponent(value)}}}" if estimate.best else _exponent(value)
    return f"${value} \\pm {_exponent(half)}$" if half else f"${value}$"


def _exponent(value: str) -> str:
    digits, _, exponent = value.partition("e")
    return f"{digits}\\cdot 10^{{{int(exponent)}}}" if exponent else digits
