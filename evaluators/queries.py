"""Queries: how far counting queries on the synthetic table are from those on real rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..bench.contracts import Measured, Metric, Tables, Values
from ..bench.schema import Column, Schema, by_name
from .intervals import LEVEL, of_mean, within

WAYS = (1, 2, 3)  # columns in a query
QUANTILE = 0.95

# Of one query: the lowest and highest value that fit in each of its columns.
Query = Mapping[str, tuple[float, float]]


class Queries:
    """Error of random range and point queries, real rows being holdout.

    A query is a conjunction over one to three columns drawn without replacement: a numeric column
    must lie between two numbers drawn uniformly between the extremes of train, a discrete one must
    equal a category drawn uniformly from the Schema's. Its answer is the share of rows that fit; a
    missing value fits nothing. This is the query error of Du and Li 2024 (SynMeter), with two of
    its errata fixed: it draws the second end between the first and the maximum, so that its ranges
    crowd at the top, and it seeds by the clock. It also counts on as many synthetic rows as there
    are rows of holdout, which adds noise; here all rows count.

    Holdout is what the table stands for without having been seen, so a copy of train is no better
    than fresh rows: both are left with the error of sampling. Intervals cover the draw of queries.

    Parameters
    ----------
    queries : int
        How many, for each number of columns.

    Raises
    ------
    ValueError
        If ``queries`` is not positive.
    """

    metrics = (
        Metric(
            name="range_query_error",
            family="utility",
            best=0.0,
            worst=1.0,
            definition="Mean absolute difference between the shares of holdout and of synthetic "
            "rows that fit a random query over 1, 2 or 3 columns. Du and Li 2024 (SynMeter).",
        ),
        Metric(
            name="range_query_way_error",
            family="utility",
            best=0.0,
            worst=1.0,
            definition="The same for the queries over 1, 2 and 3 columns apart.",
            per="way",
        ),
        Metric(
            name="range_query_tail_error",
            family="utility",
            best=0.0,
            worst=1.0,
            definition="95th percentile of the same differences: what the worse queries are off.",
        ),
    )

    def __init__(self, queries: int = 1000) -> None:
        if queries < 1:
            raise ValueError(f"queries must be at least 1, got {queries!r}; set queries=1000")
        self.queries = queries

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return the errors; for more columns than the table has, a reason."""
        if reason := tables.lacking("holdout", "synthetic"):
            return self._reasons(reason)
        domains = {column.name: domain(column, tables.train) for column in by_name(schema)}
        ends = {name: ends for name, ends in domains.items() if ends is not None}
        if not ends:
            return self._reasons("no column of train has a value to ask for")
        values: dict[str, float | str | Measured] = {}
        found = []
        for way in WAYS:
            if way > len(ends):
                reason = f"{len(ends)} columns can be asked for"
                values[f"range_query_way_error[{way}]"] = reason
                continue
            asked = [_draw(ends, schema, way, rng) for _ in range(self.queries)]
            shares = [answers(asked, side, schema) for side in (tables.holdout, tables.synthetic)]
            errors = np.abs(shares[0] - shares[1])
            values[f"range_query_way_error[{way}]"] = of_mean(errors, 0.0, 1.0)
            found.append(errors)
        errors = np.concatenate(found)
        return values | {
            "range_query_error": of_mean(errors, 0.0, 1.0),
            "range_query_tail_error": of_quantile(errors, QUANTILE),
        }

    def _reasons(self, reason: str) -> Values:
        return {metric.name: reason for metric in self.metrics}


def domain(column: Column, train: pd.DataFrame) -> tuple[float, float] | None:
    """Extremes of what a query may ask of a column (codes, or train's numbers), if anything."""
    if column.is_discrete:
        return (0.0, float(len(column.categories) - 1)) if column.categories else None
    numbers = column.numbers(train[column.name])
    known = numbers[~np.isnan(numbers)]
    return (float(known.min()), float(known.max())) if len(known) else None


def _draw(
    ends: Mapping[str, tuple[float, float]], schema: Schema, way: int, rng: np.random.Generator
) -> Query:
    names = list(ends)
    query = {}
    for position in np.sort(rng.choice(len(names), way, replace=False)):
        name = names[position]
        low, high = ends[name]
        if schema[name].is_discrete:
            code = float(rng.integers(int(high) + 1))
            query[name] = (code, code)
        else:
            shares = np.sort(rng.random(2))
            first, second = low * (1 - shares) + high * shares  # high - low might overflow
            query[name] = (float(first), float(second))
    return query


def answers(queries: Sequence[Query], table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Share of rows that fit each query.

    Returns
    -------
    ndarray of float64, shape (len(queries),)
        In [0, 1].
    """
    columns = {
        column.name: column.codes(table[column.name]).astype(np.float64)
        if column.is_discrete
        else column.numbers(table[column.name])
        for column in schema
        if any(column.name in query for query in queries)
    }
    counts = np.empty(len(queries))
    for position, query in enumerate(queries):
        fits = np.ones(len(table), dtype=bool)
        for name, (low, high) in query.items():
            fits &= columns[name] >= low
            fits &= columns[name] <= high
        counts[position] = np.count_nonzero(fits)
    return counts / len(table)


def of_quantile(values: np.ndarray, quantile: float) -> Measured:
    """Quantile of independent values in [0, 1], with the interval of its order statistics."""
    from scipy.stats import binom

    values = np.sort(values)
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = binom.ppf(tails, len(values), quantile).astype(int)
    low, high = float(values[max(low - 1, 0)]), float(values[min(high, len(values) - 1)])
    return within(float(np.quantile(values, quantile)), low, high, 0.0, 1.0)
