"""The scenarios that audit a private generator: by many fits, or by one fit with many canaries.

A cell of ``Audit`` fits the generator again and again in two neighbouring worlds and keeps what an
attacker sees of each run. Its seed numbers the block, so an audit is spread over cells, workers and
machines as any other grid is, and ``conclusions`` joins the blocks. A cell of ``AuditOnce`` fits it
once, for generators that take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..answers import sort_values
from ..contracts import Budget, Metric
from ..running.stages import CellEnd, Stages
from ..seeds import stream
from . import one_run, pairs
from .conclusions import conclude, conclude_guesses
from .estimates import Estimate
from .runs import ROWS, collect
from .schema_leak import schema_leaks

if TYPE_CHECKING:
    from ..data.datasets import Dataset
    from ..schema import Schema

Parts = Mapping[str, pd.DataFrame]
SEED = 0  # of every audit; blocks differ by the numbers of their runs
METRICS = (
    Metric(
        name="empirical_epsilon_score",
        family="privacy",
        best=0.0,
        worst=float("inf"),
        attack=True,
        definition="Lower bound on epsilon, at 95 % confidence, that this cell shows: by the error "
        "rates of a test between two neighbouring tables (Jagielski, Ullman and Oprea 2020), or by "
        "right guesses about canaries (Steinke, Nasr and Jagielski 2023)",
    ),
    Metric(
        name="schema_leak_count",
        family="privacy",
        best=0.0,
        worst=float("inf"),
        definition="Places in which a record with values outside the public Schema is recognised: "
        "synthetic rows, categories, bounds, numbers of rows, the fitted model",
    ),
)


@dataclass(frozen=True)
class Audit:
    """One block of an audit.

    Parameters
    ----------
    pair : {"tiny", "outlier"}
        Four equal rows against the same and one opposite row, which needs the Schema alone; or real
        rows against the same and one with the rarest value of every column.
    records : int
        Real rows that the outlier pair and the search for foreign values use, >= 2.
    runs : int
        Fits in each of the two worlds, >= 1.
    rows : int
        Synthetic rows that the attacker sees of each fit, >= 1.
    """

    pair: str = "tiny"
    records: int = 200
    runs: int = 125
    rows: int = ROWS

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise ValueError(f"pair must be one of {', '.join(PAIRS)}, got {self.pair!r}")
        for name, least in (("records", 2), ("runs", 1), ("rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)!r}")

    def parts(self, dataset: Dataset, rng: np.random.Generator) -> Parts:
        """Draw the real rows that a pair is made of."""
        return _draw(dataset, self.records, rng)

    def run(self, parts: Parts, stages: Stages) -> None:
        """Fit in both worlds, search for leaks, and keep what was seen."""
        if stages.reuse("audit"):
            return
        budget, known = _claimed(stages), parts["train"]
        pair = PAIRS[self.pair](stages.schema, known, budget.neighbours)
        first = stages.cell.seeds["train"] * self.runs
        with stages.timed("fit"):
            runs = collect(
                stages.build,
                pair,
                budget=budget,
                schema=stages.schema,
                numbers=range(first, first + self.runs),
                seed=SEED,
                rows=self.rows,
                fitted=stages.account,
                progress=stages.progress("train"),
            )
        found = conclude(runs, budget.delta)
        _keep(stages, known, {"runs": runs.to_json()}, found)


@dataclass(frozen=True)
class AuditOnce:
    """An audit by one fit.

    Parameters
    ----------
    canaries : int
        Rows of rare values, each put among the real ones by a fair coin, >= 2.
    records : int
        Real rows beside them, >= 2.
    rows : int
        Synthetic rows that the attacker sees, >= 1.
    """

    canaries: int = 1000
    records: int = 1000
    rows: int = ROWS

    def __post_init__(self) -> None:
        for name, least in (("canaries", 2), ("records", 2), ("rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)!r}")

    def parts(self, dataset: Dataset, rng: np.random.Generator) -> Parts:
        """Draw the real rows among which canaries are put."""
        return _draw(dataset, self.records, rng)

    def run(self, parts: Parts, stages: Stages) -> None:
        """Fit once, guess which canaries were there, and search for leaks."""
        if stages.reuse("audit"):
            return
        budget, known, schema = _claimed(stages), parts["train"], stages.schema
        coins, fit, draw = (
            stream(stages.cell.seeds["train"], "audit", use) for use in ("coins", "fit", "sample")
        )
        canaries = one_run.draw_canaries(schema, known, self.canaries, coins, budget.neighbours)
        generator = stages.build()
        generator.progress = stages.progress("train")
        with stages.timed("fit"):
            generator.fit(canaries.planted(known), schema=schema, budget=budget, rng=fit)
        stages.account(generator)
        with stages.timed("sample"):
            synthetic = schema.conform(generator.sample(self.rows, rng=draw))
        scores = canaries.scores(synthetic, known, schema)
        guesses = {
            "scores": {name: values.tolist() for name, values in scores.items()},
            "included": canaries.included.tolist(),
        }
        found = conclude_guesses(guesses, budget.delta)
        _keep(stages, known, {"guesses": guesses}, found)


def _draw(dataset: Dataset, count: int, rng: np.random.Generator) -> Parts:
    count = min(count, len(dataset.table))
    places = np.sort(rng.choice(len(dataset.table), size=count, replace=False))
    return {"train": dataset.table.iloc[places].reset_index(drop=True)}


def _claimed(stages: Stages) -> Budget:
    """Return the budget that the generator is handed; ends the cell where there is no claim."""
    if not stages.cell.budget.is_private:
        raise CellEnd("skipped", "no privacy was asked for, so there is no claim to audit")
    stages.generator()
    return stages.cell.handed


def _keep(
    stages: Stages, known: pd.DataFrame, seen: Mapping[str, Any], found: Estimate | None
) -> None:
    """Search for values outside the Schema, and put into the record what the audit saw."""
    with stages.timed("evaluate"):
        leaks = schema_leaks(
            stages.build, stages.schema, known, budget=stages.cell.handed, seed=SEED
        )
    stages.result["audit"] = {**seen, "leaks": [asdict(leak) for leak in leaks]}
    values = {
        "empirical_epsilon_score": "too few runs" if found is None else found.epsilon,
        "schema_leak_count": float(len(leaks)),
    }
    stages.result.update(sort_values("audit", METRICS, values))


Worlds = Callable[["Schema", pd.DataFrame, Any], pairs.Pair]
PAIRS: dict[str, Worlds] = {
    "tiny": lambda schema, known, neighbours: pairs.tiny(schema, neighbours),
    "outlier": pairs.outlier,
}
