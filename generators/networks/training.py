"""Training: steps that go on where a killed training stopped, and what all networks need for them.

Whatever a step changes is handed over by name: networks, optimizers, random generators, averages.
Nothing else may change, so a training that goes on from its checkpoint ends bit-identical to one
that was never cut short.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...bench.contracts import Checkpoint

if TYPE_CHECKING:
    from torch import Generator, Tensor

REPORT = 20  # steps between two looks at the losses; each look waits for a GPU
DEVICES = ("auto", "cpu", "cuda")
T = TypeVar("T")


def not_installed() -> str | None:
    """Say how to get torch, unless it is there."""
    if find_spec("torch") is None:
        return "torch is not installed; pip install 'syntharena[networks]'"
    return None


def device_of(name: str) -> str:
    """Return where tensors go: ``auto`` is a GPU where there is one.

    Raises
    ------
    ValueError
        If the name is unknown or there is no such device.
    """
    import torch

    if name not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ValueError("device is 'cuda', but torch finds no GPU; set device to 'auto'")
    return "cuda" if found and name != "cpu" else "cpu"


def seeded(rng: np.random.Generator, device: str = "cpu") -> Generator:
    """Return a generator of torch that ``rng`` seeds."""
    import torch

    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))


def initialised(make: Callable[[], T], rng: np.random.Generator) -> T:
    """Build a network whose initial weights come from ``rng``, not from the global state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        return make()


def train(
    step: Callable[[int], Mapping[str, Tensor]],
    total: int,
    parts: Mapping[str, Any],
    *,
    progress: Sequence[Callable[..., None]],
    checkpoint: Checkpoint,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Call ``step`` with 0, 1, ... below ``total``, beginning where the checkpoint is.

    Parameters
    ----------
    step : callable
        Returns its losses by name: scalars, or tensors of shape (seeds,).
    total : int
        How many steps there are.
    parts : mapping of str to object
        Whatever steps change: with ``state_dict`` and ``load_state_dict``, or torch generators.
    progress : sequence of callable
        Of the generator of each seed.
    checkpoint : Checkpoint
        What was left there by a training with other parts is not taken.
    until : callable
        Says, from what is in ``parts``, whether to end before that.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    """
    begun, kept = checkpoint.load() or (0, {})
    if kept.keys() != parts.keys():
        begun, kept = 0, {}
    for name, state in kept.items():
        _restore(parts[name], state)
    for done in range(begun + 1, total + 1):
        if until():
            break
        with quick_products():
            losses = step(done - 1)
        if done % REPORT == 0 or done == total:
            for tell, own in zip(progress, _finite(losses, done), strict=True):
                tell(done, total, **own)
            checkpoint.save(lambda done=done: (done, {n: _state(p) for n, p in parts.items()}))
        del losses  # and what autograd keeps for them


@contextlib.contextmanager
def quick_products() -> Iterator[None]:
    """Let a GPU multiply matrices of float32 in TF32, whose factors have 10 bits of mantissa.

    Noise of single steps is far above that rounding, and products are several times faster. What
    was set before is set again; nothing changes on a CPU.
    """
    import torch

    products = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, True
    try:
        yield
    finally:
        products.allow_tf32 = before


def _finite(losses: Mapping[str, Tensor], step: int) -> list[dict[str, float]]:
    """Return the losses of each seed by name."""
    values = {name: loss.detach().reshape(-1).tolist() for name, loss in losses.items()}
    for name, of_seeds in values.items():
        for seed, value in enumerate(of_seeds):
            if not math.isfinite(value):
                many = len(of_seeds) > 1
                whose = f" of seed {seed} of {len(of_seeds)}" if many else ""
                cure = ", or fit it apart from the others" if many else ""
                raise FloatingPointError(
                    f"the loss {name!r}{whose} is {value} at step {step}; "
                    f"lower the learning rate{cure}"
                )
    return [dict(zip(values, own, strict=True)) for own in zip(*values.values(), strict=True)]


def _state(part: Any) -> Any:
    import torch

    if isinstance(part, Sequence):
        return [_state(one) for one in part]
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _restore(part: Any, state: Any) -> None:
    import torch

    if isinstance(part, Sequence):
        for one, own in zip(part, state, strict=True):
            _restore(one, own)
    elif isinstance(part, torch.Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)


class Batches:
    """Batches of row numbers, in a new random order for every pass over the table.

    The rows left over when a pass does not divide evenly are left out of that pass; ``per_epoch``
    batches have as many rows as the table, or a few more.

    Parameters
    ----------
    rows : int
        Of the table, >= 1.
    size : int
        Of a batch; the whole table where it is smaller.
    draws : torch.Generator
        Draws the orders.
    """

    def __init__(self, rows: int, size: int, draws: Generator) -> None:
        self.rows = rows
        self.size = min(size, rows)
        self.per_pass = rows // self.size
        self.per_epoch = -(-rows // self.size)
        self._draws = draws
        self._order: Any = None
        self._next = self.per_pass

    def draw(self) -> Tensor:
        """Return the next batch, int64 of shape (size,)."""
        import torch

        if self._next == self.per_pass:
            device = self._draws.device
            self._order = torch.randperm(self.rows, generator=self._draws, device=device)
            self._next = 0
        begun = self._next * self.size
        self._next += 1
        return self._order[begun : begun + self.size]

    def state_dict(self) -> dict[str, Any]:
        """Return the order of this pass and the place in it."""
        return {"order": self._order, "next": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._order, self._next = state["order"], state["next"]
