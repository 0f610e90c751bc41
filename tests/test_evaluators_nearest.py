"""Nearest against known distances, and against the chance of rows without a memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from syntharena.bench import probes
from syntharena.bench.content import draw_rows, row_hashes
from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.nearest import Nearest, excess

MIXED = probes.schemas()["mixed"]
BITS = Schema(tuple(Column(f"b{i}", "boolean") for i in range(6)))


def evaluate(train, holdout, synthetic, schema, seed=0):
    tables = Tables(train, holdout, holdout, synthetic)
    return Nearest().evaluate(tables, schema=schema, rng=np.random.default_rng(seed))


def test_hashes_are_equal_exactly_where_rows_are():
    table = probes.table(MIXED, 400, np.random.default_rng(0))
    twice = pd.concat([table, table], ignore_index=True)
    hashes = row_hashes(twice, MIXED)
    groups = twice.groupby(MIXED.names, dropna=False, observed=True).ngroup()
    same = groups.to_numpy()[:, None] == groups.to_numpy()
    assert ((hashes[:, None] == hashes) == same).all()
    assert (row_hashes(table[table.columns[::-1]], MIXED) == hashes[:400]).all()
    signed = Schema((Column("x", "continuous"),))
    assert len(set(row_hashes(pd.DataFrame({"x": [0.0, -0.0]}), signed))) == 1
    absent = pd.DataFrame({"x": [np.nan, np.copysign(np.nan, -1.0)]})
    assert len(set(row_hashes(absent, signed))) == 1


@pytest.mark.parametrize("kind", ["integer", "categorical"])
def test_different_rows_of_small_numbers_do_not_collide(kind):
    columns = [Column(name, kind, tuple(map(str, range(100)))) for name in "ab"]
    schema = Schema(tuple(columns))
    pairs = np.indices((100, 100)).reshape(2, -1)
    make = [c.from_codes if c.is_discrete else c.from_numbers for c in columns]
    table = schema.assemble({"a": make[0](pairs[0]), "b": make[1](pairs[1])})
    assert len(np.unique(row_hashes(table, schema))) == 10_000


def test_rows_are_drawn_by_content_each_with_the_same_chance():
    hashes = row_hashes(probes.table(MIXED, 200, np.random.default_rng(0)), MIXED)
    order = np.random.default_rng(1).permutation(200)
    for seed in range(5):
        drawn = draw_rows(hashes, 20, np.random.default_rng(seed))
        again = draw_rows(hashes[order], 20, np.random.default_rng(seed))
        assert len(drawn) == 20
        assert sorted(hashes[drawn]) == sorted(hashes[order][again])
    rng = np.random.default_rng(2)
    times = np.bincount(np.concatenate([draw_rows(hashes, 20, rng) for _ in range(500)]))
    # 50 expected, standard deviation 6.7
    assert times.min() > 20
    assert times.max() < 85


def test_votes_are_scaled_by_chance():
    assert excess(np.array([1.0, 1.0]), 0.8).value == 1
    assert excess(np.array([1, 0.8]), 0.8).value == pytest.approx(0.5)
    assert excess(np.array([0.8, 0.0]), 0.8).value == 0


def test_known_distances_give_known_numbers():
    schema = Schema((Column("x", "continuous", minimum=0.0, maximum=10.0),))
    train, holdout, synthetic = (
        pd.DataFrame({"x": x}) for x in ([0.0, 4.0, 8.0], [1.0, 5.0, 10.0], [0.5, 0.5, 4.0, 9.0])
    )
    found = evaluate(train, holdout, synthetic, schema)
    # votes: 1/2, 1/2, 1, 1/2; chance is 1/2
    assert found["dcr_share_error"].value == pytest.approx(0.25)
    assert found["dcr_share_excess_error"].value == 0
    # median of 0.5, 0.5, 0, 1 over that of 1, 1, 2
    assert found["dcr_ratio_score"] == pytest.approx(0.5)
    ratios = np.mean([1 / 3, 1 / 3, 2 / 6]), np.mean([0.5 / 3.5, 0.5 / 3.5, 0, 1 / 5])
    assert found["nndr_shortfall_error"].value == pytest.approx(ratios[0] - ratios[1])


def continuous(rows, rng, columns=4):
    return pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(columns)})


NORMAL = Schema(tuple(Column(f"x{i}", "continuous") for i in range(4)))


def test_a_copier_is_caught_with_and_without_noise():
    rng = np.random.default_rng(0)
    train, holdout = continuous(1200, rng), continuous(300, rng)
    copy = train.iloc[rng.integers(0, 1200, 1000)].reset_index(drop=True)
    found = evaluate(train, holdout, copy, NORMAL)
    assert found["dcr_share_error"] == Measured(1.0, 1.0, 1.0)
    assert found["dcr_ratio_score"] == 0
    assert found["nndr_shortfall_error"].low > 0.5
    noisy = evaluate(train, holdout, copy + rng.normal(0, 0.01, copy.shape), NORMAL)
    assert noisy["dcr_share_error"].value > 0.95
    assert noisy["dcr_ratio_score"] < 0.2
    equal = evaluate(train[:300], holdout, train[:300], NORMAL)
    assert equal["dcr_share_excess_error"].value == 0.5


@pytest.mark.parametrize("schema", [NORMAL, BITS], ids=["no ties", "nothing but ties"])
def test_rows_without_a_memory_vote_by_chance_although_sides_differ_in_size(schema):
    signed = []
    rng = np.random.default_rng(0)
    for _ in range(60):
        if schema is NORMAL:
            train, holdout, fresh = (continuous(n, rng) for n in (160, 40, 200))
        else:
            train, holdout, fresh = (probes.table(BITS, n, rng) for n in (160, 40, 200))
        found = evaluate(train, holdout, fresh, schema)["dcr_share_error"]
        swapped = evaluate(holdout, train, fresh, schema)["dcr_share_error"]
        # one of the two is clipped at 0; the other holds it in units of 160 / 40
        signed.append(found.value - 4 * swapped.value)
    values = np.array(signed)
    assert abs(values.mean()) <= 4 * values.std() / np.sqrt(len(values)) + 1e-12


def test_fresh_rows_are_as_far_from_train_as_holdout_rows():
    rng = np.random.default_rng(1)
    train, holdout, fresh = (continuous(1500, rng) for _ in range(3))
    found = evaluate(train, holdout, fresh, NORMAL)
    assert found["dcr_share_error"].value < 0.1
    assert found["dcr_share_excess_error"].value < 0.05
    assert found["dcr_ratio_score"] > 0.93
    assert found["nndr_shortfall_error"].value < 0.03


def test_the_share_of_the_field_loses_ties_and_cuts_the_larger_side():
    rng = np.random.default_rng(0)
    train, holdout, fresh = (probes.table(BITS, n, rng) for n in (400, 100, 300))
    found = evaluate(train, holdout, fresh, BITS)["dcr_share_excess_error"]
    assert found == Measured(0.0, 0.0, 0.0)  # nearly all rows tie, and no tie is a vote for train


def test_what_cannot_be_measured_says_why():
    table = continuous(5, np.random.default_rng(0))
    values = evaluate(table, table[:0], table, NORMAL)
    assert set(values.values()) == {"holdout has no rows"}
    assert evaluate(table[:1], table, table, NORMAL)["nndr_shortfall_error"] == "train has one row"
    copied = evaluate(table, table, table, NORMAL)
    assert copied["dcr_ratio_score"] == "half of the holdout rows equal a train row"


def test_the_picture_shows_both_sides():
    figure = Figure()
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    train, holdout, synthetic = (continuous(50, rng) for _ in range(3))
    tables = Tables(train, holdout, holdout, synthetic)
    (picture,) = Nearest().pictures(tables, schema=NORMAL, rng=rng)
    picture.draw(axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["holdout", "synthetic"]
    nothing = Tables(train, holdout[:0], holdout, synthetic)
    assert Nearest().pictures(nothing, schema=NORMAL, rng=rng) == []
