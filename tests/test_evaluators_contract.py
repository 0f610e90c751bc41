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
from syntharena.evaluators.cost import Cost
from syntharena.evaluators.nearest import Nearest
from syntharena.evaluators.shape import Shape
from syntharena.evaluators.trend import Trend


def built(path):
    """Build the evaluator of a YAML file."""
    conf = yaml.safe_load(path.read_text(encoding="utf-8"))
    conf.pop("about")
    module, _, kind = conf.pop("_target_").rpartition(".")
    return getattr(import_module(module), kind)(**conf)


FILES = {path.stem: path for path in (files(syntharena.conf) / "evaluator").iterdir()}
EVALUATORS = {name: built(path) for name, path in sorted(FILES.items())}
# Models stop at a tolerance and trees break ties between columns by position, so a score that
# counts rows may move by a few of them when rows or columns are shuffled.
ORDER_TOLERANCE = {"linear": 0.03, "logistic": 0.03}
UNORDERED = ("xgboost", "mlp", "forest")
SCHEMAS = probes.schemas()


def evaluate(evaluator, tables, schema, seed=0):
    fresh = replace(tables, _shared={})
    return evaluator.evaluate(fresh, schema=schema, rng=np.random.default_rng(seed))


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
    same = evaluate(Nearest(), replace(usual, train=first, holdout=last, synthetic=first), schema)
    assert same == {"dcr_share_error": 1.0, "exact_match_excess_error": 1.0}


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
        "dcr_share_error",
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
        values[row] = {
            key: value
            for evaluator in EVALUATORS.values()
            for key, value in evaluate(evaluator, tables, schema).items()
        }
    assert values["independent"]["shape_score"] == 1
    utility = {row: found["tstr_xgboost_auroc_score"] for row, found in values.items()}
    assert utility["fresh"] > 0.9
    assert utility["independent"] < 0.65
    for key in ("dcr_share_error", "exact_match_excess_error"):
        assert values["copy"][key] > 0.95
        assert values["fresh"][key] < 0.2
        assert values["independent"][key] < 0.2
