"""Score tables: train, holdout, reference and synthetic from somebody's files, under one Schema.

The Schema is that of a known dataset, held strictly, or guessed from the real rows and widened by
what only the synthetic table has, with a warning. A guessed Schema states no bounds of numbers, so
that evaluators scale by train: bounds would hold the extremes of holdout, or of synthetic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..data import guess
from ..data.datasets import schema_of
from ..data.tablefile import DatasetError, content_of, own_file, read, shape_of, shown
from ..names import UnknownName
from ..schema import Column, Schema, SchemaError
from . import widen


@dataclass(frozen=True)
class Given:
    """Tables to score; every table is canonical under the Schema.

    Parameters
    ----------
    schema : Schema
        Guessed ones are not public.
    origin : str
        Where the Schema is from, in words.
    tables : dict of str to DataFrame
        ``train``, ``holdout``, ``synthetic``, and ``reference`` where it was given.
    files : dict of str to dict
        ``file``, ``rows`` and ``sha256`` of each.
    warnings : list of str
        What was let in, left out or read generously.
    """

    schema: Schema
    origin: str
    tables: dict[str, pd.DataFrame]
    files: dict[str, dict[str, Any]]
    warnings: list[str]


@dataclass(frozen=True)
class _File:
    """A table as texts."""

    path: Path
    texts: pd.DataFrame
    sha256: str

    @property
    def names(self) -> list[str]:
        """Column names in the file's order."""
        return [str(name) for name in self.texts]


def read_tables(
    paths: Mapping[str, Path],
    *,
    dataset: Mapping[str, Any] | None = None,
    target: str | None = None,
    task: str | None = None,
    sensitive: Sequence[str] = (),
) -> Given:
    """Read the files and put them under one Schema.

    Parameters
    ----------
    paths : mapping of str to Path
        CSV or Parquet files of ``train``, ``holdout``, ``synthetic`` and perhaps ``reference``,
        with the same columns in any order.
    dataset : mapping, optional
        A dataset's YAML as plain values; without it a Schema is guessed from the real rows.
    target, task, sensitive
        Roles; what is given takes the place of the dataset's own.

    Raises
    ------
    ValueError
        If a file is no table, its columns are not those of the others, a role names no column, or
        a value does not fit its column; the message is one line.
    """
    files = {role: _file(role, path) for role, path in paths.items()}
    given = {"target": target, "task": task, "sensitive": list(sensitive)}
    roles = {role: value for role, value in given.items() if value}
    if dataset is None:
        origin = "guessed from the real rows"
        schema, identifiers, warnings = _guessed(files, roles)
    else:
        origin = f"of the dataset {dataset['name']}"
        schema, identifiers, warnings = _stated(dataset, roles), dataset["identifiers"] or (), []
    for file in files.values():
        _check_columns(file, schema.names, identifiers)
    if dataset is None:
        schema, files["synthetic"], notes = _widened(schema, files["synthetic"])
        warnings += notes
    described = {
        role: {"file": file.path.name, "rows": len(file.texts), "sha256": file.sha256}
        for role, file in files.items()
    }
    tables = {role: _canonical(file, schema) for role, file in files.items()}
    return Given(schema, origin, tables, described, warnings)


def _file(role: str, path: Path) -> _File:
    file = own_file(path, f"--{role}")
    content, digests = content_of(file)
    names, _ = shape_of(content, file)
    return _File(file, read(content, file, names=names, dtype=object), digests[0])


def _check_columns(file: _File, names: Sequence[str], optional: Sequence[str]) -> None:
    absent = [name for name in names if name not in file.names]
    extra = [name for name in file.names if name not in names and name not in optional]
    found = {"missing": absent, "extra": extra}
    if told := [f"{what} {widen.some(those)}" for what, those in found.items() if those]:
        raise DatasetError(
            f"{shown(file.path)}: every table needs the same columns, got {' and '.join(told)}; "
            "add, drop or rename them"
        )


# The Schema


def _stated(dataset: Mapping[str, Any], roles: Mapping[str, Any]) -> Schema:
    """Return a dataset's Schema with other roles, if any are given."""
    _check_roles(roles, list(dataset["columns"]))
    if "target" in roles and "task" not in roles:
        roles = {**roles, "task": guess.task_of(dataset["columns"][roles["target"]])}
    return schema_of({**dataset, **roles})


def _guessed(
    files: Mapping[str, _File], roles: Mapping[str, Any]
) -> tuple[Schema, list[str], list[str]]:
    """Guess a Schema from the real rows; return it, the identifiers and what to say of them."""
    real = [file for role, file in files.items() if role != "synthetic"]
    for file in real[1:]:
        _check_columns(file, real[0].names, optional=())
    rows = pd.concat([file.texts for file in real], ignore_index=True)
    _check_roles(roles, real[0].names)
    target, sensitive = roles.get("target"), roles.get("sensitive", [])
    if target is not None and len(set(rows[target]) - {""}) < 2:
        raise DatasetError(f"--target must vary, {target!r} is constant; choose another column")
    found = guess.propose(rows, target=target, task=roles.get("task"))
    identifiers = [name for name in found.identifiers if name not in sensitive]
    spec = {"columns": found.columns, "identifiers": identifiers, "sensitive": sensitive}
    schema = schema_of({**spec, "target": target, "task": found.task})
    if not schema.columns:
        raise DatasetError("every column names rows; give tables with columns that describe them")
    columns = tuple(replace(column, minimum=None, maximum=None) for column in schema)
    said = [f"left out, because they name rows: {widen.some(identifiers)}"] if identifiers else []
    return replace(schema, columns=columns), identifiers, said


def _check_roles(roles: Mapping[str, Any], names: Sequence[str]) -> None:
    given = {"--target": [roles.get("target")], "--sensitive": roles.get("sensitive", [])}
    for option, wanted in given.items():
        for name in wanted:
            if name is not None and name not in names:
                raise UnknownName(f"column for {option}", name, names)


# What only the synthetic table has


def _widened(schema: Schema, synthetic: _File) -> tuple[Schema, _File, list[str]]:
    """Let in what only the synthetic table has; return the Schema, the texts as read, and notes."""
    columns, texts, notes = [], {}, []
    for column in schema:
        given = synthetic.texts[column.name].to_numpy(dtype=object)
        texts[column.name], spelled = widen.respelled(column, given)
        with _naming(synthetic, column):
            column, found = widen.widened(
                column, texts[column.name], is_target=column.name == schema.target
            )
        columns.append(column)
        notes += [f"synthetic column {column.name!r}: {note}" for note in (*spelled, *found)]
    schema = replace(schema, columns=tuple(columns))
    return schema, replace(synthetic, texts=pd.DataFrame(texts)), notes


def _canonical(file: _File, schema: Schema) -> pd.DataFrame:
    columns = {}
    for column in schema:
        with _naming(file, column):
            texts = file.texts[column.name].to_numpy(dtype=object)
            columns[column.name] = widen.typed(column, texts)
    return schema.assemble(columns)


@contextlib.contextmanager
def _naming(file: _File, column: Column) -> Iterator[None]:
    """Name the file and the column in what is raised."""
    try:
        yield
    except SchemaError as error:
        raise DatasetError(
            f"{shown(file.path)}: column {column.name!r}: {error}; correct the file"
        ) from error
