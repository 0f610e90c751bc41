"""Bayesian networks: cells, scores and structures against brute force, exact conditions."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators.bayesian_network import BayesianNetwork
from syntharena.generators.distributions import belief_network
from syntharena.generators.distributions.belief_network import BeliefNetwork
from syntharena.generators.distributions.structures import (
    Families,
    arrows_of,
    best_forest,
    climb,
    parents_first,
    reachable,
)
from syntharena.generators.views.cells import NOWHERE, Cells, draw_cells

CHANCE = 1e-4  # p-value below which a test of a random table fails


def letters(name, count):
    return Column(name, "categorical", tuple(f"{name}{i}" for i in range(count)))


def fitted(table, schema, **options):
    generator = BayesianNetwork(**options)
    return generator.fit(table, schema=schema, budget=Budget(), rng=np.random.default_rng(0))


def quiet(step, total, **losses):
    pass


# Cells


def test_heavy_values_have_cells_and_come_back_exactly():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5_000) < 0.9, 0.0, rng.exponential(size=5_000))
    values[:400] = np.nan
    cells = Cells.of(values, True, bins=10, few=20, most=1)
    assert cells.single[0] == 0.0
    assert np.isnan(cells.single[1])
    assert cells.bins == 10
    codes = cells.codes(values)
    again = cells.values(codes, rng)
    assert np.array_equal(again == 0, values == 0)
    assert np.array_equal(np.isnan(again), np.isnan(values))
    assert np.array_equal(cells.codes(again), codes)
    counts = np.bincount(codes)[2:]
    assert counts.max() - counts.min() <= 1
    assert not np.isin(again[codes >= 2], values).any()


def test_numbers_of_a_bin_follow_its_distribution():
    values = np.sort(np.random.default_rng(0).normal(size=2_000))
    cells = Cells.of(values, True, bins=4, few=20, most=1)
    drawn = cells.values(np.full(20_000, 1), np.random.default_rng(1))
    assert drawn.min() >= values[500]
    assert drawn.max() <= values[999]
    assert stats.ks_2samp(drawn, values[500:1000]).pvalue > CHANCE


def test_few_repeated_numbers_are_cells_and_unseen_ones_go_to_the_nearest():
    cells = Cells.of(np.repeat([1.0, 2.0, 4.0], 10), True, bins=10, few=3, most=1)
    assert cells.size == 3
    assert cells.codes(np.array([0.0, 2.9, 3.1, 99.0, np.nan])).tolist() == [0, 1, 2, 2, NOWHERE]


def test_rare_categories_share_a_cell():
    values = np.repeat(np.arange(6.0), [50, 1, 30, 3, 40, 6])
    cells = Cells.of(values, False, bins=1, few=0, most=3)
    assert cells.single.tolist() == [0, 2, 4]
    assert cells.codes(np.array([2.0, 1.0, 5.0, 77.0, np.nan])).tolist() == [1, 3, 3, 3, NOWHERE]
    drawn = cells.values(np.full(20_000, 3), np.random.default_rng(0))
    seen = np.bincount(drawn.astype(int), minlength=6)[[1, 3, 5]]
    assert stats.chisquare(seen, 20_000 * np.array([0.1, 0.3, 0.6])).pvalue > CHANCE


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, math.nan, -3.0, 1e300, 7.0]), min_size=1, max_size=60),
    st.booleans(),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_every_column_has_cells(values, is_numeric, bins, most):
    values = np.array(values)
    cells = Cells.of(values, is_numeric, bins, few=3, most=most)
    codes = cells.codes(values)
    assert set(codes) == set(range(cells.size))  # no cell is empty
    again = cells.values(codes, np.random.default_rng(0))
    assert np.array_equal(np.isnan(again), np.isnan(values))
    assert np.array_equal(cells.codes(again), codes)


def test_draws_follow_their_distributions():
    chances = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    given = np.repeat([0, 1], 20_000)
    drawn = draw_cells(chances, given, np.random.default_rng(0))
    first, second = (np.bincount(drawn[given == i], minlength=3) for i in (0, 1))
    assert first[1] == 0
    assert second[0] == 0
    assert stats.chisquare(first[[0, 2]], [5_000, 15_000]).pvalue > CHANCE
    assert stats.chisquare(second[1:], [10_000, 10_000]).pvalue > CHANCE


# Structures


def table_of_codes(seed, rows, sizes):
    """Draw columns of which each tends to be as large as the larger of the two before it."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((rows, len(sizes)), dtype=np.int64)
    for place, size in enumerate(sizes):
        known = codes[:, max(place - 2, 0) : place].max(axis=1, initial=0)
        noise = rng.integers(0, size, rows)
        is_noise = (rng.random(rows) < 0.3) | (place < 2)
        codes[:, place] = np.where(is_noise, noise, np.minimum(known, size - 1))
    return codes


def bic(codes, sizes, column, parents, penalty=1.0):
    """Score a family row by row."""
    rows = [tuple(row) for row in codes[:, list(parents)].tolist()]
    likelihood = 0.0
    for group in set(rows):
        inside = codes[[row == group for row in rows], column]
        shares = np.bincount(inside) / len(inside)
        likelihood += np.log(shares[inside]).sum()
    free = (sizes[column] - 1) * math.prod(sizes[parent] for parent in parents)
    return likelihood - penalty * free * math.log(len(codes)) / 2


@pytest.mark.parametrize("penalty", [0.5, 1.0])
def test_scores_are_those_of_the_formula(penalty):
    sizes = [2, 3, 2, 4]
    codes = table_of_codes(0, 200, sizes)
    families = Families(codes, sizes, penalty, 3, 1_000)
    for column, parents in [(0, ()), (1, (0,)), (3, (0, 2)), (2, (0, 1, 3))]:
        expected = bic(codes, sizes, column, parents, penalty)
        assert families.score(column, parents) == pytest.approx(expected)
    assert families.scores(3, (0,), [1, 2]) == pytest.approx(
        [bic(codes, sizes, 3, (0, 1), penalty), bic(codes, sizes, 3, (0, 2), penalty)]
    )


def test_families_that_are_too_large_have_no_score():
    sizes = [2, 3, 2, 4]
    codes = table_of_codes(0, 200, sizes)
    assert Families(codes, sizes, 1, 1, 1_000).score(2, (0, 1)) == -math.inf
    assert Families(codes, sizes, 1, 4, 11).score(2, (0, 1)) == -math.inf
    assert Families(codes, sizes, 1, 2, 12).score(2, (0, 1)) > -math.inf
    assert Families(codes, sizes, 1, 2, 1).score(3, ()) > -math.inf


def every_structure(columns):
    """List all structures without a cycle."""
    sets = [
        [p for k in range(columns) for p in itertools.combinations(range(columns), k) if c not in p]
        for c in range(columns)
    ]
    for parents in itertools.product(*sets):
        leads = [set(found) for found in parents]
        for middle, column in itertools.product(range(columns), repeat=2):
            if middle in leads[column]:
                leads[column] |= leads[middle]
        if not any(column in found for column, found in enumerate(leads)):
            yield parents


def total(families, parents):
    return sum(families.score(column, found) for column, found in enumerate(parents))


@pytest.mark.parametrize("seed", range(4))
def test_structures_are_the_best_of_all(seed):
    sizes = [2, 3, 2, 2]
    families = Families(table_of_codes(seed, 400, sizes), sizes, 1.0, 3, 1_000)
    totals = {parents: total(families, parents) for parents in every_structure(4)}
    assert len(totals) == 543  # directed acyclic graphs of four (Robinson 1973)
    forests = [value for parents, value in totals.items() if max(map(len, parents)) <= 1]
    forest = best_forest(families)
    assert totals[tuple(forest)] == pytest.approx(max(forests))
    assert totals[tuple(climb(families, forest, quiet))] == pytest.approx(max(totals.values()))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(1, 3))
def test_no_single_arrow_improves_what_was_climbed_to(seed, columns, most):
    sizes = np.random.default_rng(seed).integers(1, 4, size=columns).tolist()
    families = Families(table_of_codes(seed, 150, sizes), sizes, 0.5, most, 1_000)
    found = climb(families, [()] * columns, quiet)
    here = total(families, found)
    assert max(map(len, found)) <= most
    order = parents_first(found)
    assert all(order.index(p) < order.index(c) for c in range(columns) for p in found[c])
    for source, column in itertools.permutations(range(columns), 2):
        sets = [set(parents) for parents in found]
        if source in sets[column]:
            sets[column].remove(source)
            changes = [sets, [s | {column} if c == source else s for c, s in enumerate(sets)]]
        else:
            changes = [[s | {source} if c == column else s for c, s in enumerate(sets)]]
        for change in changes:
            arrows = arrows_of([tuple(s) for s in change])
            if not (reachable(arrows) & arrows.T).any():
                assert total(families, [tuple(sorted(s)) for s in change]) <= here + 1e-5


def test_a_collider_is_found():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, size=(2, 2_000))
    c = np.where(rng.random(2_000) < 0.9, a | b, 1 - (a | b))
    table = {"a": a, "b": b, "c": c}
    schema = Schema(tuple(letters(name, 2) for name in table))
    frame = schema.assemble({name: schema[name].from_codes(codes) for name, codes in table.items()})
    assert fitted(frame, schema).network_.parents == [(), (), (0, 1)]
    assert max(map(len, fitted(frame, schema, structure="tree").network_.parents)) == 1


# Networks


def test_chances_are_counts_smoothed_towards_the_column():
    schema = Schema((letters("a", 2), letters("b", 2)))
    codes = np.repeat([[0, 0], [1, 0], [1, 1]], [60, 10, 30], axis=0)
    table = schema.assemble(
        {name: schema[name].from_codes(codes[:, i]) for i, name in enumerate("ab")}
    )
    network = fitted(table, schema, prior=5.0).network_
    assert network.parents == [(), (0,)]
    assert network.chances[0] == pytest.approx(np.array([[0.6, 0.4]]))
    expected = [[63.5 / 65, 1.5 / 65], [13.5 / 45, 31.5 / 45]]
    assert network.chances[1] == pytest.approx(np.array(expected))


def random_network(rng, columns=6):
    sizes = rng.integers(1, 4, size=columns)
    order = rng.permutation(columns)
    parents, chances = [()] * columns, [np.empty(0)] * columns
    for place, column in enumerate(order):
        chosen = rng.permutation(order[:place])[: rng.integers(0, 4)]
        parents[column] = tuple(sorted(chosen.tolist()))
        groups = math.prod(sizes[list(parents[column])].tolist())
        chances[column] = rng.dirichlet(np.ones(sizes[column]), size=groups)
    return BeliefNetwork(parents, chances)


def joint(network):
    """Multiply all chances out, one axis for each column."""
    sizes = network.sizes
    found = np.ones(sizes)
    for cell in np.ndindex(*sizes):
        for column, parents in enumerate(network.parents):
            group = 0
            for parent in parents:
                group = group * sizes[parent] + cell[parent]
            found[cell] *= network.chances[column][group, cell[column]]
    return found


def check_against(network, given, drawn, share=1.0):
    """Compare draws that meet one condition with the distribution that enumeration gives."""
    table = joint(network)
    seen = np.zeros(network.sizes)
    np.add.at(seen, tuple(drawn.T), 1)
    for column, cell in given.items():
        outside = np.arange(table.shape[column]) != cell
        table[(slice(None),) * column + (outside,)] = 0
    expected = table / table.sum() * len(drawn)
    assert (seen[expected == 0] == 0).all()
    common = expected > 5
    rest = [seen[~common].sum()], [expected[~common].sum()]
    counts = [np.append(x[common], y) for x, y in zip((seen, expected), rest, strict=True)]
    kept = counts[1] > 5
    if kept.sum() > 1:
        scale = counts[0][kept].sum() / counts[1][kept].sum()
        statistic = (
            (counts[0][kept] - counts[1][kept] * scale) ** 2 / (counts[1][kept] * scale)
        ).sum()
        assert stats.chi2(kept.sum() - 1).sf(statistic * share) > CHANCE


@pytest.mark.parametrize("seed", range(25))
def test_draws_given_anything_follow_the_exact_distribution(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    given = {
        int(column): int(rng.integers(network.sizes[column]))
        for column in rng.permutation(6)[: rng.integers(0, 6)]
    }
    codes = np.full((20_000, 6), NOWHERE)
    codes[:, list(given)] = list(given.values())
    check_against(network, given, network.draw(codes, rng))


@pytest.mark.parametrize("limit", [2, 100])
def test_rows_with_different_conditions_are_drawn_together(monkeypatch, limit):
    monkeypatch.setattr(belief_network, "MOST_AT_ONCE", limit)  # in many parts, or in few
    rng = np.random.default_rng(3)
    network = random_network(rng)
    patterns = [{0: 0}, {0: network.sizes[0] - 1}, {}, {2: 0, 5: 0}]
    codes = np.full((40_000, 6), NOWHERE)
    which = rng.integers(0, 4, size=len(codes))
    for number, fixed in enumerate(patterns):
        codes[np.ix_(which == number, list(fixed))] = list(fixed.values())
    before = codes.copy()
    drawn = network.draw(codes, rng)
    assert np.array_equal(codes, before)
    for number, fixed in enumerate(patterns):
        check_against(network, fixed, drawn[which == number])


@pytest.mark.parametrize("seed", range(3))
def test_weighting_comes_close_where_elimination_is_too_large(monkeypatch, seed):
    monkeypatch.setattr(belief_network, "MOST_WORK", 0)
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    codes = np.full((5_000, 6), NOWHERE)
    last = network.order[-1]
    codes[:, last] = 0
    check_against(network, {last: 0}, network.draw(codes, rng), share=0.5)  # not exact


def test_conditions_on_numbers_and_labels_reach_what_causes_them():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 6_000)
    size = 10.0 * kind + rng.normal(size=6_000)
    schema = Schema((letters("kind", 3), Column("size", "continuous"), letters("big", 2)))
    table = schema.assemble(
        {
            "kind": schema["kind"].from_codes(kind),
            "size": schema["size"].from_numbers(size),
            "big": schema["big"].from_codes((size > 5).astype(int)),
        }
    )
    generator = fitted(table, schema)
    asked = pd.DataFrame({"size": np.repeat([0.3, 19.7], 1_000)})
    made = generator.sample(2_000, rng=rng, conditions=asked)
    assert (made["kind"][:1_000] == "kind0").mean() > 0.98
    assert (made["kind"][1_000:] == "kind2").mean() > 0.98
    assert (made["big"] == np.repeat(["big0", "big1"], 1_000)).mean() > 0.98
    assert made["size"].equals(asked["size"])
    asked = pd.DataFrame({"big": schema["big"].from_codes(np.ones(3_000, dtype=int))})
    made = generator.sample(3_000, rng=rng, conditions=asked)
    assert (made["size"] > 4).mean() > 0.98
    assert (made["kind"] == "kind1").mean() == pytest.approx(0.5, abs=0.05)
