"""Fitted generators on disk, for a cell that is cut short between training and sampling.

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
from pathlib import Path
from typing import Any

SIGNATURE_BYTES = hashlib.sha256().digest_size


def pack(generator: Any) -> bytes | None:
    """Return a fitted generator as signed bytes, or None if it cannot be pickled."""
    try:
        content = pickle.dumps(generator, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # __reduce__ may raise anything; the model is then trained again if needed
        return None
    return _sign(content) + content


def unpack(signed: bytes) -> Any | None:
    """Return the generator, or None if the bytes are not as this user's run wrote them."""
    signature, content = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(content)):
        return None
    return pickle.loads(content)


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
