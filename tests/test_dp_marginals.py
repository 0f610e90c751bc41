"""The private generator: its noise, its ledger, and that nothing but noisy counts leaves fit."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench.contracts import Budget
from syntharena.bench.ledger import spent_epsilon
from syntharena.bench.schema import Column, Schema
from syntharena.generators.dp_marginals import DpMarginals

CHANCE = 1e-4  # p-value below which a test of a random table fails
BUDGETS = st.builds(
    Budget,
    epsilon=st.floats(0.01, 50),
    delta=st.sampled_from([0.0, 1e-9, 1e-5, 1e-2]),
    neighbours=st.sampled_from(["add_remove", "replace"]),
)
MIXED = Schema(
    (
        Column("x", "continuous", minimum=-1, maximum=3, missing=True),
        Column("k", "integer", minimum=0, maximum=4),
        Column("c", "categorical", ("a", "b", "c"), missing=True),
    )
)


def fitted(table, schema, budget, seed=0, bins=32):
    rng = np.random.default_rng(seed)
    return DpMarginals(bins).fit(table, schema=schema, budget=budget, rng=rng)


def flat_table(categories, each, columns=1):
    """Build columns in which every category stands ``each`` times."""
    names = tuple(map(str, range(categories)))
    made = [Column(f"c{i}", "categorical", names) for i in range(columns)]
    codes = np.repeat(np.arange(categories), each)
    return pd.DataFrame({c.name: c.from_codes(codes) for c in made}), Schema(tuple(made))


def mixed_table(rows, seed=0):
    rng = np.random.default_rng(seed)
    x, k, c = MIXED.columns
    return MIXED.assemble(
        {
            "x": x.from_numbers(np.where(rng.random(rows) < 0.2, np.nan, rng.uniform(-1, 3, rows))),
            "k": k.from_numbers(rng.integers(5, size=rows)),
            "c": c.from_codes(rng.integers(-1, 3, size=rows)),
        }
    )


# The claim


@settings(max_examples=100, deadline=None)
@given(budget=BUDGETS, columns=st.integers(1, 30))
def test_ledger_spends_the_budget_and_no_more(budget, columns):
    table, schema = flat_table(2, 1, columns)
    generator = fitted(table, schema, budget)
    assert spent_epsilon(generator.ledger, budget.delta) == pytest.approx(budget.epsilon, rel=1e-9)


@pytest.mark.parametrize("delta", [0.0, 1e-5])
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_ledger_agrees_with_an_independent_accountant(delta, neighbours):
    import dp_accounting
    from dp_accounting import pld

    table, schema = flat_table(2, 1, columns=3)
    (event,) = fitted(table, schema, Budget(1.5, delta, neighbours)).ledger
    multiplier = event.scale / event.sensitivity
    noise = {"laplace": dp_accounting.LaplaceDpEvent, "gaussian": dp_accounting.GaussianDpEvent}
    accountant = pld.PLDAccountant()
    accountant.compose(noise[event.mechanism](multiplier), event.count)
    tail = delta or 1e-10  # the accountant cuts its own tails, so it never certifies delta = 0
    assert accountant.get_epsilon(tail) == pytest.approx(1.5, abs=1e-3)


def test_gaussian_noise_is_calibrated_to_a_published_pair():
    # Noise 1 at sensitivity 1 costs epsilon 4.3772 at delta 1e-5 (dp-accounting's PLD accountant).
    table, schema = flat_table(2, 1)
    (event,) = fitted(table, schema, Budget(4.3772, 1e-5)).ledger
    assert (event.sensitivity, event.scale) == (1.0, pytest.approx(1.0, abs=1e-4))


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 20), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_no_neighbour_moves_the_counts_by_more_than_the_sensitivity(delta, neighbours, rows, seed):
    table = mixed_table(rows, seed)
    changed = table.iloc[1:]
    if neighbours == "replace":
        changed = pd.concat([changed, mixed_table(1, seed + 1)])
    generator = fitted(table, MIXED, Budget(1.0, delta, neighbours))
    (event,) = generator.ledger
    moves = [
        g.counts(table[g.column.name]) - g.counts(changed[g.column.name]) for g in generator.grids_
    ]
    if delta:
        assert np.linalg.norm(np.concatenate(moves)) <= event.sensitivity + 1e-12
    else:
        assert event.count == len(moves)
        assert max(np.abs(move).sum() for move in moves) <= event.sensitivity


# The noise


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_noise_has_the_calibrated_distribution(delta, neighbours, columns):
    table, schema = flat_table(10_000, 100, columns)
    generator = fitted(table, schema, Budget(2.0, delta, neighbours))
    changed = 1 if neighbours == "add_remove" else 2
    if delta:
        unit = fitted(*flat_table(2, 1), Budget(2.0, delta)).ledger[0].scale
        expected = stats.norm(scale=unit * math.sqrt(changed * columns))
    else:
        expected = stats.laplace(scale=changed * columns / 2.0)
    # Shares are counts over their noisy total, which is the true one to a relative 1e-3.
    noise = np.concatenate([shares * len(table) - 100 for shares in generator.shares_])
    assert stats.kstest(noise, expected.cdf).pvalue > CHANCE
    rounding = math.sqrt((expected.stats("k") + 2) / (4 * len(noise)))  # of a standard deviation
    assert noise.std() == pytest.approx(expected.std(), rel=4 * rounding)


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_shares_are_unbiased_where_nothing_is_clipped(delta):
    schema = Schema((Column("c", "categorical", ("a", "b")),))
    table = pd.DataFrame({"c": schema["c"].from_codes(np.repeat([0, 1], [7_000, 3_000]))})
    shares = [fitted(table, schema, Budget(0.5, delta), s).shares_[0][0] for s in range(400)]
    assert np.mean(shares) == pytest.approx(0.7, abs=4 * np.std(shares) / 20)


def test_noise_differs_between_cells_columns_and_seeds():
    table, schema = flat_table(50, 1_000, columns=2)
    one, other = (fitted(table, schema, Budget(1.0, 1e-5), seed) for seed in (0, 1))
    every = np.concatenate([*one.shares_, *other.shares_])
    assert len(np.unique(every)) == 200


def test_clipping_leaves_shares():
    table, schema = flat_table(1_000, 1)
    (shares,) = fitted(table, schema, Budget(0.05)).shares_
    assert shares.min() == 0.0
    assert shares.sum() == pytest.approx(1.0)


def test_shares_are_equal_where_no_count_is_left():
    table, schema = flat_table(2, 1)
    every = [fitted(table, schema, Budget(0.01), seed).shares_[0] for seed in range(40)]
    assert any((shares == 0.5).all() for shares in every)
    assert all(shares.sum() == pytest.approx(1.0) for shares in every)


# What the model learns


def test_without_a_budget_shares_are_exact_and_claim_nothing():
    table = mixed_table(1_000)
    generator = fitted(table, MIXED, Budget())
    assert list(generator.ledger) == []
    x, k, c = generator.shares_
    edges = np.linspace(-1, 3, 33)
    assert x[:-1] == pytest.approx(np.histogram(table["x"].dropna(), edges)[0] / 1_000)
    assert x[-1] == table["x"].isna().mean()
    assert k == pytest.approx(table["k"].value_counts(normalize=True).reindex(range(5)).to_numpy())
    assert c[-1] == table["c"].isna().mean()


def test_the_number_of_rows_is_not_in_the_model():
    table = mixed_table(64)
    twice = pd.concat([table, table], ignore_index=True)
    assert pickle.dumps(fitted(table, MIXED, Budget())) == pickle.dumps(
        fitted(twice, MIXED, Budget())
    )


@pytest.mark.parametrize("kind", ["continuous", "integer"])
def test_values_outside_the_public_domain_teach_nothing(kind):
    schema = Schema((Column("x", kind, minimum=0, maximum=9),))
    inside = pd.DataFrame({"x": [0.0, 9.0, 5.0, 9.0]})
    outside = pd.DataFrame({"x": [-1e300, 1e12, 5.0, 9.5, np.nan]})
    models = [fitted(table, schema, Budget(), bins=10) for table in (inside, outside)]
    assert (models[0].shares_[0] == models[1].shares_[0]).all()
    assert pickle.dumps(models[0]) == pickle.dumps(models[1])


def test_unknown_categories_count_nowhere():
    schema = Schema((Column("c", "categorical", ("a", "b")),))
    values = pd.DataFrame({"c": schema["c"].from_codes(np.array([0, 1, 1, -1]))})
    assert fitted(values, schema, Budget()).shares_[0] == pytest.approx([1 / 3, 2 / 3])


def test_a_domain_that_is_not_public_or_finite_is_skipped():
    private = Budget(1.0, 1e-5)
    guessed = Schema(MIXED.columns, public=False)
    half = Schema((Column("x", "continuous", minimum=0), Column("d", "datetime"), MIXED["k"]))
    assert DpMarginals().skip(MIXED, private) is None
    assert "guessed" in DpMarginals().skip(guessed, private)
    assert "'x', 'd'" in DpMarginals().skip(half, private)
    assert "'x', 'd'" in DpMarginals().skip(half, Budget())
    with pytest.raises(ValueError, match="public bounds"):
        fitted(mixed_table(3), half, private)


# What it draws


def test_a_whole_number_column_has_one_bin_a_value():
    schema = Schema((Column("k", "integer", minimum=17, maximum=20),))
    table = pd.DataFrame({"k": [17, 17, 17, 20]})
    drawn = fitted(table, schema, Budget()).sample(40_000, rng=np.random.default_rng(0))["k"]
    assert (drawn == 17).mean() == pytest.approx(0.75, abs=0.01)
    assert set(drawn) == {17, 20}


def test_bins_are_filled_evenly():
    schema = Schema((Column("x", "continuous", minimum=0, maximum=4),))
    table = pd.DataFrame({"x": [0.1, 3.9]})
    model = fitted(table, schema, Budget(), bins=4)
    drawn = model.sample(20_000, rng=np.random.default_rng(0))["x"]
    low, high = drawn[drawn < 2], drawn[drawn >= 2]
    assert stats.kstest(low, stats.uniform(0, 1).cdf).pvalue > CHANCE
    assert stats.kstest(high, stats.uniform(3, 1).cdf).pvalue > CHANCE
    assert len(low) / 20_000 == pytest.approx(0.5, abs=0.02)


@settings(max_examples=60, deadline=None)
@given(budget=BUDGETS, bins=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_rows_stay_inside_the_schema_at_any_noise(budget, bins, seed):
    model = fitted(mixed_table(5), MIXED, budget, seed, bins)
    made = model.sample(200, rng=np.random.default_rng(seed))
    assert MIXED.problems(made, 200) == []
