"""Print what privacy costs neural generators: the same networks with it and without, side by side.

    OMP_NUM_THREADS=1 python scripts/speed/private_networks.py [--rows 29305] [--steps 400]

1. Real rows a second of CPU time that training takes in, at epsilon 1 and without a budget, in
   turns, on a table drawn under the Schema of adult: the median of the turns. Calibration, once a
   fit, is left out.
2. Ways to the clipped gradient of one critic on one lot: no clipping, the closed form that is used
   here, and Opacus.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import torch
import yaml
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

import syntharena.conf
from syntharena.bench import probes
from syntharena.bench.contracts import Budget
from syntharena.bench.data.datasets import schema_of
from syntharena.generators.dpctgan import DpCtgan
from syntharena.generators.dpgan import DpGan
from syntharena.generators.dptvae import DpTvae
from syntharena.generators.networks.rows import Perceptron
from syntharena.generators.pategan import PateGan
from syntharena.generators.privacy.dpsgd import clipped_sums
from syntharena.generators.views.blocks import Encoding

TURNS = 5
LOT, BINS, HIDDEN = 256, 16, 64


def main() -> None:
    """Run both measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=29_305)
    parser.add_argument(
        "--steps", type=int, default=400, help="of DP-SGD; a tenth of votes' rounds"
    )
    options = parser.parse_args()
    spec = yaml.safe_load((files(syntharena.conf) / "dataset" / "adult.yaml").read_text())
    schema = schema_of(spec)
    table = probes.table(schema, options.rows, np.random.default_rng(0))
    print("rows a second of CPU time:       epsilon 1  no privacy    ratio")
    for name, make, rows in generators(options.steps):
        found: dict[float, list[float]] = {1.0: [], float("inf"): []}
        for turn in range(TURNS):
            for epsilon, rates in found.items():
                budget = Budget(epsilon, 1e-5)
                seconds = training_seconds(make(), table, schema, budget, turn)
                rates.append(rows / seconds)
        private, plain = map(statistics.median, found.values())
        print(f"  {name:28} {private:10.0f}  {plain:10.0f}  {private / plain:7.2f}")
    print("milliseconds of CPU time for one critic's gradient:")
    rows = Encoding.of(schema, BINS).rows(Encoding.of(schema, BINS).places(table[:LOT]))
    for name, step in gradients(rows).items():
        print(f"  {name:28} {milliseconds(step):10.2f}")


def generators(steps: int) -> list[tuple[str, Callable[[], Any], int]]:
    """Return names, constructors, and the real rows that training takes in after its first report.

    Training is timed between its first report of progress and its last.
    """
    rounds = max(2, steps // 10)
    pate = PateGan()
    seen = pate.teachers * pate.batch * pate.teacher_steps
    return [
        ("dpgan", lambda: DpGan(steps=steps, critic_steps=20), LOT * (steps - 20)),
        ("dpctgan", lambda: DpCtgan(steps=steps, critic_steps=10), LOT * (steps - 10)),
        ("dptvae", lambda: DpTvae(steps=steps), LOT * (steps - 1)),
        ("pategan", lambda: PateGan(rounds=rounds), seen * (rounds - 1)),
    ]


def training_seconds(generator: Any, table: Any, schema: Any, budget: Budget, seed: int) -> float:
    """Fit, and return the CPU time between the first and the last report."""
    reports: list[float] = []
    generator.progress = lambda *_, **__: reports.append(time.process_time())
    generator.fit(table, schema=schema, budget=budget, rng=np.random.default_rng(seed))
    return reports[-1] - reports[0]


def gradients(rows: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Return ways to take one gradient of a critic's mean score, clipped row by row."""
    critic = Perceptron([rows.shape[1], HIDDEN, HIDDEN, 1], torch.Generator().manual_seed(0))

    def plain() -> None:
        torch.autograd.grad(critic(rows).mean(), list(critic.parameters()))

    def closed_form() -> None:
        scores, taps = critic.tapped(rows)
        clipped_sums(scores.squeeze(1), taps, 1.0)

    ways = {"no clipping": plain, "closed form (ours)": closed_form}
    for mode in ("hooks", "functorch"):
        ways[f"Opacus, {mode}"] = opacus_per_row(rows, mode == "functorch")
    ways["Opacus, ghost clipping"] = opacus_ghost(rows)
    return ways


def same_critic(width: int) -> nn.Module:
    """Return the critic as a plain sequence, which Opacus wraps."""
    layers = [nn.Linear(width, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, HIDDEN)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))


def opacus_per_row(rows: torch.Tensor, functorch: bool) -> Callable[[], None]:
    """Gradients of each row are built, then clipped and summed."""
    module = GradSampleModule(same_critic(rows.shape[1]), force_functorch=functorch)
    optimizer = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(rows),
    )
    inputs = rows.clone().requires_grad_()

    def step() -> None:
        optimizer.zero_grad()
        module(inputs).mean().backward()
        optimizer.clip_and_accumulate()

    return step


def opacus_ghost(rows: torch.Tensor) -> Callable[[], None]:
    """Norms come first, without gradients of rows, then a second backward pass."""
    module = GradSampleModuleFastGradientClipping(same_critic(rows.shape[1]), max_grad_norm=1.0)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(module.parameters(), lr=0.0),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=len(rows),
    )
    criterion = DPLossFastGradientClipping(module, optimizer, nn.L1Loss())
    inputs, zeros = rows.clone().requires_grad_(), torch.zeros(len(rows), 1)

    def step() -> None:
        optimizer.zero_grad()
        criterion(module(inputs), zeros).backward()

    return step


def milliseconds(step: Callable[[], None], repeats: int = 100) -> float:
    """CPU time of a call, the median of several runs."""
    step()
    runs = []
    for _ in range(TURNS):
        started = time.process_time()
        for _ in range(repeats):
            step()
        runs.append(1000 * (time.process_time() - started) / repeats)
    return statistics.median(runs)


if __name__ == "__main__":
    main()
