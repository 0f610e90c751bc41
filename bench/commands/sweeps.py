"""The verbs for sweeps that were started before, here or on a cluster.

They need nothing but the Store, so they work from any shell.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import escape
from ..names import UnknownName
from ..statuses import ENDED_WELL, STATUSES
from . import terminal
from .common import add_verb, existing_store, results_option, run_options

if TYPE_CHECKING:
    from ..store import Store


def status_verb(verbs: Any) -> None:
    """Add the verb ``status``."""
    verb = add_verb(
        verbs,
        "status",
        _status,
        "count the expected, ended, running and missing cells of the sweeps",
        "  syntharena status\n  syntharena status --results results/quickstart",
    )
    results_option(verb)


def _status(options: argparse.Namespace) -> int:
    from ..store import Store
    from .status import status

    store = Store(options.results)
    found = status(store)
    if not found.expected:
        raise ValueError(f"no sweep has been run in {str(options.results)!r}; set --results FOLDER")
    terminal.show_status(found, store)
    return 0 if set(found.counts) <= ENDED_WELL else 1


def logs_verb(verbs: Any) -> None:
    """Add the verb ``logs``."""
    verb = add_verb(
        verbs,
        "logs",
        _logs,
        "list what cells that did not end well had printed, or show it",
        "  syntharena logs\n  syntharena logs ctgan adult seed=3\n  syntharena logs oom --all",
    )
    results_option(verb)
    verb.add_argument("--all", action="store_true", help="show every log, not only a single one")
    text = "only cells whose line has all of these words"
    verb.add_argument("words", nargs="*", metavar="WORD", help=text)


def _logs(options: argparse.Namespace) -> int:
    store = existing_store(options.results)
    found = [
        (line, path)
        for line, path in _logged(store)
        if all(word in f"{line} {path}" for word in options.words)
    ]
    if not found:
        terminal.say("no cell that ended badly has such a line, and no job printed anything")
    for line, path in found:
        terminal.say(escape.printable(f"{line}  {path}"))
        if options.all or len(found) == 1:
            terminal.show_file(path)
    return 0


def _logged(store: Store) -> Iterator[tuple[str, Path]]:
    """Yield a line and a file for every cell that ended badly, and for jobs that said something."""
    for record in store.records():
        path = store.log_path(record["key"])
        if record["status"] not in ENDED_WELL and path.exists():
            yield terminal.ending(record), path
    for path in sorted((store.root / "jobs").glob("*/*.out")):
        if path.stat().st_size:
            yield f"task {path.stem} of {path.parent.name}", path


def cancel_verb(verbs: Any) -> None:
    """Add the verb ``cancel``."""
    verb = add_verb(
        verbs,
        "cancel",
        _cancel,
        "cancel the job arrays of a Store",
        "  syntharena cancel\n  syntharena cancel --results results/mine",
    )
    results_option(verb)


def _cancel(options: argparse.Namespace) -> int:
    from ..slurm.overview import cancel

    names = cancel(existing_store(options.results))
    for name in names:
        terminal.say(f"cancelled {name}")
    if not names:
        terminal.say("no job array of this folder is in the queue or running")
    return 0


def retry_verb(verbs: Any) -> None:
    """Add the verb ``retry``."""
    verb = add_verb(
        verbs,
        "retry",
        _retry,
        "submit again what is missing of a Store's job arrays, and what ended badly if asked",
        "  syntharena retry\n  syntharena retry failed timeout\n  syntharena retry oom --detach",
    )
    results_option(verb)
    run_options(verb)
    verb.add_argument("--detach", action="store_true", help="submit and leave")
    text = f"also run cells again that ended so: {', '.join(STATUSES)}"
    verb.add_argument("statuses", nargs="*", metavar="STATUS", help=text)


def _retry(options: argparse.Namespace) -> int:
    from ..running import sweep
    from ..slurm.launcher import Slurm
    from ..slurm.overview import submitted
    from .view import make_view

    for status in options.statuses:
        if status not in STATUSES:
            raise UnknownName("status", status, STATUSES)
    store = existing_store(options.results)
    cells, newest = submitted(store)
    launcher = Slurm(**newest.plan["launcher"], detach=options.detach)
    statuses = ["preempted", *options.statuses]
    if options.dry_run:
        lines = sweep.outline(cells, store, launcher, newest.place, statuses)
        terminal.show_lines(lines)
        return 0
    view = make_view(options.quiet)
    say = terminal.say_nothing if options.quiet else terminal.say_progress
    try:
        progress = sweep.run(
            cells, store, launcher, newest.place, retry=statuses, watchers=[view], say=say
        )
    finally:
        view.close()
    command = f"syntharena retry{terminal.results_words(store)}"
    terminal.show_end(progress, cells, store, command)
    return progress.exit_code
