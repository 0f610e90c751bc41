"""Folds: real and synthetic rows divided for cross-validation by what they hold.

The order of rows changes nothing. Equal rows of both tables lie in one fold, or a model would meet
a row of the test fold again in training, with the other label or in another number: a bootstrap of
real rows would then look unlike them, for its repetitions alone. What more than ``TOGETHER`` rows
share is no such coincidence but a frequent row, whose frequency is there to be compared, and is
spread over all folds; so are the rows of a table that has few different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bench.content import draw_rows, mix, number_among_equals

TOGETHER = 10


@dataclass(frozen=True)
class Folds:
    """A selection of rows in an order of their content.

    Parameters
    ----------
    real, synthetic : ndarray of int64, shape (n,) each
        Positions of the rows that take part, equally many of each table.
    real_fold, synthetic_fold : ndarray of int64, shape (n,) each
        The fold of each, in [0, number of folds).
    """

    real: np.ndarray
    synthetic: np.ndarray
    real_fold: np.ndarray
    synthetic_fold: np.ndarray


def folds_by_content(
    real: np.ndarray, synthetic: np.ndarray, count: int, rng: np.random.Generator
) -> Folds:
    """Divide two tables, given by their row hashes, into ``count`` folds.

    Of the longer table as many rows are drawn as the shorter one has.
    """
    salt = rng.integers(2**63, dtype=np.uint64)
    sides = [mix(hashes ^ salt) for hashes in (real, synthetic)]
    n = min(map(len, sides))
    chosen = [_drawn(side, n, rng) for side in sides]
    keys = np.concatenate([side[rows] for side, rows in zip(sides, chosen, strict=True)])
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    spread = np.where(
        sizes[group] > TOGETHER,
        np.concatenate([number_among_equals(part) for part in (group[:n], group[n:])]),
        0,
    )
    fold = (group + spread) % count
    return Folds(chosen[0], chosen[1], fold[:n], fold[n:])


def _drawn(hashes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` rows by content and sort them by it."""
    drawn = draw_rows(hashes, n, rng)
    return drawn[np.argsort(hashes[drawn], kind="stable")]
