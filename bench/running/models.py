"""Fitted generators on disk, and half fitted ones, for a cell that is cut short.

A pickle can run any code when it is loaded, so each file is signed with a key that only this user
can read; what this user's own runs did not write is never loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import pickle
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import publish
from . import environment

CHECKPOINT_SECONDS = 30.0  # between two savings of one training
SIGNATURE_BYTES = hashlib.sha256().digest_size


def pack(what: Any) -> bytes | None:
    """Return a fitted generator or a state as signed bytes, or None if it cannot be pickled."""
    try:
        content = pickle.dumps(what, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # __reduce__ may raise anything; the model is then trained again if needed
        return None
    return _sign(content) + content


def unpack(signed: bytes) -> Any | None:
    """Return what was packed, or None if the bytes are not as this user's run wrote them.

    None as well if what they are made of cannot be had here: a class that is gone, a GPU.
    """
    signature, content = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(content)):
        return None
    try:
        return pickle.loads(content)
    except Exception:  # __setstate__ may raise anything; the model is then trained again
        return None


class Checkpoint:
    """The state of one training, in a file.

    A training goes on from it only where it was left: with the same code, libraries, processor and
    GPU. Elsewhere it would end as an unbroken one does on neither machine.

    Parameters
    ----------
    path : Path
        The file.
    seconds : float
        Least time between two savings.

    Attributes
    ----------
    cost : dict
        What the training had cost when its state was saved.
    """

    def __init__(self, path: Path, seconds: float = CHECKPOINT_SECONDS) -> None:
        self.cost = {"fit_seconds": 0.0, "fit_cpu_seconds": 0.0}
        self.seconds = seconds
        self._path = path
        self._begun = self._last = time.perf_counter()
        self._cpu_begun = time.process_time()

    def load(self) -> Any | None:
        """Return what was saved last; None if nothing was, or not by this user, or not here.

        ``cost`` is then what the training had cost until then.
        """
        try:
            kept = unpack(self._path.read_bytes())
        except FileNotFoundError:
            return None
        if kept is None or kept[0] != _place():
            return None
        _, self.cost, state = kept
        return state

    def save(self, state: Callable[[], Any]) -> None:
        """Keep what ``state`` returns, unless the last saving was a moment ago."""
        now = time.perf_counter()
        if now - self._last < self.seconds:
            return
        spent = now - self._begun, time.process_time() - self._cpu_begun
        cost = {k: c + s for (k, c), s in zip(self.cost.items(), spent, strict=True)}
        if (content := pack((_place(), cost, state()))) is not None:
            publish(self._path, content, replace=True)
        self._last = time.perf_counter()

    def drop(self) -> None:
        """Forget the state of a training that has ended."""
        self._path.unlink(missing_ok=True)


def _place() -> dict[str, Any]:
    """Return what a training's numbers depend on beside its own state."""
    return environment.describe() | {"gpu": environment.gpu()}


def _sign(content: bytes) -> bytes:
    return hmac.digest(_key(), content, "sha256")


def _key() -> bytes:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "syntharena" / "model-key"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".key-{secrets.token_hex(8)}")
    if not path.exists():
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # the first of several processes wins
        temporary.unlink()
    return path.read_bytes()
