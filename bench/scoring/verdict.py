"""Verdict: what a reader of many numbers should know first, in a few sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from ..escape import interval

Outcome = dict[str, dict[str, Any]]  # as a record has it: metrics, intervals, ...

# Tests for copies of train rows: metrics that are 1 where there are some, and what that means.
ALARMS = {
    "photocopy_error": "Copying is DETECTED: the table tells most train rows from other rows, as a "
    "photocopy does. Do not share it.",
    "memorisation_error": "Copying is DETECTED: single train rows left a trace that an attacker "
    "finds (family-wise level 0.001).",
}
STRONGEST_ATTACK = "mia_auc_score"
MATTERS = 0.01  # of a metric's range: baselines nearer to each other than this tell nothing apart
JUDGED = ("fidelity", "utility")
REAL_HOLDOUT, INDEPENDENT = "real_holdout", "independent"


@dataclass(frozen=True)
class Line:
    """One sentence of a verdict; an alarm says that the table should not be shared."""

    text: str
    alarm: bool = False


def verdict(outcome: Outcome, baselines: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """Return the lines, alarms first; ``outcome`` and ``baselines`` are those of a Score."""
    metrics = outcome["metrics"]
    lines = [*_copying(metrics), *_attack(metrics, outcome["intervals"])]
    lines += _places(outcome, baselines)
    return sorted(lines, key=lambda line: not line.alarm)


def _copying(metrics: Mapping[str, float]) -> Iterator[Line]:
    tested = [name for name in ALARMS if name in metrics]
    found = [name for name in tested if metrics[name] > 0]
    if not tested:
        yield Line("Whether train rows were copied was not tested.")
    elif not found:
        yield Line("No copying of train rows was detected; that is no proof of privacy.")
    for name in found:
        yield Line(ALARMS[name], alarm=True)


def _attack(metrics: Mapping[str, float], intervals: Mapping[str, list[float]]) -> Iterator[Line]:
    if STRONGEST_ATTACK in metrics:
        span = intervals.get(STRONGEST_ATTACK, (None, None))
        yield Line(
            "The strongest membership attack reaches an AUC of "
            f"{interval(metrics[STRONGEST_ATTACK], *span)}; 0.5 is guessing."
        )


def _places(outcome: Outcome, baselines: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """Say for each family how near the table comes to real rows."""
    if len(baselines) < 2:
        return
    others = (baselines[name] for name in (REAL_HOLDOUT, INDEPENDENT))
    sides = [side["metrics"] for side in (outcome, *others)]
    for family in JUDGED:
        places = []
        for name, metric in outcome["declared"].items():
            judged = metric["family"] == family and not metric["baseline"]
            if judged and all(name in side for side in sides):
                places += _place(metric, *(side[name] for side in sides))
        if places:
            near = sum(place > 0.5 for place in places)
            yield Line(
                f"{family.capitalize()}: {near} of {len(places)} metrics are nearer to real rows "
                f"than to independent columns (median {100 * median(places):.0f} % of the way)."
            )


def _place(metric: Mapping[str, Any], value: float, real: float, floor: float) -> list[float]:
    """Return where a value lies from the floor (0) to real rows (1), if they can be told apart."""
    sign = 1 if metric["direction"] == "higher" else -1
    gain = sign * (real - floor)
    scale = abs(metric["best"] - metric["worst"])
    if gain <= MATTERS * (scale if scale < float("inf") else abs(real)):
        return []
    return [min(1.0, max(0.0, sign * (value - floor) / gain))]
