"""Steps of Adam for one seed or for several whose weights are stacked; imported late (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Paced:
    """Adam, or AdamW with a decay, at rates that may differ between stacked seeds.

    An optimizer of torch has one rate for all numbers of a tensor. Where rates differ, Adam goes
    away from zeros at rate 1, and each seed takes its share of that way.

    Parameters
    ----------
    network : Module
        What learns.
    decay : float
        Of all weights, decoupled from their gradients, >= 0.
    apart : bool
        Whether rates may differ; the weights' first dimension is then that of the seeds.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.0, apart: bool = False) -> None:
        self.weights = list(network.parameters())
        self._ways: list[Any] = [torch.zeros_like(w) for w in self.weights] if apart else []
        self._decay = decay
        self._adam = torch.optim.AdamW(
            self._ways or self.weights, weight_decay=0.0 if apart else decay, fused=True
        )

    def step(self, rates: Sequence[float]) -> None:
        """Take a step down the weights' gradients."""
        if self._ways:
            self._go(torch.tensor(rates, device=self.weights[0].device))
        else:
            self._adam.param_groups[0]["lr"] = rates[0]
            self._adam.step()

    @torch.no_grad()
    def _go(self, rates: Tensor) -> None:
        self._adam.param_groups[0]["lr"] = 1.0
        for way, weights in zip(self._ways, self.weights, strict=True):
            way.zero_().grad = weights.grad
        self._adam.step()
        for way, weights in zip(self._ways, self.weights, strict=True):
            if weights.grad is not None:
                shares = rates.view(-1, *[1] * (weights.dim() - 1))
                weights.mul_(1 - shares * self._decay).addcmul_(way, shares)

    def state_dict(self) -> dict[str, Any]:
        """Return the moments."""
        return self._adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._adam.load_state_dict(state)


def set_gradients(loss: Tensor, weights: Sequence[Tensor]) -> None:
    """Give weights their gradients of a loss, which is a scalar or one for each seed."""
    gradients = torch.autograd.grad(loss, weights, torch.ones_like(loss), allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        # torch's fused Adam on a CPU pairs numbers by where they lie, strided or not
        weight.grad = None if gradient is None else gradient.contiguous()


def clip_gradients(weights: Sequence[Tensor], largest: float, seeds: int) -> None:
    """Bound the norm of each seed's gradient, as torch does that of one."""
    if seeds == 1:
        torch.nn.utils.clip_grad_norm_(weights, largest)
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.dim() - 1)))
