"""A score as plain text: the verdict, a table for each family, reasons and warnings."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..escape import number, plus_minus, visible
from .verdict import verdict

if TYPE_CHECKING:
    from rich.table import Table

    from .score import Score

NAMED = 6  # metrics that share a reason and are spelled out
BASELINES = {
    "real_holdout": "real rows that nobody trained on, in place of the synthetic ones",
    "independent": "rows from the columns of train, each shuffled on its own",
}


def to_text(score: Score, width: int = 110) -> str:
    """Render a score as plain text, ``width`` characters wide."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, _environ={}
    )
    for line in verdict(score.outcome, score.baselines):
        console.print(Text(("!!! " if line.alarm else "") + line.text))
    for family, names in score.by_family().items():
        if single := [name for name in names if name in score.outcome["metrics"]]:
            console.print(_table(score, family, single))
    for text in (*_legend(score), *_labelled(score), *_reasons(score), *_warnings(score)):
        console.print(Text(visible(text)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines)


def _table(score: Score, family: str, names: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    grid.title, grid.title_justify, grid.title_style = Text(f"\n{family}"), "left", ""
    grid.add_column("metric", overflow="fold", min_width=44)
    baselines = [name.replace("_", " ") for name in score.baselines]
    for head in ("value", "±", "best", *baselines):
        grid.add_column(head, justify="right", no_wrap=True, min_width=7)
    for name in names:
        grid.add_row(*map(Text, _fields(score, name)))
    return grid


def _fields(score: Score, name: str) -> Iterator[str]:
    metric = score.outcome["declared"][name]
    yield f"{visible(name)} {'↑' if metric['direction'] == 'higher' else '↓'}"
    low, high = score.outcome["intervals"].get(name, (None, None))
    yield from plus_minus(score.outcome["metrics"][name], low, high)
    yield f"{metric['best']:g}"
    for baseline in score.baselines.values():
        value = baseline["metrics"].get(name)
        yield "–" if value is None else number(value)


def _legend(score: Score) -> Iterator[str]:
    yield from ("", "± is half the 95 % interval.")
    for name, baseline in score.baselines.items():
        yield f"{name.replace('_', ' ').capitalize()}: {baseline['rows']} {BASELINES[name]}."


def _labelled(score: Score) -> Iterator[str]:
    keys = [key for key in score.outcome["metrics"] if "[" in key]
    if keys:
        yield f"{len(keys)} more values, by column, class or group, are in --json and --html."


def _reasons(score: Score) -> Iterator[str]:
    """Yield why whole metrics have no value; single columns and groups would be too many."""
    reasons = {
        reason: [key for key in keys if "[" not in key]
        for reason, keys in score.by_reason().items()
    }
    if any(reasons.values()):
        yield from ("", "Not available:")
    for reason, names in reasons.items():
        if names:
            more = f" and {len(names) - NAMED} more" * (len(names) > NAMED)
            yield f"  {reason}: {', '.join(names[:NAMED])}{more}"


def _warnings(score: Score) -> Iterator[str]:
    if score.warnings:
        yield from ("", "Note:")
    yield from (f"  {warning}" for warning in score.warnings)
