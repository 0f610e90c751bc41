"""Score: the evaluators' numbers for a table that came from anywhere, with no generator.

Beside the table stand two others that went the same way: real rows that nobody trained on, which
no synthetic table needs to beat, and the columns of train drawn each on its own, which every
synthetic table should beat. Evaluators run in this very process, one after the other.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from .. import canonical, targets
from ..answers import OUTCOME, ask, metric_of
from ..content import halves, keys, row_hashes
from ..contracts import Picture, Tables
from ..schema import Column, Schema
from ..seeds import stream
from . import jackknife
from .tables import Given
from .verdict import INDEPENDENT, REAL_HOLDOUT, Outcome, verdict

BASELINES = {
    REAL_HOLDOUT: "half of the reference rows, real and never trained on, in place of synthetic "
    "ones; the other half remains the reference",
    INDEPENDENT: "the columns of train, each shuffled on its own, in place of synthetic rows",
}
FAMILIES = ("privacy", "fidelity", "utility", "fairness", "diagnostic")  # in the order of a report

Say = Callable[[str], None]


@dataclass
class Score:
    """What was measured.

    Parameters
    ----------
    given : Given
        The tables and their Schema.
    seed : int
        From which every random stream was derived.
    evaluators : dict of str to mapping
        Specification of each evaluator by name.
    rows : dict of str to int
        Rows of each table as evaluators were handed it.
    outcome : dict
        ``metrics``, ``intervals``, ``unavailable`` and ``declared``, as in a record.
    baselines : dict of str to dict
        ``rows`` that stood for the synthetic ones, ``metrics``, ``intervals`` and ``unavailable``.
    jackknifed : list of str
        Keys whose interval is the jackknife's and not the evaluator's own.
    warnings : list of str
        What its reader has to know.
    pictures : dict of str to list of Picture
        What each evaluator shows of the table.
    """

    given: Given
    seed: int
    evaluators: dict[str, Mapping[str, Any]]
    rows: dict[str, int]
    outcome: Outcome = field(default_factory=dict)
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)
    jackknifed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)

    def by_family(self) -> dict[str, list[str]]:
        """Return the metrics that have a value, as they are declared, for each family."""
        known = {metric_of(key) for key in self.outcome["metrics"]}
        found: dict[str, list[str]] = {family: [] for family in FAMILIES}
        for name, metric in self.outcome["declared"].items():
            if name in known:
                found.setdefault(metric["family"], []).append(name)
        return {family: names for family, names in found.items() if names}

    def by_reason(self) -> dict[str, list[str]]:
        """Return the keys that have no value, for each reason."""
        found: dict[str, list[str]] = {}
        for key, reason in self.outcome["unavailable"].items():
            found.setdefault(reason, []).append(key)
        return found


def score(
    given: Given,
    evaluators: Mapping[str, Mapping[str, Any]],
    *,
    seed: int = 0,
    baselines: bool = True,
    interval_seconds: float,
    pictures: bool = False,
    say: Say = lambda text: None,
) -> Score:
    """Ask every evaluator about the table, about the baselines, and ten times more for intervals.

    Parameters
    ----------
    given : Given
        The tables.
    evaluators : mapping of str to mapping
        Specifications by name; those that declare nothing but cost are left out.
    seed : int
        At least 0.
    baselines : bool
        Whether the two other tables are scored too.
    interval_seconds : float
        Evaluators that took more CPU time get no jackknife interval; 0 for none at all.
    pictures : bool
        Whether evaluators are asked for pictures.
    say : callable
        Told one line about each step.

    Raises
    ------
    TargetError
        If an evaluator cannot be built.
    """
    built = {name: targets.build(spec, ("evaluate",)) for name, spec in evaluators.items()}
    built = {name: e for name, e in built.items() if {m.family for m in e.metrics} != {"cost"}}
    for name in built:
        if not targets.is_foreign(evaluators[name]):
            for module in (evaluators[name].get("about") or {}).get("preload") or ():
                importlib.import_module(module)  # not on the first evaluator's time
    tables, warnings = _tables(given, seed)
    result = Score(
        given,
        seed,
        {name: evaluators[name] for name in built},
        {side: len(getattr(tables, side)) for side in jackknife.SIDES},
        warnings=[*given.warnings, *warnings],
    )
    asker = _Asker(built, given.schema, seed, say)
    result.outcome = asker.ask("your table", tables)
    if pictures:
        _add_pictures(result, tables, asker)
    for name, other in _baselines(tables, given.schema, seed) if baselines else ():
        if other.synthetic.empty:
            result.warnings.append(f"no baseline {name}: there are too few real rows")
            continue
        found = asker.ask(name.replace("_", " "), other)
        found.pop("declared")
        result.baselines[name] = {"rows": len(other.synthetic), **found}
    if interval_seconds > 0:
        _add_intervals(result, tables, asker, interval_seconds)
    return result


def to_json(result: Score) -> str:
    """Write a score as canonical JSON: equal inputs give equal texts."""
    given, schema = result.given, result.given.schema
    columns = {column.name: _described(column) for column in schema}
    roles = {"target": schema.target, "task": schema.task, "sensitive": schema.sensitive}
    content = {
        "tool": "syntharena score",
        "version": metadata.version("syntharena"),
        "seed": result.seed,
        "evaluators": {
            name: {"version": targets.version(spec), "arguments": targets.arguments(spec)}
            for name, spec in result.evaluators.items()
        },
        "tables": {
            side: {"scored_rows": rows, **given.files.get(side, {})}
            for side, rows in result.rows.items()
        },
        "schema": {"origin": given.origin, **roles, "columns": columns},
        **{kind: result.outcome[kind] for kind in OUTCOME},
        "jackknifed": sorted(result.jackknifed),
        "baselines": result.baselines,
        "verdict": [asdict(line) for line in verdict(result.outcome, result.baselines)],
        "warnings": result.warnings,
    }
    return canonical.dumps(content, indent=1) + "\n"


def _described(column: Column) -> dict[str, Any]:
    """Return what a column states, as a dataset's YAML would."""
    stated = {key: value for key, value in asdict(column).items() if value}
    return {key: stated[key] for key in stated if key not in ("name", "lower", "upper")}


# Tables


def _tables(given: Given, seed: int) -> tuple[Tables, list[str]]:
    """Complete the tables with a reference; return them, and what was done."""
    train, holdout, synthetic = (given.tables[k] for k in ("train", "holdout", "synthetic"))
    if "reference" in given.tables:
        return Tables(train, holdout, given.tables["reference"], synthetic), []
    hashes = row_hashes(holdout, given.schema)
    parts = halves(keys(hashes, stream(seed, "score", "reference")))
    stays, leaves = (_rows(holdout, part) for part in parts)
    return Tables(train, stays, leaves, synthetic), [
        f"no reference rows were given, so {len(leaves)} of the {len(holdout)} holdout rows became "
        "the attackers' reference; --reference FILE leaves holdout whole"
    ]


def _rows(table: pd.DataFrame, positions: np.ndarray) -> pd.DataFrame:
    return table.iloc[positions].reset_index(drop=True)


def _baselines(tables: Tables, schema: Schema, seed: int) -> Iterator[tuple[str, Tables]]:
    """Yield the tables in which other rows stand for the synthetic ones."""
    hashes = row_hashes(tables.reference, schema)
    parts = halves(keys(hashes, stream(seed, "score", REAL_HOLDOUT)))
    stays, stands_in = (_rows(tables.reference, part) for part in parts)
    yield REAL_HOLDOUT, replace(tables, reference=stays, synthetic=stands_in, _shared={})
    shuffled = {c.name: _shuffled(c, tables.train[c.name], seed) for c in schema}
    yield INDEPENDENT, replace(tables, synthetic=schema.assemble(shuffled), _shared={})


def _shuffled(column: Column, series: pd.Series, seed: int) -> pd.Series:
    """Shuffle a column; the order of rows and of columns does not matter."""
    values = column.codes(series) if column.is_discrete else column.numbers(series)
    rng = stream(seed, "score", INDEPENDENT, column.name)
    order = values.argsort(kind="stable")[rng.permutation(len(values))]
    return series.iloc[order].reset_index(drop=True)


# Asking


@dataclass
class _Asker:
    """Asks evaluators about one set of tables after the other.

    ``cpu_seconds`` holds what each one took the last time: CPU time, because a busy machine should
    not change which values get an interval.
    """

    evaluators: Mapping[str, Any]
    schema: Schema
    seed: int
    say: Say
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def ask(self, title: str, tables: Tables, names: Sequence[str] | None = None) -> Outcome:
        """Return what the evaluators say, all or ``names`` of them."""
        outcome: Outcome = {kind: {} for kind in OUTCOME}
        started = time.perf_counter()
        for name in self.evaluators if names is None else names:
            wall, cpu = time.perf_counter(), time.process_time()
            part = ask(name, self.evaluators[name], tables, self.schema, self.seed)
            self.cpu_seconds[name] = time.process_time() - cpu
            if names is None:
                self.say(f"{title}: {name} {time.perf_counter() - wall:.1f} s")
            for kind, values in part.items():
                outcome[kind].update(values)
        self.say(f"{title}: {time.perf_counter() - started:.1f} s")
        return outcome


def _add_pictures(result: Score, tables: Tables, asker: _Asker) -> None:
    """Ask for pictures; an evaluator that fails costs its own only."""
    for name, evaluator in asker.evaluators.items():
        if not hasattr(evaluator, "pictures"):
            continue
        rng = stream(result.seed, "pictures", name)
        try:
            found = list(evaluator.pictures(tables, schema=asker.schema, rng=rng))
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            result.warnings.append(f"no pictures of {name}: the evaluator raised {problem}")
        else:
            result.pictures[name] = found


def _add_intervals(result: Score, tables: Tables, asker: _Asker, limit: float) -> None:
    """Give the values that have no interval the jackknife's, where that is affordable."""
    metrics, known = result.outcome["metrics"], result.outcome["intervals"]
    wanting: dict[str, dict[str, float]] = {}
    for key in metrics.keys() - known.keys():
        name = result.outcome["declared"][metric_of(key)]["evaluator"]
        wanting.setdefault(name, {})[key] = metrics[key]
    slow = [name for name, took in asker.cpu_seconds.items() if name in wanting and took > limit]
    if slow:
        result.warnings.append(
            f"no jackknife intervals of {', '.join(slow)}: slower than {limit:g} CPU s; "
            "--interval-seconds raises the limit"
        )
    names = [name for name in asker.evaluators if name in wanting and name not in slow]
    if not names:
        return
    without = [
        asker.ask(f"intervals {number}/{jackknife.GROUPS}", part, names)["metrics"]
        for number, part in enumerate(jackknife.reduced(tables, asker.schema, result.seed), 1)
    ]
    for name in names:
        found = jackknife.intervals(asker.evaluators[name].metrics, wanting[name], without)
        known.update(found)
        result.jackknifed += found
