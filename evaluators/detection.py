"""Detection: whether a classifier tells real from synthetic rows (C2ST, Lopez-Paz and Oquab 2017).

The strictest of the fidelity metrics, because it looks at all columns at once and at where the
tables differ most. A linear classifier sees no interaction: independent columns look perfect to it.
XGBoost sees them. Neither punishes copying; a photocopy is perfect to both.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..bench.content import row_hashes
from ..bench.contracts import Measured, Metric, Picture, Tables, Values
from ..bench.schema import Schema
from .folds import folds_by_content
from .intervals import of_auroc, within
from .onehot import Rows, encode
from .predictors import threads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.sparse import csr_array

FOLDS = 3
TREES, DEPTH = 100, 6  # XGBClassifier's defaults
SOLVERS = ("newton", "lbfgs")
SHOWN = 12  # columns in the picture
DEFINITION = (
    "1 - mean over three folds of max(2 AUC - 1, 0), where AUC tells real from synthetic rows with "
    "{model}; 1 is indistinguishable. {source}; equal rows share a fold."
)


class Detection:
    """Classifier two-sample tests, target included; real rows are ``train``.

    Of the larger table as many rows take part as the smaller one has. Folds are drawn by content,
    see ``folds.py``. Intervals are DeLong's, for the rows at hand given the fitted classifiers.

    Parameters
    ----------
    solver : {"newton", "lbfgs"}
        How the logistic regression is fitted. "newton" finds its optimum. "lbfgs" is what SDMetrics
        does: a hundred iterations on a dense matrix, which for columns of uneven scale end far from
        the optimum, at a point that depends on rounding; ten times slower.

    Raises
    ------
    ValueError
        If the solver is unknown.
    """

    metrics = (
        Metric(
            name="c2st_logistic_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition=DEFINITION.format(
                model="logistic regression", source="SDMetrics 0.32, LogisticDetection"
            ),
        ),
        Metric(
            name="c2st_xgboost_score",
            family="fidelity",
            best=1.0,
            worst=0.0,
            definition=DEFINITION.format(
                model="XGBoost (defaults of XGBClassifier) on SDMetrics' one-hot encoding",
                source="C2ST-XGB of TabPC (april-tools/tabpc)",
            ),
        ),
    )

    def __init__(self, solver: str = "newton") -> None:
        if solver not in SOLVERS:
            raise ValueError(
                f"solver must be one of {', '.join(SOLVERS)}, got {solver!r}; set solver=newton"
            )
        self.solver = solver

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return both scores."""
        rows = tables.once(("detection", "rows"), lambda: labelled_rows(tables, schema, rng))
        if isinstance(rows, str):
            return {metric.name: rows for metric in self.metrics}
        return {
            "c2st_logistic_score": logistic_score(rows, self.solver),
            "c2st_xgboost_score": _detector(tables, rows).score,
        }

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Sequence[Picture]:
        """Offer what gives the table away."""
        rows = tables.once(("detection", "rows"), lambda: labelled_rows(tables, schema, rng))
        if isinstance(rows, str):
            return []
        shares = _detector(tables, rows).shares
        shown = sorted(shares, key=lambda name: -shares[name])[:SHOWN]

        def draw(axes: Axes) -> None:
            axes.barh(range(len(shown)), [shares[name] for name in shown])
            axes.set_yticks(range(len(shown)), shown)
            axes.set_xlabel("share of XGBoost's gain")
            axes.invert_yaxis()

        return [
            Picture(
                "What gives synthetic rows away",
                "The columns by which XGBoost tells synthetic from real rows. Where it cannot tell "
                "them (a score near 1), the bars mean nothing.",
                draw,
            )
        ]


@dataclass(frozen=True)
class Labelled:
    """Real rows and, after them, synthetic ones, in an order of their content.

    Parameters
    ----------
    rows : Rows
        Both tables.
    real : ndarray of bool, shape (n,)
        What is to be told.
    fold : ndarray of int64, shape (n,)
        In [0, FOLDS); every fold has rows of both tables.
    """

    rows: Rows
    real: np.ndarray
    fold: np.ndarray

    def parts(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the rows to learn from and of those to tell."""
        return np.flatnonzero(self.fold != fold), np.flatnonzero(self.fold == fold)


@dataclass(frozen=True)
class Detector:
    """What XGBoost found.

    Parameters
    ----------
    score : Measured
        How little it could tell, in [0, 1].
    shares : dict of str to float
        The gain that each column brought, as shares of all.
    """

    score: Measured
    shares: dict[str, float]


def labelled_rows(tables: Tables, schema: Schema, rng: np.random.Generator) -> Labelled | str:
    """Draw, order, divide and encode the rows of both tables, or say why that cannot be."""
    sides = tables.train, tables.synthetic
    hashes = [row_hashes(side, schema) for side in sides]
    found = folds_by_content(hashes[0], hashes[1], FOLDS, rng)
    chosen = (found.real, found.synthetic), (found.real_fold, found.synthetic_fold)
    if any(len(np.unique(folds)) < FOLDS for folds in chosen[1]):
        return f"a fold has no rows of one table; at least {FOLDS} rows of each are needed"
    drawn = [side.iloc[rows] for side, rows in zip(sides, chosen[0], strict=True)]
    parts = encode(schema, tables.train, drawn)
    rows = Rows(
        np.vstack([part.numbers for part in parts]),
        np.vstack([part.positions for part in parts]),
        parts[0].owners,
    )
    real = np.arange(len(rows.numbers)) < len(found.real)
    return Labelled(rows, real, np.concatenate(chosen[1]))


def logistic_score(given: Labelled, solver: str) -> Measured:
    """How little logistic regression tells of the rows, in [0, 1]."""
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    dense = np.empty((0, 0))
    if solver == "lbfgs":
        dense = given.rows.matrix().toarray()
        dense = dense[:, dense.any(axis=0)]  # no category that neither table has
    areas = []
    for fold in range(FOLDS):
        learned, told = given.parts(fold)
        if solver == "newton":
            matrices = robust_sparse(given.rows, learned, told)
            model = LogisticRegression(solver="newton-cholesky", tol=1e-8)
        else:
            matrices = robust_dense(dense, learned, told)
            model = LogisticRegression(solver="lbfgs")
        with warnings.catch_warnings():
            # The last iterate is the answer, as in SDMetrics; Newton's is at its precision, or is
            # that of L-BFGS after all where the scales of columns are hopelessly uneven.
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", LinAlgWarning)
            model.fit(matrices[0], given.real[learned].astype(np.float64))
        areas.append(_area(model.predict_proba(matrices[1])[:, 1], given.real[told]))
    return score_of(areas)


def robust_sparse(rows: Rows, learned: np.ndarray, told: np.ndarray) -> tuple[csr_array, csr_array]:
    """Matrices with numbers centred by the median and scaled by the quartiles of what is learned.

    RobustScaler moves categories too, which changes nothing but the intercept, and leaves their
    scale.
    """
    parts = rows.take(learned), rows.take(told)
    low, centre, high = np.percentile(parts[0].numbers, [25, 50, 75], axis=0)
    scale = np.where(high > low, high - low, 1.0)
    return parts[0].matrix(centre, scale), parts[1].matrix(centre, scale)


def robust_dense(
    dense: np.ndarray, learned: np.ndarray, told: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Dense matrices, centred and scaled as scikit-learn's RobustScaler does."""
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler(copy=False).fit(dense[learned])
    return np.asarray(scaler.transform(dense[learned])), np.asarray(scaler.transform(dense[told]))


def _detector(tables: Tables, given: Labelled) -> Detector:
    return tables.once(("detection", "xgboost"), lambda: xgboost_detector(given))


def xgboost_detector(given: Labelled) -> Detector:
    """Let XGBoost tell the rows.

    A category is either stored as 1 or missing, and a split by whether it is there is the split by
    0 and 1 of a dense matrix: the same trees, in a third of the time.
    """
    import xgboost

    options = {"tree_method": "hist", "max_depth": DEPTH, "objective": "binary:logistic"}
    gains = np.zeros(len(given.rows.owners))
    areas = []
    for fold in range(FOLDS):
        learned, told = given.parts(fold)
        first, second = (given.rows.take(part).matrix(dtype=np.float32) for part in (learned, told))
        data = xgboost.QuantileDMatrix(first, given.real[learned], nthread=threads())
        booster = xgboost.train({**options, "nthread": threads()}, data, TREES)
        predicted = booster.predict(xgboost.DMatrix(second, nthread=threads()))
        areas.append(_area(predicted.astype(np.float64), given.real[told]))
        for feature, gain in booster.get_score(importance_type="total_gain").items():
            gains[int(feature[1:])] += np.sum(gain)
    shares = dict.fromkeys(given.rows.owners, 0.0)
    for owner, gain in zip(given.rows.owners, gains, strict=True):
        shares[owner] += float(gain / max(gains.sum(), np.finfo(float).tiny))
    return Detector(score_of(areas), shares)


def _area(predicted: np.ndarray, real: np.ndarray) -> Measured:
    return of_auroc(predicted[real], predicted[~real])


def score_of(areas: Sequence[Measured]) -> Measured:
    """Turn the AUC of each fold into the score; folds are taken as independent.

    Returns
    -------
    Measured
        In [0, 1].
    """
    values = np.array([area.value for area in areas])
    halves = np.array([max(area.high - area.value, area.value - area.low) for area in areas])
    score = 1 - float(np.mean(np.maximum(values, 0.5) * 2 - 1))
    half = 2 * float(np.sqrt(np.sum(halves**2))) / len(areas)
    return within(score, score - half, score + half, 0.0, 1.0)
