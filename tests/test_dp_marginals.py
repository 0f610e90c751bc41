"""The floor of private generators: its ledger, and that nothing but noisy counts leaves fit."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from syntharena.bench import claim
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators.dp_marginals import DpMarginals

CHANCE = 1e-4  # p-value below which a test of a random table fails
BUDGETS = st.builds(
    Budget,
    epsilon=st.floats(0.05, 50),
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
    generator = DpMarginals(bins, discretiser="uniform")
    return generator.fit(table, schema=schema, budget=budget, rng=rng)


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


@settings(max_examples=40, deadline=None)
@given(budget=BUDGETS, columns=st.integers(1, 12))
def test_the_budget_is_spent_and_not_exceeded(budget, columns):
    table, schema = flat_table(2, 1, columns)
    generator = fitted(table, schema, budget)
    assert claim.violation(claim.account(generator, budget), budget) is None
    assert generator.claimed_epsilon == pytest.approx(budget.epsilon, rel=1e-6)
    changed = 1 if budget.neighbours == "add_remove" else 2
    (event,) = generator.ledger
    pure = budget.delta == 0
    assert event.count == columns * (1 if pure else changed)
    assert event.sensitivity == (changed if pure else 1)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 20), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_no_neighbour_moves_the_counts_by_more_than_the_sensitivity(delta, neighbours, rows, seed):
    table = mixed_table(rows, seed)
    changed = table.iloc[1:]
    if neighbours == "replace":
        changed = pd.concat([changed, mixed_table(1, seed + 1)])
    (event,) = fitted(table, MIXED, Budget(1.0, delta, neighbours)).ledger
    exact = [fitted(rows, MIXED, Budget()).release for rows in (table, changed)]
    moves = [exact[0][name] - exact[1][name] for name in MIXED.names]
    if delta:  # each event is one cell that differs by one
        assert np.linalg.norm(np.concatenate(moves)) <= math.sqrt(event.count)
    else:
        assert event.count == len(moves)
        assert max(np.abs(move).sum() for move in moves) <= event.sensitivity


# What the model learns


def test_counts_are_unbiased_and_as_noisy_as_the_ledger_says():
    table, schema = flat_table(2_000, 3, columns=2)
    generator = fitted(table, schema, Budget(1.0, 1e-5))
    noise = np.concatenate(list(generator.release.values())) - 3
    (event,) = generator.ledger
    assert noise.std() == pytest.approx(event.scale, rel=0.05)
    assert abs(noise.mean()) < 5 * event.scale / math.sqrt(len(noise))
    assert (noise == np.rint(noise)).all()


def test_noise_differs_between_columns_and_seeds():
    table, schema = flat_table(50, 1_000, columns=2)
    one, other = (fitted(table, schema, Budget(1.0, 1e-5), seed) for seed in (0, 1))
    every = [*one.release.values(), *other.release.values()]
    assert not any((a == b).all() for i, a in enumerate(every) for b in every[i + 1 :])


def test_rows_are_drawn_evenly_where_no_count_is_left():
    table, schema = flat_table(2, 1)
    generator = fitted(table, schema, Budget())
    generator.counts_ = [np.array([-3.0, 0.0])]
    drawn = generator.sample(20_000, rng=np.random.default_rng(0))["c0"]
    assert (drawn == "0").mean() == pytest.approx(0.5, abs=0.02)


def test_without_a_budget_counts_are_exact_and_claim_nothing():
    table = mixed_table(1_000)
    generator = fitted(table, MIXED, Budget())
    assert list(generator.ledger) == []
    x, k, c = generator.counts_
    edges = np.linspace(-1, 3, 33)
    assert (x[:-1] == np.histogram(table["x"].dropna(), edges)[0]).all()
    assert x[-1] == table["x"].isna().sum()
    assert (k == table["k"].value_counts().reindex(range(5), fill_value=0).to_numpy()).all()
    assert c[-1] == table["c"].isna().sum()


@pytest.mark.parametrize("kind", ["continuous", "integer"])
def test_values_outside_the_public_domain_teach_nothing(kind):
    schema = Schema((Column("x", kind, minimum=0, maximum=9),))
    inside = pd.DataFrame({"x": [0.0, 9.0, 5.0, 9.0]})
    outside = pd.DataFrame({"x": [-1e300, 1e12, 5.0, 9.5, np.nan]})
    models = [fitted(table, schema, Budget(), bins=10) for table in (inside, outside)]
    assert (models[0].counts_[0] == models[1].counts_[0]).all()


def test_unknown_categories_count_nowhere():
    schema = Schema((Column("c", "categorical", ("a", "b")),))
    wider = pd.CategoricalDtype(["rare", "b", "a"])
    values = pd.DataFrame({"c": pd.Series(["a", "b", "b", "rare", None], dtype=wider)})
    assert fitted(values, schema, Budget()).counts_[0].tolist() == [1, 2]


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
    with pytest.raises(ValueError, match="discretiser must be one of"):
        DpMarginals(discretiser="guess").fit(
            mixed_table(3), schema=MIXED, budget=private, rng=np.random.default_rng(0)
        )


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


def test_utility_grows_with_epsilon():
    """Mean over seeds of how far the drawn shares are from those of the rows."""
    table = mixed_table(1_000, seed=1)
    k = MIXED["k"]
    shares = np.bincount(k.numbers(table["k"]).astype(int), minlength=5) / len(table)
    means = []
    for epsilon in (0.01, 0.1, 1.0):
        distances = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            generator = DpMarginals().fit(
                table, schema=MIXED, budget=Budget(epsilon, 1e-5), rng=rng
            )
            drawn = k.numbers(generator.sample(50_000, rng=rng)["k"]).astype(int)
            distances.append(np.abs(np.bincount(drawn, minlength=5) / 50_000 - shares).sum())
        means.append(np.mean(distances))
    assert means[0] > 2 * means[1] > 4 * means[2], means
