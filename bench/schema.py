"""Schema: what is public about a table, and the one canonical form that every table takes.

A generator meets only two sorts of column: *discrete* ones (``categorical``, ``boolean``), seen as
integer codes, and *numeric* ones (``continuous``, ``integer``, ``datetime``), seen as float64.
``Column.codes`` / ``Column.numbers`` give those views and ``Column.from_codes`` /
``Column.from_numbers`` lead back, with rounding and public bounds applied, so that no generator
needs code of its own for dates, whole numbers or missing values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

Kind = Literal["continuous", "integer", "categorical", "boolean", "datetime"]
Task = Literal["binary", "multiclass", "regression"]
BOOLEAN_CATEGORIES = ("False", "True")
MAX_PROBLEMS = 5  # problems spelled out in one message; more would hide the first


class SchemaError(ValueError):
    """A Schema, or a table under it, breaks a stated rule."""


@dataclass(frozen=True)
class Column:
    """What is public about one column.

    Parameters
    ----------
    name : str
        Column name, any text.
    kind : {"continuous", "integer", "categorical", "boolean", "datetime"}
        ``categorical`` and ``boolean`` are discrete, the others numeric.
    categories : tuple of str
        Public values of a discrete column, in order; two fixed ones for ``boolean``.
    ordered : bool
        Whether the order of ``categories`` has a meaning.
    minimum, maximum : float or str, optional
        Public bounds (inclusive); ISO dates for ``datetime``.
    decimals : int, optional
        Digits after the point of a continuous column; None where it is not rounded.
    missing : bool
        Whether values may be missing.
    missing_values : tuple of str
        Texts that stand for a missing value in the file, besides the empty field.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    ordered: bool = False
    minimum: float | str | None = None
    maximum: float | str | None = None
    decimals: int | None = None
    missing: bool = False
    missing_values: tuple[str, ...] = ()
    lower: float = field(init=False, repr=False, compare=False)
    upper: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SchemaError(
                f"column {self.name!r}: kind must be one of {', '.join(get_args(Kind))}, "
                f"got {self.kind!r}"
            )
        if self.kind == "boolean":
            object.__setattr__(self, "categories", BOOLEAN_CATEGORIES)
        if self.is_discrete:
            self._check_categories()
        object.__setattr__(self, "lower", self._bound(self.minimum, -math.inf))
        object.__setattr__(self, "upper", self._bound(self.maximum, math.inf))
        if self.lower > self.upper:
            raise SchemaError(
                f"column {self.name!r}: minimum must not exceed maximum, "
                f"got {self.minimum!r} > {self.maximum!r}"
            )

    def _check_categories(self) -> None:
        if not all(isinstance(category, str) for category in self.categories):
            raise SchemaError(f"column {self.name!r}: categories must be texts; quote them")
        if len(set(self.categories)) != len(self.categories):
            raise SchemaError(f"column {self.name!r}: categories must be unique")
        if not self.categories and not self.missing:
            raise SchemaError(f"column {self.name!r}: a discrete column needs categories")

    def _bound(self, value: float | str | None, default: float) -> float:
        if value is None:
            return default
        if self.kind == "datetime":
            return pd.Timestamp(value).timestamp()
        return float(value)

    @property
    def is_discrete(self) -> bool:
        """Whether the column is seen as codes rather than numbers."""
        return self.kind in ("categorical", "boolean")

    @property
    def is_bounded(self) -> bool:
        """Whether the public domain is finite: categories, or both bounds."""
        return self.is_discrete or (math.isfinite(self.lower) and math.isfinite(self.upper))

    @cached_property
    def dtype(self) -> Any:
        """The canonical pandas dtype; whole numbers that may be missing are float64."""
        if self.is_discrete:
            # object, because a text dtype backed by Arrow would start threads before a fork
            return pd.CategoricalDtype(pd.Index(self.categories, dtype=object), self.ordered)
        if self.kind == "datetime":
            return np.dtype("datetime64[s]")
        return np.dtype("int64" if self.kind == "integer" and not self.missing else "float64")

    def codes(self, series: pd.Series) -> np.ndarray:
        """Codes of a discrete column.

        Returns
        -------
        ndarray of int64, shape (n,)
            Positions in ``categories``; -1 where the value is missing.
        """
        return series.cat.codes.to_numpy(dtype=np.int64)

    def numbers(self, series: pd.Series) -> np.ndarray:
        """Numbers of a numeric column.

        Returns
        -------
        ndarray of float64, shape (n,)
            Dates are seconds since 1970; NaN where the value is missing.
        """
        if self.kind == "datetime":
            seconds = series.to_numpy("datetime64[s]").astype(np.int64).astype(np.float64)
            return np.where(series.isna(), np.nan, seconds)
        return series.to_numpy(dtype=np.float64)

    def from_codes(self, codes: np.ndarray) -> pd.Series:
        """Turn codes (-1: missing) into a canonical discrete column."""
        return pd.Series(pd.Categorical.from_codes(codes, dtype=self.dtype), name=self.name)

    def from_numbers(self, numbers: np.ndarray) -> pd.Series:
        """Turn float64 numbers (NaN: missing) into a canonical numeric column.

        Values are rounded as ``kind`` and ``decimals`` say, then clipped to the public bounds.
        """
        numbers = np.asarray(numbers, dtype=np.float64)
        if self.kind != "continuous":
            numbers = np.rint(numbers)
        elif self.decimals is not None:
            numbers = np.round(numbers, self.decimals)
        numbers = np.clip(numbers, self.lower, self.upper)
        if self.kind == "datetime":
            known = ~np.isnan(numbers)
            stamps = np.full(len(numbers), np.datetime64("NaT", "s"))
            stamps[known] = numbers[known].astype(np.int64).astype("datetime64[s]")
            return pd.Series(stamps, name=self.name)
        return pd.Series(numbers.astype(self.dtype), name=self.name)

    def problem(self, series: pd.Series) -> str | None:
        """Say what breaks the Schema in this column of a table, or None."""
        absent = int(series.isna().sum())
        if absent and not self.missing:
            return f"{absent} missing values where the Schema allows none"
        if self.is_discrete:
            return self._discrete_problem(series)
        return self._numeric_problem(series)

    def has_codes(self, series: pd.Series) -> bool:
        """Whether the codes of a series are positions in ``categories``.

        Unordered dtypes are equal whatever the order of their categories; codes are not.
        """
        return series.dtype == self.dtype and series.cat.categories.equals(self.dtype.categories)

    def _discrete_problem(self, series: pd.Series) -> str | None:
        if self.has_codes(series):
            return None
        values = series.dropna().unique()
        unseen = sorted({str(value) for value in values} - set(self.categories))
        if unseen:
            return f"categories outside the Schema: {_some(unseen)}"
        return None

    def _numeric_problem(self, series: pd.Series) -> str | None:
        if self.kind == "datetime":
            if series.dtype.kind != "M":
                return f"dtype must be datetime64, got {series.dtype}"
        elif not pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
            return f"dtype must be numeric, got {series.dtype}"
        numbers = self.numbers(series)
        numbers = numbers[~np.isnan(numbers)]
        if np.isinf(numbers).any():
            return f"{int(np.isinf(numbers).sum())} infinite values"
        if self.kind == "integer" and (numbers != np.rint(numbers)).any():
            return f"whole numbers expected, got {_some(numbers[numbers != np.rint(numbers)])}"
        outside = numbers[(numbers < self.lower) | (numbers > self.upper)]
        if len(outside):
            return f"values outside [{self.minimum}, {self.maximum}]: {_some(outside)}"
        return None

    def canonical(self, series: pd.Series) -> pd.Series:
        """Cast a column without a ``problem`` to the canonical dtype; its values stay."""
        if self.is_discrete:
            if self.has_codes(series):
                return series
            texts = series.map(str, na_action="ignore").astype(object)
            return pd.Series(pd.Categorical(texts, dtype=self.dtype), name=self.name)
        if self.kind == "datetime":
            return series.astype("datetime64[s]")
        return pd.Series(series.to_numpy(dtype=np.float64).astype(self.dtype), name=self.name)


def by_name(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Put columns in the order of their names, so that nothing depends on that of the table."""
    return tuple(sorted(columns, key=lambda column: column.name))


@dataclass(frozen=True)
class Schema:
    """Columns of a table with their roles.

    Parameters
    ----------
    columns : tuple of Column
        In table order.
    target : str, optional
        Column that downstream models predict.
    task : {"binary", "multiclass", "regression"}, optional
        What predicting ``target`` is.
    sensitive : tuple of str
        Columns whose groups fairness metrics compare.
    source : str, optional
        Column that says where a row came from (site, region).
    public : bool
        False for a Schema guessed from private rows: such a Schema gives no privacy guarantee, so
        generators refuse a finite epsilon under it.

    Raises
    ------
    SchemaError
        If a name is used twice, a role names no column, or target and task do not fit.
    """

    columns: tuple[Column, ...]
    target: str | None = None
    task: Task | None = None
    sensitive: tuple[str, ...] = ()
    source: str | None = None
    public: bool = True

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise SchemaError(f"column names must be unique, got twice: {_some(twice)}")
        roles = {"target": self.target, "source": self.source}
        roles |= {f"sensitive[{i}]": name for i, name in enumerate(self.sensitive)}
        for role, name in roles.items():
            if name is not None and name not in names:
                raise SchemaError(f"{role} must be one of the columns, got {name!r}")
        if (self.target is None) != (self.task is None):
            raise SchemaError(
                f"target and task go together, got target={self.target!r}, task={self.task!r}"
            )
        if self.target is not None:
            self._check_task()

    def _check_task(self) -> None:
        target = self[self.target or ""]
        if self.task not in get_args(Task):
            raise SchemaError(f"task must be one of {', '.join(get_args(Task))}, got {self.task!r}")
        if (self.task == "regression") == target.is_discrete:
            raise SchemaError(f"task {self.task!r} does not fit a target of kind {target.kind!r}")
        if self.task == "binary" and len(target.categories) != 2:
            raise SchemaError(
                f"a binary target has two categories, {target.name!r} has {len(target.categories)}"
            )

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"no column {name!r}; columns are {_some(self.names)}")

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> list[str]:
        """Column names in table order."""
        return [column.name for column in self.columns]

    @property
    def features(self) -> tuple[Column, ...]:
        """All columns but the target."""
        return tuple(column for column in self.columns if column.name != self.target)

    def problems(self, table: pd.DataFrame, rows: int | None = None) -> list[str]:
        """Say everything in which ``table`` breaks the Schema.

        Parameters
        ----------
        table : DataFrame
            Any object; what is no DataFrame is a problem too.
        rows : int, optional
            The number of rows it must have.

        Returns
        -------
        list of str
            Empty when the table may be used.
        """
        if not isinstance(table, pd.DataFrame):
            return [f"a pandas DataFrame is expected, got {type(table).__name__}"]
        found = []
        if missing := [name for name in self.names if name not in table.columns]:
            found.append(f"columns are missing: {_some(missing)}")
        if extra := [str(name) for name in table.columns if name not in self.names]:
            found.append(f"columns are not in the Schema: {_some(extra)}")
        if not table.columns.is_unique:
            found.append("column names repeat")
        if rows is not None and len(table) != rows:
            found.append(f"{rows} rows were asked for, got {len(table)}")
        if not table.index.is_unique:
            found.append("the index repeats; call reset_index(drop=True)")
        if found:
            return found
        for column in self.columns:
            if problem := column.problem(table[column.name]):
                found.append(f"column {column.name!r}: {problem}")
        return found

    def conform(self, table: pd.DataFrame, rows: int | None = None) -> pd.DataFrame:
        """Return ``table`` in canonical form: Schema order, canonical dtypes, a fresh index.

        Raises
        ------
        SchemaError
            If the table breaks the Schema; the message lists how.
        """
        if problems := self.problems(table, rows):
            more = f"; and {len(problems) - MAX_PROBLEMS} more" * (len(problems) > MAX_PROBLEMS)
            raise SchemaError("; ".join(problems[:MAX_PROBLEMS]) + more)
        plain = table.reset_index(drop=True)
        return pd.DataFrame({column.name: column.canonical(plain[column.name]) for column in self})

    def assemble(self, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
        """Put canonical columns of equal length together in Schema order."""
        return pd.DataFrame({name: columns[name] for name in self.names})

    def digest(self, table: pd.DataFrame) -> str:
        """SHA-256 (hex) of a canonical table's content: names, kinds and values in row order.

        It does not depend on a file format or a library version.
        """
        sha = hashlib.sha256(str(len(table)).encode())
        for column in self.columns:
            series = table[column.name]
            values = column.codes(series) if column.is_discrete else column.numbers(series)
            sha.update(repr((column.name, column.kind, column.categories)).encode())
            sha.update((values + 0).astype(values.dtype.newbyteorder("<")).tobytes())  # -0.0 is 0.0
        return sha.hexdigest()


def _some(values: Any) -> str:
    """Show the first few values, each as code would write it."""
    shown = [repr(value.item() if hasattr(value, "item") else value) for value in values[:3]]
    return ", ".join(shown) + (f" and {len(values) - 3} more" if len(values) > 3 else "")
