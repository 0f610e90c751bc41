"""What a training step works on: the networks of one seed, or those of many side by side.

``One`` serves a single fit just as it is. ``Many`` stacks the weights of several fits along a first
dimension and maps (``torch.vmap``) what a step computes over it, so a step is written once: it
draws, applies functions of networks and tensors to each seed, and follows the losses. Whatever acts
number by number, an optimizer or an average of weights, acts on stacked weights unchanged.

Each seed draws from its own generator what it draws alone, in the same order, so its results are
those of its own fit up to the order of sums. Imported late, because torch takes seconds to load.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .replays import Applied, Replays
from .start import Start


class One:
    """One seed.

    Parameters
    ----------
    start : Start
        Of its fit.
    """

    count = 1

    def __init__(self, start: Start) -> None:
        self.starts, self.first = [start], start
        self._replays = Replays(start.draws.device.type)
        self.networks: Mapping[str, Any] = start.networks
        self.held = start.held
        self.parts = start.parts

    def joined(self, own: Sequence[Any]) -> Any:
        """Return what the seeds have each, numbers or tensors in tuples and lists, as one."""
        return own[0]

    def drawn(self, draw: Callable[[Start], Any]) -> Any:
        """Return what ``draw`` draws, tensors in tuples and lists."""
        return draw(self.first)

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply a function, which draws nothing, to networks and tensors."""
        return self._replays(function, *arguments)

    def own(self, network: nn.Module, seed: int) -> nn.Module:
        """Return the network of a seed, which sees every later change of the weights."""
        return network


class Many:
    """Several seeds, whose tensors are stacked along a first dimension.

    Parameters
    ----------
    starts : sequence of Start
        Of their fits, alike; they may hold different numbers of rows.
    """

    def __init__(self, starts: Sequence[Start]) -> None:
        self.starts, self.first = starts, starts[0]
        self.count = len(starts)
        self._replays = Replays(self.first.draws.device.type)
        self._mapped: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.networks: Mapping[str, Any] = {
            name: stacked([start.networks[name] for start in starts]) for name in starts[0].networks
        }
        self.held = _side_by_side([start.held for start in starts])
        self.parts = {
            f"{name} of {place}, seed {start.draws.initial_seed()}": part
            for place, start in enumerate(starts)
            for name, part in start.parts.items()
        }

    def joined(self, own: Sequence[Any]) -> Any:
        """Return what the seeds have each, numbers or tensors in tuples and lists, side by side."""
        if isinstance(own[0], float):
            return torch.tensor(own, device=self.first.draws.device)
        return _side_by_side(own)

    def drawn(self, draw: Callable[[Start], Any]) -> Any:
        """Return what ``draw`` draws for each seed, side by side."""
        return _side_by_side([draw(start) for start in self.starts])

    def each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Apply a function to each seed's own part of networks and tensors; stack the results."""
        mapped = self._mapped.setdefault(function, functools.partial(_mapped, function))
        return self._replays(mapped, *arguments)

    def own(self, network: nn.Module, seed: int) -> nn.Module:
        """Return the network of a seed, which sees every later change of the weights."""
        return _rebuilt(network, {name: t[seed] for name, t in _numbers(network).items()})


Seeds = One | Many


def _mapped(function: Callable[..., Any], *arguments: Any) -> Any:
    """Apply a function to each seed's own part of networks and tensors; stack the results."""
    places = [i for i, argument in enumerate(arguments) if isinstance(argument, nn.Module)]
    applied = Applied(function, {place: arguments[place] for place in places})
    weights = applied.state_dict(keep_vars=True)
    rest = [argument for i, argument in enumerate(arguments) if i not in places]

    def of_one(weights: dict[str, Tensor], *rest: Any) -> Any:
        return torch.func.functional_call(applied, weights, rest)

    with _Mappable():
        return torch.vmap(of_one, (0, *map(_dimensions, rest)))(weights, *rest)


def stacked(networks: Sequence[nn.Module]) -> nn.Module:
    """Return a network whose weights are those of several alike, along a first dimension.

    It can be changed and copied as any network, but not called: see ``Many.each``. What is no part
    of a network's state, such as constants, is that of the first.
    """
    numbers = [_numbers(network) for network in networks]
    return _rebuilt(
        networks[0], {name: torch.stack([own[name] for own in numbers]) for name in numbers[0]}
    )


def _numbers(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


def _rebuilt(network: nn.Module, numbers: dict[str, Tensor]) -> nn.Module:
    """Copy a network, with these tensors, not copies of them, as its state."""
    memo = {
        id(old): nn.Parameter(numbers[name]) if isinstance(old, nn.Parameter) else numbers[name]
        for name, old in network.state_dict(keep_vars=True).items()
    }
    return copy.deepcopy(network, memo)


def _side_by_side(trees: Sequence[Any]) -> Any:
    """Stack tensors in tuples and lists; where some have fewer rows, zeros follow them."""
    first = trees[0]
    if isinstance(first, Tensor):
        most = max(map(len, trees)) if first.dim() else 0
        return torch.stack([_padded(tree, most) for tree in trees])
    if isinstance(first, tuple | list):
        parts = [_side_by_side(part) for part in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first


def _padded(rows: Tensor, most: int) -> Tensor:
    if not rows.dim() or len(rows) == most:
        return rows
    return torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])


def _dimensions(tree: Any) -> Any:
    """Return along which dimension ``vmap`` maps each part of an argument."""
    if isinstance(tree, tuple | list):
        parts = [_dimensions(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return 0 if isinstance(tree, Tensor) else None


class _Mappable(TorchFunctionMode):
    """Replaces what ``vmap`` would do for one seed after another."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call a function of torch, or what stands for it."""
        if func is functional.embedding_bag:
            return _Bags.apply(*args[:2])
        return func(*args, **(kwargs or {}))


class _Bags(torch.autograd.Function):
    """Sums of rows of one table, or of many as of one long one."""

    @staticmethod
    def forward(places: Tensor, rows: Tensor) -> Tensor:
        """Add the rows (width, d) at places (n, columns); shape (n, d)."""
        return functional.embedding_bag(places, rows, mode="sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        """Keep nothing: gradients are those of the long table."""

    @staticmethod
    def vmap(info: Any, dims: tuple, places: Tensor, rows: Tensor) -> tuple[Tensor, int]:
        """Add rows of every seed's own table."""
        count = info.batch_size
        if dims[0] is None:
            places = places.expand(count, *places.shape)
        if dims[1] is None:
            rows = rows.expand(count, *rows.shape)
        begins = torch.arange(count, device=places.device) * rows.shape[1]
        flat = (places + begins[:, None, None]).flatten(0, 1)
        sums = functional.embedding_bag(flat, rows.flatten(0, 1), mode="sum")
        return sums.unflatten(0, (count, -1)), 0
