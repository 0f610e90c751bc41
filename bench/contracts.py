"""The contracts: what a generator and an evaluator are, and the values they exchange.

Both contracts are protocols: a class elsewhere fulfils one by having the methods and needs no
import of ours. Generators and evaluators import this module, ``schema``, ``content`` and ``ledger``
of the harness and nothing else of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np
import pandas as pd

from .ledger import Neighbours
from .numbers import is_number
from .schema import Schema

if TYPE_CHECKING:
    from typing import Self  # not in Python 3.10, which foreign environments may have

    from matplotlib.axes import Axes

# "diagnostic": numbers that help to read the others and are no merit, such as distances to the
# closest record, which show copying but never privacy.
Family = Literal["fidelity", "utility", "privacy", "fairness", "diagnostic", "cost"]
Direction = Literal["higher", "lower"]
# How a metric's name tells its direction.
SUFFIXES = {
    "higher": ("_score", "_per_second"),
    "lower": ("_error", "_seconds", "_mib", "_count"),
}
T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """The total privacy budget of a cell.

    Parameters
    ----------
    epsilon : float
        In (0, inf]; ``inf`` means that no privacy was asked for.
    delta : float
        In [0, 1); 0 asks for pure differential privacy.
    neighbours : {"add_remove", "replace"}
        Which tables count as neighbours (Dwork and Roth 2014, definition 2.4).

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    epsilon: float = math.inf
    delta: float = 0.0
    neighbours: Neighbours = "add_remove"

    def __post_init__(self) -> None:
        if not is_number(self.epsilon) or not self.epsilon > 0:
            raise ValueError(
                f"privacy.epsilon must be > 0 (inf for no privacy), got {self.epsilon!r}; "
                "set privacy.epsilon=1"
            )
        if not is_number(self.delta) or not 0 <= self.delta < 1:
            raise ValueError(
                f"privacy.delta must be in [0, 1), got {self.delta!r}; set privacy.delta=1e-5"
            )
        if self.neighbours not in get_args(Neighbours):
            raise ValueError(
                f"privacy.neighbours must be one of {', '.join(get_args(Neighbours))}, "
                f"got {self.neighbours!r}"
            )
        if not self.is_private:  # no budget is one budget, whatever else was written beside it
            object.__setattr__(self, "delta", 0.0)
            object.__setattr__(self, "neighbours", "add_remove")

    @property
    def is_private(self) -> bool:
        """Whether a finite epsilon was asked for."""
        return math.isfinite(self.epsilon)


@runtime_checkable
class Generator(Protocol):
    """Learns a table and draws new ones.

    Hyperparameters are arguments of the constructor, which only stores them. Optional members:

    ``skip(schema, budget) -> str | None``
        The reason why a cell does not apply, asked before ``fit``.
    ``ledger : Sequence[Event]``
        Every privacy mechanism that ``fit`` used; required of whoever accepts a finite epsilon.
    ``claimed_epsilon : float``
        What ``fit`` spent by the generator's own word, held against its ledger.
    ``release : Mapping[str, ndarray]``
        Everything noisy that the fitted model holds, for audits from inside.
    ``watched : tuple[DataFrame, DataFrame]``
        Set before ``fit`` by an audit: two neighbouring tables, one of which is ``train``. ``fit``
        then leaves in ``trace``, a float, what its noisy steps say for the second of them.
    ``progress : Callable[..., None]``
        Replaced before ``fit``; call it as ``progress(step, total, **losses)``.
    ``snapshot() -> None``
        Called from within ``progress``: lets ``sample`` draw from what was learned so far, and
        changes nothing of what ``fit`` ends as. A search ends trials that lag behind by it.
    ``checkpoint : Checkpoint``
        Replaced before ``fit``; where a long training leaves what it needs to go on from if it is
        killed, to end bit-identical to an unbroken one.
    ``parameters : int``
        How many numbers ``fit`` learned, where that can be counted.
    ``used : Mapping[str, float]``
        What the last call used in other processes: ``cpu_seconds``, ``peak_rss_mib``,
        ``peak_gpu_mib``.
    ``fit_together(generators, tables, *, schema, budget, rngs) -> None``
        Of the class: fits each generator, all with the same hyperparameters, to its table as its
        own ``fit`` would up to rounding, in one batch for speed. Each reports its own progress; the
        checkpoint of a batch is that of its first.
    """

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Learn ``train`` (canonical under ``schema``), spending at most ``budget`` in total."""
        ...

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows that satisfy the Schema.

        ``conditions`` (n rows, some of the columns) fixes those columns' values; a generator that
        cannot condition leaves the argument out of its signature.
        """
        ...


class Checkpoint(Protocol):
    """Where a training leaves its state."""

    def load(self) -> Any | None:
        """Return what an earlier ``fit`` of the same cell saved last; None if nothing."""
        ...

    def save(self, state: Callable[[], Any]) -> None:
        """Keep what ``state`` returns, unless that was done a moment ago; anything picklable."""
        ...


@dataclass(frozen=True)
class Metric:
    """One declared number of an evaluator.

    Parameters
    ----------
    name : str
        Ends in ``_score`` or ``_per_second`` (better high), ``_error``, ``_seconds``, ``_mib`` or
        ``_count`` (better low).
    family : {"fidelity", "utility", "privacy", "fairness", "diagnostic", "cost"}
        The group of tables it stands in.
    best, worst : float
        The ends of its range; infinite where it has none.
    unit : str
        Empty for a dimensionless number.
    definition : str
        What it measures and the source of its definition.
    ranked : bool
        Whether leaderboards rank by it.
    baseline : bool
        Whether it is computed from real rows alone, and so is no merit of a generator.
    per : str
        Empty for one value a cell; else what there is a value for each of ("class", "column"),
        under keys ``name[label]``.
    attack : bool
        Whether it is an attacker's score: the higher, the worse for the table.
    limit : float, optional
        A generator whose mean over seeds is worse than this on some dataset is shown but not
        ranked: no merit elsewhere makes up for it.
    version : int
        Raised whenever values may change.
    """

    name: str
    family: Family
    best: float
    worst: float
    definition: str
    unit: str = ""
    ranked: bool = False
    baseline: bool = False
    per: str = ""
    attack: bool = False
    limit: float | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if not self.name.endswith(SUFFIXES["higher"] + SUFFIXES["lower"]):
            raise ValueError(
                "a metric's name must tell its direction by ending in one of "
                f"{', '.join(SUFFIXES['higher'] + SUFFIXES['lower'])}, got {self.name!r}"
            )
        if (self.best > self.worst) != (self.direction == "higher"):
            raise ValueError(
                f"{self.name!r} is better {self.direction}, but best={self.best} and "
                f"worst={self.worst} say otherwise"
            )

    @property
    def direction(self) -> Direction:
        """Whether higher or lower values are better."""
        return "higher" if self.name.endswith(SUFFIXES["higher"]) and not self.attack else "lower"

    def holds(self, value: float) -> bool:
        """Whether ``value`` is finite and within the range (to rounding)."""
        low, high = sorted((self.best, self.worst))
        return math.isfinite(value) and low - 1e-9 <= value <= high + 1e-9


@dataclass(frozen=True)
class Measured:
    """A value with its uncertainty.

    Parameters
    ----------
    value : float
        What was measured.
    low, high : float
        Ends of the 95 % interval; ``low <= value <= high``.
    """

    value: float
    low: float
    high: float


Values = Mapping[str, "float | str | Measured"]


@dataclass(frozen=True)
class Picture:
    """A chart that an evaluator offers to a report.

    Parameters
    ----------
    title : str
        What is shown, a few words.
    caption : str
        How to read it: what good looks like.
    draw : callable
        Draws on the axes that it is handed, without random numbers and with plain texts.
    """

    title: str
    caption: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Tables:
    """What an evaluator is handed; every table is canonical under the Schema.

    Parameters
    ----------
    train : DataFrame
        Rows that the generator saw.
    holdout : DataFrame
        Rows that it did not see: the test set, and the non-members of attacks.
    reference : DataFrame
        Rows for attackers; disjoint from both.
    synthetic : DataFrame
        The generator's rows.
    cost : mapping of str to float
        What was measured so far: ``fit_seconds``, ``sample_seconds``, ``evaluate_seconds`` (of the
        evaluators before), ``tuning_seconds``, ``peak_rss_mib``, ``peak_gpu_mib``,
        ``parameters_count``.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    reference: pd.DataFrame
    synthetic: pd.DataFrame
    cost: Mapping[str, float] = field(default_factory=dict)
    _shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def lacking(self, *sides: str) -> str | None:
        """Say which of these tables, the first of them, has no rows."""
        return next((f"{side} has no rows" for side in sides if getattr(self, side).empty), None)

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what ``make`` builds, built once per cell: encodings, neighbour searches."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


class Evaluator(Protocol):
    """Measures a synthetic table.

    ``metrics`` declares every number; ``evaluate`` returns one entry for each: a finite float, a
    ``Measured`` where its uncertainty is known, or a text that says why the number is not
    available. Optional member:

    ``pictures(tables, *, schema, rng) -> Sequence[Picture]``
        Charts for a report, in the order of their weight.
    """

    metrics: Sequence[Metric]

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return a value, or the reason why there is none, for every declared metric."""
        ...
