"""SynthEval's metrics, as it normalises them: 1 is best, 0 is worst.

Its distances compare all pairs of rows and need more than 20 GB on adult, so at most ``rows`` rows
of each table are drawn. It knows no missing values: a missing category is a category, and a number
that may be missing has a column that says whether it is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Metric, Tables
from ...bench.schema import Schema

FIDELITY = {
    "avg_dwm_diff": "difference of the means of columns",
    "pca_eigval_diff": "difference of the eigenvalues of principal components",
    "pca_eigvec_ang": "angle between the first principal components",
    "avg_cio": "overlap of the confidence intervals of means",
    "corr_mat_diff": "difference of the matrices of mixed correlations",
    "mutual_inf_diff": "difference of the matrices of mutual information",
    "ks_tvd_stat": "Kolmogorov-Smirnov or total variation distance of columns",
    "frac_ks_sigs": "share of columns that a permutation test tells apart",
    "avg_h_dist": "Hellinger distance of columns",
    "avg_pMSE": "propensity mean squared error",
    "avg_qMSE": "mean squared error of quantiles",
    "nnaa": "adversarial accuracy of nearest neighbours",
}
UTILITY = {
    "auroc": "difference of the area under the ROC curve of a logistic model",
    "avg_F1_diff": "difference of F1 of four classifiers, in folds",
    "avg_F1_diff_hout": "difference of F1 of four classifiers, on holdout",
    "fio_diff": "difference of feature importances",
}
PRIVACY = {
    "avg_nndr": "distance ratio of the two nearest records",
    "priv_loss_nndr": "distance ratio to train less that to holdout",
    "priv_loss_nnaa": "adversarial accuracy on train less that on holdout",
    "median_DCR": "distance to the closest record",
    "hit_rate": "share of records that are hit to within 1/30 of the ranges",
    "eps_identif_risk": "epsilon-identifiability",
    "priv_loss_eps": "epsilon-identifiability of train less that of holdout",
    "mia_recall": "recall of a membership classifier",
    "mia_precision": "precision of a membership classifier",
}
# What SynthEval is asked for, with the arguments of its own preset of everything.
ASKED: dict[str, dict[str, Any]] = {
    "dwm": {},
    "pca": {"preprocess": "std"},
    "cio": {"ci": "std", "confidence": 95},
    "corr_diff": {"mixed_corr": True},
    "mi_diff": {},
    "ks_test": {"sig_lvl": 0.05, "n_perms": 1000},
    "h_dist": {},
    "p_mse": {"k_folds": 5, "max_iter": 100, "solver": "liblinear"},
    "q_mse": {"num_quants": 10, "cat_mse": False},
    "nndr": {},
    "nnaa": {"n_resample": 30},
    "dcr": {},
    "hit_rate": {"thres_percent": 0.0333},
    "eps_risk": {},
    "mia": {"num_eval_iter": 5},
}
CLASSES: dict[str, dict[str, Any]] = {
    "cls_acc": {
        "cls_models": ["rf", "adaboost", "svm", "logreg"],
        "F1_type": "weighted",
        "k_folds": 5,
        "full_output": False,
    },
    "fio": {"model": "rf_cls"},
}
TWO_CLASSES: dict[str, dict[str, Any]] = {"auroc_diff": {"model": "log_reg", "num_boots": 1}}


def _declared() -> tuple[Metric, ...]:
    families = {"fidelity": FIDELITY, "utility": UTILITY, "privacy": PRIVACY}
    return tuple(
        Metric(
            f"syntheval_{name}_score",
            family,  # type: ignore[arg-type]
            best=1.0,
            worst=0.0,
            definition=f"SynthEval {name}, normalised: {text}",
        )
        for family, names in families.items()
        for name, text in names.items()
    )


class SynthEvalMetrics:
    """What SynthEval says of a synthetic table.

    Parameters
    ----------
    rows : int
        Most rows of each table, >= 2.
    """

    metrics = _declared()

    def __init__(self, rows: int = 2000) -> None:
        self.rows = rows

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> dict[str, float | str]:
        """Return the normalised values; a reason for what SynthEval does not give."""
        if reason := tables.lacking("train", "holdout", "synthetic"):
            return dict.fromkeys((metric.name for metric in self.metrics), reason)
        train, holdout, synthetic = (
            _plain(self._drawn(table, rng), schema)
            for table in (tables.train, tables.holdout, tables.synthetic)
        )
        given = _values(train, holdout, synthetic, schema)
        return {
            metric.name: given.get(
                metric.name.removeprefix("syntheval_").removesuffix("_score"),
                "SynthEval did not compute it for this table",
            )
            for metric in self.metrics
        }

    def _drawn(self, table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        chosen = rng.permutation(len(table))[: self.rows]
        return table.iloc[np.sort(chosen)].reset_index(drop=True)


def _plain(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return texts and numbers without missing values, columns named c0, c1, ..."""
    found: dict[str, Any] = {}
    for place, column in enumerate(schema):
        series = table[column.name]
        if column.is_discrete:
            codes = column.codes(series)
            found[f"c{place}"] = np.array([*column.categories, "<missing>"], dtype=object)[codes]
            continue
        numbers = column.numbers(series)
        absent = np.isnan(numbers)
        if column.missing:
            found[f"c{place}_missing"] = np.where(absent, "absent", "present").astype(object)
        found[f"c{place}"] = np.where(absent, np.clip(0.0, column.lower, column.upper), numbers)
    return pd.DataFrame(found)


def _values(
    train: pd.DataFrame, holdout: pd.DataFrame, synthetic: pd.DataFrame, schema: Schema
) -> Mapping[str, float | str]:
    from syntheval import SynthEval  # pyright: ignore

    discrete = [name for name in train if not pd.api.types.is_numeric_dtype(train[name])]
    target = schema.names.index(schema.target) if schema.target is not None else None
    asked = dict(ASKED)
    if schema.task in ("binary", "multiclass"):
        asked |= CLASSES
    if schema.task == "binary":
        asked |= TWO_CLASSES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = SynthEval(
            train,
            holdout_dataframe=holdout,
            cat_cols=discrete,
            verbose=False,
            enable_plots=False,
            console="off",
        )
        name = None if target is None else f"c{target}"
        found = judge.evaluate(synthetic, analysis_target=name, **asked)
    values = zip(found["metric"], found["n_val"], strict=True)
    return {str(name): _bounded(value) for name, value in values}


def _bounded(value: Any) -> float | str:
    number = math.nan if value is None else float(value)
    if math.isnan(number):
        return "SynthEval gave no number"
    return min(max(number, 0.0), 1.0)
