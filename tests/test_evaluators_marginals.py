"""Marginals against slow definitions, closed forms and SDNist."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import oracle_tables
import pandas as pd
import pytest

from syntharena.bench import probes
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.binning import BINS, bins, nist_edges, quantile_codes, quantile_edges
from syntharena.evaluators.marginals import Marginals, column_subsets, nist_pairs

X = Column("x", "continuous", missing=True)
N = Column("n", "integer", minimum=0, maximum=20)


def evaluate(tables, schema, seed=0, **options):
    return Marginals(**options).evaluate(tables, schema=schema, rng=np.random.default_rng(seed))


def given_tables(schema, seed=0):
    return probes.tables(schema, np.random.default_rng(seed))


@pytest.mark.parametrize("sort", ["mixed", "discrete", "numeric"])
def test_errors_are_mean_distances_of_cross_tables(sort):
    schema = probes.schemas()[sort]
    tables = given_tables(schema)
    values = evaluate(tables, schema)
    codes = pd.DataFrame(quantile_codes(tables, schema))
    sides = codes.iloc[: len(tables.train)], codes.iloc[len(tables.train) :]
    for k in (1, 2, 3):
        distances = []
        for subset in combinations(codes, k):
            shares = [side.groupby(list(subset)).size() / len(side) for side in sides]
            distances.append(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
        assert values[f"marginal_{k}way_error"] == pytest.approx(np.mean(distances), abs=1e-12)


@pytest.mark.parametrize("name", ["german_credit", "adult"])
def test_the_nist_score_is_that_of_sdnist(name):
    oracle = oracle_tables.script("sdnist_values")
    table = oracle_tables.real_table(name)
    for kind, expected in oracle_tables.values("sdnist")[name].items():
        schema, tables = oracle_tables.tables(*oracle.pair(table, kind), numbers="integer")
        found = evaluate(tables, schema)["nist_k_marginal_score"]
        assert found == pytest.approx(expected, abs=1e-9), kind


def test_the_best_and_the_worst_value():
    schema = probes.schemas()["mixed"]
    usual = given_tables(schema)
    same = evaluate(Tables(*[usual.train] * 4), schema)
    assert same == {
        **dict.fromkeys([f"marginal_{k}way_error" for k in (1, 2, 3)], 0.0),
        "nist_k_marginal_score": 1000.0,
    }
    schema = Schema((N, X, Column("c", "categorical", ("a", "b"))))
    apart = [
        schema.assemble(
            {
                "n": N.from_numbers(np.full(9, 4.0 + side)),
                "x": X.from_numbers(np.full(9, 0.5 * side)),
                "c": schema["c"].from_codes(np.full(9, side)),
            }
        )
        for side in (0, 1)
    ]
    found = evaluate(Tables(apart[0], apart[0], apart[0], apart[1]), schema)
    assert list(found.values()) == [1, 1, 1, 0]


def test_independent_columns_have_perfect_single_marginals_only():
    rng = np.random.default_rng(0)
    schema = probes.schemas()["discrete"]
    codes = rng.integers(0, 2, 600)
    columns = {c.name: c.from_codes(codes % len(c.categories)) for c in schema}
    train = schema.assemble(columns)
    shuffled = pd.DataFrame({c: train[c].iloc[rng.permutation(600)].array for c in train})
    found = evaluate(Tables(train, train, train, shuffled), schema)
    # two equal fair coins become independent: half the mass of a pair lies where none was
    assert found["marginal_1way_error"] == 0
    assert found["marginal_2way_error"] == pytest.approx(0.5, abs=0.05)
    assert found["marginal_3way_error"] == pytest.approx(0.75, abs=0.05)


def test_edges_hold_train_alone_and_set_invented_numbers_apart():
    known = np.array([0.0] * 60 + list(range(1, 41)))
    edges = quantile_edges(X, known)
    codes = bins(np.array([np.nan, -1, 0, 0.5, 40, 41]), edges)
    assert len(np.unique(codes)) == 6  # missing, below, the frequent 0, inside, the largest, above
    assert quantile_edges(X, np.arange(1000.0))[1:] == pytest.approx(
        np.quantile(np.arange(1000.0), np.linspace(0, 1, BINS + 1), method="higher")
    )
    assert bins(np.array([np.nan, 3.0]), quantile_edges(X, np.empty(0))).tolist() == [0, 2]
    assert bins(np.arange(21.0), nist_edges(N, np.arange(3.0))).tolist() == list(range(2, 23))
    assert len(nist_edges(X, np.arange(1000.0))) == BINS  # one bin fewer: the missing value's


def test_subsets_are_all_or_a_draw_of_the_seed():
    names = [f"c{i:02}" for i in range(12)]
    assert column_subsets(names, 2, 66, None) == list(combinations(names, 2))
    drawn = column_subsets(names, 3, 50, np.random.default_rng(0))
    assert len(set(drawn)) == 50
    assert all(list(subset) == sorted(set(subset)) for subset in drawn)
    assert drawn == column_subsets(names, 3, 50, np.random.default_rng(0))
    assert drawn != column_subsets(names, 3, 50, np.random.default_rng(1))


def test_a_draw_estimates_the_mean_over_all_subsets():
    schema = probes.schemas()["mixed"]
    tables = given_tables(schema)
    everything = evaluate(tables, schema)["marginal_3way_error"]
    drawn = [evaluate(tables, schema, s, subsets=40)["marginal_3way_error"] for s in range(20)]
    assert np.mean(drawn) == pytest.approx(everything, abs=0.02)
    assert np.std(drawn) > 0


def test_nist_pairs_of_few_and_of_many_columns():
    assert nist_pairs(["a"]) == [("a", "a")]
    assert nist_pairs(["b", "c", "a"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    many = [f"c{i}" for i in range(30)]
    assert len(nist_pairs(many)) == 200
    assert nist_pairs(many) == nist_pairs(many[::-1])


def test_what_cannot_be_computed_has_a_reason():
    schema = Schema((N,))
    one = pd.DataFrame({"n": N.from_numbers(np.arange(5.0))})
    found = evaluate(Tables(one, one, one, one), schema)
    assert found["marginal_1way_error"] == 0
    assert isinstance(found["marginal_2way_error"], str)
    assert found["nist_k_marginal_score"] == 1000
    empty = evaluate(Tables(one, one, one, one.iloc[:0]), schema)
    assert set(empty.values()) == {"synthetic has no rows"}
    with pytest.raises(ValueError, match="subsets"):
        Marginals(subsets=0)
