"""Train our networks on a GPU and draw from them: ``python -m sides.device FOLDER``.

One after the other in one process, because a GPU's first call takes seconds. What counts is time on
the clock with the GPU's work done: a training looks at its losses every few steps and so waits for
the GPU, and the mean step is what lies between the second look and the last. Imports, the first
call and compiling are before that; encoding is in the whole fit.

It needs numpy, pandas, scipy, scikit-learn, torch and hydra-core, and no environment of a peer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sides import meter, tables
from sides.pairs import PAIRS, Pair
from sides.steps import NETWORKS, waited
from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget, Tables
from syntharena.evaluators.shape import Shape

Look = tuple[int, int, float]  # steps done, steps in all, seconds


def each_network(only: Sequence[str]) -> list[Pair]:
    """Return the first pair of each network of ours, or of those named."""
    found = {pair.generator: pair for pair in reversed(PAIRS) if pair.generator in NETWORKS}
    asked = [found[name] for name in NETWORKS]
    return [pair for pair in asked if not only or {pair.name, pair.generator} & set(only)]


def epoch_of(looks: Sequence[Look], epochs: int) -> tuple[float, float]:
    """Return the seconds of an epoch and the seconds of a step.

    Parameters
    ----------
    looks : sequence of (int, int, float)
        At the losses: steps done, steps in all, when. The first is not used where there are three.
    epochs : int
        How many epochs all steps are.
    """
    looks = looks[1:] if len(looks) > 2 else looks
    if len(looks) < 2:
        raise ValueError("a training needs two looks at its losses; raise --epochs")
    (first, _, begun), (last, total, ended) = looks[0], looks[-1]
    step = (ended - begun) / (last - first)
    return step * total / epochs, step


def measured(pair: Pair, options: argparse.Namespace, sides: Any) -> dict[str, Any]:
    """Fit and draw by one network."""
    schema, train, holdout = sides
    spec = config.all_options("generator", preset="cpu")[pair.generator]
    settings = pair.ours(len(train), options.epochs) | {"device": options.device}
    model = targets.build(spec | settings, ("fit", "sample"))
    looks: list[Look] = []
    model.progress = lambda done, total, **_: looks.append((done, total, time.perf_counter()))
    rng = np.random.default_rng(options.seed)
    on_gpu = options.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds, _ = waited(
        lambda: model.fit(train, schema=schema, budget=Budget(), rng=rng), options.device
    )
    drawing, drawn = waited(lambda: model.sample(options.draws, rng=rng), options.device)
    epoch, step = epoch_of(looks, options.epochs)
    shape = Shape().evaluate(Tables(train, holdout, holdout, drawn), schema=schema, rng=rng)
    return {
        "name": pair.generator,
        "epoch_seconds": epoch,
        "milliseconds": 1e3 * step,
        "fit_seconds": seconds,
        "rows_per_second": options.draws / drawing,
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else 0.0,
        "shape": shape["shape_score"],
        "settings": settings,
    }


def main() -> None:
    """Measure the networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the tables, see tables.write")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sides = tables.read(options.folder)
    waited(lambda: torch.ones(2, device=options.device), options.device)
    meter.tell(device=torch.cuda.get_device_name() if options.device == "cuda" else "the CPU")
    found = []
    for pair in each_network(options.only):
        found.append(measured(pair, options, sides))
        meter.tell(networks=found)
    meter.tell(done=True)


if __name__ == "__main__":
    main()
