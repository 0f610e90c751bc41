"""Fenced code blocks of Markdown pages, for tests that run what the documentation shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that a comment on the first line names."""
        found = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return found.group(1) if found else None

    @property
    def commands(self) -> list[str]:
        """The lines of a console block that are typed."""
        lines = self.text.splitlines() if self.language == "console" else []
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [Block(*found) for found in _FENCE.findall(page.read_text(encoding="utf-8"))]


def write_files(page: Path, folder: Path) -> None:
    """Write every file that a page shows into a folder."""
    for block in blocks(page):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
