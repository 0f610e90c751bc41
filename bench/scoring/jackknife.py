"""Jackknife: how sure a number is that was computed from tables, whatever the formula.

The rows are put into groups by their content; the number is computed again without each group, left
out of every table at once. How far the results lie apart gives the standard error (the
delete-a-group jackknife: Kott 2001, Journal of Official Statistics 17:521). It covers the chance in
the rows at hand, not that of training a generator again. Limits: a bias that shrinks with the
number of rows moves every result alike and stays unseen; a statistic that hangs on one row, such as
a maximum, is not smooth enough for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..answers import metric_of
from ..content import keys, row_hashes
from ..contracts import Metric, Tables
from ..schema import Schema
from ..seeds import stream

GROUPS = 10
T_QUANTILE = 2.2621571628  # of Student's t, 97.5 %, GROUPS - 1 degrees of freedom
P_VALUE = "_p_score"  # how the name of a p-value ends
ROUNDING = 1e-12  # relative; results that differ by less do not differ

SIDES = ("train", "holdout", "reference", "synthetic")


def reduced(tables: Tables, schema: Schema, seed: int) -> Iterator[Tables]:
    """Yield the tables without each of the groups in turn, nothing shared between them."""
    groups = {
        side: keys(row_hashes(getattr(tables, side), schema), stream(seed, "jackknife"))
        % np.uint64(GROUPS)
        for side in SIDES
    }
    for group in range(GROUPS):
        kept = {
            side: getattr(tables, side)[numbers != group].reset_index(drop=True)
            for side, numbers in groups.items()
        }
        yield replace(tables, **kept, _shared={})


def intervals(
    metrics: Sequence[Metric],
    values: Mapping[str, float],
    without: Sequence[Mapping[str, float]],
) -> dict[str, list[float]]:
    """Return the 95 % interval of each value that every reduced set of tables has too.

    Parameters
    ----------
    metrics : sequence of Metric
        Declarations; an interval is cut to the range of its metric.
    values : mapping of str to float
        From all rows.
    without : sequence of mapping of str to float
        The same without each group; ``GROUPS`` of them.

    Returns
    -------
    dict of str to list of float
        ``[low, high]`` by key. A value that no group changes has none, for nothing is learned
        about it; nor has a p-value, which speaks of chance itself.
    """
    ranges = {metric.name: sorted((metric.best, metric.worst)) for metric in metrics}
    found = {}
    for key, value in values.items():
        if metric_of(key).endswith(P_VALUE) or not all(key in results for results in without):
            continue
        results = np.array([results[key] for results in without])
        if np.ptp(results) <= ROUNDING * max(1.0, abs(value)):
            continue
        half = T_QUANTILE * standard_error(results)
        low, high = ranges[metric_of(key)]
        found[key] = [float(max(low, value - half)), float(min(high, value + half))]
    return found


def standard_error(results: np.ndarray) -> float:
    """Return the standard error from the results without each group (Kott 2001, equation 2)."""
    return float(np.sqrt((len(results) - 1) * np.mean((results - results.mean()) ** 2)))
