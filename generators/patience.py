"""When a training has learned what it can: the best weights so far, and steps that get smaller."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
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
        self._stops = stops
        rate = optimizer.param_groups[0]["lr"]
        self._plateau = ReduceLROnPlateau(
            optimizer, factor=FACTOR, patience=slows, threshold=THRESHOLD, min_lr=LOWEST * rate
        )
        self._best: dict[str, Tensor] = {}
        self._waited = 0
        self.loss = math.inf

    @property
    def ended(self) -> bool:
        """Whether the training has ended."""
        return self._waited >= self._stops

    def look(self, loss: float) -> None:
        """Take in the loss of the present weights."""
        self._plateau.step(loss)
        self._waited += 1
        if loss < self.loss:
            self.loss, self._waited = loss, 0
            self._best = copy.deepcopy(self._network.state_dict())

    def restore(self) -> None:
        """Put the best weights back."""
        if self._best:
            self._network.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen."""
        plateau = self._plateau.state_dict()
        return {"best": self._best, "waited": self._waited, "loss": self.loss, "plateau": plateau}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._best, self._waited, self.loss = state["best"], state["waited"], state["loss"]
        self._plateau.load_state_dict(state["plateau"])
