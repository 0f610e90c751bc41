"""Numbers that people set: what counts as one, and what is said where it does not."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number, and written as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_whole(name: str, value: Any, least: int = 1, cure: str = "") -> None:
    """Check that a setting is a whole number that reaches ``least``.

    Raises
    ------
    ValueError
        Otherwise; ``cure`` follows the rule and the value.
    """
    if not is_whole(value) or value < least:
        hint = f"; {cure}" if cure else ""
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}{hint}")
