"""Workers: they hold the data, run one cell at a time, and write its record.

A worker loads a dataset and its split once and runs each cell in a child of its own (``process``),
which cannot write the record itself, since it may die at any instant. Workers are forked from a
process that holds the libraries (``nursery``).
"""

from __future__ import annotations

import functools
import gc
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import process, targets
from ..answers import OUTCOME
from ..cells import Cell, table_identity
from ..data import datasets
from ..foreign import making
from ..foreign.spec import Environment
from ..seeds import stream
from ..statuses import ENDED_WELL, is_out_of_memory
from ..store import Store
from . import environment, packs
from .stages import CellEnd, Stages

REASON_CHARACTERS = 500
SEARCH_LOOKS = 3  # at the memory of a search: a trial that swells ends before its cell does
KEPT_TABLES = 2  # datasets and splits a worker holds at once
KILL_PATIENCE = 2.0  # seconds: whoever kills a cell from outside may be about to stop all of it


class Worker:
    """Runs cells one after another and writes their records.

    Parameters
    ----------
    store : Store
        Where records go.
    data_dir, cache_dir : Path or None
        Where tables are looked for and kept.
    cpus : tuple of int or None
        The processors that this worker's cells may use.
    """

    def __init__(
        self,
        store: Store,
        data_dir: Path | None,
        cache_dir: Path,
        cpus: tuple[int, ...] | None = None,
    ) -> None:
        self.store = store
        self._data_dir = data_dir
        self._cache_dir = cache_dir
        self._cpus = cpus
        self._held: dict[tuple[str, ...], Any] = {}

    def fit_together(
        self, pack: Sequence[Cell], on_message=lambda message: None, stopped=lambda: ""
    ) -> None:
        """Fit the generators of a pack as one batch, for ``run`` to find them.

        If that fails, its log is kept, and each cell fits by itself and says what is wrong with it.
        """
        try:
            task = self._joint_task(pack)
        except Exception:
            return
        limits = packs.limits(pack, self._cpus)
        outcome = process.run(
            task, limits, on_message=on_message, cancelled=lambda: bool(stopped())
        )
        if (outcome.ended, outcome.exit_code) != ("exit", 0) and outcome.log:
            self.store.put_log(pack[0].record_key, outcome.log)

    def _joint_task(self, pack: Sequence[Cell]):
        scenario = targets.build(pack[0].scenario, ("parts", "run"))
        dataset = self._dataset(pack[0].dataset)

        def task(report: process.Report) -> None:
            reports = [report, *[lambda **message: None] * (len(pack) - 1)]  # the first speaks
            packs.fit(
                [
                    Stages(cell, dataset.schema, self.store, own)
                    for cell, own in zip(pack, reports, strict=True)
                ],
                [scenario.parts(dataset, stream(cell.seeds["split"], "split")) for cell in pack],
            )

        return task

    def run(self, cell: Cell, on_message=lambda message: None, stopped=lambda: "") -> dict | None:
        """Run one cell and write its record.

        Parameters
        ----------
        cell : Cell
            What to run.
        on_message : callable
            Sees what the cell reports while it runs.
        stopped : callable
            Asked at every poll: "stop" ends the cell as ``preempted``, "gone" without a record.

        Returns
        -------
        dict or None
            The record, or None when there is nobody left to run it for.
        """
        started = time.time()
        stop = ""

        def cancelled() -> bool:
            nonlocal stop
            stop = stopped()
            return bool(stop)

        limits = process.Limits(
            cell.seconds,
            cell.limits["memory_mib"],
            self._cpus,
            looks=1 if cell.tuning.search is None else SEARCH_LOOKS,
        )
        try:
            task = self._task(cell)
        except Exception as error:
            end = {"status": "failed", "reason": _reason(error), "stage": "load"}
            outcome = process.Outcome("exit", 1, 0.0, 0.0, b"")
        else:
            with self.store.claim(cell.record_key):
                outcome = process.run(task, limits, on_message=on_message, cancelled=cancelled)
                if _is_killed_from_outside(outcome) and _becomes_true(cancelled, KILL_PATIENCE):
                    outcome.ended = "cancelled"
            if stop == "gone":
                return None
            end = _end(outcome, cell)
        record = make_record(cell, outcome, end, started)
        record["environment"] |= foreign_environments(cell, self._cache_dir)
        if record["status"] not in ENDED_WELL and outcome.log:
            self.store.put_log(cell.record_key, outcome.log)
        self.store.put(record)
        if record["status"] == "ok":
            self.store.clear_stages(cell)
        return record

    def _task(self, cell: Cell):
        scenario = targets.build(cell.scenario, ("parts", "run"))
        dataset = self._dataset(cell.dataset)
        parts = self._parts(cell, scenario, dataset)
        stand_in = None
        if cell.stand_in is not None:
            public = self._dataset(cell.stand_in)
            stand_in = public.schema, public.table

        def task(report: process.Report) -> None:
            stages = Stages(cell, dataset.schema, self.store, report, stand_in)
            report(end=_run(lambda: scenario.run(parts, stages)), result=stages.result)

        return task

    def _dataset(self, spec: Mapping[str, Any]) -> datasets.Dataset:
        key = ("dataset", *map(str, table_identity(spec).values()), str(spec.get("splits")))
        load = functools.partial(
            datasets.load, spec, data_dir=self._data_dir, cache_dir=self._cache_dir
        )
        return self._hold(key, load)

    def _parts(self, cell: Cell, scenario: Any, dataset: datasets.Dataset) -> Mapping[str, Any]:
        identity = cell.identity
        seed = cell.seeds["split"]
        key = ("parts", str(identity["dataset"]), str(identity["scenario"]), str(seed))
        return self._hold(key, lambda: scenario.parts(dataset, stream(seed, "split")))

    def _hold(self, key: tuple[str, ...], make) -> Any:
        """Keep the last few values of a sort; cells that share one come one after another."""
        if key not in self._held:
            same = [held for held in self._held if held[0] == key[0]]
            for old in same[: max(0, len(same) - KEPT_TABLES + 1)]:
                del self._held[old]
            self._held[key] = make()
            freeze()
        return self._held[key]


def make_record(
    cell: Cell, outcome: process.Outcome, end: Mapping[str, Any], started: float
) -> dict[str, Any]:
    """Put together what a cell left behind.

    Parameters
    ----------
    cell : Cell
        What ran.
    outcome : Outcome
        How its process ended, with what it reported.
    end : mapping
        ``status``, ``reason`` and the ``stage`` it ended in.
    started : float
        Seconds since 1970.
    """
    result = next((m["result"] for m in outcome.messages if "result" in m), {})
    return {
        **cell.summary(),
        **end,
        "synthetic": result.get("synthetic"),
        "privacy": result.get("privacy"),
        **{part: result[part] for part in ("audit", "tuning", "together") if part in result},
        **{kind: result.get(kind, {}) for kind in OUTCOME},
        "cost": result.get("cost", {}) | {"tree_peak_rss_mib": outcome.peak_rss_mib},
        "environment": environment.describe() | {"threads": cell.limits["threads"]},
        "started": started,
        "seconds": outcome.seconds,
    }


def put_lost(store: Store, cell: Cell, status: str, reason: str) -> dict[str, str]:
    """Write the record of a cell that ended without a word of its own.

    Returns
    -------
    dict
        ``status`` and ``reason`` of the record that is kept: it may have written one before.
    """
    end = {"status": status, "reason": reason, "stage": "start"}
    store.put(make_record(cell, process.Outcome("exit", 1, 0.0, 0.0, b""), end, time.time()))
    kept = store.get(cell) or end
    return {"status": kept["status"], "reason": kept["reason"]}


def foreign_environments(cell: Cell, cache_dir: Path) -> dict[str, Any]:
    """Return what the environments hold that are not ours: Pythons and packages, by role."""
    specs = {"generator": cell.generator, **cell.evaluators}
    found = {
        role: making.made(Environment.wanted_by(spec), cache_dir)
        for role, spec in specs.items()
        if targets.is_foreign(spec)
    }
    return {"foreign": found} if found else {}


def _run(call) -> dict[str, Any]:
    """Run the cell inside its process and say how it ended."""
    try:
        call()
    except CellEnd as end:
        return {"status": end.status, "reason": end.reason[:REASON_CHARACTERS]}
    except BaseException as error:
        import traceback

        traceback.print_exc()
        status = "oom" if is_out_of_memory(error) else "failed"
        return {"status": status, "reason": _reason(error)}
    return {"status": "ok", "reason": ""}


def _end(outcome: process.Outcome, cell: Cell) -> dict[str, Any]:
    """Say how a cell ended, from what its process reported and how that process ended."""
    stage = next((m["stage"] for m in reversed(outcome.messages) if "stage" in m), "start")
    limits = cell.limits
    if outcome.ended == "timeout":
        status, reason = "timeout", f"{stage} ran beyond limits.seconds={limits['seconds']}"
    elif outcome.ended == "oom" and limits["memory_mib"] is None:
        status, reason = "oom", f"the system ran out of memory in {stage}"
    elif outcome.ended == "oom":
        status, reason = "oom", f"{stage} grew beyond limits.memory_mib={limits['memory_mib']}"
    elif outcome.ended == "cancelled":
        status, reason = "preempted", f"the sweep was stopped in {stage}"
    else:
        reported = next((m["end"] for m in outcome.messages if "end" in m), None)
        if reported is not None:
            return {**reported, "stage": stage}
        status, reason = "failed", f"the process {_exit(outcome.exit_code)} in {stage}"
    return {"status": status, "reason": reason, "stage": stage}


def _is_killed_from_outside(outcome: process.Outcome) -> bool:
    return outcome.ended == "exit" and -outcome.exit_code in (signal.SIGTERM, signal.SIGKILL)


def _becomes_true(question: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(process.POLL_SECONDS)
    return answer


def _exit(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended without a result (exit code {code})"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]


def freeze() -> None:
    """Keep the collector of forked children off what is here now, or it copies every page of it."""
    gc.collect()
    gc.freeze()
