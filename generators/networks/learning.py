"""A network's training: Adam, what falls meanwhile, and which weights are kept.

Everything here has a ``state_dict``, so that it goes on from a checkpoint (``training.train``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..common import check_at_least

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

Network = TypeVar("Network", bound="Module")


def steps_of(steps: int | None, epochs: int, per_epoch: int) -> int:
    """Return how many steps a training has: ``epochs`` of so many, and no more than ``steps``.

    Raises
    ------
    ValueError
        If either is no whole number >= 1; ``steps`` may be None.
    """
    check_at_least("epochs", epochs, 1)
    if steps is None:
        return epochs * per_epoch
    check_at_least("steps", steps, 1)
    return min(epochs * per_epoch, steps)


class Falling:
    """A number that falls while training: evenly, or when a loss has stopped falling.

    Parameters
    ----------
    start : float
        Its first value, > 0.
    total : int
        Steps of the training.
    patience : int
        So many passes without a lower loss multiply it by ``factor``; 0: it falls evenly instead.
    factor : float
        In (0, 1).
    lowest : float
        It never falls below, >= 0. Evenly, it reaches it: by equal differences if it is 0, else by
        equal ratios.
    """

    def __init__(
        self, start: float, total: int, *, patience: int, factor: float, lowest: float = 0.0
    ) -> None:
        self.value = self.start = start
        self.total = total
        self.patience, self.factor, self.lowest = patience, factor, lowest
        self.best, self.stale = math.inf, 0

    def at(self, step: int) -> float:
        """Return its value in step 0, 1, ..."""
        if self.patience:
            return self.value
        if self.lowest > 0:
            return self.start * (self.lowest / self.start) ** (step / self.total)
        return self.start * (1 - step / self.total)

    def after_pass(self, loss: float) -> None:
        """Look at the loss of a pass."""
        self.stale = 0 if loss < self.best else self.stale + 1
        self.best = min(self.best, loss)
        if self.patience and self.stale >= self.patience:
            self.stale = 0
            self.value = max(self.value * self.factor, self.lowest)

    def state_dict(self) -> dict[str, float]:
        """Return what passes change."""
        return {"value": self.value, "best": self.best, "stale": self.stale}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from there."""
        self.value, self.best, self.stale = state["value"], state["best"], int(state["stale"])


class Learning:
    """Steps of Adam, whose rate falls, and a report of every pass.

    Parameters
    ----------
    network : Module
        What learns.
    rate : Falling
        The learning rate.
    per_pass : int
        Steps of a pass over the table; the last pass may have fewer.
    after_pass : sequence of callable, optional
        Each is told the mean loss of every pass; by default the rate is.
    warm_up : int
        First steps, in which the rate rises.
    clip : float, optional
        Largest norm of a gradient.
    """

    def __init__(
        self,
        network: Module,
        rate: Falling,
        per_pass: int,
        after_pass: Sequence[Callable[[float], None]] | None = None,
        *,
        warm_up: int = 0,
        clip: float | None = None,
    ) -> None:
        import torch

        self.network, self.rate, self.per_pass = network, rate, per_pass
        self.listeners = [rate.after_pass] if after_pass is None else after_pass
        self.warm_up, self.clip = warm_up, clip
        self.weights = list(network.parameters())
        self.adam = torch.optim.Adam(self.weights, lr=rate.start, fused=True)
        self.steps = 0
        self.sum: Any = 0.0

    def follow(self, step: int, loss: Tensor, watched: Tensor | None = None) -> None:
        """Take step 0, 1, ... down ``loss``; passes report ``watched`` if it is given."""
        import torch

        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.clip)
        rising = min(1.0, (step + 1) / max(self.warm_up, 1))
        self.adam.param_groups[0]["lr"] = self.rate.at(step) * rising
        self.adam.step()
        self.steps += 1
        self.sum = self.sum + (loss if watched is None else watched).detach()
        if self.steps == self.per_pass or step + 1 == self.rate.total:
            mean = float(self.sum) / self.steps
            self.steps, self.sum = 0, 0.0
            for listener in self.listeners:
                listener(mean)

    def state_dict(self) -> dict[str, Any]:
        """Return what steps change."""
        return {
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "rate": self.rate.state_dict(),
            "pass": (self.steps, self.sum),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.rate.load_state_dict(state["rate"])
        self.steps, self.sum = state["pass"]


class Best(Generic[Network]):
    """The weights at which a loss was lowest; the first ones until a pass is over.

    Parameters
    ----------
    network : Module
        What learns.
    last : bool
        Whether to keep the last weights instead, as is best where the learning rate has fallen to 0
        and the losses of single passes are noise.
    """

    def __init__(self, network: Network, *, last: bool = False) -> None:
        self.network = network
        self.last = last
        self.kept = copy.deepcopy(network)
        self.loss = math.inf

    def after_pass(self, loss: float) -> None:
        """Keep the present weights if they are wanted: the last, or those of the lowest loss."""
        if self.last or loss < self.loss:
            self.loss = loss
            self.kept.load_state_dict(self.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the kept weights and their loss."""
        return {"kept": self.kept.state_dict(), "loss": self.loss}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.kept.load_state_dict(state["kept"])
        self.loss = state["loss"]


class Average:
    """Running average of a network's weights.

    It takes out much of what single steps add (Polyak and Juditsky 1992), and costs no privacy
    because it reads no row (De et al. 2022, arXiv:2204.13650).

    Parameters
    ----------
    network : Module
        What learns.
    decay : float
        Weight of the past in each update, in [0, 1).

    Raises
    ------
    ValueError
        If the decay is outside its range.
    """

    def __init__(self, network: Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"average must be in [0, 1), got {decay!r}")
        self.network = network
        self.kept = copy.deepcopy(network)
        self.decay = decay
        self.updates = 0

    def update(self) -> None:
        """Take the present weights in; early ones replace what is kept (Adam's correction)."""
        import torch

        self.updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.updates)
        with torch.no_grad():
            for kept, new in zip(_numbers(self.kept), _numbers(self.network), strict=True):
                kept.lerp_(new, share)

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how much it has seen."""
        return {"kept": self.kept.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.kept.load_state_dict(state["kept"])
        self.updates = state["updates"]


def _numbers(network: Module) -> list[Tensor]:
    """Return weights and buffers that are no counts."""
    return [part for part in network.state_dict().values() if part.is_floating_point()]


def slow_down(optimizer: Optimizer, learning_rate: float, done: float) -> None:
    """Lower the learning rate linearly; it is 0 when the share ``done`` of training is 1."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * (1 - done)


def follow(loss: Tensor, network: Module, optimizer: Optimizer) -> None:
    """Take one step down a loss, and leave the gradients of all other networks alone."""
    import torch

    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
