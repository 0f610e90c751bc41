"""The objective of a search: what makes one trial better than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from .. import targets
from ..answers import ask
from ..content import halves, row_hashes
from ..contracts import Metric, Tables
from ..schema import Schema
from ..tuning import Search, is_beyond, merit

COUNTED = "tstr_xgboost_accuracy_score"  # a share of holdout rows, and nothing else of them
Measured = Mapping[str, "float | None"]


def mean_of(measured: Sequence[Measured]) -> dict[str, float]:
    """Return the mean of each metric over the divisions in which it has a value."""
    known: dict[str, list[float]] = {}
    for one in measured:
        for name, value in one.items():
            if value is not None:
                known.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in known.items()}


def declared(search: Search) -> dict[str, Metric]:
    """Return the metrics that the evaluators of a search declare, by name."""
    return {m.name: m for e in _built(search.evaluators).values() for m in e.metrics}


def _built(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: targets.build(spec, ("evaluate",)) for name, spec in specs.items()}


class Objective:
    """The mean merit of the metrics that the rule names, less a point for what is not ranked.

    Parameters
    ----------
    search : Search
        The rule.
    schema : Schema
        Of the rows.
    seed : int
        From which the evaluators' random streams are derived.

    Raises
    ------
    ValueError
        If the rule names no metric for the Schema's task, or one that is no merit.
    """

    def __init__(self, search: Search, schema: Schema, seed: int) -> None:
        self.schema = schema
        self._seed = seed
        self._evaluators = _built(search.evaluators)
        self._metrics = search.of_task(schema.task, declared(search))
        self._guards = _built(search.guards)

    def measure(self, drawn: pd.DataFrame, validation: pd.DataFrame) -> Measured:
        """Return the metrics, with the validation rows as all real ones; None without a value."""
        found = self._answers(
            self._evaluators, Tables(validation, validation, validation.iloc[:0], drawn)
        )
        return {metric.name: found.get(metric.name) for metric in self._metrics}

    def guard(
        self, drawn: pd.DataFrame, learned: pd.DataFrame, validation: pd.DataFrame
    ) -> Measured:
        """Return the guards' metrics that have a limit; half of validation is the attackers'."""
        order = halves(row_hashes(validation, self.schema))
        holdout, reference = (validation.iloc[half].reset_index(drop=True) for half in order)
        found = self._answers(self._guards, Tables(learned, holdout, reference, drawn))
        return {metric.name: found.get(metric.name) for metric in self._limited}

    def value(self, measured: Sequence[Measured]) -> float:
        """Return the mean merit over all divisions, in [0, 1], or in [-1, 0] beyond a limit.

        A limit is compared with the mean of its metric: few rows exceed it by chance.
        """
        merits = [merit(metric, one[metric.name]) for one in measured for metric in self._metrics]
        means = mean_of(measured)
        return float(np.mean(merits)) - any(
            is_beyond(metric, means.get(metric.name)) for metric in self._limited
        )

    @property
    def _limited(self) -> list[Metric]:
        metrics = (metric for guard in self._guards.values() for metric in guard.metrics)
        return [metric for metric in metrics if metric.limit is not None]

    def _answers(self, evaluators: Mapping[str, Any], tables: Tables) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, evaluator in evaluators.items():
            found |= ask(name, evaluator, tables, self.schema, self._seed)["metrics"]
        return found


class Counted(Objective):
    """A noisy count of validation rows whose class is predicted from the drawn rows.

    The model is learned from drawn rows alone, so one validation row changes the count by one, and
    discrete Laplace noise of scale 1 / epsilon makes it epsilon-DP (Ghosh, Roughgarden and
    Sundararajan 2009). No other number of a trial is kept.

    Parameters
    ----------
    search, schema, seed
        As of an ``Objective``.
    epsilon : float
        Of one count.
    rng : Generator
        Draws its noise.

    Raises
    ------
    ValueError
        If there is no class to predict, or no evaluator counts.
    """

    def __init__(
        self, search: Search, schema: Schema, seed: int, epsilon: float, rng: np.random.Generator
    ) -> None:
        super().__init__(check_counted(search, schema.task), schema, seed)
        self._epsilon = epsilon
        self._rng = rng

    def guard(
        self, drawn: pd.DataFrame, learned: pd.DataFrame, validation: pd.DataFrame
    ) -> Measured:
        """Return nothing: an attack reads rows, and nothing is left to pay for it."""
        return {}

    def measure(self, drawn: pd.DataFrame, validation: pd.DataFrame) -> Measured:
        """Return the noisy share of the rows that are predicted rightly."""
        known = int(validation[self.schema.target].notna().sum())
        tables = Tables(drawn, validation, validation.iloc[:0], drawn)
        share = self._answers(self._evaluators, tables).get(COUNTED, 0.0)
        rate = 1 - np.exp(-self._epsilon)
        noise = int(self._rng.geometric(rate)) - int(self._rng.geometric(rate))
        return {COUNTED: (round(share * known) + noise) / max(len(validation), 1)}


def check_counted(search: Search, task: str | None) -> Search:
    """Return a rule whose objective is the count alone.

    Raises
    ------
    ValueError
        If the task has no classes, or no evaluator of the rule counts.
    """
    if task not in ("binary", "multiclass"):
        raise ValueError(
            "charged trials are compared by a count of rows whose class is predicted, and the task "
            f"is {task or 'none'!r}; set tuning.how to public or private"
        )
    if COUNTED not in declared(search):
        raise ValueError(
            f"charged trials are compared by {COUNTED}, which no evaluator of tuning.search has; "
            "add utility"
        )
    return replace(search, objective={task: [COUNTED]}, guards={})
