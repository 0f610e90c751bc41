"""Journals: what a task of a job array reports, one line of JSON after another.

A line is written at once, and the file is closed after each, because network file systems show a
file to other machines when it is closed. A kill may tear the last line; what does not parse is
passed over. A journal informs; records alone decide what is done.

====================================  ========================================================
``{"begin": {"job", "node", "time"}}``  the task runs, for the first time or again
``{"started": time, "key"}``            a cell is in hand
``{"event": message, "key"}``           what it reports
``{"done": {"status", "reason"}, "key"}``  it has its record
``{"stopped": why}``                    cells in hand were left where they were
``{"end": why}``                        nothing was left to take
====================================  ========================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Writes a task's lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **line: Any) -> None:
        """Write a line; the newline before it ends one that a kill has torn."""
        with open(self._path, "ab", buffering=0) as file:
            file.write(b"\n" + json.dumps(line).encode() + b"\n")


class History:
    """Reads a task's lines as they come and remembers what it has in hand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.in_hand: dict[str, float] = {}
        self.interrupted: list[str] = []
        self.began = 0
        self.ended = False

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that were written since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for text in filter(None, whole.split(b"\n")):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                self._take(line)
                yield line

    def catch_up(self) -> None:
        """Read what is there."""
        for _ in self.read():
            pass

    def _take(self, line: dict[str, Any]) -> None:
        if "started" in line:
            self.in_hand[line["key"]] = line["started"]
        elif "done" in line:
            self.in_hand.pop(line["key"], None)
        elif "begin" in line or "stopped" in line:
            self.interrupted = [*self.in_hand, *self.interrupted]
            self.in_hand.clear()
            self.began += "begin" in line
        self.ended = "end" in line
