"""Files that are there whole or not at all, whatever dies while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

SWEPT_TIMES = 3  # how often a file is written again whose temporary file was swept out


def publish(path: Path, content: bytes, *, replace: bool = False) -> bool:
    """Write a whole file or none.

    Parameters
    ----------
    path : Path
        Its final name.
    content : bytes
        All of it.
    replace : bool
        Whether it takes the place of an older file; otherwise the first writer wins.

    Returns
    -------
    bool
        False if a file was there and stays.
    """
    for _ in range(SWEPT_TIMES):
        with contextlib.suppress(FileNotFoundError):
            return _publish(path, content, replace)
    return _publish(path, content, replace)


def _publish(path: Path, content: bytes, replace: bool) -> bool:
    """Write a file as ``publish`` does.

    Raises
    ------
    FileNotFoundError
        If the temporary file was swept out, by a process whose clock went wrong.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{os.getpid()}-{secrets.token_hex(6)}"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(temporary, path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return True


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
