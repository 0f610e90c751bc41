"""When a training has learned what it can: the best weights so far, and steps that get smaller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .learning import Best

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

FACTOR = 0.5  # what a learning rate is lowered by
LOWEST = 0.1  # share of the first learning rate below which it is not lowered
THRESHOLD = 1e-4  # share of the loss that a better one is better by


class Patience:
    """Watches the loss on rows that no step learns from.

    Parameters
    ----------
    network : Module
        What is trained.
    optimizer : Optimizer
        Whose learning rate is halved.
    stops : int
        So many looks in a row without a better loss end the training.
    slows : int
        More than so many lower the learning rate, as PyTorch's ``ReduceLROnPlateau`` does.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, stops: int, slows: int) -> None:
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        self._network = network
        self._best = Best(network)
        self._stops = stops
        rate = optimizer.param_groups[0]["lr"]
        self._plateau = ReduceLROnPlateau(
            optimizer, factor=FACTOR, patience=slows, threshold=THRESHOLD, min_lr=LOWEST * rate
        )
        self._waited = 0

    @property
    def ended(self) -> bool:
        """Whether the training has ended."""
        return self._waited >= self._stops

    def look(self, loss: float) -> None:
        """Take in the loss of the present weights."""
        self._plateau.step(loss)
        self._waited = 0 if loss < self._best.loss else self._waited + 1
        self._best.after_pass(loss)

    @property
    def best(self) -> nn.Module:
        """The network with the best weights; with the present ones before the first look."""
        return self._network if math.isinf(self._best.loss) else self._best.kept

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        parts = {"best": self._best.state_dict(), "plateau": self._plateau.state_dict()}
        return {**parts, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._waited = state["waited"]
        self._best.load_state_dict(state["best"])
        self._plateau.load_state_dict(state["plateau"])
