"""Canaries: tables of which it is known what they leak, and what the evaluators say of them.

Expected ranges were measured elsewhere, with other code, on 2,000 members and 2,000 non-members.
"""

from __future__ import annotations

import canaries
import numpy as np
import pandas as pd
import pytest
from datasets_at_hand import names, spec_and_table

from syntharena.bench.content import row_hashes
from syntharena.bench.contracts import Budget, Measured, Tables
from syntharena.bench.data.splits import release_split
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators.copies import Copies
from syntharena.evaluators.membership import Membership
from syntharena.evaluators.nearest import Nearest
from syntharena.generators.smote import Smote

N = 2000
FRACTIONS = {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15}


def parts_of(table, n, seed):
    """Divide a table into train, holdout and reference of n rows each, and the rest."""
    order = np.random.default_rng(seed).permutation(len(table))
    cuts = (order[:n], order[n : 2 * n], order[2 * n : 3 * n], order[3 * n :])
    return [table.iloc[cut].reset_index(drop=True) for cut in cuts]


def plain(values):
    return {k: v.value if isinstance(v, Measured) else v for k, v in values.items()}


def attacked(schema, train, holdout, reference, synthetic, *, rows=N, attacks=None):
    tables = Tables(train, holdout, reference, synthetic)
    found = {}
    for evaluator in (Membership(rows, attacks), Copies()):
        found |= evaluator.evaluate(tables, schema=schema, rng=np.random.default_rng(0))
    return plain(found)


@pytest.fixture(scope="module")
def adult():
    dataset = spec_and_table("adult")
    return dataset.schema, dataset.table.drop_duplicates()


# name: (maker, AUC from to, TPR at 1 % from to, exact-match excess, whether it is flagged)
ADULT = {
    "fresh": (canaries.fresh, (0.47, 0.53), (0, 0.025), (0, 0.003), False),
    "independent": (canaries.independent, (0.47, 0.53), (0, 0.025), (0, 0.003), False),
    "bootstrap": (canaries.bootstrap, (0.78, 0.85), (0.55, 0.70), (1, 1), True),
    "copy": (canaries.copy, (0.999, 1), (0.999, 1), (1, 1), True),
    "copied 10 %": (canaries.copied(0.10), (0.535, 0.60), (0.09, 0.13), (0.095, 0.105), True),
    "copied 1 %": (canaries.copied(0.01), (0.49, 0.545), (0, 0.04), (0.008, 0.012), True),
    "cells 10 %": (canaries.resampled(0.10), (0.77, 0.83), (0.30, 0.50), (0.35, 0.50), True),
    "cells 30 %": (canaries.resampled(0.30), (0.67, 0.74), (0.08, 0.26), (0.03, 0.09), True),
    "cells 50 %": (canaries.resampled(0.50), (0.56, 0.63), (0.02, 0.06), (0, 0.01), True),
}


@pytest.mark.parametrize("name", ADULT)
def test_membership_on_adult_says_what_is_known(name, adult):
    schema, table = adult
    make, auc, tpr, exact, flagged = ADULT[name]
    train, holdout, reference, rest = parts_of(table, N, seed=3)
    synthetic = make(train, rest, schema, np.random.default_rng(4))
    found = attacked(schema, train, holdout, reference, synthetic)
    assert auc[0] <= found["mia_auc_score"] <= auc[1]
    assert tpr[0] <= found["mia_tpr_at_1pct_fpr_score"] <= tpr[1]
    assert exact[0] <= found["exact_match_excess_error"] <= exact[1]
    assert found["memorisation_error"] == flagged
    assert not isinstance(found["mia_tpr_at_0_1pct_fpr_score"], str)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    pixels = load_digits().data
    pixels = pixels + np.random.default_rng(0).uniform(0, 0.01, size=pixels.shape)
    columns = tuple(Column(f"p{i}", "continuous", minimum=0, maximum=17) for i in range(64))
    return Schema(columns), pd.DataFrame({c.name: pixels[:, i] for i, c in enumerate(columns)})


def smote(train, population, schema, rng):
    fitted = Smote(neighbours=5).fit(train, schema=schema, budget=Budget(), rng=rng)
    return fitted.sample(len(train), rng=rng)


DIGITS = {
    "fresh": (canaries.fresh, (0.45, 0.58), False),
    "bootstrap": (canaries.bootstrap, (0.77, 0.86), True),
    "noise 0.1": (canaries.noised(0.1), (0.77, 0.86), True),
    "noise 0.5": (canaries.noised(0.5), (0.76, 0.86), True),
    "noise 1.0": (canaries.noised(1.0), (0.62, 0.82), True),
    "smote": (smote, (0.79, 0.90), True),
}


@pytest.mark.parametrize("name", DIGITS)
def test_noise_and_interpolation_of_numbers_are_seen_through(name, digits):
    schema, table = digits
    make, auc, flagged = DIGITS[name]
    train, holdout, reference, rest = parts_of(table, 440, seed=5)
    synthetic = make(train, rest, schema, np.random.default_rng(6))
    found = attacked(schema, train, holdout, reference, synthetic)
    assert auc[0] <= found["mia_auc_score"] <= auc[1]
    assert found["memorisation_error"] == flagged
    if name not in ("fresh", "bootstrap"):
        assert found["exact_match_excess_error"] == 0  # blind to it, so it cannot be the only test
    assert "needs 2000" in found["mia_tpr_at_0_1pct_fpr_score"]


def test_a_sound_histogram_that_matches_nearly_every_record_is_not_accused():
    rng = np.random.default_rng(7)
    sizes = (2, 2, 3, 3, 2, 5, 2, 3, 2)
    columns = tuple(
        Column(f"c{i}", "categorical", categories=tuple(map(str, range(size))))
        for i, size in enumerate(sizes)
    )
    schema = Schema(columns)
    weights = [rng.dirichlet(np.full(size, 0.5)) for size in sizes]
    draws = {
        c.name: c.from_codes(rng.choice(len(w), 60_000, p=w))
        for c, w in zip(columns, weights, strict=True)
    }
    train, holdout, reference, rest = parts_of(schema.assemble(draws), 20_000, seed=8)
    synthetic = canaries.histogram(epsilon=1.0, draws=3)(train, rest, schema, rng)
    seen = set(row_hashes(synthetic, schema))
    records = set(row_hashes(train, schema))
    assert len(records & seen) / len(records) > 0.998
    found = attacked(schema, train, holdout, reference, synthetic)
    assert found["exact_match_excess_error"] < 0.01
    assert found["exact_match_p_score"] > 0.01
    assert found["memorisation_error"] == 0


def test_a_duplicate_among_the_non_members_does_not_hide_a_copy(adult):
    schema, table = adult
    train, holdout, reference, _ = parts_of(table, N + 300, seed=9)
    shared = pd.concat([holdout.iloc[200:], train.iloc[:200]], ignore_index=True)
    found = attacked(schema, train, shared, reference, train)
    assert found["mia_tpr_at_0_1pct_fpr_score"] == 1


def test_fresh_rows_are_falsely_flagged_in_none_of_forty_seeds(adult):
    schema, table = adult
    flagged = 0
    for seed in range(40):
        train, holdout, reference, rest = parts_of(table, 150, seed)
        flagged += attacked(schema, train, holdout, reference, rest.iloc[:150])[
            "memorisation_error"
        ]
    assert flagged == 0


@pytest.mark.slow
def test_fresh_rows_are_falsely_flagged_in_less_than_one_in_a_hundred_of_200_seeds(adult):
    schema, table = adult
    flagged = 0
    for seed in range(200):
        train, holdout, reference, rest = parts_of(table, 1000, seed)
        synthetic = canaries.fresh(train, rest, schema, np.random.default_rng(seed))
        found = attacked(schema, train, holdout, reference, synthetic)
        flagged += found["memorisation_error"]
    assert flagged < 2


ALL_ALIKE = {"three_bits"}  # tables in which no row differs from all others


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "german_credit" else pytest.mark.slow)
        for name in names()
        if name not in ALL_ALIKE
    ],
)
def test_a_bootstrap_of_train_is_flagged_on_every_dataset(name):
    dataset = spec_and_table(name)
    rng = np.random.default_rng(11)
    parts = release_split(dataset, fractions=FRACTIONS, rng=rng)
    train, holdout, reference, fresh = (parts[part] for part in FRACTIONS)
    schema = dataset.schema
    found = attacked(
        schema, train, holdout, reference, canaries.bootstrap(train, fresh, schema, rng)
    )
    assert found["memorisation_error"] == 1, found
    assert attacked(schema, train, holdout, reference, fresh)["memorisation_error"] == 0


@pytest.mark.parametrize("name", sorted(ALL_ALIKE))
def test_where_no_row_differs_from_all_others_nothing_is_said_of_copies(name):
    dataset = spec_and_table(name)
    parts = release_split(dataset, fractions=FRACTIONS, rng=np.random.default_rng(11))
    train, holdout, reference, fresh = (parts[part] for part in FRACTIONS)
    found = attacked(dataset.schema, train, holdout, reference, fresh)
    assert "needs 20 rows without a duplicate" in found["memorisation_error"]


@pytest.mark.parametrize(("name", "low", "high"), [("bootstrap", 0.9, 1), ("fresh", 0, 0.06)])
def test_the_dcr_share_is_close_to_one_for_copies_and_to_chance_for_fresh_rows(
    name, low, high, adult
):
    schema, table = adult
    train, holdout, reference, rest = parts_of(table, N, seed=12)
    synthetic = ADULT[name][0](train, rest, schema, np.random.default_rng(13))
    tables = Tables(train, holdout, reference, synthetic)
    values = plain(Nearest().evaluate(tables, schema=schema, rng=np.random.default_rng(0)))
    assert low <= values["dcr_share_error"] <= high
