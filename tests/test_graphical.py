"""The graphical model against mbi, against brute force on small domains, and against closed forms."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.generators.distributions.beliefs import MOST_CELLS, Model
from syntharena.generators.distributions.graphical import (
    PATIENCE,
    Measurement,
    estimate,
    estimate_total,
)
from syntharena.generators.distributions.junction import JunctionTree, cells_with

CHANCE = 1e-4  # p-value below which a test of a random table fails
MBI = json.loads((Path(__file__).parent / "fixtures" / "mbi.json").read_text())


@st.composite
def problems(draw):
    """Draw column sizes and cliques: any, also of no column, of size 1, and far apart."""
    columns = draw(st.integers(1, 6))
    sizes = draw(st.lists(st.integers(1, 4), min_size=columns, max_size=columns))
    clique = st.lists(st.integers(0, columns - 1), min_size=1, max_size=3, unique=True)
    cliques = draw(st.lists(clique.map(tuple), min_size=1, max_size=6))
    return sizes, cliques


def measured(sizes, cliques, deviation, seed=0, rows=500):
    """Measure marginals of a table whose columns hang together."""
    rng = np.random.default_rng(seed)
    common = rng.random(rows)
    table = np.stack([((common + rng.random(rows) / 2) * size / 1.5) for size in sizes], axis=1)
    exact = [np.histogramdd(table[:, c], [np.arange(sizes[i] + 1) for i in c])[0] for c in cliques]
    return [
        Measurement(clique, counts + rng.normal(0, deviation, counts.shape), deviation)
        for clique, counts in zip(cliques, exact, strict=True)
    ]


def joint(model, sizes):
    """Multiply all potentials over the whole domain."""
    logits = np.zeros(sizes)
    for clique, array in model.potentials.items():
        logits = logits + array.reshape([s if i in clique else 1 for i, s in enumerate(sizes)])
    shares = np.exp(logits - logits.max())
    return model.total * shares / shares.sum()


def projected(array, clique):
    """Sum an array over all columns down to some, in their order."""
    others = tuple(axis for axis in range(array.ndim) if axis not in clique)
    return array.sum(axis=others).transpose(np.argsort(np.argsort(clique)))


def loss(model, measurements):
    return sum(
        ((model.marginal(m.clique) - m.counts) ** 2 / m.variance).sum() / 2 for m in measurements
    )


# Against brute force


@settings(max_examples=60, deadline=None)
@given(problem=problems(), deviation=st.sampled_from([0.0, 5.0, 200.0]), data=st.data())
def test_marginals_are_those_of_the_product_of_potentials(problem, deviation, data):
    sizes, cliques = problem
    model = estimate(sizes, measured(sizes, cliques, deviation), iterations=60)
    whole = joint(model, sizes)
    columns = data.draw(st.permutations(range(len(sizes))))
    for size in range(1, len(sizes) + 1):
        clique = tuple(columns[:size])
        assert model.marginal(clique) == pytest.approx(projected(whole, clique), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_junction_trees_hold_every_clique_and_run_together(problem):
    sizes, cliques = problem
    tree = JunctionTree.of(sizes, cliques)
    assert sorted(tree.columns) == list(range(len(sizes)))
    for clique in cliques:
        places = tree.sorted_places(clique)
        assert set(places) <= set(tree.bags[places[0]])
    for separator, parent in zip(tree.separators, tree.parents, strict=True):
        assert parent is None or set(separator) <= set(tree.bags[parent])


@settings(max_examples=60, deadline=None)
@given(problem=problems(), more=problems())
def test_the_cells_of_a_larger_model_are_foreseen(problem, more):
    sizes, cliques = problem
    candidates = [clique for clique in more[1] if max(clique) < len(sizes)]
    foreseen = cells_with(sizes, cliques, candidates)
    assert foreseen == [JunctionTree.of(sizes, [*cliques, c]).cells for c in candidates]


def test_a_model_of_many_columns():
    sizes = [2] * 70
    pairs = [(i, i + 1) for i in range(69)]
    model = estimate(sizes, measured(sizes, pairs, 1.0))
    assert model.marginal((0, 69)).shape == (2, 2)
    assert model.codes(10, np.random.default_rng(0)).shape == (10, 70)


# Against mbi


@pytest.mark.parametrize("name", MBI)
def test_agrees_with_mbi(name):
    problem = MBI[name]
    measurements = [
        Measurement(tuple(m["clique"]), np.array(m["counts"]), problem["deviation"])
        for m in problem["measurements"]
    ]
    model = estimate(problem["sizes"], measurements, iterations=20_000, tolerance=0)
    assert model.total == pytest.approx(problem["total"], rel=1e-12)
    for pair in problem["pairs"]:
        theirs = np.array(pair["counts"])
        assert model.marginal(tuple(pair["clique"])) == pytest.approx(theirs, abs=1e-3)
    usual = loss(estimate(problem["sizes"], measurements), measurements)
    assert usual <= problem["loss_after_1000"] * 1.001


# Against closed forms


def test_a_chain_is_the_product_of_its_conditionals():
    first = np.array([[300.0, 100, 40], [50, 200, 310]])
    second = np.array([[250.0, 100], [150, 150], [20, 330]])
    model = estimate(
        [2, 3, 2], [Measurement((0, 1), first, 0), Measurement((2, 1), second.T, 0)], tolerance=0
    )
    ends = np.einsum("ab,bc,b->ac", first, second, 1 / first.sum(axis=0))
    assert model.total == pytest.approx(1000)
    assert model.marginal((0, 1)) == pytest.approx(first, abs=0.01)
    assert model.marginal((0, 2)) == pytest.approx(ends, abs=0.01)


def test_what_was_not_asked_is_uniform():
    model = estimate([4, 3], [Measurement((0,), np.array([10.0, 20, 30, 40]), 0)], tolerance=0)
    assert model.marginal((1, 0)) == pytest.approx(
        np.outer([1 / 3] * 3, [10, 20, 30, 40]), abs=0.01
    )


def test_conflicting_counts_are_weighted_by_their_precision():
    counts = np.array([[600.0, 400], [500, 500]])
    asked = [Measurement((0,), counts[0], 1.0), Measurement((0,), counts[1], 3.0)]
    model = estimate([2], asked, tolerance=0)
    assert model.marginal((0,)) == pytest.approx([590, 410], abs=0.01)


def test_each_cell_has_a_precision_of_its_own():
    # The counts exceed the known total by 90; each cell gives way by its variance, 1 to 4 to 4.
    asked = Measurement((0,), np.array([300.0, 400, 390]), np.array([1.0, 2.0, 2.0]))
    model = estimate([3], [asked], total=1000, tolerance=0)
    assert model.marginal((0,)) == pytest.approx([290, 360, 350], abs=0.01)


def test_the_total_has_the_least_variance():
    asked = [
        Measurement((0,), np.array([10.0, 20]), 2.0),  # 30 with variance 8
        Measurement((1,), np.array([10.0, 10, 10, 24]), 3.0),  # 54 with variance 36
        Measurement((), np.array(41.0), 1.0),  # 41 with variance 1
    ]
    expected = (30 / 8 + 54 / 36 + 41) / (1 / 8 + 1 / 36 + 1)
    assert estimate_total(asked) == pytest.approx(expected)
    assert estimate([2, 4], asked).total == pytest.approx(expected)
    assert estimate_total([Measurement((0,), np.array([-5.0, 1]), 2.0)]) == 1


def test_nothing_asked_but_the_number_of_rows():
    model = estimate([2, 5], [Measurement((), np.array(50.0), 1.0)])
    assert model.marginal((0, 1)) == pytest.approx(np.full((2, 5), 5.0))


def test_negative_counts_become_rare_cells():
    counts = np.array([700.0, -40, 350, -10])
    model = estimate([4], [Measurement((0,), counts, 10.0)], iterations=5000, tolerance=0)
    nearest = np.array([675.0, 0, 325, 0])  # on the simplex of 1000 rows
    assert model.marginal((0,)) == pytest.approx(nearest, abs=1)


# Steps


def test_a_start_is_continued_and_a_new_clique_begins_at_zero():
    sizes, cliques = [3, 4, 3], [(0, 1), (1, 2)]
    asked = measured(sizes, [*cliques, (0, 2)], 2.0)
    before = estimate(sizes, asked[:2])
    again = estimate(sizes, asked, start=before, iterations=0)
    assert again.potentials[0, 2] == pytest.approx(np.zeros((3, 3)))
    assert again.marginal((0, 1)) == pytest.approx(before.marginal((0, 1)), rel=1e-2)
    warm, cold = (estimate(sizes, asked, start=s, iterations=10) for s in (before, None))
    assert loss(warm, asked) < loss(cold, asked)


def test_more_steps_never_fit_worse():
    sizes, cliques = [4, 5, 3, 4], [(0, 1), (1, 2), (2, 3), (0, 3)]
    asked = measured(sizes, cliques, 30.0)
    losses = [
        loss(estimate(sizes, asked, iterations=i, tolerance=0), asked) for i in range(0, 90, 5)
    ]
    assert (np.diff(losses) <= 1e-9 * losses[0]).all()


def test_the_deadline_ends_an_estimate():
    asked = measured([4, 5], [(0, 1)], 30.0)
    cut = estimate([4, 5], asked, tolerance=0, deadline=-math.inf)
    same = estimate([4, 5], asked, tolerance=0, iterations=PATIENCE)
    assert (cut.marginal((0, 1)) == same.marginal((0, 1))).all()


def test_models_beyond_memory_are_refused():
    sizes = [400, 400, 500]
    pairs = [Measurement(c, np.zeros((400, 400)), 1.0) for c in [(0, 1)]]
    triple = [Measurement((2,), np.zeros(500), 1.0), *pairs]
    with pytest.raises(ValueError, match=f"{MOST_CELLS} cells, this one takes 80000000"):
        estimate(sizes, triple, iterations=0).marginal((0, 1, 2))
    loop = [Measurement(c, np.zeros([sizes[i] for i in c]), 1.0) for c in [(0, 1), (1, 2), (0, 2)]]
    with pytest.raises(ValueError, match="measure fewer or smaller marginals"):
        estimate(sizes, loop)


# Rows


def model_of(joint_counts):
    """Wrap the distribution of a table of counts over two columns."""
    tree = JunctionTree.of(joint_counts.shape, [(0, 1)])
    shares = joint_counts.transpose(tree.columns) / joint_counts.sum()
    first = shares.sum(axis=1)
    return Model(tree, [first, (shares / first[:, None]).T], joint_counts.sum(), {})


def test_whole_counts_are_drawn_exactly():
    counts = np.array([[5, 0, 12], [7, 31, 4], [1, 1, 9]])
    codes = model_of(counts).codes(counts.sum(), np.random.default_rng(0))
    drawn = np.zeros_like(counts)
    np.add.at(drawn, tuple(codes.T), 1)
    assert (drawn == counts).all()


@settings(max_examples=40, deadline=None)
@given(problem=problems(), rows=st.integers(0, 300), seed=st.integers(0, 2**32))
def test_each_group_of_rows_has_the_counts_it_should_to_the_next_whole_number(problem, rows, seed):
    sizes, cliques = problem
    model = estimate(sizes, measured(sizes, cliques, 5.0), iterations=30)
    codes = model.codes(rows, np.random.default_rng(seed))
    assert codes.shape == (rows, len(sizes))
    assert ((codes >= 0) & (codes < sizes)).all()
    for bag, conditional in zip(model.tree.bags, model.conditionals, strict=True):
        columns = [model.tree.columns[place] for place in bag]
        drawn = np.zeros(conditional.shape)
        np.add.at(drawn, tuple(codes[:, columns].T), 1)
        assert (np.abs(drawn - conditional * drawn.sum(axis=0)) < 1 + 1e-6).all()


def test_rows_are_drawn_without_bias_or_ties_between_columns():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 30, size=(3, 4))
    sizes = [3, 4, 5]
    model = estimate(sizes, [Measurement((0, 1), counts * 1.0, 0)], tolerance=0)
    drawn = np.zeros(sizes)
    for _ in range(3000):
        np.add.at(drawn, tuple(model.codes(7, rng).T), 1)
    expected = np.multiply.outer(model.marginal((0, 1)), np.full(5, 1 / 5))
    expected *= drawn.sum() / expected.sum()
    assert stats.chisquare(drawn.ravel(), expected.ravel()).pvalue > CHANCE
    wide = model.codes(30_000, rng)
    table = np.zeros(sizes)
    np.add.at(table, tuple(wide.T), 1)
    for pair in itertools.combinations(range(3), 2):
        near = projected(table, pair) - model.marginal(pair) * 30_000 / model.total
        assert np.abs(near).sum() / 60_000 < 0.02
