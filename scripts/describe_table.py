"""Draft a dataset's YAML from a table: python scripts/describe_table.py my.csv --target y.

The draft says what the rows are like. Before it goes to conf/dataset, replace bounds and categories
by what is public knowledge, say in ``domain`` where that is from, and fill in what is null.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from syntharena.bench.data import datasets

WIDTH = 100
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./ +-]*(?<! )")
WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}
FIELDS = ("name", "summary", "path", "rows", "target", "task", "sensitive", "source")
FIELDS += ("identifiers", "public", "domain", "pins", "download", "licence", "citation", "splits")


def scalar(value: Any) -> str:
    """Write one value so that YAML reads it back as it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    shown = "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in value)
    return f'"{shown}"'


def flow(value: Any) -> str:
    """Write a value in YAML's flow style, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def column(name: str, stated: Mapping[str, Any]) -> list[str]:
    """Write a column, with its categories wrapped where they do not fit on a line."""
    line = f"  {scalar(name)}: {flow(stated)}"
    if len(line) <= WIDTH:
        return [line]
    rest = {key: value for key, value in stated.items() if key != "categories"}
    lines = [f"  {scalar(name)}:", *(f"    {key}: {flow(value)}" for key, value in rest.items())]
    if "categories" in stated:
        lines += wrapped("    categories:", list(map(scalar, stated["categories"])))
    return lines


def wrapped(head: str, items: list[str]) -> list[str]:
    """Write a flow list over as many lines as it needs."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    lines, line = [f"{head} ["], indent
    for item in items:
        if len(line) + len(item) + 1 > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{item}, "
    return [*lines, line.rstrip().rstrip(","), indent[2:] + "]"]


def draft(spec: Mapping[str, Any]) -> list[str]:
    """Write a specification as the lines of a dataset's YAML."""
    lines = [f"{key}: {flow(spec.get(key))}" for key in FIELDS]
    lines.append("columns:")
    for name, stated in spec["columns"].items():
        lines += column(name, {k: v for k, v in stated.items() if v is not False})
    return lines


def main() -> None:
    """Print the draft."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", help="CSV or Parquet")
    parser.add_argument("--target", help="the column that downstream models predict")
    arguments = parser.parse_args()
    try:
        spec = datasets.user_spec(arguments.file, arguments.target)
    except datasets.DatasetError as error:
        sys.exit(str(error))
    print("\n".join(draft({**spec, "path": None})))


if __name__ == "__main__":
    main()
