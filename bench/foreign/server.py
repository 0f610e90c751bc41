"""The server: runs in a foreign environment, imports what it needs once, and forks a guest a cell.

It is started as a file by another Python, which has no syntharena: a few files of the harness that
need nothing but numpy and pandas are mounted under their own names (``mount``), so that a
generator finds the same Schema and the same ledger as at home.

Standard input is a socket: its first line holds the settings, then every message brings two
descriptors, of a conversation with a cell and of its log. For each the server forks a *keeper*,
which runs a *guest* under ``process``: when the cell hangs up, however it ended, the keeper kills
the guest with all that it started. The guest builds the object and answers calls.

Limit: what is preloaded must not start threads, as everywhere before a fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

PR_SET_PDEATHSIG = 1
KILL_PATIENCE = 2.0  # seconds: whoever kills a guest from outside may be about to kill its cell
HARNESS = ("syntharena.bench.foreign.guest", "syntharena.bench.process")


def mount(packages: Mapping[str, str], path: Sequence[str]) -> None:
    """Make folders of the harness importable as packages, and whatever lies in ``path``.

    Parameters
    ----------
    packages : mapping of str to str
        Names, parents first, and folders; an empty one for a package without files of its own.
    path : sequence of str
        Folders that are searched after all others.
    """
    for name, folder in packages.items():
        module = types.ModuleType(name)
        module.__path__ = [folder] if folder else []
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(__file__)]
    sys.path += path


def main() -> None:
    """Serve until nobody is left who could ask."""
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    line = b""
    while not line.endswith(b"\n"):
        line += channel.recv(1) or sys.exit("no settings came")
    settings = json.loads(line)
    mount(settings["packages"], settings["path"])
    loaded = False
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 4096, 2)
        if not message:
            return
        if not loaded:  # at the first cell: what is never asked for costs no memory
            _preload([*HARNESS, *settings["preload"]])
            loaded = True
        if os.fork() == 0:
            channel.close()
            conversation, log = descriptors
            _keep(conversation, log, json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):  # collect the keepers that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _preload(modules: Sequence[str]) -> None:
    """Import what all guests need; what fails here fails again where it is used, and says so."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            sys.stderr.write(f"{module} cannot be preloaded: {error}\n")
    gc.collect()
    gc.freeze()


def _keep(conversation: int, log: int, asked: Mapping[str, Any]) -> None:
    """Run a guest and see to its end; never returns."""
    code = 1
    try:
        process = importlib.import_module("syntharena.bench.process")
        base = process.forked_mib(os.getpid())
        hello = {"keeper": os.getpid(), "base_mib": base}

        def serve(report: Any) -> None:
            os.dup2(log, 1)
            os.dup2(log, 2)
            importlib.import_module("syntharena.bench.foreign.guest").serve(conversation, hello)

        hung_up = select.poll()
        hung_up.register(conversation, 0)  # the end of the other side is always told
        limits = process.Limits(cpus=tuple(asked["cpus"]) or None)
        outcome = process.run(serve, limits, cancelled=lambda: bool(hung_up.poll(0)))
        killed = outcome.ended == "exit" and -outcome.exit_code in (signal.SIGTERM, signal.SIGKILL)
        hung_up_then = killed and hung_up.poll(1000 * KILL_PATIENCE)
        if outcome.ended != "cancelled" and not hung_up_then:
            wire = importlib.import_module("syntharena.bench.foreign.wire")
            told = {"exit_code": outcome.exit_code, "oom": outcome.ended == "oom"}
            wire.Channel(socket.socket(fileno=conversation)).end(**told)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
