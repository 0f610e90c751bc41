"""Print what the fidelity metrics cost, here and in the field's libraries, on the same tables.

    python scripts/speed/fidelity.py ADULT_CSV ORACLE_PYTHON [--rows 32561] [--seconds 120]

ADULT_CSV is the adult table (also gzipped). ORACLE_PYTHON is the interpreter of an environment that
holds sdmetrics==0.32.0 and, for the second detector, xgboost. Train and synthetic have --rows rows
each; more than the file has repeat it with shifted numbers; half of the synthetic rows have columns
of other rows. Each metric runs in a process of its own: one thread, at most --seconds of wall time
and --gib of memory, without the time for imports. The libraries' side is

- SDMetrics: column shapes, all pairs of column trends, LogisticDetection;
- SDMetrics' detection with XGBClassifier in it, as TabPC scores C2ST-XGB;
- SDNist: densities by groupby for all pairs; the same for all triples, which it does not have;
- SciPy: wasserstein_distance and jensenshannon of every column, Cramer's V of every pair;
- synthcity: its formula of the maximum mean discrepancy, by scikit-learn's kernel.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from side_by_side import adult, measured, schema_of, timed

ROWS = (32_561, 300_000)


def main() -> None:
    """Run every metric on both sides and print them beside each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv")
    parser.add_argument("oracle")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--gib", type=float, default=8.0)
    parser.add_argument("--worker", choices=OURS, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=("ours", "oracle"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        limit = int(options.gib * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        real, synthetic = made(options.csv, options.rows[0])
        prepare = {"ours": ours, "oracle": oracle}[options.side]
        seconds, mib, _ = timed(prepare(options.worker, real, synthetic))
        print(json.dumps((seconds, mib, None)))
        return
    for rows in options.rows:
        print(f"{rows} train and {rows} synthetic rows: CPU seconds, MiB at the peak")
        for metric in OURS:
            cells = []
            for side, python in (("ours", sys.executable), ("oracle", options.oracle)):
                arguments = [options.csv, options.oracle, "--worker", metric, "--side", side]
                arguments += ["--rows", rows, "--gib", options.gib]
                known = side == "ours" or metric in ORACLE
                found = measured(python, __file__, arguments, options.seconds) if known else "-"
                cells.append(f"{side} {found}")
            print(f"  {metric:22} {cells[0]:28} {cells[1]}", flush=True)


def made(csv: str, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make train and synthetic; numbers are float64, the others text."""
    real = adult(csv, rows)[:rows]
    for name in real:
        numeric = pd.api.types.is_numeric_dtype(real[name])
        real[name] = real[name].astype("float64" if numeric else object)
    kept = pd.Series(np.arange(rows) % 2 == 0)
    rolled = {
        name: real[name].where(kept, np.roll(real[name], 97 * place))
        for place, name in enumerate(real, start=1)
    }
    return real, pd.DataFrame(rolled)


# What a metric is here: module, class of its evaluator and its options, or a detector.
OURS: dict[str, tuple] = {
    "shape": ("shape", "Shape", {}),
    "trend": ("trend", "Trend", {}),
    "marginals (1,2,3,NIST)": ("marginals", "Marginals", {}),
    "divergences": ("divergences", "Divergences", {}),
    "c2st logistic": ("newton",),
    "c2st logistic, lbfgs": ("lbfgs",),
    "c2st xgboost": ("xgboost",),
    "sliced W1, mmd": ("joint", "Joint", {}),
    "mmd, exact": ("joint", "Joint", {"slices": 1, "mmd": "exact"}),
    "coverage": ("coverage", "Coverage", {}),
}


def ours(metric: str, real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    """Prepare an evaluator of ours."""
    from importlib import import_module

    from syntharena.bench.contracts import Tables

    schema = schema_of([real])
    sides = schema.conform(real), schema.conform(synthetic)
    tables, rng = Tables(sides[0], sides[0], sides[0], sides[1]), np.random.default_rng(0)
    for library in ("scipy.special", "scipy.sparse", "sklearn.linear_model", "xgboost"):
        import_module(library)
    if len(OURS[metric]) == 1:
        return lambda: detected(OURS[metric][0], tables, schema, rng)
    module, kind, options = OURS[metric]
    evaluator = getattr(import_module(f"syntharena.evaluators.{module}"), kind)(**options)
    return lambda: evaluator.evaluate(tables, schema=schema, rng=rng)


def detected(how: str, tables: Any, schema: Any, rng: np.random.Generator) -> object:
    """Run one of the detectors, which their evaluator runs together."""
    from syntharena.evaluators.detection import labelled_rows, logistic_score, xgboost_detector

    rows = labelled_rows(tables, schema, rng)
    return xgboost_detector(rows) if how == "xgboost" else logistic_score(rows, how)


def oracle(metric: str, real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    """Prepare a library's metric."""
    return ORACLE[metric](real, synthetic)


def _shape(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from sdmetrics.single_column import KSComplement, TVComplement

    def run() -> None:
        for name in real:
            metric = KSComplement if real[name].dtype == float else TVComplement
            metric.compute(real[name], synthetic[name])

    return run


def _trend(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity

    def run() -> None:
        for pair in combinations(real, 2):
            sides = real[list(pair)].copy(), synthetic[list(pair)].copy()
            binned = [name for name in pair if real[name].dtype == float]
            if len(binned) == 2:
                CorrelationSimilarity.compute(*sides)
            else:
                ContingencySimilarity.compute(*sides, continuous_column_names=binned)

    return run


def _marginals(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    def run() -> None:
        sides = [real.copy(), synthetic.copy()]
        for name in real:
            if real[name].dtype == float:
                edges = np.unique(np.percentile(real[name], np.arange(0, 101, 5)))
                for side in sides:
                    side[name] = np.searchsorted(edges, side[name])
        for k in (1, 2, 3):
            for subset in combinations(real, k):
                one, other = (s.groupby(list(subset), dropna=False).size() / len(s) for s in sides)
                one.subtract(other, fill_value=0).abs().sum()

    return run


def _divergences(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import wasserstein_distance
    from scipy.stats.contingency import association

    def run() -> None:
        for name in real:
            if real[name].dtype == float:
                wasserstein_distance(real[name], synthetic[name])
                edges = np.unique(np.percentile(real[name], np.arange(0, 101, 5)))
                sides = [pd.Series(np.digitize(s[name], edges)) for s in (real, synthetic)]
            else:
                sides = [real[name], synthetic[name]]
            counts = pd.concat([side.value_counts() for side in sides], axis=1).fillna(0)
            jensenshannon(*counts.to_numpy().T, base=2)
        for side in (real, synthetic):
            side.select_dtypes(float).corr()
            for pair in combinations(side.select_dtypes(object), 2):
                association(pd.crosstab(*(side[name] for name in pair)))

    return run


def _logistic(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from sdmetrics.single_table import LogisticDetection

    return lambda: LogisticDetection.compute(real.copy(), synthetic.copy())


def _xgboost(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from sdmetrics.single_table.detection.sklearn import ScikitLearnClassifierDetectionMetric
    from xgboost import XGBClassifier

    class XGBoostDetection(ScikitLearnClassifierDetectionMetric):
        @staticmethod
        def _get_classifier() -> XGBClassifier:
            return XGBClassifier(enable_categorical=True, random_state=0)

    return lambda: XGBoostDetection.compute(real.copy(), synthetic.copy())


def _discrepancy(real: pd.DataFrame, synthetic: pd.DataFrame) -> Callable[[], object]:
    from sklearn.metrics.pairwise import rbf_kernel

    both = pd.get_dummies(pd.concat([real, synthetic]), dtype=float).to_numpy()
    x, y = both[: len(real)], both[len(real) :]

    def run() -> float:
        kernels = [rbf_kernel(*pair, 1.0) for pair in ((x, x), (y, y), (x, y))]
        return kernels[0].mean() + kernels[1].mean() - 2 * kernels[2].mean()

    return run


ORACLE = {
    "shape": _shape,
    "trend": _trend,
    "marginals (1,2,3,NIST)": _marginals,
    "divergences": _divergences,
    "c2st logistic": _logistic,
    "c2st logistic, lbfgs": _logistic,
    "c2st xgboost": _xgboost,
    "mmd, exact": _discrepancy,
}


if __name__ == "__main__":
    main()
