"""Datasets: a named real table with its Schema, from a file whose content is pinned.

A table is looked for at ``path``, among the shipped files, in the data folder, in the cache, and at
its provider, in this order. Whatever it is found as is verified against the same pins: the SHA-256
of the canonical CSV, rows and columns. The canonical CSV is UTF-8 with a header line, and an empty
field is a missing value. Limit: a table is held in memory as a whole.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..numbers import check_whole
from ..schema import Column, Schema, SchemaError
from . import guess, sources
from .tablefile import (
    DatasetError,
    content_of,
    header_of,
    one_line,
    own_file,
    read,
    shape_of,
    shown,
)

ENDINGS = (".csv.gz", ".csv", ".parquet")
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Dataset:
    """A real table under its Schema.

    Parameters
    ----------
    name : str
        Any text.
    schema : Schema
        Without the identifiers.
    table : DataFrame
        Canonical under ``schema``.
    identifiers : DataFrame, optional
        Texts that name a row or a person, row by row; never shown to a generator.
    sha256 : str
        Of the pinned content.
    splits : mapping of str to mapping
        Named splits: ``{"holdout": [first, past_the_last]}`` in rows, or ``{"fractions": {...}}``.
    duplicates : {"together", "free"}
        Whether a split keeps rows that are equal in every column in one part.
    """

    name: str
    schema: Schema
    table: pd.DataFrame
    identifiers: pd.DataFrame | None
    sha256: str
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    duplicates: str = "together"

    def cut(self, rows: int) -> Dataset:
        """Return ``rows`` random rows of it, the same ones whatever the seed of a cell.

        The row order stays, and ranges of named splits are narrowed to the rows that are left. A
        table that has no more rows is returned as it is.
        """
        check_whole("dataset.rows", rows, cure="set it to null")
        if rows >= len(self.table):
            return self
        chosen = np.random.default_rng(0).choice(len(self.table), rows, replace=False)
        chosen.sort()
        splits = {
            name: {
                key: np.searchsorted(chosen, value).tolist() if key == "holdout" else value
                for key, value in split.items()
            }
            for name, split in self.splits.items()
        }
        identifiers = self.identifiers
        if identifiers is not None:
            identifiers = identifiers.iloc[chosen].reset_index(drop=True)
        table = self.table.iloc[chosen].reset_index(drop=True)
        return replace(self, table=table, identifiers=identifiers, splits=splits)


def schema_of(spec: Spec) -> Schema:
    """Return the Schema that a dataset's YAML states, identifiers left out.

    Raises
    ------
    SchemaError
        If it states none that holds.
    """
    hidden = set(spec.get("identifiers") or ())
    columns = tuple(
        _column(name, stated) for name, stated in spec["columns"].items() if name not in hidden
    )
    return Schema(
        columns,
        target=spec.get("target"),
        task=spec.get("task"),
        sensitive=tuple(spec.get("sensitive") or ()),
        source=spec.get("source"),
        public=bool(spec.get("public", False)),
    )


def _column(name: str, stated: Mapping[str, Any]) -> Column:
    lists = {key: tuple(stated.get(key) or ()) for key in ("categories", "missing_values")}
    try:
        return Column(name, **{**stated, **lists})
    except TypeError as error:
        raise SchemaError(f"column {name!r}: {error}") from error


def load(
    spec: Spec,
    *,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    download: bool = True,
) -> Dataset:
    """Find a dataset's table, verify it and put it into canonical form.

    Parameters
    ----------
    spec : mapping
        A dataset's YAML as plain values, or what ``user_spec`` returned.
    data_dir : Path, optional
        A folder with ``NAME.csv.gz``, ``NAME.csv`` or ``NAME.parquet``.
    cache_dir : Path, optional
        Where downloads are kept; without it nothing is downloaded.
    download : bool
        Whether the provider may be asked.

    Raises
    ------
    DatasetError
        If there is no such file, or it breaks the pins or the Schema.
    """
    path = locate(spec, data_dir=data_dir, cache_dir=cache_dir, download=download)
    content, digests = content_of(path)
    pins = spec["pins"]
    if pins["sha256"] not in digests:
        raise DatasetError(
            f"{shown(path)}: sha256 {pins['sha256']} is pinned for dataset {spec['name']!r}, got "
            f"{digests[0]}; replace the file by the published one"
        )
    try:
        schema = schema_of(spec)
    except SchemaError as error:
        raise DatasetError(f"dataset {spec['name']!r}: {error}; correct the YAML") from error
    header = header_of(content, path)
    if header != list(spec["columns"]):
        raise DatasetError(
            f"{shown(path)}: columns {list(spec['columns'])!r} are expected in this order, got "
            f"{header!r}; let the YAML name the file's columns"
        )
    frame = _parse(content, spec, schema, path)
    if (len(frame), len(header)) != (pins["rows"], pins["columns"]):
        raise DatasetError(
            f"{shown(path)}: {pins['rows']} rows and {pins['columns']} columns are pinned, got "
            f"{len(frame)} and {len(header)}; correct the pins"
        )
    hidden = list(spec.get("identifiers") or ())
    dataset = Dataset(
        name=spec["name"],
        schema=schema,
        table=_canonical(frame, schema, path),
        identifiers=pd.DataFrame(frame[hidden]) if hidden else None,
        sha256=pins["sha256"],
        splits=spec.get("splits") or {},
        duplicates=spec.get("duplicates") or "together",
    )
    return dataset if spec.get("rows") is None else dataset.cut(spec["rows"])


# Where a table is


def locate(
    spec: Spec, *, data_dir: Path | None, cache_dir: Path | None, download: bool = True
) -> Path:
    """Return the file of a dataset, downloaded into the cache if it is nowhere else.

    Parameters are those of ``load``.

    Raises
    ------
    DatasetError
        If it is nowhere.
    """
    if spec.get("path"):
        return own_file(spec["path"])
    if data_dir is not None and not data_dir.is_dir():
        raise DatasetError(
            f"the data folder (paths.data, SYNTHARENA_DATA) must exist, got {str(data_dir)!r}; "
            "create it or leave the setting out"
        )
    name = spec["name"]
    if not FILE_NAME.fullmatch(name):
        raise DatasetError(
            f"a dataset without dataset.path needs a name of letters, digits, '_', '.' and '-', "
            f"got {name!r}; rename it or set dataset.path"
        )
    for path in _places(name, data_dir, cache_dir):
        if path.is_file():
            return path
    source = spec.get("download")
    if cache_dir is None or not download or not source:
        why = "downloading is off" if source else "no download address is known"
        raise DatasetError(
            f"dataset {name!r} is not on this machine and {why}; put {name}.csv.gz into the data "
            "folder (paths.data or SYNTHARENA_DATA)"
        )
    return _downloaded(spec, cache_dir)


def _places(name: str, data_dir: Path | None, cache_dir: Path | None) -> Iterator[Path]:
    with resources.as_file(resources.files("syntharena.conf")) as conf:
        yield conf / "dataset" / "tables" / f"{name}.csv.gz"
    if data_dir is not None:
        yield from (data_dir / f"{name}{ending}" for ending in ENDINGS)
    if cache_dir is not None:
        yield cache_dir / f"{name}.csv.gz"


def _downloaded(spec: Spec, cache_dir: Path) -> Path:
    """Download a dataset into the cache, where only a verified file gets its final name."""
    name, wanted = spec["name"], spec["pins"]["sha256"]
    cure = f"put {name}.csv.gz into the data folder (paths.data or SYNTHARENA_DATA)"
    try:
        content = sources.download(spec["download"], list(spec["columns"]))
    except sources.SourceError as error:
        raise DatasetError(f"dataset {name!r}: {error}; {cure}") from error
    if (found := hashlib.sha256(content).hexdigest()) != wanted:
        url = spec["download"]["files"][0]["url"]
        raise DatasetError(
            f"dataset {name!r}: sha256 {wanted} is pinned for the table, {url} led to {found}; "
            f"{cure}"
        )
    path = cache_dir / f"{name}.csv.gz"
    cache_dir.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=cache_dir)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(content, mtime=0))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _parse(content: bytes, spec: Spec, schema: Schema, path: Path) -> pd.DataFrame:
    """Parse CSV to float64 where the Schema has numbers, and to texts elsewhere."""
    names = list(spec["columns"])
    known = {column.name: column for column in schema}
    dtypes: dict[str, Any] = dict.fromkeys(names, object)
    missing: dict[str, list[str]] = {name: [""] for name in names}
    for name, column in known.items():
        missing[name] += column.missing_values
        if column.kind in ("continuous", "integer"):
            dtypes[name] = "float64"
    return read(content, path, names=names, dtype=dtypes, na_values=missing)


def _canonical(frame: pd.DataFrame, schema: Schema, path: Path) -> pd.DataFrame:
    columns, problems, fields = {}, [], dict(frame.items())
    for column in schema:
        try:
            series = _cast(column, fields[column.name])
            if problem := column.problem(series):
                raise SchemaError(problem)
            columns[column.name] = column.canonical(series)
        except ValueError as error:
            problems.append(f"column {column.name!r}: {one_line(error)}")
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise DatasetError(
            f"{shown(path)} breaks its Schema: {problems[0]}{more}; correct the file or the YAML"
        )
    return schema.assemble(columns)


def _cast(column: Column, series: pd.Series) -> pd.Series:
    if column.kind == "datetime":
        return pd.to_datetime(series, format="ISO8601").astype("datetime64[s]")
    if not column.is_discrete:
        return series
    found, texts = pd.factorize(series)  # -1 where missing
    positions = pd.Index(column.categories, dtype=object).get_indexer(pd.Index(texts))
    if (positions < 0).any():
        unseen = ", ".join(repr(text) for text in texts[positions < 0][:3])
        raise SchemaError(f"categories outside the Schema: {unseen}")
    return column.from_codes(np.append(positions, -1)[found])  # -1 picks the last, -1


# Somebody's own table


def user_spec(path: str | os.PathLike[str], target: str | None = None, **overrides: Any) -> dict:
    """Return a specification of somebody's own CSV or Parquet file, with a guessed Schema.

    Parameters
    ----------
    path : path
        The file.
    target : str, optional
        The column that downstream models predict.
    **overrides
        What is known better than guessed: ``name``, ``task``, ``sensitive``, ``identifiers``,
        ``public`` (True confirms that the guessed Schema is public), ``rows``, ``splits``.

    Returns
    -------
    dict
        As a dataset's YAML, with ``public`` False, pins of the file itself, and the reasons of the
        guess by column under ``guessed``.

    Raises
    ------
    DatasetError
        If the file is no table, or the target is absent, constant or unfit for its task.
    """
    file = own_file(path)
    content, digests = content_of(file)
    names, rows = shape_of(content, file)
    frame = read(content, file, names=names, dtype=object)
    if target is not None:
        _check_target(frame, target, file)
    guessed = guess.propose(frame, target=target, task=overrides.get("task"))
    stem = next((e for e in ENDINGS if file.name.endswith(e)), file.suffix)
    spec = {
        "name": file.name.removesuffix(stem),
        "summary": f"a table of its user, {rows} rows",
        "path": str(file.absolute()),
        "rows": None,
        "target": target,
        "task": guessed.task,
        "sensitive": [],
        "source": None,
        "identifiers": guessed.identifiers,
        "public": False,
        "pins": {"rows": rows, "columns": len(names), "sha256": digests[0]},
        "splits": {},
        "columns": guessed.columns,
        "guessed": guessed.reasons,
    } | overrides
    try:
        schema_of(spec)
    except SchemaError as error:
        raise DatasetError(f"{shown(file)}: {error}") from error
    return spec


def _check_target(frame: pd.DataFrame, target: str, path: Path) -> None:
    if target not in frame.columns:
        names = ", ".join(repr(name) for name in frame.columns[:10])
        raise DatasetError(
            f"{shown(path)}: dataset.target must be one of the columns ({names}"
            f"{', ...' if len(frame.columns) > 10 else ''}), got {target!r}"
        )
    values = set(frame[target].unique()) - {""}
    if len(values) < 2:
        raise DatasetError(
            f"{shown(path)}: dataset.target must vary, {target!r} has only {sorted(values)!r}; "
            "choose another column"
        )
