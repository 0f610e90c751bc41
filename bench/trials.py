"""Trials: search a generator's hyperparameters by the rule of the cell.

A trial fits the generator to a part of the train rows and is measured against the others. Each has
a process of its own, so one that crashes, hangs or swells costs its own result and nothing else.
Trials run in sequence, and all draw the same random numbers, so that what differs between them is
the hyperparameters; a search is deterministic but for the seconds that it is given.

Limit: rows of one person may be on both sides of the division, which shows in no reported number.
"""

from __future__ import annotations

import functools
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import process, targets
from .answers import ask, refusal
from .cells import Cell
from .contracts import Metric, Tables
from .datasets import Dataset
from .schema import Schema
from .seeds import stream
from .space import parse
from .splits import release_split
from .statuses import is_out_of_memory
from .study import Study, Trial, sole_writer
from .tuning import Search, merit

RUNGS = (0.25, 0.5)  # shares of a training at which it is compared with those before it
RUNG_ROWS = 2000  # most rows that are drawn for that
MEMORY_SHARE = 0.95  # of the cell's limit: a trial that swells ends before its cell does
REASON_CHARACTERS = 300
Progress = Callable[..., None]


@dataclass(frozen=True)
class Task:
    """What the trials of one search have in common.

    Parameters
    ----------
    cell : Cell
        Whose hyperparameters are searched.
    search : Search
        The rule.
    schema : Schema
        Of the rows.
    learned, validation : DataFrame
        The rows that trials learn from, and those that they are measured against.
    """

    cell: Cell
    search: Search
    schema: Schema
    learned: pd.DataFrame
    validation: pd.DataFrame

    @classmethod
    def of(cls, cell: Cell, search: Search, schema: Schema, rows: pd.DataFrame) -> Task:
        """Divide the rows, stratified by the target, equal rows together."""
        parts = release_split(
            Dataset("", schema, rows, None, ""),
            fractions={"train": 1 - search.validation, "holdout": search.validation},
            rng=stream(cell.seeds["train"], "tune", "split"),
        )
        return cls(cell, search, schema, parts["train"], parts["holdout"])

    def attempt(
        self, hyperparameters: Mapping[str, Any], reached: Callable[[int, float], None]
    ) -> dict[str, float | None]:
        """Fit, draw and measure; a metric without a value is None.

        ``reached`` is told the objective at each of ``RUNGS``, if the generator can draw rows while
        it is being fitted.
        """
        cell = self.cell
        generator = targets.build({**cell.generator, **hyperparameters}, ("fit", "sample"))
        if reason := refusal(generator, self.schema, cell.handed):
            raise ValueError(reason)
        if hasattr(generator, "snapshot"):
            generator.progress = self._at_rungs(generator, reached)
        rng = stream(cell.seeds["train"], "tune", "train")
        generator.fit(self.learned.copy(), schema=self.schema, budget=cell.handed, rng=rng)
        return self.measure(generator, self.search.rows)

    def _at_rungs(self, generator: Any, reached: Callable[[int, float], None]) -> Progress:
        """Return a ``progress`` that measures a half-trained generator."""
        passed = 0

        def progress(step: int, total: int, **losses: float) -> None:
            nonlocal passed
            now = sum(step >= rung * total for rung in RUNGS)
            if now > passed and step < total:
                passed = now
                generator.snapshot()
                rows = min(self.search.rows, RUNG_ROWS)
                reached(now, self.objective(self.measure(generator, rows)))

        return progress

    def measure(self, generator: Any, rows: int) -> dict[str, float | None]:
        """Draw rows and return their metrics, with the validation rows as all real ones."""
        n = min(len(self.learned), rows)
        drawn = generator.sample(n, rng=stream(self.cell.seeds["train"], "tune", "sample"))
        tables = Tables(
            train=self.validation,
            holdout=self.validation,
            reference=self.validation.iloc[:0],
            synthetic=self.schema.conform(drawn, n),
        )
        found: dict[str, float] = {}
        for name, evaluator in self.evaluators.items():
            answer = ask(name, evaluator, tables, self.schema, self.cell.seeds["train"])
            found |= answer["metrics"]
        return {metric.name: found.get(metric.name) for metric in self.metrics}

    @functools.cached_property
    def evaluators(self) -> dict[str, Any]:
        """The evaluators that have the objective's metrics."""
        return evaluators(self.search)

    @functools.cached_property
    def metrics(self) -> list[Metric]:
        """The metrics whose mean is the objective."""
        declared = {m.name: m for e in self.evaluators.values() for m in e.metrics}
        return self.search.of_task(self.schema.task, declared)

    def objective(self, measured: Mapping[str, float | None]) -> float:
        """Return the mean merit."""
        return float(np.mean([merit(metric, measured[metric.name]) for metric in self.metrics]))


def evaluators(search: Search) -> dict[str, Any]:
    """Build the evaluators of a search."""
    return {n: targets.build(spec, ("evaluate",)) for n, spec in search.evaluators.items()}


def search(
    cell: Cell,
    schema: Schema,
    rows: pd.DataFrame,
    journal: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Run the trials of a cell that are still to be run and choose among all.

    Parameters
    ----------
    cell : Cell
        With a ``tuning.search``, and a space in its generator.
    schema : Schema
        Of the rows.
    rows : DataFrame
        The train rows, or those of the public stand-in.
    journal : Path
        Where the trials are kept as they end.
    progress : callable
        Called as ``progress(trials, total, best=...)``.

    Returns
    -------
    dict
        ``chosen`` hyperparameters, those of the best trial, or the defaults if there is none;
        its value ``best`` and that of the ``default``; the ``trials``; what ``ended`` it: "trials"
        or "seconds".
    """
    rule = cell.tuning.search
    assert rule is not None
    task = Task.of(cell, rule, schema, rows)
    defaults = targets.arguments(cell.generator)
    space = parse(cell.generator.get("search") or {}, defaults)

    def seed_of(done: int) -> int:
        return int(stream(cell.seeds["train"], "tune", "choose", str(done)).integers(2**31))

    with sole_writer(journal):
        study = Study(journal, space, defaults, seed_of)
        total = cell.tuning.trials
        while len(ended := study.ended) < total:
            progress(len(ended), total, **_best_so_far(ended))
            left = rule.seconds - sum(trial.seconds for trial in ended)
            trial = left > 0 and _run(task, study, left)
            if not trial:
                break
            study.tell(trial)
        ended = study.ended
    progress(len(ended), total, **_best_so_far(ended))
    return outcome(ended, {name: defaults[name] for name in space}, total)


def outcome(ended: list[Trial], defaults: Mapping[str, Any], total: int) -> dict[str, Any]:
    """Choose among trials, the first of the best."""
    measured = [trial for trial in ended if trial.value is not None]
    best = max(measured, key=lambda trial: trial.value, default=None)  # type: ignore[arg-type]
    return {
        "chosen": dict(best.hyperparameters if best else defaults),
        "best": best and best.value,
        "default": ended[0].value if ended else None,
        "trials": [vars(trial) for trial in ended],
        "ended": "trials" if len(ended) >= total else "seconds",
    }


def _best_so_far(ended: list[Trial]) -> dict[str, float]:
    values = [trial.value for trial in ended if trial.value is not None]
    return {"objective": max(values)} if values else {}


def _run(task: Task, study: Study, seconds: float) -> Trial | None:
    """Run a trial in a process of its own; None if the search's time ran out in it."""
    hyperparameters, lags = study.ask(), False

    def attempt(report: process.Report) -> None:
        def reached(rung: int, value: float) -> None:
            report(rung=rung, value=value)

        try:
            report(measured=task.attempt(hyperparameters, reached))
        except Exception as error:
            kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
            report(reason=f"{kind}: {error}"[:REASON_CHARACTERS])

    def on_message(message: Mapping[str, Any]) -> None:
        nonlocal lags
        if "rung" in message and not lags:
            lags = study.lags(message["rung"], message["value"])

    limit = task.cell.limits["memory_mib"]
    limits = process.Limits(seconds, limit and limit * MEMORY_SHARE)
    began, cpu_began = time.monotonic(), _cpu_of_children()
    outcome = process.run(attempt, limits, on_message=on_message, cancelled=lambda: lags)
    end = functools.partial(
        Trial,
        hyperparameters,
        seconds=time.monotonic() - began,
        cpu_seconds=_cpu_of_children() - cpu_began,
    )
    if lags:
        return end("pruned")
    if outcome.ended == "timeout":
        return None
    answer = outcome.messages[-1] if outcome.messages else {}
    if "measured" in answer:
        measured = answer["measured"]
        known = {name: value for name, value in measured.items() if value is not None}
        value = task.objective(measured)
        return end("complete", value, known)
    reason = "it ran out of memory" if outcome.ended == "oom" else answer.get("reason")
    reason = reason or f"its process ended with code {outcome.exit_code}"
    return end("failed", reason=reason)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
