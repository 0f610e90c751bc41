"""Shared pieces: a small dataset of its own, cells over it, and records without running any."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from wheels import write_wheels

from syntharena.bench.cells import Cell
from syntharena.bench.contracts import Budget
from syntharena.bench.foreign import servers
from syntharena.bench.foreign.spec import resolve
from syntharena.bench.running.pool import Workplace
from syntharena.bench.store import Store

# Before a library with OpenMP is loaded: a process that has started its threads must not fork, and
# tests fork cells.
os.environ["OMP_NUM_THREADS"] = "1"

# No example fails because the machine is busy.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

SUITE = {"shape": {"_target_": "syntharena.evaluators.shape.Shape", "about": {"version": 1}}}
RELEASE = {
    "_target_": "syntharena.bench.release.Release",
    "fractions": {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15},
    "split": "random",
    "duplicates": None,
    "about": {"name": "release", "version": 1},
}
SUPPORT = Path(__file__).parent / "support"
INDEPENDENT = {
    "_target_": "syntharena.generators.independent.Independent",
    "about": {"name": "independent", "version": 1, "reference": "floor"},
}


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> dict:
    """Return the specification of a dataset of 400 rows in a file of its own."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=400).round(3)
    city = rng.choice(["Bonn", "Oslo", "Rome"], size=400)
    label = np.where(x + (city == "Oslo") + rng.normal(size=400) > 0.4, "yes", "no")
    lines = ["x,visits,city,label"]
    lines += [
        f"{a},{b},{c},{d}"
        for a, b, c, d in zip(x, rng.integers(0, 9, 400), city, label, strict=True)
    ]
    content = ("\n".join(lines) + "\n").encode()
    path: Path = tmp_path_factory.mktemp("toy") / "toy.csv"
    path.write_bytes(content)
    return {
        "name": "toy",
        "summary": "A toy.",
        "path": str(path),
        "rows": None,
        "target": "label",
        "task": "binary",
        "sensitive": ["city"],
        "source": None,
        "identifiers": [],
        "public": True,
        "pins": {"rows": 400, "columns": 4, "sha256": hashlib.sha256(content).hexdigest()},
        "splits": {},
        "columns": {
            "x": {"kind": "continuous", "minimum": -6, "maximum": 6, "decimals": 3},
            "visits": {"kind": "integer", "minimum": 0, "maximum": 9},
            "city": {"kind": "categorical", "categories": ["Bonn", "Oslo", "Rome"]},
            "label": {"kind": "categorical", "categories": ["no", "yes"]},
        },
    }


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Return a folder of wheels."""
    return write_wheels(tmp_path_factory.getbasetemp() / "wheels")


@pytest.fixture
def foreign_cache(tmp_path_factory, wheels, monkeypatch):
    """Return a cache for environments, which are made from wheels of the tests, without a network.

    All tests share it, those that run side by side as well.
    """
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "foreign"


@pytest.fixture
def abroad(foreign_cache):
    """Return a function that makes a specification run in an environment, a server of it at hand."""

    def make(spec):
        spec = resolve({**spec, "environment": {"requirements": ["waterlily==1.2"]}})
        servers.start(servers.prepare([spec], foreign_cache))
        return spec

    return make


@pytest.fixture
def make_cell(toy):
    """Return a function that builds a cell over the toy dataset."""

    def make(generator=INDEPENDENT, *, seed=0, budget=None, evaluators=SUITE, limits=(), **fields):
        seeds = dict.fromkeys(("split", "train", "sample", "evaluate"), seed)
        seeds |= fields.pop("seeds", {})
        return Cell(
            scenario=fields.pop("scenario", RELEASE),
            dataset=fields.pop("dataset", toy),
            generator=generator,
            evaluators=evaluators,
            budget=budget or Budget(),
            seeds=seeds,
            label=fields.pop("label", (generator.get("about") or {}).get("name", "mine")),
            limits={"seconds": 60.0, "memory_mib": None, "threads": 1, **dict(limits)},
            **fields,
        )

    return make


@pytest.fixture
def make_record(make_cell):
    """Return a function that makes the record of a cell without running it."""

    def make(cell=None, *, status="ok", metrics=None, **fields):
        cell = cell or make_cell()
        declared = {
            "shape_score": {
                "name": "shape_score",
                "family": "fidelity",
                "direction": "higher",
                "best": 1.0,
                "worst": 0.0,
                "unit": "",
                "ranked": True,
                "per": "",
                "definition": "",
                "version": 1,
                "evaluator": "shape",
            }
        }
        return {
            **cell.summary(),
            "status": status,
            "reason": "" if status == "ok" else "because",
            "stage": "evaluate",
            "synthetic": None,
            "privacy": None,
            "metrics": {"shape_score": 0.5} if metrics is None else metrics,
            "unavailable": {},
            "declared": declared,
            "cost": {"fit_seconds": 0.25},
            "environment": {"threads": 1, "git": None, "cpu": "x", "packages": {}},
            "started": 1_700_000_000.0,
            "seconds": 1.5,
            **fields,
        }

    return make


@pytest.fixture
def store(tmp_path) -> Store:
    """Return an empty Store."""
    return Store(tmp_path / "runs")


@pytest.fixture
def place(store, tmp_path) -> Workplace:
    """Return the folders of a sweep into the empty Store."""
    return Workplace(store.root, None, tmp_path / "cache")


@pytest.fixture
def generators_can_be_imported(monkeypatch) -> None:
    """Let the pool's processes import what a user's PYTHONPATH holds."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
