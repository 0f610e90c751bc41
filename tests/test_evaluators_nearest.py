"""Nearest against a slow search, known votes and the chance of rows without a memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syntharena.bench import probes
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.nearest import Nearest, copy_votes, excess, occurrences
from syntharena.evaluators.neighbours import Encoder, nearest
from syntharena.evaluators.rows import row_hashes, smallest

MIXED = probes.schemas()["mixed"]
BITS = Schema(tuple(Column(f"b{i}", "boolean") for i in range(6)))


def evaluate(train, holdout, synthetic, schema, rows=10_000, seed=0):
    tables = Tables(train, holdout, holdout, synthetic)
    rng = np.random.default_rng(seed)
    return Nearest(rows).evaluate(tables, schema=schema, rng=rng)


def slow_distance(first, second, schema, train):
    total = 0.0
    for column in schema:
        a, b = first[column.name], second[column.name]
        if pd.isna(a) or pd.isna(b):
            total += 0 if pd.isna(a) and pd.isna(b) else 2
        elif column.is_discrete:
            total += 2 * (a != b)
        else:
            low, high = column.lower, column.upper
            if not column.is_bounded:
                low, high = train[column.name].min(), train[column.name].max()
            if column.kind == "datetime":
                a, b = a.timestamp(), b.timestamp()
            total += min(2, abs(a - b) / (high - low))
    return total


def test_distances_are_those_of_the_definition():
    free = Column("free", "continuous", missing=True)
    schema = Schema((*MIXED.columns, free))
    rng = np.random.default_rng(3)
    tables = []
    for rows in (40, 15):
        table = probes.table(MIXED, rows, rng)
        numbers = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(0, 3, rows))
        tables.append(table.assign(free=numbers))
    train, queries = tables
    queries = pd.concat([queries, train.iloc[:5]], ignore_index=True)
    queries.loc[0, "free"] = 1e12
    encoder = Encoder(schema, train)
    found = nearest(encoder.encode(queries), encoder.encode(train))
    for i, query in queries.iterrows():
        slow = [slow_distance(query, row, schema, train) for _, row in train.iterrows()]
        assert found.distance[i] == pytest.approx(min(slow), abs=1e-5)
        assert found.ties[i] == np.sum(np.array(slow) < min(slow) + 1e-6)
    assert (found.distance[-5:] == 0).all()


def test_the_search_does_not_depend_on_its_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    train, queries = probes.table(MIXED, 60, rng), probes.table(MIXED, 45, rng)
    encoder = Encoder(MIXED, train)
    whole = nearest(encoder.encode(queries), encoder.encode(train))
    for cells in (1, 100, 60 * 45):
        monkeypatch.setattr("syntharena.evaluators.neighbours.BLOCK_CELLS", cells)
        parts = nearest(encoder.encode(queries), encoder.encode(train))
        assert (parts.distance == whole.distance).all()
        assert (parts.ties == whole.ties).all()


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
        drawn = smallest(hashes, 20, np.random.default_rng(seed))
        again = smallest(hashes[order], 20, np.random.default_rng(seed))
        assert len(drawn) == 20
        assert sorted(hashes[drawn]) == sorted(hashes[order][again])
    rng = np.random.default_rng(2)
    times = np.bincount(np.concatenate([smallest(hashes, 20, rng) for _ in range(500)]))
    # 50 expected, standard deviation 6.7
    assert times.min() > 20
    assert times.max() < 85


def test_votes_of_known_copies():
    synthetic, train, holdout = np.array([1, 2, 3, 4]), np.array([1, 1, 2]), np.array([2, 3])
    votes = copy_votes(synthetic, train, holdout)
    assert votes[:3].tolist() == [1, 0.5, 0]
    assert np.isnan(votes[3])
    assert excess(np.array([1.0, 1.0]), 0.8) == 1
    assert excess(np.array([1, np.nan]), 0.8) == pytest.approx(0.5)
    assert excess(np.array([0.8, 0.0]), 0.8) == 0


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_occurrences_are_counts(values, among):
    values = np.array(values, dtype=np.int64)
    found = occurrences(values, np.array(among, dtype=np.int64))
    assert found.tolist() == [among.count(value) for value in values]


def continuous(rows, rng, columns=4):
    return pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(columns)})


NORMAL = Schema(tuple(Column(f"x{i}", "continuous") for i in range(4)))


def test_a_copier_is_caught_with_and_without_noise():
    rng = np.random.default_rng(0)
    train, holdout = continuous(1200, rng), continuous(300, rng)
    copy = train.iloc[rng.integers(0, 1200, 1000)].reset_index(drop=True)
    assert evaluate(train, holdout, copy, NORMAL) == {
        "dcr_share_error": 1.0,
        "exact_match_excess_error": 1.0,
    }
    noisy = evaluate(train, holdout, copy + rng.normal(0, 0.01, copy.shape), NORMAL)
    assert noisy["dcr_share_error"] > 0.95
    assert noisy["exact_match_excess_error"] == 0
    tenth = pd.concat([copy[:100], continuous(900, rng)], ignore_index=True)
    assert evaluate(train, holdout, tenth, NORMAL)["exact_match_excess_error"] == 0.1


@pytest.mark.parametrize("schema", [NORMAL, BITS], ids=["no ties", "nothing but ties"])
def test_rows_without_a_memory_vote_by_chance_although_sides_differ_in_size(schema):
    signed = []
    rng = np.random.default_rng(0)
    for _ in range(60):
        if schema is NORMAL:
            train, holdout, fresh = (continuous(n, rng) for n in (160, 40, 200))
        else:
            train, holdout, fresh = (probes.table(BITS, n, rng) for n in (160, 40, 200))
        found = evaluate(train, holdout, fresh, schema)
        swapped = evaluate(holdout, train, fresh, schema)
        for key, value in found.items():
            # one of the two is clipped at 0; the other holds it in units of 160 / 40
            signed.append((key, value - 4 * swapped[key]))
    for key in ("dcr_share_error", "exact_match_excess_error"):
        values = np.array([value for name, value in signed if name == key])
        assert abs(values.mean()) <= 4 * values.std() / np.sqrt(len(values)) + 1e-12


def test_fewer_measured_rows_estimate_the_same_share():
    rng = np.random.default_rng(0)
    train, holdout = continuous(800, rng), continuous(800, rng)
    half = pd.concat([train[:400], holdout[:200], continuous(600, rng)], ignore_index=True)
    everything = evaluate(train, holdout, half, NORMAL)["dcr_share_error"]
    parts = [
        evaluate(train, holdout, half, NORMAL, rows=300, seed=s)["dcr_share_error"]
        for s in range(20)
    ]
    assert np.mean(parts) == pytest.approx(everything, abs=0.04)
    assert np.std(parts) > 0


def test_bad_row_limits_and_empty_sides():
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        Nearest(0)
    table = continuous(5, np.random.default_rng(0))
    values = evaluate(table, table[:0], table, NORMAL)
    assert set(values.values()) == {"holdout has no rows"}
