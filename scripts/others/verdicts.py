"""Judge what ``audit.py`` left in a folder: ``verdicts.py OUT [--epsilon 1] [--delta 1e-5]``.

Prints a Markdown table. Synthetic rows are judged as those of our own generators are: a rule is
learned on the first part of the fits, its threshold chosen on the second, error rates bounded on
the third, at a confidence that makes all lines hold together with 95 %. What else a library gives
away (its number of rows, its categories, a crash) is named where the two tables never agree in it
in ten fits or more; the number of rows only counts where it is private. The last column says what
became of a category that one row had and the public domain has not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from syntharena.bench.audit import attacks
from syntharena.bench.audit.estimates import Estimate, estimate, verdict

TOLD = {"default_rows": "number of rows", "vocabulary": "categories"}
FEWEST = 10
HEADS = ("method", "pair", "fits", "seconds a fit", "empirical epsilon at least", "ceiling")
HEADS += ("verdict by rows", "told apart besides by", "a foreign category")


def judge(file: Path, epsilon: float, delta: float, confidence: float = 0.95) -> list[str]:
    """Return the fields of one method's fits, METHOD.PAIR.npz."""
    content = np.load(file, allow_pickle=False)
    method, _, pair = file.stem.partition(".")
    crashed = [content[f"errors{world}"] != "" for world in (0, 1)]
    seconds = np.concatenate([content["seconds0"], content["seconds1"]]).mean()
    fits = len(crashed[0])
    begun = [method.replace("_", " "), pair, str(2 * fits), f"{seconds:.1f}"]
    if fits < FEWEST:
        return [*begun, "–", "–", "too few fits", "–"]
    if all(lost.all() for lost in crashed):
        return [*begun, "–", "–", "every fit failed", "–"]
    found = shown_by_rows(content, crashed, delta, confidence)
    told = ", ".join(told_besides(content, crashed)) or "–"
    return [*begun, f"{found.epsilon:.2f}", f"{found.ceiling:.2f}", verdict(epsilon, found), told]


def shown_by_rows(
    content: Mapping[str, np.ndarray], crashed: list[np.ndarray], delta: float, confidence: float
) -> Estimate:
    """Bound epsilon by the features of synthetic rows; a crash is one of them."""
    names = [str(name) for name in content["names"]]
    seen = [place for place, name in enumerate(names) if name not in (*TOLD, "total_rows")]
    worlds = [
        np.column_stack([np.nan_to_num(content[f"features{world}"][:, seen]), crashed[world]])
        for world in (0, 1)
    ]
    keys = (*(f"rows:{names[place]}" for place in seen), "rows:crash")
    return estimate(*attacks.scores(keys, *worlds, "rows"), delta=delta, confidence=confidence)


def told_besides(content: Mapping[str, np.ndarray], crashed: list[np.ndarray]) -> list[str]:
    """Name what tells the two tables apart in every fit, whatever the rows look like."""
    names = [str(name) for name in content["names"]]
    worlds = [content[f"features{world}"] for world in (0, 1)]
    told = [
        text
        for name, text in TOLD.items()
        if name in names and apart(*(world[:, names.index(name)] for world in worlds))
    ]
    return told + ["crash"] * apart(*(lost.astype(float) for lost in crashed))


def apart(without: np.ndarray, present: np.ndarray) -> bool:
    """Whether the two worlds never agree."""
    a, b = (set(world[~np.isnan(world)].tolist()) for world in (without, present))
    return bool(a) and bool(b) and not a & b


def foreign(file: Path) -> str:
    """Say what became of the foreign category, METHOD.json."""
    if not file.exists():
        return "not tried"
    entries: list[dict[str, Any]] = json.loads(file.read_text())
    without, present = (
        [entry for entry in entries if entry["table"] == world] for world in ("without", "with")
    )
    if errors := [entry["error"] for entry in present if "error" in entry]:
        everywhere = all("error" in entry for entry in without)
        return f"{'fails without it too' if everywhere else 'fails'}: {errors[0].partition(':')[0]}"
    rows = np.mean([entry["rows_with_category"] for entry in present])
    stored = kept(present) - kept(without)  # a model may have a cell of its own for the unknown
    shown = f"in {rows:.0f} of {present[0]['rows']} rows" if rows else "in no row"
    return shown + (", kept in the model" if stored else "")


def kept(entries: list[dict[str, Any]]) -> set[str]:
    """Return the categories outside the public domain that models hold."""
    lists = (values for e in entries for values in e.get("vocabulary_outside", {}).values())
    return {value for values in lists for value in values}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    arguments = parser.parse_args()
    print(f"| {' | '.join(HEADS)} |")
    print("|" + "---|" * len(HEADS))
    files = sorted(arguments.folder.glob("*.npz"))
    for file in files:
        fields = judge(file, arguments.epsilon, arguments.delta, 1 - 0.05 / len(files))
        method = file.stem.partition(".")[0]
        print(f"| {' | '.join([*fields, foreign(file.with_name(f'{method}.json'))])} |")


if __name__ == "__main__":
    main()
