"""Verify: execute the cell of a record again and compare what comes out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..answers import metric_of
from ..cells import Cell, schema_digest
from ..contracts import Budget
from ..foreign import servers
from ..foreign.spec import resolve
from ..plan import specifications
from ..seeds import STAGES
from ..store import Store
from ..tuning import Tuning
from .worker import Worker

TOLERANCE = 1e-6  # of a metric, where instruction sets or versions differ


@dataclass(frozen=True)
class Verdict:
    """What executing a cell again showed.

    ``status`` is "identical", "within tolerance" (on other software or hardware than the record's,
    or alone where the record's fit was one of a batch) or "different"; ``differences`` names
    everything that differs.
    """

    key: str
    status: str
    differences: tuple[str, ...]


def cell_of(record: Mapping[str, Any], store: Store) -> Cell:
    """Build the cell that a record describes.

    Raises
    ------
    ValueError
        If the Store lacks the dataset's specification, or the code has another version.
    """
    identity = record["cell"]
    dataset = store.dataset(identity["dataset"])
    if dataset is None or schema_digest(dataset) != identity["dataset"]["schema_sha256"]:
        raise ValueError(
            f"the specification of dataset {record['names']['dataset']!r} is not in the Store; "
            "verify records in the folder that the sweep wrote"
        )
    about = {"name": record["names"]["generator"], "reference": record["reference"]}
    generator = _spec(identity["generator"], about | {"fit_on": identity["generator"]["fit_on"]})
    if (space := identity.get("tuning", {}).get("search", {}).get("space")) is not None:
        generator["search"] = space
    budget = {**identity["budget"], "epsilon": float(identity["budget"]["epsilon"])}
    return Cell(
        scenario=_spec(identity["scenario"], {"name": record["names"]["scenario"]}),
        dataset={**dataset, "rows": identity["dataset"]["rows"]},
        generator=generator,
        evaluators={
            name: _spec(component, {})
            for name, component in record["evaluation"]["evaluators"].items()
        },
        budget=Budget(**budget),
        seeds={**identity["seeds"], STAGES[-1]: record["evaluation"]["seed"]},
        label=record["names"]["generator"],
        **_searched(identity, store),
        limits={
            "seconds": None,
            "memory_mib": None,
            "threads": record["environment"]["threads"],
        },
    )


def _searched(identity: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """Return what a record says of how hyperparameters are chosen, as fields of its cell."""
    plain = dict(identity.get("tuning", {}))
    table = plain.pop("stand_in_table", None)
    if (search := plain.get("search")) is not None:
        rule = {key: value for key, value in search.items() if key != "space"}
        for part in ("evaluators", "guards"):
            rule[part] = {name: _spec(known, {}) for name, known in search[part].items()}
        plain["search"] = rule
    return {"tuning": Tuning.of(plain), "stand_in": table and store.dataset(table)}


def _spec(component: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    declared = component["version"]
    version = None if str(declared).startswith("source:") else declared
    return {
        "_target_": component["target"],
        "about": {**about, "version": version},
        **component["hyperparameters"],
        **_environment(component),
    }


def _environment(component: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment that a record wants; a project is taken as it lies there now."""
    if (wanted := component.get("environment")) is None:
        return {}
    said = {name: value for name, value in wanted.items() if name != "sources"}
    return resolve({"environment": said})


def verify(
    record: Mapping[str, Any], store: Store, data_dir: Path | None, cache_dir: Path
) -> Verdict:
    """Execute a record's cell in a fresh Store and compare the table's hash and every metric.

    A search is not run again: its choice is taken from the record, as from a search that has ended.

    Raises
    ------
    ValueError
        If the cell cannot be executed here, e.g. because its table is not on this machine.
    """
    cell = cell_of(record, store)
    servers.start(servers.prepare(specifications([cell]), cache_dir))
    if cell.record_key != record["key"]:
        return Verdict(record["key"], "different", ("the code under these names has changed",))
    with tempfile.TemporaryDirectory() as folder:
        fresh = Store(folder)
        if (study := record.get("tuning")) is not None:
            fresh.put_study(cell.train_key, study)
        again = Worker(fresh, data_dir, cache_dir).run(cell)
    assert again is not None  # nobody can have stopped it
    if again["stage"] == "load" != record["stage"]:
        raise ValueError(again["reason"])
    return compare(record, again)


def compare(record: Mapping[str, Any], again: Mapping[str, Any]) -> Verdict:
    """Compare two records of one cell; measured costs are no part of it."""
    found = [
        f"{name}: {record.get(name)!r} became {again.get(name)!r}"
        for name in ("status", "reason", "synthetic", "audit")
        if record.get(name) != again.get(name)
    ]
    worst = 0.0
    before, after = _comparable(record), _comparable(again)
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            found.append(f"{name}: {old!r} became {new!r}")
            worst = max(worst, float("inf") if None in (old, new) else abs(old - new))  # type: ignore[operator]
    if not found:
        return Verdict(record["key"], "identical", ())
    moved = record["environment"] != again["environment"]
    if (count := record.get("together")) is not None:  # sums in another order, as elsewhere
        moved = True
        found.append(f"together: its generator was fitted in a batch of {count}, and here alone")
    close = moved and record["status"] == again["status"] and worst <= TOLERANCE
    return Verdict(record["key"], "within tolerance" if close else "different", tuple(found))


def _comparable(record: Mapping[str, Any]) -> dict[str, float]:
    declared = record["declared"]
    return {
        key: value
        for key, value in record["metrics"].items()
        if declared[metric_of(key)]["family"] != "cost"
    }
