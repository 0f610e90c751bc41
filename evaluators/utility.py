"""Utility: how well models learned from synthetic rows predict real ones (TSTR).

The same models learned from real rows (TRTR) are the mark to compare with; that half does not
depend on the synthetic table. Both are tested on holdout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..bench.contracts import Metric, Tables
from ..bench.schema import Schema
from .features import Features, moments, standardised
from .predictors import MODELS, numbers, probabilities

ROUTES = {
    "tstr": "train on synthetic rows, test on holdout (Esteban et al. 2017)",
    "trtr": "train on the real train rows, test on holdout; the same for every generator",
}
CLASSIFICATION = {
    "auroc_score": "Area under the ROC curve, 0.5 for a constant prediction; more than two "
    "classes: mean of one against the rest over the classes in holdout",
    "f1_macro_score": "Mean F1 over the classes in holdout",
    "f1_score": "F1 of one class",
    "accuracy_score": "Share of correct predictions",
}
REGRESSION = {
    "rmse_error": "Root mean squared error, in units of the target",
    "r2_score": "Coefficient of determination; 0 for the mean of holdout",
}
RANKED = ("tstr_xgboost_auroc_score", "tstr_xgboost_r2_score")


class Utility:
    """TSTR and TRTR scores.

    Rows without a target value are left out on each side. Models are given in ``predictors.py``,
    encodings in ``features.py``.

    Parameters
    ----------
    models : sequence of {"xgboost", "linear"}
        Downstream models.

    Raises
    ------
    ValueError
        If a model is unknown or there is none.
    """

    def __init__(self, models: Sequence[str] = ("xgboost", "linear")) -> None:
        self.models = tuple(models)
        unknown = [model for model in self.models if model not in MODELS]
        if unknown or not self.models:
            raise ValueError(
                f"models must be some of {', '.join(MODELS)}, got {list(models)!r}; "
                f"set models=[{','.join(MODELS)}]"
            )
        self.metrics = tuple(
            _metric(route, model, measure)
            for route in ROUTES
            for model in self.models
            for measure in (*CLASSIFICATION, *REGRESSION)
        )

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str]:
        """Return every score that fits the task; the others say that they do not."""
        values: dict[str, float | str] = {}
        for model in self.models:
            found = {
                "tstr": scores(model, tables.synthetic, tables, schema),
                "trtr": train_real_test_real(model, tables, schema),
            }
            for route, measures in found.items():
                values |= {f"{route}_{model}_{name}": value for name, value in measures.items()}
        return values


def _metric(route: str, model: str, measure: str) -> Metric:
    name = f"{route}_{model}_{measure}"
    definition = (CLASSIFICATION | REGRESSION)[measure]
    return Metric(
        name=name,
        family="utility",
        best=0.0 if measure == "rmse_error" else 1.0,
        worst={"rmse_error": np.inf, "r2_score": -np.inf}.get(measure, 0.0),
        unit="target" if measure == "rmse_error" else "",
        definition=f"{definition}; {model}; {ROUTES[route]}.",
        ranked=name in RANKED,
        baseline=route == "trtr",
        per="class" if measure == "f1_score" else "",
    )


def train_real_test_real(model: str, tables: Tables, schema: Schema) -> dict[str, float | str]:
    """Score a model learned from train: a function of train, holdout and Schema alone."""
    return tables.once(
        ("utility", "trtr", model), lambda: scores(model, tables.train, tables, schema)
    )


def scores(
    model: str, rows: pd.DataFrame, tables: Tables, schema: Schema
) -> dict[str, float | str]:
    """Learn from ``rows``, predict holdout, and score it.

    Returns
    -------
    dict of str to float or str
        One entry for each measure in ``CLASSIFICATION`` and ``REGRESSION``, per class where there
        is one value for each.
    """
    if schema.target is None:
        return dict.fromkeys((*CLASSIFICATION, *REGRESSION), "the table has no target")
    reason = f"the task is {schema.task}"
    features = tables.once(("utility", "features"), lambda: Features(schema.features, tables.train))
    if schema.task == "regression":
        found = _regression_scores(model, features, rows, tables, schema)
        return dict.fromkeys(CLASSIFICATION, reason) | found
    return _class_scores(model, features, rows, tables, schema) | dict.fromkeys(REGRESSION, reason)


def _class_scores(
    model: str, features: Features, rows: pd.DataFrame, tables: Tables, schema: Schema
) -> dict[str, float | str]:
    target = schema[schema.target or ""]
    rows, test = (_with_target(table, target.name) for table in (rows, tables.holdout))
    if test.empty:
        return dict.fromkeys(CLASSIFICATION, "no row of holdout has a target value")
    truth = target.codes(test[target.name])
    learned = target.codes(rows[target.name])
    predicted = probabilities(model, features, rows, learned, test, len(target.categories))
    guessed = predicted.argmax(axis=1)
    by_class = f1(truth, guessed, len(target.categories))
    return {
        "auroc_score": auroc(truth, predicted),
        "f1_macro_score": float(np.nanmean(by_class)),
        "accuracy_score": float(np.mean(truth == guessed)),
    } | {
        f"f1_score[{name}]": "the class is not in holdout" if np.isnan(value) else float(value)
        for name, value in zip(target.categories, by_class, strict=True)
    }


def _regression_scores(
    model: str, features: Features, rows: pd.DataFrame, tables: Tables, schema: Schema
) -> dict[str, float | str]:
    target = schema[schema.target or ""]
    rows, test = (_with_target(table, target.name) for table in (rows, tables.holdout))
    if test.empty:
        return dict.fromkeys(REGRESSION, "no row of holdout has a target value")
    # Learned in standard deviations of train, so that float32 and penalties suit every unit.
    centre, scale = moments(target.numbers(tables.train[target.name]))
    learned = standardised(target.numbers(rows[target.name]), (centre, scale))
    truth = target.numbers(test[target.name])
    error = truth - (centre + scale * numbers(model, features, rows, learned, test))
    spread = np.sum((truth - truth.mean()) ** 2)
    return {
        "rmse_error": float(np.sqrt(np.mean(error**2))),
        "r2_score": (
            float(1 - np.sum(error**2) / spread)
            if spread > 0
            else "the target is constant in holdout"
        ),
    }


def _with_target(table: pd.DataFrame, target: str) -> pd.DataFrame:
    return table.loc[table[target].notna()]


def auroc(truth: np.ndarray, predicted: np.ndarray) -> float | str:
    """Area under the ROC curve, by ranks (Hanley and McNeil 1982); ties count half.

    Parameters
    ----------
    truth : ndarray of int64, shape (n,)
        Classes in [0, predicted.shape[1]).
    predicted : ndarray of float64, shape (n, classes)
        Probabilities. Of two classes only those of the second are read.

    Returns
    -------
    float or str
        In [0, 1]; the reason where ``truth`` has one class.
    """
    from scipy.stats import rankdata

    present = np.unique(truth)
    if len(present) < 2:
        return "holdout has rows of one class only"
    positives = [1] if predicted.shape[1] == 2 else present
    areas = []
    for positive in positives:
        ranks = rankdata(predicted[:, positive])[truth == positive]
        n = len(ranks)
        areas.append((ranks.mean() - (n + 1) / 2) / (len(truth) - n))
    return float(np.mean(areas))


def f1(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """F1 of each class.

    Returns
    -------
    ndarray of float64, shape (classes,)
        In [0, 1]; NaN for a class that is not in ``truth``.
    """
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    actual = np.bincount(truth, minlength=classes)
    sizes = actual + np.bincount(predicted, minlength=classes)
    return np.where(actual > 0, 2 * hits / np.maximum(sizes, 1), np.nan)
