"""Train, sample and evaluate: what happens inside the process of one cell.

Each stage is looked up before it is run: an earlier record of the same cell gives its synthetic
table and the metrics of unchanged evaluators, and a cell that was cut short gives what it had
finished.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .. import claim, targets
from ..answers import OUTCOME, ask, metric_of, refusal
from ..cells import Cell
from ..contracts import Tables
from ..files import publish
from ..schema import Schema, SchemaError
from ..search import trials
from ..seeds import stream
from ..statuses import is_out_of_memory
from ..store import Store
from ..usage import peak_memory
from . import models

PROGRESS_SECONDS = 0.2  # training steps are reported no more often
MODEL_SECONDS = 5.0  # a fit shorter than this is repeated rather than stored

Report = Callable[..., None]


class CellEnd(Exception):
    """Ends a cell early with a status and the reason for it."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Stages:
    """The stages of one cell, each looked up, timed and reported.

    Parameters
    ----------
    cell : Cell
        What to run.
    schema : Schema
        Of its dataset.
    store : Store
        Where finished stages are looked up and kept.
    report : callable
        Called with keyword arguments: ``stage``, or ``step``, ``total`` and ``losses``.
    stand_in : tuple of (Schema, DataFrame), optional
        The public rows on which hyperparameters are searched instead of the cell's own.
    """

    def __init__(
        self,
        cell: Cell,
        schema: Schema,
        store: Store,
        report: Report,
        stand_in: tuple[Schema, pd.DataFrame] | None = None,
    ) -> None:
        self.cell = cell
        self.schema = schema
        self.result: dict[str, Any] = {"cost": {}}
        self._store = store
        self._report = report
        self._stand_in = stand_in
        self._cpu_elsewhere = 0.0
        self._earlier = [r for r in store.of_cell(cell.key) if r["status"] == "ok"]

    @property
    def fit_on(self) -> str:
        """The part of the split that ``fit`` is handed."""
        return self.cell.identity["generator"]["fit_on"]

    @property
    def cost(self) -> dict[str, float]:
        """What the stages have cost so far: wall and CPU seconds, peak memory."""
        return self.result["cost"]

    def synthesize(self, rows: pd.DataFrame, n: int) -> pd.DataFrame:
        """Fit the cell's generator to ``rows`` and return ``n`` valid synthetic ones.

        Raises
        ------
        CellEnd
            If the cell does not apply, overspends its budget or puts out an invalid table.
        """
        if (found := self._finished_sample()) is not None:
            return found
        generator = self.generator()
        if rows.empty:
            raise CellEnd("skipped", f"the split has no {self.fit_on} rows")
        if self.cell.tuning.search is not None:
            self._tune(rows)
            generator = self.generator()
        generator = self._trained(generator, rows)
        table = self._sample(generator, n)
        sha256 = self.schema.digest(table)
        self._store.put_table(table, sha256)
        self.result["synthetic"] = {"rows": n, "sha256": sha256}
        self._store.put_stage(self.cell.key, self.result)
        return table

    def evaluate(self, tables: Tables) -> None:
        """Ask every evaluator; an evaluator that fails costs its own metrics and no others."""
        self._report(stage="evaluate")
        outcome: dict[str, dict[str, Any]] = {kind: {} for kind in OUTCOME}
        started = time.perf_counter()
        with self.timed("evaluate"):
            for name, spec in self.cell.evaluators.items():
                part = self._finished_evaluation(name) or self._evaluation(name, spec, tables)
                for kind, values in part.items():
                    outcome[kind].update(values)
                self.cost["evaluate_seconds"] = time.perf_counter() - started
        self.result.update(outcome)

    def generator(self) -> Any:
        """Build the generator.

        Raises
        ------
        CellEnd
            If the cell does not apply.
        """
        budget = self.cell.handed
        if budget.is_private and not self.schema.public:
            raise CellEnd(
                "skipped",
                "the Schema was guessed from private rows, which no epsilon covers; "
                "check it and set dataset.public=true",
            )
        generator = self.build()
        if reason := refusal(generator, self.schema, budget):
            raise CellEnd("skipped", str(reason))
        return generator

    def build(self) -> Any:
        """Build the generator, whether it applies or not."""
        chosen = self.result.get("tuning", {}).get("chosen", {})
        return targets.build({**self.cell.generator, **chosen}, ("fit", "sample"))

    @property
    def wants_fit(self) -> bool:
        """Whether the cell has neither a synthetic table nor a fitted generator."""
        path = self._store.model_path(self.cell.train_key)
        return not path.exists() and self._finished_sample() is None

    @property
    def checkpoint(self) -> models.Checkpoint:
        """Where the fit leaves its state."""
        return models.Checkpoint(self._store.checkpoint_path(self.cell.train_key))

    @property
    def train_stream(self) -> np.random.Generator:
        """The random numbers of the fit."""
        return stream(self.cell.seeds["train"], "train", *self._trial())

    @contextlib.contextmanager
    def fitting(self, generator: Any, checkpoint: models.Checkpoint) -> Iterator[None]:
        """Lend a generator what its fit reports to, and count what that learned and cost."""
        generator.progress = self.progress("train")
        if hasattr(generator, "checkpoint"):
            generator.checkpoint = checkpoint
        with self.timed("fit"), peak_memory(self.cost):
            yield
        for kind, earlier in checkpoint.cost.items():
            self.cost[kind] += earlier
        for borrowed in ("progress", "checkpoint"):
            generator.__dict__.pop(borrowed, None)
        if (count := getattr(generator, "parameters", None)) is not None:
            self.cost["parameters_count"] = float(count)

    def share(self, count: int) -> None:
        """Note that the fit was one of a batch of so many, and bear as much of its time as each."""
        self.result["together"] = count
        for kind in ("fit_seconds", "fit_cpu_seconds"):
            self.cost[kind] /= count

    def keep(self, generator: Any) -> None:
        """Store a fitted generator until the cell has its record."""
        shared = {part: value for part, value in self.result.items() if part == "together"}
        kept = (generator, self.result["privacy"], self.cost, shared)
        if (content := models.pack(kept)) is not None:
            publish(self._store.model_path(self.cell.train_key), content, replace=True)

    def account(self, generator: Any) -> None:
        """Recompute what a fitted generator spent and hold it against the budget."""
        self.result["privacy"] = claim.account(generator, self.cell.budget, self.cell.tuning)
        if reason := claim.violation(self.result["privacy"], self.cell.budget):
            raise CellEnd("budget_violation", reason)

    def reuse(self, part: str) -> bool:
        """Take over what an earlier record of the same cell holds of a scenario's own part."""
        for record in self._earlier:
            if record.get(part):
                kept = ("privacy", "cost", part, *OUTCOME)
                self.result.update({name: record[name] for name in kept})
                return True
        return False

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what happens inside to the cost of a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.result["cost"][f"{stage}_seconds"] = time.perf_counter() - wall
        self.result["cost"][f"{stage}_cpu_seconds"] = (
            time.process_time() - cpu + self._cpu_elsewhere
        )
        self._cpu_elsewhere = 0.0

    def _add_used(self, part: Any) -> None:
        """Add to a stage's cost what a part of it used in other processes."""
        used = getattr(part, "used", {})
        self._cpu_elsewhere += used.get("cpu_seconds", 0.0)
        for peak in ("peak_rss_mib", "peak_gpu_mib"):
            if peak in used:
                self.cost[peak] = max(self.cost.get(peak, 0.0), used[peak])

    def progress(self, stage: str) -> Callable[..., None]:
        """Begin a stage, and return the function that its steps are reported to."""
        self._report(stage=stage)
        last = 0.0

        def progress(step: int, total: int, **losses: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_SECONDS or step >= total:
                last = now
                values = {name: float(value) for name, value in losses.items()}
                self._report(step=int(step), total=int(total), losses=values)

        return progress

    # Tune, train and sample

    def _tune(self, rows: pd.DataFrame) -> None:
        """Choose the hyperparameters, unless that was done before."""
        if not self.cell.generator.get("search"):
            raise CellEnd("skipped", "it has nothing to search; run it with tuning=none")
        key = self.cell.train_key
        if (found := self._store.get_study(key)) is None:
            schema, rows = self._stand_in or (self.schema, rows)
            journal = self._store.journal_path(key)
            found = trials.search(self.cell, schema, rows, journal, self.progress("tune"))
            self._store.put_study(key, found)
        self.result["tuning"] = found
        for kind in ("seconds", "cpu_seconds"):
            self.cost[f"tuning_{kind}"] = sum(trial[kind] for trial in found["trials"])

    def _finished_sample(self) -> pd.DataFrame | None:
        """Return the valid table that this cell has put out before, if there is one."""
        for known in [*self._earlier, self._store.get_stage(self.cell.key)]:
            if known is None:
                continue
            table = self._stored_table(known["synthetic"]["sha256"])
            if table is not None:
                kept = ("synthetic", "privacy", "tuning", "together")
                self.result.update({k: known[k] for k in kept if k in known})
                self.result["cost"] = dict(known["cost"])
                return table
        return None

    def _stored_table(self, sha256: str) -> pd.DataFrame | None:
        """Read a table and check that it is what its name says."""
        table = self._store.get_table(sha256)
        if table is None:
            return None
        try:
            table = self.schema.conform(table)
        except SchemaError:
            return None
        return table if self.schema.digest(table) == sha256 else None

    def _trained(self, generator: Any, rows: pd.DataFrame) -> Any:
        path = self._store.model_path(self.cell.train_key)
        if path.exists():
            kept = models.unpack(path.read_bytes())
            if kept is not None:
                generator, self.result["privacy"], self.result["cost"], *shared = kept
                self.result.update(*shared)
                return generator
        checkpoint = self.checkpoint
        try:
            self._fit(generator, rows, checkpoint)
        except Exception as error:
            if not is_out_of_memory(error):  # it ends so every time, or its code is to be mended
                checkpoint.drop()
            raise
        if self.result["cost"]["fit_seconds"] > MODEL_SECONDS:
            self.keep(generator)
        checkpoint.drop()
        return generator

    def _fit(self, generator: Any, rows: pd.DataFrame, checkpoint: models.Checkpoint) -> None:
        """Fit from where the checkpoint is, and count what was learned, paid and spent."""
        rng = self.train_stream
        with self.fitting(generator, checkpoint):
            generator.fit(rows.copy(), schema=self.schema, budget=self.cell.handed, rng=rng)
            self._add_used(generator)
        self.account(generator)

    def _trial(self) -> tuple[str, ...]:
        """Name a charged trial: noise that two trials shared could be taken off both of them."""
        return (self.cell.train_key,) if self.cell.tuning.how == "charged" else ()

    def _sample(self, generator: Any, n: int) -> pd.DataFrame:
        self._report(stage="sample")
        rng = stream(self.cell.seeds["sample"], "sample")
        with self.timed("sample"), peak_memory(self.cost):
            table = generator.sample(n, rng=rng)
            self._add_used(generator)
        try:
            return self.schema.conform(table, n)
        except SchemaError as error:
            raise CellEnd("invalid_output", str(error)) from error

    # Evaluate

    def _finished_evaluation(self, name: str) -> dict[str, dict[str, Any]] | None:
        """Return what an earlier record of this cell says of the same evaluator and seed."""
        wanted = self.cell.evaluation
        for record in self._earlier:
            known = record["evaluation"]
            if (
                known["seed"] == wanted["seed"]
                and known["evaluators"].get(name) == wanted["evaluators"][name]
            ):
                return _of_evaluator(record, name)
        return None

    def _evaluation(
        self, name: str, spec: Mapping[str, Any], tables: Tables
    ) -> dict[str, dict[str, Any]]:
        self._report(evaluator=name)
        try:
            evaluator = targets.build(spec, ("evaluate",))
        except targets.TargetError as error:
            raise CellEnd("failed", f"evaluator {name!r}: {error}") from error
        found = ask(name, evaluator, tables, self.schema, self.cell.seeds["evaluate"])
        self._add_used(evaluator)
        return found


def _of_evaluator(record: Mapping[str, Any], evaluator: str) -> dict[str, dict[str, Any]]:
    names = {n for n, metric in record["declared"].items() if metric["evaluator"] == evaluator}
    return {
        kind: {key: v for key, v in record.get(kind, {}).items() if metric_of(key) in names}
        for kind in OUTCOME
    }
