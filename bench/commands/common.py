"""What the verbs of the command line have in common: the parser, and options with one meaning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..store import Store


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise ValueError(f"{message}; see: {self.prog} --help")


def add_verb(verbs: Any, name: str, run: Any, text: str, examples: str) -> argparse.ArgumentParser:
    """Add a verb that calls ``run`` with the parsed options."""
    verb = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(run=run)
    return verb


def grid_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of verbs that take a grid."""
    verb.add_argument("-m", "--multirun", action="store_true", help="overrides may list values")
    verb.add_argument("--config-dir", type=Path, help="a folder with groups of your own")


def run_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of verbs that run cells."""
    verb.add_argument("--dry-run", action="store_true", help="say what would be run and stop")
    verb.add_argument("--quiet", action="store_true", help="show no progress")


def results_option(verb: argparse.ArgumentParser) -> None:
    """Add the option that names the Store."""
    help_ = "folder of the Store (default: results/runs)"
    verb.add_argument("--results", type=Path, default=Path("results/runs"), help=help_)


def points_of(options: argparse.Namespace) -> list[Any]:
    """Return the grid that a verb's overrides span."""
    from .. import config

    return config.grid(options.overrides, config_dir=options.config_dir, multirun=options.multirun)


def existing_store(folder: Path) -> Store:
    """Return the Store in a folder.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    from ..store import Store

    if not folder.is_dir():
        raise ValueError(f"--results must be a folder of records, got {str(folder)!r}")
    return Store(folder)
