"""Steps that a GPU replays: what a function computes is recorded once, and then asked for whole.

A small network's step is hundreds of kernels of microseconds each, and telling a GPU of each takes
longer than running it. A CUDA graph tells it of all at once. Where kernels themselves are slow, as
over the few numbers of a token, they are compiled into larger ones first, once enough calls have
shown that this pays. Imported late (torch).
"""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

PLAIN_CALLS = 2  # before a function is recorded
# Calls before it is compiled: 20 s, and 3 ms less a call (TabDiff's step on adult, on an H200).
RECORDED_CALLS = 6000
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

    A function of networks of which some part says that it ``compiles`` is compiled after many more.

    A function may draw nothing, and must do the same for all values of its tensors. What it changes
    in networks without their gradients, such as running means, is put back after the recording.

    Parameters
    ----------
    device : str
        Where all networks and tensors are.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._known: dict[Hashable, _Known] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply a function to networks, tensors, and tuples and lists of them."""
        if self._device != RECORDING or not torch.is_grad_enabled():
            return function(*arguments)
        leaves, form = trees.tree_flatten(arguments)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        manner = (function, form, *map(_manner, leaves))
        known = self._known.setdefault(manner, _Known())
        known.calls += 1
        if known.calls <= PLAIN_CALLS:
            known.leaves = [_kept(leaf) for leaf in leaves]
            return function(*arguments)
        if known.calls == PLAIN_CALLS + 1:
            known.weights = [weight for leaf in leaves for weight in _weights(leaf)]
            known.recorded = _Function(function, form, leaves).recorded(known.leaves)
        elif known.calls == RECORDED_CALLS and any(map(_compiles, leaves)):
            compiled = _Function(function, form, leaves, compiled=True)
            try:
                known.recorded = compiled.recorded(known.leaves)
            except RuntimeError as error:
                warnings.warn(f"training goes on without compiled kernels: {error}", stacklevel=1)
        return known.recorded(*known.weights, *tensors)


@dataclass
class _Known:
    """What is known of one manner of calling a function."""

    calls: int = 0
    leaves: Sequence[Any] = ()  # of the last plain call
    weights: Sequence[Tensor] = ()  # of the networks among them
    recorded: Any = None  # callable, from the first call on that is not plain


def _manner(leaf: Any) -> Hashable:
    """Return what must be equal for a recording to serve."""
    if isinstance(leaf, Tensor):
        return leaf.shape, leaf.dtype, leaf.requires_grad
    return leaf if isinstance(leaf, int | float | str | None) else id(leaf)


def _kept(leaf: Any) -> Any:
    """Return an argument, which keeps others from its identity, or a reference to a tensor."""
    return weakref.ref(leaf) if isinstance(leaf, Tensor) else leaf


def _weights(leaf: Any) -> Iterable[Tensor]:
    """Return the weights of an argument that is a network."""
    return leaf.parameters() if isinstance(leaf, nn.Module) else ()


def _compiles(leaf: Any) -> bool:
    """Say whether an argument is a network with a part that is worth compiling."""
    parts = leaf.modules() if isinstance(leaf, nn.Module) else ()
    return any(getattr(part, "compiles", False) for part in parts)


class _Function:
    """A function called with some arguments, as one of the weights and tensors among them.

    Parameters
    ----------
    function : callable
    form : tree
        Of its arguments.
    leaves : sequence
        Of that tree.
    compiled : bool
        Whether kernels are compiled for it.
    """

    def __init__(
        self, function: Callable[..., Any], form: Any, leaves: Sequence[Any], compiled: bool = False
    ) -> None:
        self.function, self.form, self.leaves = function, form, leaves
        self.networks = [i for i, leaf in enumerate(leaves) if isinstance(leaf, nn.Module)]
        self.tensors = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        networks = {place: leaves[i] for place, i in enumerate(self.networks)}
        self.module = Applied(self._of_networks, networks)
        self.names = [name for name, _ in self.module.named_parameters()]
        self.call = torch.compile(self._of_tensors, dynamic=False) if compiled else self._of_tensors

    def _of_networks(self, *given: Any) -> Any:
        """Call the function with other networks and tensors in the places of the first ones."""
        filled = list(self.leaves)
        for place, leaf in zip([*self.networks, *self.tensors], given, strict=True):
            filled[place] = leaf
        return self.function(*trees.tree_unflatten(filled, self.form))

    def _of_tensors(self, *given: Tensor) -> Any:
        """Call the function with other weights and tensors."""
        count = len(self.names)
        weights = dict(zip(self.names, given[:count], strict=True))
        return torch.func.functional_call(self.module, weights, given[count:])

    def recorded(self, before: Sequence[Any]) -> Callable[..., Any]:
        """Record the function; tensors that are those of the call ``before`` are read in place."""
        # The weights under other names: what autograd keeps of them belongs to another stream.
        weights = [weight.detach().requires_grad_() for weight in self.module.parameters()]
        tensors = [
            self.leaves[i] if before[i]() is self.leaves[i] else _copied(self.leaves[i])
            for i in self.tensors
        ]
        buffers = [(buffer, buffer.clone()) for buffer in self.module.buffers()]
        with _garbage_kept():
            recorded = torch.cuda.make_graphed_callables(
                self.call, (*weights, *tensors), allow_unused_input=True
            )
        for buffer, first in buffers:
            buffer.copy_(first)
        return recorded


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    """Collect garbage now and not within: to free an old recording would spoil a new one."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
