"""Show the README's excerpt of the quickstart's board; with ``--write``, put it into README.md."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BOARD = ROOT / "results" / "quickstart" / "leaderboard" / "leaderboard.md"
HEADING = "## release: no privacy asked"
START, END = "<!-- board -->\n", "<!-- /board -->\n"


def excerpt(board: str) -> str:
    """Return the first table below the heading of the board without a budget, as Markdown.

    Raises
    ------
    ValueError
        If there is no such heading, or no table below it.
    """
    _, found, below = board.partition(f"{HEADING}\n")
    lines = below.splitlines(keepends=True)
    start = next((at for at, line in enumerate(lines) if line.startswith("|")), None)
    if not found or start is None:
        raise ValueError(f"the board must hold {HEADING!r} and a table below it; compile it again")
    end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), None)
    return "".join(lines[start:end])


def shown(readme: str) -> str:
    """Return what stands between the markers of the README."""
    return readme.partition(START)[2].partition(END)[0]


def with_excerpt(readme: str, table: str) -> str:
    """Return the README with another table between its markers."""
    head, _, rest = readme.partition(START)
    return f"{head}{START}{table}{END}{rest.partition(END)[2]}"


def main() -> None:
    """Print the excerpt, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    table = excerpt(BOARD.read_text(encoding="utf-8"))
    if parser.parse_args().write:
        README.write_text(with_excerpt(README.read_text("utf-8"), table), encoding="utf-8")
    else:
        print(table, end="")


if __name__ == "__main__":
    main()
