"""The plan: from the plain configurations of a grid to its cells, with every value checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import targets
from .canonical import digest
from .cells import Cell
from .config import DEFAULT_PRESET, ConfigError, Plain, Point, all_options
from .contracts import Budget
from .foreign.spec import Environment, find_source, problem_of_source, resolve
from .names import UnknownName
from .numbers import check_whole, is_number, is_whole
from .search import space
from .seeds import STAGES
from .statuses import STATUSES
from .tuning import Search, Tuning


class Planner:
    """Makes cells, reading each of the user's own tables once.

    Parameters
    ----------
    config_dir : path, optional
        A folder with groups of the user's own, where a public stand-in may be described.
    """

    def __init__(self, config_dir: str | os.PathLike[str] | None = None) -> None:
        self._config_dir = config_dir
        self._user_specs: dict[str, Plain] = {}
        self._environments: dict[str, Plain] = {}

    def cells(self, points: Sequence[Point]) -> list[Cell]:
        """Return the cells of ``points`` in the grid's order, duplicates dropped.

        Raises
        ------
        ConfigError, ValueError
            If a configuration makes no cell; the message is one line.
        """
        found = [self.cell(point) for point in points]
        return list({cell.record_key: cell for cell in found}.values())

    def cell(self, point: Point) -> Cell:
        """Turn one configuration into a cell."""
        config = point.config
        if not (config.get("generator") or {}).get("_target_"):
            raise ConfigError("a generator is needed: set generator=NAME (see: syntharena list)")
        if config.get("evaluator"):
            raise ConfigError(
                "an evaluator joins a run as +evaluator@evaluators.NAME=NAME, got +evaluator=NAME"
            )
        check_retry(config["retry"])
        tuning = Tuning.of(config["tuning"])
        return Cell(
            scenario=config["scenario"],
            dataset=self.dataset(config["dataset"]),
            generator=self.resolved(config["generator"]),
            evaluators={n: self.resolved(s) for n, s in (config.get("evaluators") or {}).items()},
            budget=_budget(config["privacy"]),
            seeds=_seeds(config),
            label=_label(point),
            limits=_limits(config["limits"]),
            tuning=tuning,
            stand_in=self._stand_in(tuning),
        )

    def resolved(self, spec: Plain) -> Plain:
        """Return a specification whose environment needs no file any more, each read once."""
        if not targets.is_foreign(spec):
            return spec
        key = digest(spec["environment"])
        if key not in self._environments:
            self._environments[key] = resolve(spec)["environment"]
        return {**spec, "environment": self._environments[key]}

    def _stand_in(self, tuning: Tuning) -> Plain | None:
        """Return the specification of the public table that a search reads."""
        if tuning.search is None or tuning.stand_in is None:
            return None
        options = all_options("dataset", self._config_dir)
        if tuning.stand_in not in options:
            raise UnknownName("dataset", tuning.stand_in, options)
        return options[tuning.stand_in]

    def dataset(self, dataset: Plain) -> Plain:
        """Return a dataset's specification, guessed where it is the user's own table."""
        if "columns" in dataset:
            return dataset
        if not dataset.get("path"):
            raise ConfigError(
                "a dataset is needed: set dataset=NAME (see: syntharena list) or "
                "dataset.path=FILE for your own table"
            )
        key = digest(dataset)
        if key not in self._user_specs:
            from .data import datasets

            given = {k: v for k, v in dataset.items() if k not in ("path", "target")}
            set_by_user = {k: v for k, v in given.items() if v is not None}
            self._user_specs[key] = datasets.user_spec(
                dataset["path"], dataset.get("target"), **set_by_user
            )
        return self._user_specs[key]

    @property
    def guessed(self) -> list[Plain]:
        """The specifications that were guessed from the user's own tables."""
        return list(self._user_specs.values())


def check_retry(statuses: Any) -> None:
    """Check the list of statuses to run again."""
    for status in statuses or ():
        if status not in STATUSES:
            raise ConfigError(f"retry lists statuses ({', '.join(STATUSES)}), got {status!r}")


def _budget(privacy: Mapping[str, Any]) -> Budget:
    return Budget(**{key: _float(value) for key, value in privacy.items()})


def _float(value: Any) -> Any:
    return float(value) if is_whole(value) else value


def _seeds(config: Plain) -> dict[str, int]:
    seeds = {}
    for stage in STAGES:
        value = config["seeds"].get(stage)
        seed = config["seed"] if value is None else value
        check_whole("seed", seed, least=0, cure="set seed=0")
        seeds[stage] = seed
    return seeds


def _limits(limits: Plain) -> Plain:
    for name, value in limits.items():
        absent = value is None and name != "threads"
        if not absent and not (is_number(value) and value > 0):
            raise ConfigError(f"limits.{name} must be > 0, got {value!r}")
    return limits


def _label(point: Point) -> str:
    """Name a row of the board: the generator, and what was changed of its hyperparameters."""
    generator = point.config["generator"]
    name = (generator.get("about") or {}).get("name") or generator["_target_"].rpartition(".")[2]
    changed = [] if point.preset in (None, DEFAULT_PRESET) else [f"preset={point.preset}"]
    changed += [
        line.lstrip("+").removeprefix("generator.")
        for line in point.overrides
        if line.lstrip("+").startswith("generator.") and not _is_description(line)
    ]
    tuning = point.config["tuning"] or {}
    if search := tuning.get("search"):
        changed.append(f"tuned, {tuning['trials']} trials or {search['seconds']:g} s")
    return f"{name} ({', '.join(changed)})" if changed else name


def _is_description(line: str) -> bool:
    named = ("_target_", "about", "resources")
    return line.lstrip("+").startswith(tuple(f"generator.{key}" for key in named))


@dataclass(frozen=True)
class Folders:
    """Where a run reads and writes: the Store, the user's tables if given, downloaded tables."""

    results: Path
    data: Path | None
    cache: Path

    @classmethod
    def of(cls, paths: Mapping[str, Any]) -> Folders:
        """Return what the ``paths`` section says, else the environment, else the defaults."""
        data = paths.get("data") or os.environ.get("SYNTHARENA_DATA")
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(
            Path(paths.get("results") or "results/runs").absolute(),
            Path(data).absolute() if data else None,
            Path(paths.get("cache") or Path(home, "syntharena")).absolute(),
        )


def preload(cells: Sequence[Cell]) -> list[str]:
    """Return the modules that the cells declare for import before they are forked."""
    searched = any(cell.tuning.search is not None for cell in cells)
    found = {"optuna": None} if searched else {}
    for spec in specifications(cells):
        if targets.is_foreign(spec):
            continue
        module = spec["_target_"].rpartition(".")[0]
        if module.startswith("syntharena."):
            found[module] = None
        found.update(dict.fromkeys((spec.get("about") or {}).get("preload") or ()))
    return list(found)


def specifications(cells: Sequence[Cell]) -> list[Mapping[str, Any]]:
    """Return what describes the generators and evaluators of cells; what they share, once."""
    searches = [cell.tuning.search for cell in cells if cell.tuning.search is not None]
    parts = [part for search in searches for part in (search.evaluators, search.guards)]
    parts += [cell.evaluators for cell in cells]
    specs = [cell.generator for cell in cells] + [s for part in parts for s in part.values()]
    return list({id(spec): spec for spec in specs}.values())


def check_targets(cells: Sequence[Cell], *, abroad: bool = True) -> None:
    """See that every class that the cells name can be found, before anything is started.

    ``abroad`` says that foreign environments have been made, so that what a search maximises there
    can be asked for.
    """
    generators = [(cell.generator, ("fit", "sample")) for cell in cells]
    evaluators = [(spec, ("evaluate",)) for cell in cells for spec in cell.evaluators.values()]
    wanted = {id(spec): (spec, methods) for spec, methods in generators + evaluators}
    for spec, methods in wanted.values():
        if targets.is_foreign(spec):
            _check_foreign(spec, methods)
        else:
            targets.find(spec["_target_"], methods)
    seen = set()
    for cell in cells:
        if cell.tuning.search is not None and (rule := digest(cell.identity["tuning"])) not in seen:
            seen.add(rule)
            _check_search(cell, cell.tuning.search, abroad)


def _check_foreign(spec: Mapping[str, Any], methods: tuple[str, ...]) -> None:
    """See that the class is in its file, if that is on this side of its environment."""
    target = spec["_target_"]
    source = find_source(target, Environment.wanted_by(spec))
    if source is None:
        return  # it is installed in its environment; a cell says if it is not
    if problem := problem_of_source(source.file, target.rpartition(".")[2], methods):
        raise targets.TargetError(f"_target_ {target!r}: {problem}")


def _check_search(cell: Cell, search: Search, abroad: bool) -> None:
    """See that what a search maximises is declared, and that its space can be searched."""
    from .search import objective

    scenario = cell.scenario["_target_"]
    if not getattr(targets.find(scenario, ("run",)), "searches", False):
        raise ConfigError(
            f"{scenario} searches no hyperparameters; search with scenario=release, then set what "
            "was chosen"
        )
    spec = cell.stand_in or cell.dataset
    task = spec.get("task") if spec.get("target") else None
    if cell.is_charged:
        objective.check_counted(search, task)
    elif abroad or not any(map(targets.is_foreign, search.evaluators.values())):
        search.of_task(task, objective.declared(search))
    space.parse(cell.generator.get("search") or {}, targets.arguments(cell.generator))
