"""Nearest: whether synthetic rows lie closer to the rows the generator saw than to others.

All numbers are diagnostics. They show copying; their absence does not show privacy (Yao et al.
2025, "The DCR Delusion"), and none replaces an attack or an epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..bench.content import draw_rows, row_hashes
from ..bench.contracts import Measured, Metric, Picture, Tables, Values
from ..bench.schema import Schema
from .intervals import normal_quantile, of_mean, of_share, within
from .neighbours import TOLERANCE, Encoded, Encoder, Neighbours, knn, ties

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.95
BINS = 40


class Nearest:
    """Distances to the closest records of train, held against what holdout gives.

    The vote: each synthetic row votes for train with the share k_t / (k_t + k_h) that train has
    among the rows nearest to it (all rows at the smallest distance). For a generator that learned
    nothing about which rows were train, the mean vote is n_t / (n_t + n_h), whatever the table: the
    labels "train" and "holdout" could be swapped. Votes are scaled so that this chance is 0 and
    "always train" is 1. With n_t = n_h this is ``2 * share - 1``, ties counting half; no row of
    train is thrown away to make the sides equal. All rows are searched, exactly.
    """

    metrics = (
        Metric(
            name="dcr_share_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="Excess share of synthetic rows whose nearest real row is a train row, "
            "0 by chance (values below chance count as 0), 1 always. After the DCR share of Zhang "
            "et al. 2024 (TabSyn); L1 distance, numbers over their range, one-hot categories.",
        ),
        Metric(
            name="dcr_share_excess_error",
            family="diagnostic",
            best=0.0,
            worst=0.5,
            definition="Share of synthetic rows strictly nearer to train than to holdout, less "
            "0.5 (values below count as 0): the DCR share as the TabSyn code computes it, with the "
            "larger side cut to the size of the other; numbers over the range of train. A tie "
            "counts against train, and copies of the rows cut are missed: meant for equal sizes.",
        ),
        Metric(
            name="dcr_ratio_score",
            family="diagnostic",
            best=1.0,
            worst=0.0,
            definition="Median distance from synthetic rows to the closest train row over that "
            "from holdout rows, at most 1. Distance to closest record: Park et al. 2018.",
        ),
        Metric(
            name="nndr_shortfall_error",
            family="diagnostic",
            best=0.0,
            worst=1.0,
            definition="Mean ratio of the distances to the closest and the second closest train "
            "row (NNDR, Zhao et al. 2021), of holdout rows less of synthetic rows (values below 0 "
            "count as 0).",
        ),
    )

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return all of them, or why there is none."""
        if reason := tables.lacking("train", "holdout", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        synthetic, holdout = (to_train(tables, schema, side) for side in ("synthetic", "holdout"))
        chance = len(tables.train) / (len(tables.train) + len(tables.holdout))
        return {
            "dcr_share_error": excess(nearest_votes(tables, schema), chance),
            "dcr_share_excess_error": equal_share(tables, schema, rng),
            "dcr_ratio_score": _ratio(synthetic.distance[:, 0], holdout.distance[:, 0]),
            "nndr_shortfall_error": _shortfall(synthetic.distance, holdout.distance),
        }

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Draw how far synthetic and holdout rows lie from train."""
        if tables.train.empty or tables.holdout.empty or tables.synthetic.empty:
            return []
        found = {
            side: to_train(tables, schema, side).distance[:, 0] for side in ("holdout", "synthetic")
        }
        last = max(np.quantile(distance, 0.99) for distance in found.values()) or 1.0
        edges = np.linspace(0, last, BINS + 1)

        def draw(axes: Axes) -> None:
            for side, distance in found.items():
                share = np.full(len(distance), 100 / len(distance))
                axes.hist(distance, edges.tolist(), weights=share, alpha=0.6, label=side)
            axes.set(xlabel="distance to the closest train row", ylabel="% of rows")
            axes.legend()

        caption = (
            "Rows that a generator did not copy lie as far from train as holdout rows do. A peak "
            "at 0 that holdout lacks is copying; its absence is no proof of privacy."
        )
        return [Picture("Distance to the closest record", caption, draw)]


def encoded(tables: Tables, schema: Schema, side: str) -> Encoded:
    """Encode a table of the cell for the L1 search, once."""
    encoder = tables.once(("nearest", "encoder"), lambda: Encoder(schema, tables.train))
    return tables.once(("nearest", side), lambda: encoder.encode(getattr(tables, side)))


def to_train(tables: Tables, schema: Schema, side: str) -> Neighbours:
    """Find the two train rows (or the one that there is) nearest to each row of a table, once."""
    train = encoded(tables, schema, "train")
    return tables.once(
        ("nearest", side, "to train"),
        lambda: knn(encoded(tables, schema, side), train, min(2, len(train))),
    )


def nearest_votes(tables: Tables, schema: Schema) -> np.ndarray:
    """Share of train among the real rows nearest to each synthetic row.

    Returns
    -------
    ndarray of float64, shape (len(tables.synthetic),)
        In [0, 1].
    """
    queries, train, holdout = (
        encoded(tables, schema, side) for side in ("synthetic", "train", "holdout")
    )
    to_holdout = tables.once(("nearest", "to holdout"), lambda: knn(queries, holdout, 1))
    distance = to_train(tables, schema, "synthetic").distance[:, 0]
    difference = distance - to_holdout.distance[:, 0]
    votes = (difference < 0).astype(np.float64)
    equal = np.flatnonzero(np.abs(difference) <= TOLERANCE)
    if len(equal):
        undecided = queries.take(equal)
        near, other = (ties(undecided, side, distance[equal]) for side in (train, holdout))
        votes[equal] = near / (near + other)
    return votes


def excess(votes: np.ndarray, chance: float) -> Measured:
    """Scale the mean vote so that ``chance`` is 0 and "always train" is 1, cut to [0, 1]."""
    found = of_mean((votes - chance) / (1 - chance), 0.0, 1.0)
    return within(found.value, found.low, found.high, 0.0, 1.0)


def equal_share(tables: Tables, schema: Schema, rng: np.random.Generator) -> Measured:
    """Share of synthetic rows strictly nearer to train than to as many holdout rows, less 0.5."""
    share = nearer_share(tables, schema, rng)
    return within(share.value - 0.5, share.low - 0.5, share.high - 0.5, 0.0, 0.5)


def nearer_share(tables: Tables, schema: Schema, rng: np.random.Generator) -> Measured:
    """Share of synthetic rows strictly nearer to train than to as many holdout rows."""
    encoder = Encoder(schema, tables.train, public=False)
    size = min(len(tables.train), len(tables.holdout))
    queries = encoder.encode(tables.synthetic)
    distances = []
    for table in (tables.train, tables.holdout):
        drawn = draw_rows(row_hashes(table, schema), size, rng)
        distances.append(knn(queries, encoder.encode(table.iloc[drawn]), 1).distance[:, 0])
    nearer = int(np.sum(distances[0] < distances[1] - TOLERANCE))
    return of_share(nearer, len(queries))


def _ratio(synthetic: np.ndarray, holdout: np.ndarray) -> float | str:
    usual = float(np.median(holdout))
    if usual == 0:
        return "half of the holdout rows equal a train row"
    return min(1.0, float(np.median(synthetic)) / usual)


def _shortfall(synthetic: np.ndarray, holdout: np.ndarray) -> Measured | str:
    if synthetic.shape[1] < 2:
        return "train has one row"
    ratios = [_nndr(distance) for distance in (synthetic, holdout)]
    means = [float(np.sort(ratio).mean()) for ratio in ratios]
    deviation = np.sqrt(sum(float(np.var(ratio)) / len(ratio) for ratio in ratios))
    half, shortfall = normal_quantile(LEVEL) * deviation, means[1] - means[0]
    return within(shortfall, shortfall - half, shortfall + half, 0.0, 1.0)


def _nndr(distance: np.ndarray) -> np.ndarray:
    """Nearest over second nearest distance; 1 where both are 0."""
    first, second = distance.T[:2]
    return np.where(second > 0, first / np.where(second > 0, second, 1.0), 1.0)
