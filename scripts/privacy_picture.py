"""Draw what private generators promise, give and leak: ``privacy_picture.py RESULTS OUT.svg``.

One panel for each dataset shows utility against the promised epsilon, means over seeds with their
smallest and largest; the last panel shows what audits measured: a lower bound at 95 % confidence
up to the ceiling that so many fits could have shown, against the line of kept promises.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from syntharena.bench.audit.conclusions import conclusions
from syntharena.bench.store import Store

UTILITY = ("tstr_xgboost_auroc_score", "tstr_xgboost_r2_score")
COLOURS = ("#2f7fc4", "#e07b18", "#2f9e62", "#9a66c9", "#d1495b", "#7d8694", "#b58900", "#111111")
STEP = 0.04  # by which generators stand beside each other, in decades

Series = dict[str, dict[float, list[float]]]


def utilities(records: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Collect utility by dataset, generator and epsilon."""
    found: dict[str, Series] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in records:
        epsilon = float(record["cell"]["budget"]["epsilon"])
        value = next((record["metrics"][n] for n in UTILITY if n in record["metrics"]), None)
        if value is not None and math.isfinite(epsilon):
            names = record["names"]
            found[names["dataset"]][names["generator"]][epsilon].append(value)
    return found


def draw_utility(axes: Any, dataset: str, series: Series, colours: Mapping[str, str]) -> None:
    """Draw a dataset's panel."""
    for place, (name, by_epsilon) in enumerate(sorted(series.items())):
        epsilons = np.array(sorted(by_epsilon))
        values = [by_epsilon[epsilon] for epsilon in epsilons]
        means = np.array([np.mean(v) for v in values])
        spread = [means - [min(v) for v in values], [max(v) for v in values] - means]
        shifted = epsilons * 10 ** (STEP * (place - len(series) / 2))
        axes.errorbar(
            shifted, means, spread, color=colours[name], marker="o", ms=3, lw=1, label=name
        )
    axes.set(xscale="log", title=dataset, xlabel="promised epsilon", ylabel="TSTR, XGBoost")


def draw_audits(axes: Any, audits: list[Any], colours: Mapping[str, str]) -> None:
    """Draw what was measured against what was promised."""
    names = sorted({audit.generator for audit in audits})
    for place, name in enumerate(names):
        own = [audit for audit in audits if audit.generator == name]
        epsilons = np.array([audit.epsilon for audit in own])
        shifted = epsilons * 10 ** (STEP * (place - len(names) / 2))
        low = np.array([audit.found.epsilon for audit in own])
        ceiling = np.array([audit.found.ceiling for audit in own])
        axes.vlines(shifted, low, ceiling, color=colours[name], lw=0.5, alpha=0.4)
        axes.plot(shifted, low, "o", color=colours[name], ms=4)
    line = np.array([0.05, 20.0])
    axes.plot(line, line, color="grey", lw=1, ls="--")
    axes.set(
        xscale="log",
        yscale="symlog",
        title="audits",
        xlabel="promised epsilon",
        ylabel="empirical epsilon at least (to the ceiling)",
    )
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(-0.01, 12)


def main() -> None:
    """Read the records and draw."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the Store's folder")
    parser.add_argument("out", type=Path, help="the SVG or PNG file")
    arguments = parser.parse_args()
    records = [r for r in Store(arguments.results).records() if r["status"] == "ok"]
    found, audits = utilities(records), conclusions(records)
    names = {name for series in found.values() for name in series}
    names |= {audit.generator for audit in audits}
    colours = dict(zip(sorted(names), COLOURS * 3, strict=False))
    panels = len(found) + bool(audits)
    figure = Figure(figsize=(4 * panels, 3.6), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for place, (dataset, series) in enumerate(sorted(found.items())):
        draw_utility(axes[place], dataset, series, colours)
    if audits:
        draw_audits(axes[-1], audits, colours)
    handles = [axes[0].plot([], [], "o", color=c, label=n)[0] for n, c in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(colours), frameon=False)
    figure.savefig(arguments.out, metadata={"Date": None} if arguments.out.suffix == ".svg" else {})
    print(arguments.out)


if __name__ == "__main__":
    main()
