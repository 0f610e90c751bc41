"""Environments of the peers: one for each, made where it is missing.

Requirements are complete and pinned, so pip resolves nothing (--no-deps): no peer can bring another
torch, and synthcity's own bounds, which exclude today's torch, do not count. torch comes from
whatever index pip is set up with; a CPU build saves gigabytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def requirements(name: str) -> Path:
    """Return the file that pins an environment."""
    return HERE / f"requirements-{name}.txt"


def python_of(folder: Path, name: str) -> Path:
    """Return the interpreter of an environment, which is made if there is none.

    Raises
    ------
    RuntimeError
        If it cannot be made; the message ends with the last line of what failed.
    """
    home, begun = (folder.absolute() / end for end in (name, f"{name}.begun"))
    if not home.exists():
        print(f"making the environment {home}", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", begun])
        pip = [begun / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"]
        _run([*pip, "-r", requirements(name)])
        begun.rename(home)
    return home / "bin" / "python"


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {last}")
