"""Print our generators beside other people's: speed, memory and quality, at the same settings.

    python scripts/speed/peers.py ADULT_CSV --environments FOLDER [--rows adult,300000]
        [--only NAME ...] [--epochs 2] [--repeats 1] [--seconds 150] [--jobs 2]
        [--kept results/speed/peers.json] [--page docs/speed.md] [--resume]
    python scripts/speed/peers.py ADULT_CSV --device cuda [--rows adult,300000] [--only NAME ...]

ADULT_CSV is the adult table (48,842 rows, also gzipped). Each peer has an environment in FOLDER,
which is made if it is missing (``sides/environments.py``). NAME is a pair of ``sides/pairs.py``,
one of our generators, or "steps": where the time of our training steps goes. Tables of 300,000 rows
repeat adult's train rows.

What is found goes to --kept after every pair, and from there to --page: a run with --only replaces
its own lines and leaves the others alone, and --resume runs only what is not there yet at the same
settings. Whatever reaches --seconds of CPU time or --gib of memory is ended and said to be; it is
not run again. --jobs pairs run at the same time.

The second form measures our networks alone, with the architecture, batch and epochs that the peers
are compared at, and needs neither peers nor their environments (``sides/device.py``).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

from sides import environments, page, processes, tables
from sides.pairs import PAIRS, Pair

STEPS = "steps"
ADULT, ADULT_ROWS = "adult", tables.known(48_842)


def main() -> None:
    """Compare what is asked for, pair by pair."""
    options = arguments()
    results = kept(options.kept) | {"place": place()}
    results["commands"].append(command(sys.argv))
    with tempfile.TemporaryDirectory(prefix="peers") as scratch:
        if options.device:
            results["devices"] = devices(options, results, Path(scratch))
        else:
            compare(options, results, Path(scratch))
    save(options, results)
    print(page.page(results))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--rows", type=parsed_rows, default=[None, 300_000])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--draws", type=int, default=10_000, help="rows that each side draws")
    parser.add_argument("--seconds", type=float, default=150.0, help="CPU seconds of a process")
    parser.add_argument("--gib", type=float, default=9.0, help="memory of a process")
    parser.add_argument("--jobs", type=int, default=1, help="pairs at the same time")
    parser.add_argument("--kept", type=Path, help="file of what is found, JSON")
    parser.add_argument("--page", type=Path, help="file of the page, Markdown")
    parser.add_argument("--resume", action="store_true", help="run what --kept does not have")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="our networks alone, there")
    options = parser.parse_args()
    options.limits = processes.Limits(options.seconds, options.gib * 1024)
    known = {STEPS, *(name for pair in PAIRS for name in (pair.name, pair.generator))}
    if strange := sorted(set(options.only) - known):
        parser.error(f"--only must name some of {', '.join(sorted(known))}; got {strange}")
    if not options.device and options.environments is None:
        parser.error("peers need --environments FOLDER; --device measures ours alone")
    return options


def parsed_rows(text: str) -> list[int | None]:
    """Read sizes: whole numbers >= 1, or adult, which is None."""
    return [None if part == ADULT else int(part) for part in text.split(",")]


def chosen(name: str, only: Sequence[str]) -> bool:
    """Whether --only, if it names anything, names this."""
    return not only or name in only


def pairs_of(rows: int | None, options: argparse.Namespace) -> list[Pair]:
    """Return the pairs that a size is for: all at those asked for, slow ones at a small one."""
    asked = [
        pair
        for pair in PAIRS
        if chosen(pair.name, options.only) or chosen(pair.generator, options.only)
    ]
    return [
        pair
        for pair in asked
        if rows == pair.small
        or (rows in options.rows and (rows or ADULT_ROWS) <= (pair.largest or math.inf))
    ]


def sizes(options: argparse.Namespace) -> list[int | None]:
    """Return the sizes to run, those of single pairs first."""
    small = sorted({pair.small for pair in PAIRS if pair.small} - set(options.rows))
    return [rows for rows in (*small, *options.rows) if pairs_of(rows, options)]


def compare(options: argparse.Namespace, results: dict[str, Any], folder: Path) -> None:
    """Compare at each size, then measure the training steps; save after each part."""
    for rows in sizes(options):
        compare_all(rows, options, results, folder / str(rows))
    if chosen(STEPS, options.only) and not (options.resume and results["steps"]):
        tables.write(options.csv, None, folder / STEPS)
        results["steps"] = processes.run(sys.executable, STEPS, [folder / STEPS], options.limits)


def compare_all(
    rows: int | None, options: argparse.Namespace, results: dict[str, Any], folder: Path
) -> None:
    """Compare the pairs of a size; save after each."""
    table = results["tables"].setdefault(label(rows), {"pairs": {}})
    pairs = [p for p in pairs_of(rows, options) if not known(p, table, options)]
    if not pairs:
        return
    count = tables.write(options.csv, rows, folder)
    judge = tables.Judge(folder)
    table |= {"rows": count, "real": judge.real()}
    lock = Lock()

    def one(pair: Pair) -> None:
        found = compared(pair, count, judge, options, folder)
        with lock:
            table["pairs"][pair.name] = found
            save(options, results)
            print(page.in_full([(pair, found)]), flush=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, pairs))


def label(rows: int | None) -> str:
    """Return what the page calls the table of a size."""
    return ADULT if rows is None else f"adult at {rows:,}"


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings under which a pair runs."""
    return {name: getattr(options, name) for name in ("epochs", "draws", "repeats", "seconds")}


def known(pair: Pair, table: dict[str, Any], options: argparse.Namespace) -> bool:
    """Whether --resume finds a pair done at these settings."""
    found = table["pairs"].get(pair.name, {})
    return options.resume and asked(options).items() <= found.items()


def compared(
    pair: Pair, rows: int, judge: tables.Judge, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Run both sides of a pair in turns."""
    found: dict[str, Any] = {**asked(options), "ours": [], "peer": []}
    for seed in range(options.repeats):
        for side in ("ours", "peer") if seed % 2 == 0 else ("peer", "ours"):
            if (side == "peer" and pair.peer is None) or any("ended" in r for r in found[side]):
                continue
            run = one_run(pair, side, rows, seed, options, folder)
            if "ended" not in run:
                run |= scored(judge, folder / f"{pair.name}.csv")
            found[side].append(run)
    return found


def one_run(
    pair: Pair, side: str, rows: int, seed: int, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Fit and draw once by one side, into the file NAME.csv."""
    given = ["--epochs", options.epochs, "--draws", options.draws, "--seed", seed, "--settings"]
    out = folder / f"{pair.name}.csv"
    if side == "ours":
        given = [pair.generator, folder, out, *given, json.dumps(pair.ours(rows, options.epochs))]
        given += ["--budget", *pair.budget] if pair.budget else []
        return processes.run(sys.executable, "ours", given, options.limits)
    assert pair.peer is not None
    try:
        python = environments.python_of(options.environments, pair.peer.environment)
    except RuntimeError as error:
        return {"ended": f"failed: {error}"}
    peer = pair.peer
    given = [peer.library, peer.kind, folder / "train.csv", out, "--target", tables.TARGET, *given]
    given += [json.dumps(peer.settings), "--packages", *peer.packages]
    return processes.run(python, "theirs", given, options.limits)


def scored(judge: tables.Judge, drawn: Path) -> dict[str, Any]:
    """Score drawn rows; what is no table under the Schema has no score but a reason."""
    try:
        return judge.scores(drawn)
    except ValueError as error:
        return {"ended": f"failed: the drawn rows cannot be scored: {error}"}


def devices(options: argparse.Namespace, results: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure our networks on a device, at each size, and their steps on adult."""
    known = results.get("devices") or {}
    found = known.setdefault(options.device, {"tables": {}})
    given = ["--device", options.device]
    for rows in options.rows:
        count = tables.write(options.csv, rows, folder / str(rows))
        asks = ["--epochs", options.epochs, "--draws", options.draws, "--only", *options.only]
        run = processes.run(
            sys.executable, "device", [folder / str(rows), *given, *asks], options.limits
        )
        found["tables"][label(rows)] = run | {"rows": count, "epochs": options.epochs}
    if chosen(STEPS, options.only):
        tables.write(options.csv, None, folder / STEPS)
        found["steps"] = processes.run(
            sys.executable, STEPS, [folder / STEPS, *given], options.limits
        )
    return known


def place() -> dict[str, str]:
    """Describe where this runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    busy = os.getloadavg()[0]
    return {
        "processor": f"{model}, {os.cpu_count()} cores, load {busy:.1f} when it began",
        "ours": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {installed(name)}" for name in ("syntharena", "numpy", "torch")),
    }


def installed(name: str) -> str:
    """Return the version of a package; a folder on PYTHONPATH has none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def command(arguments: Sequence[str]) -> str:
    """Return what was typed; of a path from the root only its last part."""
    shown = [Path(a).name if Path(a).is_absolute() else a for a in arguments[1:]]
    return shlex.join(["python", "scripts/speed/peers.py", *shown])


def kept(file: Path | None) -> dict[str, Any]:
    """Read what earlier runs found."""
    if file and file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    return {"commands": [], "place": {}, "tables": {}, "steps": None}


def save(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Write what was found, and the page of it; what a person wrote into the page stays."""
    if options.kept:
        write(options.kept, json.dumps(results, indent=1) + "\n")
    if options.page:
        earlier = options.page.read_text(encoding="utf-8") if options.page.is_file() else ""
        write(options.page, page.page(results, page.words_of(earlier)))


def write(file: Path, text: str) -> None:
    """Write a file and the folders that it needs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
