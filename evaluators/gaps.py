"""Gaps: differences of rates between groups, with intervals that hold for all of them at once.

The largest of many differences is looked for, so every rate gets its share of the 5 % by which an
interval may miss (Bonferroni). Groups too small for a rate are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..bench.contracts import Measured
from .intervals import LEVEL, of_auroc, of_mean, of_share, within

LEAST = 30  # rows of a group (of one class, for its true positive rate) that give a rate
FEW = 10  # rows in a class, and outside it, that give an area under the ROC curve
TOO_FEW = f"fewer than two groups have {LEAST} real rows to compare"

Value = float | str | Measured


def counts(flags: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Count the rows of each group that each flag marks.

    Parameters
    ----------
    flags : ndarray of bool, shape (n, flags)
    groups : ndarray of int64, shape (n,)
        In [0, n_groups), -1 for a row of no group.

    Returns
    -------
    ndarray of int64, shape (flags, n_groups)
    """
    marked = (groups + 1)[:, None] * flags
    return np.array(
        [np.bincount(column[column > 0] - 1, minlength=n_groups) for column in marked.T]
    ).reshape(flags.shape[1], n_groups)


def widest(hits: np.ndarray, sizes: np.ndarray) -> Measured | str:
    """Largest difference between two groups' rates, over several kinds of rates.

    Parameters
    ----------
    hits, sizes : ndarray of int64, shape (rates, groups)

    Returns
    -------
    Measured or str
        In [0, 1]; the reason where no two groups have ``LEAST`` rows.
    """
    enough = sizes >= LEAST
    enough &= enough.sum(axis=1, keepdims=True) >= 2
    if not enough.any():
        return TOO_FEW
    level = 1 - (1 - LEVEL) / int(enough.sum())
    gaps = []
    for hit, size, compared in zip(hits, sizes, enough, strict=True):
        rates = [
            of_share(int(h), int(n), level)
            for h, n in zip(hit[compared], size[compared], strict=True)
        ]
        if rates:
            low, value, high = (
                np.array([getattr(rate, end) for rate in rates]) for end in ("low", "value", "high")
            )
            gaps.append((low.max() - high.min(), np.ptp(value), high.max() - low.min()))
    low, value, high = np.max(gaps, axis=0)
    return within(value, low, high, 0.0, 1.0)


def widest_change(decided: np.ndarray, n_classes: int) -> Measured:
    """Largest change of the share of a class between two ways to decide the same rows.

    Parameters
    ----------
    decided : ndarray of int64, shape (ways, n)
        Classes in [0, n_classes); at least one way and one row.

    Returns
    -------
    Measured
        In [0, 1], with the interval of a mean of paired differences of the two ways furthest apart.
    """
    shares = np.array([np.bincount(way, minlength=n_classes) for way in decided])
    label = int(np.ptp(shares, axis=0).argmax())
    most, least = shares[:, label].argmax(), shares[:, label].argmin()
    change = (decided[most] == label).astype(np.float64) - (decided[least] == label)
    return of_mean(change, 0.0, 1.0)


def area(truth: np.ndarray, scores: np.ndarray, level: float = LEVEL) -> Value:
    """Area under the ROC curve; of more than two classes the mean of each against the rest.

    Parameters
    ----------
    truth : ndarray of int64, shape (n,)
        Classes in [0, scores.shape[1]).
    scores : ndarray of float64, shape (n, classes)
        Of two classes only those of the second are read.
    """
    n_classes = scores.shape[1]
    sizes = np.bincount(truth, minlength=n_classes)
    measurable = np.flatnonzero((sizes >= FEW) & (len(truth) - sizes >= FEW))
    if not len(measurable) or len(truth) < LEAST:
        return f"{len(truth)} rows, not {LEAST} with {FEW} in a class and {FEW} outside it"
    one_by_one = [
        of_auroc(scores[truth == label, label], scores[truth != label, label], level)
        for label in ([1] if n_classes == 2 else measurable)
    ]
    if n_classes == 2:
        return one_by_one[0]
    return float(np.mean([found.value for found in one_by_one]))


def recall(truth: np.ndarray, decided: np.ndarray, n_classes: int, level: float = LEVEL) -> Value:
    """Recall of the second of two classes; of more classes the mean over those with ``LEAST`` rows.

    Parameters
    ----------
    truth, decided : ndarray of int64, shape (n,)
        Classes in [0, n_classes).
    """
    hits = np.bincount(truth[truth == decided], minlength=n_classes)
    sizes = np.bincount(truth, minlength=n_classes)
    if n_classes == 2:
        if sizes[1] < LEAST:
            return f"{sizes[1]} rows of the class, fewer than {LEAST}"
        return of_share(int(hits[1]), int(sizes[1]), level)
    enough = sizes >= LEAST
    if not enough.any():
        return f"no class has {LEAST} rows"
    return float(np.mean(hits[enough] / sizes[enough]))


def worst(values: Sequence[Value], *, smallest: bool = False) -> Value:
    """Return the largest (or smallest) value, with the largest (smallest) ends of the intervals.

    What real rows are too few for (``TOO_FEW``) is left out; any other reason stands for the whole,
    so that a group cannot be made to look good by leaving it out.
    """
    reasons = [value for value in values if isinstance(value, str)]
    found = [value for value in values if not isinstance(value, str)]
    lasting = [reason for reason in reasons if reason != TOO_FEW]
    if lasting or not found:
        return (lasting or reasons or [TOO_FEW])[0]
    pick = min if smallest else max
    measured = [value for value in found if isinstance(value, Measured)]
    if len(measured) < len(found):
        return pick(value.value if isinstance(value, Measured) else value for value in found)
    return Measured(*(pick(getattr(m, end) for m in measured) for end in ("value", "low", "high")))


def change(first: Value, second: Value) -> Value:
    """Size of the difference of two values with intervals, with the interval of all it may be."""
    for value in (first, second):
        if isinstance(value, str):
            return value
    if not (isinstance(first, Measured) and isinstance(second, Measured)):
        raise TypeError(f"values with intervals are expected, got {first!r} and {second!r}")
    apart = max(first.low - second.high, second.low - first.high, 0.0)
    most = max(first.high - second.low, second.high - first.low)
    return within(abs(first.value - second.value), apart, most, 0.0, 1.0)
