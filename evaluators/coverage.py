"""Coverage: how much of what real rows show the synthetic rows show at all.

A generator that leaves out what is rare can have near-perfect frequencies; here it cannot.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bench.content import row_hashes
from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Column, Schema

RARE = 0.05
BINS = 20  # of a numeric column, of equal width
TAIL = 0.01  # of a numeric column, left out at each end


class Coverage:
    """Coverage of categories, rare categories and ranges, and diversity; real rows are ``train``.

    Fresh real rows miss some of the rarest categories too; read the scores next to theirs.

    Parameters
    ----------
    rare : float
        A category is rare when a smaller share of train's rows has it; in (0, 1].

    Raises
    ------
    ValueError
        If ``rare`` is outside its range.
    """

    def __init__(self, rare: float = RARE) -> None:
        if not 0 < rare <= 1:
            raise ValueError(f"rare must be in (0, 1], got {rare!r}; set rare={RARE}")
        self.rare = rare
        self.metrics = (
            _metric(
                "category_coverage_score",
                "Mean over discrete columns of the share of train's categories that the synthetic "
                "table has. SDMetrics, CategoryCoverage.",
            ),
            _metric(
                "rare_category_coverage_score",
                f"Share of the categories that fewer than {100 * rare:g} % of train's rows have, "
                "all columns together, that the synthetic table has.",
            ),
            _metric(
                "range_coverage_score",
                "Mean over numeric columns of the share of bins with numbers of train that have "
                "numbers of the synthetic table: 20 bins of equal width between train's 1 % and "
                "99 % quantiles. SDMetrics' RangeCoverage, by bins and not by the extremes.",
            ),
            _metric(
                "diversity_score",
                "Distinct synthetic rows over distinct rows of train in samples of equal size, "
                "less one each: 0 for one repeated row, at most 1. Samples by rarefaction "
                "(Hurlbert 1971).",
            ),
        )

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return the scores that the Schema's columns have."""
        if reason := tables.lacking("train", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        hashes = [row_hashes(side, schema) for side in (tables.train, tables.synthetic)]
        return {
            **category_coverage(tables, schema, self.rare),
            "range_coverage_score": range_coverage(tables, schema),
            "diversity_score": diversity(*hashes),
        }


def _metric(name: str, definition: str) -> Metric:
    return Metric(name, "fidelity", best=1.0, worst=0.0, definition=definition)


def category_coverage(tables: Tables, schema: Schema, rare: float) -> dict[str, float | str]:
    """Return the coverage of all and of rare categories, in [0, 1]."""
    by_column, covered_rare = [], []
    for column in schema:
        if column.is_discrete:
            counts, found = (_counts(column, side) for side in (tables.train, tables.synthetic))
            occurs = counts > 0
            by_column += [np.mean(found[occurs] > 0)] if occurs.any() else []
            covered_rare.append(found[occurs & (counts < rare * len(tables.train))] > 0)
    rarities = np.concatenate(covered_rare) if covered_rare else np.empty(0)
    return {
        "category_coverage_score": (
            float(np.mean(np.sort(by_column))) if by_column else "train has no category"
        ),
        "rare_category_coverage_score": (
            float(np.mean(rarities)) if len(rarities) else "train has no rare category"
        ),
    }


def _counts(column: Column, table: pd.DataFrame) -> np.ndarray:
    codes = column.codes(table[column.name])
    return np.bincount(codes[codes >= 0], minlength=len(column.categories))


def range_coverage(tables: Tables, schema: Schema) -> float | str:
    """Return the mean coverage of numeric columns' bins, in [0, 1]."""
    covered = []
    for column in schema:
        if not column.is_discrete:
            sides = (tables.train[column.name], tables.synthetic[column.name])
            real, synthetic = (column.numbers(side) for side in sides)
            if not np.isnan(real).all():
                covered.append(_covered(real[~np.isnan(real)], synthetic))
    return float(np.mean(np.sort(covered))) if covered else "train has no number"


def _covered(real: np.ndarray, synthetic: np.ndarray) -> float:
    low = np.quantile(real, TAIL, method="lower")
    high = np.quantile(real, 1 - TAIL, method="higher")
    edges = np.linspace(low, high, BINS + 1)
    taken = [
        np.bincount(np.searchsorted(edges[1:-1], inside, side="right"), minlength=BINS) > 0
        for inside in (side[(side >= low) & (side <= high)] for side in (real, synthetic))
    ]
    return float(np.mean(taken[1][taken[0]]))


def diversity(real: np.ndarray, synthetic: np.ndarray) -> float | str:
    """Compare the numbers of distinct row hashes.

    Returns
    -------
    float or str
        In [0, 1]; the reason where train is one row over and over.
    """
    n = min(len(real), len(synthetic))
    expected, found = (distinct(side, n) for side in (real, synthetic))
    if expected - 1 < 1e-6:  # to the rounding of rarefaction
        return "a sample of train has one distinct row"
    return float(np.clip((found - 1) / (expected - 1), 0.0, 1.0))


def distinct(values: np.ndarray, n: int) -> float:
    """Expect so many distinct values among ``n`` drawn without putting back."""
    from scipy.special import gammaln

    sizes, times = np.unique(np.unique(values, return_counts=True)[1], return_counts=True)
    left = len(values) - sizes  # values of another kind
    enough = left >= n
    log_absent = (
        gammaln(left[enough] + 1)
        + gammaln(len(values) - n + 1)
        - gammaln(left[enough] - n + 1)
        - gammaln(len(values) + 1)
    )
    return float(times.sum() - np.sum(times[enough] * np.exp(log_absent)))
