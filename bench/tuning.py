"""Tuning: how a generator's hyperparameters are chosen, and what that costs of a budget.

Every trial on private rows is another release (Papernot and Steinke 2022 show what ignoring that
leaks). So a private claim says how its hyperparameters came about. They may be chosen elsewhere,
which is only declared here, or searched for in the cell itself, by one rule for every generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, get_args

from .contracts import Budget, Metric
from .names import UnknownName
from .numbers import check_whole, is_number, is_whole

How = Literal["none", "public", "charged", "private"]
MOST_DIVISIONS = 5  # of the train rows, for one trial
TASKS = ("binary", "multiclass", "regression", "none")  # "none": the table has no target


@dataclass(frozen=True)
class Search:
    """The rule by which hyperparameters are searched for, the same for every generator.

    Each trial learns from a part of the train rows and is measured against the others; holdout and
    reference are never touched. A small table is divided several times, and a trial's value is the
    mean over its divisions (repeated random sub-sampling; Picard and Cook 1984). The first trial
    has the defaults.

    Parameters
    ----------
    seconds : float
        Wall time of all trials together, > 0; the trial that exceeds it is the last and does not
        count.
    validation : float
        Share of the train rows that a trial is measured against in each division, in (0, 1).
    validation_rows : int
        How many it is measured against in all at least, as far as ``MOST_DIVISIONS`` suffice, >= 1.
    rows : int
        Most rows that a trial draws, >= 1.
    shared : bool
        Whether several jobs that run the same cell share its trials. Which trials there are then
        depends on who was faster.
    objective : mapping of str to sequence of str
        For each task (``none``: no target) the metrics whose mean ``merit`` is maximised.
    evaluators : mapping of str to mapping
        Specifications of the evaluators that have these metrics.
    guards : mapping of str to mapping
        Specifications of evaluators some of whose metrics have a limit beyond which a generator is
        not ranked. A trial beyond one loses a whole point: it comes after all that keep to it.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    seconds: float = 1800.0
    validation: float = 0.2
    validation_rows: int = 2000
    rows: int = 10_000
    shared: bool = False
    objective: Mapping[str, Sequence[str]] = field(default_factory=dict)
    evaluators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    guards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_number(self.seconds) or not self.seconds > 0:
            raise ValueError(f"tuning.search.seconds must be > 0, got {self.seconds!r}; set 1800")
        if not is_number(self.validation) or not 0 < self.validation < 1:
            raise ValueError(
                f"tuning.search.validation must be between 0 and 1, got {self.validation!r}; "
                "set 0.2"
            )
        for name, usual in (("validation_rows", 2000), ("rows", 10_000)):
            check_whole(f"tuning.search.{name}", getattr(self, name), cure=f"set {usual}")
        for task in self.objective:
            if task not in TASKS:
                raise UnknownName("task in tuning.search.objective", task, TASKS)

    def divisions(self, rows: int) -> int:
        """Return how often so many train rows are divided."""
        needed = math.ceil(self.validation_rows / max(1.0, self.validation * rows))
        return min(needed, MOST_DIVISIONS)

    def of_task(self, task: str | None, declared: Mapping[str, Metric]) -> list[Metric]:
        """Return the metrics whose mean is the objective of a task.

        Raises
        ------
        ValueError
            If there are none, or one is not declared or has no merit from 0 to 1.
        """
        names = self.objective.get(task or "none") or ()
        if not names:
            raise ValueError(
                f"tuning.search.objective names no metric for the task {task or 'none'!r}; "
                f"set tuning.search.objective.{task or 'none'}=[trend_score]"
            )
        for name in names:
            if name not in declared:
                raise UnknownName("metric in tuning.search.objective", name, declared)
            metric = declared[name]
            if metric.best != 1 and (metric.best, metric.worst) != (0, 1):
                raise ValueError(
                    "the objective is a mean, so its metrics must have their best at 1 or run from "
                    f"0 to 1; {name!r} runs from {metric.worst} to {metric.best}"
                )
        return [declared[name] for name in names]


@dataclass(frozen=True)
class Tuning:
    """How hyperparameters are chosen.

    Parameters
    ----------
    how : {"none", "public", "charged", "private"}
        Not at all; on a public stand-in; on the private rows with every trial charged; on the
        private rows at no charge.
    stand_in : str, optional
        The public table, for ``public``.
    trials : int
        How many there are. Declared ones count for ``charged`` only, the final fit among them:
        each is handed epsilon / trials and delta / trials, so that any choice among them keeps the
        budget by sequential composition (Dwork and Roth 2014, theorem 3.16), as long as the choice
        itself reads nothing but the trials' tables. Those of a search are beside the final fit,
        and are compared by what is charged as well (``trials.Charged``).
    search : Search, optional
        How the cell searches for them; None if they are what the configuration says.

    Raises
    ------
    ValueError
        If they do not fit together.
    """

    how: How = "none"
    stand_in: str | None = None
    trials: int = 1
    search: Search | None = None

    def __post_init__(self) -> None:
        if self.how not in get_args(How):
            raise ValueError(
                f"tuning.how must be one of {', '.join(get_args(How))}, got {self.how!r}"
            )
        if (self.how == "public") != bool(self.stand_in):
            raise ValueError(
                "tuning.stand_in names the public table of tuning.how=public, and only of that; "
                f"got how={self.how!r}, stand_in={self.stand_in!r}"
            )
        if self.search is not None and self.how == "none":
            raise ValueError(
                "a search reads rows, so tuning.how says who pays at a finite epsilon, got 'none'; "
                "set it to private, public or charged"
            )
        counted = self.how == "charged" or self.search is not None
        if not is_whole(self.trials) or self.trials < 1 or (self.trials > 1 and not counted):
            raise ValueError(
                "tuning.trials must be a whole number >= 1, above 1 only for tuning.how=charged "
                f"or a search; got {self.trials!r} for how={self.how!r}"
            )

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Build it from plain values."""
        search = plain.get("search")
        return cls(**{**plain, "search": None if search is None else Search(**search)})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; without a search there is no key of it."""
        plain = asdict(self)
        if self.search is None:
            del plain["search"]
        return plain

    @property
    def charged(self) -> int:
        """How many fits the budget is divided among: all trials, and the fit after a search."""
        if self.how != "charged":
            return 1
        return self.trials if self.search is None else self.trials + 1

    def handed(self, budget: Budget) -> Budget:
        """Return the budget of a single fit."""
        if not budget.is_private:
            return budget
        share = self.charged
        return replace(budget, epsilon=budget.epsilon / share, delta=budget.delta / share)

    @property
    def text(self) -> str:
        """What a board says of it."""
        return {
            "none": "not tuned",
            "public": f"tuned on public {self.stand_in}",
            "charged": f"{self.charged} trials charged, sequential composition",
            "private": "tuning not private",
        }[self.how]


def merit(metric: Metric, value: float | None) -> float:
    """Return a metric's part in the objective: 1 at its best, 0 at worst or without a value.

    What lies below 0, as R2 may, counts as 0.
    """
    if value is None:
        return 0.0
    return min(max(value if metric.best == 1 else 1 - value, 0.0), 1.0)


def is_beyond(metric: Metric, value: float | None) -> bool:
    """Whether a value is worse than its metric's limit, so that a board would not rank the row."""
    if value is None or metric.limit is None:
        return False
    return value < metric.limit if metric.direction == "higher" else value > metric.limit
