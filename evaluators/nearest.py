"""Nearest: whether synthetic rows lie closer to the rows the generator saw than to others.

Both numbers are diagnostics. They show copying; their absence does not show privacy (Yao et al.
2025, "The DCR Delusion"), and neither replaces an attack or an epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..bench.contracts import Metric, Tables
from ..bench.schema import Schema
from .neighbours import TOLERANCE, Encoder, nearest
from .rows import row_hashes, smallest


class Nearest:
    """Distance-to-closest-record share and exact matches, both held against holdout.

    Each synthetic row votes for train with the share k_t / (k_t + k_h) that train has among the
    rows nearest to it (all rows at the smallest distance, or all its exact copies). For a generator
    that learned nothing about which rows were train, the mean vote is n_t / (n_t + n_h), whatever
    the table: the labels "train" and "holdout" could be swapped. Votes are scaled so that this
    chance is 0 and "always train" is 1. With n_t = n_h this is the usual ``2 * share - 1``; no row
    of train is thrown away to make the sides equal.

    Parameters
    ----------
    rows : int
        The nearest rows of at most so many synthetic rows are sought, drawn by content. Distances
        are exact; with four train rows to one of holdout the draw of ten thousand adds a standard
        error of at most 0.02.
    """

    metrics = (
        Metric(
            name="dcr_share_error",
            family="privacy",
            best=0.0,
            worst=1.0,
            definition="Excess share of synthetic rows whose nearest real row is a train row, "
            "0 by chance (values below chance count as 0), 1 always. After the DCR share of Zhang "
            "et al. 2024 (TabSyn); L1 distance, numbers over their range, one-hot categories.",
            ranked=True,
        ),
        Metric(
            name="exact_match_excess_error",
            family="privacy",
            best=0.0,
            worst=1.0,
            definition="Share of synthetic rows equal to a train row, less what equality with "
            "holdout rows explains (values below 0 count as 0). The identical match share of "
            "Mendelevitch and Lesh 2021, with holdout as its control.",
        ),
    )

    def __init__(self, rows: int = 10_000) -> None:
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows!r}; set rows=10000")
        self.rows = rows

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str]:
        """Return both numbers."""
        sides = {"train": tables.train, "holdout": tables.holdout, "synthetic": tables.synthetic}
        for name, table in sides.items():
            if table.empty:
                return {metric.name: f"{name} has no rows" for metric in self.metrics}
        chance = len(tables.train) / (len(tables.train) + len(tables.holdout))
        hashes = row_hashes(tables.synthetic, schema)
        copies = copy_votes(
            hashes, row_hashes(tables.train, schema), row_hashes(tables.holdout, schema)
        )
        drawn = smallest(hashes, self.rows, rng)
        nearness = nearest_votes(tables, schema, drawn)
        return {
            "dcr_share_error": excess(nearness, chance),
            "exact_match_excess_error": excess(copies, chance),
        }


def excess(votes: np.ndarray, chance: float) -> float:
    """Scale the mean vote so that ``chance`` is 0 and "always train" is 1; NaN is no vote.

    Returns
    -------
    float
        In [0, 1]; a mean below chance gives 0.
    """
    scaled = np.where(np.isnan(votes), 0.0, (votes - chance) / (1 - chance))
    return float(np.clip(np.sort(scaled).mean(), 0.0, 1.0))


def copy_votes(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> np.ndarray:
    """Share of train among the exact copies of each synthetic row, from row hashes.

    Returns
    -------
    ndarray of float64, shape (len(synthetic),)
        In [0, 1]; NaN where neither side has a copy.
    """
    in_train, in_holdout = occurrences(synthetic, train), occurrences(synthetic, holdout)
    copies = in_train + in_holdout
    return np.where(copies > 0, in_train / np.maximum(copies, 1), np.nan)


def occurrences(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How often each of ``values`` occurs in ``among``."""
    among = np.sort(among)
    first, last = (np.searchsorted(among, values, side) for side in ("left", "right"))
    return last - first


def nearest_votes(tables: Tables, schema: Schema, drawn: np.ndarray) -> np.ndarray:
    """Share of train among the real rows nearest to each drawn synthetic row.

    Returns
    -------
    ndarray of float64, shape (len(drawn),)
        In [0, 1].
    """
    encoder = Encoder(schema, tables.train)
    queries = encoder.encode(tables.synthetic.iloc[drawn])
    train = nearest(queries, encoder.encode(tables.train))
    holdout = nearest(queries, encoder.encode(tables.holdout))
    difference = train.distance - holdout.distance
    shared = train.ties / (train.ties + holdout.ties)
    return np.where(np.abs(difference) <= TOLERANCE, shared, (difference < 0).astype(np.float64))
