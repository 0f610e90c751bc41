"""Kernel densities of mixed rows in few dimensions, in memory linear in the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .features import Features

DIMENSIONS = 10  # kernel densities mean little in more
VARIANCE = 0.99  # of the encoded rows that the subspace holds, if so few dimensions can
BLOCK_CELLS = 2**20  # kernel values held at once
RIDGE = 1e-3  # of the mean variance, so that a constant direction has a width


class Projection:
    """Principal components of one-hot categories and standardised numbers.

    Parameters
    ----------
    schema : Schema
        Of all tables.
    table : DataFrame
        Gives means, scales and components.
    """

    def __init__(self, schema: Schema, table: pd.DataFrame) -> None:
        self._features = Features(schema.columns, table)
        rows = self._features.sparse(table)
        self._mean = np.asarray(rows.mean(axis=0)).ravel()
        second = np.asarray((rows.T @ rows).todense()) / len(table)
        variances, vectors = np.linalg.eigh(second - np.outer(self._mean, self._mean))
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        explained = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
        wanted = int(np.searchsorted(explained, VARIANCE)) + 1
        self._vectors = vectors[:, : min(wanted, DIMENSIONS)]

    def points(self, table: pd.DataFrame) -> np.ndarray:
        """Project rows.

        Returns
        -------
        ndarray of float64, shape (len(table), d)
        """
        return self._features.sparse(table) @ self._vectors - self._mean @ self._vectors


class Density:
    """Gaussian kernel density, the covariance of its points times Silverman's factor as its width.

    Silverman 1986; ``scipy.stats.gaussian_kde(..., "silverman")`` but for a ridge that keeps a
    constant direction from making the covariance singular. It does not depend on units.

    Parameters
    ----------
    points : ndarray of float64, shape (n, d)
        At least one.
    """

    def __init__(self, points: np.ndarray) -> None:
        n, d = points.shape
        covariance = np.cov(points.T, bias=False).reshape(d, d) if n > 1 else np.eye(d)
        scale = float(np.trace(covariance)) / d
        covariance = covariance + RIDGE * (scale if scale > 0 else 1.0) * np.eye(d)
        factor = (n * (d + 2) / 4.0) ** (-1 / (d + 4))
        self._whiten = np.linalg.inv(np.linalg.cholesky(covariance) * factor).T
        self._log_norm = np.log(np.abs(np.linalg.det(self._whiten))) - d / 2 * np.log(2 * np.pi)
        self._centre = points.mean(axis=0)
        self._points = self._white(points)
        self._norms = (self._points**2).sum(axis=1)

    def logarithm(self, points: np.ndarray) -> np.ndarray:
        """Log density at each point.

        Returns
        -------
        ndarray of float64, shape (len(points),)
        """
        white = self._white(points)
        norms = (white**2).sum(axis=1)
        found = np.empty(len(white))
        step = max(1, BLOCK_CELLS // len(self._points))
        for start in range(0, len(white), step):
            block = slice(start, start + step)
            exponents = white[block] @ self._points.T
            exponents -= self._norms / 2
            largest = exponents.max(axis=1)
            exponents -= largest[:, None]
            sums = np.exp(exponents, out=exponents).sum(axis=1, dtype=np.float64)
            found[block] = largest - norms[block] / 2 + np.log(sums)
        return found + self._log_norm - np.log(len(self._points))

    def log_kernel(self, offsets: np.ndarray) -> np.ndarray:
        """Log of the kernel at offsets from its centre; shape (..., d) to (...)."""
        white = offsets @ self._whiten
        return self._log_norm - (white**2).sum(axis=-1) / 2

    def _white(self, points: np.ndarray) -> np.ndarray:
        return ((points - self._centre) @ self._whiten).astype(np.float32)
