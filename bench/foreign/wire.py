"""The wire: how two processes with different libraries call each other.

A message is one line of JSON; what is bulky goes with it as a descriptor of a file without a name,
so nothing has a path or a port and nothing is left behind by a kill. Either side may call the
other, also while it is being called itself: a fit reports its progress that way.

A table travels as numpy arrays, which any two versions of numpy agree on, and arrives as it was
sent, the breaches of its Schema included, so that only one side judges it. Parquet would need
pyarrow in every environment: an old numpy refuses the new one, and pandas 3 stores texts otherwise
where it is installed.

This file runs on both sides: it needs Python 3.10, numpy and pandas, and nothing of the harness but
the contracts.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from ..schema import Column, Schema

CHUNK = 1 << 16
Handler = Callable[[Mapping[str, Any], "bytes | None"], "tuple[Mapping[str, Any], bytes | None]"]


class Closed(EOFError):
    """The other side has gone.

    ``end`` is what the keeper of a guest told of its end: ``exit_code`` (negative for a signal) and
    ``oom``, whether the system killed it for its memory; None if it told nothing.
    """

    def __init__(self, end: Mapping[str, Any] | None = None) -> None:
        super().__init__("the other side has gone")
        self.end = end


class Channel:
    """One end of a conversation.

    Parameters
    ----------
    connection : socket
        A stream between two processes of this machine.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._owner = os.getpid()
        self._pending = b""
        self._files: deque[int] = deque()

    def send(self, message: Mapping[str, Any], blob: bytes | None = None) -> None:
        """Send a message, with bytes if there are any.

        Raises
        ------
        Closed
            If the other side has gone, or this process is a copy of the one that talks to it.
        """
        if os.getpid() != self._owner:
            raise Closed
        line = json.dumps({**message, "blob": blob is not None}).encode() + b"\n"
        try:
            if blob is None:
                self._socket.sendall(line)
                return
            with tempfile.TemporaryFile() as file:
                file.write(blob)
                file.flush()
                sent = socket.send_fds(self._socket, [line], [file.fileno()])
            self._socket.sendall(line[sent:])
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self) -> tuple[dict[str, Any], bytes | None]:
        """Wait for a message.

        Raises
        ------
        Closed
            If the other side has gone.
        """
        while True:
            try:
                message = json.loads(self._line())
            except ValueError:
                continue  # torn by the end of its writer, which the next line tells
            if "ended" in message:
                raise Closed(message["ended"])
            if not message.pop("blob"):
                return message, None
            with os.fdopen(self._files.popleft(), "rb") as file:
                file.seek(0)  # the writer's position came with it
                return message, file.read()

    def _line(self) -> bytes:
        while b"\n" not in self._pending:
            try:
                content, files, _, _ = socket.recv_fds(self._socket, CHUNK, 16)
            except ConnectionResetError:
                content, files = b"", []
            self._files += files
            if not content:
                raise Closed
            self._pending += content
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def end(self, **told: Any) -> None:
        """Tell how this side has ended, in the place of whoever was speaking."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"\n" + json.dumps({"ended": told}).encode() + b"\n")

    def call(
        self,
        name: str,
        handlers: Mapping[str, Handler] | None = None,
        blob: bytes | None = None,
        **arguments: Any,
    ) -> tuple[dict[str, Any], bytes | None]:
        """Call what the other side knows by ``name`` and return what it answers.

        Parameters
        ----------
        name : str
            Of the other side's handler.
        handlers : mapping of str to callable
            What the other side may call meanwhile.
        blob : bytes, optional
            Goes with the arguments, which are JSON values.

        Raises
        ------
        Exception
            What the other side raised, as a class of the same name.
        Closed
            If the other side has gone.
        """
        self.send({"call": name, **arguments}, blob)
        while True:
            message, content = self.receive()
            if "call" in message:
                self.answer(message, content, handlers or {})
            elif "raised" in message:
                raise raised(**message["raised"])
            else:
                return message, content

    def answer(
        self, message: dict[str, Any], blob: bytes | None, handlers: Mapping[str, Handler]
    ) -> None:
        """Answer a call by its handler; what that raises goes back."""
        try:
            reply, content = handlers[message.pop("call")](message, blob)
            plain = json.loads(json.dumps(reply))  # what is no JSON is an error of this call
        except BaseException as error:  # also what would end a process: the caller decides
            traceback.print_exc()
            self.send({"raised": {"name": type(error).__name__, "text": str(error)}})
        else:
            self.send(plain, content)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        while self._files:
            os.close(self._files.popleft())


def raised(name: str, text: str) -> Exception:
    """Return an exception with the class name and the text of another process's one.

    Statuses and reasons of cells go by both, so they are what they would be at home.
    """
    return type(name, (RuntimeError,), {})(text)


# Contracts as JSON values


def schema_to_plain(schema: Schema) -> dict[str, Any]:
    """Return a Schema as JSON values."""
    written = [field.name for field in fields(Column) if field.init]
    columns = [{name: getattr(column, name) for name in written} for column in schema]
    return {**asdict(schema), "columns": columns}


def schema_of(plain: Mapping[str, Any]) -> Schema:
    """Undo ``schema_to_plain``."""
    columns = tuple(Column(**_with_tuples(column)) for column in plain["columns"])
    return Schema(**{**_with_tuples(plain), "columns": columns})


def _with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}


def rng_to_plain(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a random generator; whole numbers, and so the same in every numpy."""
    return json.loads(json.dumps(rng.bit_generator.state, default=lambda array: array.tolist()))


def set_rng(rng: np.random.Generator, plain: Mapping[str, Any]) -> None:
    """Put a random generator into a state."""
    rng.bit_generator.state = dict(plain)


def rng_of(plain: Mapping[str, Any]) -> np.random.Generator:
    """Make a random generator in a state."""
    rng = np.random.Generator(getattr(np.random, plain["bit_generator"])())
    set_rng(rng, plain)
    return rng


# Tables and arrays as bytes


def pack_arrays(arrays: Mapping[str, Any], **note: Any) -> bytes:
    """Return arrays of numbers by name, and JSON values, as bytes."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps([list(arrays), note]).encode(), dtype=np.uint8)
    named = {f"a{i}": np.asarray(array) for i, array in enumerate(arrays.values())}
    np.savez(buffer, note=text, **named)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack_arrays(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Undo ``pack_arrays``."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        names, note = json.loads(file["note"].tobytes())
        return {name: file[f"a{i}"] for i, name in enumerate(names)}, note


def pack_tables(tables: Mapping[str, Any]) -> bytes:
    """Return tables by name as bytes; what is no table is described."""
    arrays: dict[str, np.ndarray] = {}
    notes = {}
    for name, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            notes[name] = {"type": type(table).__name__}
            continue
        columns = []
        for place in range(table.shape[1]):
            array, note = _from_series(table.iloc[:, place])
            arrays[f"{name}/{place}"] = array
            columns.append({**note, "name": str(table.columns[place])})
        notes[name] = {"columns": columns, "rows": len(table), "unique": table.index.is_unique}
    return pack_arrays(arrays, tables=notes)


def unpack_tables(content: bytes) -> dict[str, Any]:
    """Undo ``pack_tables``."""
    arrays, note = unpack_arrays(content)
    found = {}
    for name, about in note["tables"].items():
        if "type" in about:
            found[name] = type(about["type"], (), {})()
            continue
        index = pd.RangeIndex(about["rows"]) if about["unique"] else [0] * about["rows"]
        series = [
            _to_series(arrays[f"{name}/{place}"], column)
            for place, column in enumerate(about["columns"])
        ]
        table = pd.DataFrame(dict(enumerate(series)), index=range(about["rows"]))
        table.columns = [column["name"] for column in about["columns"]]
        table.index = pd.Index(index)
        found[name] = table
    return found


def _from_series(series: pd.Series) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a column as an array of numbers, and what makes a column of it again."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = [_plain(value) for value in dtype.categories]
        codes = series.cat.codes.to_numpy(np.int64)
        return codes, {"categories": categories, "ordered": bool(dtype.ordered)}
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbM":
        return series.to_numpy(), {}
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return series.to_numpy(np.float64, na_value=np.nan), {}  # pandas' own nullable numbers
    values = [
        None if absent else _plain(v) for v, absent in zip(series, series.isna(), strict=True)
    ]
    return np.empty(0), {"values": values}


def _to_series(array: np.ndarray, note: Mapping[str, Any]) -> pd.Series:
    if "categories" in note:
        kept = pd.Index(note["categories"], dtype=object)
        dtype = pd.CategoricalDtype(kept, note["ordered"])
        return pd.Series(pd.Categorical.from_codes(array, dtype=dtype))
    if "values" in note:
        return pd.Series(note["values"], dtype=object)
    return pd.Series(array)


def _plain(value: Any) -> Any:
    """Return a value of a column as JSON has it; anything odd as its text."""
    if hasattr(value, "item"):
        with contextlib.suppress(ValueError, TypeError):
            value = value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)
