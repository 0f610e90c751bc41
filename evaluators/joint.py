"""Joint: how far the whole real and synthetic distributions are apart, all columns at once.

Rows are points: standardised numbers and one-hot categories. Both distances are blind where a
detector (``detection.py``) is not: they average over all directions, so a difference that only few
directions show is small in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Schema, by_name
from .features import Features
from .transport import wasserstein

Points = Any  # a scipy.sparse.csr_array of float64, whose stubs promise no shape
PROTOCOLS = ("fourier", "exact", "synthcity")
BLOCK_CELLS = 2**19  # projections or kernel values held at once


class Joint:
    """Sliced Wasserstein distance and maximum mean discrepancy, target included.

    Real rows are ``train``, whose means and standard deviations scale the numbers; a missing value
    is a category.

    Parameters
    ----------
    slices : int
        Random directions of the sliced Wasserstein distance. It is their mean; with 200 its
        standard error is about a twentieth of it.
    frequencies : int
        Random Fourier features of the "fourier" protocol. With 2000 its standard error is about a
        fortieth of the value, in time linear in the rows.
    mmd : {"fourier", "exact", "synthcity"}
        How ``mmd_error`` is computed. "fourier" estimates, without bias, what "exact" sums over all
        pairs of rows in quadratic time: the unbiased statistic with a kernel as wide as the root
        mean squared distance between two rows of train. "synthcity" is the formula of synthcity
        0.2.12: the biased statistic with gamma = 1 on raw numbers and codes of categories.

    Raises
    ------
    ValueError
        If a number is below 1 or the protocol is unknown.
    """

    metrics = (
        Metric(
            name="sliced_wasserstein_error",
            family="fidelity",
            best=0.0,
            worst=np.inf,
            unit="standard deviations",
            definition="Mean Wasserstein-1 distance of the rows projected on random directions. "
            "Bonneel et al. 2015, with exponent 1; directions are uniform on the sphere.",
        ),
        Metric(
            name="mmd_error",
            family="fidelity",
            best=0.0,
            worst=2.0,
            definition="Squared maximum mean discrepancy with the kernel "
            "exp(-gamma |x - y|^2), unbiased (values below 0 count as 0). Gretton et al. 2012, "
            "lemma 6; gamma is 1 over twice the mean squared distance between two rows of train. "
            "Estimated by random Fourier features (Rahimi and Recht 2007) unless asked otherwise.",
        ),
    )

    def __init__(self, slices: int = 200, frequencies: int = 2000, mmd: str = "fourier") -> None:
        for name, count in (("slices", slices), ("frequencies", frequencies)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count!r}; set {name}=200")
        if mmd not in PROTOCOLS:
            raise ValueError(
                f"mmd must be one of {', '.join(PROTOCOLS)}, got {mmd!r}; set mmd=fourier"
            )
        self.slices, self.frequencies, self.mmd = slices, frequencies, mmd

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return both distances."""
        if reason := tables.lacking("train", "synthetic"):
            return {metric.name: reason for metric in self.metrics}
        points = tables.once(("joint", "points"), lambda: encoded(tables, schema))
        return {
            "sliced_wasserstein_error": sliced_wasserstein(*points, self.slices, rng),
            "mmd_error": self._mmd(points, tables, schema, rng),
        }

    def _mmd(
        self,
        points: tuple[Points, Points],
        tables: Tables,
        schema: Schema,
        rng: np.random.Generator,
    ) -> float | str:
        if self.mmd == "synthcity":
            raw = (raw_values(side, schema) for side in (tables.train, tables.synthetic))
            found = mean_discrepancy(*raw, gamma=1.0, unbiased=False)
        elif min(len(tables.train), len(tables.synthetic)) < 2:
            return "an unbiased estimate needs two rows of train and two synthetic ones"
        elif self.mmd == "exact":
            dense = (side.toarray() for side in points)
            found = mean_discrepancy(*dense, gamma=kernel_gamma(points[0]), unbiased=True)
        else:
            found = fourier_discrepancy(*points, kernel_gamma(points[0]), self.frequencies, rng)
        return float(np.clip(found, 0.0, 2.0))


def encoded(tables: Tables, schema: Schema) -> tuple[Points, Points]:
    """Encode train and the synthetic table as points, whatever the order of columns."""
    columns = by_name(schema)
    features = Features(columns, tables.train)
    return features.sparse(tables.train), features.sparse(tables.synthetic)


def raw_values(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Codes of categories and numbers as they are, missing numbers 0.

    Returns
    -------
    ndarray of float64, shape (len(table), len(schema))
    """
    columns = [
        column.codes(table[column.name])
        if column.is_discrete
        else np.nan_to_num(column.numbers(table[column.name]))
        for column in by_name(schema)
    ]
    return np.column_stack(columns).astype(np.float64)


def sliced_wasserstein(
    first: Points, second: Points, slices: int, rng: np.random.Generator
) -> float:
    """Mean Wasserstein-1 distance over random directions; at least one point on each side."""
    directions = orthogonal_directions(first.shape[1], slices, rng)
    step = max(1, BLOCK_CELLS // max(first.shape[0], second.shape[0]))
    distances = [
        wasserstein(one, other)
        for block in np.split(directions, range(step, slices, step), axis=1)
        for one, other in zip(*(np.sort((side @ block).T) for side in (first, second)), strict=True)
    ]
    return float(np.mean(distances))


def orthogonal_directions(dimension: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw unit vectors, uniform on the sphere and orthogonal in groups of ``dimension``.

    They spread more evenly than independent ones, which shrinks the error of means over them.

    Returns
    -------
    ndarray of float64, shape (dimension, count)
    """
    groups = []
    for start in range(0, count, dimension):
        size = min(dimension, count - start)
        group, triangle = np.linalg.qr(rng.normal(size=(dimension, size)))
        groups.append(group * np.sign(np.diag(triangle)))  # uniform (Mezzadri 2007)
    return np.concatenate(groups, axis=1)


def kernel_gamma(points: Points) -> float:
    """1 over twice the mean squared distance of two points; 1 where all are equal."""
    mean = np.asarray(points.mean(axis=0)).ravel()
    variance = float(points.power(2).sum() / points.shape[0] - mean @ mean)
    return 1 / (4 * variance) if variance > 1e-12 else 1.0


def fourier_discrepancy(
    first: Points, second: Points, gamma: float, frequencies: int, rng: np.random.Generator
) -> float:
    """Estimate the unbiased squared MMD; at least two points on each side.

    The squared distance of the characteristic functions, averaged over frequencies drawn from the
    kernel's spectrum, is the squared MMD in expectation. Drawn orthogonal, they have half the
    variance (Yu et al. 2016).
    """
    width = first.shape[1]
    lengths = np.sqrt(2 * gamma * rng.chisquare(width, size=frequencies))
    drawn = orthogonal_directions(width, frequencies, rng) * lengths
    one, other = (characteristic(side, drawn) for side in (first, second))
    m, n = first.shape[0], second.shape[0]
    within = (m * np.abs(one) ** 2 - 1) / (m - 1) + (n * np.abs(other) ** 2 - 1) / (n - 1)
    return float(np.mean(within - 2 * np.real(one * other.conj())))


def characteristic(points: Points, frequencies: np.ndarray) -> np.ndarray:
    """Empirical characteristic function, from angles in single precision.

    Parameters
    ----------
    points : csr_array, shape (n, d)
    frequencies : ndarray, shape (d, m)

    Returns
    -------
    ndarray of complex128, shape (m,)
    """
    step = max(1, BLOCK_CELLS // frequencies.shape[1])
    points, frequencies = points.astype(np.float32), frequencies.astype(np.float32)
    total = np.zeros(frequencies.shape[1], dtype=np.complex128)
    for start in range(0, points.shape[0], step):
        angles = points[start : start + step] @ frequencies
        total += np.cos(angles).sum(axis=0, dtype=np.float64)
        total += 1j * np.sin(angles).sum(axis=0, dtype=np.float64)
    return total / points.shape[0]


def mean_discrepancy(
    first: np.ndarray, second: np.ndarray, *, gamma: float, unbiased: bool
) -> float:
    """Squared MMD over all pairs of rows, in time quadratic and memory linear in them.

    Parameters
    ----------
    first, second : ndarray of float64, shapes (m, d) and (n, d)
        At least one row each, two where ``unbiased``.
    gamma : float
        Of the kernel exp(-gamma |x - y|^2).
    unbiased : bool
        Whether pairs of a row with itself are left out (U- instead of V-statistic).
    """
    centre = first.mean(axis=0)  # squares of large numbers would drown the differences
    first, second = first - centre, second - centre
    found = -2 * kernel_sum(first, second, gamma) / (len(first) * len(second))
    for side in (first, second):
        total, n = kernel_sum(side, side, gamma), len(side)
        found += (total - n) / (n * (n - 1)) if unbiased else total / n**2
    return float(found)


def kernel_sum(first: np.ndarray, second: np.ndarray, gamma: float) -> float:
    """Sum of the kernel over all pairs; of one array with itself, each pair is computed once."""
    same = first is second
    squares = [np.einsum("ij,ij->i", side, side) for side in (first, second)]
    step = max(1, BLOCK_CELLS // len(second))
    total = 0.0
    for start in range(0, len(first), step):
        rows = slice(start, min(start + step, len(first)))
        rest = slice(start if same else 0, None)
        distances = first[rows] @ second[rest].T
        distances *= -2
        distances += squares[0][rows, None]
        distances += squares[1][rest]
        np.maximum(distances, 0, out=distances)
        if same:
            np.fill_diagonal(distances, 0)
        distances *= -gamma
        np.exp(distances, out=distances)
        own = float(distances[:, : rows.stop - start].sum()) if same else 0.0
        total += (2 if same else 1) * float(distances.sum()) - own
    return total
