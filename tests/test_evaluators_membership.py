"""Membership: candidates, measures and tests against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from canaries import independent
from scipy.stats import fisher_exact, gaussian_kde
from sklearn.metrics import roc_auc_score, roc_curve

from syntharena.bench.content import row_hashes
from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators import kernels
from syntharena.evaluators.attacks import ATTACKS, Evidence
from syntharena.evaluators.copies import Copies
from syntharena.evaluators.kernels import Density
from syntharena.evaluators.matches import excess_of_copies, matched, more_hits_p
from syntharena.evaluators.membership import (
    Membership,
    Scores,
    candidates,
    rank_test_p,
    roc,
    success,
    top_test_p,
)

NUMBERS = Schema(
    (
        Column("x", "continuous", minimum=0, maximum=1),
        Column("y", "continuous", minimum=0, maximum=1),
        Column("c", "categorical", categories=("a", "b", "c")),
    )
)


def rows(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.random(n)
    return NUMBERS.assemble(
        {
            "x": NUMBERS["x"].from_numbers(x),
            "y": NUMBERS["y"].from_numbers(np.clip(x + rng.normal(scale=0.1, size=n), 0, 1)),
            "c": NUMBERS["c"].from_codes(rng.integers(3, size=n)),
        }
    )


def test_candidates_are_disjoint_unique_and_equally_many():
    shared = rows(30, 0)
    train = pd.concat([rows(300, 1), shared, rows(300, 1).iloc[:5]], ignore_index=True)
    holdout = pd.concat([shared, rows(120, 2)], ignore_index=True)
    tables = Tables(train, holdout, rows(90, 3), rows(10, 4))
    drawn = candidates(tables, NUMBERS, 5000, np.random.default_rng(0))
    hashes = [set(row_hashes(table, NUMBERS)) for table in drawn]
    assert [len(found) for found in hashes] == [90, 90, 90]
    assert not hashes[0] & hashes[1]
    assert not (hashes[0] | hashes[1]) & hashes[2]
    twice = set(row_hashes(shared, NUMBERS)) | set(row_hashes(train.iloc[:5], NUMBERS))
    assert not twice & (hashes[0] | hashes[1])
    assert hashes[0] <= set(row_hashes(train, NUMBERS))
    assert hashes[1] <= set(row_hashes(holdout, NUMBERS))


def test_too_few_rows_give_a_reason_and_copies_are_counted_all_the_same():
    tables = Tables(rows(100, 1), rows(100, 2), rows(5, 3), rows(100, 1))
    values = Membership().evaluate(tables, schema=NUMBERS, rng=np.random.default_rng(0))
    assert "5 in reference" in values["mia_auc_score"]
    assert "5 in reference" in values["memorisation_error"]
    copies = Copies().evaluate(tables, schema=NUMBERS, rng=np.random.default_rng(0))
    assert copies["exact_match_excess_error"] == 1
    assert copies["exact_match_p_score"] < 1e-20
    assert copies["column_copied_value_error[x]"] == copies["copied_value_error"] == 1


def test_shuffled_columns_repeat_values_and_no_rows():
    train = rows(200, 1)
    shuffled = independent(train, None, NUMBERS, np.random.default_rng(0))
    tables = Tables(train, rows(100, 2), rows(100, 3), shuffled)
    values = Copies().evaluate(tables, schema=NUMBERS, rng=np.random.default_rng(0))
    assert values["exact_match_excess_error"] == 0
    assert values["exact_match_p_score"] == 1
    assert values["copied_value_error"] == 1


def test_matches_count_what_occurs_once():
    found = matched(np.array([1, 2, 5, 9]), np.array([1, 2, 3, 3, 4]), np.array([4, 5, 6]))
    assert (found.hits, found.members, found.other_hits, found.others) == (2, 2, 1, 2)
    assert found.excess == 0.5
    assert matched(np.array([1]), np.array([1, 1]), np.array([2])) is None


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_tells_copied_rows_from_others(attack):
    members, others, reference = rows(300, 1), rows(300, 2), rows(300, 3)
    both = pd.concat([members, others], ignore_index=True)
    scores = ATTACKS[attack](Evidence(both, members, reference, NUMBERS))
    assert np.isfinite(scores).all()
    label = np.arange(600) < 300
    smooth = {"domias_kde": 0.55, "gen_lra": 0.6, "classifier": 0.6}  # they see no single row
    assert roc_auc_score(label, scores) > smooth.get(attack, 0.8)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_knows_more_than_the_synthetic_rows_say(attack):
    both = pd.concat([rows(400, 1), rows(400, 2)], ignore_index=True)
    scores = ATTACKS[attack](Evidence(both, rows(400, 5), rows(400, 3), NUMBERS))
    assert roc_auc_score(np.arange(800) < 400, scores) == pytest.approx(0.5, abs=0.07)


def test_success_is_read_from_the_roc_curve():
    rng = np.random.default_rng(0)
    scores = Scores(rng.integers(0, 40, 900) + 5.0, rng.integers(0, 40, 1100) + 0.0)
    label = np.repeat([1, 0], [900, 1100])
    values = np.concatenate([scores.members, scores.others])
    area = success(scores, None, 0.95, rng)
    assert isinstance(area, Measured)
    assert area.value == pytest.approx(roc_auc_score(label, values), abs=1e-12)
    false, true, _ = roc_curve(label, values, drop_intermediate=False)
    ours = roc(scores)
    assert np.allclose(ours, (false, true))
    for rate in (0.01, 0.1, 0.3):
        found = success(scores, rate, 0.95, rng)
        assert isinstance(found, Measured)
        assert found.value == pytest.approx(true[false <= rate + 1e-12].max(), abs=1e-12)
        assert found.low <= found.value <= found.high


def test_a_rate_that_the_sample_cannot_show_is_no_number():
    few = Scores(np.arange(150.0), np.arange(150.0))
    assert "needs 200 non-members, there are 150" in success(
        few, 0.01, 0.95, np.random.default_rng(0)
    )
    assert isinstance(success(few, 0.1, 0.95, np.random.default_rng(0)), Measured)
    assert "20 members" in success(Scores(np.arange(5.0), np.arange(50.0)), None, 0.95, None)


def test_the_interval_of_a_rate_covers_the_truth():
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    truth = norm.sf(norm.isf(0.05) - 1)
    hits = 0
    for _ in range(300):
        scores = Scores(rng.normal(1, 1, 400), rng.normal(0, 1, 400))
        found = success(scores, 0.05, 0.95, rng)
        hits += found.low <= truth <= found.high
    assert hits / 300 > 0.9


def test_the_tests_are_exact_under_the_null_hypothesis():
    rng = np.random.default_rng(1)
    p = {"rank": [], "top": []}
    for _ in range(500):
        values = rng.normal(size=400).round(1)
        scores = Scores(values[:200], values[200:])
        p["rank"].append(rank_test_p(scores))
        p["top"].append(top_test_p(scores))
    for found in p.values():
        assert np.mean(np.array(found) < 0.05) < 0.075
    assert more_hits_p(8, 20, 2, 30) == pytest.approx(
        fisher_exact([[8, 12], [2, 28]], alternative="greater")[1]
    )
    assert rank_test_p(Scores(np.zeros(30), np.zeros(40))) == 1


def test_copies_are_held_against_the_copies_of_holdout():
    train, holdout = np.arange(400, dtype=np.uint64), np.arange(400, 500, dtype=np.uint64)
    assert excess_of_copies(train, train, holdout) == 1
    assert excess_of_copies(holdout, train, holdout) == 0
    assert excess_of_copies(holdout + np.uint64(1000), train, holdout) == 0
    both = np.concatenate([train, holdout])  # a copy of the whole population favours nobody
    assert excess_of_copies(both, train, holdout) == pytest.approx(0, abs=1e-12)


def test_the_kernel_density_is_scipys(monkeypatch):
    monkeypatch.setattr(kernels, "RIDGE", 0.0)
    rng = np.random.default_rng(2)
    points = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 3))
    queries = rng.normal(size=(50, 3))
    ours = Density(points).logarithm(queries)
    assert np.allclose(ours, gaussian_kde(points.T, "silverman").logpdf(queries.T), atol=2e-4)
    kernel = Density(points).log_kernel(queries[:1] - points)
    assert np.logaddexp.reduce(kernel) - np.log(300) == pytest.approx(ours[0], abs=2e-4)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="attacks must be some of"):
        Membership(attacks=["magic"])
    with pytest.raises(ValueError, match="rows must be at least"):
        Membership(rows=3)
