"""Judge what ``worker.py`` wrote: ``verdicts.py --epsilon 1 --delta 1e-5 F.npz ...``.

Prints a Markdown table. Synthetic rows are judged as those of our own generators are: a rule is
learned on the first part of the fits, its threshold chosen on the second, error rates bounded on
the third, at 95 % confidence. What else a library gives away (its number of rows, its categories, a
crash) is named where the two tables never agree in it in ten fits or more; the number of rows only
counts where it is private.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from syntharena.bench.audit import attacks
from syntharena.bench.audit.estimates import Estimate, estimate, verdict

TOLD = {"default_rows": "number of rows", "vocabulary": "categories"}
FEWEST = 10


def judge(file: Path, epsilon: float, delta: float) -> str:
    """Return the line of one file."""
    content = np.load(file, allow_pickle=False)
    names = [str(name) for name in content["names"]]
    crashed = [content[f"errors{world}"] != "" for world in (0, 1)]
    worlds = [content[f"features{world}"] for world in (0, 1)]
    seen = [place for place, name in enumerate(names) if name not in (*TOLD, "total_rows")]
    rows = [
        np.column_stack([np.nan_to_num(world[:, seen]), lost])
        for world, lost in zip(worlds, crashed, strict=True)
    ]
    keys = (*(f"rows:{names[place]}" for place in seen), "rows:crash")
    fits = len(rows[0])
    found = None
    if fits >= FEWEST:
        found = estimate(*attacks.scores(keys, *rows, "rows"), delta=delta)
    told = [
        text
        for name, text in TOLD.items()
        if name in names and apart(*(world[:, names.index(name)] for world in worlds))
    ]
    told += ["crash"] * apart(*(lost.astype(float) for lost in crashed))
    seconds = np.concatenate([content["seconds0"], content["seconds1"]]).mean()
    told = told if fits >= FEWEST else []
    fields = [*shown(file), str(2 * fits), f"{seconds:.1f}", *numbers(found, epsilon, told)]
    return " | ".join(fields)


def apart(without: np.ndarray, present: np.ndarray) -> bool:
    """Whether the two worlds never agree."""
    a, b = (set(world[~np.isnan(world)].tolist()) for world in (without, present))
    return bool(a) and bool(b) and not a & b


def shown(file: Path) -> list[str]:
    """Return method and pair, which the file's name holds: METHOD.PAIR.npz."""
    method, _, pair = file.stem.partition(".")
    return [method.removeprefix("A_").replace("_", " "), pair]


def numbers(found: Estimate | None, epsilon: float, told: list[str]) -> list[str]:
    """Write the bound, the ceiling, the verdict and what else was told."""
    if found is None:
        return ["–", "–", "too few fits", ", ".join(told) or "–"]
    return [
        f"{found.epsilon:.2f}",
        f"{found.ceiling:.2f}",
        verdict(epsilon, found),
        ", ".join(told) or "–",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("files", nargs="+", type=Path, metavar="F.npz")
    arguments = parser.parse_args()
    heads = ["method", "pair", "fits", "seconds a fit", "empirical epsilon at least", "ceiling"]
    print(f"| {' | '.join([*heads, 'verdict by rows', 'told apart besides by'])} |")
    print("|" + "---|" * 8)
    for file in arguments.files:
        print(f"| {judge(file, arguments.epsilon, arguments.delta)} |")


if __name__ == "__main__":
    main()
