"""Predictors: the downstream models that judge a table by what can be learned from it.

Nothing in them is random (no subsampling, exact solvers): the same rows give the same predictions,
so what is fitted on real rows can be shared between synthetic tables. Each takes whatever a
generator may hand it, a table of one class or of one row included.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from .features import Features

TREES = 100
DEPTH = 6  # XGBoost's default
ITERATIONS = 200  # of L-BFGS; enough for standardised columns

Fit = Callable[[Features, pd.DataFrame, np.ndarray, pd.DataFrame, int], np.ndarray]


def probabilities(
    model: str,
    features: Features,
    rows: pd.DataFrame,
    classes: np.ndarray,
    test: pd.DataFrame,
    n_classes: int,
) -> np.ndarray:
    """Learn classes from ``rows`` and predict them for ``test``.

    Parameters
    ----------
    model : {"xgboost", "linear"}
        Which model.
    features : Features
        The encoding of both tables.
    rows : DataFrame
        Rows to learn from.
    classes : ndarray of int64, shape (len(rows),)
        In [0, n_classes).
    test : DataFrame
        Rows to predict.
    n_classes : int
        Columns of the result.

    Returns
    -------
    ndarray of float64, shape (len(test), n_classes)
        Rows add up to 1. A class that is not in ``classes`` has probability 0; where there is
        nothing to learn the frequencies of ``classes`` are predicted (of no rows: equal ones).
    """
    present, labels = np.unique(classes, return_inverse=True)
    if len(present) < 2 or not features.columns:
        counts = np.bincount(classes, minlength=n_classes)
        shares = counts / counts.sum() if counts.any() else np.full(n_classes, 1 / n_classes)
        return np.tile(shares, (len(test), 1))
    predicted = np.zeros((len(test), n_classes))
    predicted[:, present] = MODELS[model](features, rows, labels, test, len(present))
    return predicted


def numbers(
    model: str, features: Features, rows: pd.DataFrame, target: np.ndarray, test: pd.DataFrame
) -> np.ndarray:
    """Learn a number from ``rows`` and predict it for ``test``; arguments as above.

    Returns
    -------
    ndarray of float64, shape (len(test),)
        The mean of ``target`` (of no rows: 0) where there is nothing to learn.
    """
    if len(target) < 2 or not features.columns or np.ptp(target) == 0:
        return np.full(len(test), target.mean() if len(target) else 0.0)
    return MODELS[model](features, rows, target, test, 0)


def _xgboost(
    features: Features, rows: pd.DataFrame, target: np.ndarray, test: pd.DataFrame, n_classes: int
) -> np.ndarray:
    import xgboost

    options = {"feature_types": features.types, "enable_categorical": True, "nthread": threads()}
    objective: dict[str, str | int] = {"objective": "reg:squarederror"}
    if n_classes == 2:
        objective = {"objective": "binary:logistic"}
    elif n_classes:
        objective = {"objective": "multi:softprob", "num_class": n_classes}
    booster = xgboost.train(
        {"tree_method": "hist", "max_depth": DEPTH, "nthread": threads(), **objective},
        xgboost.QuantileDMatrix(features.dense(rows), target, **options),
        TREES,
    )
    predicted = booster.predict(xgboost.DMatrix(features.dense(test), **options))
    predicted = predicted.astype(np.float64)
    return np.column_stack([1 - predicted, predicted]) if n_classes == 2 else predicted


def _linear(
    features: Features, rows: pd.DataFrame, target: np.ndarray, test: pd.DataFrame, n_classes: int
) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    if not n_classes:
        model = Ridge(alpha=1.0, tol=1e-8).fit(features.sparse(rows), target)
        return model.predict(features.sparse(test))
    with warnings.catch_warnings():
        # A synthetic table may separate its classes perfectly; the last iterate is the answer then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=1.0, max_iter=ITERATIONS).fit(features.sparse(rows), target)
    return model.predict_proba(features.sparse(test))


def threads() -> int:
    """How many threads a model may use: what ``OMP_NUM_THREADS`` says, else one."""
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "1")))


MODELS: dict[str, Fit] = {"xgboost": _xgboost, "linear": _linear}
