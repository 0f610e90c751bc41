"""The verbs on what a grid is made of: what there is, and whether it keeps its contract."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..names import UnknownName
from . import catalog, terminal
from .common import add_verb, grid_options, points_of


def list_verb(verbs: Any) -> None:
    """Add the verb ``list``."""
    verb = add_verb(
        verbs,
        "list",
        _list,
        "list what exists, one line each",
        "  syntharena list\n  syntharena list datasets",
    )
    verb.add_argument("kind", nargs="?", help=f"one of {', '.join(catalog.KINDS)}")
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")


def _list(options: argparse.Namespace) -> int:
    if options.kind and options.kind not in catalog.KINDS:
        raise UnknownName("kind", options.kind, catalog.KINDS)
    kinds = [options.kind] if options.kind else list(catalog.KINDS)
    for kind in kinds:
        terminal.show_entries(kind, catalog.entries(catalog.KINDS[kind], options.config_dir))
    return 0


def check_verb(verbs: Any) -> None:
    """Add the verb ``check``."""
    verb = add_verb(
        verbs,
        "check",
        _check,
        "run the contract tests of generators, evaluators and datasets",
        "  syntharena check generator=cart\n"
        "  syntharena check generator._target_=mylab.gen.MyGen +generator.epochs=1\n"
        "  syntharena check +evaluator=utility\n"
        "  syntharena check dataset=adult\n"
        "  syntharena check -m generator='glob(*)'",
    )
    grid_options(verb)
    verb.add_argument("--seconds", type=float, help="how long one check may take, by default 60")
    verb.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="what is checked")


def _check(options: argparse.Namespace) -> int:
    from .. import check, plan

    seconds = check.SECONDS if options.seconds is None else options.seconds
    if not seconds > 0:
        raise ValueError(f"--seconds must be positive, got {seconds:g}")
    points = points_of(options)
    planner = plan.Planner(options.config_dir)
    reports = [report for point in points for report in _findings(point.config, planner, seconds)]
    if not reports:
        raise ValueError("nothing to check: name generator=..., +evaluator=... or dataset=...")
    failed = [terminal.show_findings(title, findings) for title, findings in reports]
    return int(any(failed))


def _findings(config: dict[str, Any], planner: Any, seconds: float) -> Iterator[tuple[str, Any]]:
    """Yield a title and the findings for each thing that a configuration names."""
    from .. import check, plan
    from ..foreign import servers

    folders = plan.Folders.of(config["paths"])
    for kind, findings in (("generator", check.generator), ("evaluator", check.evaluator)):
        if (config.get(kind) or {}).get("_target_"):
            spec = planner.resolved(config[kind])
            servers.start(servers.prepare([spec], folders.cache, terminal.say_progress))
            yield _title(kind, spec), findings(spec, seconds)
    if "columns" in config["dataset"] or config["dataset"]["path"]:
        spec = planner.dataset(config["dataset"])
        found = check.dataset(spec, folders.data, folders.cache, seconds)
        yield f"dataset {spec['name']}", found


def _title(kind: str, spec: dict[str, Any]) -> str:
    return f"{kind} {(spec.get('about') or {}).get('name') or spec['_target_']}"
