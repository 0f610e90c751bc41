"""Print what tuning gave on holdout: ``tuning_gain.py RESULTS [--page PAGE]``.

With ``--page`` it is put into a page, between ``<!-- table -->`` and ``<!-- /table -->``.

RESULTS holds cells of generators with defaults and with tuned hyperparameters. A line is a
generator on a dataset, over the seeds that both have; the last are generators on all datasets,
each seed with its mean over them. The objective is what a search maximises, the mean of a utility
and a fidelity metric, here on the holdout, which no search has seen: with defaults, tuned, and the
mean difference with its 95 % interval (Student's t, one difference for each seed). It "helps" or
"harms" where the interval is on one side of 0; a single seed shows neither. Trials are those that
ended, not one that the end of the search interrupted.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syntharena.bench.canonical import digest
from syntharena.bench.store import Store
from syntharena.evaluators.intervals import of_seeds

ALL = "all"
HEADS = ("dataset", "generator", "seeds", "trials", "CPU s", "default", "tuned", "difference")
ON_PAGE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)


@dataclass(frozen=True)
class Gain:
    """A generator on a dataset, default beside tuned: a value for each seed that has both.

    ``row`` tells generators and budgets of one name apart.
    """

    dataset: str
    generator: str
    row: str
    seeds: tuple[int, ...]
    defaults: list[float]
    tuned: list[float]
    trials: list[float]
    seconds: list[float]

    @property
    def differences(self) -> list[float]:
        """Tuned less default, seed by seed."""
        return [after - before for before, after in zip(self.defaults, self.tuned, strict=True)]

    @property
    def verdict(self) -> str:
        """What the interval of the difference shows."""
        found = of_seeds(self.differences)
        if len(self.differences) < 2 or found.low <= 0 <= found.high:
            return "not shown"
        return "helps" if found.value > 0 else "harms"


def gains(records: Iterable[Mapping[str, Any]]) -> list[Gain]:
    """Return what the records say, by dataset and generator.

    Raises
    ------
    ValueError
        If a tuned cell has no counterpart with defaults.
    """
    defaults, tuned = {}, defaultdict(list)
    for record in records:
        if "tuning" in record["cell"]:
            tuned[without(record, "tuning", "seeds")].append(record)
        else:
            defaults[without(record, "tuning")] = record
    return sorted(
        (gain(defaults, records) for records in tuned.values()),
        key=lambda found: (found.dataset, found.generator),
    )


def without(record: Mapping[str, Any], *parts: str) -> str:
    """Return what identifies a cell, but for some parts of it."""
    return digest({name: part for name, part in record["cell"].items() if name not in parts})


def gain(defaults: Mapping[str, Mapping[str, Any]], tuned: list[Mapping[str, Any]]) -> Gain:
    """Compare the cells of a row seed by seed."""
    tuned = sorted(tuned, key=seed_of)
    paired = [defaults.get(without(record, "tuning")) for record in tuned]
    before = [record for record in paired if record is not None]
    if len(before) < len(tuned):
        generator, dataset = (tuned[0]["names"][part] for part in ("generator", "dataset"))
        absent = [seed_of(r) for r, default in zip(tuned, paired, strict=True) if default is None]
        generator = generator.partition(" (")[0]
        raise ValueError(f"{generator} on {dataset} has no cells with defaults, seeds {absent}")
    return Gain(
        before[0]["names"]["dataset"],
        before[0]["names"]["generator"],
        digest([before[0]["cell"][part] for part in ("generator", "budget")]),
        tuple(map(seed_of, tuned)),
        *(
            [objective(record, by) for record, by in zip(records, tuned, strict=True)]
            for records in (before, tuned)
        ),
        [ended(record["tuning"]["trials"]) for record in tuned],
        [record["cost"]["tuning_cpu_seconds"] for record in tuned],
    )


def ended(trials: Iterable[Mapping[str, Any]]) -> int:
    """Count the trials that a search had time for."""
    return sum(trial["state"] != "unfinished" for trial in trials)


def over_datasets(found: Iterable[Gain]) -> list[Gain]:
    """Return the means over datasets, of the rows that have several with equal seeds."""
    rows = defaultdict(list)
    for one in found:
        rows[one.generator, one.row].append(one)
    return [
        Gain(
            ALL,
            generator,
            row,
            ours[0].seeds,
            *(
                np.mean([getattr(one, name) for one in ours], axis=0).tolist()
                for name in ("defaults", "tuned", "trials", "seconds")
            ),
        )
        for (generator, row), ours in sorted(rows.items())
        if len(ours) > 1 and len({one.seeds for one in ours}) == 1
    ]


def seed_of(record: Mapping[str, Any]) -> int:
    """Return the seed of a cell's training."""
    return record["cell"]["seeds"]["train"]


def objective(record: Mapping[str, Any], tuned: Mapping[str, Any]) -> float:
    """Return what the search of a tuned cell maximises, as a record has it on the holdout.

    Which metrics these are depends on the task; those of other tasks are not in a record.
    """
    names = {
        name
        for of_task in tuned["cell"]["tuning"]["search"]["objective"].values()
        for name in of_task
    }
    return float(
        np.mean([record["metrics"][name] for name in sorted(names & set(tuned["metrics"]))])
    )


def line(found: Gain) -> str:
    """Return a line of the table."""
    difference = of_seeds(found.differences)
    interval = f" [{difference.low:+.4f}, {difference.high:+.4f}]"
    several = len(found.differences) > 1
    cells = (
        found.dataset,
        found.generator,
        len(found.tuned),
        f"{np.mean(found.trials):.0f}",
        f"{np.mean(found.seconds):.0f}",
        f"{np.mean(found.defaults):.4f}",
        f"{np.mean(found.tuned):.4f}",
        f"{difference.value:+.4f}{interval * several}",
        found.verdict,
    )
    return f"| {' | '.join(map(str, cells))} |"


def table(found: list[Gain]) -> str:
    """Return the table, as Markdown."""
    heads = f"| {' | '.join(HEADS)} | |\n|---|---|{'---:|' * (len(HEADS) - 2)}---|\n"
    return heads + "".join(f"{line(one)}\n" for one in found + over_datasets(found))


def with_table(page: str, found: list[Gain]) -> str:
    """Return a page with the table as it is now."""
    return ON_PAGE.sub(lambda _: table(found), page)


def main() -> None:
    """Read the records and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the Store's folder")
    parser.add_argument("--page", type=Path, help="put the table into this page instead")
    options = parser.parse_args()
    found = gains(r for r in Store(options.results).records() if r["status"] == "ok")
    if not found:
        parser.error(f"{options.results} holds no tuned cell")
    if options.page is None:
        print(table(found), end="")
    else:
        options.page.write_text(with_table(options.page.read_text(encoding="utf-8"), found))


if __name__ == "__main__":
    main()
