"""Search spaces: which values of a generator's hyperparameters a search may choose.

A space stands in the generator's YAML under ``search``, beside the defaults. Each of its keys is a
hyperparameter, and has one of three forms::

    search:
      learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}  # a number from low to high
      min_leaf: {low: 2, high: 50}                           # a whole one if both ends are
      hidden: {choices: [[128], [256, 256]]}                 # one of these

A default that lies outside its own dimension is taken into it, so that defaults can always be
tried: presets move defaults. What belongs to the budget is never searched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..canonical import dumps
from ..names import UnknownName
from ..numbers import is_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

OF_THE_BUDGET = ("epsilon", "delta", "budget")


@dataclass(frozen=True)
class Numbers:
    """Numbers from ``low`` to ``high``, both included; whole ones if both ends are.

    ``log`` spreads what is drawn evenly over their logarithms.
    """

    low: float
    high: float
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def encode(self, value: Any) -> Any:
        """Turn a hyperparameter into what Optuna keeps."""
        return value

    def decode(self, value: Any) -> Any:
        """Turn what Optuna keeps into a hyperparameter."""
        return value


@dataclass(frozen=True)
class Choices:
    """One of several values, each anything that YAML can hold."""

    values: tuple[Any, ...]

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form: values as JSON, because it takes no lists."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([dumps(value) for value in self.values])

    def encode(self, value: Any) -> str:
        """Turn a hyperparameter into what Optuna keeps."""
        return dumps(value)

    def decode(self, value: str) -> Any:
        """Turn what Optuna keeps into a hyperparameter."""
        return json.loads(value)


Dimension = Numbers | Choices


def parse(space: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Dimension]:
    """Read a search space.

    Parameters
    ----------
    space : mapping
        What stands under ``search``.
    defaults : mapping
        The generator's hyperparameters.

    Raises
    ------
    ValueError
        If a key is no hyperparameter or belongs to the budget, or its dimension has no such form.
    """
    for name in space:
        if name in OF_THE_BUDGET:
            raise ValueError(
                f"search.{name} belongs to the budget, and a search that may choose it buys "
                "utility with privacy; take it out of the space"
            )
        if name not in defaults:
            raise UnknownName("hyperparameter in search", name, defaults)
    return {name: _dimension(name, form, defaults[name]) for name, form in space.items()}


def _dimension(name: str, form: Any, default: Any) -> Dimension:
    if isinstance(form, Mapping):
        if set(form) == {"choices"} and isinstance(form["choices"], list) and form["choices"]:
            values = list(form["choices"])
            return Choices(tuple(values if default in values else [default, *values]))
        if {"low", "high"} <= set(form) <= {"low", "high", "log"}:
            return _numbers(name, default=default, **form)
    raise ValueError(
        f"search.{name} must be {{low: .., high: .., log: ..}} or {{choices: [..]}}, got {form!r}"
    )


def _numbers(name: str, low: Any, high: Any, default: Any, log: Any = False) -> Numbers:
    ends = (low, high, default)
    if not all(map(is_number, ends)):
        raise ValueError(
            f"search.{name} needs numbers as low, high and default, got {low!r}, {high!r} and "
            f"{default!r}; use choices"
        )
    low, high = min(low, default), max(high, default)
    if not isinstance(log, bool) or low >= high or (log and low <= 0):
        raise ValueError(
            f"search.{name} must have low < high, and low > 0 for log: true; got low {low!r}, "
            f"high {high!r}, log {log!r}"
        )
    return Numbers(low, high, log)
