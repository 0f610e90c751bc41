"""The proxy: at home it is a generator or an evaluator like any other; it runs abroad.

``fit``, ``sample`` and ``evaluate`` are calls to a guest (``guest``) in the foreign environment,
which the proxy gets when it is built and loses when it goes. The fitted object stays there and is
fetched, as bytes, only when the proxy is pickled.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import pandas as pd

from .. import process
from ..contracts import Budget, Measured, Metric, Tables
from ..ledger import Event
from ..schema import Schema
from . import servers, wire
from .spec import Environment


class Refused(ValueError):
    """The environment has no such class, or the class refuses its arguments."""


def build(spec: Mapping[str, Any], arguments: Mapping[str, Any], methods: Sequence[str]) -> Any:
    """Build the proxy of an object.

    Parameters
    ----------
    spec : mapping
        Its specification, with its ``environment``, in which ``_target_`` can be imported.
    arguments : mapping
        Of its constructor; JSON values.
    methods : sequence of str
        What it must have.

    Raises
    ------
    Refused
        If the class cannot be found there or refuses its arguments.
    """
    made_of = {
        "target": spec["_target_"],
        "arguments": dict(arguments),
        "methods": list(methods),
    }
    line, described = _Line.begin(Environment.wanted_by(spec), made_of)
    if "evaluate" in methods:
        return ForeignEvaluator(line, described)
    private = "ledger" in described["members"]
    return (PrivateForeignGenerator if private else ForeignGenerator)(line, described)


class _Line:
    """A conversation with a guest that holds an object."""

    def __init__(self, environment: Environment, made_of: Mapping[str, Any], channel: Any) -> None:
        self.environment = environment
        self.made_of = made_of
        self._channel = channel

    @classmethod
    def begin(
        cls, environment: Environment, made_of: Mapping[str, Any]
    ) -> tuple[_Line, dict[str, Any]]:
        """Have the object built by a new guest; return what it has beside."""
        for anew in (False, True):
            line = cls(environment, made_of, wire.Channel(servers.converse(environment, anew=anew)))
            try:
                reply, _ = line._channel.call("build", **made_of)
            except wire.Closed as closed:
                if anew or closed.end is not None:
                    raise _ended(closed) from closed
                continue  # the server was killed or died of an import: one of our own says more
            except Exception as error:
                name = made_of["target"]
                raise Refused(
                    f"_target_ {name!r} cannot be imported in its environment ({_said(error)})"
                ) from error
            process.announce(reply.pop("keeper"), reply.pop("base_mib"))
            if "refused" in reply:
                raise Refused(reply["refused"])
            return line, reply
        raise AssertionError("unreachable")

    def call(self, name: str, handlers: Any = None, blob: Any = None, **arguments: Any) -> Any:
        try:
            return self._channel.call(name, handlers, blob, **arguments)
        except wire.Closed as closed:
            raise _ended(closed) from closed


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _ended(closed: wire.Closed) -> Exception:
    """Return what a cell says of a guest that has gone."""
    end = closed.end or {}
    if end.get("oom"):
        return MemoryError("the system ran out of memory")
    code = end.get("exit_code")
    if code is None:
        return RuntimeError("the server of its environment ended, perhaps while it was importing")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended (exit code {code})"
    return RuntimeError(f"its process in the environment {how}")


class ForeignGenerator:
    """A generator in another environment.

    Parameters
    ----------
    line : _Line
        To the guest that holds it.
    described : mapping
        ``members``, what of the contract's optional members it has, and ``made``, which tells two
        environments of the same requirements apart.
    """

    def __init__(self, line: _Line, described: Mapping[str, Any]) -> None:
        self._line: _Line | None = line
        self._members = list(described["members"])
        self._made = described["made"]
        self.used: dict[str, float] = {}
        self._show_members()

    # Of one that was unpickled.
    _environment: Environment
    _made_of: Any
    _kept: bytes

    def _show_members(self) -> None:
        """Have the optional members that the class has, which are looked for by their names."""
        for name in ("checkpoint", "watched"):
            if name in self._members:
                setattr(self, name, None)
        if "snapshot" in self._members:
            self.snapshot = self._snapshot
        if "conditions" in self._members:
            self.sample = self._sample_under  # type: ignore[method-assign]

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Ask the class."""
        if "skip" not in self._members:
            return None
        return self._call("skip", schema=wire.schema_to_plain(schema), budget=asdict(budget))[0][
            "reason"
        ]

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Fit it there; ``rng`` ends in the state that the class left it in."""
        tables = {"train": train}
        if (watched := getattr(self, "watched", None)) is not None:
            tables |= {"absent": watched[0], "present": watched[1]}
        given: dict[str, Any] = {"schema": wire.schema_to_plain(schema), "budget": asdict(budget)}
        checkpoint = getattr(self, "checkpoint", None)
        if checkpoint is not None:
            given["checkpoint"] = checkpoint.seconds
        reply, blob = self._call(
            "fit",
            {"progress": self._on_progress, "load": self._on_load, "save": self._on_save},
            wire.pack_tables(tables),
            rng=wire.rng_to_plain(rng),
            **given,
        )
        wire.set_rng(rng, reply.pop("rng"))
        self._learned(reply, blob)
        return self

    def _learned(self, said: dict[str, Any], release: bytes | None) -> None:
        """Take over what the fitted generator says of itself."""
        self.used = said.pop("used")
        ledger = said.pop("ledger")
        if "ledger" in self._members:
            self.ledger = tuple(Event(**event) for event in ledger)
        for name, value in said.items():
            setattr(self, name, value)
        if release is not None:
            self.release = wire.unpack_arrays(release)[0]

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows there; they arrive as they are, valid or not."""
        return self._sample(n, rng, None)

    def _sample_under(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        return self._sample(n, rng, conditions)

    def _sample(
        self, n: int, rng: np.random.Generator, conditions: pd.DataFrame | None
    ) -> pd.DataFrame:
        blob = None if conditions is None else wire.pack_tables({"conditions": conditions})
        reply, content = self._call("sample", None, blob, n=int(n), rng=wire.rng_to_plain(rng))
        wire.set_rng(rng, reply["rng"])
        self.used = reply["used"]
        return wire.unpack_tables(content)["table"]

    def _snapshot(self) -> None:
        self._call("snapshot")

    def _call(self, name: str, handlers: Any = None, blob: Any = None, **arguments: Any) -> Any:
        if self._line is None:  # unpickled: the object is still bytes
            self._line, _ = _Line.begin(self._environment, self._made_of)
            self._line.call("unpickle", blob=self._kept)
        return self._line.call(name, handlers, blob, **arguments)

    # What it calls while it is fitted

    def _on_progress(self, message: Mapping[str, Any], blob: bytes | None) -> Any:
        if (progress := getattr(self, "progress", None)) is not None:
            progress(message["step"], message["total"], **message["losses"])
        return {}, None

    def _on_load(self, message: Mapping[str, Any], blob: bytes | None) -> Any:
        made, kept = self.checkpoint.load() or (None, None)  # type: ignore[attr-defined]
        return {}, kept if made == self._made else None

    def _on_save(self, message: Mapping[str, Any], blob: bytes | None) -> Any:
        self.checkpoint.save(lambda: (self._made, blob))  # type: ignore[attr-defined]
        return {}, None

    # Its way into a file

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in vars(self).items() if k not in ("_line", "sample", "snapshot")}
        if self._line is None:
            return state
        _, kept = self._line.call("pickle")
        made_of = {"_environment": self._line.environment, "_made_of": self._line.made_of}
        return {**state, **made_of, "_kept": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._line = None
        self._members = state["_members"]
        self._show_members()
        vars(self).update(state)


class PrivateForeignGenerator(ForeignGenerator):
    """One that states a ledger, and so may be handed a finite epsilon."""

    ledger: Sequence[Event] = ()


class ForeignEvaluator:
    """An evaluator in another environment. Its pictures stay there."""

    def __init__(self, line: _Line, described: Mapping[str, Any]) -> None:
        self._line = line
        self.metrics = tuple(Metric(**metric) for metric in described["metrics"])
        self.used: dict[str, float] = {}

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Any:
        """Have the tables measured there."""
        sides = ("train", "holdout", "reference", "synthetic")
        reply, _ = self._line.call(
            "evaluate",
            None,
            wire.pack_tables({side: getattr(tables, side) for side in sides}),
            schema=wire.schema_to_plain(schema),
            cost=dict(tables.cost),
            rng=wire.rng_to_plain(rng),
        )
        wire.set_rng(rng, reply["rng"])
        self.used = reply["used"]
        values = reply["values"].items()
        return {key: Measured(**v) if isinstance(v, dict) else v for key, v in values}
