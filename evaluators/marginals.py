"""Marginals: how alike the joint frequencies of one, two and three columns are.

The distance of two finite samples is never 0 by itself: fresh real rows have a small error too,
and the more cells a marginal has the larger it is. Compare with theirs.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Schema
from .binning import nist_codes, quantile_codes
from .contingency import gapless, joint_codes, total_variation

DRAWN_SUBSETS = 1000
NIST_ALL_PAIRS = 30  # SDNist takes all pairs of fewer columns
NIST_PAIRS = 200
NIST_SEED = 0


class Marginals:
    """k-way marginal errors, target included; real rows are ``train``.

    Parameters
    ----------
    subsets : int
        Of more subsets of two or three columns than that, so many are drawn and averaged.
        Distances of marginals differ by about 0.1, so 1000 add a standard error of 0.003.

    Raises
    ------
    ValueError
        If ``subsets`` is below 1.
    """

    metrics = (
        *(
            Metric(
                name=f"marginal_{k}way_error",
                family="fidelity",
                best=0.0,
                worst=1.0,
                definition="Mean total variation distance between real and synthetic joint "
                f"frequencies over the subsets of {k} columns; numbers cut into 20 bins by "
                "quantiles of train, missing values a category of their own. Tao et al. 2021, "
                "Benchmarking Differentially Private Synthetic Data Generation Algorithms.",
            )
            for k in (1, 2, 3)
        ),
        Metric(
            name="nist_k_marginal_score",
            family="fidelity",
            best=1000.0,
            worst=0.0,
            unit="points",
            definition="500 (2 - mean over pairs of columns of the sum of absolute differences of "
            "real and synthetic densities), before rounding. SDNist 2.5, KMarginal without a "
            "grouping feature: all pairs of fewer than 30 columns, else 200 pairs drawn with its "
            "seed 0; continuous columns in 20 percentile bins of train.",
        ),
    )

    def __init__(self, subsets: int = DRAWN_SUBSETS) -> None:
        if subsets < 1:
            raise ValueError(
                f"subsets must be at least 1, got {subsets!r}; set subsets={DRAWN_SUBSETS}"
            )
        self.subsets = subsets

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return all errors; one of more columns than there are has none."""
        if reason := tables.lacking("train", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        codes, n_real = quantile_codes(tables, schema), len(tables.train)
        values: dict[str, float | str] = {}
        for k in (1, 2, 3):
            chosen = column_subsets(list(codes), k, self.subsets, rng)
            values[f"marginal_{k}way_error"] = (
                mean_distance(codes, chosen, n_real)
                if chosen
                else f"the table has fewer than {k} columns"
            )
        pairs = nist_pairs(schema.names)
        distance = mean_distance(nist_codes(tables, schema), pairs, n_real)
        return values | {"nist_k_marginal_score": 1000 * (1 - distance)}


def column_subsets(
    names: list[str], k: int, most: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """List the subsets of ``k`` columns, or ``most`` different ones drawn from them.

    ``names`` must be sorted for the draw not to depend on the order of columns.
    """
    if comb(len(names), k) <= most:
        return list(combinations(names, k))
    drawn: set[tuple[str, ...]] = set()
    while len(drawn) < most:
        picked = np.sort(rng.choice(len(names), size=k, replace=False))
        drawn.add(tuple(names[position] for position in picked))
    return sorted(drawn)


def nist_pairs(names: list[str]) -> list[tuple[str, ...]]:
    """List the pairs that SDNist compares; a column may be paired with itself."""
    names = sorted(names)
    if len(names) == 1:
        return [(names[0], names[0])]
    if len(names) < NIST_ALL_PAIRS:
        return list(combinations(names, 2))
    rng = np.random.default_rng(NIST_SEED)
    return [tuple(rng.choice(names, size=2)) for _ in range(NIST_PAIRS)]


def mean_distance(
    codes: dict[str, np.ndarray], subsets: list[tuple[str, ...]], n_real: int
) -> float:
    """Mean total variation distance over subsets of columns, of equal size and at least one.

    Returns
    -------
    float
        In [0, 1].
    """
    distances, joined, begun = [], np.empty(0), None
    for *first, last in subsets:
        if first != begun:  # subsets with the same beginning follow each other
            joined, begun = _joined([codes[name] for name in first]), first
        if first:
            distances.append(total_variation(*joint_codes(joined, codes[last]), n_real))
        else:
            column = codes[last]
            distances.append(total_variation(column, int(column.max()) + 1, n_real))
    return float(np.clip(np.sort(distances).mean(), 0.0, 1.0))


def _joined(columns: list[np.ndarray]) -> np.ndarray:
    joined = columns[0] if columns else np.empty(0)
    for column in columns[1:]:
        joined = gapless(joint_codes(joined, column)[0])
    return joined
