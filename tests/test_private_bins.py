"""Private bins: exact chances between neighbouring tables, edges by public rules, and quality."""

import math
import os
from collections import Counter
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench.accountant import spent_epsilon
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators.dp_marginals import DpMarginals
from syntharena.generators.privacy.allowance import Allowance
from syntharena.generators.views.domain import discretise
from syntharena.generators.views.private_bins import (
    cell_chances,
    merged,
    needs_rows,
    quantile_cuts,
    split_chances,
    tree_cuts,
)

CHANCE = 1e-4  # p-value below which a test of a random table fails
ROUNDING = 1 + 1e-9
METHODS = ["quantile", "privtree"]
WHOLE = Column("x", "integer", minimum=-7, maximum=1_000, missing=True)
BUDGETS = st.builds(
    Budget,
    epsilon=st.sampled_from([0.1, 1.0, 10.0, math.inf]),
    delta=st.sampled_from([0.0, 1e-5]),
    neighbours=st.sampled_from(["add_remove", "replace"]),
)


def tables(cells, rows):
    """List every table of at most so many rows, as ascending cells."""
    for count in range(rows + 1):
        for places in combinations_with_replacement(range(cells), count):
            yield np.array(places, dtype=np.int64)


def with_row(places, cell):
    return np.sort(np.append(places, cell))


def each_cell(places, start, stop, quantile, epsilon):
    """Spread the chances of runs over their cells."""
    firsts, chances = cell_chances(places, start, stop, quantile, epsilon)
    lengths = np.diff(firsts)
    return np.repeat(chances / lengths, lengths)


def cuts_by_quantiles(places, start, stop, bins, epsilon):
    """Chances of every set of cuts, walking through all choices."""
    if bins == 1 or stop - start == 1:
        return {(): 1.0}
    found = Counter()
    left = bins // 2
    inside = places[(places >= start) & (places < stop)]
    for cell, chance in enumerate(each_cell(inside, start, stop, left / bins, epsilon), start):
        cut = max(cell, start + 1)
        lower = cuts_by_quantiles(places, start, cut, left, epsilon)
        upper = cuts_by_quantiles(places, cut, stop, bins - left, epsilon)
        for low, first in lower.items():
            for high, second in upper.items():
                found[(*low, cut, *high)] += chance * first * second
    return found


def cuts_by_tree(places, start, stop, depth, epsilon):
    """Chances of every tree, as the cuts it makes."""
    if stop - start == 1:
        return {(): 1.0}
    count = np.array([((places >= start) & (places < stop)).sum()])
    (split,) = split_chances(count, depth, epsilon)
    middle = (start + stop) // 2
    found = Counter[tuple[int, ...]]({(): 1 - split})
    for low, first in cuts_by_tree(places, start, middle, depth + 1, epsilon).items():
        for high, second in cuts_by_tree(places, middle, stop, depth + 1, epsilon).items():
            found[(*low, middle, *high)] += split * first * second
    return found


def log_ratio(one, other):
    """Largest log-ratio between two distributions, where their chances are not rounded to 0."""
    return max(abs(math.log(one[key] / other[key])) for key in one if one[key] > 1e-9)


# Privacy, by every table of a few rows


@pytest.mark.parametrize("quantile", [1 / 2, 1 / 3, 3 / 4])
def test_no_row_moves_the_chance_of_a_quantile_by_more_than_epsilon(quantile):
    epsilon, largest = 0.7, 0.0
    for places in tables(6, 4):
        before = each_cell(places, 0, 6, quantile, epsilon)
        assert before.sum() == pytest.approx(1.0)
        for cell in range(6):
            after = each_cell(with_row(places, cell), 0, 6, quantile, epsilon)
            largest = max(largest, np.abs(np.log(after / before)).max())
    assert epsilon / 2 < largest <= epsilon * ROUNDING


@pytest.mark.parametrize("bins", [3, 4])
def test_a_level_of_quantiles_costs_what_one_choice_costs(bins):
    # Two levels of epsilon each, whichever of the parts the row is in.
    epsilon, largest = 0.5, 0.0
    for places in tables(5, 3):
        before = cuts_by_quantiles(places, 0, 5, bins, epsilon)
        assert sum(before.values()) == pytest.approx(1.0)
        for cell in range(5):
            after = cuts_by_quantiles(with_row(places, cell), 0, 5, bins, epsilon)
            largest = max(largest, log_ratio(before, after))
    assert epsilon * (0.7 if bins == 3 else 1) < largest <= 2 * epsilon * ROUNDING


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 4.0])
def test_no_row_moves_the_chance_of_a_tree_by_more_than_epsilon(epsilon):
    largest = 0.0
    for counts in [*np.ndindex(3, 3, 3, 3), (9, 0, 0, 1), (40, 1, 0, 0), (200, 0, 3, 0)]:
        places = np.repeat(np.arange(4) * 2, counts)
        before = cuts_by_tree(places, 0, 8, 0, epsilon)
        assert sum(before.values()) == pytest.approx(1.0)
        for cell in range(8):
            after = cuts_by_tree(with_row(places, cell), 0, 8, 0, epsilon)
            largest = max(largest, log_ratio(before, after))
    assert epsilon / 2 < largest <= epsilon * ROUNDING


def deep_chances(counts, epsilon):
    """Chances to split on every depth of one path."""
    return np.array([split_chances(np.array([c]), i, epsilon)[0] for i, c in enumerate(counts)])


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(0, 400), min_size=1, max_size=40),
    epsilon=st.sampled_from([0.02, 0.3, 2.0]),
)
def test_a_tree_costs_the_same_at_any_depth(counts, epsilon):
    # A row is in one part of every depth; the worst outcome on its path is bounded for all splits
    # followed by one that is refused.
    path = np.sort(counts)[::-1]
    before, after = deep_chances(path, epsilon), deep_chances(path + 1, epsilon)
    splits = np.log(after / before)
    likely = after < 1 - 1e-9  # to be refused, to rounding
    refused = np.log((1 - before[likely]) / (1 - after[likely]))
    assert splits.sum() <= epsilon * ROUNDING
    assert (refused <= epsilon * ROUNDING).all()


@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_cuts_are_drawn_with_the_chances_that_were_checked(neighbours):
    places, epsilon = np.array([0, 0, 1, 3, 4]), 2.0
    per_row = epsilon if neighbours == "add_remove" else epsilon / 2
    expected = {
        quantile_cuts: cuts_by_quantiles(places, 0, 5, 4, per_row / 2),
        tree_cuts: cuts_by_tree(places, 0, 5, 0, per_row / 2),
    }
    rng = np.random.default_rng(1)
    for cuts, chances in expected.items():
        drawn = Counter()
        for _ in range(1_500):
            allowance = Allowance(Budget(epsilon, 0.0, neighbours))
            found = cuts(places, 5, 4 if cuts is quantile_cuts else 5, 1.0, allowance, rng)
            drawn[tuple(sorted(found.tolist()))] += 1
            assert allowance.left == pytest.approx(0.0)
        assert set(drawn) <= set(chances)
        common = [key for key, chance in chances.items() if chance * 1_500 > 5]
        observed = [drawn[key] for key in common]
        observed.append(1_500 - sum(observed))
        rest = 1 - sum(chances[key] for key in common)
        predicted = 1_500 * np.array([*(chances[key] for key in common), rest])
        keep = predicted > 1e-6
        test = stats.chisquare(np.array(observed)[keep], predicted[keep])
        assert test.pvalue > CHANCE


# The budget


@settings(max_examples=60, deadline=None)
@given(budget=BUDGETS, method=st.sampled_from(METHODS), bins=st.integers(1, 40))
def test_the_share_is_spent_where_rows_are_needed_and_nowhere_else(budget, method, bins):
    few = Column("few", "integer", minimum=1, maximum=3)
    constant = Column("constant", "continuous", minimum=2, maximum=2)
    name = Column("name", "categorical", ("a", "b"))
    many = Column("many", "continuous", minimum=0, maximum=1)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"few": [1, 3], "constant": [2.0, 2.0], "many": [0.1, 0.2]})
    table["name"] = name.from_codes(np.array([0, 1]))
    free = [c for c in (few, constant, name) if not needs_rows(c, bins)]
    allowance = Allowance(budget)
    discretise(table, Schema(tuple(free)), allowance, rng, method=method, bins=bins, share=0.3)
    assert allowance.left == 1.0
    assert allowance.ledger == ()
    every = Schema((few, constant, name, many))
    discretise(table, every, allowance, rng, method=method, bins=bins, share=0.3)
    assert allowance.left == pytest.approx(0.7 if bins > 1 else 1.0)
    spent = spent_epsilon(allowance.ledger, budget.delta, budget.neighbours)
    if budget.is_private and bins > 1:
        assert 0 < spent <= allowance.claimed_epsilon * (1 + 1e-6) < budget.epsilon
    else:
        assert allowance.ledger == ()


# Edges


@st.composite
def numeric(draw):
    kind = draw(st.sampled_from(["continuous", "integer", "datetime"]))
    low, high = draw(st.sampled_from([(0, 40), (-3, 10**9), (17, 90)]))
    if kind == "datetime":
        low, high = (pd.Timestamp(value, unit="s").isoformat() for value in (low, high))
    return Column("x", kind, minimum=low, maximum=high, missing=draw(st.booleans()))


@settings(max_examples=150, deadline=None)
@given(
    column=numeric(),
    budget=BUDGETS,
    method=st.sampled_from(METHODS),
    bins=st.integers(1, 40),
    rows=st.sampled_from([0, 1, 30]),
    seed=st.integers(0, 2**32),
)
def test_edges_lie_between_the_public_bounds(column, budget, method, bins, rows, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(column.lower, column.upper, rows)
    if column.missing:
        numbers[: rows // 3] = np.nan
    table = pd.DataFrame({"x": column.from_numbers(numbers)})
    schema = Schema((column,))
    domain = discretise(table, schema, Allowance(budget), rng, method=method, bins=bins)
    edges = domain.axes[0].edges
    margin = 0.0 if column.kind == "continuous" else 0.5
    assert (edges[0], edges[-1]) == (column.lower - margin, column.upper + margin)
    assert (np.diff(edges) > 0).all()
    assert len(edges) - 1 <= bins
    if column.kind != "continuous" and needs_rows(column, bins):
        assert (edges % 1 == 0.5).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("column", [WHOLE, Column("x", "continuous", minimum=-7, maximum=1_000)])
def test_what_is_outside_the_public_domain_counts_at_its_bound_or_nowhere(column, method):
    inside = np.array([-7.0, 1_000, 5, 1_000, 3])
    outside = np.array([-1e300, np.inf, 5, 1e9, 3, np.nan])
    edges = [
        discretise(
            pd.DataFrame({"x": numbers}),
            Schema((column,)),
            Allowance(Budget(1.0, 1e-5)),
            np.random.default_rng(3),
            method=method,
        )
        .axes[0]
        .edges
        for numbers in (inside, outside)
    ]
    assert edges[0].tolist() == edges[1].tolist()


def exact(numbers, method, bins):
    table = pd.DataFrame({"x": np.asarray(numbers, dtype=float)})
    rng = np.random.default_rng(0)
    return discretise(
        table, Schema((WHOLE,)), Allowance(Budget()), rng, method=method, bins=bins
    ).axes[0]


def test_without_a_budget_quantiles_are_exact():
    numbers = np.random.default_rng(0).permutation(1_008)[:512] - 7
    axis = exact(numbers, "quantile", 16)
    assert np.histogram(numbers, axis.edges)[0] == pytest.approx(np.full(16, 32), abs=2)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_budget_frequent_values_have_bins_of_their_own(method):
    numbers = np.repeat([-7, 40, 41, 1_000], [500, 300, 100, 100])
    axis = exact(numbers, method, {"quantile": 16, "privtree": 6}[method])
    cells = axis.codes(pd.Series(np.array([-7.0, -6, 39, 40, 41, 42, 999, 1_000])))
    assert len({*cells[[0, 3, 4]], cells[1]}) == 4
    if method == "privtree":
        assert len(np.unique(cells)) == 6  # 39 shares the bin of -6, and 42 that of 999


def test_mergers_keep_the_ends_of_unequal_densities():
    ends = np.array([0, 1, 2, 4, 8, 9, 16])
    counts = np.array([50.0, 0.0, 0.0, 0.0, 20.0, 70.0])
    assert merged(ends, counts, 4).tolist() == [0, 1, 8, 9, 16]
    assert merged(ends, counts, 6).tolist() == ends.tolist()
    assert merged(ends, counts, 1).tolist() == [0, 16]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="discretiser must be one of uniform, quantile, privtree"):
        exact([1], "kmeans", 4)


# Quality


def distances(table, schema, method, seeds=3):
    """Mean Kolmogorov-Smirnov distance of each column under noisy marginals at epsilon 1."""
    found = []
    for seed in range(seeds):
        model = DpMarginals(32, method)
        model.fit(table, schema=schema, budget=Budget(1.0, 1e-5), rng=np.random.default_rng(seed))
        made = model.sample(20_000, rng=np.random.default_rng(100 + seed))
        found.append([stats.ks_2samp(table[c].dropna(), made[c]).statistic for c in schema.names])
    return np.mean(found, axis=0)


def test_edges_that_follow_the_rows_are_closer_to_skewed_columns():
    rng = np.random.default_rng(0)
    smooth = Column("smooth", "continuous", minimum=0, maximum=1_000)
    spiked = Column("spiked", "integer", minimum=0, maximum=99_999)
    schema = Schema((smooth, spiked))
    gains = np.where(rng.random(20_000) < 0.9, 0, rng.lognormal(8, 1, 20_000))
    table = pd.DataFrame(
        {
            "smooth": smooth.from_numbers(rng.lognormal(2, 1, 20_000)),
            "spiked": spiked.from_numbers(gains),
        }
    )
    uniform, quantile, privtree = (
        distances(table, schema, method) for method in ("uniform", "quantile", "privtree")
    )
    assert (quantile < uniform / 5).all()
    assert (privtree < uniform / 10).all()


@pytest.mark.slow
def test_edges_that_follow_the_rows_are_closer_to_adult():
    folder = os.environ.get("SYNTHARENA_DATA")
    path = Path(folder or ".") / "adult.csv.gz"
    if not path.exists():
        pytest.skip("adult.csv.gz is neither shipped nor in SYNTHARENA_DATA")
    upper = {"fnlwgt": 1_500_000, "capital-gain": 99_999, "capital-loss": 4_400}
    schema = Schema(tuple(Column(c, "integer", minimum=0, maximum=m) for c, m in upper.items()))
    table = schema.conform(pd.read_csv(path)[[*upper]])
    uniform, quantile, privtree = (
        distances(table, schema, method, seeds=10) for method in ("uniform", "quantile", "privtree")
    )
    assert (quantile < uniform).all()
    assert (privtree < uniform / 2).all()
    assert privtree.max() < 0.02
