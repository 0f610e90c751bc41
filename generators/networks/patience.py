"""When a training has learned what it can: the best weights so far, and steps that get smaller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .learning import Best, Falling

if TYPE_CHECKING:
    from torch import nn

FACTOR = 0.5  # what a learning rate is lowered by
LOWEST = 0.1  # share of the first learning rate below which it is not lowered
THRESHOLD = 1e-4  # share of the loss that a better one is better by


class Patience:
    """Watches the loss on rows that no step learns from.

    Parameters
    ----------
    network : Module
        What is trained: of one seed, or of several, stacked.
    rate : float
        The first learning rate, > 0.
    stops : int
        So many looks in a row without a better loss end the training of a seed.
    slows : int
        More than so many halve the learning rate, as PyTorch's ``ReduceLROnPlateau`` does.
    seeds : int
        How many there are.
    """

    def __init__(
        self, network: nn.Module, rate: float, *, stops: int, slows: int, seeds: int = 1
    ) -> None:
        self._network = network
        self._best = Best(network, seeds, stops=stops)
        plateau = {"patience": slows + 1, "factor": FACTOR, "lowest": LOWEST * rate}
        self._rates = [Falling(rate, 0, **plateau, threshold=THRESHOLD) for _ in range(seeds)]

    @property
    def rates(self) -> list[float]:
        """The learning rate of each seed; 0 once its training has ended."""
        pairs = zip(self._rates, self._best.going, strict=True)
        return [rate.value if on else 0.0 for rate, on in pairs]

    @property
    def ended(self) -> bool:
        """Whether the training of all seeds has ended."""
        return self._best.ended

    def look(self, losses: Sequence[float]) -> None:
        """Take in the losses of the present weights."""
        for rate, loss, on in zip(self._rates, losses, self._best.going, strict=True):
            if on:
                rate.after_pass(loss)
        self._best.after_pass(losses)

    def best(self, seed: int) -> nn.Module:
        """Return the network with a seed's best weights, or, before the first look, the present."""
        return self._network if math.isinf(self._best.losses[seed]) else self._best.kept

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        rates = [rate.state_dict() for rate in self._rates]
        return {"best": self._best.state_dict(), "rates": rates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._best.load_state_dict(state["best"])
        for rate, own in zip(self._rates, state["rates"], strict=True):
            rate.load_state_dict(own)
