"""What the command line shows: tables, findings and ends of sweeps.

Names come from anywhere; text that reaches a terminal is made printable first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .canonical import dumps

if TYPE_CHECKING:
    from .cells import Cell
    from .check import Finding
    from .score import Score
    from .status import Status
    from .store import Store
    from .sweep import Progress

SHOWN = 20  # lines of a list that could be endless


def one_line(error: Exception) -> str:
    """Return an error's text in one printable line."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(text: str) -> str:
    """Show control and bidirectional characters as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(text: str = "") -> None:
    """Print a line of output."""
    print(text)


def say_progress(text: str) -> None:
    """Print a line beside the output."""
    print(printable(text), file=sys.stderr, flush=True)


def say_nothing(text: str) -> None:
    """Keep quiet."""


def show_config(config: Mapping[str, Any]) -> None:
    """Print a configuration as YAML."""
    import yaml

    shown = {key: value for key, value in config.items() if key != "hydra"}
    say(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).rstrip())


def show_guess(spec: Mapping[str, Any]) -> None:
    """Print the Schema that was guessed from a user's table."""
    from .guess import describe

    for line in describe(spec):
        say(printable(line))
    say()


def watchers(store: Store, tracking: Mapping[str, Any], *, quiet: bool) -> list[Any]:
    """Return the views and trackers of a run."""
    from .tracking import Tracker, tracking_uri
    from .view import make_view

    found: list[Any] = [make_view(quiet)]
    uri = tracking_uri(tracking["uri"], store.root)
    if uri is not None:
        found.append(
            Tracker(store, uri, tracking["experiment"], lambda text: print(text, file=sys.stderr))
        )
    return found


def show_end(progress: Progress, cells: Sequence[Cell], store: Store) -> None:
    """Say how a sweep ended and show its leaderboard."""
    from .view import count_text

    ended = len(cells) - progress.missing
    say(f"{ended} of {len(cells)} cells have a record: {count_text(progress.counts)}")
    if progress.missing:
        say(f"{progress.missing} are missing; the same command goes on where this one stopped")
    keys = {cell.record_key for cell in cells}
    records = [record for record in map(store.get, cells) if record is not None]
    expected = [item for item in store.expected() if item["key"] in keys]
    show_searches([record for record in records if record.get("tuning")])
    if records:
        show_leaderboard(records, expected, store.root / "leaderboard")


def show_searches(records: Sequence[Mapping[str, Any]]) -> None:
    """Say what searches for hyperparameters chose, as settings that can be run again."""
    from .study import summary

    for record in records[:SHOWN]:
        names, seed = record["names"], record["cell"]["seeds"]["train"]
        title = f"{names['dataset']} {names['generator']} seed={seed}"
        say(printable(f"{title}: {summary(record['tuning'], record['cost'])}"))
        settings = (f"generator.{k}={dumps(v)}" for k, v in record["tuning"]["chosen"].items())
        say(printable(f"    {' '.join(settings)}"))
    if len(records) > SHOWN:
        say(f"... and {len(records) - SHOWN} more searches; every record holds its own")


def show_leaderboard(
    records: Iterable[Mapping[str, Any]],
    expected: Iterable[Mapping[str, Any]],
    folder: Path,
    families: Sequence[str] | None = None,
) -> None:
    """Compile a leaderboard, print it, write its pages and say where they are."""
    from . import leaderboard, render
    from .audit.conclusions import conclusions

    records = list(records)
    audits = conclusions(records)
    board = leaderboard.compile(records, expected, audits, families=families)
    say(render.to_text(board))
    for path in render.write(board, folder):
        say(str(path))


def show_score(score: Score) -> None:
    """Print a score: the verdict, a table for each family, reasons and warnings."""
    from .score_text import to_text

    say(to_text(score))


def show_entries(kind: str, entries: Sequence[tuple[str, str]]) -> None:
    """Print names with a line on each."""
    say(f"{kind}:")
    width = max((len(name) for name, _ in entries), default=0)
    for name, summary in entries:
        say(f"  {name:{width}}  {summary}")


def show_findings(title: str, findings: Iterable[Finding]) -> bool:
    """Print findings as they come; whether one of them is a failure."""
    say(title)
    failed = False
    for finding in findings:
        failed |= finding.outcome == "fail"
        detail = f": {printable(finding.detail)}" if finding.detail else ""
        say(f"  {finding.outcome}  {finding.name}{detail}")
    return failed


def show_status(status: Status) -> None:
    """Print the counts of a Store's sweeps and the cells that did not end well."""
    say(f"{status.expected} cells expected")
    for name, count in status.counts.most_common():
        say(f"  {count:6} {name}")
    for item in status.ended_badly[:SHOWN]:
        names = item["names"]
        where = f"{names['dataset']} {names['generator']} seeds {item['cell']['seeds']}"
        say(printable(f"{where}: {item['status']}: {item['reason']}"))
    if len(status.ended_badly) > SHOWN:
        say(f"... and {len(status.ended_badly) - SHOWN} more")


def record_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the record files that paths name, folders searched.

    Raises
    ------
    ValueError
        If a path is neither.
    """
    for path in paths:
        path = path.absolute()
        if path.is_dir():
            yield from sorted(path.glob("**/*.*.json"))
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"a record is a file in a Store, got {str(path)!r}")
