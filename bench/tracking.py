"""MLflow: a live view of what runs, and a copy of what the Store holds.

A cell is a parent run with the child runs ``tune`` (after a search), ``train``, ``sample`` and
``evaluate``. One thread of the launching process writes them all, so any number of workers lose
nothing and no two processes write one database. The Store stays the truth: a tracker that fails
says so once and the sweep goes on; ``rebuild`` makes the whole database again from the Store.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import math
import os
import queue
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .canonical import digest, dumps
from .cells import Cell
from .files import publish
from .mounts import network_kind
from .running.sweep import Progress
from .statuses import ENDED_WELL
from .store import Store

KEY_TAG = "syntharena.key"
KIND_TAG = "syntharena.kind"  # cell, stage or sweep
HASH_TAG = "syntharena.sha256"  # of the record
STAGES = {"tune": "tuning", "train": "fit", "sample": "sample", "evaluate": "evaluate"}
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./: ")
TEXT_LIMIT = 500  # characters of a parameter or tag
BATCH = {"metrics": 1000, "params": 100}  # what MLflow takes in one call
SQLITE = "sqlite:///"


def tracking_uri(uri: str | None, results: Path) -> str | None:
    """Return where MLflow logs to; "none" is nowhere, None a database in the results folder.

    Raises
    ------
    DatabaseError
        If it is SQLite on a network file system, where its locks do not hold.
    """
    if uri == "none":
        return None
    found = uri or f"{SQLITE}{results / 'mlflow.db'}"
    database = database_of(found)
    if database and (kind := network_kind(database.absolute())):
        raise DatabaseError(
            f"SQLite must be on a disk of this machine, got {found!r} on a network file system "
            f"({kind}); name a server or sqlite:////tmp/mlflow.db"
        )
    return found


def database_of(uri: str) -> Path | None:
    """Return the file of a SQLite database, and None for any other tracking URI."""
    file, _, _ = uri.removeprefix(SQLITE).partition("?")  # options of the connection
    return Path(file) if uri.startswith(SQLITE) else None


class DatabaseError(ValueError):
    """MLflow's database cannot be where it was wanted."""


class Tracker:
    """Writes what a sweep reports to MLflow, in a thread of its own.

    Parameters
    ----------
    store : Store
        Holds the records that are copied.
    uri : str
        MLflow's tracking URI.
    experiment : str
        Name of the MLflow experiment.
    warn : callable
        Told once, in one line, when MLflow fails.
    """

    def __init__(self, store: Store, uri: str, experiment: str, warn: Any) -> None:
        self._store = store
        self._uri = uri
        self._experiment = experiment
        self._warn = warn
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._journal = _Journal(store.root, uri, experiment)
        self._thread: threading.Thread | None = None

    def begin(self, progress: Progress) -> None:
        """Start writing, unless the sweep is done and MLflow has all of it."""
        pending = {cell.record_key for cell in progress.pending}
        logged = self._journal.read()
        behind = [
            cell
            for cell in progress.cells
            if cell.record_key not in pending and cell.record_key not in logged
        ]
        if not pending and not behind:
            return
        self._thread = threading.Thread(target=self._write, args=(behind,), daemon=True)
        self._thread.start()

    def on_event(self, cell: Cell, event: Mapping[str, Any]) -> None:
        """Hand an event to the thread."""
        if self._thread is not None:
            self._queue.put((cell, event))

    def close(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _write(self, behind: list[Cell]) -> None:
        try:
            self._journal.hold()
            log = _Log(self._uri, self._experiment, self._store)
            log.sweeps()
            for cell in behind:
                if record := self._store.get(cell):
                    log.record(record)
                    self._journal.add(cell.record_key)
            while (item := self._queue.get()) is not None:
                self._follow(log, *item)
        except Exception as error:  # whatever MLflow, its database or its server raises
            first = " ".join(str(error).split())[:TEXT_LIMIT]
            self._warn(f"MLflow stopped ({first}); records are safe: syntharena mlflow rebuild")
        finally:
            self._journal.release()

    def _follow(self, log: _Log, cell: Cell, event: Mapping[str, Any]) -> None:
        key = cell.record_key
        if "started" in event:
            log.open(key, cell.summary(), event["started"])
        elif "event" in event:
            log.live(key, event["event"])
        elif "done" in event and (record := self._store.get(cell)):
            log.record(record)
            self._journal.add(key)


class _Journal:
    """Which records MLflow has, so that a finished sweep need not ask it."""

    def __init__(self, root: Path, uri: str, experiment: str) -> None:
        self._path = root / f"mlflow-{digest([uri, experiment])[:12]}.logged"
        self._lock: int | None = None
        if (database := database_of(uri)) and not database.exists():
            self.clear()  # the database is lost, and what it held with it

    def hold(self) -> bool:
        """Say that this process writes to MLflow; False if another does.

        File systems without locks let everyone write.
        """
        self._lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def release(self) -> None:
        """Let others write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def read(self) -> set[str]:
        with contextlib.suppress(FileNotFoundError):
            return set(self._path.read_text().split())
        return set()

    def add(self, key: str) -> None:
        with open(self._path, "a") as file:
            file.write(f"{key}\n")


class _Log:
    """The runs of one MLflow experiment."""

    def __init__(self, uri: str, experiment: str, store: Store) -> None:
        self._store = store
        self._client = _client(uri)
        self._id = self._experiment_id(experiment, uri)
        self._open: dict[str, dict[str, str]] = {}  # record key -> stage ("" is the parent) -> run

    def _experiment_id(self, name: str, uri: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        # MLflow's default is a folder below the current one, wherever that happens to be.
        local = uri.startswith("sqlite:")
        place = (self._store.root / "mlflow-artifacts").as_uri() if local else None
        return self._client.create_experiment(name, artifact_location=place)

    def open(self, key: str, summary: Mapping[str, Any], started: float) -> None:
        """Begin the parent run of a cell; one that is started again goes on in its run."""
        if key in self._open:
            return
        names = summary["names"]
        tags = {KEY_TAG: key, KIND_TAG: "cell", "syntharena.cell_key": summary["cell_key"]}
        tags |= {f"syntharena.{role}": str(name)[:TEXT_LIMIT] for role, name in names.items()}
        tags["syntharena.dataset_sha256"] = summary["cell"]["dataset"]["sha256"]
        run = self._client.create_run(
            self._id,
            start_time=_milliseconds(started),
            tags=tags,
            run_name=_run_name(summary)[:TEXT_LIMIT],
        )
        self._open[key] = {"": run.info.run_id}
        self._batch(run.info.run_id, {}, _parameters(summary))

    def live(self, key: str, message: Mapping[str, Any]) -> None:
        """Show the stage that a cell is in, and its losses."""
        runs = self._open.get(key)
        if runs is None:
            return
        if message.get("stage") in STAGES:
            self._open_stage(runs, message["stage"], time.time())
        if "step" in message and "train" in runs:
            self._batch(runs["train"], message["losses"], {}, step=message["step"])
        elif "step" in message and "tune" in runs:
            self._batch(runs["tune"], message["losses"], {}, step=message["step"])

    def _open_stage(self, runs: dict[str, str], stage: str, started: float) -> None:
        if stage not in runs:
            run = self._client.create_run(
                self._id,
                start_time=_milliseconds(started),
                tags={"mlflow.parentRunId": runs[""], KIND_TAG: "stage"},
                run_name=stage,
            )
            runs[stage] = run.info.run_id

    def record(self, record: Mapping[str, Any]) -> None:
        """Write all of a record, into the open runs of its cell or into new ones."""
        key = record["key"]
        self.open(key, record, record["started"])
        runs = self._open.pop(key)
        self._stages(runs, record)
        if (found := record.get("tuning")) is not None:
            self._search(runs["tune"], found)
        parent = runs[""]
        self._batch(parent, record["metrics"], {}, _outcome_tags(record))
        self._client.log_text(parent, dumps(record, indent=1), "record.json")
        if record["synthetic"] is not None:
            table = self._store.table_path(record["synthetic"]["sha256"])
            if table.exists():
                self._client.log_artifact(parent, str(table), "synthetic")
        ended = _milliseconds(record["started"] + record["seconds"])
        good = record["status"] in ENDED_WELL
        self._client.set_terminated(parent, "FINISHED" if good else "FAILED", ended)

    def _stages(self, runs: dict[str, str], record: Mapping[str, Any]) -> None:
        """End the stage runs, with what each cost."""
        clock = record["started"]
        for stage, prefix in STAGES.items():
            cost = {k: v for k, v in record["cost"].items() if k.startswith(f"{prefix}_")}
            if not cost and stage not in runs:
                continue
            self._open_stage(runs, stage, clock)
            clock += cost.get(f"{prefix}_seconds", 0.0)
            self._batch(runs[stage], cost, {})
            done = f"{prefix}_seconds" in cost
            self._client.set_terminated(
                runs[stage], "FINISHED" if done else "FAILED", _milliseconds(clock)
            )

    def _search(self, run: str, found: Mapping[str, Any]) -> None:
        """Write what a search found: its choice, each trial's value, and all of it as a file."""
        for number, trial in enumerate(found["trials"]):
            values = {"value": trial["value"], **trial["metrics"]}
            known = {name: value for name, value in values.items() if value is not None}
            self._batch(run, {f"trial.{name}": v for name, v in known.items()}, {}, step=number)
        ends = {name: found[name] for name in ("best", "default") if found[name] is not None}
        self._batch(run, ends, {f"chosen.{name}": v for name, v in found["chosen"].items()})
        self._client.log_text(run, dumps(found, indent=1), "search.json")

    def _batch(
        self,
        run: str,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        tags: Mapping[str, Any] | None = None,
        step: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = _milliseconds(time.time())
        values = [Metric(_safe(name), value, now, step) for name, value in metrics.items()]
        texts = [Param(_safe(name), str(value)[:TEXT_LIMIT]) for name, value in params.items()]
        marks = [RunTag(name, str(value)[:TEXT_LIMIT]) for name, value in (tags or {}).items()]
        while values or texts or marks:
            self._client.log_batch(
                run, metrics=values[: BATCH["metrics"]], params=texts[: BATCH["params"]], tags=marks
            )
            values, texts, marks = values[BATCH["metrics"] :], texts[BATCH["params"] :], []

    def known(self) -> tuple[set[str], dict[str, list[str]]]:
        """Return the hashes of the records that are here, and the unfinished runs by record key."""
        hashes: set[str] = set()
        unfinished: dict[str, list[str]] = {}
        for run in _runs(self._client, self._id, f"tags.`{KIND_TAG}` = 'cell'"):
            if HASH_TAG in run.data.tags:
                hashes.add(run.data.tags[HASH_TAG])
            else:
                unfinished.setdefault(run.data.tags[KEY_TAG], []).append(run.info.run_id)
        return hashes, unfinished

    def delete(self, runs: Iterable[str]) -> None:
        """Delete runs with their stages."""
        for run in runs:
            stages = _runs(self._client, self._id, f"tags.`mlflow.parentRunId` = '{run}'")
            for stage in list(stages):
                self._client.delete_run(stage.info.run_id)
            self._client.delete_run(run)

    def sweeps(self) -> None:
        """Write what the Store's sweeps expect, for a leaderboard compiled from MLflow."""
        expected = list(self._store.expected())
        text = dumps({"expected": expected})
        key = digest(expected)
        known = self._client.search_runs([self._id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        if expected and not known:
            run = self._client.create_run(
                self._id, tags={KEY_TAG: key, KIND_TAG: "sweep"}, run_name="sweep"
            )
            self._client.log_text(run.info.run_id, text, "expected.json")
            self._client.set_terminated(run.info.run_id)


def sync(store: Store, uri: str, experiment: str) -> int:
    """Add the records that an experiment lacks and return how many there were.

    Runs that a process left half written take no record twice: they are deleted.

    Raises
    ------
    ValueError
        If a sweep of this Store is writing to MLflow now.
    """
    journal = _Journal(store.root, uri, experiment)
    if not journal.hold():
        raise ValueError("a sweep is writing to MLflow now; sync when it has ended")
    log = _Log(uri, experiment, store)
    log.sweeps()
    known, unfinished = log.known()
    added = 0
    for record in store.records():
        if record["sha256"] not in known:
            log.delete(unfinished.get(record["key"], ()))
            log.record(record)
            added += 1
        journal.add(record["key"])
    journal.release()
    return added


def rebuild(store: Store, uri: str, experiment: str) -> int:
    """Make the experiment again from the Store and return how many records it holds.

    A local database is made anew; on a server the experiment's runs are deleted first.
    """
    if database := database_of(uri):
        for suffix in ("", "-wal", "-shm", "-journal"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
    journal = _Journal(store.root, uri, experiment)
    journal.clear()
    log = _Log(uri, experiment, store)
    for run in list(_runs(log._client, log._id, "")):  # all pages before the first is changed
        log._client.delete_run(run.info.run_id)
    log.sweeps()
    records = list(store.records())
    for record in records:
        log.record(record)
        journal.add(record["key"])
    return len(records)


def read(uri: str, experiment: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the records and the expected cells that an MLflow experiment holds.

    Raises
    ------
    ValueError
        If there is no such experiment.
    """
    if (database := database_of(uri)) and not database.exists():
        raise ValueError(f"--from-mlflow must name an MLflow store, got {uri!r}")
    client = _client(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        raise ValueError(f"MLflow has no experiment {experiment!r}; set --experiment NAME")
    records: dict[str, dict[str, Any]] = {}
    for run in _runs(client, found.experiment_id, f"tags.`{KIND_TAG}` = 'cell'"):
        if "syntharena.status" in run.data.tags:
            records.setdefault(run.data.tags[KEY_TAG], _artifact(run, "record.json"))
    expected: dict[str, dict[str, Any]] = {}
    for run in _runs(client, found.experiment_id, f"tags.`{KIND_TAG}` = 'sweep'"):
        for item in _artifact(run, "expected.json")["expected"]:
            expected[item["key"]] = item
    return list(records.values()), list(expected.values())


def _artifact(run: Any, name: str) -> Any:
    from mlflow.artifacts import load_text

    return json.loads(load_text(f"{run.info.artifact_uri}/{name}"))


def _runs(client: Any, experiment: str, query: str) -> Iterator[Any]:
    """Yield the experiment's runs, newest first."""
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # no network but the server itself
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    import mlflow
    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its migrations are no news
    mlflow.set_tracking_uri(uri)
    if (database := database_of(uri)) and not database.exists():
        publish(database, _empty_database())
    return MlflowClient(uri)


def _empty_database() -> bytes:
    """Return a database with MLflow's tables.

    MLflow makes them one by one in seconds and mends none that it was killed over, so they are made
    where nobody else looks.
    """
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory(prefix="mlflow") as folder:
        database = Path(folder, "mlflow.db")
        MlflowClient(f"{SQLITE}{database}").search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.serialize()


def _outcome_tags(record: Mapping[str, Any]) -> dict[str, Any]:
    environment = record["environment"]
    return {
        HASH_TAG: record["sha256"],
        "syntharena.status": record["status"],
        "syntharena.reason": record["reason"],
        "syntharena.git": environment["git"],
        "syntharena.hardware": environment["cpu"],
        "syntharena.versions": dumps(environment["packages"]),
    }


def _run_name(summary: Mapping[str, Any]) -> str:
    names, cell = summary["names"], summary["cell"]
    epsilon = cell["budget"]["epsilon"]
    budget = "" if math.isinf(float(epsilon)) else f" eps={epsilon:g}"
    return f"{names['dataset']} {names['generator']}{budget} seed={cell['seeds']['train']}"


def _parameters(summary: Mapping[str, Any]) -> dict[str, Any]:
    cell = summary["cell"]
    return {
        **summary["names"],
        "epsilon": cell["budget"]["epsilon"],
        "delta": cell["budget"]["delta"],
        **{f"seed.{stage}": seed for stage, seed in cell["seeds"].items()},
        **{f"generator.{k}": v for k, v in cell["generator"]["hyperparameters"].items()},
    }


def _safe(name: str) -> str:
    """Write a name with the characters that MLflow takes."""
    return "".join(c if c in SAFE else f"-{ord(c):x}-" for c in name)[:250]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
