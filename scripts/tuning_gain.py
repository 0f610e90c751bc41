"""Print what tuning gave on holdout: ``tuning_gain.py RESULTS [--out PAGE]``.

RESULTS holds cells of generators with defaults and with tuned hyperparameters. A line is a
generator on a dataset, over the seeds that both have. The objective is what a search maximises, the
mean of a utility and a fidelity metric, here on the holdout, which no search has seen: with
defaults, tuned, and the mean difference with its 95 % interval (Student's t, one difference for
each seed). It "helps" or "harms" where the interval is on one side of 0; a single seed shows
neither.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from syntharena.bench.store import Store
from syntharena.evaluators.intervals import of_seeds

TUNED = " (tuned"  # what follows the generator's name in the label of a tuned row
HEADS = ("dataset", "generator", "seeds", "trials", "search s", "default", "tuned", "difference")
TOP = """# What tuning gave on holdout

    python scripts/tuning_gain.py results/tuning

The objective of the searches, the mean of TSTR by XGBoost (AUROC, or R2 of a number) and the trend
score, on the holdout, which no search saw. The difference has its 95 % interval over seeds
(Student's t). Trials and the CPU seconds of a search are means over seeds.

"""


@dataclass(frozen=True)
class Gain:
    """A generator on a dataset, default beside tuned: a value for each seed that has both."""

    dataset: str
    generator: str
    defaults: list[float]
    tuned: list[float]
    trials: list[int]
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
        name, _, changed = record["names"]["generator"].partition(TUNED)
        place = record["names"]["dataset"], name
        seed = record["cell"]["seeds"]["train"]
        if changed:
            tuned[place].append((seed, record))
        else:
            defaults[*place, seed] = record
    found = []
    for place, pairs in sorted(tuned.items()):
        pairs.sort(key=lambda pair: pair[0])
        if absent := [seed for seed, _ in pairs if (*place, seed) not in defaults]:
            raise ValueError(f"{place[1]} on {place[0]} has no cells with defaults, seeds {absent}")
        found.append(gain(place, [(defaults[*place, seed], record) for seed, record in pairs]))
    return found


def gain(place: tuple[str, str], pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Gain:
    """Compare cells seed by seed."""
    names = metrics_of(pairs[0][1])
    before, after = (
        [float(np.mean([pair[side]["metrics"][name] for name in names])) for pair in pairs]
        for side in (0, 1)
    )
    trials = [len(record["tuning"]["trials"]) for _, record in pairs]
    seconds = [record["cost"]["tuning_cpu_seconds"] for _, record in pairs]
    return Gain(*place, before, after, trials, seconds)


def metrics_of(record: Mapping[str, Any]) -> list[str]:
    """Return what the objective of a tuned cell is the mean of, which depends on the task."""
    objectives = record["cell"]["tuning"]["search"]["objective"].values()
    measured = next(trial["metrics"] for trial in record["tuning"]["trials"] if trial["metrics"])
    return [name for name in measured if any(name in names for names in objectives)]


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
    return heads + "".join(f"{line(one)}\n" for one in found)


def main() -> None:
    """Read the records and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the Store's folder")
    parser.add_argument("--out", type=Path, help="a Markdown page to write as well")
    options = parser.parse_args()
    found = gains(r for r in Store(options.results).records() if r["status"] == "ok")
    if not found:
        parser.error(f"{options.results} holds no tuned cell")
    print(table(found), end="")
    if options.out:
        options.out.write_text(TOP + table(found), encoding="utf-8")


if __name__ == "__main__":
    main()
