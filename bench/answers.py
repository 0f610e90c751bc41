"""Answers: what generators say to a cell, and what evaluators say of a table."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .contracts import Budget, Measured, Metric, Tables
from .schema import Schema
from .seeds import stream

# What evaluators leave in a record: numbers, their 95 % intervals, reasons, declarations.
OUTCOME = ("metrics", "intervals", "unavailable", "declared")


def refusal(generator: Any, schema: Schema, budget: Budget) -> str | None:
    """Say why a generator does not run on cells with this Schema and budget, or return None."""
    if hasattr(generator, "skip") and (reason := generator.skip(schema, budget)):
        return reason
    if budget.is_private and not hasattr(type(generator), "ledger"):
        return "it declares no ledger, so no finite epsilon can be checked"
    return None


def ask(
    name: str, evaluator: Any, tables: Tables, schema: Schema, seed: int
) -> dict[str, dict[str, Any]]:
    """Ask an evaluator and sort what it returns; one that raises costs its own metrics only."""
    rng = stream(seed, "evaluate", name)
    try:
        values = evaluator.evaluate(tables, schema=schema, rng=rng)
    except Exception as error:
        traceback.print_exc()
        reason = f"the evaluator raised {type(error).__name__}: {error}"
        values = {metric.name: reason for metric in evaluator.metrics}
    return sort_values(name, evaluator.metrics, values)


def sort_values(
    evaluator: str, metrics: Sequence[Metric], values: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Sort an evaluator's values into numbers and reasons, by its declarations.

    A value outside its declared range, a NaN, a missing or an undeclared one becomes a reason: no
    number that an evaluator did not promise ever reaches a board.
    """
    declared = {metric.name: metric for metric in metrics}
    numbers: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    for key, given in values.items():
        metric = declared.get(metric_of(key))
        value = given.value if isinstance(given, Measured) else given
        if metric is None:
            reasons[key] = "the evaluator returned it without declaring it"
        elif isinstance(value, str):
            reasons[key] = value
        elif not metric.holds(float(value)):
            reasons[key] = f"{value!r} lies outside [{metric.worst}, {metric.best}]"
        elif isinstance(given, Measured) and not _is_interval(given):
            reasons[key] = f"{value!r} is not within its interval [{given.low}, {given.high}]"
        else:
            numbers[key] = float(value)
            if isinstance(given, Measured):
                intervals[key] = [float(given.low), float(given.high)]
    answered = {metric_of(key) for key in values}
    reasons |= {name: "the evaluator returned nothing" for name in declared if name not in answered}
    described = {
        name: {**asdict(metric), "direction": metric.direction, "evaluator": evaluator}
        for name, metric in declared.items()
    }
    return dict(zip(OUTCOME, (numbers, intervals, reasons, described), strict=True))


def _is_interval(measured: Measured) -> bool:
    finite = math.isfinite(measured.low) and math.isfinite(measured.high)
    return finite and measured.low <= measured.value <= measured.high


def metric_of(key: str) -> str:
    """Return the declared name in ``name`` or ``name[label]``."""
    return key.partition("[")[0]
