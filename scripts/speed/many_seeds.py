"""Print what a training step takes for S seeds one after the other, and for all in one batch.

    OMP_NUM_THREADS=1 python scripts/speed/many_seeds.py [NAME ...] [--preset cpu] [--steps 60]
        [--rows 1000] [--seeds 1 4 16 64] [--alone 2] [--tables] [--device auto]

On a table drawn under the Schema of adult. Milliseconds are those of the CPU, or of the clock on a
GPU. Operations are what a step hands to the device, which is what a step of small networks costs on
a GPU. What precedes the first step is done for each seed either way and left out, as are the first
steps. ``--alone`` seeds are fitted one after the other, and what they take is scaled to S. The last
column is how far the weights of a seed in a batch are at most from those of the seed alone, as a
share of their length. With ``--tables`` each seed has a table of its own, so that its networks are
laid out in wider blocks.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

import syntharena.conf
from syntharena.bench import config, probes, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.data.datasets import schema_of
from syntharena.bench.schema import Schema
from syntharena.generators.networks.training import REPORT, device_of

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
HEADS = ("seeds", "ms apart", "ms together", "times", "ops apart", "ops together", "difference")


def main() -> None:
    """Measure every generator with every number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, help="of generators (default: all)")
    parser.add_argument("--preset", default="cpu", help="sizes of the networks")
    parser.add_argument("--steps", type=int, default=60, help="of a phase of training, >= 60")
    parser.add_argument("--rows", type=int, default=1000, help="of a table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--alone", type=int, default=2, help="seeds fitted one after the other")
    parser.add_argument("--tables", action="store_true", help="a table of its own for each seed")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options = parser.parse_args()
    if options.steps < 3 * REPORT:
        parser.error(f"--steps must be >= {3 * REPORT}, got {options.steps}")
    specs = config.all_options("generator", preset=options.preset)
    text = (files(syntharena.conf) / "dataset" / "adult.yaml").read_text()
    schema = schema_of(yaml.safe_load(text))
    whole = probes.table(schema, 2 * options.rows, np.random.default_rng(0))
    most = max(options.seeds)
    tables = [table_of(whole, options.rows, options.tables * seed) for seed in range(most)]
    device = device_of(options.device)
    print(f"# {device_name(device)}, torch {torch.__version__}, preset {options.preset}")
    print(f"{'':15}" + "".join(f"{head:>13}" for head in HEADS), flush=True)
    for name in options.names:
        spec = shortened(specs[name], options.steps) | {"device": device}
        alone = enumerate(tables[: options.alone])
        apart = [measured(spec, [own], schema, device, seed) for seed, own in alone]
        for count in options.seeds:
            print_line(name, count, apart, measured(spec, tables[:count], schema, device))


def device_name(device: str) -> str:
    """Say what computes."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} threads of {platform.processor() or platform.machine()}"


@dataclass(frozen=True)
class Measured:
    """What a step took, and what it was of."""

    milliseconds: float
    operations: float
    generators: list[Any]


class Counting(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and do it."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def shortened(spec: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return a specification of a training of so many steps, or of as many in each phase."""
    ends = ("steps", "epochs")
    lengths = [name for name in spec if name.endswith(ends) and name != "sampling_steps"]
    return spec | dict.fromkeys(lengths, steps)


def table_of(whole: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Return some rows of a table."""
    chosen = np.random.default_rng(seed).choice(len(whole), rows, replace=False)
    return whole.iloc[np.sort(chosen)].reset_index(drop=True)


def measured(
    spec: dict[str, Any],
    tables: Sequence[pd.DataFrame],
    schema: Schema,
    device: str,
    first: int = 0,
) -> Measured:
    """Fit generators of these seeds as one batch, and watch the steps after the first report.

    Most of them are timed. In the last, operations are counted, which makes them slow.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    reports, counting = [], Counting()

    def progress(step: int, total: int, **losses: float) -> None:
        reports.append((step, 1000 * clock(), counting.count))
        if total - step == REPORT:
            stack.enter_context(counting)

    with contextlib.ExitStack() as stack:
        generators = fitted(spec, tables, schema, first, progress)
    (begun, start, _), (ended, end, _), (total, _, count) = reports[0], reports[-2], reports[-1]
    return Measured((end - start) / (ended - begun), count / (total - ended), generators)


def fitted(
    spec: dict[str, Any], tables: Sequence[pd.DataFrame], schema: Schema, first: int, progress: Any
) -> list[Any]:
    """Fit generators to tables, and report on the first."""
    generators = [targets.build(spec, ("fit", "sample")) for _ in tables]
    rngs = [np.random.default_rng(first + seed) for seed in range(len(tables))]
    generators[0].progress = progress
    type(generators[0]).fit_together(generators, tables, schema=schema, budget=Budget(), rngs=rngs)
    return generators


def distance(one: Any, other: Any) -> float:
    """Return how far two generators' weights are apart, as a share of their length."""
    first, second = (
        torch.cat([part.double().cpu().ravel() for part in state.values()])
        for state in (torch.nn.ModuleDict(g.networks_).state_dict() for g in (one, other))
    )
    return float((first - second).norm() / first.norm())


def print_line(name: str, count: int, apart: Sequence[Measured], together: Measured) -> None:
    """Print what seeds take apart and together."""
    milliseconds, operations = (
        count * np.mean([getattr(one, what) for one in apart])
        for what in ("milliseconds", "operations")
    )
    pairs = zip([one.generators[0] for one in apart], together.generators, strict=False)
    difference = max(distance(one, other) for one, other in pairs)
    print(
        f"{name:15}{count:13}{milliseconds:13.2f}{together.milliseconds:13.2f}"
        f"{milliseconds / together.milliseconds:13.2f}"
        f"{operations:13.0f}{together.operations:13.0f}{difference:13.1e}",
        flush=True,
    )


if __name__ == "__main__":
    main()
