"""Show the boards that pages quote; with ``--write``, put them into the pages.

A page quotes the board of ``results/NAME`` between ``<!-- board results/NAME -->`` and
``<!-- /board -->``, each on a line of its own.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
HEADING = "## release: no privacy asked"
QUOTED = re.compile(r"(<!-- board (\S+) -->\n)(.*?)(<!-- /board -->\n)", re.DOTALL)


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


def with_excerpts(page: str, root: Path = ROOT) -> str:
    """Return a page with the boards that it quotes as they are now."""

    def quoted(match: re.Match[str]) -> str:
        board = root / match[2] / "leaderboard" / "leaderboard.md"
        return match[1] + excerpt(board.read_text(encoding="utf-8")) + match[4]

    return QUOTED.sub(quoted, page)


def main() -> None:
    """Print the excerpts, or write them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put them into the pages")
    write = parser.parse_args().write
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if write:
            path.write_text(with_excerpts(page), encoding="utf-8")
        else:
            print("".join(match[0] for match in QUOTED.finditer(with_excerpts(page))), end="")


if __name__ == "__main__":
    main()
