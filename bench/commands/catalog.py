"""The catalog: what exists, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import config
from ..foreign.spec import Environment, EnvironmentSpecError

KINDS = {
    "generators": "generator",
    "datasets": "dataset",
    "evaluators": "evaluator",
    "suites": "suite",
    "scenarios": "scenario",
    "privacy": "privacy",
}


def entries(group: str, config_dir: Path | None = None) -> list[tuple[str, str]]:
    """Return the options of a group with a line on each.

    Returns
    -------
    list of (str, str)
        Name and summary, sorted by name.
    """
    found = config.all_options(group, config_dir, nested=True)
    return [(name, _summary(group, option)) for name, option in found.items()]


def _summary(group: str, found: dict[str, Any]) -> str:
    if group == "privacy":
        return f"epsilon {found['epsilon']:g}, delta {found['delta']:g}"
    if group == "suite":  # what it takes: evaluators, or another suite
        taken = (next(iter(e.values())) if isinstance(e, dict) else e for e in found["defaults"])
        return ", ".join(name for name in taken if name != "_self_")
    summary = " ".join(str((found.get("about") or found).get("summary") or "").split())
    return summary + _environment(found)


def _environment(found: dict[str, Any]) -> str:
    """Say which environment of its own an option needs."""
    try:
        environment = Environment.of(found)
    except EnvironmentSpecError as error:
        return f" [{error}]"
    return "" if environment is None else f" [environment: {environment.text}]"
