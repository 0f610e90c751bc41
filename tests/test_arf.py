"""Adversarial random forests: leaves, densities and conditions against closed forms and oracles."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from truths import TRUTHS

from syntharena.bench.contracts import Budget
from syntharena.bench.probes import schemas, table
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.arf import Arf
from syntharena.generators.forests.adversarial import grow
from syntharena.generators.forests.leaf_densities import LeafDensity
from syntharena.generators.forests.leaves import Leaves

CHANCE = 1e-4  # p-value below which a test of a random table fails


def fitted(train, schema, seed=0, checkpoint=None, **settings):
    arf = Arf(**settings)
    arf.seen = []
    arf.progress = lambda step, total, **losses: arf.seen.append((step, total, losses["accuracy"]))
    if checkpoint is not None:
        arf.checkpoint = checkpoint
    return arf.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def sampled(arf, n, seed=1, **settings):
    return arf.sample(n, rng=np.random.default_rng(seed), **settings)


def gaussian(rows=500, missing=0.0, seed=0):
    """Rows of two correlated numbers and their sign, as trees see them."""
    rng = np.random.default_rng(seed)
    x, y = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=rows).T
    seen = np.column_stack([x, y, x > 0]).astype(np.float32)
    seen[rng.random(rows) < missing, 1] = np.nan
    return seen


def forest(seen, seed=0, **settings):
    rng = np.random.default_rng(seed)
    independent = np.take_along_axis(seen, rng.integers(len(seen), size=seen.shape), axis=0)
    options = {"trees": 4, "min_leaf": 2, "min_split": 2} | settings
    return grow(seen, independent, {2: 2}, rng=rng, **options)


# Leaves


@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("min_leaf", [1, 2, 7, 400, 501])
def test_every_row_lies_in_one_box_of_each_tree_and_none_is_too_small(missing, min_leaf):
    seen = gaussian(missing=missing)
    leaves, _ = forest(seen, min_leaf=min_leaf)
    trees = leaves.of_pairs.reshape(4, 500)
    assert (trees.max(axis=1)[:-1] < trees.min(axis=1)[1:]).all()
    assert leaves.sizes.min() >= min(min_leaf, 500)
    assert leaves.sizes.sum() == 4 * 500
    numbers = seen[leaves.rows_of_pairs, :2]  # the third column is shuffled
    lower, upper = leaves.lower[leaves.of_pairs, :2], leaves.upper[leaves.of_pairs, :2]
    assert np.all(np.isnan(numbers) | ((numbers > lower) & (numbers <= upper)))


def test_small_branches_go_to_their_siblings_and_only_they_do():
    seen = gaussian()
    whole, pruned = (forest(seen, min_leaf=least)[0] for least in (1, 3))
    small = whole.sizes[whole.of_pairs] < 3
    together = pd.DataFrame({"whole": whole.of_pairs, "pruned": pruned.of_pairs})[~small]
    assert small.any()
    for one, other in (("whole", "pruned"), ("pruned", "whole")):
        leaves = together.groupby(one)[other]
        assert (leaves.min() == leaves.max()).all()


def test_donors_come_from_their_leaf_evenly_and_leaves_by_their_rows():
    of_pairs = np.array([0, 0, 0, 1, 2, 2, 3, 3])  # two trees of four rows
    leaves = Leaves(of_pairs, np.zeros((4, 1)), np.zeros((4, 1)), 4)
    rng = np.random.default_rng(0)
    chosen = leaves.draw(40_000, rng)
    assert stats.chisquare(np.bincount(chosen), [15_000, 5_000, 10_000, 10_000]).pvalue > CHANCE
    donors = leaves.donors(chosen, rng)
    assert stats.chisquare(np.bincount(donors[chosen == 0])).pvalue > CHANCE
    assert set(donors[chosen == 1]) == {3}
    assert set(donors[chosen == 3]) == {2, 3}


def test_a_forest_tells_dependent_columns_and_no_others():
    seen = gaussian(2_000)
    assert forest(seen, trees=20)[1] > 0.7
    rng = np.random.default_rng(1)
    alone = np.column_stack([rng.random((2_000, 2)), rng.integers(2, size=2_000)])
    assert forest(alone.astype(np.float32), trees=20)[1] == pytest.approx(0.5, abs=0.06)


def test_threads_change_nothing(monkeypatch):
    seen = gaussian()
    one = forest(seen)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    three = forest(seen)
    assert one[1] == three[1]
    assert np.array_equal(one[0].of_pairs, three[0].of_pairs)


# Densities


def density(column, values, of_pairs, low, high, own_share=2.0):
    """Learn one column from the leaves of one tree, whose boxes are ranks of values."""
    ends = (np.array(end, dtype=np.float32)[:, None] for end in (low, high))
    leaves = Leaves(np.array(of_pairs), *ends, len(values))
    values = np.array(values, dtype=float)
    return LeafDensity.of(column, values, leaves, 0, own_share), leaves


def test_numbers_are_drawn_from_the_truncated_normal_of_their_leaf():
    values = np.concatenate([np.linspace(-1, 0, 50), np.linspace(0.1, 3, 70)])
    normal, leaves = density(
        Column("x", "continuous"),
        values,
        np.repeat([0, 1], [50, 70]),
        [-np.inf, 49.5],
        [49.5, np.inf],
    )
    chosen = np.random.default_rng(0).permutation(np.repeat([0, 1], 5_000))
    drawn = normal.draw(leaves, chosen, np.random.default_rng(1))
    edge = 0.05  # between the ranks of 0 and 0.1
    for leaf, part, (low, high) in ((0, values[:50], (-1, edge)), (1, values[50:], (edge, 3))):
        mean, deviation = part.mean(), part.std(ddof=1)
        ends = (low - mean) / deviation, (high - mean) / deviation
        truth = stats.truncnorm(*ends, loc=mean, scale=deviation)
        assert stats.kstest(drawn[chosen == leaf], truth.cdf).pvalue > CHANCE
        asked = np.linspace(low + 0.01, high - 0.01, 9)
        densities = normal.masses(leaves, asked).toarray()[:, leaf]
        ratio = densities / truth.pdf(asked)
        assert ratio == pytest.approx(np.full(9, ratio[0]), rel=1e-4)
        outside = normal.masses(leaves, np.array([low - 0.01, high + 0.01])).toarray()[:, leaf]
        assert outside.tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["integer", "continuous"])
@pytest.mark.parametrize("own_share", [0.05, 0.2, 2.0])
def test_the_masses_of_all_values_add_up_to_one_in_each_leaf(kind, own_share):
    rng = np.random.default_rng(0)
    values = np.where(rng.random(300) < 0.3, 7.0, rng.integers(0, 40, 300))
    values[rng.random(300) < 0.1] = np.nan
    scale = 0.01 if kind == "continuous" else 1.0
    column = Column("x", kind, minimum=-1, maximum=50, decimals=2, missing=True)
    of_pairs = rng.integers(0, 4, 300)
    of_pairs[values == 3] = 4  # a leaf with a single number
    normal, leaves = density(
        column, values * scale, of_pairs, [-np.inf] * 5, [np.inf] * 5, own_share
    )
    asked = np.append(np.arange(0, 40) * scale, np.nan)
    masses = normal.masses(leaves, asked).toarray()
    assert masses.sum(axis=0) == pytest.approx(np.ones(5), abs=1e-3)
    assert masses[3, 4] == pytest.approx(1)
    seen = np.isnan(values[of_pairs == 0]).mean()
    assert masses[-1, 0] == pytest.approx(seen)


def test_far_tails_keep_their_order():
    values = np.append(np.random.default_rng(0).normal(size=400), [-30.0, 30.0])
    of_pairs = np.append(np.zeros(400, dtype=int), [1, 1])
    normal, leaves = density(
        Column("x", "continuous"), values, of_pairs, [-np.inf] * 2, [np.inf] * 2
    )
    masses = np.log(normal.masses(leaves, np.array([5.0, 10.0, 15.0, -15.0])).toarray()[:, 0])
    assert masses[0] > masses[1] > masses[2] > -np.inf
    assert masses[2] - masses[1] == pytest.approx((10**2 - 15**2) / 2, rel=0.3)
    assert masses[3] == pytest.approx(masses[2], rel=0.3)


def test_frequent_numbers_have_shares_of_their_own():
    rng = np.random.default_rng(0)
    amount = np.where(rng.random(2_000) < 0.6, 0.0, rng.exponential(100, 2_000))
    schema = Schema((Column("amount", "continuous"), Column("y", "continuous")))
    train = pd.DataFrame({"amount": amount, "y": rng.random(2_000)})
    made = sampled(fitted(train, schema, own_share=0.05), 4_000)["amount"]
    assert (made == 0).mean() == pytest.approx((amount == 0).mean(), abs=0.04)
    assert (made[made != 0] > 0).all()
    assert not made[made != 0].isin(amount).mean() > 0.3  # leaves with a single number
    published = sampled(fitted(train, schema, own_share=2.0, min_leaf=20), 4_000)["amount"]
    assert (published == 0).mean() < 0.5


def test_numbers_stay_in_the_range_of_the_table():
    train = pd.DataFrame({"x": np.r_[0.0, np.random.default_rng(0).exponential(size=500)]})
    made = sampled(fitted(train, Schema((Column("x", "continuous"),)), min_leaf=50), 5_000)["x"]
    assert made.between(0, train["x"].max()).all()


# Conditions


def mixed(rows, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, rows)
    k = np.where(rng.random(rows) < 0.2, np.nan, np.clip(rng.poisson(2 + 2 * a), 0, 9))
    label = (a + np.nan_to_num(k) + rng.integers(0, 3, rows) > 6).astype(int)
    columns = (
        Column("a", "categorical", ("u", "v", "w")),
        Column("k", "integer", minimum=0, maximum=9, missing=True),
        Column("x", "continuous"),
        Column("label", "boolean"),
    )
    schema = Schema(columns, "label", "binary")
    parts = {
        "a": columns[0].from_codes(a),
        "k": columns[1].from_numbers(k),
        "x": columns[2].from_numbers(a + rng.normal(size=rows)),
        "label": columns[3].from_codes(label),
    }
    return schema.assemble(parts), schema


@pytest.mark.parametrize("own_share", [0.1, 2.0])
@pytest.mark.parametrize(
    ("asked", "most_work"),
    [
        ({"label": "True"}, 2**40),
        ({"label": "True"}, 0),
        ({"a": "v", "k": 4.0}, 2**40),
        ({"k": np.nan}, 2**40),
        ({"k": 1.0, "label": "False"}, 2**40),
    ],
)
def test_rows_given_conditions_are_those_that_meet_them_by_chance(
    monkeypatch, asked, most_work, own_share
):
    monkeypatch.setattr("syntharena.generators.arf.MOST_WORK", most_work)
    train, schema = mixed(400)
    arf = fitted(train, schema, own_share=own_share)
    many = sampled(arf, 150_000)
    met = np.ones(len(many), dtype=bool)
    for name, value in asked.items():
        met &= many[name].isna() if pd.isna(value) else many[name].astype(object) == value
    met = many[met]
    conditions = schema.conform(train.assign(**asked))[list(asked)].iloc[[0] * 20_000]
    given = sampled(arf, 20_000, conditions=conditions)
    assert len(met) > 500
    for name in set(schema.names) - set(asked):
        if name == "x":
            assert stats.ks_2samp(given["x"], met["x"]).pvalue > CHANCE
            continue
        counts = [
            side[name].astype(object).fillna(-1).value_counts().sort_index()
            for side in (given, met)
        ]
        both = pd.concat(counts, axis=1).fillna(0)
        assert stats.chi2_contingency(both[both.sum(axis=1) > 20]).pvalue > CHANCE


@pytest.mark.parametrize("most_work", [2**40, 0])
def test_conditions_differ_from_row_to_row(monkeypatch, most_work):
    monkeypatch.setattr("syntharena.generators.arf.MOST_WORK", most_work)
    rng = np.random.default_rng(0)
    x, y = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=4_000).T
    schema = Schema((Column("x", "continuous"), Column("y", "continuous")))
    arf = fitted(pd.DataFrame({"x": x, "y": y}), schema)
    asked = pd.DataFrame({"x": np.linspace(-2, 2, 6_000)})
    made = sampled(arf, 6_000, conditions=asked)
    assert made["x"].equals(asked["x"])
    slope = stats.linregress(made["x"], made["y"]).slope
    assert slope == pytest.approx(0.9, abs=0.06)
    assert (made["y"] - 0.9 * made["x"]).std() == pytest.approx(np.sqrt(1 - 0.81), abs=0.08)


def test_what_no_row_has_can_be_asked_for():
    train, schema = mixed(300)
    train = train[train["a"] != "w"].reset_index(drop=True)
    arf = fitted(train, schema)
    asked = pd.DataFrame({"a": ["w"] * 2_000, "label": ["True"] * 2_000, "x": 1e6})
    made = sampled(arf, 2_000, conditions=schema.conform(mixed(2_000)[0].assign(**asked))[[*asked]])
    assert (made["a"] == "w").all()
    most = train.loc[train["label"] == "True", "k"]
    assert made["k"].mean() == pytest.approx(most.mean(), abs=0.6)  # the label still counts


# Whole tables


def test_independent_columns_are_done_at_once():
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"x": rng.random(1_000), "y": rng.random(1_000)})
    schema = Schema((Column("x", "continuous"), Column("y", "continuous")))
    arf = fitted(train, schema, delta=0.1)
    assert [step for step, _, _ in arf.seen] == [1]
    assert arf.seen[0][1] == 11
    assert len(fitted(train, schema, delta=0.0, rounds=0).seen) == 1


def test_forests_end_when_they_cannot_tell():
    truth = TRUTHS["dependence"]
    train = truth.draw(1_500, np.random.default_rng(0))
    accuracies = [accuracy for *_, accuracy in fitted(train, truth.schema).seen]
    assert accuracies[0] > 0.9
    assert accuracies[-1] <= 0.5 or accuracies[-1] >= accuracies[-2]
    assert np.all(np.diff(accuracies[:-1]) < 0)


def test_missing_values_stay_where_they_are():
    rng = np.random.default_rng(0)
    hidden = rng.integers(2, size=2_000)
    columns = (
        Column("hidden", "boolean"),
        Column("x", "continuous", missing=True),
        Column("empty", "categorical", missing=True),
    )
    schema = Schema(columns)
    parts = {
        "hidden": columns[0].from_codes(hidden),
        "x": columns[1].from_numbers(np.where(hidden == 1, np.nan, rng.normal(size=2_000))),
        "empty": columns[2].from_codes(np.full(2_000, -1)),
    }
    made = sampled(fitted(schema.assemble(parts), schema), 4_000)
    assert ((made["hidden"] == "True") == made["x"].isna()).mean() > 0.97
    assert made["empty"].isna().all()


def test_thousands_of_categories_survive():
    codes = np.repeat(np.arange(1_500), 2)
    columns = (Column("c", "categorical", tuple(map(str, range(2_000)))), Column("x", "integer"))
    schema = Schema(columns)
    train = schema.assemble({"c": columns[0].from_codes(codes), "x": pd.Series(codes // 100)})
    made = sampled(fitted(train, schema), 3_000)
    assert set(made["c"]) <= set(train["c"])
    assert (made["c"].cat.codes // 100 == made["x"]).mean() > 0.5


class Killed(Exception):
    """What ends a fit before its time."""


@pytest.mark.parametrize("dies_after", [1, 2])
def test_a_killed_fit_ends_bit_identical_to_an_unbroken_one(tmp_path, dies_after):
    truth = TRUTHS["dependence"]
    train = truth.draw(600, np.random.default_rng(0))
    settings = {"min_leaf": 5, "min_split": 10}
    whole = fitted(train, truth.schema, **settings)
    assert len(whole.seen) > dies_after
    killed = Arf(**settings)
    killed.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)

    def die(step, total, **losses):
        if step > dies_after:
            raise Killed

    killed.progress = die
    with pytest.raises(Killed):
        killed.fit(train, schema=truth.schema, budget=Budget(), rng=np.random.default_rng(0))
    again = fitted(
        train, truth.schema, checkpoint=models.Checkpoint(tmp_path / "state", seconds=0), **settings
    )
    assert again.seen == whole.seen[dies_after:]
    pd.testing.assert_frame_equal(sampled(again, 500), sampled(whole, 500))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trees": 0}, r"trees must be a whole number >= 1, got 0"),
        ({"min_leaf": 0}, r"min_leaf must be a whole number >= 1, got 0"),
        ({"min_split": 1}, r"min_split must be a whole number >= 2, got 1"),
        ({"rounds": -1}, r"rounds must be a whole number >= 0, got -1"),
        ({"delta": 0.7}, r"delta must be in \[0, 0.5\], got 0.7; set delta=0"),
        ({"own_share": 0}, r"own_share must be > 0, got 0; set own_share=0.01"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    schema = schemas()["numeric"]
    with pytest.raises(ValueError, match=message):
        fitted(table(schema, 20, np.random.default_rng(0)), schema, **settings)
