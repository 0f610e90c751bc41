"""Support: whether synthetic rows lie where real rows do, and cover them.

All metrics rest on nearest neighbours in the naive representation: min-max numbers and one-hot
categories (``naive``), every column counted, the target too. Real rows are those of train, as in
the papers that report these numbers, so a photocopier has the best of them but authenticity: read
them beside the attacks. Any numbers of rows do; equal ones give the libraries' values, while with
more synthetic rows recall and coverage rise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..bench.content import draw_rows, row_hashes
from ..bench.contracts import Measured, Metric, Picture, Tables, Values
from ..bench.schema import Schema
from .intervals import of_mean, of_share, within
from .naive import Space, to_mean
from .neighbours import counts_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = np.linspace(0, 1, 30)
DRAWN = 1500  # rows of a table in the picture


class Support:
    """Alpha-precision and its kin, and precision, recall, density and coverage.

    Parameters
    ----------
    k : int
        Neighbours that make the radius of a row, for precision, recall, density and coverage.
    """

    metrics = (
        Metric(
            name="alpha_precision_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="One less the area between the share of synthetic rows within the "
            "alpha-quantile of train's distances to its centre and alpha, over the area under "
            "alpha. Alaa et al. 2022; delta_precision_alpha_naive of synthcity 0.2.12.",
        ),
        Metric(
            name="beta_recall_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="One less the same area for the share of train rows that have a synthetic "
            "row within the distance of their nearest other train row, counted if that synthetic "
            "row is within the beta-quantile around the synthetic centre. Alaa et al. 2022; "
            "delta_coverage_beta_naive of synthcity 0.2.12. About 0.5 for as many fresh real rows.",
        ),
        Metric(
            name="authenticity_score",
            family="diagnostic",
            best=1.0,
            worst=0.0,
            definition="Share of synthetic rows farther from their nearest train row than that is "
            "from its nearest other train row. Alaa et al. 2022; not synthcity's number, which "
            "looks up the wrong rows.",
        ),
        Metric(
            name="precision_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="Share of synthetic rows nearer to some train row than its k-th nearest "
            "other train row, k=5 by default. Kynkaanniemi et al. 2019; as in prdc 0.2.",
        ),
        Metric(
            name="recall_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="Share of train rows nearer to some synthetic row than its k-th nearest "
            "other synthetic row. Kynkaanniemi et al. 2019; as in prdc 0.2.",
        ),
        Metric(
            name="density_score",
            family="fidelity",
            best=np.inf,
            worst=0.0,
            definition="Mean number of train rows nearer to a synthetic row than to their k-th "
            "nearest other train row, over k: 1 for fresh real rows, more where synthetic rows "
            "crowd. Naeem et al. 2020; as in prdc 0.2.",
        ),
        Metric(
            name="coverage_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition="Share of train rows with a synthetic row nearer than their k-th nearest "
            "other train row. Naeem et al. 2020; as in prdc 0.2.",
        ),
    )

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k!r}; set k=5")
        self.k = k

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return all of them, or why there is none."""
        if reason := tables.lacking("train", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        space = Space(tables, schema)
        return {
            "alpha_precision_score": alpha_precision(space),
            **_among_others(space, len(tables.train)),
            **_balls(space, self.k, len(tables.train), len(tables.synthetic)),
        }

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Draw train and synthetic rows on the first two principal components of train."""
        if tables.train.empty or tables.synthetic.empty:
            return []
        from .kernels import Projection

        drawn = []
        for table in (tables.train, tables.synthetic):
            places = draw_rows(row_hashes(table, schema), DRAWN, rng)
            drawn.append(table.iloc[places])
        projection = Projection(schema, drawn[0])
        clouds = [projection.points(table)[:, :2] for table in drawn]

        def draw(axes: Axes) -> None:
            for cloud, label in zip(clouds, ("train", "synthetic"), strict=True):
                second = cloud[:, 1] if cloud.shape[1] > 1 else np.zeros(len(cloud))
                axes.scatter(cloud[:, 0], second, s=4, alpha=0.4, linewidths=0, label=label)
            axes.set(xlabel="first principal component", ylabel="second")
            axes.legend(markerscale=3)

        caption = "The clouds should cover each other. The axes are those along which train varies."
        return [Picture("Joint projection", caption, draw)]


def alpha_precision(space: Space) -> Measured:
    """Compare distances to the centre of train; from train and of the synthetic rows."""
    train, synthetic = space.rows("train"), space.rows("synthetic")
    radii = np.quantile(to_mean(train, train), LEVELS)
    first = np.searchsorted(radii, to_mean(synthetic, train))
    return _closeness(first)


def beta_recall(space: Space) -> Measured:
    """Compare train rows that the synthetic table covers, from its middle outwards."""
    synthetic = space.rows("synthetic")
    found = space.nearest("train", "synthetic")
    around = to_mean(synthetic, synthetic)[found.index[:, 0]]
    radii = np.quantile(around, LEVELS)
    covered = found.distance[:, 0] <= space.nearest("train", "train").distance[:, 0]
    return _closeness(np.where(covered, np.searchsorted(radii, around), len(LEVELS)))


def _closeness(first: np.ndarray) -> Measured:
    """One less the mean distance between a curve and the diagonal, over the diagonal's mean.

    Parameters
    ----------
    first : ndarray of int64, shape (n,)
        The first of ``LEVELS`` at which each row counts; their number if it never does. The curve
        is the share of rows that count.
    """
    counts = np.bincount(first, minlength=len(LEVELS) + 1)[:-1]
    above = np.where(np.cumsum(counts) / len(first) > LEVELS, 1.0, -1.0)
    # The area is a mean over rows, each with the sign of the gap at each level.
    own = np.append(np.cumsum(above[::-1])[::-1], 0.0)[first]
    areas = (own - above @ LEVELS) / LEVELS.sum()
    found = of_mean(1 - areas)
    return within(found.value, found.low, found.high, 0.0, 1.0)


def authenticity(space: Space) -> Measured:
    """Share of synthetic rows that are not the nearest thing to a train row."""
    found = space.nearest("synthetic", "train")
    usual = space.nearest("train", "train").distance[:, 0]
    authentic = found.distance[:, 0] > usual[found.index[:, 0]]
    return of_share(int(authentic.sum()), len(authentic))


def _among_others(space: Space, rows: int) -> dict[str, Measured | str]:
    if rows < 2:
        return dict.fromkeys(("beta_recall_score", "authenticity_score"), "train has one row")
    return {"beta_recall_score": beta_recall(space), "authenticity_score": authenticity(space)}


def _balls(space: Space, k: int, n_train: int, n_synthetic: int) -> dict[str, Measured | str]:
    """Metrics of balls around rows that reach their k-th nearest other."""
    found: dict[str, Measured | str] = dict.fromkeys(
        ("precision_score", "density_score", "coverage_score"), f"train has {n_train} rows, k={k}"
    )
    found["recall_score"] = f"synthetic has {n_synthetic} rows, k={k}"
    train, synthetic = space.rows("train"), space.rows("synthetic")
    if n_train > k:
        radii = space.nearest("train", "train", k).distance[:, -1]
        counts = counts_within(synthetic, train, radii, "euclidean")
        nearest = space.nearest("train", "synthetic").distance[:, 0]
        found["precision_score"] = of_share(int(np.sum(counts > 0)), n_synthetic)
        found["density_score"] = of_mean(counts / k, 0.0)
        found["coverage_score"] = of_share(int(np.sum(nearest < radii)), n_train)
    if n_synthetic > k:
        radii = space.nearest("synthetic", "synthetic", k).distance[:, -1]
        counts = counts_within(train, synthetic, radii, "euclidean")
        found["recall_score"] = of_share(int(np.sum(counts > 0)), n_train)
    return found
