"""Cells: the points of the grid, and the keys that identify what each one computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from . import targets
from .canonical import digest
from .contracts import Budget
from .tuning import Tuning

UNTUNED = Tuning()
# What of a dataset's specification decides its rows and their meaning.
SCHEMA_KEYS = ("columns", "target", "task", "sensitive", "source", "identifiers", "public")


@dataclass(frozen=True)
class Cell:
    """One point of the grid: scenario x dataset x generator x budget x seeds, and its evaluators.

    Parameters
    ----------
    scenario, dataset, generator : mapping
        Plain specifications, as their YAML files give them.
    evaluators : mapping of str to mapping
        Specifications by name.
    budget : Budget
        The total privacy budget.
    seeds : mapping of str to int
        One for each of ``seeds.STAGES``.
    label : str
        The generator's name on a board; tells variants of its hyperparameters apart.
    limits : mapping
        ``seconds`` and ``memory_mib`` (None: unlimited) and ``threads`` of the cell's process.
    tuning : Tuning
        How the hyperparameters are chosen.
    stand_in : mapping, optional
        Specification of the public dataset that a search for them reads instead of this one.
    """

    scenario: Mapping[str, Any]
    dataset: Mapping[str, Any]
    generator: Mapping[str, Any]
    evaluators: Mapping[str, Mapping[str, Any]]
    budget: Budget
    seeds: Mapping[str, int]
    label: str
    limits: Mapping[str, Any]
    tuning: Tuning = UNTUNED
    stand_in: Mapping[str, Any] | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What determines the synthetic table, and nothing else."""
        return {
            "scenario": _component(self.scenario),
            "dataset": table_identity(self.dataset) | {"split": self._named_split()},
            "generator": _component(self.generator)
            | {"fit_on": (self.generator.get("about") or {}).get("fit_on") or "train"},
            "budget": asdict(self.budget),
            "seeds": {stage: self.seeds[stage] for stage in ("split", "train", "sample")},
            **({} if self.tuning == UNTUNED else {"tuning": self._tuning()}),
        }

    def _tuning(self) -> dict[str, Any]:
        """Say how hyperparameters are chosen: the rule, and for a search what it may choose."""
        plain = self.tuning.to_dict()
        if self.tuning.search is not None:
            for part in ("evaluators", "guards"):
                specs = getattr(self.tuning.search, part)
                plain["search"][part] = {n: _component(spec) for n, spec in specs.items()}
            plain["search"]["space"] = dict(self.generator.get("search") or {})
        if self.stand_in is not None:
            plain["stand_in_table"] = table_identity(self.stand_in)
        return plain

    def _named_split(self) -> Any:
        return (self.dataset.get("splits") or {}).get(self.scenario.get("split"))

    @property
    def seconds(self) -> float | None:
        """The most wall time that its process may take: for the stages, and for a search."""
        limit, search = self.limits["seconds"], self.tuning.search
        return limit if limit is None or search is None else limit + search.seconds

    @property
    def is_charged(self) -> bool:
        """Whether the trials of a search, and the fit after it, divide the budget."""
        return self.tuning.how == "charged" and self.budget.is_private

    @property
    def handed(self) -> Budget:
        """The budget that the generator is handed: the whole, or that of one charged trial."""
        return self.tuning.handed(self.budget)

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """What determines the metrics, given the synthetic table."""
        components = {name: _component(spec) for name, spec in self.evaluators.items()}
        return {"seed": self.seeds["evaluate"], "evaluators": components}

    @cached_property
    def key(self) -> str:
        """SHA-256 of ``identity``: names the synthetic table."""
        return digest(self.identity)

    @cached_property
    def train_key(self) -> str:
        """SHA-256 of what determines the fitted generator: all but the sampling seed."""
        seeds = {stage: self.seeds[stage] for stage in ("split", "train")}
        return digest(self.identity | {"seeds": seeds})

    @cached_property
    def record_key(self) -> str:
        """SHA-256 of ``identity`` and ``evaluation``: names the record."""
        return record_key(self.key, self.evaluation)

    @property
    def names(self) -> dict[str, str]:
        """How people call the cell's parts; no part of any key."""
        about = self.scenario.get("about") or {}
        return {
            "scenario": about.get("name", self.scenario["_target_"]),
            "dataset": self.dataset["name"],
            "generator": self.label,
        }

    @property
    def reference(self) -> str | None:
        """The role of a reference row: ``copy``, ``ceiling``, ``floor``, or None."""
        return (self.generator.get("about") or {}).get("reference")

    def summary(self) -> dict[str, Any]:
        """Return what a sweep's plan says of the cell and every record begins with."""
        return {
            "key": self.record_key,
            "cell_key": self.key,
            "cell": self.identity,
            "evaluation": self.evaluation,
            "names": self.names,
            "reference": self.reference,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as plain values, for another process."""
        plain = {"budget": asdict(self.budget), "tuning": self.tuning.to_dict()}
        return {**vars_of(self), **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Undo ``to_dict``, also after a way through JSON."""
        budget = dict(values["budget"])
        budget["epsilon"] = float(budget["epsilon"])
        tuning = Tuning.of(values["tuning"])
        return cls(**{**values, "budget": Budget(**budget), "tuning": tuning})


def vars_of(cell: Cell) -> dict[str, Any]:
    """Return the fields of a cell without the keys it has cached."""
    return {name: getattr(cell, name) for name in cell.__dataclass_fields__}


def record_key(cell_key: str, evaluation: Mapping[str, Any]) -> str:
    """Name the record of a cell under an evaluation."""
    return digest({"cell": cell_key, "evaluation": evaluation})


def table_identity(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what determines a dataset's rows and Schema."""
    return {
        "sha256": dataset["pins"]["sha256"],
        "schema_sha256": schema_digest(dataset),
        "rows": dataset.get("rows"),
        "duplicates": dataset.get("duplicates") or "together",
    }


_SCHEMA_DIGESTS: dict[int, tuple[Mapping[str, Any], str]] = {}


def schema_digest(dataset: Mapping[str, Any]) -> str:
    """SHA-256 of what a dataset's specification says about its Schema.

    The cells of a grid share the object, so it is hashed once.
    """
    known = _SCHEMA_DIGESTS.get(id(dataset))
    if known is None or known[0] is not dataset:
        written = in_order(dataset)
        known = dataset, digest({key: written.get(key) for key in SCHEMA_KEYS})
        _SCHEMA_DIGESTS[id(dataset)] = known
    return known[1]


def in_order(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dataset's specification with its columns as pairs, whose order JSON keeps."""
    return {**dataset, "columns": [[name, spec] for name, spec in dataset["columns"].items()]}


def _component(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "target": spec["_target_"],
        "version": targets.version(spec),
        "hyperparameters": targets.arguments(spec),
    }
