"""Support and Identifiability against synthcity and prdc, known tables and canaries.

The fixture is made by ``scripts/oracles/synthcity_values.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from syntharena.bench import probes
from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.identifiability import Identifiability, inverse_entropies
from syntharena.evaluators.naive import OneHot, Space, to_mean
from syntharena.evaluators.neighbours import knn
from syntharena.evaluators.support import Support

ORACLE = json.loads(
    (Path(__file__).parent / "fixtures" / "synthcity.json").read_text(encoding="utf-8")
)
COLOURS = tuple("0123")
SCHEMA = Schema((*(Column(c, "integer") for c in "abc"), Column("colour", "categorical", COLOURS)))
NORMAL = Schema(tuple(Column(f"x{i}", "continuous") for i in range(3)))


def oracle_table(columns):
    made = {name: SCHEMA[name].from_numbers(np.array(columns[name])) for name in "abc"}
    return SCHEMA.assemble(
        made | {"colour": SCHEMA["colour"].from_codes(np.array(columns["colour"]))}
    )


def evaluate(evaluator, train, synthetic, schema, holdout=None):
    holdout = train if holdout is None else holdout
    tables = Tables(train, holdout, holdout, synthetic)
    return evaluator.evaluate(tables, schema=schema, rng=np.random.default_rng(0))


def continuous(rows, rng):
    return pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(3)})


@pytest.mark.parametrize("case", ORACLE)
def test_values_are_those_of_synthcity_and_prdc(case):
    real, synthetic = (oracle_table(ORACLE[case][side]) for side in ("real", "synthetic"))
    told = ORACLE[case]["values"]
    found = evaluate(Support(), real, synthetic, SCHEMA)
    expected = {f"{name}_score": value for name, value in told["prdc"].items()}
    assert told["synthcity_prdc"] == told["prdc"]
    expected["alpha_precision_score"] = told["delta_precision_alpha_naive"]
    expected["beta_recall_score"] = told["delta_coverage_beta_naive"]
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name
    found = evaluate(Identifiability("none"), real, synthetic, SCHEMA)
    assert found["identifiability_error"].value == pytest.approx(told["identifiability"], abs=1e-9)


@pytest.mark.parametrize("case", ORACLE)
def test_synthcitys_authenticity_takes_train_rows_by_the_places_of_synthetic_ones(case):
    real, synthetic = (oracle_table(ORACLE[case][side]) for side in ("real", "synthetic"))
    encoder = OneHot(SCHEMA, real)
    train, other = encoder.encode(real), encoder.encode(synthetic)
    found = knn(train, other, 1, metric="euclidean")
    usual = knn(train, train, 1, skip_self=True, metric="euclidean").distance
    theirs = float(np.mean(usual[found.index[:, 0]] < found.distance))
    assert theirs == pytest.approx(ORACLE[case]["values"]["authenticity_naive"], abs=1e-9)


def test_distances_to_the_mean_are_those_of_one_hot_vectors():
    schema = probes.schemas()["mixed"]
    rng = np.random.default_rng(0)
    train, other = probes.table(schema, 80, rng), probes.table(schema, 30, rng)
    encoder = OneHot(schema, train, {"city": 0.5, "height": 2.0})
    first, second = (encoder.encode(table) for table in (other, train))
    dense = []
    for rows in (first, second):
        parts = [rows.numbers.T]
        for codes, mismatch in zip(rows.codes, rows.mismatches, strict=True):
            parts.append(np.eye(9)[codes] * np.sqrt(mismatch / 2))
        dense.append(np.hstack(parts))
    gap = dense[0] - dense[1].mean(axis=0)
    assert to_mean(first, second) == pytest.approx(np.sqrt((gap**2).sum(axis=1)))
    apart = np.sqrt(((dense[0][:, None] - dense[1]) ** 2).sum(axis=2))
    found = knn(first, second, 1, metric="euclidean").distance[:, 0]
    assert found == pytest.approx(apart.min(axis=1))


def test_fresh_rows_are_good_and_a_copy_is_authentic_nowhere():
    rng = np.random.default_rng(0)
    train, fresh = continuous(1500, rng), continuous(1500, rng)
    found = evaluate(Support(), train, fresh, NORMAL)
    assert found["alpha_precision_score"].value > 0.95
    assert found["beta_recall_score"].value == pytest.approx(0.5, abs=0.06)
    # less than a half, by geometry: the ball around the synthetic row holds no train row
    assert 0.33 < found["authenticity_score"].value < 0.5
    assert found["density_score"].value == pytest.approx(1, abs=0.05)
    for name in ("precision_score", "recall_score", "coverage_score"):
        assert found[name].value > 0.9
    copied = evaluate(Support(), train, train, NORMAL)
    assert copied["alpha_precision_score"].value > 0.999
    assert copied["authenticity_score"].value == 0
    assert copied["coverage_score"] == copied["precision_score"] == copied["recall_score"]
    assert copied["coverage_score"].value == 1


def test_rows_elsewhere_have_the_worst_of_everything():
    rng = np.random.default_rng(0)
    train = continuous(200, rng)
    found = evaluate(Support(), train, continuous(200, rng) + 50, NORMAL)
    assert found.pop("authenticity_score").value == 1
    assert {value.value for value in found.values()} == {0.0}
    found = evaluate(Identifiability(), train, continuous(200, rng) + 50, NORMAL)
    assert {value.value for value in found.values()} == {0.0}


def test_a_sharper_table_crowds_and_covers_less():
    rng = np.random.default_rng(0)
    train, narrow = continuous(800, rng), continuous(800, rng) / 3
    found = evaluate(Support(), train, narrow, NORMAL)
    assert found["density_score"].low > 1.05
    assert found["precision_score"].value > 0.99
    assert found["recall_score"].value < 0.6
    assert found["alpha_precision_score"].value < 0.7


def test_intervals_hold_what_more_rows_say():
    rng = np.random.default_rng(3)
    train = continuous(600, rng)
    many = evaluate(Support(), train, continuous(20_000, rng) * 0.8, NORMAL)
    inside = {"alpha_precision_score": 0, "precision_score": 0, "density_score": 0}
    for _ in range(40):
        found = evaluate(Support(), train, continuous(300, rng) * 0.8, NORMAL)
        for name in inside:
            inside[name] += found[name].low <= many[name].value <= found[name].high
    assert min(inside.values()) >= 33  # of 40; 38 expected


def test_few_rows_and_none_are_named():
    table = continuous(8, np.random.default_rng(0))
    found = evaluate(Support(), table[:1], table, NORMAL)
    assert found["beta_recall_score"] == found["authenticity_score"] == "train has one row"
    assert found["coverage_score"] == "train has 1 rows, k=5"
    assert isinstance(found["recall_score"], Measured)
    assert (
        evaluate(Support(), table, table[:2], NORMAL)["recall_score"] == "synthetic has 2 rows, k=5"
    )
    assert set(evaluate(Support(), table, table[:0], NORMAL).values()) == {"synthetic has no rows"}
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        Support(0)


def test_a_bootstrap_is_identified_and_fresh_rows_are_no_more_so_than_holdout():
    rng = np.random.default_rng(0)
    train, holdout, fresh = (continuous(1200, rng) for _ in range(3))
    copy = train.iloc[rng.integers(0, 1200, 1200)].reset_index(drop=True)
    found = evaluate(Identifiability(), train, copy, NORMAL, holdout)
    # a row is drawn at least once with 1 - 1/e; else another's copy is as near as the other at best
    assert found["identifiability_error"].value == pytest.approx(1 - np.exp(-1), abs=0.04)
    assert found["identifiability_excess_error"].low > 0.5
    found = evaluate(Identifiability(), train, fresh, NORMAL, holdout)
    assert found["identifiability_error"].value == pytest.approx(0.5, abs=0.05)
    assert found["identifiability_excess_error"].low == 0
    found = evaluate(Identifiability(), train, fresh, NORMAL, holdout[:0])
    assert found["identifiability_excess_error"] == "holdout has no rows"


def test_weights_are_inverse_entropies():
    schema = Schema(
        (
            Column("even", "categorical", ("a", "b", "c", "d")),
            Column("constant", "integer"),
            Column("number", "continuous", missing=True),
        )
    )
    table = schema.assemble(
        {
            "even": schema["even"].from_codes(np.arange(4)),
            "constant": schema["constant"].from_numbers(np.full(4, 7.0)),
            "number": schema["number"].from_numbers(np.array([0.0, 0.01, 1.0, np.nan])),
        }
    )
    weights = inverse_entropies(schema, table)
    assert weights["even"] == pytest.approx(1 / np.log(4))
    assert weights["constant"] == 0
    shares = np.array([0.5, 0.25, 0.25])
    assert weights["number"] == pytest.approx(-1 / np.sum(shares * np.log(shares)))
    encoded = OneHot(schema, table, weights).encode(table)
    assert encoded.mismatches[1] == pytest.approx(2 * weights["even"] ** 2)
    with pytest.raises(ValueError, match="weights must be 'entropy' or 'none', got 'idf'"):
        Identifiability("idf")


def test_a_search_is_done_once_for_all_evaluators_of_a_cell(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "syntharena.evaluators.naive.knn", lambda *a, **b: asked.append(a) or knn(*a, **b)
    )
    rng = np.random.default_rng(0)
    tables = Tables(*(continuous(50, rng) for _ in range(4)))
    for _ in range(2):
        space = Space(tables, NORMAL)
        space.nearest("train", "synthetic")
        space.nearest("train", "train")
    assert len(asked) == 2


def test_the_picture_shows_both_tables_even_of_one_column():
    rng = np.random.default_rng(0)
    for schema in probes.schemas().values():
        axes = Figure().subplots()
        (picture,) = Support().pictures(probes.tables(schema, rng), schema=schema, rng=rng)
        picture.draw(axes)
        assert len(axes.collections) == 2
