"""Compile the leaderboard of a results folder: ``compile_leaderboard.py RESULTS [--out FOLDER]``.

Prints the boards and the paths of the Markdown, CSV, LaTeX and HTML files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from syntharena.bench.audit.conclusions import conclusions
from syntharena.bench.boards.leaderboard import compile
from syntharena.bench.boards.render import to_text, write
from syntharena.bench.store import Store


def main() -> None:
    """Read the records, print the boards, write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the Store's folder")
    parser.add_argument("--out", type=Path, help="where to write (default: RESULTS/leaderboard)")
    arguments = parser.parse_args()
    if not arguments.results.is_dir():
        parser.error(f"RESULTS must be a folder, got {str(arguments.results)!r}")
    store = Store(arguments.results)
    records = list(store.records())
    leaderboard = compile(records, store.expected(), conclusions(records))
    paths = write(leaderboard, arguments.out or arguments.results / "leaderboard")
    print(to_text(leaderboard))
    print("\n".join(str(path) for path in paths))


if __name__ == "__main__":
    main()
