"""The verb that brings tables to this machine before a sweep needs them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import escape
from ..names import UnknownName
from . import terminal
from .common import add_verb


def data_verb(verbs: Any) -> None:
    """Add the verb ``data``."""
    verb = add_verb(
        verbs,
        "data",
        _data,
        "download and verify tables, for machines that will have no network",
        "  syntharena data fetch adult german_credit",
    )
    verb.add_argument("action", choices=["fetch"])
    verb.add_argument("names", nargs="+", metavar="DATASET", help="names of datasets")
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")


def _data(options: argparse.Namespace) -> int:
    from .. import config, plan
    from ..data import datasets

    known = config.all_options("dataset", options.config_dir)
    for name in options.names:
        if name not in known:
            raise UnknownName("dataset", name, known)
    folders = plan.Folders.of({})
    where = {"data_dir": folders.data, "cache_dir": folders.cache}
    for name in options.names:
        rows, columns = datasets.load(known[name], **where).table.shape
        path = datasets.locate(known[name], **where)
        terminal.say(escape.printable(f"{name}: {rows} rows, {columns} columns, {path}"))
    return 0
