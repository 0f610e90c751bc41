"""The verb that scores a table that came from anywhere."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import escape
from . import terminal
from .common import add_verb

SCORED = {
    "train": "real rows that the generator saw",
    "holdout": "real rows that it did not see",
    "synthetic": "its rows",
    "reference": "real rows for attackers (default: half of holdout)",
}


def score_verb(verbs: Any) -> None:
    """Add the verb ``score``."""
    verb = add_verb(
        verbs,
        "score",
        _score,
        "score a synthetic table that came from anywhere",
        "  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --target y\n"
        "  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --html report.html\n"
        "  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --dataset adult\n"
        "  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --evaluators shape",
    )
    for side, text in SCORED.items():
        needed = side != "reference"
        verb.add_argument(f"--{side}", type=Path, metavar="FILE", required=needed, help=text)
    verb.add_argument("--dataset", metavar="NAME", help="a dataset whose Schema holds strictly")
    verb.add_argument("--target", metavar="COLUMN", help="the column that models predict")
    tasks = ["binary", "multiclass", "regression"]
    verb.add_argument("--task", choices=tasks, help="what predicting it is (default: guessed)")
    verb.add_argument(
        "--sensitive", nargs="+", default=[], metavar="COLUMN", help="whose groups are compared"
    )
    asked = verb.add_mutually_exclusive_group()
    asked.add_argument("--suite", default="standard", help="evaluators (default: %(default)s)")
    asked.add_argument("--evaluators", nargs="+", metavar="NAME", help="these instead of a suite")
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")
    verb.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    verb.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    verb.add_argument("--no-baselines", action="store_true", help="score the table alone")
    verb.add_argument("--no-intervals", action="store_true", help="run no jackknife")
    verb.add_argument(
        "--interval-seconds",
        type=float,
        default=5.0,
        metavar="S",
        help="no jackknife of evaluators that take more CPU seconds (default: %(default)g)",
    )
    verb.add_argument("--quiet", action="store_true", help="show no progress")


def _score(options: argparse.Namespace) -> int:
    if options.seed < 0:
        raise ValueError(f"--seed must be >= 0, got {options.seed}; set --seed 0")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    from .. import plan
    from ..foreign import servers
    from ..scoring import report, score
    from ..scoring.tables import read_tables

    files = {side: path for side in SCORED if (path := getattr(options, side)) is not None}
    writers = {"--json": (options.json, score.to_json), "--html": (options.html, report.to_html)}
    writers = {name: (path, write) for name, (path, write) in writers.items() if path}
    for name, (path, _) in writers.items():
        others = [other for option, (other, _) in writers.items() if option != name]
        _check_output(name, path, [*files.values(), *others])
    config = _score_config(options)
    cache = plan.Folders.of(config["paths"]).cache
    say = terminal.say_nothing if options.quiet else terminal.say_progress
    servers.start(servers.prepare(config["evaluators"].values(), cache, say))
    given = read_tables(
        files,
        dataset=config["dataset"] if options.dataset else None,
        target=options.target,
        task=options.task,
        sensitive=options.sensitive,
    )
    result = score.score(
        given,
        config["evaluators"],
        seed=options.seed,
        baselines=not options.no_baselines,
        interval_seconds=0.0 if options.no_intervals else options.interval_seconds,
        pictures=options.html is not None,
        say=say,
    )
    terminal.show_score(result)
    for path, write in writers.values():
        path.write_text(write(result), encoding="utf-8", newline="\n")
        print(escape.printable(str(path)))
    return 0


def _score_config(options: argparse.Namespace) -> dict[str, Any]:
    """Compose the evaluators and the dataset that the options name."""
    from .. import config

    names = options.evaluators or []
    lines = [f"+evaluator@evaluators.{name}={name}" for name in names]
    lines.append("~suite" if names else f"suite={options.suite}")
    if options.dataset:
        lines.append(f"dataset={options.dataset}")
    (point,) = config.grid(lines, config_dir=options.config_dir, multirun=False)
    return point.config


def _check_output(option: str, path: Path, taken: Sequence[Path]) -> None:
    """See that a file can be written before anything is computed, and that nothing is lost by it.

    Raises
    ------
    ValueError
        If it cannot, or it is one of those that are ``taken``.
    """
    if path.resolve() in [other.resolve() for other in taken]:
        raise ValueError(f"{option} must be a file of its own, got {str(path)!r}; choose another")
    is_new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"{option} must be a file that can be written, got {str(path)!r} ({reason}); "
            "choose another"
        ) from error
    if is_new:
        path.unlink()
