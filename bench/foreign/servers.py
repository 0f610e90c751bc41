"""Servers at home: which environments have one, and how a cell begins a conversation with it.

A server is started by the nursery and inherited by all cells, which reach it through the socket
that is its standard input. It ends when nobody holds the other end any more. Where there is none,
or it has died, a process starts one for itself and its children.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import process
from . import making
from .spec import Environment, find_source

SERVER = Path(__file__).with_name("server.py")
FOLDERS = ("bench", "generators", "evaluators")
Plain = dict[str, Any]


@dataclass
class _Server:
    """How a server is started, and the one that runs, as far as this process knows."""

    python: str
    path: list[str] = field(default_factory=list)
    preload: list[str] = field(default_factory=list)
    channel: socket.socket | None = None

    def serves(self, other: _Server) -> bool:
        """Whether it has what the other would have."""
        has = set(other.path) <= set(self.path) and set(other.preload) <= set(self.preload)
        return has and self.python == other.python


_known: dict[str, _Server] = {}


def prepare(
    specs: Iterable[Mapping[str, Any]],
    cache_dir: Path,
    say: Callable[[str], None] = lambda text: None,
) -> list[Plain]:
    """Make the environments of specifications, and return how their servers are started.

    Parameters
    ----------
    specs : iterable of mapping
        Of generators and evaluators; those that run at home are passed over.
    cache_dir : Path
        Where environments are kept.
    say : callable
        Told what takes long.

    Raises
    ------
    EnvironmentUnavailable
        If one cannot be made.
    """
    wanted: dict[str, Plain] = {}
    for spec in specs:
        if (environment := Environment.of(spec)) is None:
            continue
        making.make(environment, cache_dir, say)
        python = str(making.python_of(environment, cache_dir))
        known = wanted.setdefault(
            environment.key,
            {"key": environment.key, "python": python, "path": [], "preload": []},
        )
        for name, values in _of_spec(spec, environment).items():
            known[name] += [value for value in values if value not in known[name]]
    return list(wanted.values())


def _of_spec(spec: Mapping[str, Any], environment: Environment) -> dict[str, list[str]]:
    """Return where the modules of a specification are found, and what is imported beforehand."""
    target = spec["_target_"]
    source = find_source(target, environment)
    path = [] if source is None or source.root is None else [str(source.root)]
    preload = [target.rpartition(".")[0], *((spec.get("about") or {}).get("preload") or ())]
    return {"path": path, "preload": preload}


def missing(specs: Iterable[Mapping[str, Any]], cache_dir: Path) -> list[str]:
    """Return what the environments hold, for people, that ``prepare`` would make."""
    wanted = {e.key: e for e in map(Environment.of, specs) if e is not None}
    return [e.text for e in wanted.values() if making.made(e, cache_dir) is None]


def wanted_by(specs: Iterable[Mapping[str, Any]], prepared: Iterable[Plain]) -> list[Plain]:
    """Return those of ``prepared`` in whose environments the specifications run."""
    keys = {environment.key for environment in map(Environment.of, specs) if environment}
    return [known for known in prepared if known["key"] in keys]


def register(wanted: Iterable[Mapping[str, Any]]) -> None:
    """Let this process and its children know servers, started at the first use in each.

    Parameters
    ----------
    wanted : iterable of mapping
        What ``prepare`` returned.
    """
    for known in wanted:
        server = _Server(known["python"], known["path"], known["preload"])
        if (old := _known.get(known["key"])) is None or not old.serves(server):
            _known[known["key"]] = server


def start(wanted: Iterable[Mapping[str, Any]]) -> None:
    """Register servers and start them now, so that all children of this process share them."""
    wanted = list(wanted)
    register(wanted)
    for known in wanted:
        if (server := _known[known["key"]]).channel is None:
            _start(server, quiet=True)


def leave() -> None:
    """Let go of all servers."""
    for server in _known.values():
        if server.channel is not None:
            server.channel.close()
    _known.clear()


def converse(environment: Environment, *, anew: bool = False) -> socket.socket:
    """Begin a conversation with a new guest of an environment.

    Parameters
    ----------
    environment : Environment
        Whose.
    anew : bool
        Leave the server that is known alone, for it has died, and start another.

    Raises
    ------
    EnvironmentUnavailable
        If nobody has prepared it.
    """
    server = _known.get(environment.key)
    if server is None:
        raise making.EnvironmentUnavailable(
            f"the environment of {environment.text} has not been made on this machine; "
            "syntharena run and syntharena check make it before they start"
        )
    if not anew and server.channel is not None:
        try:
            return _ask(server.channel)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was killed
    return _ask(_start(server, quiet=False))


def _ask(channel: socket.socket) -> socket.socket:
    ours, theirs = socket.socketpair()
    wish = json.dumps({"cpus": sorted(os.sched_getaffinity(0))}).encode()
    try:
        socket.send_fds(channel, [wish], [theirs.fileno(), 2])
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours


def _start(server: _Server, *, quiet: bool) -> socket.socket:
    """Start a server; a quiet one says nothing, for what goes wrong its guests say again."""
    ours, theirs = socket.socketpair()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    process_ = subprocess.Popen(
        [server.python, "-s", str(SERVER)],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        env=environment | {"PYTHONHASHSEED": "0"},
        start_new_session=True,
    )
    theirs.close()
    process.SPARED.add(process_.pid)
    settings = {"packages": _packages(), "path": server.path, "preload": server.preload}
    ours.sendall(json.dumps(settings).encode() + b"\n")
    server.channel = ours
    return ours


def _packages() -> dict[str, str]:
    """Return the packages that a server mounts, parents first, with their folders."""
    found = {"syntharena": ""}
    for name in FOLDERS:
        spec = importlib.util.find_spec(f"syntharena.{name}")
        if spec is not None and spec.submodule_search_locations:
            found[spec.name] = next(iter(spec.submodule_search_locations))
    return found
