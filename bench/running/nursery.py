"""The nursery: a process that imports the libraries once and forks workers.

A cell then costs a fork and not a Python start-up. Neither the nursery nor a worker ever starts a
thread, so forking is safe. Both ignore the signals that ask a process to stop: a cluster sends them
to every process at once, and only the pool's own process, which hears them too, knows whether a
cell that they ended is to be recorded.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import process
from ..cells import Cell
from ..foreign import servers
from ..store import Store
from . import environment
from .worker import Worker, freeze

PRELOAD = ("pyarrow.parquet", "traceback")  # what every cell needs, beside what its parts declare


def main() -> None:
    """Import the libraries, then fork a worker for every socket that the pool sends.

    Standard input is a socket: its first line holds the settings, then descriptors arrive.
    """
    for number in process.STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, process.STOP_SIGNALS)  # the pool had blocked them
    channel = socket.socket(fileno=0)
    settings = json.loads(channel.makefile("rb", buffering=0).readline())
    for module in (*PRELOAD, *settings["preload"]):
        with contextlib.suppress(ImportError):  # a cell that needs it says so in its record
            importlib.import_module(module)
    environment.describe()
    freeze()
    servers.start(settings["foreign"])
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
        if not message:
            break
        if os.fork() == 0:
            channel.close()
            _serve(socket.socket(fileno=descriptors[0]), settings, json.loads(message))
            os._exit(0)
        os.close(descriptors[0])
    servers.leave()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _serve(channel: socket.socket, settings: Mapping[str, Any], slot: Mapping[str, Any]) -> None:
    """Run the cells that the pool sends until it closes the socket."""
    data_dir = settings["data_dir"]
    worker = Worker(
        Store(settings["results"]),
        Path(data_dir) if data_dir else None,
        Path(settings["cache_dir"]),
        tuple(slot["cpus"]) if slot["cpus"] else None,
    )

    def send(message: Mapping[str, Any]) -> None:
        channel.sendall(json.dumps(message).encode() + b"\n")

    def stopped() -> str:
        if not select.select([channel], [], [], 0)[0]:
            return ""
        return "stop" if channel.recv(1, socket.MSG_PEEK) else "gone"

    def on_message(message: Mapping[str, Any]) -> None:
        if "result" not in message:
            send({"event": message})

    try:
        for line in filter(None, _lines(channel)):  # an empty line stops a cell that has ended
            pack = [Cell.from_dict(cell) for cell in json.loads(line)]
            if len(pack) > 1:
                worker.fit_together(pack, on_message, stopped)
            # Another sweep, started by mistake, may have been faster.
            record = worker.store.get(pack[0]) or worker.run(pack[0], on_message, stopped)
            if record is None:
                return
            send({"done": {"status": record["status"], "reason": record["reason"]}})
    except (BrokenPipeError, ConnectionResetError):
        process.kill_descendants()
    except OSError as error:
        send({"broken": f"{error.strerror}: {error.filename}"})


def _lines(channel: socket.socket) -> Iterator[bytes]:
    """Yield the lines of a socket; unread bytes stay in it, where ``stopped`` can see them."""
    pending = b""
    while True:
        line, found, rest = pending.partition(b"\n")
        if found:
            pending = rest
            yield line
        else:
            received = channel.recv(1 << 16)
            if not received:
                return
            pending += received


if __name__ == "__main__":
    main()
