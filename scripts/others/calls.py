"""Calls of ``worker.py`` in the environments of other libraries (README.md beside this file)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")


def command(
    environments: Path, method: str, settings: Mapping[str, Any], epsilon: float
) -> list[str]:
    """Begin a command line: LIBRARY_METHOD in the environment of its library."""
    library = method.partition("_")[0]
    begun = [str(environments / library / "bin" / "python"), str(WORKER)]
    begun += ["--method", method, "--epsilon", str(epsilon)]
    for name, value in settings.items():
        begun += ["--set", f"{name}={json.dumps(value)}"]
    return begun


def call(arguments: list[str], log: Path, seconds: float) -> str:
    """Run a command on one thread, what it prints into ``log``, and say how it ended."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        try:
            done = subprocess.run(
                arguments,
                stdout=stream,
                stderr=stream,
                env=environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:g} s"
    return "done" if done.returncode == 0 else f"failed with {done.returncode}, see {log}"
