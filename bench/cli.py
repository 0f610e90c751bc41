"""The command line: ``syntharena`` and its verbs.

Nothing heavy is imported before it is needed, so help answers at once. Every error that a user can
cause is one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import command_data, command_sweeps, escape, terminal
from .command import (
    Parser,
    add_verb,
    existing_store,
    grid_options,
    points_of,
    results_option,
    run_options,
)
from .names import UnknownName

EXAMPLES = """\
examples:
  syntharena run +experiment=quickstart
  syntharena run -m generator=cart,independent dataset=adult privacy=none,eps1 seed=0,1,2
  syntharena run generator=cart dataset.path=my.csv dataset.target=y
  syntharena run generator._target_=mylab.gen.MyGen dataset=adult
  syntharena tune generator=cart dataset=adult trials=30
  syntharena audit generator=mst dataset=three_bits privacy=eps1
  syntharena score --train a.csv --holdout b.csv --synthetic c.csv --html report.html
  syntharena leaderboard
  syntharena check generator._target_=mylab.gen.MyGen
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 all well, 1 findings, 2 wrong use."""
    sys.path.append(os.getcwd())  # so that a class in the user's folder can be named
    try:
        words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
        options = _parse(words)
        options.command = shlex.join(["syntharena", *words])
        return options.run(options)
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get("SYNTHARENA_TRACEBACK"):
            raise
        print(f"syntharena: {terminal.one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse a command; overrides may stand between options."""
    parser = _parser()
    verb = next((word for word in arguments if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        raise UnknownName("verb", verb, VERBS)
    options, rest = parser.parse_known_args(arguments)
    if not hasattr(options, "overrides") or any(word.startswith("-") for word in rest):
        return parser.parse_args(arguments)
    options.overrides += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="syntharena",
        description="Benchmark generators of synthetic tables and compile leaderboards.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in VERBS.values():
        add(verbs)
    return parser


# run


def _run_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "run",
        _run,
        "run the cells of a grid that have no record yet",
        "  syntharena run +experiment=quickstart\n"
        "  syntharena run generator=cart dataset=adult seed=3\n"
        "  syntharena run -m generator=cart,dp_marginals dataset='glob(*)' privacy=none,eps1\n"
        "  syntharena run generator=cart dataset.path=my.csv dataset.target=y\n"
        "  syntharena run generator=cart dataset=adult limits.seconds=60 hydra.launcher.workers=1\n"
        "  syntharena run --dry-run +experiment=generators hydra/launcher=slurm\n"
        "  syntharena run --cfg generator=cart dataset=german_credit",
    )
    grid_options(verb)
    verb.add_argument("--cfg", action="store_true", help="print the configuration and stop")
    run_options(verb)
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides")


def _run(options: argparse.Namespace) -> int:
    from . import plan, pool, sweep, targets
    from .store import Store

    points = points_of(options)
    if options.cfg:
        terminal.show_config(points[0].config)
        return 0
    planner = plan.Planner(options.config_dir)
    cells = planner.cells(points)
    for spec in planner.guessed:
        terminal.show_guess(spec)
    first = points[0].config
    folders = plan.Folders.of(first["paths"])
    store = Store(folders.results)
    launcher = targets.build(first["hydra"]["launcher"], ("run",))
    place = pool.Workplace(folders.results, folders.data, folders.cache, plan.preload(cells))
    retry = first["retry"] or ()
    if options.dry_run:
        terminal.show_lines(sweep.outline(cells, store, launcher, place, retry))
        return 0
    watchers = terminal.watchers(store, first["tracking"], quiet=options.quiet)
    try:
        progress = sweep.run(
            cells,
            store,
            launcher,
            place,
            retry=retry,
            watchers=watchers,
            say=terminal.say_nothing if options.quiet else terminal.say_progress,
        )
    finally:
        for watcher in watchers:
            watcher.close()
    terminal.show_end(progress, cells, store, options.command)
    return progress.exit_code


# tune

SHORT = {"trials": "tuning.trials", "seconds": "tuning.search.seconds"}


def _tune_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "tune",
        _tune,
        "search hyperparameters, then run the cells with them",
        "  syntharena tune generator=cart dataset=adult trials=50\n"
        "  syntharena tune generator=ctgan,tvae dataset=adult trials=30 seconds=3600\n"
        "  syntharena tune generator=dpgan dataset=adult privacy=eps1 tuning.how=public \\\n"
        "      tuning.stand_in=bank_marketing",
    )
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")
    verb.add_argument("--cfg", action="store_true", help="print the configuration and stop")
    run_options(verb)
    text = "Hydra overrides; trials and seconds of each search"
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)
    verb.set_defaults(multirun=True)


def _tune(options: argparse.Namespace) -> int:
    options.overrides = searching(options.overrides)
    return _run(options)


def searching(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of ``run`` that those of ``tune`` stand for."""
    parts = (line.partition("=") for line in overrides)
    return ["tuning=optuna", *(f"{SHORT.get(key, key)}{sign}{value}" for key, sign, value in parts)]


# audit


def _audit_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "audit",
        _audit,
        "measure how much private generators leak, against what they claim",
        "  syntharena audit generator=mst dataset=three_bits privacy=eps1\n"
        "  syntharena audit generator=mst,aim dataset=three_bits privacy=eps1,eps10 --runs 4000\n"
        "  syntharena audit generator=mst dataset=adult privacy=eps1 scenario.pair=outlier\n"
        "  syntharena audit generator=dpgan dataset=adult privacy=eps1 --once\n"
        "  syntharena audit generator._target_=mylab.gen.MyGen dataset=three_bits privacy=eps1",
    )
    verb.add_argument(
        "--runs", type=int, default=1000, help="fits in each of two worlds (default: %(default)s)"
    )
    verb.add_argument(
        "--blocks", type=int, default=8, help="cells that share the runs (default: %(default)s)"
    )
    verb.add_argument(
        "--once", action="store_true", help="one fit with canaries, where a fit takes minutes"
    )
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")
    run_options(verb)
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides")
    verb.set_defaults(multirun=True, cfg=False)


def _audit(options: argparse.Namespace) -> int:
    if not 1 <= options.blocks <= options.runs:
        raise ValueError(
            f"--blocks must be between 1 and --runs={options.runs}, got {options.blocks}"
        )
    runs = f"scenario.runs={-(-options.runs // options.blocks)}"
    many = ["scenario=audit", runs, f"seed=range({options.blocks})"]
    audit = ["scenario=audit_once"] if options.once else many
    options.overrides = [*audit, "~suite", *options.overrides]
    return _run(options)


# score

SCORED = {
    "train": "real rows that the generator saw",
    "holdout": "real rows that it did not see",
    "synthetic": "its rows",
    "reference": "real rows for attackers (default: half of holdout)",
}


def _score_verb(verbs: Any) -> None:
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
    from . import plan, report, score, score_tables
    from .foreign import servers

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
    given = score_tables.read_tables(
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
    from . import config

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


# leaderboard


def _leaderboard_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "leaderboard",
        _leaderboard,
        "compile the leaderboard from records",
        "  syntharena leaderboard\n"
        "  syntharena leaderboard --results results/quickstart --families fidelity utility\n"
        "  syntharena leaderboard --from-mlflow sqlite:///results/runs/mlflow.db",
    )
    results_option(verb)
    verb.add_argument("--out", type=Path, help="folder of the pages (default: leaderboard in it)")
    verb.add_argument("--families", nargs="+", help="only these families of metrics")
    verb.add_argument("--from-mlflow", metavar="URI", help="read the records from MLflow instead")
    verb.add_argument("--experiment", default="syntharena", help="name of the MLflow experiment")


def _leaderboard(options: argparse.Namespace) -> int:
    from . import tracking

    if options.from_mlflow:
        records, expected = tracking.read(options.from_mlflow, options.experiment)
    else:
        store = existing_store(options.results)
        records, expected = list(store.records()), list(store.expected())
    if not records:
        raise ValueError("there are no records to compile; run a sweep: syntharena run ...")
    terminal.show_leaderboard(
        records, expected, options.out or options.results / "leaderboard", options.families
    )
    return 0


# list


def _list_verb(verbs: Any) -> None:
    from .catalog import KINDS

    verb = add_verb(
        verbs,
        "list",
        _list,
        "list what exists, one line each",
        "  syntharena list\n  syntharena list datasets",
    )
    verb.add_argument("kind", nargs="?", help=f"one of {', '.join(KINDS)}")
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")


def _list(options: argparse.Namespace) -> int:
    from . import catalog

    if options.kind and options.kind not in catalog.KINDS:
        raise UnknownName("kind", options.kind, catalog.KINDS)
    kinds = [options.kind] if options.kind else list(catalog.KINDS)
    for kind in kinds:
        terminal.show_entries(kind, catalog.entries(catalog.KINDS[kind], options.config_dir))
    return 0


# check


def _check_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "check",
        _check,
        "run the contract tests of generators, evaluators and datasets",
        "  syntharena check generator=cart\n"
        "  syntharena check generator._target_=mylab.gen.MyGen +generator.epochs=1\n"
        "  syntharena check +evaluator=utility\n"
        "  syntharena check dataset=adult\n"
        "  syntharena check -m generator='glob(*)'",
    )
    grid_options(verb)
    verb.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="what is checked")


def _check(options: argparse.Namespace) -> int:
    from . import plan

    points = points_of(options)
    planner = plan.Planner(options.config_dir)
    reports = [report for point in points for report in _findings(point.config, planner)]
    if not reports:
        raise ValueError("nothing to check: name generator=..., +evaluator=... or dataset=...")
    failed = [terminal.show_findings(title, findings) for title, findings in reports]
    return int(any(failed))


def _findings(config: dict[str, Any], planner: Any) -> Iterator[tuple[str, Any]]:
    """Yield a title and the findings for each thing that a configuration names."""
    from . import check, plan
    from .foreign import servers

    folders = plan.Folders.of(config["paths"])
    for kind, findings in (("generator", check.generator), ("evaluator", check.evaluator)):
        if (config.get(kind) or {}).get("_target_"):
            spec = planner.resolved(config[kind])
            servers.start(servers.prepare([spec], folders.cache, terminal.say_progress))
            yield _title(kind, spec), findings(spec)
    if "columns" in config["dataset"] or config["dataset"]["path"]:
        spec = planner.dataset(config["dataset"])
        yield f"dataset {spec['name']}", check.dataset(spec, folders.data, folders.cache)


def _title(kind: str, spec: dict[str, Any]) -> str:
    return f"{kind} {(spec.get('about') or {}).get('name') or spec['_target_']}"


# verify


def _verify_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "verify",
        _verify,
        "execute the cells of records again and compare hashes",
        "  syntharena verify results/runs/records/ab/abc....json\n"
        "  syntharena verify results/quickstart/records",
    )
    verb.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="files or folders")
    verb.add_argument("--data", type=Path, help="a folder of tables (default: SYNTHARENA_DATA)")


def _verify(options: argparse.Namespace) -> int:
    from . import plan, verify
    from .store import Store

    folders = plan.Folders.of({"data": options.data})
    different = False
    for path in terminal.record_files(options.records):
        store = Store(path.parent.parent.parent)
        record = store.read(path)
        if record is None:
            print(f"damaged         {path}")
            different = True
            continue
        verdict = verify.verify(record, store, folders.data, folders.cache)
        print(f"{verdict.status:15} {path}")
        for difference in verdict.differences:
            print(f"    {escape.printable(difference)}")
        different |= verdict.status == "different"
    return int(different)


# mlflow


def _mlflow_verb(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "mlflow",
        _mlflow,
        "bring what the Store holds to MLflow",
        "  syntharena mlflow sync\n"
        "  syntharena mlflow rebuild\n"
        "  syntharena mlflow rebuild --results results/quickstart --uri http://127.0.0.1:5000\n"
        "then look at it:\n"
        "  mlflow ui --backend-store-uri sqlite:///results/runs/mlflow.db",
    )
    text = "add what MLflow lacks, or make the experiment again"
    verb.add_argument("action", choices=["sync", "rebuild"], help=text)
    results_option(verb)
    verb.add_argument("--uri", help="MLflow's tracking URI (default: mlflow.db in the folder)")
    verb.add_argument("--experiment", default="syntharena", help="name of the MLflow experiment")


def _mlflow(options: argparse.Namespace) -> int:
    from . import tracking

    store = existing_store(options.results)
    uri = tracking.tracking_uri(options.uri, store.root)
    if uri is None:
        raise ValueError("--uri must name an MLflow store, got 'none'")
    if options.action == "sync":
        print(f"{tracking.sync(store, uri, options.experiment)} records were added to {uri}")
    else:
        print(f"{tracking.rebuild(store, uri, options.experiment)} records are now in {uri}")
    return 0


VERBS = {
    "run": _run_verb,
    "tune": _tune_verb,
    "audit": _audit_verb,
    "score": _score_verb,
    "leaderboard": _leaderboard_verb,
    "list": _list_verb,
    "check": _check_verb,
    "verify": _verify_verb,
    "status": command_sweeps.status_verb,
    "logs": command_sweeps.logs_verb,
    "cancel": command_sweeps.cancel_verb,
    "retry": command_sweeps.retry_verb,
    "mlflow": _mlflow_verb,
    "data": command_data.data_verb,
}


if __name__ == "__main__":
    sys.exit(main())
