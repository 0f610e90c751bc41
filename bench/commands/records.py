"""The verbs on what a Store holds: leaderboards, verification, MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import escape
from . import terminal
from .common import add_verb, existing_store, results_option


def leaderboard_verb(verbs: Any) -> None:
    """Add the verb ``leaderboard``."""
    verb = add_verb(
        verbs,
        "leaderboard",
        _leaderboard,
        "compile the leaderboard from records",
        "  syntharena leaderboard\n"
        "  syntharena leaderboard --results results/quickstart --families fidelity utility\n"
        "  syntharena leaderboard --from-mlflow sqlite:///results/runs/mlflow.db",
    )
    results_option(verb)
    verb.add_argument("--out", type=Path, help="folder of the pages (default: leaderboard in it)")
    verb.add_argument("--families", nargs="+", help="only these families of metrics")
    verb.add_argument("--from-mlflow", metavar="URI", help="read the records from MLflow instead")
    verb.add_argument("--experiment", default="syntharena", help="name of the MLflow experiment")


def _leaderboard(options: argparse.Namespace) -> int:
    from .. import tracking

    if options.from_mlflow:
        records, expected = tracking.read(options.from_mlflow, options.experiment)
    else:
        store = existing_store(options.results)
        records, expected = list(store.records()), list(store.expected())
    if not records:
        raise ValueError("there are no records to compile; run a sweep: syntharena run ...")
    terminal.show_leaderboard(
        records, expected, options.out or options.results / "leaderboard", options.families
    )
    return 0


def verify_verb(verbs: Any) -> None:
    """Add the verb ``verify``."""
    verb = add_verb(
        verbs,
        "verify",
        _verify,
        "execute the cells of records again and compare hashes",
        "  syntharena verify results/runs/records/ab/abc....json\n"
        "  syntharena verify results/quickstart/records",
    )
    verb.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="files or folders")
    verb.add_argument("--data", type=Path, help="a folder of tables (default: SYNTHARENA_DATA)")


def _verify(options: argparse.Namespace) -> int:
    from .. import plan
    from ..running import verify
    from ..store import Store

    folders = plan.Folders.of({"data": options.data})
    different = False
    for path in terminal.record_files(options.records):
        store = Store(path.parent.parent.parent)
        record = store.read(path)
        if record is None:
            print(f"damaged         {path}")
            different = True
            continue
        verdict = verify.verify(record, store, folders.data, folders.cache)
        print(f"{verdict.status:15} {path}")
        for difference in verdict.differences:
            print(f"    {escape.printable(difference)}")
        different |= verdict.status == "different"
    return int(different)


def mlflow_verb(verbs: Any) -> None:
    """Add the verb ``mlflow``."""
    verb = add_verb(
        verbs,
        "mlflow",
        _mlflow,
        "bring what the Store holds to MLflow",
        "  syntharena mlflow sync\n"
        "  syntharena mlflow rebuild\n"
        "  syntharena mlflow rebuild --results results/quickstart --uri http://127.0.0.1:5000\n"
        "then look at it:\n"
        "  mlflow ui --backend-store-uri sqlite:///results/runs/mlflow.db",
    )
    text = "add what MLflow lacks, or make the experiment again"
    verb.add_argument("action", choices=["sync", "rebuild"], help=text)
    results_option(verb)
    verb.add_argument("--uri", help="MLflow's tracking URI (default: mlflow.db in the folder)")
    verb.add_argument("--experiment", default="syntharena", help="name of the MLflow experiment")


def _mlflow(options: argparse.Namespace) -> int:
    from .. import tracking

    store = existing_store(options.results)
    uri = tracking.tracking_uri(options.uri, store.root)
    if uri is None:
        raise ValueError("--uri must name an MLflow store, got 'none'")
    if options.action == "sync":
        print(f"{tracking.sync(store, uri, options.experiment)} records were added to {uri}")
    else:
        print(f"{tracking.rebuild(store, uri, options.experiment)} records are now in {uri}")
    return 0
