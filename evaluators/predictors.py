"""Predictors: the downstream models that judge a table by what can be learned from it.

A model is learned once per cell and route (``fitted``) and predicts holdout once
(``predictions``), for whichever evaluators ask. Its random draws come from a fixed seed and its
rows are put in the order of their hashes, its columns in that of their names. So what it predicts
is a function of the rows that it learned from, whoever asks first and however the table is sorted;
what was learned from real rows is the same mark for every generator. Each model takes whatever a
generator may hand it, a table of one class or of one row included.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..bench.content import in_order
from ..bench.contracts import Tables
from ..bench.schema import Schema, by_name
from .features import Features, moments, standardised

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ROUTES = ("tstr", "trtr")
TREES = 100
DEPTH = 6  # XGBoost's default
LEAF = 5  # rows; leaves of one row give probabilities of 0 and 1, and ranks full of ties
DRAWN = 2**16  # rows that a tree of the forest draws at most, so that large tables stay cheap
ITERATIONS = 200  # of L-BFGS; enough for standardised columns
HIDDEN = 100  # units of the MLP's one layer, scikit-learn's default
BATCH = 200
STEPS = 2000  # of Adam that the MLP should take; scikit-learn's 200 epochs are its most
EPOCHS = (10, 200)
CUT = 10.0  # standard deviations; what lies beyond would saturate or blow up an MLP
SEED = 0

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """A learned model.

    Parameters
    ----------
    predict : callable
        Takes a table of the Schema (its target is not read). Returns probabilities, ndarray of
        float64, shape (rows, categories of the target), or numbers in the unit of the target,
        shape (rows,).
    importances : mapping of str to float
        What each feature that the model used contributes; empty for a model that does not say.
    """

    predict: Predict
    importances: Mapping[str, float] = field(default_factory=dict)


def predictions(model: str, route: str, tables: Tables, schema: Schema) -> np.ndarray:
    """Predict the target of every holdout row.

    Parameters
    ----------
    model : {"xgboost", "linear", "forest", "mlp"}
        Which model.
    route : {"tstr", "trtr"}
        Learned from the synthetic rows or from train.
    tables : Tables
        Keeps the model and its predictions for the next who asks.
    schema : Schema
        Must have a target.

    Returns
    -------
    ndarray of float64
        In the order of holdout, rows without a target value included: probabilities, shape
        (len(holdout), categories), or numbers in the unit of the target, shape (len(holdout),).
    """
    return tables.once(
        ("predictors", "predictions", model, route),
        lambda: fitted(model, route, tables, schema).predict(tables.holdout),
    )


def fitted(model: str, route: str, tables: Tables, schema: Schema) -> Fitted:
    """Learn the target; arguments as for ``predictions``.

    Raises
    ------
    ValueError
        If the model or the route is unknown, or the Schema has no target.
    """
    if model not in MODELS:
        raise ValueError(
            f"model must be one of {', '.join(MODELS)}, got {model!r}; ask for xgboost"
        )
    if route not in ROUTES:
        raise ValueError(f"route must be one of {', '.join(ROUTES)}, got {route!r}; ask for tstr")
    if schema.target is None:
        raise ValueError("a model needs a target, the Schema has none; set dataset.schema.target")
    rows = tables.synthetic if route == "tstr" else tables.train
    return tables.once(
        ("predictors", "fitted", model, route),
        lambda: learn(model, rows, encoding(tables, schema), tables.train, schema),
    )


def encoding(tables: Tables, schema: Schema) -> Features:
    """Return the encoding of the features, columns in the order of their names."""
    return tables.once(
        ("predictors", "encoding"),
        lambda: Features(by_name(schema.features), tables.train),
    )


def learn(
    model: str, rows: pd.DataFrame, features: Features, train: pd.DataFrame, schema: Schema
) -> Fitted:
    """Learn the target from those of ``rows`` that have it; ``train`` gives a number its scale."""
    target = schema[schema.target or ""]
    rows = in_order(rows.loc[rows[target.name].notna()], schema)
    if target.is_discrete:
        codes = target.codes(rows[target.name])
        return learn_classes(model, features, rows, codes, len(target.categories))
    # Learned in standard deviations of train, so that float32 and penalties suit every unit.
    centre, scale = moments(target.numbers(train[target.name]))
    numbers = standardised(target.numbers(rows[target.name]), (centre, scale))
    found = learn_numbers(model, features, rows, numbers)
    return Fitted(lambda table: centre + scale * found.predict(table), found.importances)


def learn_classes(
    model: str, features: Features, rows: pd.DataFrame, classes: np.ndarray, n_classes: int
) -> Fitted:
    """Learn classes.

    Parameters
    ----------
    model : {"xgboost", "linear", "forest", "mlp"}
        Which model.
    features : Features
        The encoding.
    rows : DataFrame
        Rows to learn from.
    classes : ndarray of int64, shape (len(rows),)
        In [0, n_classes).
    n_classes : int
        Columns of what is predicted.

    Returns
    -------
    Fitted
        Predicted rows add up to 1. A class that is not in ``classes`` has probability 0; where
        there is nothing to learn the frequencies of ``classes`` are predicted (of no rows: equal
        ones).
    """
    present, labels = np.unique(classes, return_inverse=True)
    if len(present) < 2 or not features.columns:
        counts = np.bincount(classes, minlength=n_classes)
        shares = counts / counts.sum() if counts.any() else np.full(n_classes, 1 / n_classes)
        return Fitted(lambda table: np.tile(shares, (len(table), 1)))
    found = MODELS[model](features, rows, labels, len(present))

    def predict(table: pd.DataFrame) -> np.ndarray:
        predicted = np.zeros((len(table), n_classes))
        if len(table):
            predicted[:, present] = found.predict(table)
        return predicted

    return Fitted(predict, found.importances)


def learn_numbers(model: str, features: Features, rows: pd.DataFrame, target: np.ndarray) -> Fitted:
    """Learn a number (float64, shape (len(rows),)); other arguments as for ``learn_classes``.

    Returns
    -------
    Fitted
        Predicts the mean of ``target`` (of no rows: 0) where there is nothing to learn.
    """
    if len(target) < 2 or not features.columns or np.ptp(target) == 0:
        mean = float(target.mean()) if len(target) else 0.0
        return Fitted(lambda table: np.full(len(table), mean))
    found = MODELS[model](features, rows, target, 0)
    return Fitted(
        lambda table: found.predict(table) if len(table) else np.empty(0), found.importances
    )


def probabilities(
    model: str,
    features: Features,
    rows: pd.DataFrame,
    classes: np.ndarray,
    test: pd.DataFrame,
    n_classes: int,
) -> np.ndarray:
    """Learn classes from ``rows`` and predict ``test``; arguments as for ``learn_classes``."""
    return learn_classes(model, features, rows, classes, n_classes).predict(test)


def _xgboost(features: Features, rows: pd.DataFrame, target: np.ndarray, n_classes: int) -> Fitted:
    import xgboost

    options = {"feature_types": features.types, "enable_categorical": True, "nthread": threads()}
    objective: dict[str, Any] = {"objective": "reg:squarederror"}
    if n_classes == 2:
        objective = {"objective": "binary:logistic"}
    elif n_classes:
        objective = {"objective": "multi:softprob", "num_class": n_classes}
    booster = xgboost.train(
        {"tree_method": "hist", "max_depth": DEPTH, "nthread": threads(), **objective},
        xgboost.QuantileDMatrix(features.dense(rows), target, **options),
        TREES,
    )

    def predict(table: pd.DataFrame) -> np.ndarray:
        predicted = booster.predict(xgboost.DMatrix(features.dense(table), **options))
        predicted = predicted.astype(np.float64)
        return np.column_stack([1 - predicted, predicted]) if n_classes == 2 else predicted

    gains: dict[str, Any] = booster.get_score(
        importance_type="total_gain"
    )  # keyed f0, f1, ... by position
    names = [column.name for column in features.columns]
    return Fitted(predict, {names[int(key[1:])]: float(gain) for key, gain in gains.items()})


def _linear(features: Features, rows: pd.DataFrame, target: np.ndarray, n_classes: int) -> Fitted:
    from sklearn.linear_model import LogisticRegression, Ridge

    model = LogisticRegression(max_iter=ITERATIONS) if n_classes else Ridge(tol=1e-8)
    return _of_scikit_learn(model, features.sparse, rows, target)


def _forest(features: Features, rows: pd.DataFrame, target: np.ndarray, n_classes: int) -> Fitted:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    options: dict[str, Any] = {
        "min_samples_leaf": LEAF,
        "max_samples": min(len(rows), DRAWN),
        "max_features": "sqrt" if n_classes else 1 / 3,  # Breiman 2001
        "random_state": SEED,
        "n_jobs": threads(),
    }
    kind = RandomForestClassifier if n_classes else RandomForestRegressor
    return _of_scikit_learn(kind(TREES, **options), features.dense, rows, target)


def _mlp(features: Features, rows: pd.DataFrame, target: np.ndarray, n_classes: int) -> Fitted:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    batch = min(BATCH, len(rows))
    options: dict[str, Any] = {
        "hidden_layer_sizes": (HIDDEN,),
        "batch_size": batch,
        "max_iter": int(np.clip(STEPS * batch // len(rows), *EPOCHS)),
        "random_state": SEED,
    }

    def encode(table: pd.DataFrame) -> csr_array:
        matrix = features.sparse(table)
        matrix.data = np.clip(matrix.data, -CUT, CUT).astype(np.float32)
        return matrix

    kind = MLPClassifier if n_classes else MLPRegressor
    return _of_scikit_learn(kind(**options), encode, rows, target)


def _of_scikit_learn(
    model: Any, encode: Callable[[pd.DataFrame], Any], rows: pd.DataFrame, target: np.ndarray
) -> Fitted:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Iterations are bounded, and a synthetic table may separate its classes perfectly: the last
        # iterate is the answer then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(encode(rows), target)
    predict = getattr(model, "predict_proba", model.predict)
    return Fitted(lambda table: np.asarray(predict(encode(table)), dtype=np.float64))


def threads() -> int:
    """How many threads a model may use: what ``OMP_NUM_THREADS`` says, else one."""
    return max(1, int(os.environ.get("OMP_NUM_THREADS", "1")))


MODELS: dict[str, Callable[[Features, pd.DataFrame, np.ndarray, int], Fitted]] = {
    "xgboost": _xgboost,
    "linear": _linear,
    "forest": _forest,
    "mlp": _mlp,
}
