"""Attacks: scores that tell members of train from other real rows, seeing synthetic rows only.

An attacker knows the Schema, the synthetic table and reference rows that are neither members nor
candidates. Whatever an attack learns, it learns from those: members never reach an encoder, a
density or a classifier. High scores say "member".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..bench.content import row_hashes
from ..bench.schema import Column, Schema
from .features import Features
from .kernels import Density, Projection
from .matches import row_counts
from .neighbours import Encoded, Encoder, Neighbours, counts_within, knn

NEIGHBOURS = 5  # of the density ratio and of the local likelihood
BINS = 100  # of a numeric column, where values are compared for equality
FLOOR = 1e-6  # added to distances before their logarithm, in units of a column's range


@dataclass(frozen=True)
class Evidence:
    """What an attacker has, with what several attacks read of it.

    Parameters
    ----------
    candidates : DataFrame
        Rows to be called members or not; their labels are nowhere here.
    synthetic, reference : DataFrame
        At least one row each.
    schema : Schema
        Of all three.
    """

    candidates: pd.DataFrame
    synthetic: pd.DataFrame
    reference: pd.DataFrame
    schema: Schema

    @cached_property
    def encoder(self) -> Encoder:
        """Scales from the Schema, or from reference."""
        return Encoder(self.schema, self.reference)

    @cached_property
    def encoded(self) -> Encoded:
        """Candidates as the neighbour search sees them."""
        return self.encoder.encode(self.candidates)

    @cached_property
    def encoded_synthetic(self) -> Encoded:
        """Synthetic rows as the neighbour search sees them."""
        return self.encoder.encode(self.synthetic)

    @cached_property
    def near_synthetic(self) -> Neighbours:
        """The synthetic rows nearest to each candidate."""
        k = min(NEIGHBOURS, len(self.synthetic))
        return knn(self.encoded, self.encoded_synthetic, k)

    @cached_property
    def near_reference(self) -> Neighbours:
        """The reference rows nearest to each candidate."""
        k = min(NEIGHBOURS, len(self.reference))
        return knn(self.encoded, self.encoder.encode(self.reference), k)

    @cached_property
    def as_codes(self) -> tuple[Encoded, Encoded]:
        """Candidates and synthetic rows with every column discrete."""
        bins = [quantile_edges(column, self.reference[column.name]) for column in self.schema]
        return _binned(self.candidates, self.schema, bins), _binned(
            self.synthetic, self.schema, bins
        )

    @cached_property
    def projection(self) -> Projection:
        """The subspace in which densities are estimated, fitted on reference."""
        return Projection(self.schema, self.reference)

    @cached_property
    def reference_density(self) -> Density:
        """Kernel density of reference."""
        return Density(self.projection.points(self.reference))


def quantile_edges(column: Column, series: pd.Series) -> np.ndarray:
    """Distinct edges of at most ``BINS`` bins with about equally many of a column's numbers."""
    if column.is_discrete:
        return np.empty(0)
    numbers = column.numbers(series)
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        return np.empty(0)
    return np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))


def _binned(table: pd.DataFrame, schema: Schema, bins: list[np.ndarray]) -> Encoded:
    """Encode rows by codes alone: categories, and bins of numbers."""
    codes = []
    for column, edges in zip(schema, bins, strict=True):
        if column.is_discrete:
            found, count = column.codes(table[column.name]) + 1, len(column.categories)
        else:
            numbers, count = column.numbers(table[column.name]), len(edges) + 1
            found = np.where(np.isnan(numbers), 0, np.searchsorted(edges, numbers, "right") + 1)
        codes.append(found.astype(np.min_scalar_type(count)))
    return Encoded(np.empty((0, len(table)), dtype=np.float32), codes)


def exact_match(evidence: Evidence) -> np.ndarray:
    """How often the candidate occurs among the synthetic rows."""
    count = row_counts(row_hashes(evidence.synthetic, evidence.schema))
    return count(row_hashes(evidence.candidates, evidence.schema)).astype(np.float64)


def dcr(evidence: Evidence) -> np.ndarray:
    """Nearness to the closest synthetic row (GAN-Leaks, Chen et al. 2020)."""
    return -evidence.near_synthetic.distance[:, 0]


def equal_values(evidence: Evidence) -> np.ndarray:
    """Most values that the candidate shares with a synthetic row (Hamming distance).

    Numbers are equal where they fall between the same two of a hundred quantiles of reference. Rows
    of which single cells were changed stay near in this distance, however far those cells moved.
    """
    return -knn(*evidence.as_codes, 1).distance[:, 0]


def dcr_difference(evidence: Evidence) -> np.ndarray:
    """Nearness to the closest synthetic less that to the closest reference row (GAN-Leaks)."""
    return evidence.near_reference.distance[:, 0] - evidence.near_synthetic.distance[:, 0]


def domias_knn(evidence: Evidence) -> np.ndarray:
    """Ratio of the synthetic to the reference density (DOMIAS, van Breugel et al. 2023).

    Densities by nearest neighbours: the mean logarithm of the distances to the k nearest synthetic
    rows against that to the k nearest reference rows. Its factor, the unknown dimension, leaves the
    order as it is.
    """
    far, near = (
        np.log(found.distance + FLOOR).mean(axis=1)
        for found in (evidence.near_reference, evidence.near_synthetic)
    )
    return far - near


def domias_kde(evidence: Evidence) -> np.ndarray:
    """Ratio of the synthetic to the reference density, both by Gaussian kernels (DOMIAS)."""
    points = evidence.projection.points(evidence.candidates)
    density = Density(evidence.projection.points(evidence.synthetic))
    return density.logarithm(points) - evidence.reference_density.logarithm(points)


def classifier(evidence: Evidence) -> np.ndarray:
    """How synthetic a candidate looks to boosted trees that tell synthetic from reference rows.

    The discriminator attack without the generator's own discriminator (LOGAN, Hayes et al. 2019).
    """
    from .predictors import probabilities

    features = Features(evidence.schema.columns, evidence.reference)
    rows = pd.concat([evidence.reference, evidence.synthetic], ignore_index=True)
    is_synthetic = (np.arange(len(rows)) >= len(evidence.reference)).astype(np.int64)
    return probabilities("xgboost", features, rows, is_synthetic, evidence.candidates, 2)[:, 1]


def gen_lra(evidence: Evidence) -> np.ndarray:
    """How much likelier the synthetic rows around a candidate become once it joins the reference.

    Gen-LRA (Ward et al. 2025): the logarithm of p(S | R + x) / p(S | R) over the synthetic rows
    nearest to x, with a Gaussian kernel density of the reference.
    """
    density, n = evidence.reference_density, len(evidence.reference)
    points = evidence.projection.points(evidence.candidates)
    synthetic = evidence.projection.points(evidence.synthetic)
    index = evidence.near_synthetic.index
    needed, place = np.unique(index, return_inverse=True)
    before = density.logarithm(synthetic[needed])[place].reshape(index.shape)
    joined = density.log_kernel(points[:, None, :] - synthetic[index]) - np.log(n)
    return np.sum(np.logaddexp(before, joined) - before, axis=1)


def monte_carlo(evidence: Evidence) -> np.ndarray:
    """How many synthetic rows lie around a candidate (Hilprecht et al. 2019).

    Around: nearer than the median candidate's closest synthetic row, or as near.
    """
    radius = np.nextafter(np.median(evidence.near_synthetic.distance[:, 0]), np.inf)
    radii = np.full(len(evidence.synthetic), radius)
    counts = counts_within(evidence.encoded, evidence.encoded_synthetic, radii)
    return counts.astype(np.float64)


ATTACKS: dict[str, Callable[[Evidence], np.ndarray]] = {
    attack.__name__: attack
    for attack in (
        exact_match,
        dcr,
        equal_values,
        dcr_difference,
        domias_knn,
        domias_kde,
        classifier,
        gen_lra,
        monte_carlo,
    )
}
