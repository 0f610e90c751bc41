"""Shape's pictures: real and synthetic values of one column over each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.contracts import Picture
from ..bench.schema import Column

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Draw = Callable[[Axes], None]

BARS = 40  # of a histogram
TAIL = 0.005  # of the real values at each end, drawn as one with what lies beyond
SHOWN = 12  # categories, the most frequent ones
NAMES = ("real", "synthetic")
CAPTIONS = {
    True: "Shares of the rows; the most frequent categories are shown.",
    False: "Shares of the values that are not missing; both ends hold what lies beyond.",
}


def of_column(column: Column, real: pd.Series, synthetic: pd.Series, score: float) -> Picture:
    """Offer the overlay of one column that has a value in ``real``."""
    sides = (real, synthetic)
    if column.is_discrete:
        draw = _bars(column, [shares(column, side) for side in sides])
    else:
        draw = _histogram(column, [column.numbers(side) for side in sides])
    return Picture(
        f"{column.name} (shape {score:.3f})",
        "Good synthetic values cover the real ones. " + CAPTIONS[column.is_discrete],
        draw,
    )


def shares(column: Column, series: pd.Series) -> np.ndarray:
    """Share of each category, and last of missing values, among the rows.

    Returns
    -------
    ndarray of float64, shape (len(column.categories) + 1,)
    """
    codes = column.codes(series)
    codes = np.where(codes < 0, len(column.categories), codes)
    return np.bincount(codes, minlength=len(column.categories) + 1) / max(1, len(codes))


def _bars(column: Column, found: list[np.ndarray]) -> Draw:
    labels = [*column.categories, "(missing)"]
    order = np.argsort(-np.maximum(*found), kind="stable")
    shown = [place for place in order if found[0][place] or found[1][place]][:SHOWN]

    def draw(axes: Axes) -> None:
        for side, name, shift in zip(found, NAMES, (-0.2, 0.2), strict=True):
            axes.barh(np.arange(len(shown)) + shift, side[shown], height=0.4, label=name)
        axes.set_yticks(range(len(shown)), [labels[place] for place in shown])
        axes.set_xlabel("share of rows")
        axes.invert_yaxis()
        axes.legend()

    return draw


def _histogram(column: Column, sides: list[np.ndarray]) -> Draw:
    known = [side[~np.isnan(side)] for side in sides]
    edges = _edges(column, known[0])
    heights = [
        np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / max(1, len(side))
        for side in known
    ]
    if column.kind == "datetime":
        edges = (edges * 1000).astype("datetime64[ms]")

    def draw(axes: Axes) -> None:
        axes.stairs(heights[0], edges, label=NAMES[0], fill=True, alpha=0.5)
        axes.stairs(heights[1], edges, label=NAMES[1], linewidth=1.5)
        axes.set_ylabel("share of values")
        axes.legend()

    return draw


def _edges(column: Column, real: np.ndarray) -> np.ndarray:
    low, high = np.quantile(real, [TAIL, 1 - TAIL])
    if column.kind != "integer":
        return np.linspace(low, high, BARS + 1) if low < high else np.array([low - 0.5, low + 0.5])
    low, high = np.floor(low), np.ceil(high)
    width = np.ceil((high - low + 1) / BARS)  # as many whole numbers in every bar
    return np.arange(low, high + width + 1, width) - 0.5
