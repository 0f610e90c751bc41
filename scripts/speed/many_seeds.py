"""Print what it takes to fit S seeds one after the other, and all of them as one batch.

    OMP_NUM_THREADS=1 python scripts/speed/many_seeds.py [NAME ...] [--preset cpu] [--steps 40]
        [--rows 2000] [--seeds 1 4 16 64] [--alone 4] [--tables] [--device auto]

On tables drawn under the Schema of adult. Seconds are of the CPU, or of the clock where a GPU is
used. They hold all of a fit: encoding a table is done once for each seed either way. No more than
``--alone`` seeds are fitted one after the other, and their seconds are scaled to S. The last column
is how far weights of a seed in a batch are at most from those of the seed alone, as a share of
their length. With ``--tables`` each seed has a table of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

import syntharena.conf
from syntharena.bench import config, probes, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.datasets import schema_of
from syntharena.bench.schema import Schema

NAMES = (
    "tvae",
    "tabddpm",
    "tabdiff",
    "flow_matching",
    "autoregressive",
    "ctgan",
    "adsgan",
    "tabsyn",
)


def main() -> None:
    """Measure every generator with every number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, help="of generators (default: all)")
    parser.add_argument("--preset", default="cpu", help="sizes of the networks")
    parser.add_argument("--steps", type=int, default=40, help="of training")
    parser.add_argument("--rows", type=int, default=2000, help="of a table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--alone", type=int, default=4, help="seeds fitted one after the other")
    parser.add_argument("--tables", action="store_true", help="a table of its own for each seed")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args()
    specs = config.all_options("generator", preset=options.preset)
    text = (files(syntharena.conf) / "dataset" / "adult.yaml").read_text()
    schema = schema_of(yaml.safe_load(text))
    whole = probes.table(schema, 2 * options.rows, np.random.default_rng(0))
    print(f"{'':16}{'seeds':>6}{'apart':>9}{'together':>10}{'speed-up':>10}{'difference':>12}")
    for name in options.names:
        spec = shortened(specs[name], options.steps) | {"device": options.device}
        for count in options.seeds:
            tables = [table_of(whole, options.rows, options.tables * s) for s in range(count)]
            apart, together, difference = compared(spec, tables, schema, options.alone)
            print(
                f"{name:16}{count:6}{apart:9.2f}{together:10.2f}{apart / together:10.2f}"
                f"{difference:12.1e}",
                flush=True,
            )


def shortened(spec: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return a specification of a training of so many steps, of each of its phases."""
    lengths = [name for name in spec if name.endswith("steps") and name != "sampling_steps"]
    return spec | dict.fromkeys(lengths, steps)


def table_of(whole: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return some rows of a table."""
    chosen = np.random.default_rng(seed).choice(len(whole), rows, replace=False)
    return whole.iloc[np.sort(chosen)].reset_index(drop=True)


def compared(
    spec: dict[str, Any], tables: Sequence[pd.DataFrame], schema: Schema, alone: int
) -> tuple[float, float, float]:
    """Return the seconds of single fits, of one batch, and the largest distance of weights."""
    first, many = (
        [targets.build(spec, ("fit", "sample")) for _ in range(n)]
        for n in (min(alone, len(tables)), len(tables))
    )
    rngs = [np.random.default_rng(seed) for seed in range(len(tables))]
    given: dict[str, Any] = {"schema": schema, "budget": Budget()}

    def one_by_one() -> None:
        for seed, (generator, table) in enumerate(zip(first, tables, strict=False)):
            generator.fit(table, rng=np.random.default_rng(seed), **given)

    def as_one() -> None:
        type(many[0]).fit_together(many, tables, rngs=rngs, **given)

    apart = seconds(one_by_one) * len(tables) / len(first)
    together = seconds(as_one)
    return apart, together, max(map(distance, first, many))


def seconds(call: Callable[[], None]) -> float:
    """Return the CPU time of a call, or its wall time where there is a GPU."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - started


def distance(one: Any, other: Any) -> float:
    """Return the distance of two generators' weights, as a share of their length."""
    parts = [
        torch.cat([part.double().cpu().ravel() for part in network.state_dict().values()])
        for generator in (one, other)
        for network in [torch.nn.ModuleDict(generator.networks_)]
    ]
    return float((parts[0] - parts[1]).norm() / parts[0].norm())


if __name__ == "__main__":
    main()
