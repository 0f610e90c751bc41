"""Fit one of our generators, draw from it, and tell what that cost: ``python -m sides.ours``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from sides import meter, tables
from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget


def main() -> None:
    """Run one generator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generator")
    parser.add_argument("folder", type=Path, help="of the tables, see tables.write")
    parser.add_argument("out", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, nargs=2, metavar=("EPSILON", "DELTA"))
    options = parser.parse_args()
    spec = config.all_options("generator", preset="cpu")[options.generator]
    for module in spec["about"]["preload"]:
        importlib.import_module(module)
    schema, train, _ = tables.read(options.folder)
    budget = Budget(*options.budget) if options.budget else Budget()
    if options.budget:
        schema = tables.bounded(schema, train)
    model = targets.build(spec | options.settings, ("fit", "sample"))
    rng = np.random.default_rng(options.seed)

    def fit() -> Callable[[int], pd.DataFrame]:
        model.fit(train, schema=schema, budget=budget, rng=rng)
        return lambda rows: model.sample(rows, rng=rng)

    meter.tell(versions={"syntharena": version("syntharena")})
    meter.run(
        fit,
        draws=options.draws,
        epochs=options.epochs,
        ends=meter.watch_steps() if "torch" in sys.modules else [],
        write=lambda made: made.to_csv(options.out, index=False),
    )


if __name__ == "__main__":
    main()
