"""Binning: every column as a few codes, with edges that real rows alone decide.

A value that train lacks has a code that train lacks, so that an invented one is never taken for a
real one: a category of its own, or the bin below or above all numbers of train.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..bench.contracts import Tables
from ..bench.schema import Column, Schema, by_name
from .contingency import gapless

BINS = 20
Edges = Callable[[Column, np.ndarray], np.ndarray]


def quantile_codes(tables: Tables, schema: Schema) -> dict[str, np.ndarray]:
    """Code the rows of train and, after them, those of the synthetic table.

    A discrete column has a code for each category, a numeric one for each bin of
    ``quantile_edges``; a missing value has a code of its own.

    Returns
    -------
    dict of str to ndarray of int64, shape (len(train) + len(synthetic),)
        By column name, sorted; no code below the largest is unused.
    """
    return tables.once(("binning", "quantiles"), lambda: _codes(tables, schema, quantile_edges))


def nist_codes(tables: Tables, schema: Schema) -> dict[str, np.ndarray]:
    """Code as ``quantile_codes`` does, with the bins of ``nist_edges``."""
    return tables.once(("binning", "nist"), lambda: _codes(tables, schema, nist_edges))


def _codes(tables: Tables, schema: Schema, edges: Edges) -> dict[str, np.ndarray]:
    found = {}
    for column in by_name(schema):
        sides = tables.train[column.name], tables.synthetic[column.name]
        if column.is_discrete:
            codes = [column.codes(side) + 1 for side in sides]
        else:
            real, synthetic = (column.numbers(side) for side in sides)
            cuts = edges(column, real[~np.isnan(real)])
            codes = [bins(real, cuts), bins(synthetic, cuts)]
        found[column.name] = gapless(np.concatenate(codes))
    return found


def quantile_edges(column: Column, known: np.ndarray) -> np.ndarray:
    """Edges between bins that hold a twentieth of the known numbers each.

    Returns
    -------
    ndarray of float64
        Rising. The smallest number twice, so that one value that a twentieth of the rows share,
        such as 0, has a bin of its own; then the other quantiles to the largest.
    """
    if not len(known):
        return np.empty(0)
    quantiles = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1), method="higher"))
    return np.concatenate([quantiles[:1], quantiles])


def nist_edges(column: Column, known: np.ndarray) -> np.ndarray:
    """Edges between the bins of SDNist 2.5 (``bin_continuous_feature``).

    Whole numbers whose range is at most 20 are kept. Others have percentile bins, one fewer where
    values may be missing. SDNist has a further bin for synthetic values above or below all of train
    and one percentile bin fewer for each; here only the former.
    """
    if not len(known):
        return np.empty(0)
    low, high = (column.lower, column.upper) if column.is_bounded else (known.min(), known.max())
    if column.kind == "integer" and high - low <= BINS:
        return np.arange(low - 1, high + 1)
    shares = np.arange(BINS - column.missing) / (BINS - column.missing)
    edges = np.unique([*np.quantile(known, shares, method="higher"), known.max()])
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def bins(numbers: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Code numbers by the bin that they lie in.

    Returns
    -------
    ndarray of int64, shape (len(numbers),)
        0 where missing, 1 below all edges; a bin holds its upper edge, the first also its lower.
    """
    codes = 1 + np.searchsorted(edges[1:], numbers, side="left") + 1
    codes[numbers < (edges[0] if len(edges) else -np.inf)] = 1
    codes[np.isnan(numbers)] = 0
    return codes
