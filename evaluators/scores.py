"""Scores: how good predictions are, each with what every row contributes to it.

Intervals come from the infinitesimal jackknife (Jaeckel 1972; Efron 1982): if a score changes by
u_r per unit of weight given to row r, its variance is the sum of u_r**2. That is the bootstrap's
answer without drawing, and for the area under the ROC curve it is DeLong's. The difference of two
scores on the same rows has the difference of their u, so a gap is measured in pairs. Where a class
has a handful of rows, intervals are too narrow, as the bootstrap's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..bench.contracts import Measured
from .intervals import LEVEL, normal_quantile, of_auroc, of_share, placements, within

CLASSIFICATION = {
    "auroc_score": "Area under the ROC curve, 0.5 for a constant prediction (Hanley and McNeil "
    "1982); more than two classes: mean of one against the rest over the classes in holdout",
    "auprc_macro_score": "Mean average precision of one class against the rest, over the classes "
    "in holdout",
    "auprc_score": "Average precision of one class against the rest (the area under the "
    "precision-recall curve without interpolation); a constant prediction has the class's share",
    "f1_macro_score": "Mean F1 over the classes in holdout",
    "f1_score": "F1 of one class (van Rijsbergen 1979)",
    "accuracy_score": "Share of correct predictions",
}
REGRESSION = {
    "rmse_error": "Root mean squared error, in units of the target",
    "r2_score": "Coefficient of determination; 0 for the mean of holdout",
}
PER_CLASS = ("auprc_score", "f1_score")
ONE_CLASS = "holdout has rows of one class only"
ABSENT = "the class is not in holdout"


@dataclass(frozen=True)
class Score:
    """A score on some rows.

    Parameters
    ----------
    value : float
        The score.
    influence : ndarray of float64, shape (n,)
        Derivative of ``value`` by the weight of each row.
    low, high : float
        The range of the score.
    hits : int
        Of how many rows a value of 0 or 1 without any variance is the share.
    exact : Measured, optional
        A better interval, where there is one in closed form.
    """

    value: float
    influence: np.ndarray
    low: float = 0.0
    high: float = 1.0
    hits: int = 0
    exact: Measured | None = None

    def measured(self) -> Measured:
        """Return the value with its interval."""
        if self.exact is not None:
            return self.exact
        half = normal_quantile(LEVEL) * float(np.sqrt(np.sum(self.influence**2)))
        if half == 0 and self.hits and self.value in (0.0, 1.0):
            return of_share(int(self.value) * self.hits, self.hits)
        return within(self.value, self.value - half, self.value + half, self.low, self.high)

    def __sub__(self, other: Score) -> Score:
        low, high = self.low - other.high, self.high - other.low
        return Score(self.value - other.value, self.influence - other.influence, low, high)


def class_scores(
    truth: np.ndarray, predicted: np.ndarray, categories: Sequence[str]
) -> dict[str, Score | str]:
    """Score predicted classes.

    Parameters
    ----------
    truth : ndarray of int64, shape (n,)
        Positions in ``categories``; n > 0.
    predicted : ndarray of float64, shape (n, len(categories))
        Probabilities; the largest (the first of equals) is the predicted class.
    categories : sequence of str
        Labels of the measures that have one value per class.

    Returns
    -------
    dict of str to Score or str
        One entry for each measure in ``CLASSIFICATION``, per class under ``name[label]``; the
        reason where there is no value.
    """
    guessed = predicted.argmax(axis=1)
    hits = truth == guessed
    found: dict[str, Score | str] = {
        "auroc_score": auroc(truth, predicted),
        "accuracy_score": Score(
            float(hits.mean()),
            (hits - hits.mean()) / len(truth),
            exact=of_share(int(hits.sum()), len(truth)),
        ),
    }
    several = len(np.unique(truth)) > 1
    for name, score, missing in (
        ("auprc", lambda c: average_precision(truth == c, predicted[:, c]), not several),
        ("f1", lambda c: f1(truth == c, guessed == c), False),
    ):
        by_class = {
            label: ONE_CLASS if missing else score(code) if (truth == code).any() else ABSENT
            for code, label in enumerate(categories)
        }
        found |= {f"{name}_score[{label}]": value for label, value in by_class.items()}
        found[f"{name}_macro_score"] = mean_score(list(by_class.values()))
    return found


def number_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Score | str]:
    """Score predicted numbers, each of shape (n,) with n > 0.

    Returns
    -------
    dict of str to Score or str
        One entry for each measure in ``REGRESSION``.
    """
    scale = max(np.abs(truth).max(), np.abs(predicted).max()) or 1.0  # squares cannot overflow
    truth, predicted = truth / scale, predicted / scale
    squares = (truth - predicted) ** 2
    mean = squares.mean()
    root = float(np.sqrt(mean))
    pull = (squares - mean) / (2 * len(truth) * root) if root else np.zeros(len(truth))
    return {
        "rmse_error": Score(root * scale, pull * scale, 0.0, np.inf),
        "r2_score": _r2(truth, squares),
    }


def _r2(truth: np.ndarray, squares: np.ndarray) -> Score | str:
    if np.ptp(truth) == 0:
        return "the target is constant in holdout"
    spreads = (truth - truth.mean()) ** 2
    total = spreads.sum()
    with np.errstate(all="ignore"):
        share = squares.sum() / total
        influence = (share * spreads - squares) / total
    if not np.isfinite(influence).all():
        return "the errors are so much larger than the target's spread that R2 has no value"
    return Score(float(1 - share), influence, -np.inf, 1.0)


def auroc(truth: np.ndarray, predicted: np.ndarray) -> Score | str:
    """Area under the ROC curve; more than two classes: mean of one against the rest.

    Arguments as for ``class_scores``; of two classes only the probability of the second is read.
    """
    present = np.unique(truth)
    if len(present) < 2:
        return ONE_CLASS
    if predicted.shape[1] == 2:
        return _area(truth == 1, predicted[:, 1])
    return mean_score([_area(truth == code, predicted[:, code]) for code in present])


def _area(positive: np.ndarray, scores: np.ndarray) -> Score:
    exact = of_auroc(scores[positive], scores[~positive])
    influence = np.empty(len(scores))
    above, below = placements(scores[positive], scores[~positive])
    influence[positive] = (above - exact.value) / len(above)
    influence[~positive] = (below - exact.value) / len(below)
    return Score(exact.value, influence, exact=exact, hits=int(min(len(above), len(below))))


def average_precision(positive: np.ndarray, scores: np.ndarray) -> Score:
    """Mean, over the positives, of the precision among all rows that score as high.

    Parameters
    ----------
    positive : ndarray of bool, shape (n,)
        At least one.
    scores : ndarray of float64, shape (n,)
        High scores speak for "positive"; equal ones are taken together.
    """
    values, group = np.unique(-scores, return_inverse=True)
    positives = np.bincount(group[positive], minlength=len(values))
    true, called = np.cumsum(positives), np.cumsum(np.bincount(group, minlength=len(values)))
    n, precision = positives.sum(), true / called
    value = float((positives * precision).sum() / n)
    # A row counts in the precision of its own group and of all groups that score lower.
    gain, loss = (
        np.cumsum((positives * part)[::-1])[::-1] for part in (1 / called, precision / called)
    )
    influence = np.where(positive, (precision - value + gain)[group], 0.0) - loss[group]
    return Score(value, influence / n, hits=int(n))


def f1(positive: np.ndarray, guessed: np.ndarray) -> Score:
    """Harmonic mean of precision and recall, from bools of shape (n,); one of them is true."""
    size = positive.sum() + guessed.sum()
    both = positive & guessed
    value = float(2 * both.sum() / size)
    influence = (2 * both - value * (positive.astype(np.int64) + guessed)) / size
    return Score(value, influence, hits=int(positive.sum()))


def mean_score(scores: Sequence[Score | str]) -> Score | str:
    """Average scores on the same rows, reasons left out; the first reason where all are."""
    known = [score for score in scores if isinstance(score, Score)]
    if not known:
        return str(scores[0])
    value = float(np.mean([score.value for score in known]))
    influence = np.sum([score.influence for score in known], axis=0) / len(known)
    return Score(value, influence, hits=min(score.hits for score in known))
