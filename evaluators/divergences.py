"""Divergences: how far real and synthetic columns, associations and missing values are apart.

All are distances of two samples: those of fresh real rows are a little above 0 too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Column, Schema
from .associations import shared_associations
from .binning import quantile_codes
from .transport import value_range, wasserstein

WASSERSTEIN = (
    "Wasserstein-1 distance of the values that are not missing, over the public range of the "
    "column (that of train where there is none), at most 1. scipy.stats.wasserstein_distance."
)
JENSEN_SHANNON = (
    "Jensen-Shannon distance to base 2 of the frequencies, missing values a category of their own "
    "and numbers cut into 20 bins by quantiles of train. scipy.spatial.distance.jensenshannon."
)
ASSOCIATION = (
    "Pearson's correlation of two numeric columns, Cramer's V of two discrete ones, the "
    "correlation ratio of one of each; an undefined one is 0. After the mixed correlation "
    "difference of SynthEval (Lautrup et al. 2024)"
)


def _metric(name: str, definition: str, worst: float = 1.0, per: str = "") -> Metric:
    return Metric(name, "fidelity", best=0.0, worst=worst, definition=definition, per=per)


class Divergences:
    """Distances of single columns, of associations and of missing values; real rows are ``train``.

    A numeric column whose values are all missing in the synthetic table is at Wasserstein distance
    1; one without a value in train is not measured.
    """

    metrics = (
        _metric("wasserstein_error", f"Mean over numeric columns. {WASSERSTEIN}"),
        _metric("column_wasserstein_error", WASSERSTEIN, per="column"),
        _metric("jensen_shannon_error", f"Mean over columns. {JENSEN_SHANNON}"),
        _metric("column_jensen_shannon_error", JENSEN_SHANNON, per="column"),
        _metric(
            "correlation_error",
            f"Mean absolute difference of associations over all pairs of columns: {ASSOCIATION}.",
            worst=2.0,
        ),
        _metric(
            "missing_rate_error",
            "Mean absolute difference of the shares of missing values over the columns that may "
            "have any.",
        ),
        _metric(
            "missing_pattern_error",
            "Total variation distance of the missing-data patterns: which values of a row are "
            "missing together (Little and Rubin 2002, section 1.2).",
        ),
    )

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return all distances that the Schema's columns have."""
        if reason := tables.lacking("train", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        return {
            **_by_column("wasserstein_error", wasserstein_errors(tables, schema)),
            **_by_column("jensen_shannon_error", jensen_shannon_errors(tables, schema)),
            "correlation_error": correlation_error(tables, schema),
            **missing_errors(tables, schema),
        }


def _by_column(name: str, found: dict[str, float | str]) -> dict[str, float | str]:
    """Put the values of columns under ``column_{name}[...]`` and their mean under ``name``."""
    if not found:
        return dict.fromkeys((name, f"column_{name}"), "the table has no numeric column")
    measured = [value for value in found.values() if isinstance(value, float)]
    mean = float(np.mean(np.sort(measured))) if measured else "no column has a value in train"
    return {name: mean} | {f"column_{name}[{column}]": value for column, value in found.items()}


def wasserstein_errors(tables: Tables, schema: Schema) -> dict[str, float | str]:
    """Return the scaled Wasserstein distance of each numeric column, in [0, 1], or a reason."""
    return {
        column.name: _scaled_distance(
            column, _known(column, tables.train), _known(column, tables.synthetic)
        )
        for column in schema
        if not column.is_discrete
    }


def _known(column: Column, table: pd.DataFrame) -> np.ndarray:
    numbers = column.numbers(table[column.name])
    return np.sort(numbers[~np.isnan(numbers)])


def _scaled_distance(column: Column, real: np.ndarray, synthetic: np.ndarray) -> float | str:
    if not len(real):
        return "the column has no value in train"
    if not len(synthetic):
        return 1.0
    width = value_range(column, real)
    if width == 0:
        return float((synthetic != real[0]).any())
    # scaled first, so that the sum of huge numbers does not overflow
    return min(1.0, wasserstein(real / width, synthetic / width))


def jensen_shannon_errors(tables: Tables, schema: Schema) -> dict[str, float | str]:
    """Return the Jensen-Shannon distance of each column, in [0, 1]."""
    return {
        name: jensen_shannon(*_frequencies(codes, len(tables.train)))
        for name, codes in quantile_codes(tables, schema).items()
    }


def _frequencies(codes: np.ndarray, n_real: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of each code among the first ``n_real`` rows and among the others."""
    cells = int(codes.max()) + 1
    real, synthetic = codes[:n_real], codes[n_real:]
    return (
        np.bincount(real, minlength=cells) / len(real),
        np.bincount(synthetic, minlength=cells) / len(synthetic),
    )


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon distance to base 2 of two distributions (Endres and Schindelin 2003)."""
    middle = (first + second) / 2
    divergence = sum(
        np.sum(side[side > 0] * np.log2(side[side > 0] / middle[side > 0])) / 2
        for side in (first, second)
    )
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def correlation_error(tables: Tables, schema: Schema) -> float | str:
    """Return the mean absolute difference of associations, in [0, 2]."""
    if len(schema) < 2:
        return "the table has one column, so there is no pair"
    real, synthetic = shared_associations(tables, schema)
    pairs = np.triu_indices(len(schema), 1)
    return float(np.mean(np.sort(np.abs(real - synthetic)[pairs])))


def missing_errors(tables: Tables, schema: Schema) -> dict[str, float | str]:
    """Return the distances of the missing values' rates and patterns, in [0, 1]."""
    names = [column.name for column in schema if column.missing]
    if not names:
        reason = "no column may have missing values"
        return {"missing_rate_error": reason, "missing_pattern_error": reason}
    real, synthetic = (side[names].isna().to_numpy() for side in (tables.train, tables.synthetic))
    rates = np.abs(real.mean(axis=0) - synthetic.mean(axis=0))
    patterns = np.packbits(np.concatenate([real, synthetic]), axis=1)
    codes = np.unique(patterns, axis=0, return_inverse=True)[1].ravel()
    first, second = _frequencies(codes, len(real))
    return {
        "missing_rate_error": float(np.mean(np.sort(rates))),
        "missing_pattern_error": min(1.0, float(np.abs(first - second).sum() / 2)),
    }
