"""Utility: how well models learned from synthetic rows predict real ones (TSTR).

The same models learned from real rows (TRTR) are the mark to compare with; that half does not
depend on the synthetic table. Both are tested on the same rows of holdout. What the gap between
them leaves open is asked in two more ways: whether both routes order the models alike, so that one
could choose a model on synthetic rows, and whether they find the same features important.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from ..bench.contracts import Measured, Metric, Picture, Tables, Values
from ..bench.schema import Schema
from . import utility_pictures
from .predictors import MODELS, fitted, predictions
from .scores import CLASSIFICATION, PER_CLASS, REGRESSION, Score, class_scores, number_scores

ROUTES = {
    "tstr": "train on synthetic rows, test on holdout (Esteban et al. 2017)",
    "trtr": "train on the real train rows, test on holdout; the same for every generator",
}
MEASURES = CLASSIFICATION | REGRESSION
GAPS = tuple(measure for measure in MEASURES if measure not in PER_CLASS)
RANKED = ("tstr_xgboost_auroc_score", "tstr_xgboost_r2_score")
AGREEMENT = (
    Metric(
        name="model_ranking_score",
        family="utility",
        best=1.0,
        worst=0.0,
        definition="Share of model pairs that TSTR and TRTR order alike, by AUROC or R2. Synthetic "
        "ranking agreement (Jordon et al. 2018); Kendall's tau is 2 * score - 1.",
    ),
    Metric(
        name="importance_rank_score",
        family="utility",
        best=1.0,
        worst=-1.0,
        definition="Spearman correlation of the features' importances (XGBoost's total gain) in "
        "the model learned from synthetic rows and in the one learned from train.",
    ),
    Metric(
        name="importance_cosine_score",
        family="utility",
        best=1.0,
        worst=0.0,
        definition="Cosine between the same two vectors of importances; it weighs the features "
        "that matter, where the rank correlation weighs all alike.",
    ),
)


class Utility:
    """TSTR and TRTR scores, the gap between them, and how far both routes agree.

    Rows without a target value are left out on each side. Models are given in ``predictors.py``,
    encodings in ``features.py``, measures and their intervals in ``scores.py``. Intervals cover the
    chance in the rows of holdout.

    A gap is signed: 0 where nothing was lost against real rows, below 0 where the synthetic rows
    taught more. A gap far below 0 is a reason to look for the mistake, not for praise.

    Parameters
    ----------
    models : sequence of {"xgboost", "linear", "forest", "mlp"}
        Downstream models; the ranking needs three, the importances need XGBoost.

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
        scores = [
            _metric(route, model, measure)
            for route in ROUTES
            for model in self.models
            for measure in MEASURES
        ]
        gaps = [_gap_metric(model, measure) for model in self.models for measure in GAPS]
        self.metrics = (*scores, *gaps, *AGREEMENT)

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return every score that fits the task; the others say that they do not."""
        values: dict[str, float | str | Measured] = {}
        for model in self.models:
            found = {route: scores(model, route, tables, schema) for route in ROUTES}
            for route, measures in found.items():
                for name, score in measures.items():
                    values[f"{route}_{model}_{name}"] = _value(score)
            for measure in GAPS:
                values[_gap_name(model, measure)] = _value(
                    gap(found["tstr"][measure], found["trtr"][measure], measure)
                )
        return values | self._agreement(values, tables, schema)

    def _agreement(
        self, values: Values, tables: Tables, schema: Schema
    ) -> dict[str, float | str | Measured]:
        if schema.target is None:
            return {metric.name: "the table has no target" for metric in AGREEMENT}
        measure = "r2_score" if schema.task == "regression" else "auroc_score"
        pairs = [
            [values[f"{route}_{model}_{measure}"] for route in ROUTES] for model in self.models
        ]
        known = [[value.value for value in pair if isinstance(value, Measured)] for pair in pairs]
        return {
            "model_ranking_score": ranking_agreement([pair for pair in known if len(pair) == 2]),
            **self._importances(tables, schema),
        }

    def _importances(self, tables: Tables, schema: Schema) -> dict[str, float | str]:
        names = [metric.name for metric in AGREEMENT[1:]]
        if "xgboost" not in self.models:
            return dict.fromkeys(names, "importances are XGBoost's, which is not among the models")
        found = importances(tables, schema)
        for route, side in zip(ROUTES, found, strict=True):
            if not side.any():
                return dict.fromkeys(names, f"the {route} model uses no feature")
        return {
            "importance_rank_score": spearman(*found),
            "importance_cosine_score": cosine(*found),
        }

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> list[Picture]:
        """Draw what the first model predicts by both routes, and its features' importances."""
        if schema.target is None:
            return []
        known = tables.holdout[schema.target].notna().to_numpy()
        model = self.models[0]
        found = {
            route: predictions(model, route, tables, schema)[known] for route in ("trtr", "tstr")
        }
        truth = _truth(tables, schema)
        pictures = utility_pictures.of_predictions(truth, found, model, schema)
        if "xgboost" in self.models:
            names = [column.name for column in schema.features]
            pictures.append(utility_pictures.of_importances(*importances(tables, schema), names))
        return pictures


def scores(model: str, route: str, tables: Tables, schema: Schema) -> dict[str, Score | str]:
    """Score what a model learned by one route predicts for holdout.

    Returns
    -------
    dict of str to Score or str
        One entry for each of ``MEASURES``, per class where there is one value for each.
    """
    if schema.target is None:
        return dict.fromkeys(MEASURES, "the table has no target")
    ours, others = CLASSIFICATION, REGRESSION
    if schema.task == "regression":
        ours, others = REGRESSION, CLASSIFICATION
    truth = _truth(tables, schema)
    found: Mapping[str, Score | str]
    if not len(truth):
        found = dict.fromkeys(ours, "no row of holdout has a target value")
    else:
        known = tables.holdout[schema.target].notna().to_numpy()
        predicted = predictions(model, route, tables, schema)[known]
        if schema.task == "regression":
            found = number_scores(truth, predicted)
        else:
            found = class_scores(truth, predicted, schema[schema.target].categories)
    return {**found, **dict.fromkeys(others, f"the task is {schema.task}")}


def _truth(tables: Tables, schema: Schema) -> np.ndarray:
    target = schema[schema.target or ""]
    series = tables.holdout[target.name].dropna()
    return target.codes(series) if target.is_discrete else target.numbers(series)


def gap(tstr: Score | str, trtr: Score | str, measure: str) -> Score | str:
    """Return what TSTR lost against TRTR on the same rows, positive where it is worse."""
    if isinstance(tstr, str) or isinstance(trtr, str):
        return tstr if isinstance(tstr, str) else str(trtr)
    return tstr - trtr if measure.endswith("_error") else trtr - tstr


def ranking_agreement(pairs: Sequence[Sequence[float]]) -> float | str:
    """Share of model pairs that both routes order alike (a tie is an order of its own).

    Parameters
    ----------
    pairs : sequence of (float, float)
        The scores of each model by the two routes.
    """
    if len(pairs) < 3:
        return f"a ranking needs at least 3 models with a score, there are {len(pairs)}"
    signs = [np.sign(np.subtract(a, b)) for a, b in combinations(pairs, 2)]
    return float(np.mean([first == second for first, second in signs]))


def importances(tables: Tables, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' importances, in Schema order, for XGBoost by TSTR and by TRTR.

    Returns
    -------
    tuple of ndarray of float64, shape (len(schema.features),)
        Shares that add up to 1, or zeros for a model that uses no feature.
    """
    sides = []
    for route in ROUTES:
        gains = fitted("xgboost", route, tables, schema).importances
        side = np.array([gains.get(column.name, 0.0) for column in schema.features])
        sides.append(side / (side.sum() or 1.0))
    return sides[0], sides[1]


def spearman(first: np.ndarray, second: np.ndarray) -> float | str:
    """Spearman's rank correlation, ties sharing their mean rank; a reason where all are equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(side) - (len(side) + 1) / 2 for side in (first, second)]
    if not all(side.any() for side in ranks):
        return "all features are equally important, so there is no ranking"
    return cosine(*ranks)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine between two vectors, neither of them zero."""
    cosine = first @ second / np.sqrt((first @ first) * (second @ second))
    return float(np.clip(cosine, -1, 1))


def _value(score: Score | str) -> Measured | str:
    return score if isinstance(score, str) else score.measured()


def _metric(route: str, model: str, measure: str) -> Metric:
    name = f"{route}_{model}_{measure}"
    return Metric(
        name=name,
        family="utility",
        best=0.0 if measure == "rmse_error" else 1.0,
        worst={"rmse_error": np.inf, "r2_score": -np.inf}.get(measure, 0.0),
        unit="target" if measure == "rmse_error" else "",
        definition=f"{MEASURES[measure]}; {model}; {ROUTES[route]}.",
        ranked=name in RANKED,
        baseline=route == "trtr",
        per="class" if measure in PER_CLASS else "",
        version=2,  # rows and columns are put in an order of their own before a model sees them
    )


def _gap_name(model: str, measure: str) -> str:
    return f"gap_{model}_{measure.removesuffix('_score').removesuffix('_error')}_error"


def _gap_metric(model: str, measure: str) -> Metric:
    bound = np.inf if measure in REGRESSION else 1.0
    return Metric(
        name=_gap_name(model, measure),
        family="utility",
        best=-bound,
        worst=bound,
        unit="target" if measure == "rmse_error" else "",
        definition=f"What TSTR loses in {measure} against TRTR on the same rows of holdout, "
        f"{model}; signed: 0 for nothing lost, below 0 where synthetic rows taught more.",
    )
