"""What the scripts of this folder share: options, tables, generators, and what a run cost.

Without options a script runs its protocol in full. What makes a run smaller, a preset below paper
or fewer rows or seeds, is said in its section, and nothing of it counts as reproduced. A machine
with a GPU may draw what another one scores: --keep there, then --kept here.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from comparison import Run

from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.data import datasets
from syntharena.bench.data.datasets import Dataset
from syntharena.bench.running import environment
from syntharena.bench.schema import Schema

REAL = "real"  # in place of a generator: the training rows themselves
ROOT = Path(__file__).parents[2]


def parser(doc: str | None, generators: list[str], seeds: int) -> argparse.ArgumentParser:
    """Return the options that all scripts have; the defaults are the protocol in full.

    Parameters
    ----------
    doc : str
        The script's docstring.
    generators : list of str
        Those that are run if none is named; one of ``conf/generator`` may be named as well.
    seeds : int
        How often the protocol fits or draws.
    """
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    known = {REAL, *generators, *config.all_options("generator")}

    def generator(name: str) -> str:
        if name not in known:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(sorted(known))}")
        return name

    made.add_argument(
        "generators", nargs="*", type=generator, default=generators, metavar="GENERATOR"
    )
    made.add_argument("--preset", choices=config.PRESETS, default="paper")
    made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--rows", type=int, help="most rows to learn from, for a quick look")
    made.add_argument("--out", type=Path, help="a Markdown page to put the figures into")
    drawn = made.add_mutually_exclusive_group()
    drawn.add_argument("--keep", type=Path, help="a folder for what is drawn; nothing is scored")
    drawn.add_argument("--kept", type=Path, help="such a folder; nothing is fitted or drawn")
    return made


def load(name: str) -> Dataset:
    """Return a dataset of ``conf/dataset``; SYNTHARENA_DATA is the folder of tables."""
    spec = config.all_options("dataset")[name]
    return datasets.load(spec, data_dir=Path(os.environ.get("SYNTHARENA_DATA", ".")))


class Trial:
    """One generator under one protocol: fits it, draws from it, and says what that took.

    Parameters
    ----------
    name : str
        A generator of ``conf/generator``, or "real", whose rows are those it was fitted on.
    options : argparse.Namespace
        What ``parser`` gave.
    budget : Budget, optional
        The privacy budget of every fit; none is asked for if left out.
    table : str, optional
        What it learns from, part of the names of kept files; for a script with several tables.
    **changes
        Arguments of the generator that are not those of its file.
    """

    def __init__(
        self,
        name: str,
        options: argparse.Namespace,
        budget: Budget | None = None,
        table: str | None = None,
        **changes: Any,
    ) -> None:
        _commit()  # of the code that runs, not of what is there when it ends
        self.options, self.budget = options, budget or Budget()
        self.name, self.table, self.drawn = name, table, 0
        self.making, self.waiting, self.is_paper = 0.0, 0.0, True
        self.started = time.process_time()
        if name == REAL:
            self.spec = None
            return
        specs = config.all_options("generator", preset=options.preset)
        self.spec = {**specs[name], **changes}
        paper = config.all_options("generator", preset="paper")
        self.is_paper = specs[name] == paper[name]

    def fit(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> None:
        """Fit the generator anew."""
        if self.spec is None or self.options.kept:
            self.train = train
            return
        with self._timed():
            self.generator = targets.build(self.spec, ("fit", "sample"))
            self.generator.fit(train, schema=schema, budget=self.budget, rng=rng)

    def draw(self, count: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows from what was fitted last."""
        if self.spec is None:
            return self.train
        self.drawn += 1
        if self.options.kept:
            return pd.read_parquet(self._file(self.options.kept, f"{self.drawn}.parquet"))
        with self._timed():
            made = self.generator.sample(count, rng=rng)
        if self.options.keep:
            self._keep(made)
        return made

    def rows(self, train: pd.DataFrame, schema: Schema, seed: int) -> pd.DataFrame:
        """Fit, and draw as many rows as were learned from."""
        rng = np.random.default_rng(seed)
        self.fit(train, schema, rng)
        return self.draw(len(train), rng)

    def run(self, **counts: tuple[int, int]) -> Run:
        """Say how the trial was run, up to now.

        Parameters
        ----------
        **counts : (int, int)
            How many of something, such as rows or seeds, there were and the protocol has.
        """
        size, reduced = [], not self.is_paper
        if self.spec is not None:
            size.append(f"preset {self.options.preset}{', not paper' * reduced}")
        for what, (had, full) in counts.items():
            size.append(f"{what} {had:,}" + (f" of {full:,}" if had < full else ""))
            reduced |= had < full
        seconds = time.process_time() - self.started
        cost = f"{seconds:,.1f} CPU seconds, of which {self.making:,.1f} to fit and draw"
        place = _place()
        if self.options.kept:
            told = json.loads(self._file(self.options.kept, "json").read_text(encoding="utf-8"))
            cost = f"{told['cost']} to fit and draw; {seconds:,.1f} CPU seconds to score"
            place = f"{told['place']}; scored on {place}"
        return Run(_command(), ", ".join(size), cost, place, reduced)

    def _keep(self, made: pd.DataFrame) -> None:
        """Write what was drawn, and what fitting and drawing took up to now."""
        self.options.keep.mkdir(parents=True, exist_ok=True)
        made.to_parquet(self._file(self.options.keep, f"{self.drawn}.parquet"), compression="zstd")
        cost = f"{self.making:,.1f} CPU seconds, {self.waiting:,.1f} s of wall time"
        told = json.dumps({"cost": cost, "place": _place()})
        self._file(self.options.keep, "json").write_text(told + "\n", encoding="utf-8")

    def _file(self, folder: Path, end: str) -> Path:
        return folder / ".".join(filter(None, (self.name, self.table, end)))

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        started, begun = time.process_time(), time.monotonic()
        yield
        self.making += time.process_time() - started
        self.waiting += time.monotonic() - begun


def _command() -> str:
    """Return what was typed, but for the page and the folder, which decide no figure."""
    words, typed = iter(sys.argv[1:]), []
    for word in words:
        option, _, value = word.partition("=")
        if option not in ("--out", "--keep", "--kept"):
            typed.append(word)
        elif not value:
            next(words, None)
    script = Path(sys.argv[0]).resolve()
    path = script.relative_to(ROOT) if script.is_relative_to(ROOT) else Path(script.name)
    return shlex.join(["python", path.as_posix(), *typed])


def _place() -> str:
    machine = environment.describe()
    commit = os.environ.get("SYNTHARENA_COMMIT") or _commit()  # of a copy without its history
    place = f"syntharena {machine['syntharena']} at {commit}, {machine['cpu']}, "
    place += f"{machine['cpus']} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        place += f", {torch.cuda.get_device_name()}"
    return place


@functools.cache
def _commit() -> str:
    """Return the commit of the code, + if changed; pages that runs have written are no change."""
    git = ["git", "-C", str(ROOT)]
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results"]
    try:
        commit, changes = (
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            for command in ([*git, "rev-parse", "--short=12", "HEAD"], changed)
        )
    except (OSError, subprocess.SubprocessError):
        return "no commit"
    return f"{commit}{'+' * bool(changes)}"
