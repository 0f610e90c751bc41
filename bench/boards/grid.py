"""Grid: what a leaderboard reads from records, checked, united and put in one order.

A cell may have several records, evaluated by different suites; here their metrics are united. What
was measured by an older version of a metric is left out, because versions do not compare.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..canonical import digest
from ..numbers import is_number
from ..statuses import STATUSES

FAMILIES = ("fidelity", "utility", "privacy", "fairness", "diagnostic", "cost")
SEEDS = ("split", "train", "sample")
AUDIT = "audit"  # the scenario of cells that are runs of an audit, whatever their settings
AUDIT_TARGETS = "syntharena.bench.audit."


@dataclass
class _Cell:
    """One cell while its records are united."""

    key: str
    identity: Mapping[str, Any]
    scenario: str
    dataset: str
    generator: str
    reference: str | None
    status: str = "missing"
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def planned(cls, plan: Mapping[str, Any]) -> _Cell:
        names = {part: str(name) for part, name in plan["names"].items()}
        if plan["cell"]["scenario"].get("target", "").startswith(AUDIT_TARGETS):
            names["scenario"] = AUDIT
        return cls(
            key=plan["cell_key"],
            identity=plan["cell"],
            scenario=names["scenario"],
            dataset=names["dataset"],
            generator=names["generator"],
            reference=plan["reference"],
        )

    def add(self, record: Mapping[str, Any]) -> None:
        """Unite with a record whose key is larger than those of all records before."""
        if record["status"] == "ok" or self.status != "ok":
            self.status, self.reason = record["status"], str(record["reason"])
        if record["status"] != "ok":
            return
        self.privacy = record.get("privacy") or {}
        declared = record["declared"]
        for name, value in record["metrics"].items():
            version = _declaration(declared, name, record["key"])["version"]
            if version >= self.versions.get(name, version):
                self.values[name], self.versions[name] = float(value), version
        for name, reason in record["unavailable"].items():
            self.reasons[name] = str(reason)

    @cached_property
    def budget(self) -> tuple[float, float, str]:
        budget = self.identity["budget"]
        epsilon = float(budget["epsilon"])
        if math.isinf(epsilon):
            return epsilon, 0.0, ""
        return epsilon, float(budget["delta"]), str(budget["neighbours"])

    @property
    def setting(self) -> str:
        return setting_of(self.identity)

    @property
    def noise(self) -> str:
        """How the noise of a private fit was drawn."""
        if not self.privacy.get("ledger") or "floating_point" not in self.privacy:
            return ""
        return "floating point" if self.privacy["floating_point"] else "exact"

    def epsilon(self, of: str) -> float:
        """Return an epsilon of the fit's claim; NaN where there is none."""
        value = self.privacy.get(of)
        return math.nan if value is None or math.isinf(self.budget[0]) else float(value)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        return tuple(int(self.identity["seeds"].get(stage, -1)) for stage in SEEDS)

    @property
    def order(self) -> tuple[Any, ...]:
        epsilon, *rest = self.budget
        names = (self.dataset, self.generator, self.reference or "")
        return (self.scenario, -epsilon, *rest, *names, self.seeds, self.key)


@dataclass(frozen=True)
class Grid:
    """Cells in rows, metrics in columns.

    Parameters
    ----------
    cells : DataFrame
        ``cell_key``, ``scenario``, ``epsilon``, ``delta``, ``neighbours``, ``dataset``,
        ``generator``, ``reference``, ``seed_*``, ``status``, ``reason``; of the generator its
        ``setting`` and its claim: ``spent``, ``claimed``, ``noise``, ``tuning``. In one order.
    metrics : dict of str to mapping
        Declarations, by family, ranked ones first.
    columns : list of str
        The metrics that have one value a cell.
    values : ndarray of float64, shape (cells, columns)
        NaN where there is none.
    reasons : dict of (int, str) to str
        Why the cell in this row has no value of this metric.
    details : list of (int, str, float)
        Row, name and value of metrics that have one value a class or a group.
    pending, outdated : int
        Planned evaluations of finished cells that have no record yet; values left out because a
        newer version of their metric exists.
    """

    cells: pd.DataFrame
    metrics: dict[str, Mapping[str, Any]]
    columns: list[str]
    values: np.ndarray
    reasons: dict[tuple[int, str], str]
    details: list[tuple[int, str, float]]
    pending: int
    outdated: int


def read(
    records: Iterable[Mapping[str, Any]],
    expected: Iterable[Mapping[str, Any]] = (),
    families: Iterable[str] | None = None,
) -> Grid:
    """Check records, unite those of one cell, and add the planned cells that have none.

    Raises
    ------
    ValueError
        If a status or a family is unknown, or a metric is not finite or not declared.
    """
    records = _in_order(records)
    for record in records:
        _check(record)
    united: dict[str, _Cell] = {}
    for record in records:
        if record["cell_key"] not in united:
            united[record["cell_key"]] = _Cell.planned(record)
        united[record["cell_key"]].add(record)
    recorded = {record["key"] for record in records}
    absent = [plan for plan in expected if plan["key"] not in recorded]
    pending = sum(plan["cell_key"] in united for plan in absent)
    for plan in sorted(absent, key=lambda plan: plan["key"]):
        if plan["cell_key"] not in united:
            united[plan["cell_key"]] = _Cell.planned(plan)
    _tell_labels_apart(united.values())
    cells = sorted(united.values(), key=lambda cell: cell.order)
    return _arrange(cells, _newest(records, families), pending)


def _in_order(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort by key; where results of one key were merged from two stores, by content."""
    records = list(records)
    counts = Counter(record["key"] for record in records)

    def order(record: Mapping[str, Any]) -> tuple[str, str]:
        twice = counts[record["key"]] > 1
        return record["key"], json.dumps(record, sort_keys=True, default=str) if twice else ""

    return sorted(records, key=order)


def _check(record: Mapping[str, Any]) -> None:
    if record["status"] not in STATUSES:
        raise ValueError(
            f"status must be one of {', '.join(STATUSES)}, got {record['status']!r} in record "
            f"{record['key']}; run the cell again"
        )
    for name, value in record["metrics"].items():
        if not is_number(value) or not math.isfinite(value):
            raise ValueError(
                f"metrics must be finite numbers, got {name} = {value!r} in record "
                f"{record['key']}; state a reason under 'unavailable' instead"
            )


def _declaration(declared: Mapping[str, Any], name: str, key: str) -> Mapping[str, Any]:
    """Find the declaration of ``name`` or, for ``name[label]``, that of ``name``."""
    found = declared.get(name) or declared.get(name.partition("[")[0])
    if found is None:
        raise ValueError(
            f"every metric must be declared, got {name!r} undeclared in record {key}; "
            "add it to the evaluator's metrics"
        )
    return found


def _column_order(metric: Mapping[str, Any]) -> tuple[bool, bool]:
    return metric.get("baseline", False), not metric["ranked"]


def _newest(
    records: list[Mapping[str, Any]], families: Iterable[str] | None
) -> dict[str, Mapping[str, Any]]:
    """Newest declaration of each metric of these families, in the order of columns."""
    wanted = FAMILIES if families is None else tuple(families)
    if unknown := sorted(set(wanted) - set(FAMILIES)):
        raise ValueError(f"families must be among {', '.join(FAMILIES)}, got {unknown!r}")
    newest: dict[str, Mapping[str, Any]] = {}
    for record in records:
        for name, metric in record["declared"].items():
            if name not in newest or metric["version"] >= newest[name]["version"]:
                newest[name] = metric
    order = {
        name: (FAMILIES.index(metric["family"]), *_column_order(metric), name)
        for name, metric in newest.items()
        if metric["family"] in wanted
    }
    return {name: newest[name] for name in sorted(order, key=order.__getitem__)}


def setting_of(cell: Mapping[str, Any]) -> str:
    """SHA-256 of ``fitted``."""
    return digest(fitted(cell))


def fitted(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was fitted, whatever it is called: a generator, its share of a budget, a search.

    Each of several charged trials is handed as much less.
    """
    tuning = cell.get("tuning", {})
    found = {"search": tuning["search"]} if "search" in tuning else {}
    if found or tuning.get("trials", 1) > 1:
        found["trials"] = tuning["trials"]
    return cell["generator"] | found


def _arrange(cells: list[_Cell], metrics: dict[str, Mapping[str, Any]], pending: int) -> Grid:
    columns = [name for name, metric in metrics.items() if not metric["per"]]
    position = {name: column for column, name in enumerate(columns)}
    values = np.full((len(cells), len(columns)), np.nan)
    reasons, details, outdated = {}, [], 0
    for row, cell in enumerate(cells):
        for name, value in cell.values.items():
            metric = metrics.get(name) or metrics.get(name.partition("[")[0])
            if metric is None:
                continue
            if cell.versions[name] < metric["version"]:
                outdated += 1
                reasons[row, name] = f"measured by version {cell.versions[name]} only"
            elif name in position:
                values[row, position[name]] = value
            else:
                details.append((row, name, value))
        for name, reason in cell.reasons.items():
            if name in position and np.isnan(values[row, position[name]]):
                reasons[row, name] = reason
    frame = _frame(cells)
    return Grid(frame, metrics, columns, values, reasons, sorted(details), pending, outdated)


def _frame(cells: list[_Cell]) -> pd.DataFrame:
    budgets = [cell.budget for cell in cells]
    texts = {
        "cell_key": [cell.key for cell in cells],
        "scenario": [cell.scenario for cell in cells],
        "neighbours": [budget[2] for budget in budgets],
        "dataset": [cell.dataset for cell in cells],
        "generator": [cell.generator for cell in cells],
        "reference": [cell.reference or "" for cell in cells],
        "status": [cell.status for cell in cells],
        "reason": [cell.reason for cell in cells],
        "setting": [cell.setting for cell in cells],
        "noise": [cell.noise for cell in cells],
        "tuning": [str(cell.privacy.get("tuning", "")) for cell in cells],
    }
    numbers = {
        "epsilon": np.array([budget[0] for budget in budgets], dtype=np.float64),
        "delta": np.array([budget[1] for budget in budgets], dtype=np.float64),
        "spent": np.array([cell.epsilon("spent_epsilon") for cell in cells], dtype=np.float64),
        "claimed": np.array([cell.epsilon("claimed_epsilon") for cell in cells], dtype=np.float64),
    }
    seeds = np.array([cell.seeds for cell in cells], dtype=np.int64).reshape(-1, len(SEEDS))
    numbers |= {f"seed_{stage}": seeds[:, place] for place, stage in enumerate(SEEDS)}
    # object, because text may hold what UTF-8 cannot: lone surrogates
    frame = pd.DataFrame({name: pd.Series(text, dtype=object) for name, text in texts.items()})
    return frame.assign(**numbers)


def _tell_labels_apart(cells: Iterable[_Cell]) -> None:
    """Rename what shares a label but is not the same thing: no mean is ever taken over a mixture.

    Hyperparameters may differ between datasets under one label, as tuning leaves them.
    """
    cells = list(cells)
    meant = [cell for cell in cells if cell.scenario != AUDIT]
    _tell_apart(meant, "scenario", _part("scenario"), _digest, lambda cell: None)
    _tell_apart(meant, "dataset", _rows, str, lambda cell: cell.scenario)
    _tell_apart(meant, "dataset", _part("dataset"), _digest, lambda cell: cell.scenario)
    _tell_apart(cells, "generator", _version, str, lambda cell: cell.scenario)
    _tell_apart(
        cells,
        "generator",
        lambda cell: fitted(cell.identity),
        _digest,
        lambda cell: (cell.scenario, cell.dataset, cell.budget, cell.seeds),
    )


def _tell_apart(
    cells: list[_Cell],
    label: str,
    thing: Callable[[_Cell], Any],
    describe: Callable[[Any], str],
    scope: Callable[[_Cell], Any],
) -> None:
    """Append a description to a label that stands for several things within one scope."""
    first: dict[Any, Any] = {}
    ambiguous = set()
    for cell in cells:
        name, what = getattr(cell, label), thing(cell)
        if first.setdefault((name, scope(cell)), what) != what:
            ambiguous.add(name)
    for cell in cells:
        name = getattr(cell, label)
        if name in ambiguous:
            setattr(cell, label, f"{name} {describe(thing(cell))}")


def _part(name: str) -> Callable[[_Cell], Any]:
    return lambda cell: cell.identity[name]


def _rows(cell: _Cell) -> str:
    rows = cell.identity["dataset"].get("rows")
    return "(all rows)" if rows is None else f"({rows} rows)"


def _version(cell: _Cell) -> str:
    return f"v{cell.identity['generator'].get('version')}"


def _digest(value: Any) -> str:
    return "#" + hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]
