"""Making environments: a folder with a Python and packages, made once for all who want the same.

``CACHE/environments/KEY`` is a virtual environment, KEY the hash of what was asked for. In it
``made.json`` is written last, so one whose making was cut short is made again; a lock keeps two
from making one at once. uv installs where it is there, else pip. Who has configured pip (an index,
a folder of wheels, constraints) is served by pip, because uv does not read that.
"""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import publish
from .spec import Environment

MARKER = "made.json"
SETTINGS_OF_PIP = re.compile(r"(find-links|index-url|no-index|constraint)=")
NO_NETWORK = re.compile(
    r"Failed to establish a new connection|NewConnectionError|name resolution|Connection refused"
    r"|Network is unreachable|Max retries exceeded|dns error|error sending request",
    re.IGNORECASE,
)
UNSATISFIABLE = re.compile(
    r"ResolutionImpossible|conflicting dependencies|No solution found|unsatisfiable", re.IGNORECASE
)
NOT_FOUND = re.compile(r"No matching distribution|Could not find a version", re.IGNORECASE)
# What the server needs of an environment, and what is then in it.
PROBE = """\
import importlib.metadata, json, numpy, pandas, platform
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "packages": dict(sorted(found.items()))}))
"""
Say = Callable[[str], None]


class EnvironmentUnavailable(RuntimeError):
    """An environment cannot be made here."""


def folder_of(environment: Environment, cache_dir: Path) -> Path:
    """Where an environment lies, or would."""
    return cache_dir / "environments" / environment.key[:32]


def python_of(environment: Environment, cache_dir: Path) -> Path:
    """Its Python."""
    return folder_of(environment, cache_dir) / "bin" / "python"


def made(environment: Environment, cache_dir: Path) -> dict[str, Any] | None:
    """Return what a finished environment holds: ``python`` and ``packages``; else None."""
    try:
        found = json.loads((folder_of(environment, cache_dir) / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return found if os.access(python_of(environment, cache_dir), os.X_OK) else None


def make(environment: Environment, cache_dir: Path, say: Say = lambda text: None) -> dict[str, Any]:
    """Return what an environment holds, made now if it is not there.

    Raises
    ------
    EnvironmentUnavailable
        If it cannot be made; the message says why and where the installer's words are.
    """
    if (found := made(environment, cache_dir)) is not None:
        return found
    folder = folder_of(environment, cache_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_suffix(".lock"), say) as lock:
        if (found := made(environment, cache_dir)) is not None:
            return found
        say(f"making an environment of {environment.text} (once)")
        shutil.rmtree(folder, ignore_errors=True)
        found = _Making(environment, folder, lock).run()
        publish(folder / MARKER, json.dumps(found, indent=1).encode(), replace=True)
        return found


@contextmanager
def _lock(path: Path, say: Say) -> Iterator[int]:
    """Hold a lock that the system drops when its holder dies, and all who got its descriptor."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another process that makes the same environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


class _Making:
    """The steps of making one environment; what they print goes into a file beside it."""

    def __init__(self, environment: Environment, folder: Path, lock: int) -> None:
        self._environment = environment
        self._folder = folder
        self._lock = lock
        self._log = folder.with_suffix(".log")

    def run(self) -> dict[str, Any]:
        self._log.write_bytes(b"")
        python = self._find_python()
        self._call([python, "-m", "venv", "--without-pip", str(self._folder)])
        project = ["-e", str(self._environment.folder)] if self._environment.is_installed else []
        lines, alone = self._environment.lines, self._environment.no_dependencies
        if not any(re.match(r"pandas(?![\w.-])", line) for line in alone):
            lines = ("pandas", *lines)
        if lines or project:
            self._install(lines, project)
        if alone:
            self._install(alone, ["--no-deps"])
        return json.loads(self._call([str(self._folder / "bin" / "python"), "-c", PROBE]))

    def _find_python(self) -> str:
        try:
            return find_python(self._environment.version)
        except LookupError as error:
            raise self._unavailable(str(error)) from error

    def _install(self, lines: Sequence[str], options: Sequence[str]) -> None:
        listed = self._folder / "requirements.txt"
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            command = installer(str(self._folder / "bin" / "python"))
        except LookupError as error:
            raise self._unavailable(str(error)) from error
        self._call([*command, "-r", str(listed), *options])

    def _call(self, command: Sequence[str]) -> str:
        """Run a step and return what it printed.

        A step that outlives this process keeps the lock, so that nobody writes beside it.
        """
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, pass_fds=(self._lock,)
        )
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
        if done.returncode:
            raise self._unavailable(f"{_reason(done.stdout + done.stderr)}; see {self._log}")
        return done.stdout

    def _unavailable(self, reason: str) -> EnvironmentUnavailable:
        return EnvironmentUnavailable(
            f"no environment of {self._environment.text} can be made: {reason}"
        )


def _reason(printed: str) -> str:
    """Say in a few words why an installer failed."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(error|×|╰)", line, re.IGNORECASE)] or lines
    last = re.sub(r"^error:\s*", "", errors[-1] if errors else "", flags=re.IGNORECASE)[:300]
    if NO_NETWORK.search(printed):
        return f"no package index can be reached from here ({last})"
    if UNSATISFIABLE.search(printed):
        return f"the requirements exclude each other ({last})"
    if NOT_FOUND.search(printed):
        return f"a requirement is not to be had for this Python ({last})"
    return last or "the installer said nothing"


def find_python(version: str) -> str:
    """Return the path of a Python of a version, ``major.minor``.

    Raises
    ------
    LookupError
        If this machine has none; the message says how to get it.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    candidates = [shutil.which(f"python{version}")]
    if (uv := _uv()) is not None:
        found = _printed([*uv, "python", "find", version])
        if found is None and _printed([*uv, "python", "install", version]) is not None:
            found = _printed([*uv, "python", "find", version])
        candidates.append(found)
    for python in filter(None, candidates):
        says = "import sys; print('%d.%d' % sys.version_info[:2])"
        if _printed([python, "-c", says]) == version:  # a shim may lead nowhere
            return python
    raise LookupError(
        f"environment.python is {version!r}, and there is no python{version} here; install it, or "
        "uv, which fetches it"
    )


def installer(python: str) -> list[str]:
    """Begin the command that installs packages for a Python.

    Raises
    ------
    LookupError
        If there is neither uv nor pip.
    """
    uv, has_pip = _uv(), importlib.util.find_spec("pip") is not None
    if uv is not None and not (has_pip and _pip_is_configured()):
        return [*uv, "pip", "install", "--python", python]
    if not has_pip:
        raise LookupError("neither uv nor pip is installed; install one of them")
    quiet = ["--no-input", "--disable-pip-version-check"]
    return [sys.executable, "-m", "pip", "--python", python, "install", *quiet]


def _uv() -> list[str] | None:
    if (found := shutil.which("uv")) is not None:
        return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


@functools.cache
def _pip_is_configured() -> bool:
    """Whether a file or a variable tells pip where to look for packages, or which to take."""
    return bool(
        SETTINGS_OF_PIP.search(_printed([sys.executable, "-m", "pip", "config", "list"]) or "")
    )


def _printed(command: Sequence[str]) -> str | None:
    """Return what a command prints; None if it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
