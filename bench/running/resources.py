"""Resources: what a cell needs of a machine, by a launcher's settings and its generator's YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cells import Cell
from ..names import UnknownName
from ..numbers import check_whole

NAMES = ("cpus", "minutes", "memory_mib", "gpus", "partition", "account", "sbatch")


def wanted(
    cell: Cell, common: Mapping[str, Any], by_generator: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what a cell needs.

    Parameters
    ----------
    cell : Cell
        The ``resources`` of its generator's YAML win over ``common``.
    common : mapping
        What every cell needs.
    by_generator : mapping of str to mapping
        What cells of a generator need, by its name; wins over both.

    Raises
    ------
    ValueError
        If a name or a value is wrong.
    """
    about = cell.generator.get("about") or {}
    own = by_generator.get(about.get("name") or cell.label, {})
    return merged(common, cell.generator.get("resources") or {}, own)


def merged(*wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Put wishes together; later ones win, and a null wishes nothing.

    Raises
    ------
    ValueError
        If a name or a value is wrong.
    """
    found: dict[str, Any] = {}
    for wish in wishes:
        check(wish)
        found |= {name: value for name, value in wish.items() if value is not None}
    return found


def check(wish: Mapping[str, Any]) -> None:
    """Check the names and values of a section that says what cells need.

    Raises
    ------
    ValueError
        If one of them is wrong.
    """
    for name, value in wish.items():
        if name not in NAMES:
            raise UnknownName("resource", str(name), NAMES)
        if value is None:
            continue
        if name == "sbatch":
            _check_options(value)
        elif name in ("partition", "account"):
            if not _is_word(value):
                raise ValueError(f"{name} must be a name without spaces, got {value!r}")
        else:
            check_whole(name, value, least=0 if name == "gpus" else 1)


def _check_options(value: Any) -> None:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not all(_is_word(text) and str(text).startswith("-") for text in value):
        raise ValueError(
            f"sbatch must list options such as [--qos=long], got {value!r}; "
            "write each as one word that begins with -"
        )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value) and " " not in value
