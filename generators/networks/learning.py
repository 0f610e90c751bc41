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
    threshold : float
        Share of a loss by which a lower one is lower, in [0, 1).
    """

    def __init__(
        self,
        start: float,
        total: int,
        *,
        patience: int,
        factor: float,
        lowest: float = 0.0,
        threshold: float = 0.0,
    ) -> None:
        self.value = self.start = start
        self.total = total
        self.patience, self.factor, self.lowest = patience, factor, lowest
        self.threshold = threshold
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
        self.stale += 1
        if loss < self.best * (1 - self.threshold):
            self.best, self.stale = loss, 0
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
        What learns: of one seed, or of several, stacked.
    rates : sequence of Falling
        The learning rate of each seed.
    per_pass : int
        Steps of a pass over the table; the last pass may have fewer.
    after_pass : callable, optional
        Is told the mean loss of every pass, one for each seed; by default each rate is.
    warm_up : int
        First steps, in which the rate rises.
    clip : float, optional
        Largest norm of a seed's gradient.
    """

    def __init__(
        self,
        network: Module,
        rates: Sequence[Falling],
        per_pass: int,
        after_pass: Callable[[Sequence[float]], None] | None = None,
        *,
        warm_up: int = 0,
        clip: float | None = None,
    ) -> None:
        from .paced import Paced

        self.network, self.rates, self.per_pass = network, rates, per_pass
        self.after_pass = after_pass or self.fall
        self.warm_up, self.clip = warm_up, clip
        self.adam = Paced(network, apart=len(rates) > 1 and rates[0].patience > 0)
        self.steps = 0
        self.sum: Any = 0.0

    def fall(self, losses: Sequence[float]) -> None:
        """Tell each rate the loss of a pass."""
        for rate, loss in zip(self.rates, losses, strict=True):
            rate.after_pass(loss)

    def follow(self, step: int, loss: Tensor, watched: Tensor | None = None) -> None:
        """Take step 0, 1, ... down ``loss``; passes report ``watched`` if it is given.

        Losses are scalars, or of shape (seeds,).
        """
        from .paced import clip_gradients, set_gradients

        weights = self.adam.weights
        set_gradients(loss, weights)
        if self.clip is not None:
            clip_gradients(weights, self.clip, len(self.rates))
        rising = min(1.0, (step + 1) / max(self.warm_up, 1))
        self.adam.step([rate.at(step) * rising for rate in self.rates])
        self.steps += 1
        self.sum = self.sum + (loss if watched is None else watched).detach()
        if self.steps == self.per_pass or step + 1 == self.rates[0].total:
            means = [total / self.steps for total in self.sum.reshape(-1).tolist()]
            self.steps, self.sum = 0, 0.0
            self.after_pass(means)

    def state_dict(self) -> dict[str, Any]:
        """Return what steps change."""
        return {
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "rates": [rate.state_dict() for rate in self.rates],
            "pass": (self.steps, self.sum),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        for rate, own in zip(self.rates, state["rates"], strict=True):
            rate.load_state_dict(own)
        self.steps, self.sum = state["pass"]


class Best(Generic[Network]):
    """The weights at which a loss was lowest; the first ones until a pass is over.

    Parameters
    ----------
    network : Module
        What learns: of one seed, or of several, stacked.
    seeds : int
        How many they are; each keeps its own best weights.
    last : bool
        Whether to keep the last weights instead, as is best where the learning rate has fallen to 0
        and the losses of single passes are noise.
    stops : int, optional
        So many passes in a row without a lower loss end the training of a seed.
    """

    def __init__(
        self, network: Network, seeds: int = 1, *, last: bool = False, stops: int | None = None
    ) -> None:
        self.network = network
        self.last, self.stops = last, stops
        self.kept = copy.deepcopy(network)
        self.losses = [math.inf] * seeds
        self.waited = [0] * seeds

    @property
    def going(self) -> list[bool]:
        """Whether the training of each seed has not ended."""
        return [self.stops is None or waited < self.stops for waited in self.waited]

    @property
    def ended(self) -> bool:
        """Whether the training of all seeds has ended."""
        return not any(self.going)

    def after_pass(self, losses: Sequence[float]) -> None:
        """Keep the present weights of each seed that wants them: the last, or the best."""
        better = [
            place
            for place, (loss, least, on) in enumerate(
                zip(losses, self.losses, self.going, strict=True)
            )
            if on and (self.last or loss < least)
        ]
        self.waited = [waited + 1 for waited in self.waited]
        for place in better:
            self.losses[place], self.waited[place] = losses[place], 0
        if len(better) == len(losses):
            self.kept.load_state_dict(self.network.state_dict())
            return
        present = self.network.state_dict()
        for name, kept in self.kept.state_dict().items():
            kept[better] = present[name][better]

    def state_dict(self) -> dict[str, Any]:
        """Return the kept weights, their losses and how old they are."""
        return {"kept": self.kept.state_dict(), "losses": self.losses, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.kept.load_state_dict(state["kept"])
        self.losses, self.waited = list(state["losses"]), list(state["waited"])


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
        self.kept = copy.deepcopy(network)
        self.decay = decay
        self.updates = 0
        self._kept, self._new = _numbers(self.kept), _numbers(network)

    def update(self) -> None:
        """Take the present weights in; early ones replace what is kept (Adam's correction)."""
        import torch

        self.updates += 1
        share = (1 - self.decay) / (1 - self.decay**self.updates)
        with torch.no_grad():
            torch._foreach_lerp_(self._kept, self._new, share)  # pyright: ignore[reportPrivateImportUsage]

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
    """Take one step down a loss, and leave the gradients of all other networks alone.

    The loss is a scalar, or of shape (seeds,) where the network is of several, stacked.
    """
    from .paced import set_gradients

    set_gradients(loss, list(network.parameters()))
    optimizer.step()
