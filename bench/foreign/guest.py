"""The guest: a generator or an evaluator in its foreign environment, called from its cell.

It answers one call after another: ``build``, then ``skip``, ``fit``, ``sample``, ``snapshot``,
``pickle`` and ``unpickle`` of a generator, ``evaluate`` of an evaluator. While it fits it calls
back: ``progress``, ``load`` and ``save`` of a checkpoint. The fitted object stays here.

Libraries that draw from global random states get them seeded before each call, by the state of the
generator of random numbers that came with it, so that equal seeds give equal rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import pickle
import random
import resource
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts import Budget, Measured, Tables
from ..usage import peak_memory
from . import wire

PROGRESS_SECONDS = 0.1  # steps are reported no more often, unless a search looks at them
# Optional members of a generator that its proxy shows only where the class has them.
MEMBERS = ("skip", "snapshot", "checkpoint", "watched", "ledger")


def serve(conversation: int, hello: Mapping[str, Any]) -> None:
    """Answer calls until the cell hangs up."""
    guest = _Guest(wire.Channel(socket.socket(fileno=conversation)), hello)
    with contextlib.suppress(wire.Closed):
        guest.serve()


class _Guest:
    def __init__(self, channel: wire.Channel, hello: Mapping[str, Any]) -> None:
        self._channel = channel
        self._hello = hello
        self._object: Any = None
        self._handlers: dict[str, wire.Handler] = {
            name: getattr(self, f"_{name}")
            for name in ("build", "skip", "fit", "sample", "snapshot", "evaluate")
        }
        self._handlers |= {"pickle": self._pickle, "unpickle": self._unpickle}

    def serve(self) -> None:
        while True:
            message, blob = self._channel.receive()
            self._channel.answer(message, blob, self._handlers)

    # What a cell calls

    def _build(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, None]:
        """Import the class and make the object; say what it has."""
        cls = _find(message["target"])
        if absent := [m for m in message["methods"] if not callable(getattr(cls, m, None))]:
            what = f"{message['target']!r} has no method {' and no method '.join(absent)}"
            return {**self._hello, "refused": what}, None
        try:
            self._object = cls(**message["arguments"])
        except TypeError as error:
            what = f"{message['target']} refused its arguments: {error}"
            return {**self._hello, "refused": what}, None
        return {**self._hello, **self._described(message["methods"])}, None

    def _described(self, methods: list[str]) -> dict[str, Any]:
        if "evaluate" in methods:
            return {"metrics": [asdict(metric) for metric in self._object.metrics]}
        members = [name for name in MEMBERS if hasattr(self._object, name)]
        if not hasattr(type(self._object), "ledger"):  # where the contract wants it
            members = [name for name in members if name != "ledger"]
        if "conditions" in inspect.signature(self._object.sample).parameters:
            members.append("conditions")
        marker = Path(sys.prefix, "made.json")
        made = hashlib.sha256(marker.read_bytes()).hexdigest() if marker.exists() else ""
        return {"members": members, "made": made}

    def _skip(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, None]:
        schema, budget = wire.schema_of(message["schema"]), Budget(**message["budget"])
        return {"reason": self._object.skip(schema, budget)}, None

    def _fit(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, bytes | None]:
        assert blob is not None
        tables = wire.unpack_tables(blob)
        train = tables.pop("train")
        if tables:
            self._object.watched = tables["absent"], tables["present"]
        if "checkpoint" in message:
            self._object.checkpoint = _Checkpoint(self._channel, message["checkpoint"])
        self._object.progress = self._progress()
        rng = wire.rng_of(message["rng"])
        _seed_all(message["rng"])
        with _measured() as used:
            self._object.fit(
                train,
                schema=wire.schema_of(message["schema"]),
                budget=Budget(**message["budget"]),
                rng=rng,
            )
        for borrowed in ("progress", "checkpoint", "watched"):
            vars(self._object).pop(borrowed, None)
        reply, content = self._learned()
        return {**reply, "rng": wire.rng_to_plain(rng), "used": used}, content

    def _learned(self) -> tuple[dict[str, Any], bytes | None]:
        """Return what a fitted generator says of itself."""
        events: Any = _get(self._object, "ledger", ())
        ledger = [dict(e) if isinstance(e, Mapping) else asdict(e) for e in events]
        said: dict[str, Any] = {"ledger": ledger}
        for name in ("claimed_epsilon", "parameters", "trace"):
            if (value := _get(self._object, name, None)) is not None:
                said[name] = float(value)
        release = _get(self._object, "release", None)
        return said, None if release is None else wire.pack_arrays(release)

    def _sample(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, bytes]:
        rng = wire.rng_of(message["rng"])
        _seed_all(message["rng"])
        given = {"conditions": wire.unpack_tables(blob)["conditions"]} if blob else {}
        with _measured() as used:
            table = self._object.sample(message["n"], rng=rng, **given)
        return {"rng": wire.rng_to_plain(rng), "used": used}, wire.pack_tables({"table": table})

    def _snapshot(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, None]:
        self._object.snapshot()
        return {}, None

    def _pickle(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, bytes]:
        return {}, pickle.dumps(self._object, protocol=pickle.HIGHEST_PROTOCOL)

    def _unpickle(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, None]:
        assert blob is not None  # written by this user: the harness checks its signature
        self._object = pickle.loads(blob)
        return {}, None

    def _evaluate(self, message: Mapping[str, Any], blob: bytes | None) -> tuple[dict, None]:
        assert blob is not None
        tables = Tables(**wire.unpack_tables(blob), cost=message["cost"])
        rng = wire.rng_of(message["rng"])
        _seed_all(message["rng"])
        with _measured() as used:
            values = self._object.evaluate(
                tables, schema=wire.schema_of(message["schema"]), rng=rng
            )
        plain = {name: _value(value) for name, value in values.items()}
        return {"values": plain, "rng": wire.rng_to_plain(rng), "used": used}, None

    # What the object calls

    def _progress(self) -> Callable[..., None]:
        """Return the function that steps are reported to; a search may draw rows from within."""
        searched = hasattr(self._object, "snapshot")
        last = 0.0

        def progress(step: int, total: int, **losses: float) -> None:
            nonlocal last
            now = time.monotonic()
            if searched or now - last >= PROGRESS_SECONDS or step >= total:
                last = now
                values = {name: float(value) for name, value in losses.items()}
                arguments = {"step": int(step), "total": int(total), "losses": values}
                self._channel.call("progress", self._handlers, **arguments)

        return progress


class _Checkpoint:
    """A checkpoint whose file is at home."""

    def __init__(self, channel: wire.Channel, seconds: float) -> None:
        self.seconds = seconds
        self._channel = channel
        self._last = time.perf_counter()

    def load(self) -> Any | None:
        """Return what was saved last; None if nothing was."""
        _, blob = self._channel.call("load")
        return None if blob is None else pickle.loads(blob)

    def save(self, state: Callable[[], Any]) -> None:
        """Keep what ``state`` returns, unless the last saving was a moment ago."""
        if time.perf_counter() - self._last >= self.seconds:
            self._channel.call("save", blob=pickle.dumps(state(), pickle.HIGHEST_PROTOCOL))
            self._last = time.perf_counter()


def _find(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _get(what: Any, name: str, otherwise: Any) -> Any:
    """Return an attribute; one that cannot be computed now is as good as none."""
    try:
        return getattr(what, name, otherwise)
    except Exception:
        traceback.print_exc()
        return otherwise


def _value(value: Any) -> Any:
    """Return a value of an evaluator as JSON has it."""
    if isinstance(value, str):
        return value
    return asdict(value) if isinstance(value, Measured) else float(value)


def _seed_all(state: Mapping[str, Any]) -> None:
    """Seed the global random states of Python, numpy and torch."""
    seed = int.from_bytes(hashlib.sha256(json.dumps(state).encode()).digest()[:4], "little")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what other people's libraries draw from
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


@contextlib.contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Measure the CPU seconds and the peak memory of what happens inside."""
    used: dict[str, float] = {}
    before = _cpu_seconds()
    with peak_memory(used):
        yield used
    used["cpu_seconds"] = _cpu_seconds() - before


def _cpu_seconds() -> float:
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
