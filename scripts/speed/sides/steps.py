"""Where the time of a training step goes: ``python -m sides.steps FOLDER``.

Each network trains for a moment on the table in FOLDER with its preset cpu, while the loop of
``generators/networks/training`` is replaced by one that takes the same steps and measures them:

- FLOPs of matrix products, forward and backward, by torch's FlopCounterMode;
- CPU seconds, without anything in the way;
- which part they belong to, by clocks around functions. "data" is what comes before and beside the
  network: batches, rows as one-hot vectors, random numbers. "network" is calls of modules and
  backward passes, "optimizer" Adam and averages of weights. The rest are losses, activations and
  noising outside of modules, and Python.

The machine's peak is a large float32 product of matrices on one thread in the same process. On a
GPU seconds are those on the clock until its work is done, and parts are not told apart, because
functions return before theirs is.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sides import meter, tables
from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget
from syntharena.generators.networks import asking, critic, gan, learning, network, training
from syntharena.generators.views.blocks import Blocks

WARM, TIMED = 10, 60  # steps before the first figure, and for each figure
NEEDED = WARM + 1 + 2 * TIMED
SIDE, SIDE_ON_GPU, PRODUCTS = 2048, 8192, 5  # of the matrices; how many products
FEW = {"least_steps": NEEDED, "most_steps": NEEDED, "epochs": 1}
# Arguments under which each takes so many steps; of what has two trainings, of each.
NETWORKS: dict[str, Mapping[str, Any]] = {
    "ctgan": FEW,
    "tvae": FEW,
    "adsgan": {"steps": NEEDED},
    "tabddpm": {"steps": NEEDED},
    "tabsyn": {"vae_steps": NEEDED, "steps": NEEDED},
    "tabdiff": {"steps": NEEDED},
    "flow_matching": {"steps": NEEDED},
    "autoregressive": {"steps": NEEDED},
}
TRAININGS = {"tabsyn": ("tabsyn, autoencoder", "tabsyn, diffusion")}
NOISE = ("rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal")
IN_PLACE = ("uniform_", "normal_", "random_", "exponential_", "bernoulli_", "geometric_")
PARTS = ("data", "network", "optimizer", "rest")
# Owner, its functions, the part that they are, and within which part they are none.
CLOCKED: tuple[tuple[Any, Sequence[str], str, str], ...] = (
    (torch, NOISE, "data", ""),
    (torch.Tensor, IN_PLACE, "data", ""),
    (torch.Tensor, ("__getitem__",), "data", "network"),
    (training.Batches, ("draw",), "data", ""),
    (asking.Asking, ("draw",), "data", ""),
    (asking.Rows, ("draw",), "data", ""),
    (Blocks, ("rows",), "data", ""),
    (gan, ("gumbel",), "data", ""),
    (critic.Critic, ("noise", "kept"), "data", ""),
    (critic.Critic, ("loss", "scores", "enter"), "network", ""),
    (torch.nn.Module, ("__call__",), "network", ""),
    (torch.autograd, ("grad",), "network", ""),
    (torch.Tensor, ("backward",), "network", ""),
    (torch.optim.Adam, ("step",), "optimizer", ""),
    (torch.optim.AdamW, ("step",), "optimizer", ""),
    (learning.Average, ("update",), "optimizer", ""),
    (torch.nn.utils, ("clip_grad_norm_",), "optimizer", ""),
)


class Clock:
    """CPU seconds of each part; what a part calls that is another part counts as that one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.parts = ["rest"]
        self.since = time.process_time()

    def turn(self) -> None:
        """Give the time since the last turn to the part that is running."""
        now = time.process_time()
        self.seconds[self.parts[-1]] += now - self.since
        self.since = now

    def clocked(self, call: Callable[..., Any], part: str, *, outside: str = "") -> Callable:
        """Return ``call`` with a clock; within the part ``outside`` it has none."""

        @functools.wraps(call)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            if self.parts[-1] in (part, outside):
                return call(*args, **kwargs)
            self.turn()
            self.parts.append(part)
            try:
                return call(*args, **kwargs)
            finally:
                self.turn()
                self.parts.pop()

        return clocked

    def measure(self, steps: Callable[[], None]) -> dict[str, float]:
        """Run steps with all clocks, and return the share of each part."""
        kept = [
            (owner, name, getattr(owner, name), part, outside)
            for owner, names, part, outside in CLOCKED
            for name in names
        ]
        for owner, name, call, part, outside in kept:
            setattr(owner, name, self.clocked(call, part, outside=outside))
        try:
            self.since = time.process_time()
            steps()
            self.turn()
        finally:
            for owner, name, call, _, _ in kept:
                setattr(owner, name, call)
        total = sum(self.seconds.values())
        return {part: self.seconds[part] / total for part in PARTS}


def waited(call: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Return the seconds of a call and what it returned: of the CPU's time, or until a GPU is done.

    On a GPU these are seconds on the clock.
    """
    if device == "cpu":
        started = time.process_time()
        found = call()
        return time.process_time() - started, found
    torch.cuda.synchronize()
    started = time.perf_counter()
    found = call()
    torch.cuda.synchronize()
    return time.perf_counter() - started, found


def probing(found: list[dict[str, float]], trainings: int, device: str) -> Callable[..., None]:
    """Return what takes the place of ``network.train``, and writes down what it measures."""

    def train(step: Callable[[int], Any], total: int, *_: Any, **__: Any) -> None:
        if total != trainings * NEEDED:
            raise ValueError(f"a training must have {trainings * NEEDED} steps, got {total}")
        for place in range(trainings):
            found.append(probe(step, place * NEEDED, device))

    return train


def probe(step: Callable[[int], Any], begun: int, device: str) -> dict[str, float]:
    """Measure NEEDED steps from ``begun`` on."""
    numbers = iter(range(begun, begun + NEEDED))

    def steps(count: int) -> None:
        for _ in range(count):
            step(next(numbers))

    steps(WARM)
    with FlopCounterMode(display=False) as counter:
        steps(1)
    seconds, _ = waited(lambda: steps(TIMED), device)
    found = {"flops": counter.get_total_flops(), "seconds": seconds / TIMED}
    if device == "cpu":
        found |= Clock().measure(lambda: steps(TIMED))
    return found


def peak(device: str) -> float:
    """Return the FLOPs a second of a large float32 product, the best of a few."""
    torch.set_num_threads(1)
    side = SIDE if device == "cpu" else SIDE_ON_GPU
    first, second = torch.randn(2, side, side, device=device)
    times = [waited(lambda: torch.mm(first, second), device)[0] for _ in range(PRODUCTS)]
    return 2 * side**3 / min(times)


def measured(name: str, schema: Any, train: Any, device: str) -> list[dict[str, Any]]:
    """Measure the steps of a network."""
    spec = config.all_options("generator", preset="cpu")[name]
    spec |= {**NETWORKS[name], "device": device}
    model = targets.build(spec, ("fit", "sample"))
    labels = TRAININGS.get(name, (name,))
    found: list[dict[str, float]] = []
    kept, network.train = network.train, probing(found, len(labels), device)
    try:
        model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(0))
    finally:
        network.train = kept
    return [{"name": label, **one} for label, one in zip(labels, found, strict=True)]


def main() -> None:
    """Measure the networks, and the peak before and after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    schema, train, _ = tables.read(options.folder)
    peaks, found = [peak(options.device)], []
    for name in options.only:
        found += measured(name, schema, train, options.device)
        peaks.append(peak(options.device))
        meter.tell(peak=max(peaks), steps=found)
    meter.tell(done=True)


if __name__ == "__main__":
    main()
