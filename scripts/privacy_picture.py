"""Draw what private generators promise, give and leak: ``privacy_picture.py RESULTS OUT.svg``.

The promised epsilon runs along every panel. A column for each dataset: utility (the dashed line is
that of real training rows), fidelity, and the strongest membership attack on the released table
(the dashed line guesses). Points are means over seeds with the 95 % interval of Student's t; with
three seeds it is wide. The last column shows what audits measured: a lower bound on epsilon at 95 %
confidence and, as a thin line up to it, the ceiling that so many fits could have shown. A point
above the dashed line is a broken promise.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from syntharena.bench.audit.conclusions import conclusions
from syntharena.bench.store import Store
from syntharena.evaluators.intervals import of_seeds

UTILITY = ("tstr_xgboost_auroc_score", "tstr_xgboost_r2_score")
REAL_ROWS = ("trtr_xgboost_auroc_score", "trtr_xgboost_r2_score")
FIDELITY = ("trend_score",)
ATTACK = ("mia_auc_score",)
COLOURS = ("#2f7fc4", "#e07b18", "#2f9e62", "#9a66c9", "#d1495b", "#7d8694", "#b58900", "#111111")
COLOURS += ("#20c0c8", "#a0522d")
MARKERS = "osD^vPX*p"
STEP = 0.03  # by which generators stand beside each other, in decades
PANEL = 4.0, 2.8  # inches

Values = dict[float, list[float]]  # by epsilon
Series = dict[str, Values]  # by generator
Styles = Mapping[str, Mapping[str, Any]]


def collect(records: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> dict[str, Series]:
    """Collect the first of the metrics ``names`` by dataset, generator and epsilon."""
    found: dict[str, Series] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for record in records:
        epsilon = float(record["cell"]["budget"]["epsilon"])
        value = next((record["metrics"][n] for n in names if n in record["metrics"]), None)
        if value is not None and math.isfinite(epsilon):
            labels = record["names"]
            found[labels["dataset"]][labels["generator"]][epsilon].append(value)
    return found


def mean_of_all(series: Series) -> float:
    """Return the mean over generators, epsilons and seeds."""
    lists = (values for by_epsilon in series.values() for values in by_epsilon.values())
    return float(np.mean([value for values in lists for value in values]))


def beside(epsilons: np.ndarray, place: int, count: int) -> np.ndarray:
    """Move points of the same epsilon apart."""
    return epsilons * 10 ** (STEP * (place - (count - 1) / 2))


def draw_series(axes: Any, series: Series, styles: Styles) -> None:
    """Draw means with intervals, clipped to what the values of a score can be."""
    for place, (name, by_epsilon) in enumerate(sorted(series.items())):
        epsilons = np.array(sorted(by_epsilon))
        found = [of_seeds(by_epsilon[epsilon]) for epsilon in epsilons]
        means = np.array([mean.value for mean in found])
        low = means - [mean.low for mean in found]
        high = np.minimum([mean.high for mean in found], 1.0) - means
        shifted = beside(epsilons, place, len(series))
        axes.errorbar(shifted, means, [low, high], ms=4, lw=1, elinewidth=0.7, **styles[name])


def draw_audits(axes: Any, audits: list[Any], styles: Styles) -> None:
    """Draw what was measured against what was promised."""
    names = sorted({audit.generator for audit in audits})
    for place, name in enumerate(names):
        own = [audit for audit in audits if audit.generator == name]
        shifted = beside(np.array([audit.epsilon for audit in own]), place, len(names))
        low = np.array([audit.found.epsilon for audit in own])
        ceiling = np.array([audit.found.ceiling for audit in own])
        axes.vlines(shifted, low, ceiling, color=styles[name]["color"], lw=0.5, alpha=0.4)
        axes.plot(shifted, low, ms=4, ls="", **styles[name])
    line = np.array([0.05, 20.0])
    axes.plot(line, line, color="grey", lw=1, ls="--")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(ylim=(-0.02, 20.0), title="audits", ylabel="empirical epsilon at least")


def draw(records: list[Mapping[str, Any]]) -> Any:
    """Return the figure."""
    from matplotlib.figure import Figure

    metrics = (UTILITY, FIDELITY, ATTACK, REAL_ROWS)
    utility, fidelity, attack, real = (collect(records, names) for names in metrics)
    audits = conclusions(records)
    names = {name for series in utility.values() for name in series}
    names |= {audit.generator for audit in audits}
    styles = {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(sorted(names))
    }
    columns = len(utility) + bool(audits)
    figure = Figure(figsize=(PANEL[0] * columns, 3 * PANEL[1]), layout="constrained")
    panels = figure.subplots(3, columns, squeeze=False, sharex=True)
    for place, dataset in enumerate(sorted(utility)):
        top, middle, bottom = panels[:, place]
        for axes, found in ((top, utility), (middle, fidelity), (bottom, attack)):
            draw_series(axes, found[dataset], styles)
            axes.set_xscale("log")
        top.axhline(mean_of_all(real[dataset]), color="grey", lw=1, ls="--")
        top.set(title=dataset, ylabel="TSTR, XGBoost")
        middle.set_ylabel("trend score")
        bottom.axhline(0.5, color="grey", lw=1, ls="--")
        bottom.set(xlabel="promised epsilon", ylabel="AUC of the strongest attack")
    if audits:
        draw_audits(panels[0, -1], audits, styles)
        panels[0, -1].tick_params(labelbottom=True)
        panels[0, -1].set_xlabel("promised epsilon")
        for axes in panels[1:, -1]:
            axes.set_axis_off()
    handles = [panels[0, 0].plot([], [], ls="", label=n, **style)[0] for n, style in styles.items()]
    where = panels[1, -1] if audits else figure
    where.legend(handles=handles, loc="center", ncols=2, frameon=False)
    return figure


def main() -> None:
    """Read the records and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the Store's folder")
    parser.add_argument("out", type=Path, help="the SVG or PNG file")
    arguments = parser.parse_args()
    records = [r for r in Store(arguments.results).records() if r["status"] == "ok"]
    if not collect(records, UTILITY):
        parser.error(f"{arguments.results} holds no scored cell with a finite epsilon")
    metadata = {"Date": None} if arguments.out.suffix == ".svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": "syntharena", "svg.fonttype": "none"}):
        draw(records).savefig(arguments.out, metadata=metadata)
    print(arguments.out)


if __name__ == "__main__":
    main()
