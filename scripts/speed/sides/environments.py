"""Environments of the peers: one for each, made once (``bench.foreign.making``).

Requirements are complete and pinned, so pip resolves nothing: no peer can bring another torch, and
synthcity's own bounds, which exclude today's torch, do not count. torch comes from whatever index
pip is set up with; a CPU build saves gigabytes.
"""

from __future__ import annotations

from pathlib import Path

from syntharena.bench.foreign import making
from syntharena.bench.foreign.spec import Environment, read_requirements

HERE = Path(__file__).parent
FOLDERS = (HERE, HERE.parents[1] / "others")  # those of methods with a budget are there


def requirements(name: str) -> tuple[str, ...]:
    """Return what an environment holds, a pinned package in each line."""
    files = (folder / f"requirements-{name}.txt" for folder in FOLDERS)
    return read_requirements(next(file for file in files if file.exists()))


def python_of(folder: Path, name: str) -> Path:
    """Return the interpreter of an environment, which is made if there is none.

    Raises
    ------
    RuntimeError
        If it cannot be made; the message says why.
    """
    environment = Environment(no_dependencies=requirements(name))
    making.make(environment, folder.absolute(), lambda text: print(text, flush=True))
    return making.python_of(environment, folder.absolute())
