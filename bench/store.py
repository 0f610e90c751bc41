"""The Store: a folder of immutable records and of the tables they refer to.

::

    records/ab/<cell key>.<record key>.json   what one cell left behind
    tables/ab/<content hash>.parquet          synthetic tables
    stages/<cell key>.json, <train key>.model what a cell that was cut short had finished
    stages/<train key>.checkpoint             where a training goes on that was cut short
    studies/<train key>.journal, .json        the trials of a search as they end, and its choice
    datasets/<hash>.json                      the dataset specifications that records refer to
    metrics/<hash>.json                       the declarations of metrics that records refer to
    sweeps/<hash>.json                        which cells a sweep expects
    running/<record key>                      locked by the process that runs the cell
    jobs/                                     job arrays of a cluster (``slurm.submission``)
    superseded/, corrupt/                     what was set aside: re-run cells, damaged files
    logs/<record key>.txt                     what cells that did not end well had printed

Every JSON file carries the SHA-256 of its own content. It is written under a temporary name,
flushed to disk and linked into place, so the first valid writer wins and a kill at any instant
leaves a whole file or none. What does not verify when it is read is set aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .canonical import digest, digest_parsed, dumps, plain
from .cells import Cell, in_order, record_key, table_identity
from .files import publish
from .search.study import count_ended
from .statuses import STATUSES

FORMAT = 1
ORPHAN_SECONDS = 24 * 3600  # a temporary file this old has no living writer


class StoreError(RuntimeError):
    """The Store cannot be used as it is."""


class Store:
    """Records, tables and plans under one folder.

    Parameters
    ----------
    root : path
        The folder; made when something is written.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self._declarations: dict[str, dict[str, Any]] = {}

    def prepare(self) -> None:
        """Make the folder, see that it can be written, and sweep out orphaned temporary files.

        Raises
        ------
        StoreError
            If it cannot be written; the message names the path.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
            probe.write_bytes(b"")
            now = probe.stat().st_mtime  # by the clock of the file system, which may be another
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"paths.results must be a folder that can be written, got {str(self.root)!r} "
                f"({error.strerror}); set paths.results=FOLDER"
            ) from error
        for orphan in self.root.rglob(".tmp-*"):
            with contextlib.suppress(FileNotFoundError):  # its writer is done with it
                if now - orphan.stat().st_mtime > ORPHAN_SECONDS:
                    orphan.unlink()

    # Records

    def _record_path(self, cell_key: str, key: str) -> Path:
        return self.root / "records" / cell_key[:2] / f"{cell_key}.{key[:16]}.json"

    def get(self, cell: Cell) -> dict[str, Any] | None:
        """Return the cell's record, or None if there is no valid one."""
        return self.read(self._record_path(cell.key, cell.record_key))

    def of_cell(self, cell_key: str) -> Iterator[dict[str, Any]]:
        """Yield every valid record of a cell, whatever evaluated it."""
        folder = self.root / "records" / cell_key[:2]
        for path in sorted(folder.glob(f"{cell_key}.*.json")):
            if record := self.read(path):
                yield record

    def record_paths(self) -> list[Path]:
        """Return the files of records, ordered by key."""
        return sorted((self.root / "records").glob("*/*.json"))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every valid record, ordered by key."""
        for path in self.record_paths():
            if record := self.read(path):
                yield record

    def put(self, record: Mapping[str, Any]) -> bool:
        """Write a record once.

        Returns
        -------
        bool
            False if a valid record with this key was there before.
        """
        if record["status"] not in STATUSES:
            raise ValueError(
                f"status must be one of {', '.join(STATUSES)}, got {record['status']!r}"
            )
        path = self._record_path(record["cell_key"], record["key"])
        body = {"format": FORMAT, **record}
        body["declared"] = self._put_declarations(body["declared"])
        sealed = seal(body)
        while not publish(path, dumps(sealed, indent=1).encode() + b"\n"):
            if self.read(path) is not None:
                return False
        return True

    def supersede(self, cell: Cell) -> None:
        """Set the cell's record aside so that it runs again; nothing is lost."""
        path = self._record_path(cell.key, cell.record_key)
        if path.exists():
            self._set_aside(path, "superseded")

    def read(self, path: Path) -> dict[str, Any] | None:
        """Return the record in a file, or None; what does not verify is set aside."""
        record = self.read_sealed(path)
        if record is None:
            return None
        if _is_record_at(record, path):
            declared = self._get_declarations(record["declared"])
            if declared is not None:
                return {**record, "declared": declared}
        self._set_aside(path, "corrupt")
        return None

    def _put_declarations(self, declared: Mapping[str, Any]) -> str:
        """Keep the declarations of metrics once for all records that share them."""
        key = digest(declared)
        path = self.root / "metrics" / f"{key}.json"
        if key not in self._declarations and not path.exists():
            publish(path, dumps(seal({"declared": declared}), indent=1).encode())
        self._declarations[key] = plain(declared)
        return key

    def _get_declarations(self, key: str) -> dict[str, Any] | None:
        if key not in self._declarations:
            found = self.read_sealed(self.root / "metrics" / f"{key}.json")
            if found is None or digest(found["declared"]) != key:
                return None
            self._declarations[key] = found["declared"]
        return self._declarations[key]

    def read_sealed(self, path: Path) -> dict[str, Any] | None:
        """Read a sealed JSON file; set it aside and return None if it does not verify."""
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            value = json.loads(content)
            if is_sealed(value):
                return value
        except (ValueError, RecursionError):
            pass
        self._set_aside(path, "corrupt")
        return None

    def _set_aside(self, path: Path, folder: str) -> None:
        aside = self.root / folder / f"{path.name}.{secrets.token_hex(4)}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(path, aside)

    # Synthetic tables

    def table_path(self, sha256: str) -> Path:
        """Where the table with this content hash lies."""
        return self.root / "tables" / sha256[:2] / f"{sha256}.parquet"

    def put_table(self, table: pd.DataFrame, sha256: str) -> None:
        """Write a canonical table under its content hash."""
        path = self.table_path(sha256)
        if not path.exists():
            publish(path, _parquet(table))

    def get_table(self, sha256: str) -> pd.DataFrame | None:
        """Read a table as it was written, or None; its hash is the caller's to check."""
        try:
            return pd.read_parquet(self.table_path(sha256))
        except FileNotFoundError:
            return None
        except (ValueError, OSError):
            self._set_aside(self.table_path(sha256), "corrupt")
            return None

    # What a cell that was cut short had finished

    def _stage_path(self, cell_key: str) -> Path:
        return self.root / "stages" / f"{cell_key}.json"

    def put_stage(self, cell_key: str, stage: Mapping[str, Any]) -> None:
        """Remember the finished sampling stage of a running cell."""
        publish(self._stage_path(cell_key), dumps(seal(stage)).encode(), replace=True)

    def get_stage(self, cell_key: str) -> dict[str, Any] | None:
        """Return the finished sampling stage of a cell that was cut short."""
        return self.read_sealed(self._stage_path(cell_key))

    def model_path(self, train_key: str) -> Path:
        """Where the fitted generator of an unfinished cell lies."""
        return self.root / "stages" / f"{train_key}.model"

    def checkpoint_path(self, train_key: str) -> Path:
        """Where a generator that is being fitted leaves its state."""
        return self.root / "stages" / f"{train_key}.checkpoint"

    def clear_stages(self, cell: Cell) -> None:
        """Drop what the cell's record now holds."""
        self._stage_path(cell.key).unlink(missing_ok=True)
        self.model_path(cell.train_key).unlink(missing_ok=True)
        self.checkpoint_path(cell.train_key).unlink(missing_ok=True)

    def progress_of(self, cell: Cell) -> tuple[Hashable, ...]:
        """Return what changes when an unfinished cell gets further.

        That is the times and sizes of its files, and how many trials have ended: one that is begun
        again and again is no progress.
        """
        files = (
            self._stage_path(cell.key),
            self.model_path(cell.train_key),
            self.checkpoint_path(cell.train_key),
        )
        return *map(_change, files), count_ended(self.journal_path(cell.train_key))

    # Searches for hyperparameters

    def journal_path(self, train_key: str) -> Path:
        """Where the trials of a search are kept as they end, in Optuna's form."""
        return self.root / "studies" / f"{train_key}.journal"

    def _study_path(self, train_key: str) -> Path:
        return self.root / "studies" / f"{train_key}.json"

    def put_study(self, train_key: str, study: Mapping[str, Any]) -> None:
        """Keep what a search that has ended found; the first one stays."""
        publish(self._study_path(train_key), dumps(seal(study), indent=1).encode())

    def get_study(self, train_key: str) -> dict[str, Any] | None:
        """Return what a search found that has ended."""
        found = self.read_sealed(self._study_path(train_key))
        return found and {name: value for name, value in found.items() if name != "sha256"}

    # Cells that are running now

    def claim(self, key: str) -> Claim:
        """Say that a cell is running, for as long as this process lives."""
        return Claim(self.root / "running" / key)

    def running(self) -> set[str]:
        """Return the record keys of cells that a living process on this machine runs."""
        return {path.name for path in (self.root / "running").glob("*") if Claim(path).is_held()}

    # Sweeps and datasets

    def put_sweep(self, cells: Iterable[Cell]) -> None:
        """Write down which records a sweep expects; the same sweep writes the same file."""
        cells = list(cells)
        expected = sorted((cell.summary() for cell in cells), key=lambda item: item["key"])
        path = self.root / "sweeps" / f"{digest([item['key'] for item in expected])}.json"
        if not path.exists():
            publish(path, dumps(seal({"expected": expected})).encode())
        tables = {digest(cell.identity["dataset"]): cell.dataset for cell in cells}
        tables |= {digest(table_identity(s)): s for c in cells if (s := c.stand_in) is not None}
        for name, spec in tables.items():
            path = self.root / "datasets" / f"{name}.json"
            if not path.exists():
                publish(path, dumps(seal({"dataset": in_order(spec)}), indent=1).encode())

    def expected(self) -> Iterator[dict[str, Any]]:
        """Yield what every sweep in this Store expects, each key once."""
        seen = set()
        for path in sorted((self.root / "sweeps").glob("*.json")):
            for item in (self.read_sealed(path) or {"expected": []})["expected"]:
                if item["key"] not in seen:
                    seen.add(item["key"])
                    yield item

    def dataset(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the specification of the dataset that a record's ``cell`` identifies."""
        found = self.read_sealed(self.root / "datasets" / f"{digest(identity)}.json")
        if found is None:
            return None
        return {**found["dataset"], "columns": dict(found["dataset"]["columns"])}

    # Logs

    def log_path(self, key: str) -> Path:
        """Where what a cell had printed lies, if it did not end well."""
        return self.root / "logs" / f"{key}.txt"

    def put_log(self, key: str, text: bytes) -> Path:
        """Keep what a cell that did not end well had printed."""
        path = self.log_path(key)
        publish(path, text, replace=True)
        return path


def _parquet(table: pd.DataFrame) -> bytes:
    """Write a table as Parquet without starting threads, which a short-lived process pays for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    converted = pa.Table.from_pandas(table, preserve_index=False, nthreads=1)
    pq.write_table(converted, buffer, compression="zstd")
    return buffer.getvalue().to_pybytes()


class Claim:
    """A file lock that says who is at work; the system drops it when its holder dies.

    It is information for people. Correctness never rests on it: two sweeps that run the same cell
    by mistake both end, and the first record wins.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Claim:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "w")  # held until __exit__
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def __exit__(self, *exception: object) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()

    def is_held(self) -> bool:
        """Whether a living process holds it."""
        with contextlib.suppress(FileNotFoundError), open(self._path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Add the SHA-256 of a value's canonical JSON under ``sha256``."""
    body = plain(value)
    return {**body, "sha256": digest_parsed(body)}


def is_sealed(value: Any) -> bool:
    """Whether a value carries the hash of the rest of it."""
    if not isinstance(value, dict) or "sha256" not in value:
        return False
    body = {key: item for key, item in value.items() if key != "sha256"}
    return digest_parsed(body) == value["sha256"]


def _is_record_at(record: Mapping[str, Any], path: Path) -> bool:
    """Whether a record is of this format, hashes to its own keys and lies where they say."""
    try:
        cell_key = digest_parsed(record["cell"])
        key = record_key(cell_key, record["evaluation"])
        named = f"{cell_key}.{key[:16]}.json" == path.name
        kept = record["cell_key"] == cell_key and record["key"] == key
        return named and kept and record["format"] == FORMAT and record["status"] in STATUSES
    except KeyError:
        return False


def _change(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
