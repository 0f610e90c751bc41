"""Configuration: from Hydra overrides to the plain configurations of a grid.

Hydra's own multirun composes every job of a grid, at a twentieth of a second and more each. A grid
is a product, so composing each choice of each axis once gives the same configurations: where axes
change different top-level keys they are combined without composing again, where they meet they are
composed together. Nothing outside this module sees Hydra or OmegaConf.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from .names import UnknownName

CONFIG = "config"
CONFIG_MODULE = "syntharena.conf"
PRESETS = ("smoke", "cpu", "paper")  # how much a generator trains, in the order of ${preset:1,2,3}
DEFAULT_PRESET = "cpu"

Plain = dict[str, Any]


class ConfigError(ValueError):
    """The overrides do not make a configuration."""


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Parameters
    ----------
    config : dict
        The whole configuration as plain values, interpolations resolved.
    choices : mapping of str to str
        Which option each group took.
    overrides : tuple of str
        What was set on the command line or by an experiment for this point.
    preset : str or None
        The preset that settings of the generator follow; None if none does.
    """

    config: Plain
    choices: Mapping[str, str]
    overrides: tuple[str, ...]
    preset: str | None = None


@dataclass(frozen=True)
class _Sweep:
    """One dimension of the grid: a key and the overrides that give it its values."""

    key: str
    lines: tuple[str, ...]
    values: tuple[Any, ...]
    is_group: bool

    @cached_property
    def needs_composing(self) -> bool:
        """Whether a value does more than take one place in the configuration."""
        scalars = all(isinstance(v, str | int | float | bool | None) for v in self.values)
        return self.is_group or not scalars


def grid(
    overrides: Sequence[str], *, config_dir: str | os.PathLike[str] | None = None, multirun: bool
) -> list[Point]:
    """Return every point of the grid that the overrides span, in Hydra's order.

    Parameters
    ----------
    overrides : sequence of str
        In Hydra's grammar.
    config_dir : path, optional
        A folder of somebody else's groups, searched after ours.
    multirun : bool
        Whether an override may name several values.

    Raises
    ------
    ConfigError
        If the overrides make no configuration; the message is one line.
    """
    with _hydra(config_dir) as composer:
        parsed = composer.parse(overrides)
        fixed = [o.input_line for o in parsed if not o.is_sweep_override()]
        sweeps = {o.get_key_element(): composer.sweep(o) for o in parsed if o.is_sweep_override()}
        first, hydra = composer.begun([*fixed, *(sweep.lines[0] for sweep in sweeps.values())])
        if sweeps and not multirun and str(hydra["mode"]).rpartition(".")[2] != "MULTIRUN":
            line = next(o.input_line for o in parsed if o.is_sweep_override())
            raise ConfigError(f"several values need a multirun, got {line!r}; add -m")
        given = {o.get_key_element() for o in parsed}
        for key, value in _params(hydra).items():
            if key in given:
                continue  # the command line wins over the experiment
            (override,) = composer.parse([f"{key}={value}"])
            if override.is_sweep_override():
                sweeps[override.get_key_element()] = composer.sweep(override)
            else:
                fixed.append(override.input_line)
            first = None
        return composer.product(fixed, list(sweeps.values()), first)


def all_options(
    group: str,
    config_dir: str | os.PathLike[str] | None = None,
    preset: str = DEFAULT_PRESET,
    *,
    nested: bool = False,
) -> dict[str, Plain]:
    """Return every option of a group with its configuration, e.g. every dataset's.

    ``nested`` asks for those in folders of the group as well, FOLDER/NAME: what ``glob(*)`` leaves
    out, such as generators that need environments of their own.
    """
    from omegaconf import OmegaConf

    found: dict[str, Plain] = {}
    _register_resolvers()
    with resources.as_file(resources.files(CONFIG_MODULE)) as ours:
        for folder in [ours] + ([Path(config_dir)] if config_dir else []):
            for path in (folder / group).glob("**/*.yaml" if nested else "*.yaml"):
                option = OmegaConf.merge(OmegaConf.load(path), {"preset": preset})
                plain: Plain = OmegaConf.to_container(option, resolve=True)  # type: ignore[assignment]
                del plain["preset"]
                found[path.relative_to(folder / group).with_suffix("").as_posix()] = plain
    return dict(sorted(found.items()))


class _Composer:
    """Hydra's loader, with what a grid needs of it."""

    def __init__(self, extra: list[str]) -> None:
        from hydra.core.global_hydra import GlobalHydra

        self._extra = extra
        self._options: dict[str, list[str]] = {}
        self._folders: list[str] = []  # the glob's patterns with a slash
        self._loader = GlobalHydra.instance().config_loader()

    def parse(self, overrides: Sequence[str]) -> list[Any]:
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        try:
            parsed = OverridesParser.create(config_loader=self).parse_overrides(list(overrides))  # type: ignore[arg-type]
        except HydraException as error:
            raise ConfigError(_one_line(error)) from error
        for override in parsed:
            self._check_name(override)
        return parsed

    def _check_name(self, override: Any) -> None:
        group = override.key_or_group
        if not (valid := self.options(group)):
            return
        names = self._listed(override) if override.is_sweep_override() else [override.value()]
        for name in names:
            for part in name if isinstance(name, list) else [name]:
                if part is None or str(part) in [*valid, "null"]:
                    continue
                if str(part) not in (nested := self._nested(group)):
                    raise UnknownName(group, str(part), [*valid, *nested])

    def get_group_options(self, group_name: str, **_: Any) -> list[str]:
        """Answer Hydra's parser, which asks for the options that a glob may match."""
        nested = self._nested(group_name) if self._folders else ()
        return [
            *self.options(group_name),
            *(n for n in nested if any(fnmatch.fnmatch(n, f) for f in self._folders)),
        ]

    def _listed(self, override: Any) -> list[str]:
        """Return the values of a sweep; options in folders only where a glob has a slash."""
        self._folders = [p for p in getattr(override.value(), "include", ()) if "/" in p]
        if not (found := list(override.sweep_string_iterator())):
            raise ConfigError(f"{override.input_line!r} matches nothing; see syntharena list")
        return found

    def options(self, group: str) -> list[str]:
        """Return the options of a group, sorted; none for what is no group."""
        if group not in self._options:
            found = self._loader.get_group_options(group, config_name=CONFIG, overrides=self._extra)
            self._options[group] = sorted(found)
        return self._options[group]

    def is_choice(self, line: str) -> bool:
        """Whether an override names an option of a group."""
        return bool(self.options(line.partition("=")[0].lstrip("+")))

    def _nested(self, group: str) -> list[str]:
        """Return the options in folders of a group, FOLDER/NAME."""
        from hydra.core.object_type import ObjectType

        folders = self._loader.get_group_options(
            group, ObjectType.GROUP, config_name=CONFIG, overrides=self._extra
        )
        return [f"{f}/{name}" for f in sorted(folders) for name in self.options(f"{group}/{f}")]

    def sweep(self, override: Any) -> _Sweep:
        """Return the dimension that an override with several values spans."""
        key = override.get_key_element()
        if not override.is_discrete_sweep():
            raise ConfigError(f"a grid needs listed values, got {override.input_line!r}")
        lines = tuple(f"{key}={value}" for value in self._listed(override))
        values = tuple(parsed.value() for parsed in self.parse(lines))
        return _Sweep(key, lines, values, bool(self.options(override.key_or_group)))

    def compose(self, overrides: Sequence[str]) -> tuple[Plain, dict[str, str]]:
        """Compose one configuration, interpolations unresolved, and its choices."""
        from hydra import compose
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            config = compose(CONFIG, [*self._extra, *overrides], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise self._explained(error, overrides) from error
        choices = {str(k): str(v) for k, v in config.hydra.runtime.choices.items()}
        plain: Plain = OmegaConf.to_container(config, resolve=False, enum_to_str=True)  # type: ignore[assignment]
        plain["hydra"] = {key: plain["hydra"][key] for key in ("mode", "launcher", "sweeper")}
        return plain, choices

    def begun(self, lines: list[str]) -> tuple[tuple[Plain, dict[str, str]] | None, Plain]:
        """Return the composition of the lines, if it is complete, and what it says to Hydra.

        A value may lie in a group that is chosen only by an axis of an experiment.
        """
        try:
            first = self.compose(lines)
            return first, first[0]["hydra"]
        except ConfigError:
            deciding = [o for o in lines if self.is_choice(o) or o.lstrip("+").startswith("hydra.")]
            hydra = self.compose(deciding)[0]["hydra"]
            if not _params(hydra):
                raise
            return None, hydra

    def _explained(self, error: Exception, overrides: Sequence[str]) -> ConfigError:
        """Say which setting is unknown, where that is what went wrong."""
        choices = [line for line in overrides if self.is_choice(line)]
        values = [line for line in overrides if line not in choices]
        if not values:
            return ConfigError(_one_line(error))
        known, _ = self.compose(choices)
        for override in self.parse(values):
            if unknown := _unknown_setting(known, override.key_or_group):
                return ConfigError(unknown)
        return ConfigError(_one_line(error))

    def product(
        self, fixed: list[str], sweeps: list[_Sweep], first: tuple[Plain, dict[str, str]] | None
    ) -> list[Point]:
        """Return the points of the product of ``sweeps``, each over the ``fixed`` overrides.

        ``first`` is the composition of the first point, if it is known.
        """
        blocks = self._blocks(fixed, sweeps)
        base, base_choices = first or self.compose([*fixed, *(s.lines[0] for s in sweeps)])
        points = []
        for picks in itertools.product(*(range(len(sweep.lines)) for sweep in sweeps)):
            config, choices = dict(base), dict(base_choices)
            for block in blocks:
                block.apply(picks, config, choices)
            for sweep, pick in zip(sweeps, picks, strict=True):
                if not sweep.needs_composing:
                    _set(config, sweep.key.lstrip("+").split("."), sweep.values[pick])
            if (preset := config.get("preset")) not in PRESETS:
                raise UnknownName("preset", str(preset), PRESETS)
            lines = [sweep.lines[pick] for sweep, pick in zip(sweeps, picks, strict=True)]
            followed = preset if "${preset:" in repr(config.get("generator")) else None
            points.append(Point(_resolved(config), choices, (*fixed, *lines), followed))
        return points

    def _blocks(self, fixed: list[str], sweeps: list[_Sweep]) -> list[_Block]:
        """Group the sweeps so that different groups change different top-level keys."""
        blocks = [
            self._block(fixed, sweeps, (i,)) for i, s in enumerate(sweeps) if s.needs_composing
        ]
        while meeting := next(
            ((a, b) for a, b in itertools.combinations(blocks, 2) if a.touched & b.touched), None
        ):
            together = tuple(sorted(meeting[0].members + meeting[1].members))
            blocks = [block for block in blocks if block not in meeting]
            blocks.append(self._block(fixed, sweeps, together))
        return blocks

    def _block(self, fixed: list[str], sweeps: list[_Sweep], members: tuple[int, ...]) -> _Block:
        composed = {}
        for picks in itertools.product(*(range(len(sweeps[i].lines)) for i in members)):
            lines = [sweep.lines[0] for sweep in sweeps]
            for member, pick in zip(members, picks, strict=True):
                lines[member] = sweeps[member].lines[pick]
            composed[picks] = self.compose([*fixed, *lines])
        return _Block(members, composed)


@dataclass(frozen=True, eq=False)
class _Block:
    """Sweeps that change the same parts of the configuration, composed together."""

    members: tuple[int, ...]
    composed: Mapping[tuple[int, ...], tuple[Plain, dict[str, str]]]

    @cached_property
    def touched(self) -> set[str]:
        """The top-level keys in which the compositions differ."""
        (first, _), *others = self.composed.values()
        return {
            key
            for other, _ in others
            for key in set(first) | set(other)
            if key not in first or key not in other or first[key] != other[key]
        }

    def apply(self, picks: Sequence[int], config: Plain, choices: dict[str, str]) -> None:
        composed, chosen = self.composed[tuple(picks[member] for member in self.members)]
        (_, first_chosen) = next(iter(self.composed.values()))
        for key in self.touched:
            config.pop(key, None)
            if key in composed:
                config[key] = composed[key]
        choices.update({k: v for k, v in chosen.items() if first_chosen.get(k) != v})


def _params(hydra: Plain) -> Plain:
    """Return the axes that an experiment has."""
    return hydra["sweeper"].get("params") or {}


def _unknown_setting(config: Any, key: str) -> str | None:
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(config, dict) or part not in config:
            where = f"setting of {'.'.join(parts[:depth])}" if depth else "setting"
            valid = [name for name in config or () if name not in ("hydra", "about")]
            return f"{UnknownName(where, part, valid)}; a new one is added as +{key}=..."
        config = config[part]
    return None


def _set(config: Plain, path: Sequence[str], value: Any) -> None:
    """Set a value, copying what it lies in: the rest is shared between points."""
    for part in path[:-1]:
        config[part] = dict(config[part])
        config = config[part]
    config[path[-1]] = value


def _resolved(config: Plain) -> Plain:
    """Resolve interpolations; names that merely look like one from the environment stay text."""
    if not any(_interpolates(section) for section in config.values()):
        return config
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(config), resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error


_CHECKED: dict[int, tuple[Any, bool]] = {}


def _interpolates(section: Any) -> bool:
    """Whether a text in a section holds an interpolation; shared sections are looked at once."""
    known = _CHECKED.get(id(section))
    if known is None or known[0] is not section:
        known = _CHECKED[id(section)] = (section, "${" in repr(section))
    return known[1]


@contextlib.contextmanager
def _hydra(config_dir: str | os.PathLike[str] | None) -> Iterator[_Composer]:
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    _register_resolvers()
    extra = []
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir must be a folder, got {str(config_dir)!r}")
        extra = [f"hydra.searchpath=[{str(folder)!r}]"]
    GlobalHydra.instance().clear()
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        yield _Composer(extra)


def _register_resolvers() -> None:
    from omegaconf import OmegaConf

    # A text such as ${oc.env:HOME} in a name is data; secrets never reach a record.
    OmegaConf.register_new_resolver(
        "oc.env", lambda *name: "${oc.env:" + ",".join(map(str, name)) + "}", replace=True
    )
    OmegaConf.register_new_resolver("preset", _of_preset, replace=True)
    OmegaConf.register_new_resolver("environment", _named_environment, replace=True)


def _named_environment(name: str) -> Any:
    """Return one of the environments that several options share: conf/environment/NAME.yaml."""
    from omegaconf import OmegaConf

    with resources.as_file(resources.files(CONFIG_MODULE) / "environment") as folder:
        known = {path.stem: path for path in folder.glob("*.yaml")}
        if name not in known:
            raise UnknownName("environment", name, known)
        return OmegaConf.load(known[name])


def _of_preset(*values: Any, _root_: Any) -> Any:
    """Pick the value of the chosen preset."""
    if len(values) != len(PRESETS):
        given = ", ".join(map(str, values))
        raise ConfigError(f"a value each for {', '.join(PRESETS)} is needed, got {given}")
    return values[PRESETS.index(_root_.get("preset", DEFAULT_PRESET))]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
