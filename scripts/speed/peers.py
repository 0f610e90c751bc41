"""Print our generators beside other people's: speed, memory and quality, at the same settings.

    python scripts/speed/peers.py ADULT_CSV --environments FOLDER [--rows adult,300000]
        [--only NAME ...] [--epochs 3] [--repeats 3] [--seconds 300] [--out results/speed/peers.md]

ADULT_CSV is the adult table (48,842 rows, also gzipped). Each peer has an environment in FOLDER,
which is made if it is missing (``sides/environments.py``). NAME is a pair of ``sides/pairs.py``,
one of our generators, or "steps": where the time of our training steps goes. Tables of 300,000 rows
repeat adult's train rows.

With --out the page is written after every pair, and what it is made of beside it as JSON: a run
with --only replaces its own lines and leaves the others alone. Whatever reaches --seconds of CPU
time or --gib of memory is ended and said to be; it is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sides import environments, page, processes, tables
from sides.pairs import PAIRS, Pair

STEPS = "steps"
ADULT = "adult"


def main() -> None:
    """Compare what is asked for, pair by pair."""
    options = arguments()
    results = kept(options.out) | {"place": place()}
    results["commands"].append(command(sys.argv))
    with tempfile.TemporaryDirectory(prefix="peers") as scratch:
        for rows in sizes(options):
            compare_all(rows, options, results, Path(scratch) / str(rows))
        if chosen(STEPS, options.only):
            results["steps"] = steps(options, Path(scratch) / STEPS)
            save(options.out, results)
    print(page.page(results))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--rows", type=parsed_rows, default=[None, 300_000])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10_000, help="rows that each side draws")
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds of a process")
    parser.add_argument("--gib", type=float, default=9.0, help="memory of a process")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.limits = processes.Limits(options.seconds, options.gib * 1024)
    known = {STEPS, *(name for pair in PAIRS for name in (pair.name, pair.generator))}
    if strange := sorted(set(options.only) - known):
        parser.error(f"--only must name some of {', '.join(sorted(known))}; got {strange}")
    return options


def parsed_rows(text: str) -> list[int | None]:
    """Read sizes: whole numbers >= 1, or adult, which is None."""
    return [None if part == ADULT else int(part) for part in text.split(",")]


def chosen(name: str, only: Sequence[str]) -> bool:
    """Whether --only, if it names anything, names this."""
    return not only or name in only


def pairs_of(rows: int | None, options: argparse.Namespace) -> list[Pair]:
    """Return the pairs that a size is for: all at those asked for, some at a small one."""
    asked = [
        pair
        for pair in PAIRS
        if chosen(pair.name, options.only) or chosen(pair.generator, options.only)
    ]
    return [pair for pair in asked if rows in options.rows or rows == pair.small]


def sizes(options: argparse.Namespace) -> list[int | None]:
    """Return the sizes to run, those of single pairs first."""
    small = sorted({pair.small for pair in PAIRS if pair.small} - set(options.rows))
    return [rows for rows in (*small, *options.rows) if pairs_of(rows, options)]


def compare_all(
    rows: int | None, options: argparse.Namespace, results: dict[str, Any], folder: Path
) -> None:
    """Compare the pairs of a size; save after each."""
    count = tables.write(options.csv, rows, folder)
    judge = tables.Judge(folder)
    label = ADULT if rows is None else f"adult at {rows:,}"
    table = results["tables"].setdefault(label, {"pairs": {}})
    table |= {"rows": count, "real": judge.real()}
    for pair in pairs_of(rows, options):
        found = compared(pair, count, judge, options, folder)
        table["pairs"][pair.name] = found
        save(options.out, results)
        print(page.in_full([(pair, found)]), flush=True)


def compared(
    pair: Pair, rows: int, judge: tables.Judge, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Run both sides of a pair in turns."""
    found: dict[str, Any] = {"epochs": options.epochs, "draws": options.draws}
    found |= {"ours": [], "peer": []}
    for seed in range(options.repeats):
        for side in ("ours", "peer") if seed % 2 == 0 else ("peer", "ours"):
            if (side == "peer" and pair.peer is None) or any("ended" in r for r in found[side]):
                continue
            run = one_run(pair, side, rows, seed, options, folder)
            if "ended" not in run:
                run |= scored(judge, folder / "drawn.csv")
            found[side].append(run)
    return found


def one_run(
    pair: Pair, side: str, rows: int, seed: int, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Fit and draw once by one side, into drawn.csv."""
    given = ["--epochs", options.epochs, "--draws", options.draws, "--seed", seed, "--settings"]
    out = folder / "drawn.csv"
    if side == "ours":
        given = [pair.generator, folder, out, *given, json.dumps(pair.ours(rows, options.epochs))]
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


def steps(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the training steps of our networks."""
    tables.write(options.csv, None, folder)
    return processes.run(sys.executable, STEPS, [folder], options.limits)


def place() -> dict[str, str]:
    """Describe where this runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    busy = os.getloadavg()[0]
    return {
        "processor": f"{model}, {os.cpu_count()} cores, load {busy:.1f} when it began",
        "ours": f"syntharena {version('syntharena')}, Python {platform.python_version()}, "
        f"numpy {version('numpy')}, torch {version('torch')}",
    }


def command(arguments: Sequence[str]) -> str:
    """Return what was typed; of a path from the root only its last part."""
    shown = [Path(a).name if Path(a).is_absolute() else a for a in arguments[1:]]
    return shlex.join(["python", "scripts/speed/peers.py", *shown])


def kept(out: Path | None) -> dict[str, Any]:
    """Read what earlier runs found."""
    known = out and out.with_suffix(".json")
    if known and known.exists():
        return json.loads(known.read_text(encoding="utf-8"))
    return {"commands": [], "place": {}, "tables": {}, "steps": None}


def save(out: Path | None, results: dict[str, Any]) -> None:
    """Write the page, and what it is made of beside it."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        out.write_text(page.page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
