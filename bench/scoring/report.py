"""The report of a score: one self-contained HTML page that asks nothing of any other host.

Every value is drawn with its interval on the range of its metric, worst on the left and best on the
right, and below it where the real holdout and the independent columns stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .. import targets, templates
from ..contracts import Picture
from ..escape import interval, number
from ..schema import Column
from . import pictures
from .score import Score
from .verdict import verdict

WIDTH, EDGE = 240, 8  # of the drawing of a value, in units of its SVG
LEADING = 3  # pictures of an evaluator that are shown at once
MARGIN = 0.08  # of the values that are drawn, where a range has no end
FAMILIES = {
    "privacy": "Attacks on the table, and copies in it. A low value says that this attack found "
    "nothing, never that there is nothing to find.",
    "fidelity": "How alike synthetic and real rows are.",
    "utility": "What can be learned from synthetic rows and used on real ones.",
    "fairness": "How groups fare, in the table and with models learned from it.",
    "diagnostic": "Numbers that help to read the others and are no merit.",
}


def to_html(score: Score) -> str:
    """Render the page; a picture that cannot be drawn costs itself only."""
    drawn, problems = _drawn(score.pictures)
    return templates.render(
        "report.html.jinja",
        score=score,
        verdict=verdict(score.outcome, score.baselines),
        warnings=[*score.warnings, *problems],
        families=[
            (family, FAMILIES.get(family, ""), [_metric(score, name) for name in names])
            for family, names in score.by_family().items()
        ],
        baselines={name: name.replace("_", " ") for name in score.baselines},
        first=[each for group in drawn for each in group[:LEADING]],
        more=[each for group in drawn for each in group[LEADING:]],
        tables=[
            {"side": side, "used": rows, **score.given.files.get(side, {})}
            for side, rows in score.rows.items()
        ],
        columns=[
            (column, _described(column), _roles(score, column)) for column in score.given.schema
        ],
        evaluators=[(n, targets.version(spec)) for n, spec in score.evaluators.items()],
    )


def _drawn(
    wanted: Mapping[str, list[Picture]],
) -> tuple[list[list[tuple[Picture, str]]], list[str]]:
    """Draw the pictures of each evaluator; return them, and what went wrong."""
    drawn, problems = [], []
    for group, offered in enumerate(wanted.values()):
        drawn.append([])
        for place, picture in enumerate(offered):
            try:
                drawn[-1].append((picture, pictures.to_svg(picture, f"picture{group}x{place}")))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                problems.append(f"the picture {picture.title!r} could not be drawn: {problem}")
    return drawn, problems


def _described(column: Column) -> str:
    """Say in a few words what the Schema states of a column."""
    facts = [column.kind]
    if column.is_discrete:
        facts.append(f"{len(column.categories)} categories")
    elif column.is_bounded:
        facts.append(f"{column.minimum} to {column.maximum}")
    return ", ".join([*facts, *["may be missing"] * column.missing])


def _roles(score: Score, column: Column) -> str:
    schema = score.given.schema
    is_target, is_sensitive = column.name == schema.target, column.name in schema.sensitive
    return ", ".join([f"target ({schema.task})"] * is_target + ["sensitive"] * is_sensitive)


# Metrics


def _metric(score: Score, name: str) -> dict[str, Any]:
    declared = score.outcome["declared"][name]
    keys = [key for key in score.outcome["metrics"] if key.startswith(f"{name}[")]
    worst, best = _ends(declared, [n for key in (name, *keys) for n in _numbers(score, key)])
    return {
        "name": name,
        "declared": declared,
        "best": _end(declared["best"]),
        "value": _value(score, name, worst, best),
        "parts": [(key[len(name) + 1 : -1], _value(score, key, worst, best)) for key in keys],
    }


def _numbers(score: Score, key: str) -> Iterator[float]:
    """Yield whatever is drawn of a key."""
    yield from score.outcome["intervals"].get(key, ())
    for side in (score.outcome, *score.baselines.values()):
        if key in side["metrics"]:
            yield side["metrics"][key]


def _ends(declared: Mapping[str, Any], shown: list[float]) -> tuple[float, float]:
    """Return the ends of a drawing, worst first: those of the range, or around what is shown."""
    low, high = min(shown), max(shown)
    margin = MARGIN * ((high - low) or abs(high) or 1.0)
    around: dict[float, float] = {math.inf: high + margin, -math.inf: low - margin}
    worst, best = float(declared["worst"]), float(declared["best"])
    return around.get(worst, worst), around.get(best, best)


def _value(score: Score, key: str, worst: float, best: float) -> dict[str, Any] | None:
    """Lay out a value and what stands beside it; None where there is none."""
    if key not in score.outcome["metrics"]:
        return None

    def x(value: float) -> str:
        share = (value - worst) / (best - worst)
        return f"{EDGE + (WIDTH - 2 * EDGE) * min(1.0, max(0.0, share)):.1f}"

    value = score.outcome["metrics"][key]
    low, high = span = score.outcome["intervals"].get(key, (None, None))
    text, _, brackets = interval(value, *span).partition(" ")
    others = {name: side["metrics"].get(key) for name, side in score.baselines.items()}
    known = {name: other for name, other in others.items() if other is not None}
    told = [f"{name.replace('_', ' ')} {number(other)}" for name, other in known.items()]
    scale = f"on a scale from {_end(worst)} (worst) to {_end(best)} (best)"
    return {
        "text": text,
        "span": brackets,
        "is_jackknife": key in score.jackknifed,
        "others": {name: "–" if v is None else number(v) for name, v in others.items()},
        "x": x(value),
        "low": x(value if low is None else low),
        "high": x(value if high is None else high),
        "marks": {name: x(other) for name, other in known.items()},
        "ends": [_end(worst), _end(best)],
        "aria": "; ".join([f"{text} {brackets} {scale}", *told]),
    }


def _end(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "∞" if value > 0 else "−∞"
