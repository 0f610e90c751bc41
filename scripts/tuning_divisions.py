"""Print whether a search on few rows chooses better by several divisions of them than by one.

    python scripts/tuning_divisions.py cart bayesian_network --rows 600 --seeds 6

Of each table ``--rows`` random rows are searched on, by the rule of ``tuning=optuna`` without its
guards, once with a single division and once with as many as the rule has. Then the defaults and
both choices are fitted to all of these rows, three times each, and measured against 6,000 others.
Printed are the means of the objective, and how much more several divisions gain than one, with a
95 % interval over tables and seeds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from syntharena.bench import config, plan, targets
from syntharena.bench.cells import Cell
from syntharena.bench.data import datasets
from syntharena.bench.running.pool import THREAD_VARIABLES
from syntharena.bench.search.trials import Division, Task, search
from syntharena.bench.seeds import stream
from syntharena.evaluators.intervals import of_seeds

OTHERS = 6000  # rows that choices are measured against
FITS = 3  # of each choice


def main() -> None:
    """Search, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generators", nargs="+")
    parser.add_argument("--tables", nargs="+", default=["magic_gamma", "california_housing"])
    parser.add_argument("--rows", type=int, default=600, help="that a search has")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--trials", type=int, default=30, help="of a search, the defaults first")
    options = parser.parse_args()
    # Like a cell. Trials are forks, which lack the threads of the process that they come from.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    print("| generator | table | seed | defaults | one | several | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for generator in options.generators:
        gains = []
        for table in options.tables:
            for seed in range(options.seeds):
                cell = cell_of(generator, table, seed, options.trials)
                values, seconds = compare(cell, options.rows)
                gains.append(values["several"] - values["one"])
                shown = [f"{value:.4f}" for value in values.values()]
                took = " and ".join(f"{s:.0f}" for s in seconds.values())
                print(f"| {' | '.join([generator, table, str(seed), *shown, took])} |", flush=True)
        gain = of_seeds(gains)
        print(f"{generator}: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]", flush=True)


def cell_of(generator: str, table: str, seed: int, trials: int) -> Cell:
    """Return the cell whose search is looked at."""
    overrides = [f"generator={generator}", f"dataset={table}", f"seed={seed}", "tuning=optuna"]
    overrides.append(f"tuning.trials={trials}")
    (cell,) = plan.Planner().cells(config.grid(overrides, multirun=False))
    return cell


def compare(cell: Cell, rows: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return what each choice is worth on other rows, and the CPU seconds of both searches."""
    data = os.environ.get("SYNTHARENA_DATA")
    dataset = datasets.load(cell.dataset, data_dir=Path(data) if data else None)
    order = stream(cell.seeds["split"], "divisions").permutation(len(dataset.table))
    train, others = (
        dataset.table.iloc[places].reset_index(drop=True)
        for places in (order[:rows], order[rows : rows + OTHERS])
    )
    rule = replace(cell.tuning.search, guards={})  # type: ignore[type-var]
    defaults = targets.arguments(cell.generator)
    chosen: dict[str, Mapping[str, Any]] = {
        "defaults": {name: defaults[name] for name in cell.generator["search"]}
    }
    seconds = {}
    for name, least in (("one", 1), ("several", rule.validation_rows)):
        ours = replace(
            cell, tuning=replace(cell.tuning, search=replace(rule, validation_rows=least))
        )
        with tempfile.TemporaryDirectory() as folder:
            found = search(
                ours, dataset.schema, train, Path(folder, "journal"), lambda *a, **b: None
            )
        chosen[name] = found["chosen"]
        seconds[name] = sum(trial["cpu_seconds"] for trial in found["trials"])
    judged = Task(cell, rule, dataset.schema, [Division(train, others)] * FITS)
    values = {
        name: judged.attempt(0, hyperparameters, lambda *reached: None)[0]
        for name, hyperparameters in chosen.items()
    }
    return values, seconds


if __name__ == "__main__":
    main()
