"""What every evaluator promises, on tables of every sort."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import yaml

import syntharena.conf
from syntharena.bench import probes
from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.cost import Cost
from syntharena.evaluators.shape import Shape
from syntharena.evaluators.trend import Trend


def built(path):
    """Build the evaluator of a YAML file."""
    conf = yaml.safe_load(path.read_text(encoding="utf-8"))
    conf.pop("about")
    module, _, kind = conf.pop("_target_").rpartition(".")
    return getattr(import_module(module), kind)(**conf)


FOLDER = files(syntharena.conf) / "evaluator"
FILES = {path.stem: path for path in FOLDER.iterdir() if path.is_file()}  # those at home
EVALUATORS = {name: built(path) for name, path in sorted(FILES.items())}
# Models stop at a tolerance and trees break ties between columns by position, so a score that
# counts rows may move by a few of them when rows or columns are shuffled.
ORDER_TOLERANCE = {"linear": 0.03, "logistic": 0.03}
UNORDERED = ("xgboost", "mlp", "forest")
SCHEMAS = probes.schemas()


def evaluate(evaluator, tables, schema, seed=0):
    fresh = replace(tables, _shared={})
    return evaluator.evaluate(fresh, schema=schema, rng=np.random.default_rng(seed))


def number(value):
    return value.value if isinstance(value, Measured) else value


def given_tables(schema, seed=0):
    return probes.tables(schema, np.random.default_rng(seed))


def all_missing(schema, table):
    columns = {name: table[name] for name in schema.names}
    for column in schema:
        if column.missing:
            make = column.from_codes if column.is_discrete else column.from_numbers
            columns[column.name] = make(np.full(len(table), -1 if column.is_discrete else np.nan))
    return schema.assemble(columns)


def repeated(table, position, rows):
    return table.iloc[[position] * rows].reset_index(drop=True)


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("sort", SCHEMAS)
@pytest.mark.parametrize("side", ["train", "holdout", "synthetic"])
def test_every_declared_metric_has_a_value_in_range_or_a_reason(name, sort, side):
    evaluator, schema = EVALUATORS[name], SCHEMAS[sort]
    usual = given_tables(schema)
    table = getattr(usual, side)
    cases = [table, table.iloc[:1], repeated(table, 3, 40), all_missing(schema, table)]
    declared = {metric.name: metric for metric in evaluator.metrics}
    for case in cases:
        values = evaluate(evaluator, replace(usual, **{side: case}), schema)
        assert {key.partition("[")[0] for key in values} == set(declared)
        for key, value in values.items():
            if isinstance(value, str):
                assert value
                continue
            if isinstance(value, Measured):
                assert value.low <= value.value <= value.high, (key, value)
                assert np.isfinite([value.low, value.high]).all(), (key, value)
                value = value.value
            assert declared[key.partition("[")[0]].holds(value), (key, value)
            assert type(value) is float


@pytest.mark.parametrize("name", EVALUATORS)
@pytest.mark.parametrize("sort", SCHEMAS)
def test_the_order_of_rows_and_columns_does_not_matter(name, sort):
    evaluator, schema = EVALUATORS[name], SCHEMAS[sort]
    usual = given_tables(schema)
    turned = replace(schema, columns=schema.columns[::-1])
    rng = np.random.default_rng(5)
    moved = {
        side: getattr(usual, side)
        .iloc[rng.permutation(len(getattr(usual, side)))]
        .reset_index(drop=True)[turned.names]
        for side in ("train", "holdout", "reference", "synthetic")
    }
    first = evaluate(evaluator, usual, schema)
    second = evaluate(evaluator, Tables(**moved, cost=usual.cost), turned)
    assert set(first) == set(second)
    for key in first:
        if any(model in key for model in UNORDERED):
            continue
        if isinstance(first[key], str):
            assert first[key] == second[key]
        else:
            near = next((ORDER_TOLERANCE[m] for m in ORDER_TOLERANCE if m in key), 1e-6)
            one, other = (
                v.value if isinstance(v, Measured) else v for v in (first[key], second[key])
            )
            assert one == pytest.approx(other, rel=near, abs=near), key


@pytest.mark.parametrize("name", EVALUATORS)
def test_equal_inputs_give_equal_values_whatever_the_seed_of_models(name):
    schema = SCHEMAS["mixed"]
    first, second = (evaluate(EVALUATORS[name], given_tables(schema), schema) for _ in range(2))
    assert first == second


def test_the_best_value_is_reached_by_a_copy_and_the_worst_by_a_disjoint_table():
    schema = SCHEMAS["discrete"]
    usual = given_tables(schema)
    first, last = (repeated(usual.train, 0, 50) for _ in range(2))
    last = schema.assemble(
        {c.name: c.from_codes((c.codes(last[c.name]) + 1) % len(c.categories)) for c in schema}
    )
    for evaluator, key in ((Shape(), "shape_score"), (Trend(), "trend_score")):
        assert evaluate(evaluator, replace(usual, synthetic=usual.train), schema)[key] == 1
        apart = replace(usual, train=first, synthetic=last)
        assert evaluate(evaluator, apart, schema)[key] == 0


def of_family(family, values):
    """Values of a family's metrics, as the share of the way from worst (0) to best (1)."""
    declared = {m.name: m for e in EVALUATORS.values() for m in e.metrics if m.family == family}
    found = {}
    for key, value in values.items():
        metric = declared.get(key.partition("[")[0])
        if metric is not None and not isinstance(value, str) and np.isfinite(metric.worst):
            found[key] = (number(value) - metric.worst) / (metric.best - metric.worst)
    return found


def all_values(tables, schema):
    return {
        key: value
        for evaluator in EVALUATORS.values()
        for key, value in evaluate(evaluator, tables, schema).items()
    }


def big_tables(rows=1500):
    """Tables of one distribution, large enough that chance hardly moves a metric."""
    schema = Schema(
        (
            Column("x", "continuous", minimum=0, maximum=100),
            Column("y", "integer", minimum=0, maximum=20, missing=True),
            Column("free", "continuous"),
            Column("c", "categorical", categories=tuple("abcdef")),
            Column("d", "categorical", categories=tuple("pqr"), missing=True),
            Column("label", "categorical", categories=("no", "yes")),
        ),
        "label",
        "binary",
        ("d",),
    )

    def draw(seed, low=0.0):
        rng = np.random.default_rng(seed)
        x = 100 * (low + 0.5 * rng.random(rows))
        half = 3 * (low > 0)
        codes = {
            "c": half + rng.integers(3, size=rows),
            "d": np.where(rng.random(rows) < 0.1, -1, rng.integers(2 - (low > 0), size=rows)),
            "label": (rng.random(rows) < (x / 50) % 1).astype(int),  # alike in both
        }
        codes["d"] = np.where(low > 0, 2, codes["d"])
        y = np.where(rng.random(rows) < 0.1 + 0.8 * (low > 0), np.nan, rng.integers(0, 10, rows))
        numbers = {"x": x, "y": y + 10 * (low > 0), "free": x + rng.normal(size=rows)}
        columns = {name: schema[name].from_numbers(v) for name, v in numbers.items()}
        columns |= {name: schema[name].from_codes(v) for name, v in codes.items()}
        return schema.assemble(columns)

    return schema, draw


@pytest.mark.parametrize("sort", ["mixed", "numeric", "discrete"])
def test_it_does_not_matter_who_asks_first(sort):
    schema = SCHEMAS[sort]
    results = []
    for order in (list(EVALUATORS), list(EVALUATORS)[::-1]):
        shared = given_tables(schema)
        results.append(
            {
                name: EVALUATORS[name].evaluate(
                    shared, schema=schema, rng=np.random.default_rng(len(name))
                )
                for name in order
                if name != "cost"
            }
        )
    alone = {
        name: evaluate(EVALUATORS[name], given_tables(schema), schema, seed=len(name))
        for name in results[0]
    }
    assert results[0] == results[1] == alone


def test_fidelity_is_best_for_equal_distributions_and_worst_for_disjoint_ones():
    schema, draw = big_tables()
    real = {"train": draw(1), "holdout": draw(2), "reference": draw(3)}
    alike = of_family("fidelity", all_values(Tables(**real, synthetic=draw(4)), schema))
    apart = of_family("fidelity", all_values(Tables(**real, synthetic=draw(5, 0.5)), schema))
    copy = of_family("fidelity", all_values(Tables(**real, synthetic=real["train"]), schema))
    assert set(alike) == set(apart) == set(copy)
    assert len(alike) > 20
    unmoved = {"diversity_score", "column_shape_score[label]", "column_jensen_shannon_error[label]"}
    for key in set(alike) - unmoved - {"density_score"}:
        assert copy[key] == pytest.approx(1, abs=0.01), key
        # a fresh row hits a neighbourhood of train, or a cell of three columns, by chance only
        assert alike[key] > (0.45 if key in ("beta_recall_score", "marginal_3way_error") else 0.9)
        assert apart[key] < 0.6 or key == "correlation_error", key
        assert apart[key] < alike[key], key


def test_no_evaluator_prefers_a_photocopy_to_fresh_rows_in_privacy():
    schema, draw = big_tables()
    real = {"train": draw(1), "holdout": draw(2), "reference": draw(3)}
    fresh = of_family("privacy", all_values(Tables(**real, synthetic=draw(4)), schema))
    copy = of_family("privacy", all_values(Tables(**real, synthetic=real["train"]), schema))
    for key in fresh:
        assert copy[key] <= fresh[key] + 0.05, (key, copy[key], fresh[key])
    for key in ("mia_auc_score", "memorisation_error", "exact_match_excess_error"):
        assert copy[key] < 0.01
        assert fresh[key] > 0.4


@pytest.mark.parametrize("name", EVALUATORS)
def test_its_file_builds_it_and_says_what_to_preload(name):
    about = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))["about"]
    assert about["name"] == name
    assert about["summary"]
    assert about["version"] >= 1
    for preload in about["preload"]:
        import_module(preload)


def test_one_metric_of_each_family_is_ranked_for_each_task():
    ranked = [m.name for e in EVALUATORS.values() for m in e.metrics if m.ranked]
    assert sorted(ranked) == [
        "mia_auc_score",
        "trend_score",
        "tstr_xgboost_auroc_score",
        "tstr_xgboost_r2_score",
    ]


def test_cost_divides_rows_by_seconds_and_says_what_was_not_measured():
    schema = SCHEMAS["discrete"]
    usual = replace(given_tables(schema), cost={"fit_seconds": 2.0, "sample_seconds": 0.25})
    values = evaluate(Cost(), usual, schema)
    assert values["fit_seconds"] == 2
    assert values["sample_rows_per_second"] == len(usual.synthetic) / 0.25
    assert values["peak_rss_mib"] == "peak_rss_mib was not measured"
    nothing = evaluate(Cost(), replace(usual, cost={}), schema)
    assert all(isinstance(value, str) for value in nothing.values())


def test_reference_rows_fall_in_the_expected_order():
    rng = np.random.default_rng(0)
    schema = SCHEMAS["mixed"]
    n = 400
    # the label follows from height, so that there is something to learn
    drawn = [probes.table(schema, n, rng) for _ in range(4)]
    for table in drawn:
        codes = (table["height"].to_numpy() + rng.normal(0, 0.3, n) > -1.5).astype(int)
        table["label"] = schema["label"].from_codes(codes)
    train, holdout, reference, fresh = drawn
    copy = train.iloc[rng.integers(0, n, n)].reset_index(drop=True)
    shuffled = pd.DataFrame({c: train[c].iloc[rng.permutation(n)].array for c in train})
    values = {}
    for row, synthetic in {"copy": copy, "fresh": fresh, "independent": shuffled}.items():
        tables = Tables(train, holdout, reference, synthetic)
        values[row] = {k: number(v) for k, v in all_values(tables, schema).items()}
    assert values["independent"]["shape_score"] == 1
    utility = {row: found["tstr_xgboost_auroc_score"] for row, found in values.items()}
    assert utility["fresh"] > 0.9
    assert utility["independent"] < 0.65
    for key in ("dcr_share_error", "exact_match_excess_error"):
        assert values["copy"][key] > 0.95
        assert values["fresh"][key] < 0.2
        assert values["independent"][key] < 0.2
