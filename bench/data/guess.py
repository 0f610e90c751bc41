"""Guess: propose a Schema for somebody's own table, with a reason for every column.

A guess reads private rows: categories and bounds are those that occur. So a guessed Schema is not
public, and no finite epsilon covers what it reveals, until its owner confirms it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

MANY = 20  # a target of more whole numbers is an amount, no label
FEW_ROWS = 20  # below this, "every value is different" says nothing
DISTINCT = 0.95  # share of different values from which a text names its row
MAX_DECIMALS = 6  # more digits are the trace of a computation, no rounding
EXACT = 2.0**53  # whole numbers beyond it are not exact in float64
PLAIN_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?")
# Texts that mean "missing" in a column that otherwise holds numbers or dates.
ABSENT = ("NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "?")

Column = dict[str, Any]


@dataclass(frozen=True)
class Guess:
    """A proposed Schema.

    Parameters
    ----------
    columns : dict of str to dict
        Specification of each column, as in a dataset's YAML.
    reasons : dict of str to str
        Why each column is taken for what it is.
    identifiers : list of str
        Columns that name a row or a person.
    task : str or None
        What predicting the target is.
    """

    columns: dict[str, Column]
    reasons: dict[str, str]
    identifiers: list[str]
    task: str | None


def propose(table: pd.DataFrame, target: str | None = None, task: str | None = None) -> Guess:
    """Propose a Schema.

    Parameters
    ----------
    table : DataFrame of str
        The fields of a file as texts; the empty text is a missing value.
    target : str, optional
        The column that downstream models predict.
    task : {"binary", "multiclass", "regression"}, optional
        What predicting it is, where that is known.
    """
    columns, reasons, identifiers = {}, {}, []
    for name in table.columns:
        fields = table[name].to_numpy(dtype=object)
        texts = [str(text) for text in pd.unique(fields)]
        columns[name], reasons[name] = _column(texts)
        if name == target:
            columns[name], reasons[name] = _target(texts, columns[name], reasons[name], task)
        elif _names_rows(columns[name], int((fields != "").sum()), len(texts)):
            identifiers.append(name)
            reasons[name] = "names rows, nearly every value is different: kept from generators"
    return Guess(columns, reasons, identifiers, task or task_of(columns.get(target or "")))


def describe(spec: Mapping[str, Any]) -> list[str]:
    """Return the lines that tell a user what was guessed.

    Parameters
    ----------
    spec : mapping
        What ``datasets.user_spec`` returned.
    """
    names = {name: _shown(name) for name in spec["columns"]}
    width = max(map(len, names.values()))
    pins = spec["pins"]
    goal = f"target {_shown(spec['target'])} ({spec['task']})" if spec["target"] else "no target"
    lines = [f"{_shown(spec['name'])}: {pins['rows']} rows, {pins['columns']} columns, {goal}"]
    for name, column in spec["columns"].items():
        role = "identifier" if name in spec["identifiers"] else column["kind"]
        lines.append(f"  {names[name]:<{width}}  {role:<11}  {spec['guessed'][name]}")
    if not spec["public"]:
        lines.append(
            "This Schema was guessed from the rows, so it is not public: cells with a finite "
            "epsilon are refused until dataset.public=true confirms it."
        )
    return lines


def _column(texts: list[str]) -> tuple[Column, str]:
    """Propose a column from its distinct texts: its specification, and the reason."""
    missing = "" in texts
    known = [text for text in texts if text]
    if not known:
        return {"kind": "categorical", "categories": [], "missing": True}, "has no value at all"
    absent = [text for text in ABSENT if text in known]
    values = [text for text in known if text not in absent]
    found = _boolean(known) or (_dates(values) or _numbers(values) if values else None)
    if found is None or (absent and found[0]["kind"] == "categorical"):
        count = f"{len(known)} different texts" if len(known) > 1 else "one text only"
        return _categorical(known, missing), count
    column, reason = found
    if absent:
        column["missing_values"] = absent
        reason += f"; {', '.join(map(repr, absent))} as missing"
    return column | {"missing": missing or bool(absent)}, reason


def _categorical(texts: list[str], missing: bool) -> Column:
    return {"kind": "categorical", "categories": sorted(texts, key=_rank), "missing": missing}


def _rank(text: str) -> tuple[float, str]:
    """Order numbers by their value and before other texts."""
    return (float(text) if PLAIN_NUMBER.fullmatch(text) else math.inf), text


def _boolean(texts: list[str]) -> tuple[Column, str] | None:
    return ({"kind": "boolean"}, "False and True") if set(texts) == {"False", "True"} else None


def _dates(texts: list[str]) -> tuple[Column, str] | None:
    if not all(map(ISO_DATE.fullmatch, texts)):
        return None
    try:
        stamps = sorted(datetime.fromisoformat(text) for text in texts)
    except ValueError:  # a month 13
        return None
    low, high = stamps[0].isoformat(), stamps[-1].isoformat()
    return {"kind": "datetime", "minimum": low, "maximum": high}, f"dates, {low} to {high}"


def _numbers(texts: list[str]) -> tuple[Column, str] | None:
    if not all(map(PLAIN_NUMBER.fullmatch, texts)):
        return None  # a leading zero or a blank makes a code
    numbers = np.array(texts, dtype=np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite([low, high]).all():
        return None
    if len(texts) <= 2:
        return _categorical(texts, missing=False), "two numbers or fewer: a code"
    if (numbers == np.rint(numbers)).all():
        if max(-low, high) > EXACT:
            return None
        bounds = {"minimum": int(low), "maximum": int(high)}
        return {"kind": "integer", **bounds}, f"whole numbers, {int(low)} to {int(high)}"
    column: Column = {"kind": "continuous", "minimum": low, "maximum": high}
    digits = max(len(text.partition(".")[2]) for text in texts)
    if digits <= MAX_DECIMALS and not any("e" in text.lower() for text in texts):
        column["decimals"] = digits
    return column, f"numbers, {low:g} to {high:g}"


def _target(texts: list[str], column: Column, reason: str, task: str | None) -> tuple[Column, str]:
    """Take few whole numbers for labels, unless the task says otherwise."""
    labels = [text for text in texts if text and text not in column.get("missing_values", ())]
    if task == "regression":
        if column["kind"] != "categorical" or not all(map(PLAIN_NUMBER.fullmatch, labels)):
            return column, reason
        low, *_, high = sorted(map(float, labels))
        column = {"kind": "continuous", "minimum": low, "maximum": high, "missing": "" in texts}
        return column, "an amount, as the task says"
    if column["kind"] in ("categorical", "boolean"):
        return column, reason
    if task is None and (column["kind"] != "integer" or len(labels) > MANY):
        return column, reason
    spec = _categorical(labels, column["missing"])
    if "missing_values" in column:
        spec["missing_values"] = column["missing_values"]
    return spec, f"{len(labels)} different values of the target: class labels"


def task_of(target: Column | None) -> str | None:
    """Return what predicting a column is; None without one."""
    if target is None:
        return None
    if target["kind"] == "boolean":
        return "binary"
    if target["kind"] != "categorical":
        return "regression"
    return "binary" if len(target["categories"]) == 2 else "multiclass"


def _names_rows(column: Column, known: int, distinct: int) -> bool:
    """Whether a column tells rows apart rather than describing them."""
    if known < FEW_ROWS:
        return False
    if column["kind"] == "integer" and column["minimum"] in (0, 1):
        return distinct == known == column["maximum"] - column["minimum"] + 1
    return column["kind"] == "categorical" and len(column["categories"]) >= DISTINCT * known


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)
