"""Generators without a privacy mechanism, against closed forms, and private ones on odd tables.

The tables of the property test are drawn from the Schemas that a user can write with bounds: one
column to four, any kind, missing values, constants, a column with nothing in it. The tables for
generators without a privacy mechanism are in ``test_odd_tables``.
"""

import importlib
import inspect
import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import syntharena.conf
from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators import smote
from syntharena.generators.aim import Aim
from syntharena.generators.arf import Arf
from syntharena.generators.bayesian_network import BayesianNetwork
from syntharena.generators.cart import Cart
from syntharena.generators.common import Atoms, category_vectors
from syntharena.generators.dp_marginals import DpMarginals
from syntharena.generators.fresh_real import FreshReal
from syntharena.generators.gaussian_copula import GaussianCopula
from syntharena.generators.independent import Independent
from syntharena.generators.mst import Mst
from syntharena.generators.mwem_pgm import MwemPgm
from syntharena.generators.privbayes import PrivBayes
from syntharena.generators.shallow_mixture import ShallowMixture
from syntharena.generators.smote import Smote
from syntharena.generators.train_copy import TrainCopy
from syntharena.generators.views.domain import public_codes

NOT_PRIVATE = [TrainCopy, FreshReal, Independent, GaussianCopula, Cart, Smote]
NOT_PRIVATE += [Arf, BayesianNetwork, ShallowMixture]
MARGINAL = [DpMarginals, PrivBayes, Mst, Aim, MwemPgm]
EVERY = [*NOT_PRIVATE, *MARGINAL]
CONDITIONAL = [Independent, GaussianCopula, Arf, BayesianNetwork, ShallowMixture]
CHANCE = 1e-4  # p-value below which a test of a random table fails
YAMLS = sorted((Path(syntharena.conf.__file__).parent / "generator").glob("*.yaml"))


def fitted(make, table, schema, seed=0):
    return make().fit(table, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def sampled(make, table, schema, n, seed=1):
    return fitted(make, table, schema).sample(n, rng=np.random.default_rng(seed))


def numeric_table(**columns):
    schema = Schema(tuple(Column(name, "continuous") for name in columns))
    return pd.DataFrame(columns), schema


def category_table(target=None, **codes):
    """Build columns of categories "0", "1", ... from their codes."""
    columns = [
        Column(name, "categorical", tuple(map(str, range(int(max(values)) + 1))))
        for name, values in codes.items()
    ]
    schema = Schema(tuple(columns), target=target, task=target and "multiclass")
    made = {c.name: c.from_codes(np.asarray(codes[c.name], dtype=np.int64)) for c in columns}
    return schema.assemble(made), schema


# Any table


@st.composite
def columns(draw, name):
    kind = draw(st.sampled_from(["continuous", "integer", "categorical", "boolean", "datetime"]))
    missing = draw(st.booleans())
    if kind in ("categorical", "boolean"):
        count = draw(st.sampled_from([0, 1, 2, 3, 17, 700]))
        names = tuple(f"c{i}" for i in range(count if missing else max(count, 1)))
        return Column(name, kind, names, missing=missing)
    low, high = draw(st.sampled_from([(0, 0), (-3, 5), (0, 10**9)]))
    if kind == "datetime":
        low, high = (pd.Timestamp(value, unit="s").isoformat() for value in (low, high))
    decimals = draw(st.sampled_from([None, 0, 2])) if kind == "continuous" else None
    return Column(name, kind, minimum=low, maximum=high, decimals=decimals, missing=missing)


@st.composite
def schemas(draw):
    made = [draw(columns(name)) for name in "abcd"[: draw(st.integers(1, 4))]]
    target = draw(st.sampled_from([None, *made]))
    if target is None or not (target.categories or not target.is_discrete):
        return Schema(tuple(made))
    task = "binary" if len(target.categories) == 2 else "multiclass"
    return Schema(
        tuple(made), target=target.name, task=task if target.is_discrete else "regression"
    )


def random_column(column, rows, rng):
    missing = rng.random(rows) < rng.choice([0.0, 0.4, 1.0]) if column.missing else np.zeros(rows)
    if column.is_discrete:
        codes = rng.integers(max(len(column.categories), 1), size=rows)
        nothing = missing.astype(bool) | (not column.categories)
        return column.from_codes(np.where(nothing, -1, codes))
    numbers = rng.choice(rng.uniform(column.lower, column.upper, size=5), size=rows)
    return column.from_numbers(np.where(missing, np.nan, numbers))


def random_table(schema, rows, seed):
    rng = np.random.default_rng(seed)
    return schema.assemble({c.name: random_column(c, rows, rng) for c in schema})


EMPTY = Column("empty", "categorical", (), missing=True)
CONSTANT = Column("constant", "continuous", minimum=2.5, maximum=2.5)
UNKNOWN = Column("unknown", "continuous", minimum=0, maximum=1, missing=True)


@pytest.mark.parametrize("make", MARGINAL)
@settings(max_examples=40, deadline=None)
@given(schema=schemas(), rows=st.integers(1, 40), seed=st.integers(0, 2**32))
@example(schema=Schema((EMPTY,)), rows=1, seed=0)
@example(schema=Schema((UNKNOWN, CONSTANT, EMPTY)), rows=3, seed=3)
@example(schema=Schema((CONSTANT, UNKNOWN), target="unknown", task="regression"), rows=9, seed=3)
def test_every_table_survives(make, schema, rows, seed):
    table = random_table(schema, rows, seed)
    assert schema.problems(table, rows) == []
    generator = pickle.loads(pickle.dumps(fitted(make, table, schema)))
    for n in (0, 1, 3 * rows + 1):
        made = generator.sample(n, rng=np.random.default_rng(seed))
        again = generator.sample(n, rng=np.random.default_rng(seed))
        assert schema.problems(made, n) == []
        pd.testing.assert_frame_equal(made, schema.conform(made))
        pd.testing.assert_frame_equal(made, again)


@pytest.mark.parametrize("make", EVERY)
def test_later_changes_to_train_change_nothing(make):
    schema = Schema((Column("x", "integer", minimum=0, maximum=9), Column("b", "boolean")))
    table = random_table(schema, 30, seed=0)
    generator = fitted(make, table, schema)
    before = generator.sample(30, rng=np.random.default_rng(0))
    table["x"] = 9
    table.loc[:, "b"] = "True"
    pd.testing.assert_frame_equal(generator.sample(30, rng=np.random.default_rng(0)), before)


@pytest.mark.parametrize("make", EVERY)
def test_fitted_state_depends_on_its_rng_and_not_on_the_global_one(make):
    schema = Schema((Column("c", "categorical", tuple(map(str, range(30)))), EMPTY, CONSTANT))
    table = random_table(schema, 50, seed=0)
    states = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 (the global state is what must not matter)
        states.append(sampled(make, table, schema, 50))
    pd.testing.assert_frame_equal(*states)


@pytest.mark.parametrize("make", NOT_PRIVATE)
def test_a_finite_budget_is_skipped(make):
    schema = Schema((CONSTANT,))
    assert "privacy=none" in make().skip(schema, Budget(1.0, 1e-5))
    assert make().skip(schema, Budget()) is None


@pytest.mark.parametrize("make", NOT_PRIVATE)
def test_no_rows_are_refused(make):
    schema = Schema((CONSTANT,))
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        fitted(make, random_table(schema, 0, seed=0), schema)


@pytest.mark.parametrize(
    ("generator", "name"),
    [
        (Cart(min_leaf=0), "min_leaf"),
        (Cart(min_leaf=2.5), "min_leaf"),
        (Smote(neighbours=0), "neighbours"),
        (Smote(neighbours=True), "neighbours"),
        (DpMarginals(bins=0), "bins"),
    ],
)
def test_hyperparameters_are_checked_in_fit(generator, name):
    schema = Schema((CONSTANT,))
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, got"):
        fitted(lambda: generator, random_table(schema, 5, seed=0), schema)


@pytest.mark.parametrize("make", CONDITIONAL)
def test_conditions_that_do_not_fit_are_refused(make):
    table, schema = numeric_table(x=[1.0, 2.0], y=[1.0, 2.0])
    generator = fitted(make, table, schema)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="got 2 rows for 3"):
        generator.sample(3, rng=rng, conditions=table[["x"]])
    with pytest.raises(ValueError, match="no column 'z'"):
        generator.sample(2, rng=rng, conditions=pd.DataFrame({"z": [1, 2]}))
    with pytest.raises(ValueError, match="column 'x': 1 missing"):
        generator.sample(2, rng=rng, conditions=pd.DataFrame({"x": [1, np.nan]}))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_yaml_states_the_defaults_of_its_class(path):
    spec = config.all_options("generator")[path.stem]
    about = spec["about"]
    module, _, name = spec["_target_"].rpartition(".")
    make = getattr(importlib.import_module(module), name)
    arguments = inspect.signature(make).parameters
    defaults = {key: argument.default for key, argument in arguments.items()}
    assert targets.arguments(spec) == {
        k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()
    }
    assert about["name"] == path.stem == module.rpartition(".")[2]
    assert about["fit_on"] == ("fresh" if make is FreshReal else "train")
    for preload in about["preload"]:
        importlib.import_module(preload)


@pytest.mark.parametrize("preset", config.PRESETS)
def test_every_preset_fits_the_constructors(preset):
    for spec in config.all_options("generator", preset=preset).values():
        targets.build(spec, ("fit", "sample"))


def test_every_generator_has_a_yaml():
    targets = {yaml.safe_load(path.read_text())["_target_"] for path in YAMLS}
    assert {f"{make.__module__}.{make.__qualname__}" for make in EVERY} <= targets


# Reference rows


def test_train_copy_is_a_bootstrap():
    table, schema = numeric_table(x=np.arange(10_000.0))
    made = sampled(TrainCopy, table, schema, 10_000)["x"]
    assert made.isin(table["x"]).all()
    assert made.nunique() / 10_000 == pytest.approx(1 - math.exp(-1), abs=0.02)


def test_fresh_real_repeats_no_row_before_all_are_drawn():
    table, schema = numeric_table(x=np.arange(100.0), y=-np.arange(100.0))
    made = sampled(FreshReal, table, schema, 250)
    assert (made["y"] == -made["x"]).all()
    assert set(made["x"][:100]) == set(made["x"][100:200]) == set(table["x"])
    assert made["x"].value_counts().isin([2, 3]).all()
    assert (made["x"][:100] != table["x"]).any()


def test_independent_is_the_product_of_the_marginals():
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    table, schema = category_table(a=codes, b=codes)
    made = sampled(Independent, table, schema, 50_000)
    seen = pd.crosstab(made["a"], made["b"]).to_numpy()
    shares = np.array([0.6, 0.3, 0.1])
    assert stats.chisquare(seen.ravel(), 50_000 * np.outer(shares, shares).ravel()).pvalue > CHANCE


# Gaussian copula


def gaussian_pair(rho, rows=5_000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(rows)
    return x, rho * x + math.sqrt(1 - rho**2) * rng.standard_normal(rows)


@pytest.mark.parametrize("rho", [-0.95, 0.0, 0.6, 1.0])
def test_copula_reproduces_rank_correlation_and_margins(rho):
    x, y = gaussian_pair(rho)
    table, schema = numeric_table(x=np.exp(x), y=y**3)
    made = sampled(GaussianCopula, table, schema, 20_000)
    expected = 6 / np.pi * np.arcsin(rho / 2)  # Kruskal 1958
    assert stats.spearmanr(made["x"], made["y"])[0] == pytest.approx(expected, abs=0.03)
    for name in "xy":
        assert stats.ks_2samp(made[name], table[name]).pvalue > CHANCE
    assert made["x"].isin(table["x"]).mean() < 0.01


def test_copula_conditions_as_a_gaussian_does():
    x, y = gaussian_pair(0.8, rows=20_000)
    table, schema = numeric_table(x=x, y=y)
    fixed = pd.DataFrame({"x": np.full(20_000, 1.0)})
    rng = np.random.default_rng(0)
    made = fitted(GaussianCopula, table, schema).sample(20_000, rng=rng, conditions=fixed)["y"]
    assert made.mean() == pytest.approx(0.8, abs=0.03)
    assert made.std() == pytest.approx(0.6, abs=0.02)


def test_copula_keeps_atoms_and_missing_shares():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(10_000) < 0.7, 0.0, rng.exponential(size=10_000))
    x[rng.random(10_000) < 0.2] = np.nan
    table = pd.DataFrame({"x": x})
    schema = Schema((Column("x", "continuous", missing=True),))
    made = sampled(GaussianCopula, table, schema, 50_000)["x"]
    assert made.isna().mean() == pytest.approx(table["x"].isna().mean(), abs=0.01)
    assert (made == 0).mean() == pytest.approx((table["x"] == 0).mean(), abs=0.01)


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_copula_keeps_equal_and_opposite_categories(share):
    codes = (np.arange(1_000) < 1_000 * share).astype(int)
    table, schema = category_table(a=codes, b=codes, c=1 - codes)
    made = sampled(GaussianCopula, table, schema, 5_000)
    assert (made["a"] == made["b"]).all()
    assert (made["a"] != made["c"]).all()


def test_copula_ties_binary_columns_by_their_score_correlation():
    # Scores of an even binary column are +-sqrt(2/pi), so their correlation is 2p - 1 for a share p
    # of equal pairs, and a Gaussian pair with correlation r has equal signs with 1/2 + asin(r)/pi.
    a = np.tile([0, 1], 5_000)
    b = np.where(np.arange(10_000) < 2_000, 1 - a, a)
    table, schema = category_table(a=a, b=b)
    made = sampled(GaussianCopula, table, schema, 50_000)
    expected = 0.5 + np.arcsin(0.6) / np.pi
    assert (made["a"] == made["b"]).mean() == pytest.approx(expected, abs=0.01)


def test_atoms_stand_at_the_mean_of_their_normal_scores():
    shares = np.array([0.2, 0.5, 0.3])
    atoms = Atoms.of(np.repeat([np.nan, 1.0, 7.0], (shares * 100_000).astype(int)))
    ends = stats.norm.ppf(np.concatenate([[0.0], np.cumsum(shares)[:-1], [1.0]]))
    expected = -np.diff(stats.norm.pdf(ends)) / shares  # the mean of a truncated normal
    assert atoms.scores == pytest.approx(expected, abs=1e-3)
    assert list(atoms.distinct) == [-np.inf, 1.0, 7.0]


# CART


def test_cart_reproduces_a_function_and_an_interaction():
    rng = np.random.default_rng(0)
    a, b = rng.integers(3, size=2_000), rng.integers(2, size=2_000)
    table, schema = category_table(a=a, b=b, f=2 - a, xor=(a + b) % 2)
    made = sampled(Cart, table, schema, 5_000).astype(str).astype(int)
    assert (made["f"] == 2 - made["a"]).all()
    assert (made["xor"] == (made["a"] + made["b"]) % 2).all()
    observed = [np.bincount(made[name], minlength=3) for name in "ab"]
    for seen, codes in zip(observed, (a, b), strict=True):
        expected = np.bincount(codes, minlength=3) / len(codes) * seen.sum()
        assert stats.chisquare(seen[expected > 0], expected[expected > 0]).pvalue > CHANCE


@pytest.mark.parametrize("order", [["a", "label"], ["label", "a"]])
def test_cart_reproduces_a_function_of_700_categories(order):
    a = np.repeat(np.arange(700), 10)
    label = Column("label", "categorical", tuple(f"c{i}" for i in range(700)))
    parts = {"a": Column("a", "integer"), "label": label}
    schema = Schema(tuple(parts[name] for name in order))
    shuffled = np.random.default_rng(0).permutation(700)
    codes = shuffled[a] if order[0] == "a" else a  # a tree reads predictors in their order
    table = schema.assemble({"a": pd.Series(a), "label": label.from_codes(codes)})
    made = sampled(Cart, table, schema, 5_000)
    assert (label.codes(made["label"]) == (codes[::10])[made["a"]]).all()


def test_cart_reproduces_where_values_are_missing():
    # The known values are all alike, so only the indicator of missing ones can grow the tree of x.
    hidden = np.random.default_rng(0).integers(2, size=2_000)
    table, _ = category_table(hidden=hidden)
    table["x"], table["seen"] = np.where(hidden == 1, np.nan, 5.0), 1 - hidden
    schema = Schema(
        (
            Column("hidden", "categorical", ("0", "1")),
            Column("x", "continuous", missing=True),
            Column("seen", "integer"),
        )
    )
    made = sampled(Cart, table, schema, 5_000)
    assert (made["x"].isna() == (made["hidden"] == "1")).all()
    assert (made["x"].isna() == (made["seen"] == 0)).all()


def test_cart_draws_a_regression_with_its_spread():
    x, y = gaussian_pair(0.9)
    table, schema = numeric_table(x=x * 1e12, y=y)
    made = sampled(Cart, table, schema, 20_000)
    assert np.corrcoef(made["x"], made["y"])[0, 1] == pytest.approx(0.9, abs=0.02)
    assert made["y"].isin(y).all()
    assert stats.ks_2samp(made["y"], y).pvalue > CHANCE


@pytest.mark.parametrize("min_leaf", [1, 5, 20])
def test_cart_leaves_hold_enough_donors(min_leaf):
    x, y = gaussian_pair(0.5, rows=200)
    table, schema = numeric_table(x=x, y=y)
    donors = fitted(lambda: Cart(min_leaf), table, schema).donors_[1]
    leaves = donors.size[donors.size > 0]
    assert leaves.sum() == 200
    assert min_leaf <= leaves.min() < 2 * min_leaf


def test_cart_reports_every_column():
    table, schema = numeric_table(x=[1.0], y=[2.0], z=[3.0])
    cart, seen = Cart(), []
    cart.progress = lambda step, total, **losses: seen.append((step, total))
    fitted(lambda: cart, table, schema)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_short_category_vectors_keep_the_gini_impurity():
    shares = np.random.default_rng(0).dirichlet(np.ones(40))
    impurities = []
    for seed in range(500):
        vectors = category_vectors(40, np.random.default_rng(seed))
        mean = shares @ vectors
        impurities.append((shares @ (vectors - mean) ** 2).sum())
    assert np.mean(impurities) == pytest.approx(1 - (shares**2).sum(), rel=0.01)
    assert (category_vectors(16, np.random.default_rng(0)) == np.eye(16)).all()


# SMOTE


def identity_scores(rows, seed):
    """Return numbers that are their own normal scores, in random order."""
    scores = stats.norm.ppf((np.arange(rows) + 0.5) / rows)
    return np.random.default_rng(seed).permutation(scores)


def distance_to_segments(points, starts, ends):
    """Least distance of each point to any of the segments."""
    along = ends - starts
    shares = ((points[:, None] - starts) * along).sum(-1) / (along**2).sum(-1)
    nearest = starts + np.clip(shares, 0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - nearest, axis=-1).min(1)


def test_smote_rows_lie_between_near_rows_of_one_class():
    rows = np.column_stack([identity_scores(120, seed) for seed in (0, 1)])
    labels = np.arange(120) % 3
    label = Column("label", "categorical", ("0", "1", "2"))
    columns = (Column("x", "continuous"), Column("y", "continuous"), label)
    schema = Schema(columns, target="label", task="multiclass")
    table = pd.DataFrame(rows, columns=["x", "y"]).assign(label=label.from_codes(labels))
    made = sampled(Smote, table, schema, 600)
    for code in range(3):
        own = rows[labels == code]
        gaps = np.linalg.norm(own[:, None] - own, axis=-1)
        nearest = np.argsort(gaps, axis=1)[:, 1:6]
        starts, ends = np.repeat(own, 5, axis=0), own[nearest.ravel()]
        points = made.loc[made["label"] == str(code), ["x", "y"]].to_numpy()
        assert len(points) == 200
        assert distance_to_segments(points, starts, ends).max() < 1e-9
        assert (np.linalg.norm(points[:, None] - own, axis=-1).min(1) > 1e-6).mean() > 0.99


def test_smote_takes_categories_and_missing_values_from_the_nearer_parent():
    label = Column("label", "categorical", ("low", "high"))
    only_low = Column("only_low", "continuous", missing=True)
    schema = Schema((Column("x", "continuous"), label, only_low))
    table = schema.assemble(
        {
            "x": pd.Series([-1.0, 1.0]),
            "label": label.from_codes(np.array([0, 1])),
            "only_low": pd.Series([7.0, np.nan]),
        }
    )
    made = sampled(Smote, table, schema, 1_000)
    assert ((made["x"] < 0) == (made["label"] == "low")).all()
    assert ((made["x"] < 0) == (made["only_low"] == 7.0)).all()
    assert made["x"].between(-1, 1).all()
    assert stats.kstest(made["x"], stats.uniform(-1, 2).cdf).pvalue > CHANCE


def test_smote_interpolates_a_regression_target_on_one_side_of_its_median():
    target = identity_scores(100, seed=0)
    table = pd.DataFrame({"x": target[::-1].copy(), "y": target})
    columns = (Column("x", "continuous"), Column("y", "continuous"))
    schema = Schema(columns, target="y", task="regression")
    made = sampled(Smote, table, schema, 2_000)
    gap = np.abs(target).min()
    assert (made["y"].abs() >= gap - 1e-12).all()
    assert (made["y"] > 0).mean() == 0.5
    assert made["y"].isin(target).mean() < 0.01


def test_smote_seeks_neighbours_in_parts_of_a_large_class(monkeypatch):
    monkeypatch.setattr(smote, "MOST", 50)
    x = identity_scores(220, seed=0)
    table, schema = category_table(target="label", label=np.arange(220) % 2)
    columns = (Column("x", "continuous"), schema["label"])
    schema = Schema(columns, target="label", task="multiclass")
    found = fitted(Smote, table.assign(x=x)[["x", "label"]], schema).neighbours_
    assert (found % 2 == np.arange(220)[:, None] % 2).all()
    assert (found != np.arange(220)[:, None]).all()
    links = coo_array((np.ones(found.size), (np.repeat(np.arange(220), 5), found.ravel())))
    assert np.bincount(connected_components(links)[1]).max() <= 50


def test_smote_copies_a_row_that_is_alone_in_its_class():
    table, schema = category_table(target="label", a=[0, 1, 2, 3], label=[0, 0, 0, 1])
    made = sampled(Smote, table, schema, 400)
    assert (made.loc[made["label"] == "1", "a"] == "3").all()
    assert (made["label"] == "1").sum() == 100


def test_codes_follow_the_schema_whatever_the_order_of_a_dtypes_categories():
    """Unordered dtypes are equal in any order, so a cast must not trust their equality."""
    schema = Schema((Column("c", "categorical", ("b", "a", "c")),))
    foreign = pd.DataFrame({"c": pd.Categorical(list("bacb"), categories=list("abc"))})
    canonical = schema.conform(foreign)
    assert canonical["c"].tolist() == list("bacb")
    assert schema["c"].codes(canonical["c"]).tolist() == [0, 1, 2, 0]
    assert public_codes(schema["c"], foreign["c"]).tolist() == [0, 1, 2, 0]
