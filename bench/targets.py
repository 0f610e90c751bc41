"""Targets: from a ``_target_`` in a configuration to an object.

A specification is a plain dict: ``_target_`` names the class, ``about`` describes it, ``search``
is what a search may choose (``space``), ``resources`` is what it needs of a cluster
(``running.resources``), ``environment`` says which packages it needs to itself (``foreign``), every
other key is an argument of its constructor.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

NO_ARGUMENTS = ("_target_", "about", "search", "resources", "environment")


class TargetError(ValueError):
    """A target cannot be found or built."""


def find(target: str, methods: tuple[str, ...]) -> type:
    """Import the class that ``target`` ("package.module.Class") names.

    Raises
    ------
    TargetError
        If there is none, or it lacks one of ``methods``.
    """
    _check_name(target)
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TargetError(
            f"_target_ {target!r} cannot be imported ({error}); is its folder the current one or "
            "its package installed?"
        ) from error
    if not isinstance(found, type):
        raise TargetError(f"_target_ must name a class, {target!r} is a {type(found).__name__}")
    if absent := [method for method in methods if not callable(getattr(found, method, None))]:
        raise TargetError(f"{target!r} has no method {' and no method '.join(absent)}")
    return found


def _check_name(target: str) -> None:
    if "." not in target:
        raise TargetError(f"_target_ must be 'module.Class', got {target!r}")


def arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments: all of ``spec`` but ``NO_ARGUMENTS``."""
    return {key: value for key, value in spec.items() if key not in NO_ARGUMENTS}


def build(spec: Mapping[str, Any], methods: tuple[str, ...]) -> Any:
    """Build the object that ``spec`` describes, or a proxy of it where it runs elsewhere.

    Raises
    ------
    TargetError
        If the class cannot be found or refuses its arguments.
    """
    if is_foreign(spec):
        return _build_foreign(spec, methods)
    cls = find(spec["_target_"], methods)
    try:
        return cls(**arguments(spec))
    except TypeError as error:
        raise TargetError(f"{spec['_target_']} refused its arguments: {error}") from error


def is_foreign(spec: Mapping[str, Any]) -> bool:
    """Whether what ``spec`` describes runs in an environment of its own."""
    return spec.get("environment") is not None


def _build_foreign(spec: Mapping[str, Any], methods: tuple[str, ...]) -> Any:
    from .foreign import proxy
    from .foreign.making import EnvironmentUnavailable

    _check_name(spec["_target_"])
    try:
        return proxy.build(spec, arguments(spec), methods)
    except (proxy.Refused, EnvironmentUnavailable) as error:
        raise TargetError(str(error)) from error


def version(spec: Mapping[str, Any]) -> int | str:
    """Return the declared version, or for code that declares none the hash of its source file.

    A declared version needs no import, so the keys of a large sweep are known in milliseconds.
    """
    declared = (spec.get("about") or {}).get("version")
    if declared is not None:
        return declared
    if is_foreign(spec):
        return _foreign_version(spec)
    module = spec["_target_"].rpartition(".")[0]
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.has_location or found.origin is None:
        raise TargetError(
            f"_target_ {spec['_target_']!r} cannot be found; is its folder the current one or its "
            "package installed?"
        )
    with open(found.origin, "rb") as source:
        return f"source:{hashlib.sha256(source.read()).hexdigest()[:16]}"


def _foreign_version(spec: Mapping[str, Any]) -> str:
    from .foreign.spec import version_of_source

    _check_name(spec["_target_"])
    if (found := version_of_source(spec)) is None:
        raise TargetError(
            f"the file of _target_ {spec['_target_']!r} is in its environment only, so its version "
            "is not known; set about.version"
        )
    return found
