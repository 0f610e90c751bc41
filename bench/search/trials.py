"""Trials: search a generator's hyperparameters by the rule of the cell.

A trial fits the generator to a part of the train rows and is measured against the others, on a
small table in several divisions. Each trial has a process of its own, so one that crashes, hangs or
swells costs its own result and nothing else. Trials run in sequence, and all draw the same random
numbers, so that what differs between them is the hyperparameters; a search is deterministic but for
the seconds that it is given.

Where every trial is charged (``tuning.how=charged``), each draws noise of its own, its rows are
divided by coins, and it is compared by a noisy count of rows that are predicted rightly.

Limit: rows of one person may be on both sides of the division, which shows in no reported number.
"""

from __future__ import annotations

import contextlib
import functools
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import process, targets
from ..answers import refusal
from ..cells import Cell
from ..data.datasets import Dataset
from ..data.splits import release_split
from ..schema import Schema
from ..seeds import stream
from ..statuses import is_out_of_memory
from ..tuning import Search
from .objective import Counted, Measured, Objective, mean_of
from .space import parse
from .study import ALONE, Study, Trial, held

RUNGS = (0.25, 0.5)  # shares of a training at which it is compared with those before it
RUNG_ROWS = 2000  # most rows that are drawn for that
REASON_CHARACTERS = 300
Progress = Callable[..., None]


@dataclass(frozen=True)
class Division:
    """Train rows in two: those that a trial learns from, and those that it is measured against."""

    learned: pd.DataFrame
    validation: pd.DataFrame


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
    divisions : sequence of Division
        Each trial goes through all of them.
    """

    cell: Cell
    search: Search
    schema: Schema
    divisions: Sequence[Division]

    @classmethod
    def of(cls, cell: Cell, search: Search, schema: Schema, rows: pd.DataFrame) -> Task:
        """Divide the rows, stratified by the target, equal rows together.

        Charged trials read both parts, and their budgets count once only if one row more leaves the
        others where they are: there each row has a coin of its own.
        """
        rng = stream(cell.seeds["train"], "tune", "split")
        if cell.is_charged:
            held = rng.random(len(rows)) < search.validation
            parts = (rows[side].reset_index(drop=True) for side in (~held, held))
            return cls(cell, search, schema, [Division(*parts)])
        table = Dataset("", schema, rows, None, "")
        fractions = {"train": 1 - search.validation, "holdout": search.validation}
        splits = (
            release_split(table, fractions=fractions, rng=rng)
            for _ in range(search.divisions(len(rows)))
        )
        divisions = [Division(parts["train"], parts["holdout"]) for parts in splits]
        return cls(cell, search, schema, divisions)

    def attempt(
        self,
        number: int,
        hyperparameters: Mapping[str, Any],
        reached: Callable[[int, float], None],
    ) -> tuple[float, dict[str, float]]:
        """Fit, draw and measure; return the objective and the means of what it is made of.

        ``reached`` is told the objective after each division but the last, and in the first at each
        of ``RUNGS``, if the generator can draw rows while it is being fitted.
        """
        objective = self._objective(number)
        measured: list[Measured] = []
        for place in range(len(self.divisions)):
            if place:
                reached(len(RUNGS) + place, objective.value(measured))
            generator = self._built(hyperparameters)
            if not place and hasattr(generator, "snapshot") and not self.cell.is_charged:
                generator.progress = self._at_rungs(generator, objective, reached)
            measured.append(self._learn(generator, place, number, objective))
        return objective.value(measured), mean_of(measured)

    def _built(self, hyperparameters: Mapping[str, Any]) -> Any:
        cell = self.cell
        generator = targets.build({**cell.generator, **hyperparameters}, ("fit", "sample"))
        if reason := refusal(generator, self.schema, cell.handed):
            raise ValueError(reason)
        return generator

    def _at_rungs(
        self, generator: Any, objective: Objective, reached: Callable[[int, float], None]
    ) -> Progress:
        """Return a ``progress`` that measures a half-trained generator in the first division."""
        passed, division = 0, self.divisions[0]

        def progress(step: int, total: int, **losses: float) -> None:
            nonlocal passed
            now = sum(step >= rung * total for rung in RUNGS)
            if now > passed and step < total:
                passed = now
                generator.snapshot()
                drawn = self._draw(generator, division, RUNG_ROWS, self._stream("sample"))
                reached(now, objective.value([objective.measure(drawn, division.validation)]))

        return progress

    def _learn(self, generator: Any, place: int, number: int, objective: Objective) -> Measured:
        """Fit in a division, draw, and measure."""
        division, budget = self.divisions[place], self.cell.handed
        rng = self._stream("train", number, place)
        generator.fit(division.learned.copy(), schema=self.schema, budget=budget, rng=rng)
        rng = self._stream("sample", number, place)
        drawn = self._draw(generator, division, self.search.rows, rng)
        return {
            **objective.measure(drawn, division.validation),
            **objective.guard(drawn, division.learned, division.validation),
        }

    def _draw(
        self, generator: Any, division: Division, most: int, rng: np.random.Generator
    ) -> pd.DataFrame:
        n = min(len(division.learned), self.search.rows, most)
        return self.schema.conform(generator.sample(n, rng=rng), n)

    def _objective(self, number: int) -> Objective:
        cell, seed = self.cell, self.cell.seeds["train"]
        if not cell.is_charged:
            return Objective(self.search, self.schema, seed)
        noise = self._stream("count", number)
        return Counted(self.search, self.schema, seed, cell.handed.epsilon, noise)

    def _stream(self, use: str, number: int = 0, place: int = 0) -> np.random.Generator:
        """Return a random stream of a division: the same for all trials, but for charged ones.

        Noise that two charged trials shared could be taken off both of them.
        """
        own = (self.cell.train_key, str(number)) if self.cell.is_charged else (str(place),)
        return stream(self.cell.seeds["train"], "tune", use, *own)


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
        Called as ``progress(trials, total, objective=...)``, with the best so far.

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

    total = cell.tuning.trials
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.touch()
    with contextlib.nullcontext() if rule.shared else held(journal, ALONE):
        study = Study(journal, space, defaults, total, seed_of, shared=rule.shared)
        while (hyperparameters := study.ask()) is not None:
            ended = study.ended
            progress(len(ended), total, **_best_so_far(ended))
            left = rule.seconds - sum(trial.seconds for trial in ended)
            trial = _run(task, len(ended), hyperparameters, study, left) if left > 0 else None
            study.tell(trial)
            if trial is None or trial.state == "unfinished":
                break
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
        "ended": "trials" if sum(t.state != "unfinished" for t in ended) >= total else "seconds",
    }


def _best_so_far(ended: list[Trial]) -> dict[str, float]:
    values = [trial.value for trial in ended if trial.value is not None]
    return {"objective": max(values)} if values else {}


def _run(
    task: Task, number: int, hyperparameters: Mapping[str, Any], study: Study, seconds: float
) -> Trial:
    """Run a trial in a process of its own, for no longer than the search's time."""
    lags = False

    def attempt(report: process.Report) -> None:
        def reached(rung: int, value: float) -> None:
            report(rung=rung, value=value)

        try:
            value, measured = task.attempt(number, hyperparameters, reached)
            report(value=value, measured=measured)
        except Exception as error:
            kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
            report(reason=f"{kind}: {error}"[:REASON_CHARACTERS])

    def on_message(message: Mapping[str, Any]) -> None:
        nonlocal lags
        if "rung" in message and not lags:
            lags = study.lags(message["rung"], message["value"])

    limits = process.Limits(seconds, task.cell.limits["memory_mib"])
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
        return end("unfinished")
    answer = outcome.messages[-1] if outcome.messages else {}
    if "measured" in answer:
        return end("complete", answer["value"], answer["measured"])
    reason = "it ran out of memory" if outcome.ended == "oom" else answer.get("reason")
    reason = reason or f"its process ended with code {outcome.exit_code}"
    return end("failed", reason=reason)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
