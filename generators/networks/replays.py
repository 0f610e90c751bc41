"""Steps that a GPU replays: what a function computes is recorded once, and then asked for whole.

A small network's step is hundreds of kernels of microseconds each, and telling a GPU of each takes
longer than running it. A CUDA graph tells it of all at once. Imported late (torch).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

PLAIN_CALLS = 2  # before a function is recorded
RECORDING = "cuda"  # the kind of device that replays


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
        self._seen: dict[Hashable, list[Any]] = {}
        self._recorded: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply a function to networks, tensors, and tuples and lists of them."""
        leaves, form = trees.tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not torch.is_grad_enabled() or not any(t.device.type == RECORDING for t in tensors):
            return function(*arguments)
        manner = (function, form, *map(_manner, leaves))
        if manner not in self._recorded:
            before = self._seen.get(manner, [])
            self._seen[manner] = [*before, [_kept(leaf) for leaf in leaves]]
            if len(before) < PLAIN_CALLS:
                return function(*arguments)
            self._recorded[manner] = _record(function, form, before[-1], leaves)
        weights = [weight for leaf in leaves for weight in _weights(leaf).values()]
        return self._recorded[manner](*weights, *tensors)


def _manner(leaf: Any) -> Hashable:
    """Return what must be equal for a recording to serve."""
    if isinstance(leaf, Tensor):
        return leaf.shape, leaf.dtype, leaf.requires_grad
    return leaf if isinstance(leaf, int | float | str | None) else id(leaf)


def _kept(leaf: Any) -> Any:
    """Return an argument, which keeps others from its identity, or a reference to a tensor."""
    return weakref.ref(leaf) if isinstance(leaf, Tensor) else leaf


def _weights(leaf: Any) -> dict[str, Tensor]:
    """Return the weights of an argument that is a network."""
    return dict(leaf.named_parameters()) if isinstance(leaf, nn.Module) else {}


def _record(
    function: Callable[..., Any], form: Any, before: Sequence[Any], now: Sequence[Any]
) -> Callable[..., Any]:
    """Record a function of the weights of its networks, then of the tensors among its arguments."""
    networks = {place: leaf for place, leaf in enumerate(now) if isinstance(leaf, nn.Module)}
    places = [place for place, leaf in enumerate(now) if isinstance(leaf, Tensor)]

    def of_networks(*given: Any) -> Any:  # networks, then tensors
        filled = list(now)
        for place, leaf in zip([*networks, *places], given, strict=True):
            filled[place] = leaf
        return function(*trees.tree_unflatten(filled, form))

    module = Applied(of_networks, dict(enumerate(networks.values())))
    names = [name for name, _ in module.named_parameters()]

    def of_tensors(*given: Tensor) -> Any:
        weights = dict(zip(names, given[: len(names)], strict=True))
        return torch.func.functional_call(module, weights, given[len(names) :])

    # The weights under other names: what autograd keeps of them belongs to another stream.
    weights = [weight.detach().requires_grad_() for weight in module.parameters()]
    tensors = [now[i] if before[i]() is now[i] else _copied(now[i]) for i in places]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    recorded = torch.cuda.make_graphed_callables(
        of_tensors, (*weights, *tensors), allow_unused_input=True
    )
    for buffer, first in buffers:
        buffer.copy_(first)
    return recorded


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
