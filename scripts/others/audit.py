"""Audit other people's private synthesizers: ``audit.py ENVIRONMENTS OUT [--only METHOD ...]``.

ENVIRONMENTS holds one virtual environment per library, named as README.md beside this file says.
Each method is fitted again and again on a pair of tables that differ in one record (``PAIRS``), and
five times on a pair whose extra record has a category outside the public domain. OUT then holds
what ``worker.py`` saw, METHOD.PAIR.npz and METHOD.json, for ``verdicts.py``. A method that reaches
the limit of seconds keeps the fits that it has; what OUT has already is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import calls
import numpy as np
import pandas as pd

BITS = {name: {"kind": "categorical", "categories": [0, 1]} for name in "abc"}
LETTERS = {
    name: {"kind": "categorical", "categories": [f"{name}{i}" for i in range(4)]} for name in "xyz"
}
FOREIGN = "RARE"  # the category outside the public domain
# Rows of zeros, and rows with a single one in turn; one of the tables has a row of ones as well.
PAIRS = {"tiny": (4, 0), "hundred": (100, 0), "thousand": (1000, 0), "mixed": (100, 6)}
SCHEMA_ROWS = 1000
SCHEMA_RUNS = 5


@dataclass(frozen=True)
class Method:
    """A method as it is audited.

    Parameters
    ----------
    name : str
        LIBRARY_METHOD of ``worker.py``.
    pair : str
        The first of ``PAIRS`` on which it works at all.
    settings : dict
        Arguments of its constructor that make a fit cheaper or possible; no claim depends on them.
    """

    name: str
    pair: str
    settings: dict[str, Any]


SMALL = {"generator_n_units_hidden": 50, "discriminator_n_units_hidden": 50}
# Small networks that learn within the rounds that its accountant allows, which a larger noise
# multiplier (its inverse scale) makes few.
LEARNS = {"generator_dim": [32], "discriminator_dim": [32], "batch_size": 20}
LEARNS |= {"teacher_iters": 20, "student_iters": 1, "noise_multiplier": 0.006}
LEARNS |= {"generator_lr": 0.01, "discriminator_lr": 0.01}
FEWER_STEPS = {"gen_kwargs": {"n_iters": 200}}  # of the estimate, which sees only noisy counts
METHODS = (
    Method("smartnoise_mst", "tiny", {}),
    Method("smartnoise_aim", "tiny", {}),
    Method("smartnoise_mwem", "tiny", {}),
    Method("smartnoise_patectgan", "tiny", {"public_domain": True, **LEARNS}),
    Method("smartnoise_dpctgan", "hundred", {"batch_size": 10, "epochs": 5}),
    Method("smartnoise_dpgan", "hundred", {"batch_size": 10, "epochs": 5}),
    Method("smartnoise_pategan", "thousand", {}),  # one teacher per thousand rows
    Method("synthcity_pategan", "tiny", {"strict": False, "n_iter": 2, "n_teachers": 2, **SMALL}),
    Method("synthcity_dpgan", "tiny", {"strict": False, "n_iter": 20, **SMALL}),
    Method("synthcity_privbayes", "hundred", {"strict": False}),
    Method("datasynthesizer_privbayes", "tiny", {}),
    Method("dpmm_mst", "mixed", FEWER_STEPS),
    Method("dpmm_aim", "mixed", FEWER_STEPS),
    Method("dpmm_privbayes", "mixed", {}),
    Method("opendp_mst", "tiny", {}),
    Method("opendp_aim", "tiny", {}),
)


def write_pairs(folder: Path) -> None:
    """Write the pairs of tables and their public domains."""
    for name, (zeros, singles) in PAIRS.items():
        bits = np.zeros((zeros + singles, len(BITS)), dtype=int)
        bits[range(zeros, zeros + singles), np.arange(singles) % len(BITS)] = 1
        rows = pd.DataFrame(bits, columns=list(BITS))
        write_pair(folder / name, rows, dict.fromkeys(BITS, 1), BITS)
    rng = np.random.default_rng(0)
    letters = pd.DataFrame(
        {name: rng.choice(column["categories"], SCHEMA_ROWS) for name, column in LETTERS.items()}
    )
    foreign = {name: column["categories"][0] for name, column in LETTERS.items()} | {"x": FOREIGN}
    write_pair(folder / "foreign", letters, foreign, LETTERS)


def write_pair(folder: Path, rows: pd.DataFrame, extra: dict[str, Any], domain: Any) -> None:
    """Write a table, the same with one record more, and the domain."""
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / "without.csv", index=False)
    pd.concat([rows, pd.DataFrame([extra])]).to_csv(folder / "with.csv", index=False)
    (folder / "schema.json").write_text(json.dumps(domain))


def commands(method: Method, options: argparse.Namespace) -> list[tuple[Path, list[str]]]:
    """Return what is to be written and the command that writes it."""
    base = calls.command(options.environments, method.name, method.settings, options.epsilon)
    runs, foreign = (
        options.out / f"{method.name}{end}" for end in (f".{method.pair}.npz", ".json")
    )
    pairs, rows = options.out / "pairs", str(options.rows)
    many = [*base, "--pair", str(pairs / method.pair), "--runs", f"0:{options.runs}"]
    few = [*base, "--pair", str(pairs / "foreign"), "--runs", f"0:{SCHEMA_RUNS}"]
    few += ["--check-schema", FOREIGN]
    return [
        (out, [*command, "--rows", rows, "--out", str(out)])
        for out, command in ((foreign, few), (runs, many))
    ]


def audit(method: Method, options: argparse.Namespace) -> None:
    """Run what a method has no file of yet."""
    for out, command in commands(method, options):
        if not out.exists():
            ended = calls.call(command, options.out / "logs" / f"{out.stem}.log", options.seconds)
            print(f"{out.name}: {ended}{'' if out.exists() else ', nothing written'}", flush=True)


def main() -> None:
    """Audit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*", default=[method.name for method in METHODS])
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=200, help="fits in each of the two worlds")
    parser.add_argument("--rows", type=int, default=1000, help="synthetic rows of each fit")
    parser.add_argument("--seconds", type=float, default=900.0, help="limit of each method")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    write_pairs(options.out / "pairs")
    chosen = [method for method in METHODS if method.name in options.only]
    if not chosen:
        parser.error(f"--only names none of {', '.join(method.name for method in METHODS)}")
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda method: audit(method, options), chosen))


if __name__ == "__main__":
    main()
