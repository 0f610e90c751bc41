"""Steps that a GPU replays: what a function computes is recorded once, and then asked for whole.

A small network's step is hundreds of kernels of microseconds each, and telling a GPU of each takes
longer than running it. A CUDA graph tells it of all at once. Imported late (torch).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

PLAIN_CALLS = 2  # before a function is recorded


class Applied(nn.Module):
    """A function of networks and other arguments, as a network.

    Parameters
    ----------
    function : callable
    networks : mapping of int to Module
        Those among its arguments, by their places.
    """

    def __init__(self, function: Callable[..., Any], networks: dict[int, nn.Module]) -> None:
        super().__init__()
        self.function = function
        self.networks = nn.ModuleDict({str(place): net for place, net in networks.items()})

    def forward(self, *rest: Any) -> Any:
        """Put networks and the rest in their places."""
        arguments = list(rest)
        for place, network in self.networks.items():
            arguments.insert(int(place), network)
        return self.function(*arguments)


class Replays:
    """Calls functions of networks and tensors, and replays those that are called again and again.

    A function is recorded once it was called twice in the same manner: with the same networks and
    constants, and with tensors of the same shapes. Tensors that were the same objects both times
    are read where they are; all others are copied to where the recording reads them. Results stay
    valid until the next call. Nothing is recorded on a CPU, or where no gradients are wanted.

    A function may draw nothing, and must do the same for all values of its tensors. What it changes
    in networks without their gradients, such as running means, is put back after the recording.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, list[Sequence[Any]]] = {}
        self._recorded: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply a function to networks, tensors, and tuples and lists of them."""
        leaves, form = trees.tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not torch.is_grad_enabled() or not any(tensor.is_cuda for tensor in tensors):
            return function(*arguments)
        manner = (function, form, *map(_manner, leaves))
        if manner not in self._recorded:
            calls = self._seen.setdefault(manner, [])
            calls.append(leaves)  # which also keeps the constants' identities from others
            if len(calls) <= PLAIN_CALLS:
                return function(*arguments)
            self._recorded[manner] = _record(function, form, *calls[-2:])
            del calls[:-1]
        return self._recorded[manner](*tensors)


def _manner(leaf: Any) -> Hashable:
    """Return what must be equal for a recording to serve."""
    if isinstance(leaf, Tensor):
        return leaf.shape, leaf.dtype, leaf.requires_grad
    return leaf if isinstance(leaf, int | float | str | None) else id(leaf)


def _record(
    function: Callable[..., Any], form: Any, before: Sequence[Any], now: Sequence[Any]
) -> Callable[..., Any]:
    """Record a function of the tensors among its arguments."""
    places = [place for place, leaf in enumerate(now) if isinstance(leaf, Tensor)]
    networks = {place: leaf for place, leaf in enumerate(now) if isinstance(leaf, nn.Module)}

    def of_tensors(*given: Any) -> Any:  # networks, then tensors
        filled = list(now)
        for place, leaf in zip([*networks, *places], given, strict=True):
            filled[place] = leaf
        return function(*trees.tree_unflatten(filled, form))

    module = Applied(of_tensors, dict(enumerate(networks.values())))
    samples = tuple(
        now[place] if now[place] is before[place] else _copied(now[place]) for place in places
    )
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    recorded = torch.cuda.make_graphed_callables(module, samples, allow_unused_input=True)
    for name, buffer in module.named_buffers():
        buffer.copy_(kept[name])
    return recorded


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
