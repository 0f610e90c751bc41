"""Canonical JSON: one text for one value, so that a hash of it identifies the value.

Keys are sorted, floats are written shortest and exact, and infinities are the texts ``inf`` and
``-inf``; NaN has no canonical form and is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Turn a value into what JSON holds: infinities become texts, tuples lists.

    Raises
    ------
    ValueError
        If a NaN is in it.
    TypeError
        If something in it is no JSON value.
    """
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("NaN cannot be written; state a reason instead of a number")
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        return plain(value.item())
    raise TypeError(f"only JSON values can be written, got {type(value).__name__}: {value!r}")


def dumps(value: Any, indent: int | None = None) -> str:
    """Write a value as canonical JSON; ``indent`` is for people and does not change a hash."""
    return _dumps(plain(value), indent)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return digest_parsed(plain(value))


def digest_parsed(value: Any) -> str:
    """``digest`` of what a JSON parser returned, at a third of the time.

    Raises
    ------
    ValueError
        If it holds a NaN, which some parsers accept.
    """
    return hashlib.sha256(_dumps(value).encode()).hexdigest()


def _dumps(value: Any, indent: int | None = None) -> str:
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, sort_keys=True, separators=separators, allow_nan=False, indent=indent)
