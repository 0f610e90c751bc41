"""The verbs that run cells: ``run``, and two that are runs with some settings made."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import terminal
from .common import add_verb, grid_options, points_of, run_options


def run_verb(verbs: Any) -> None:
    """Add the verb ``run``."""
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
    from .. import plan, targets
    from ..running import pool, sweep
    from ..store import Store

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


SHORT = {"trials": "tuning.trials", "seconds": "tuning.search.seconds"}


def tune_verb(verbs: Any) -> None:
    """Add the verb ``tune``."""
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


def audit_verb(verbs: Any) -> None:
    """Add the verb ``audit``."""
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
