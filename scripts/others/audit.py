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
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WORKER = Path(__file__).with_name("worker.py")
BITS = {name: {"kind": "categorical", "categories": [0, 1]} for name in "abc"}
LETTERS = {
    name: {"kind": "categorical", "categories": [f"{name}{i}" for i in range(4)]} for name in "xyz"
}
FOREIGN = "RARE"  # the category outside the public domain
EQUAL_ROWS = {"tiny": 4, "hundred": 100, "thousand": 1000}  # of zeros, beside one row of ones
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
        The smallest of ``EQUAL_ROWS`` on which it works.
    settings : dict
        Arguments of its constructor that make a fit cheaper or possible; no claim depends on them.
    """

    name: str
    pair: str
    settings: dict[str, Any]


SMALL = {"generator_n_units_hidden": 50, "discriminator_n_units_hidden": 50}
# Small networks that learn within the few rounds that this accountant allows.
LEARNS = {"generator_dim": [32], "discriminator_dim": [32], "teacher_iters": 50, "batch_size": 100}
LEARNS |= {"generator_lr": 0.01, "discriminator_lr": 0.01}
FEWER_STEPS = {"gen_kwargs": {"n_iters": 200}}  # of the estimate, which sees only noisy counts
METHODS = (
    Method("smartnoise_mst", "tiny", {}),
    Method("smartnoise_aim", "tiny", {}),
    Method("smartnoise_mwem", "tiny", {}),
    Method("smartnoise_patectgan", "hundred", {"public_domain": True, **LEARNS}),
    Method("smartnoise_dpctgan", "tiny", {"batch_size": 10, "epochs": 5}),
    Method("smartnoise_dpgan", "tiny", {"batch_size": 10, "epochs": 5}),
    Method("smartnoise_pategan", "thousand", {}),  # one teacher per thousand rows
    Method("synthcity_pategan", "tiny", {"strict": False, "n_iter": 2, "n_teachers": 2, **SMALL}),
    Method("synthcity_dpgan", "tiny", {"strict": False, "n_iter": 20, **SMALL}),
    Method("synthcity_privbayes", "tiny", {"strict": False}),
    Method("datasynthesizer_privbayes", "tiny", {}),
    Method("dpmm_mst", "tiny", FEWER_STEPS),
    Method("dpmm_aim", "tiny", FEWER_STEPS),
    Method("dpmm_privbayes", "tiny", {}),
    Method("opendp_mst", "tiny", {}),
    Method("opendp_aim", "tiny", {}),
)


def write_pairs(folder: Path) -> None:
    """Write the pairs of tables and their public domains."""
    for name, rows in EQUAL_ROWS.items():
        zeros = pd.DataFrame(0, index=range(rows), columns=list(BITS))
        write_pair(folder / name, zeros, dict.fromkeys(BITS, 1), BITS)
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
    library = method.name.partition("_")[0]
    base = [str(options.environments / library / "bin" / "python"), str(WORKER)]
    base += ["--method", method.name, "--epsilon", str(options.epsilon)]
    for name, value in method.settings.items():
        base += ["--set", f"{name}={json.dumps(value)}"]
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
    """Run what a method has no file of yet; the end of a method's errors is printed."""
    for out, command in commands(method, options):
        if out.exists():
            continue
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        log = options.out / "logs" / f"{out.stem}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("w") as stream:
            try:
                code: int | str = subprocess.run(
                    command,
                    stdout=stream,
                    stderr=stream,
                    env=environment,
                    timeout=options.seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = f"stopped after {options.seconds} s"
        print(f"{out.name}: {code if out.exists() else f'{code}, nothing written, see {log}'}")


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
    sys.stdout.flush()


if __name__ == "__main__":
    main()
