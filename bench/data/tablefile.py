"""Table files: what somebody's CSV or Parquet file holds, or why it is no table.

A Parquet file is turned into CSV, so that everything after it sees one format. Every refusal is one
line with the file, the rule and the cure.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

# Before pandas 3 only this option parses decimal texts to the nearest float.
NEAREST: dict[str, Any] = {} if int(pd.__version__[0]) >= 3 else {"float_precision": "round_trip"}


class DatasetError(ValueError):
    """A dataset cannot be had, or is not what its specification says."""


def own_file(path: str | os.PathLike[str], setting: str = "dataset.path") -> Path:
    """Return the path of somebody's own file, which ``setting`` names.

    Raises
    ------
    DatasetError
        If it is none.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DatasetError(
            f"{setting} must be a CSV or Parquet file, got {str(path)!r}; give the path of one"
        )
    return file


def content_of(path: Path) -> tuple[bytes, list[str]]:
    """Return a file's table as CSV, and the digests under which it may be pinned.

    Raises
    ------
    DatasetError
        If the file cannot be read, is empty or holds no table.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{shown(path)} cannot be read ({one_line(error)}); give a readable CSV or Parquet file"
        ) from error
    digests = [hashlib.sha256(raw).hexdigest()]
    if path.suffix.lower() in (".parquet", ".pq"):
        raw = _parquet_as_csv(raw, path)
        digests.append(hashlib.sha256(raw).hexdigest())
    if not raw.strip():
        raise DatasetError(f"{shown(path)} is empty; a table needs a header line and rows")
    if b"\0" in raw:
        raise DatasetError(f"{shown(path)} is no text; give a CSV (UTF-8) or Parquet file")
    return raw, digests


def _parquet_as_csv(raw: bytes, path: Path) -> bytes:
    try:
        table = pd.read_parquet(io.BytesIO(raw), use_threads=False)
        text = table.to_csv(index=False, lineterminator="\n")
        if "\r" in text:  # which would end a line, were it not quoted
            text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        return text.encode()
    except (ValueError, TypeError, OSError) as error:
        raise DatasetError(
            f"{shown(path)} is no Parquet table ({one_line(error)}); give a CSV or Parquet file"
        ) from error


def _lines(content: bytes, path: Path) -> Iterator[list[str]]:
    """Split CSV into the fields of its rows, the header first; blank lines are skipped."""
    try:
        text = content.decode("utf-8-sig")
        yield from filter(None, csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{shown(path)} is no CSV in UTF-8 ({one_line(error)}); save it as CSV (UTF-8) or "
            "Parquet"
        ) from error


def header_of(content: bytes, path: Path) -> list[str]:
    """Return the column names of a CSV."""
    return next(_lines(content, path))


def read(content: bytes, path: Path, **options: Any) -> pd.DataFrame:
    """Parse CSV; only what ``options`` names in ``na_values`` is missing.

    Raises
    ------
    DatasetError
        If it cannot be parsed to what ``options`` asks for.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(content),
                encoding="utf-8-sig",
                header=0,
                index_col=False,
                keep_default_na=False,
                **NEAREST,
                **options,
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise DatasetError(
            f"{shown(path)} is not as its columns are stated ({one_line(error)}); correct the file "
            "or the kinds in the YAML"
        ) from error


def shape_of(content: bytes, path: Path) -> tuple[list[str], int]:
    """Return column names and the number of rows of a CSV in which every row is complete.

    Raises
    ------
    DatasetError
        If it has no rows, a row of another length, or names that cannot be told apart.
    """
    lines = _lines(content, path)
    names, rows = next(lines), 0
    _check_names(names, path)
    for rows, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise DatasetError(
                f"{shown(path)}: every row needs {len(names)} fields as the header has, row "
                f"{rows} has {len(line)}; quote fields that contain commas"
            )
    if not rows:
        raise DatasetError(f"{shown(path)} has a header line only; a table needs rows")
    return names, rows


def _check_names(names: Sequence[str], path: Path) -> None:
    if len(names) < 2:
        raise DatasetError(
            f"{shown(path)}: a table needs two columns or more, got {list(names)!r}; separate "
            "fields by commas"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(
            f"{shown(path)}: column names must be unique, got {twice[0]!r} twice; rename one"
        )
    if "" in names:
        raise DatasetError(
            f"{shown(path)}: every column needs a name, column {names.index('') + 1} has none; "
            "name or drop it"
        )


def shown(path: Path) -> str:
    """Show a path in one line, whatever is in its name."""
    return str(path) if str(path).isprintable() else repr(str(path))


def one_line(error: object) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(error).split())
