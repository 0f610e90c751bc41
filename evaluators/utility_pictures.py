"""Utility's pictures: what models learned from real and from synthetic rows predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..bench.contracts import Picture
from ..bench.schema import Schema
from .scores import Score, class_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 200  # of a curve
BINS = 10  # of predictions in a calibration curve
SHOWN = 12  # features, the most important ones
ROUTES = {"trtr": "learned from real rows", "tstr": "learned from synthetic rows"}
GUIDE = {"color": "0.6", "linewidth": 1, "linestyle": ":"}


def of_predictions(
    truth: np.ndarray, predicted: Mapping[str, np.ndarray], model: str, schema: Schema
) -> list[Picture]:
    """Offer the pictures that fit the task, from predictions by both routes of ``ROUTES``.

    Parameters
    ----------
    truth : ndarray, shape (n,)
        Codes or numbers of the target; none for no row.
    predicted : mapping of str to ndarray
        What ``predictors.predictions`` gives for these rows, under "trtr" and "tstr".
    model : str
        Named in the titles.
    schema : Schema
        Must have a target.
    """
    if not len(truth):
        return []
    if schema.task == "regression":
        return [_predicted_and_true(truth, predicted, model)]
    if schema.task == "binary":
        curves = [_calibration(truth, predicted, model)]
        return [_roc(truth, predicted, model), *curves] if len(np.unique(truth)) == 2 else curves
    return [_f1_by_class(truth, predicted, model, schema[schema.target or ""].categories)]


def _roc(truth: np.ndarray, predicted: Mapping[str, np.ndarray], model: str) -> Picture:
    grid = np.linspace(0, 1, POINTS)

    def draw(axes: Axes) -> None:
        from sklearn.metrics import roc_curve

        for route, label in ROUTES.items():
            false, true, _ = roc_curve(truth == 1, predicted[route][:, 1])
            axes.plot(grid, np.interp(grid, false, true), label=label)
        axes.plot([0, 1], [0, 1], **GUIDE)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend()

    return Picture(
        f"ROC curves on holdout ({model})",
        "Good synthetic rows teach as much as real ones: the curves lie on each other, far above "
        "the dotted line of guessing.",
        draw,
    )


def _calibration(truth: np.ndarray, predicted: Mapping[str, np.ndarray], model: str) -> Picture:
    def draw(axes: Axes) -> None:
        for route, label in ROUTES.items():
            given, seen = binned_means(predicted[route][:, 1], (truth == 1).astype(np.float64))
            axes.plot(given, seen, marker="o", markersize=3, label=label)
        axes.plot([0, 1], [0, 1], **GUIDE)
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("share that is true")
        axes.legend()

    return Picture(
        f"Calibration on holdout ({model})",
        "Tenths of holdout by predicted probability. On the dotted line a prediction of 30 % is "
        "right 30 % of the time.",
        draw,
    )


def _predicted_and_true(
    truth: np.ndarray, predicted: Mapping[str, np.ndarray], model: str
) -> Picture:
    def draw(axes: Axes) -> None:
        for route, label in ROUTES.items():
            given, seen = binned_means(predicted[route], truth)
            axes.plot(given, seen, marker="o", markersize=3, label=label)
        axes.axline((float(truth.mean()), float(truth.mean())), slope=1, **GUIDE)
        axes.set_xlabel("predicted, mean of a tenth")
        axes.set_ylabel("true mean")
        axes.legend()

    return Picture(
        f"Predicted and true values on holdout ({model})",
        "Tenths of holdout by predicted value. Good predictions spread far along the dotted line; "
        "those that know nothing crowd at one point.",
        draw,
    )


def _f1_by_class(
    truth: np.ndarray, predicted: Mapping[str, np.ndarray], model: str, names: tuple[str, ...]
) -> Picture:
    counts = np.bincount(truth, minlength=len(names))
    shown = [code for code in np.argsort(-counts, kind="stable")[:SHOWN] if counts[code]]

    def draw(axes: Axes) -> None:
        for route, label in ROUTES.items():
            found = class_scores(truth, predicted[route], names)
            scores = [found[f"f1_score[{names[code]}]"] for code in shown]
            heights = [score.value for score in scores if isinstance(score, Score)]
            _bars(axes, heights, route, label)
        axes.set_yticks(range(len(shown)), [names[code] for code in shown])
        axes.set_xlabel("F1")
        axes.invert_yaxis()
        axes.legend()

    return Picture(
        f"F1 of the largest classes on holdout ({model})",
        "Bars of a pair are equally long where synthetic rows teach a class as well as real ones.",
        draw,
    )


def of_importances(tstr: np.ndarray, trtr: np.ndarray, names: list[str]) -> Picture:
    """Offer bars of the features' importances (shares of gain, shape (len(names),))."""
    shown = np.argsort(-trtr, kind="stable")[:SHOWN]

    def draw(axes: Axes) -> None:
        for route, shares in (("trtr", trtr), ("tstr", tstr)):
            _bars(axes, list(shares[shown]), route, ROUTES[route])
        axes.set_yticks(range(len(shown)), [names[position] for position in shown])
        axes.set_xlabel("share of XGBoost's gain")
        axes.invert_yaxis()
        axes.legend()

    return Picture(
        "Feature importances (xgboost)",
        "What the model looks at to predict the target. Bars of a pair are equally long where both "
        "tables explain the target alike.",
        draw,
    )


def _bars(axes: Axes, lengths: list[float], route: str, label: str) -> None:
    shift = -0.2 if route == "trtr" else 0.2
    axes.barh(np.arange(len(lengths)) + shift, lengths, height=0.38, label=label)


def binned_means(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction and mean truth in bins of equal count by prediction.

    Returns
    -------
    tuple of ndarray of float64
        At most ``BINS`` points, by rising prediction; equal predictions fall in one bin.
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, predicted, side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    kept = counts > 0
    given, seen = (
        np.bincount(bins, weights=side, minlength=len(counts))[kept] / counts[kept]
        for side in (predicted, truth)
    )
    return given, seen
