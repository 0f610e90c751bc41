"""The neighbour search against all distances, whatever it skips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syntharena.bench import probes
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators import distances, tree
from syntharena.evaluators.neighbours import (
    Encoded,
    Encoder,
    counts_within,
    knn,
    nearest,
    points,
    ties,
)

MIXED = probes.schemas()["mixed"]


def all_distances(queries, rows, metric):
    total = np.zeros((len(queries), len(rows)))
    for query, row in zip(queries.numbers, rows.numbers, strict=True):
        gap = query[:, None] - row
        total += gap**2 if metric == "euclidean" else np.minimum(np.abs(gap), 2)
    for query, row, mismatch in zip(queries.codes, rows.codes, rows.mismatches, strict=True):
        total += mismatch * (query[:, None] != row)
    return np.sqrt(total) if metric == "euclidean" else total


def check(queries, rows, metric, k):
    """Compare every search with a look at all pairs."""
    slow = all_distances(queries, rows, metric)
    found = knn(queries, rows, k, metric=metric)
    assert found.distance == pytest.approx(np.sort(slow, axis=1)[:, :k], rel=1e-12, abs=1e-12)
    chosen = np.take_along_axis(slow, found.index, axis=1)
    assert chosen == pytest.approx(found.distance, rel=1e-12, abs=1e-12)
    # between distances, so that rounding decides nothing
    radii = np.random.default_rng(0).choice(slow.ravel(), len(rows)) * (1 + 1e-9)
    assert (counts_within(queries, rows, radii, metric) == (slow < radii).sum(axis=1)).all()
    if len(rows) > k:
        slow = all_distances(rows, rows, metric)
        np.fill_diagonal(slow, np.inf)
        found = knn(rows, rows, k, skip_self=True, metric=metric)
        assert found.distance == pytest.approx(np.sort(slow, axis=1)[:, :k], rel=1e-12, abs=1e-12)
        assert (found.index != np.arange(len(rows))[:, None]).all()


@pytest.fixture(params=[(4, 3), (128, 8)], ids=["many leaves", "as used"])
def sizes(request, monkeypatch):
    monkeypatch.setattr(tree, "LEAF", request.param[0])
    monkeypatch.setattr(tree, "FAN", request.param[1])


@pytest.mark.parametrize("sort", probes.schemas())
@pytest.mark.parametrize("rows", [1, 2, 37, 400])
def test_mixed_rows_are_searched_exactly(sort, rows, sizes):
    schema = probes.schemas()[sort]
    rng = np.random.default_rng(rows)
    train, queries = probes.table(schema, rows, rng), probes.table(schema, 150, rng)
    encoder = Encoder(schema, train)
    check(encoder.encode(queries), encoder.encode(train), "l1", min(5, rows))


@pytest.mark.parametrize("dimensions", [1, 2, 7, 40])
def test_points_are_searched_exactly_however_they_are_scaled(dimensions, sizes):
    rng = np.random.default_rng(dimensions)
    scale = 10.0 ** rng.uniform(-4, 4, dimensions)
    first, second = (1e3 + scale * rng.normal(size=(n, dimensions)) for n in (200, 300))
    rows = points(np.vstack([second, first[:40], np.repeat(first[:1], 30, axis=0)]))
    check(points(first), rows, "euclidean", 5)


def test_distances_of_tiny_and_huge_numbers_are_right_to_the_last_digits():
    base = np.array([[1e6, 0.0], [1e6 + 1e-3, 1e-9], [-1e6, 5.0]])
    found = knn(points(base), points(base), 1, skip_self=True, metric="euclidean")
    assert found.index[:, 0].tolist() == [1, 0, 0]
    gap = base[1] - base[0]
    assert found.distance[0, 0] == pytest.approx(np.sqrt(gap @ gap), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), st.integers(0, 999))
def test_ties_go_to_the_first_rows_and_all_are_counted(n, m, columns, seed):
    rng = np.random.default_rng(seed)
    queries, rows = (
        Encoded(
            rng.integers(0, 3, (1, size)).astype(float),
            [rng.integers(0, 3, size).astype(np.uint8) for _ in range(columns)],
        )
        for size in (n, m)
    )
    for metric in ("l1", "euclidean"):
        slow = all_distances(queries, rows, metric)
        k = int(rng.integers(1, m + 1))
        order = np.argsort(slow, axis=1, kind="stable")[:, :k]
        assert (knn(queries, rows, k, metric=metric).index == order).all()
        found = nearest(queries, rows, metric)
        assert (found.distance == slow.min(axis=1)).all()
        assert (found.ties == (slow == slow.min(axis=1)[:, None]).sum(axis=1)).all()
        assert (ties(queries, rows, np.full(n, 99.0), metric) == m).all()
        radii = rng.choice(slow.ravel(), m)
        assert (counts_within(queries, rows, radii, metric) == (slow < radii).sum(axis=1)).all()


@pytest.mark.parametrize("alike", [True, False])
def test_columns_may_weigh_differently(alike, sizes):
    rng = np.random.default_rng(0)
    weights = np.full(3, 0.3) if alike else np.array([0.1, 5.0, 0.0])
    queries, rows = (
        Encoded(
            rng.random((2, n)), [rng.integers(0, 4, n).astype(np.uint8) for _ in "abc"], weights
        )
        for n in (100, 300)
    )
    for metric in ("l1", "euclidean"):
        check(queries, rows, metric, 3)


def test_many_columns_of_categories_are_all_counted():
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 2, 40).astype(np.uint8) for _ in range(300)]
    rows = Encoded(np.empty((0, 40)), codes)
    opposite = Encoded(np.empty((0, 40)), [1 - column for column in codes])
    assert (counts_within(opposite, rows, np.full(40, 600.0)) == 39).all()
    check(rows, opposite, "l1", 2)


def test_a_column_of_too_many_categories_only_prunes_nothing(monkeypatch):
    monkeypatch.setattr(tree, "TABLE", 10)
    rng = np.random.default_rng(0)
    rows = Encoded(rng.random((1, 500)), [rng.integers(0, 400, 500).astype(np.uint16)])
    check(rows.take(np.arange(90)), rows, "l1", 3)


def test_most_pairs_of_a_table_are_never_compared(monkeypatch):
    seen = []
    quick = distances.Distances.quick

    def spy(self, leaf, start, stop, queries):
        seen.append((stop - start) * len(queries))
        return quick(self, leaf, start, stop, queries)

    monkeypatch.setattr(distances.Distances, "quick", spy)
    rng = np.random.default_rng(0)
    schema = Schema((*probes.DISCRETE, *probes.NUMERIC[:2]))
    train, queries = (probes.table(schema, 4000, rng) for _ in range(2))
    encoder = Encoder(schema, train)
    knn(encoder.encode(queries), encoder.encode(train), 5)
    assert sum(seen) < 0.15 * 4000 * 4000


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
        assert found.distance[i] == pytest.approx(min(slow), abs=1e-9)
        assert found.ties[i] == np.sum(np.array(slow) < min(slow) + 1e-9)
    assert (found.distance[-5:] == 0).all()


def test_the_order_of_columns_changes_no_digit():
    rng = np.random.default_rng(0)
    train, queries = probes.table(MIXED, 200, rng), probes.table(MIXED, 100, rng)
    turned = Schema(MIXED.columns[::-1])
    found = []
    for schema in (MIXED, turned):
        encoder = Encoder(schema, train)
        found.append(knn(encoder.encode(queries), encoder.encode(train), 3))
    assert (found[0].distance == found[1].distance).all()
    assert (found[0].index == found[1].index).all()


def test_wrong_numbers_of_neighbours_are_named():
    rows = points(np.zeros((3, 1)))
    for k, skip_self, most in ((0, False, 3), (4, False, 3), (3, True, 2)):
        with pytest.raises(ValueError, match=rf"k must be in \[1, {most}\].*got {k}"):
            knn(rows, rows, k, skip_self=skip_self)
    assert knn(rows.take(np.arange(0)), rows, 2).index.shape == (0, 2)
