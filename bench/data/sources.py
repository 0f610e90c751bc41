"""Sources: a provider's raw files, downloaded and turned into the canonical CSV of a dataset.

A raw file is read only after its size and hash agree with the pins of the dataset's YAML. A file
without pins (the provider re-packs it, or its bytes could not be had) is bounded in size, and the
hash of the canonical CSV that it leads to decides. Everything stays in memory: nothing can be left
half-written.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MAX_BYTES = 256 * 2**20  # of a file without a pinned size
ARCHIVE_SLACK = 16 * 2**20  # what an archive may hold besides the pinned member
CHUNK = 2**16
HEART_SITES = ("cleveland", "hungary", "switzerland", "va_long_beach")

Options = Mapping[str, Any]


class SourceError(ValueError):
    """A raw file cannot be had, or is not the pinned one."""


class _Transient(Exception):
    """A failure that may not happen again."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a provider.

    Parameters
    ----------
    stall : float
        Seconds without a byte before a try ends.
    total : float
        Seconds that one try may take.
    tries : int
        How often a failure that may pass is tried.
    pause : float
        Seconds before the second try; doubled before each further one.
    """

    stall: float = 30.0
    total: float = 600.0
    tries: int = 3
    pause: float = 1.0


def download(source: Options, names: Sequence[str], patience: Patience | None = None) -> bytes:
    """Download a dataset's raw files and return its canonical CSV.

    Parameters
    ----------
    source : mapping
        The ``download`` entry of a dataset's YAML: ``reader``, its options, and ``files``, each
        with ``url``, the ``member`` to take out of an archive, ``bytes`` and ``sha256``.
    names : sequence of str
        Column names of the canonical CSV.
    patience : Patience, optional
        How long to wait.

    Raises
    ------
    SourceError
        If a file cannot be had, differs from its pins or is not in the reader's format.
    """
    raw = [_pinned(entry, patience or Patience()) for entry in source["files"]]
    try:
        return read(source, raw, names)
    except SourceError:
        raise
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise SourceError(
            f"{source['files'][0]['url']} is not in the format of reader {source['reader']!r} "
            f"({_one_line(error)})"
        ) from error


def read(source: Options, raw: Sequence[bytes], names: Sequence[str]) -> bytes:
    """Turn raw files into the canonical CSV: UTF-8, LF, header line, empty where missing."""
    options = {key: value for key, value in source.items() if key not in ("reader", "files")}
    if source["reader"] not in READERS:
        raise SourceError(f"reader must be one of {', '.join(READERS)}, got {source['reader']!r}")
    table = READERS[source["reader"]](raw, names, **options)
    return table if isinstance(table, bytes) else _csv(table)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


# Readers: (raw files, canonical column names, options) -> canonical bytes, or the table


def as_is(raw: Sequence[bytes], names: Sequence[str]) -> bytes:
    """Read one file that is canonical but for its line ends."""
    return raw[0].replace(b"\r\n", b"\n")


def parquet(raw: Sequence[bytes], names: Sequence[str]) -> pd.DataFrame:
    """Read one Parquet file."""
    return pd.read_parquet(io.BytesIO(raw[0]))


def delimited(
    raw: Sequence[bytes],
    names: Sequence[str],
    *,
    separator: str = ",",
    header: bool = True,
    missing: str = "",
    drop: Sequence[str] = (),
    labels: Mapping[str, Mapping[str, str]] | None = None,
) -> pd.DataFrame:
    """Read one delimited file.

    Parameters
    ----------
    separator : str
        Between two fields; spaces after it are skipped.
    header : bool
        Whether the first line has names; they only serve ``drop``.
    missing : str
        What stands for a missing value.
    drop : sequence of str
        Columns that the canonical table leaves out.
    labels : mapping, optional
        For each coded column, the text of each code.
    """
    table = pd.read_csv(
        io.BytesIO(raw[0]),
        sep=separator,
        header=0 if header else None,
        names=None if header else list(names),
        na_values=[missing],
        keep_default_na=False,
        skipinitialspace=True,
        index_col=False,
        low_memory=False,
    ).drop(columns=list(drop))
    table.columns = list(names)
    for name, texts in (labels or {}).items():
        table[name] = [texts[str(code)] for code in table[name]]
    return table


def uci_adult(raw: Sequence[bytes], names: Sequence[str]) -> pd.DataFrame:
    """Read ``adult.data`` and ``adult.test``, whose labels end in a point after a first remark."""
    train, test = raw
    test = test.partition(b"\n")[2].replace(b"K.\n", b"K\n")
    return delimited([train + test], names, header=False, missing="?")


def uci_heart(raw: Sequence[bytes], names: Sequence[str]) -> pd.DataFrame:
    """Read the ``processed`` files of the four sites."""
    sites = []
    for site, content in zip(HEART_SITES, raw, strict=True):
        table = delimited([content], names[1:], header=False, missing="?")
        table.insert(0, names[0], site)
        sites.append(table)
    table = pd.concat(sites, ignore_index=True)
    return table.astype(dict.fromkeys(names[1:-1], "float64"))


READERS: dict[str, Callable[..., pd.DataFrame | bytes]] = {
    "as_is": as_is,
    "parquet": parquet,
    "delimited": delimited,
    "uci_adult": uci_adult,
    "uci_heart": uci_heart,
}


# Getting raw files


def _pinned(entry: Options, patience: Patience) -> bytes:
    """Return the raw file of one entry, which agrees with its pins."""
    url, size = entry["url"], entry.get("bytes")
    limit = size or MAX_BYTES
    if entry.get("member"):
        archive = fetch(url, limit + ARCHIVE_SLACK, patience)
        content = _member(archive, entry["member"], limit, url)
    else:
        content = fetch(url, limit, patience)
    if size and len(content) != size:
        raise SourceError(f"{url}: {size} bytes are pinned, got {len(content)}")
    found = hashlib.sha256(content).hexdigest()
    if entry.get("sha256") and found != entry["sha256"]:
        raise SourceError(f"{url}: sha256 {entry['sha256']} is pinned, got {found}")
    return content


def _member(archive: bytes, member: str, limit: int, url: str) -> bytes:
    """Take one file out of a ZIP or tar archive, reading no more than ``limit`` bytes and one."""
    opened = io.BytesIO(archive)
    try:
        if zipfile.is_zipfile(opened):
            with zipfile.ZipFile(opened) as files, files.open(member) as file:
                return file.read(limit + 1)
        opened.seek(0)
        with tarfile.open(fileobj=opened) as files:
            file = files.extractfile(member)
            if file is None:
                raise KeyError(member)
            return file.read(limit + 1)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise SourceError(
            f"{url}: an archive with {member!r} is expected, got {len(archive)} bytes "
            f"({_one_line(error)})"
        ) from error


def fetch(url: str, limit: int, patience: Patience) -> bytes:
    """Return what ``url`` serves.

    Raises
    ------
    SourceError
        If it is no HTTP address, answers with an error, ends early, is silent or slow beyond
        ``patience``, or serves more than ``limit`` bytes.
    """
    _check_address(url, url)
    pause = patience.pause
    for remaining in reversed(range(patience.tries)):
        try:
            return _attempt(url, limit, patience)
        except _Transient as error:
            if not remaining:
                raise SourceError(f"{url}: {error}, {patience.tries} times") from error
        time.sleep(pause)
        pause *= 2
    raise SourceError(f"{url}: tries must be > 0, got {patience.tries!r}")


def _attempt(url: str, limit: int, patience: Patience) -> bytes:
    deadline = time.monotonic() + patience.total
    opener = urllib.request.build_opener(_Redirects)
    try:
        with opener.open(url, timeout=patience.stall) as response:
            return _body(response, url, limit, deadline)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500:
            raise _Transient(f"the server answered {error.code}") from error
        reason = _one_line(error.reason)
        raise SourceError(f"{url}: the server answered {error.code} ({reason})") from error
    except (http.client.HTTPException, OSError) as error:
        raise _Transient(_one_line(getattr(error, "reason", error))) from error


def _body(response: http.client.HTTPResponse, url: str, limit: int, deadline: float) -> bytes:
    announced = int(response.headers.get("Content-Length") or 0)
    if announced > limit:
        raise SourceError(f"{url}: at most {limit} bytes are expected, {announced} were announced")
    content = bytearray()
    while chunk := response.read1(CHUNK):
        content += chunk
        if len(content) > limit:
            raise SourceError(f"{url}: at most {limit} bytes are expected, more were sent")
        if time.monotonic() > deadline:
            raise _Transient(f"only {len(content)} bytes came in time")
    if len(content) < announced:
        raise _Transient(f"{len(content)} of {announced} bytes came")
    return bytes(content)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to HTTP addresses only."""

    max_redirections = 5
    max_repeats = 2

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _check_address(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, start: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise SourceError(f"{start}: an http or https address is expected, got {url!r}")


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
