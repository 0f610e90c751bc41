"""What the command line shows: tables, findings and ends of sweeps.

Names come from anywhere; text that reaches a terminal is made printable first.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..canonical import dumps
from ..escape import printable
from ..statuses import ENDED_WELL

if TYPE_CHECKING:
    from ..cells import Cell
    from ..check import Finding
    from ..running.sweep import Progress
    from ..scoring.score import Score
    from ..store import Store
    from .status import Status

SHOWN = 20  # lines of a list that could be endless
DETACHED = "hydra.launcher.detach=true"


def one_line(error: Exception) -> str:
    """Return an error's text in one printable line."""
    return printable(" ".join(str(error).split())) or type(error).__name__


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
    from ..data.guess import describe

    for line in describe(spec):
        say(printable(line))
    say()


def watchers(store: Store, tracking: Mapping[str, Any], *, quiet: bool) -> list[Any]:
    """Return the views and trackers of a run."""
    from ..tracking import DatabaseError, Tracker, tracking_uri
    from .view import make_view

    found: list[Any] = [make_view(quiet)]
    try:
        uri = tracking_uri(tracking["uri"], store.root)
    except DatabaseError as error:
        if tracking["uri"] is not None:
            raise
        uri = None  # nobody asked for it in this place
        say_progress(f"MLflow is not written: {error}, then: syntharena mlflow sync --uri URI")
    if uri is not None:
        found.append(
            Tracker(store, uri, tracking["experiment"], lambda text: print(text, file=sys.stderr))
        )
    return found


def show_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        say(printable(line))


def show_end(progress: Progress, cells: Sequence[Cell], store: Store, command: str) -> None:
    """Show a sweep's leaderboard, then say how it ended and which command completes it.

    What a cluster has in hand ends when it likes: then there is no board yet.
    """
    keys = {cell.record_key for cell in cells}
    records = [record for record in map(store.get, cells) if record is not None]
    expected = [item for item in store.expected() if item["key"] in keys]
    show_searches([record for record in records if record.get("tuning")])
    if records and not progress.left:
        show_leaderboard(records, expected, store.root / "leaderboard")
    show_missing(progress, records, store, command)


def show_missing(
    progress: Progress, records: Sequence[Mapping[str, Any]], store: Store, command: str
) -> None:
    """Say what of a sweep is done, what is not, and which commands go on with it."""
    from .tally import count_text

    ended = len(progress.cells) - progress.missing
    say(f"{ended} of {len(progress.cells)} cells have a record: {count_text(progress.counts)}")
    where = results_words(store)
    if progress.left:
        say(f"{progress.left} are in the queue or running; look at them: syntharena status{where}")
        staying = command.replace(f" {DETACHED}", "")
        say(f"wait for them: {printable(staying)}; end them: syntharena cancel{where}")
    if (missing := progress.missing - progress.left) > 0:
        say(f"{missing} are missing; complete them: {printable(command)}")
    bad = [record for record in records if record["status"] not in ENDED_WELL]
    show_reasons(bad)
    if bad:
        statuses = sorted({record["status"] for record in bad})
        say(f"what they printed: syntharena logs{where}")
        say(f"run them again: {printable(again(command, statuses))}")


def again(command: str, statuses: Sequence[str]) -> str:
    """Return the command that runs cells with these statuses again."""
    if command.startswith("syntharena retry"):
        return f"{command} {' '.join(statuses)}"
    return f"{command} 'retry=[{','.join(statuses)}]'"


def results_words(store: Store) -> str:
    """Return the option that names a Store, if it needs one."""
    is_default = store.root == Path("results/runs").absolute()
    return "" if is_default else f" --results {shlex.quote(str(store.root))}"


def show_reasons(bad: Sequence[Mapping[str, Any]]) -> None:
    """Print why cells did not end well, each reason once with its count."""
    from .tally import short

    reasons = Counter((record["status"], short(record["reason"])) for record in bad)
    for (status, reason), number in reasons.most_common(SHOWN):
        say(printable(f"  {number:6} {status}: {reason}"))
    if len(reasons) > SHOWN:
        say(f"  ... and {len(reasons) - SHOWN} more reasons")


def show_searches(records: Sequence[Mapping[str, Any]]) -> None:
    """Say what searches for hyperparameters chose, as settings that can be run again."""
    from ..search.study import summary

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
    from ..audit.conclusions import conclusions
    from ..boards import leaderboard, render

    records = list(records)
    audits = conclusions(records)
    board = leaderboard.compile(records, expected, audits, families=families)
    say(render.to_text(board))
    for path in render.write(board, folder):
        say(str(path))


def show_score(score: Score) -> None:
    """Print a score: the verdict, a table for each family, reasons and warnings."""
    from ..scoring.text import to_text

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


def show_status(status: Status, store: Store) -> None:
    """Print the counts of a Store's sweeps and the cells that did not end well."""
    from .tally import SLOWEST, duration

    say(f"{status.expected} cells expected")
    for name, count in status.counts.most_common():
        say(f"  {count:6} {name}")
    slowest = sorted(status.seconds.items(), key=lambda item: -item[1])[:SLOWEST]
    if slowest:
        named = ", ".join(f"{name} {duration(seconds)}" for name, seconds in slowest)
        say(printable(f"mean time of a cell, the longest: {named}"))
    for item in status.ended_badly[:SHOWN]:
        say(printable(ending(item)))
    if len(status.ended_badly) > SHOWN:
        say(f"... and {len(status.ended_badly) - SHOWN} more, by reason:")
        show_reasons(status.ended_badly)
    show_jobs(status, store)


def show_jobs(status: Status, store: Store) -> None:
    """Print the job arrays of a Store, and which commands go on with them."""
    jobs, where = status.jobs, results_words(store)
    if jobs.trouble:
        say(f"what is queued on a cluster counts as missing: {jobs.trouble}")
    for name, counts in jobs.arrays:
        tasks = ", ".join(f"{number} {state.lower()}" for state, number in counts.most_common())
        say(f"{name}: tasks {tasks}")
    if jobs.arrays:
        say(f"end them: syntharena cancel{where}")
    if status.counts["missing"]:
        is_submitted = (store.root / "jobs").is_dir()
        command = f"syntharena retry{where}" if is_submitted else "the command of the sweep, again"
        say(f"complete what is missing: {command}")
    if status.ended_badly:
        say(f"what they printed: syntharena logs{where}")


def ending(item: Mapping[str, Any]) -> str:
    """Say of a cell what it is and how it ended, in one line."""
    names, seeds = item["names"], item["cell"]["seeds"]
    where = f"{names['dataset']} {names['generator']} seeds {seeds}"
    if len(set(seeds.values())) == 1:
        where = f"{names['dataset']} {names['generator']} seed={seeds['train']}"
    return f"{where}: {item['status']}: {' '.join(item['reason'].split())}"


def show_file(path: Path) -> None:
    """Print a file's text, control characters as escapes."""
    for line in path.read_text(errors="replace").splitlines():
        say(f"    {printable(line)}")


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
