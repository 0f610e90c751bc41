"""PrivBayes: scores against definitions, its noise, its ledger, and what its network learns."""

import itertools
import math
import os
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
from syntharena.generators.distributions.parents import (
    SCORES,
    SENSITIVITY,
    Node,
    candidates,
    parent_sets,
)
from syntharena.generators.privbayes import PrivBayes

CHANCE = 1e-4  # p-value below which a test of a random table fails
BUDGETS = st.builds(
    Budget,
    epsilon=st.sampled_from([0.1, 1.0, 10.0]),
    delta=st.sampled_from([0.0, 1e-5]),
    neighbours=st.sampled_from(["add_remove", "replace"]),
)
MIXED = Schema(
    (
        Column("x", "continuous", minimum=-1, maximum=3, missing=True),
        Column("k", "integer", minimum=0, maximum=4),
        Column("c", "categorical", ("a", "b", "c"), missing=True),
        Column("one", "categorical", ("only",)),
        Column("d", "boolean"),
    )
)


def fitted(table, schema, budget, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return PrivBayes(**settings).fit(table, schema=schema, budget=budget, rng=rng)


def category_table(codes, categories):
    """Make a table of categories "0", "1", ... from codes of shape (rows, columns)."""
    names = tuple(map(str, range(categories)))
    columns = [Column(f"c{i}", "categorical", names) for i in range(codes.shape[1])]
    schema = Schema(tuple(columns))
    made = {c.name: c.from_codes(codes[:, i]) for i, c in enumerate(columns)}
    return schema.assemble(made), schema


def binary_table(rows, columns, seed=0):
    return category_table(np.random.default_rng(seed).integers(2, size=(rows, columns)), 2)


def mixed_table(rows, seed=0):
    rng = np.random.default_rng(seed)
    x, k, c, one, d = MIXED.columns
    return MIXED.assemble(
        {
            "x": x.from_numbers(np.where(rng.random(rows) < 0.2, np.nan, rng.uniform(-1, 3, rows))),
            "k": k.from_numbers(rng.integers(5, size=rows)),
            "c": c.from_codes(rng.integers(-1, 3, size=rows)),
            "one": one.from_codes(np.zeros(rows, dtype=np.int64)),
            "d": d.from_codes(rng.integers(2, size=rows)),
        }
    )


# Scores


def splits_of_parents(counts):
    """Give the paper's F of a table by trying every split of the parents."""
    half, best = counts.sum() / 2, math.inf
    for sides in itertools.product([0, 1], repeat=len(counts)):
        held = [
            sum(c[side] for c, s in zip(counts, sides, strict=True) if s == side) for side in (0, 1)
        ]
        best = min(best, sum(max(half - rows, 0) for rows in held))
    return -best


def test_scores_agree_with_their_definitions():
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(6, size=(rng.integers(1, 6), 2)) * rng.integers(2, size=2)
        counts[0, 0] += 1
        rows = counts.sum()
        shares = counts / rows
        independent = np.outer(shares.sum(axis=1), shares.sum(axis=0))
        distance = np.abs(shares - independent).sum() / 2
        information = mutual_info_score(None, None, contingency=counts)
        assert SCORES["R"](counts) == pytest.approx(rows * distance)
        assert SCORES["I"](counts) == pytest.approx(rows * information, abs=1e-9)
        assert SCORES["F"](counts) == splits_of_parents(counts)


def small_tables():
    """Tables of counts that brute force covers, and large uneven ones."""
    for shape in [(1, 2), (2, 2), (3, 2)]:
        for cells in itertools.product(range(4), repeat=math.prod(shape)):
            yield np.array(cells).reshape(shape)
    rng = np.random.default_rng(0)
    for top in (3, 100, 10_000):
        for _ in range(200):
            yield rng.integers(top, size=(4, 2)) * rng.integers(2, size=(4, 2))
    yield np.array([[5_000, 0], [0, 0]])
    yield np.array([[5_000, 0], [0, 5_000]])


@pytest.mark.parametrize(("score", "reached"), [("R", 1.99), ("F", 1.0), ("I", None)])
def test_no_row_moves_a_score_by_more_than_its_sensitivity(score, reached):
    largest = 0.0
    for counts in small_tables():
        before = SCORES[score](counts)
        for cell in np.ndindex(counts.shape):
            counts[cell] += 1
            moved = abs(SCORES[score](counts) - before)
            limit = math.log(counts.sum()) + 1 if score == "I" else SENSITIVITY[score]
            assert moved <= limit + 1e-9
            largest = max(largest, moved)
            counts[cell] -= 1
    assert largest <= SENSITIVITY[score]
    assert reached is None or largest >= reached


# Parents


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=7),
    limit=st.floats(0.5, 300),
    most=st.sampled_from([1, 3, 10_000]),
)
def test_parent_sets_are_the_maximal_ones(sizes, limit, most):
    cells = np.array(sizes)
    chosen = range(len(sizes))
    fitting = {
        s
        for length in range(len(sizes) + 1)
        for s in itertools.combinations(chosen, length)
        if math.prod(sizes[i] for i in s) <= limit
    }
    maximal = {s for s in fitting if not any(set(s) < set(other) for other in fitting)} or {()}
    found = parent_sets(chosen, cells, limit, most, np.random.default_rng(0))
    assert len(found) == len(set(found)) <= most
    assert set(found) <= maximal
    assert set(found) == maximal or len(maximal) > most


def test_candidates_are_every_pair_or_as_many_as_asked_for():
    sizes = np.full(8, 2)
    rng = np.random.default_rng(0)
    every = candidates([0, 1, 2, 3, 4], sizes, 8.0, 1_000, rng)
    pairs = itertools.product([5, 6, 7], itertools.combinations(range(5), 2))
    assert sorted(every) == sorted(Node(column, parents) for column, parents in pairs)
    few = candidates([0, 1, 2, 3, 4], sizes, 8.0, 12, rng)
    assert set(few) < set(every)
    assert len(few) <= 12
    assert {node.column for node in few} == {5, 6, 7}


def test_fifty_columns_do_not_take_forever():
    sizes = np.array([2, 4, 4, 9, 16] * 10)
    found = parent_sets(range(50), sizes, 3_000.0, 50, np.random.default_rng(0))
    assert len(found) > 40


# The noise


@pytest.mark.parametrize(
    ("neighbours", "rows", "scale"), [("add_remove", 2_200, 24.0), ("replace", 4_400, 48.0)]
)
def test_noise_scale_is_that_of_the_paper(neighbours, rows, scale):
    # 15 binary columns, degree 3, epsilon 1: 2 (15 - 3) / 0.5 where a row is replaced, half of it
    # where it is added.
    model = fitted(*binary_table(rows, 15), Budget(1.0, 0.0, neighbours))
    assert max(len(node.parents) for node in model.nodes_) == 3
    (event,) = [event for event in model.ledger if event.purpose == "marginals"]
    assert event.count == 12
    assert event.scale == pytest.approx(scale, rel=1e-12)
    assert {counts.size for counts in model.marginals_.values()} == {16}


def exact_marginal(table, schema, scope):
    """Count the cells of some columns of categories."""
    shape = [len(schema.columns[i].categories) for i in scope]
    codes = [table.iloc[:, i].cat.codes.to_numpy(dtype=np.int64) for i in scope]
    cells = np.ravel_multi_index(codes, shape)
    return np.bincount(cells, minlength=math.prod(shape)).reshape(shape)


def test_every_cell_has_noise_of_the_exact_distribution():
    # All rows are equal, so nearly every cell is empty.
    table, schema = category_table(np.zeros((2_200, 15), dtype=np.int64), 2)
    noise = []
    for seed in range(12):
        model = fitted(table, schema, Budget(1.0, 0.0), seed)
        for scope, counts in model.marginals_.items():
            noise.append((counts - exact_marginal(table, schema, scope)).ravel())
    drawn = np.concatenate(noise)
    assert len(drawn) == 12 * 12 * 16
    law = stats.dlaplace(1 / 24)
    uniform = law.cdf(drawn - 1) + np.random.default_rng(0).random(len(drawn)) * law.pmf(drawn)
    assert stats.kstest(uniform, "uniform").pvalue > CHANCE


@settings(max_examples=40, deadline=None)
@given(budget=BUDGETS, rows=st.sampled_from([1, 5_000]), bins=st.sampled_from([3, 16]))
def test_the_ledger_spends_the_budget_and_no_more(budget, rows, bins):
    model = fitted(mixed_table(rows), MIXED, budget, bins=bins)
    spent = spent_epsilon(model.ledger, budget.delta, budget.neighbours)
    assert spent <= model.claimed_epsilon * (1 + 1e-6) <= budget.epsilon * (1 + 2e-6)
    assert spent == pytest.approx(budget.epsilon, rel=0.2 if budget.delta else 1e-6)
    choices = [event for event in model.ledger if event.purpose == "parents"]
    assert sum(event.count for event in choices) in (0, 4)


def test_the_number_of_rows_is_noisy():
    table, schema = binary_table(1_000, 3)
    rows = np.array([fitted(table, schema, Budget(1.0, 0.0), s).rows_[0] for s in range(200)])
    assert len(np.unique(rows)) > 50
    assert rows.std() == pytest.approx(math.sqrt(2) / 0.025, rel=0.4)


# What the model learns


def chain(rows, seed=0):
    """Draw a chain of columns of 3 categories, each equal to the one before in 4 of 5 rows."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=(rows, 5))
    for column in range(1, 5):
        same = rng.random(rows) < 0.7
        codes[same, column] = codes[same, column - 1]
    return category_table(codes[:, [2, 0, 4, 1, 3]], 3)


@pytest.mark.parametrize("score", ["R", "I"])
def test_without_a_budget_a_chain_is_found_and_drawn(score):
    table, schema = chain(20_000)
    model = fitted(table, schema, Budget(), score=score, max_cells=9)
    order = [2, 0, 4, 1, 3]
    pairs = {frozenset((order[n.column], order[p])) for n in model.nodes_ for p in n.parents}
    assert pairs == {frozenset((i, i + 1)) for i in range(4)}
    assert model.ledger == ()
    drawn = model.sample(40_000, rng=np.random.default_rng(1))
    for scope in itertools.combinations(range(5), 2):
        real, made = (exact_marginal(t, schema, scope) / len(t) for t in (table, drawn))
        assert made == pytest.approx(real, abs=0.02)


def test_score_f_finds_what_determines_a_column():
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=(3_000, 4))
    codes[:, 3] = codes[:, 0] ^ codes[:, 2]
    model = fitted(*category_table(codes, 2), Budget(), score="F", max_cells=8)
    scopes = {node.scope for node in model.nodes_}
    assert (0, 2, 3) in scopes
    assert "binary" in PrivBayes(score="F").skip(MIXED, Budget())


def test_parents_that_no_row_has_stand_back():
    codes = np.array([[0, 0], [0, 1], [0, 1], [0, 1]])
    table, schema = category_table(codes, 3)
    model = fitted(table, schema, Budget())
    model.nodes_ = [Node(0, ()), Node(1, (0,))]
    assert model._conditional(Node(1, (0,))) == pytest.approx(np.tile([0.25, 0.75, 0.0], (3, 1)))


def test_values_that_the_schema_does_not_know_teach_nothing():
    table = mixed_table(60)
    more = pd.concat([table, table.iloc[:1]], ignore_index=True)
    more["c"] = more["c"].astype(object)
    more.loc[60, "c"] = "RARE"
    more["c"] = more["c"].astype("category")
    one, other = (fitted(t, MIXED, Budget(1.0, 0.0), discretiser="uniform") for t in (table, more))
    assert one.nodes_ == other.nodes_
    for key, released in one.release.items():
        assert (released == other.release[key]).all()
    assert "RARE" not in set(other.sample(500, rng=np.random.default_rng(0))["c"])


def test_release_names_what_was_asked():
    table, schema = chain(3_000)
    model = fitted(table, schema, Budget(1.0, 1e-5))
    released = dict(model.release)
    assert released.pop("number of rows").shape == (1,)
    network = released.pop("network")
    assert network.shape == (5, 5)
    assert network.sum() == sum(len(node.parents) for node in model.nodes_)
    assert model.parameters == sum(map(np.size, released.values()))
    for name, counts in released.items():
        columns = name.split(" x ")
        assert set(columns) <= set(schema.names)
        assert counts.shape == (3,) * len(columns)


@settings(max_examples=40, deadline=None)
@given(budget=BUDGETS, rows=st.sampled_from([1, 40]), seed=st.integers(0, 2**32))
def test_rows_stay_inside_the_schema_at_any_noise(budget, rows, seed):
    model = fitted(mixed_table(rows, seed), MIXED, budget, seed)
    made = model.sample(100, rng=np.random.default_rng(seed))
    assert MIXED.problems(made, 100) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "MI"}, "score must be one of R, I, F"),
        ({"theta": 0.0}, "theta must be > 0"),
        ({"selection_share": 1.0}, "selection_share must be in"),
        ({"bins": 0}, "bins must be a whole number >= 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        fitted(*chain(10), Budget(), **settings)


# Utility


def variation(table, schema, budget, seeds, order):
    """Mean total variation distance of all marginals of an order, for each seed."""
    scopes = list(itertools.combinations(range(len(schema)), order))
    found = []
    for seed in range(seeds):
        model = fitted(table, schema, budget, seed)
        made = model.sample(len(table), rng=np.random.default_rng(100 + seed))
        found.append(
            np.mean(
                [
                    np.abs(exact_marginal(table, schema, s) - exact_marginal(made, schema, s)).sum()
                    for s in scopes
                ]
            )
            / (2 * len(table))
        )
    return np.array(found)


def test_utility_grows_with_epsilon():
    table, schema = chain(4_000)
    errors = [variation(table, schema, Budget(e, 1e-5), 6, 2).mean() for e in (0.05, 0.5, 5.0)]
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.5 * errors[2]


@pytest.mark.slow
def test_marginals_of_nltcs_come_closer_with_epsilon():
    folder = os.environ.get("SYNTHARENA_DATA")
    path = Path(folder or ".") / "privbayes_nltcs.csv.gz"
    if not path.exists():
        pytest.skip("privbayes_nltcs.csv.gz is neither shipped nor in SYNTHARENA_DATA")
    codes = pd.read_csv(path).apply(lambda values: pd.factorize(values, sort=True)[0])
    table, schema = category_table(codes.to_numpy(dtype=np.int64), 2)
    assert table.shape == (21_574, 16)
    budgets = [Budget(e, 0.0, "replace") for e in (0.05, 0.2, 0.8, 1.6)]
    errors = [variation(table, schema, budget, 5, 3).mean() for budget in budgets]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.3
    assert errors[-1] < 0.06
