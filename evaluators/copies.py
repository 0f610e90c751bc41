"""Copies: rows and values of train that the synthetic table repeats, with holdout as the control.

Rows are compared by hash. A copy with noise is none here: for that there are attacks. And a match
is no leak as such: a sound differentially private histogram over few columns matches almost every
record; it matches those of holdout as well.
"""

from __future__ import annotations

import numpy as np

from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Schema
from .matches import excess_of_copies, matched, matched_rows, shared_hashes

FEWEST = 20  # values that occur once, on either side, below which a column is not judged


class Copies:
    """Exact matches of rows with their test, and recurring unique values of numeric columns."""

    metrics = (
        Metric(
            name="exact_match_excess_error",
            family="privacy",
            best=0.0,
            worst=1.0,
            definition="Share of synthetic rows equal to a train row, less what equality with "
            "holdout rows explains (values below 0 count as 0). The identical match share of "
            "Mendelevitch and Lesh 2021, with holdout as its control; rows compared by hash.",
        ),
        Metric(
            name="exact_match_p_score",
            family="privacy",
            best=1.0,
            worst=0.0,
            definition="One-sided p-value of Fisher's exact test of the matches: rows that occur "
            "once in train and holdout together and are in the synthetic table.",
        ),
        Metric(
            name="copied_value_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="Largest over numeric columns of the share of train's unique values that "
            "the synthetic column repeats to the last digit, less that of holdout's (values below "
            "0 count as 0). The replicated uniques of Raab et al. 2024, for single columns.",
        ),
        Metric(
            name="column_copied_value_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="The same for one column.",
            per="column",
        ),
    )

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return all of them, or why there is none."""
        if reason := tables.lacking("train", "holdout", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        found = matched_rows(tables, schema)
        return {
            "exact_match_excess_error": excess_of_copies(*shared_hashes(tables, schema)),
            "exact_match_p_score": "no row occurs once only" if found is None else found.p,
            **copied_values(tables, schema),
        }


def copied_values(tables: Tables, schema: Schema) -> dict[str, float | str]:
    """Share of unique numbers that recur, train less holdout, for each column and at most."""
    by_column = {}
    for column in schema:
        if column.is_discrete:
            continue
        sides = [column.numbers(t[column.name]) for t in (tables.synthetic, tables.train)]
        sides.append(column.numbers(tables.holdout[column.name]))
        found = matched(*(side[~np.isnan(side)] for side in sides))
        if found is not None and min(found.members, found.others) >= FEWEST:
            by_column[column.name] = max(0.0, found.excess)
    if not by_column:
        reason = f"no numeric column has {FEWEST} values in train and holdout that occur once"
        return {"copied_value_error": reason, "column_copied_value_error": reason}
    largest = {"copied_value_error": max(by_column.values())}
    return largest | {f"column_copied_value_error[{n}]": v for n, v in by_column.items()}
