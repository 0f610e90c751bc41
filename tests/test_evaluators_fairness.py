"""Fairness: closed forms, plain counts, and groups that nobody can hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators import gaps
from syntharena.evaluators.decisions import Decisions
from syntharena.evaluators.fairness import Fairness
from syntharena.evaluators.groups import Groups, Labels

SEX = Column("sex", "categorical", categories=("Female", "Male"), missing=True)
RACE = Column("race", "categorical", categories=("a", "b", "c"))
SCORE = Column("score", "continuous", minimum=-9, maximum=9)
LABEL = Column("income", "categorical", categories=("low", "high"))
SCHEMA = Schema((SEX, RACE, SCORE, LABEL), "income", "binary", ("sex",))


def rng(seed=0):
    return np.random.default_rng(seed)


def table(n, seed, rule):
    """Rows whose label is ``rule(sex, score, random)``."""
    r = rng(seed)
    sex, score = r.integers(0, 2, n), r.normal(size=n)
    label = np.asarray(rule(sex, score, r)).astype(int)
    return SCHEMA.assemble(
        {
            "sex": SEX.from_codes(sex),
            "race": RACE.from_codes(r.choice(3, n, p=[0.6, 0.35, 0.05])),
            "score": SCORE.from_numbers(score),
            "income": LABEL.from_codes(label),
        }
    )


def values(rule, schema=SCHEMA, synthetic=None, sizes=(1500, 1000, 1500)):
    train, holdout, same = (table(n, seed, rule) for seed, n in enumerate(sizes))
    tables = Tables(train, holdout, holdout, same if synthetic is None else synthetic)
    return Fairness().evaluate(tables, schema=schema, rng=rng())


def test_a_label_that_is_the_group_is_as_unfair_as_can_be():
    found = values(lambda sex, score, r: sex)
    for name in ("demographic_parity_error", "ftu_error", "label_parity_error"):
        assert found[name].value == 1, name
        assert found[f"column_{name}[sex]"] == found[name]
    for name in ("trtr_demographic_parity_error", "trtr_ftu_error", "train_label_parity_error"):
        assert found[name].value == 1, name
    # nobody of the class in one group, nobody outside it in the other: no rate to compare
    assert found["equalised_odds_error"] == gaps.TOO_FEW
    assert found["label_parity_change_error"].value == 0


def test_a_label_that_ignores_the_group_is_fair():
    found = values(lambda sex, score, r: score > 0)
    assert found["ftu_error"].value == 0
    for name in ("demographic_parity_error", "equalised_odds_error", "label_parity_error"):
        assert found[name].low == 0, name
        assert found[name].value < 0.08, name
    assert found["worst_group_auroc_score"].value > 0.99


def test_a_label_shifted_by_the_group_changes_by_the_shift():
    # high above 0 for one sex and above 1 for the other: P(0 < z < 1) = 0.3413
    found = values(lambda sex, score, r: score > sex, sizes=(4000, 3000, 4000))
    for name in ("demographic_parity_error", "ftu_error", "label_parity_error"):
        assert found[name].value == pytest.approx(0.3413, abs=0.04), name
        assert found[name].low < 0.3413 < found[name].high, name


def test_the_model_learned_from_train_shows_what_an_unbiased_table_removed():
    fair = table(1500, 9, lambda sex, score, r: score > 0)
    found = values(lambda sex, score, r: score > sex, synthetic=fair)
    assert found["ftu_error"].value < 0.02
    assert found["trtr_ftu_error"].value > 0.3
    assert found["label_parity_error"].value < 0.08
    change = found["label_parity_change_error"]
    assert change.low <= change.value <= change.high
    assert change.value == pytest.approx(
        found["train_label_parity_error"].value - found["label_parity_error"].value
    )


def decisions(n, seed, classes):
    r = rng(seed)
    scores = r.random((n, classes))
    truth = r.integers(-1, classes, n)
    schema = replace(SCHEMA, target=None, task=None)
    holdout = table(n, seed, lambda sex, score, r: sex)
    made = Decisions(holdout, truth, scores.argmax(axis=1), scores, lambda t: np.zeros(len(t), int))
    return made, Groups(schema["race"], holdout), holdout["race"]


@pytest.mark.parametrize("classes", [2, 3])
def test_parity_and_odds_are_those_of_a_plain_count(classes):
    made, groups, race = decisions(1200, 3, classes)
    frame = pd.DataFrame({"race": race, "truth": made.truth, "decided": made.decided})
    parity, odds = [], []
    for label in range(classes):
        flag = frame["decided"] == label
        parity.append(np.ptp(flag.groupby(frame["race"], observed=True).mean()))
        of_class = frame["truth"] == label
        others = (frame["truth"] >= 0) & ~of_class
        for rows in (of_class, others):
            rates = flag[rows].groupby(frame["race"][rows], observed=True)
            odds.append(np.ptp(rates.mean()[rates.size() >= gaps.LEAST]))
    assert made.demographic_parity(groups).value == pytest.approx(max(parity), abs=1e-12)
    assert made.equalised_odds(groups).value == pytest.approx(max(odds), abs=1e-12)


def test_scores_of_each_group_are_those_of_its_rows():
    from sklearn.metrics import recall_score, roc_auc_score

    made, groups, race = decisions(3000, 4, 2)
    areas, recalls = made.areas(groups, 0.95), made.recalls(groups, 0.95)
    for name in "abc":
        rows = ((race == name) & (made.truth >= 0)).to_numpy()
        truth = made.truth[rows]
        assert areas[f"race={name}"].value == pytest.approx(
            roc_auc_score(truth, made.scores[rows, 1])
        )
        assert recalls[f"race={name}"].value == recall_score(truth, made.decided[rows])


def test_small_groups_are_not_compared():
    hits, sizes = np.array([[0, 20, 29]]), np.array([[50, 40, 29]])
    assert gaps.widest(hits, sizes).value == 0.5
    assert gaps.widest(hits[:, 1:], sizes[:, 1:]) == gaps.TOO_FEW
    found = values(
        lambda sex, score, r: score > 0,
        schema=replace(SCHEMA, sensitive=("race",)),
        sizes=(900, 300, 900),
    )
    assert found["group_recall_score[race=c]"].endswith("rows of the class, fewer than 30")
    assert found["group_auroc_score[race=c]"].endswith("with 10 in a class and 10 outside it")
    assert isinstance(found["worst_group_recall_score"], Measured)


def test_intervals_of_the_largest_gap_hold_the_truth():
    rates, sizes = np.array([0.2, 0.25, 0.4, 0.3]), np.array([300, 60, 200, 500])
    found = [gaps.widest(rng(s).binomial(sizes, rates)[None], sizes[None]) for s in range(150)]
    assert np.mean([one.low <= 0.2 <= one.high for one in found]) >= 0.95
    equal = [gaps.widest(rng(s).binomial(sizes, 0.3)[None], sizes[None]) for s in range(150)]
    assert np.mean([one.low == 0 for one in equal]) >= 0.95


def test_a_group_that_the_table_drops_is_a_reason_and_a_loss_of_representation():
    rule = lambda sex, score, r: score > 0  # noqa: E731
    some = table(3000, 7, rule)
    found = values(rule, synthetic=some[some["sex"] == "Male"].reset_index(drop=True))
    reason = "sex=Female has 0 labelled rows, fewer than 30"
    assert found["label_parity_error"].startswith(reason)
    assert found["label_parity_change_error"].startswith(reason)
    share = (table(1500, 0, rule)["sex"] == "Female").mean()
    assert found["group_representation_error"] == pytest.approx(share)
    assert found["group_label_representation_error"] >= share - 1e-12
    assert isinstance(found["train_label_parity_error"], Measured)


def test_representation_counts_missing_values_and_cells():
    train = SCHEMA.assemble(
        {
            "sex": SEX.from_codes(np.repeat([0, 1, -1], [50, 30, 20])),
            "race": RACE.from_codes(np.zeros(100, int)),
            "score": SCORE.from_numbers(np.arange(100) / 50),
            "income": LABEL.from_codes(np.arange(100) % 2),
        }
    )
    other = train.assign(
        sex=SEX.from_codes(np.repeat([0, 1, -1], [50, 50, 0])), income=LABEL.from_codes([0] * 100)
    )
    tables = Tables(train, train, train, other)
    found = Fairness().evaluate(tables, schema=SCHEMA, rng=rng())
    assert found["group_representation_error"] == pytest.approx(0.2)
    # cells (F, M, missing) x (low, high): train 25 25 15 15 10 10, table 50 0 50 0 0 0
    assert found["group_label_representation_error"] == pytest.approx(0.6)
    same = Fairness().evaluate(replace(tables, synthetic=train), schema=SCHEMA, rng=rng())
    assert same["group_representation_error"] == same["group_label_representation_error"] == 0


def test_numbers_are_grouped_at_the_quartiles_of_train():
    train = pd.DataFrame({"score": np.arange(1.0, 9.0)})
    groups = Groups(SCORE, train)
    assert groups.names == (
        "score < 2.75",
        "2.75 <= score < 4.5",
        "4.5 <= score < 6.25",
        "score >= 6.25",
    )
    shifted = pd.DataFrame({"score": [0.0, 2.75, 6.0, 9.0, np.nan]})
    assert groups.codes(shifted).tolist() == [0, 1, 2, 3, -1]
    assert groups.everyone_in(1, shifted)["score"].tolist() == [3.5] * 5
    assert len(Groups(SCORE, pd.DataFrame({"score": [3.0] * 9}))) == 1
    day = Column("day", "datetime")
    days = day.from_numbers(86400 * np.arange(4.0))
    assert Groups(day, days.to_frame()).names[0] == "day < 1970-01-01T18:00:00"


def test_a_regression_target_is_judged_by_its_median():
    amount = Column("amount", "continuous")
    schema = Schema((SEX, SCORE, amount), "amount", "regression", ("sex", "score"))

    def made(n, seed):
        rows = table(n, seed, lambda sex, score, r: sex)
        sex = np.arange(n) % 2  # as many of each, so that the median of train lies between them
        amount = sex * 10 + rows["score"].to_numpy()
        return rows[["score"]].assign(sex=SEX.from_codes(sex), amount=amount)

    tables = Tables(made(1000, 0), made(800, 1), made(10, 2), made(1000, 3))
    found = Fairness().evaluate(tables, schema=schema, rng=rng())
    assert found["column_demographic_parity_error[sex]"].value == pytest.approx(1, abs=0.01)
    assert found["column_ftu_error[sex]"].value > 0.97
    # the score shifts nobody across the median
    assert found["column_ftu_error[score]"].value < 0.05
    assert found["column_label_parity_error[sex]"].value == pytest.approx(1, abs=0.03)
    assert Labels(amount, tables.train).names[1].startswith("amount > ")


def test_the_worst_column_stands_for_all_and_a_reason_that_hides_one_for_itself():
    one, other = Measured(0.3, 0.1, 0.4), Measured(0.2, 0.15, 0.6)
    assert gaps.worst([one, gaps.TOO_FEW, other]) == Measured(0.3, 0.15, 0.6)
    assert gaps.worst([one, other], smallest=True) == Measured(0.2, 0.1, 0.4)
    assert gaps.worst([one, "dropped"]) == "dropped"
    assert gaps.worst([0.5, 0.25]) == 0.5
    assert gaps.worst([gaps.TOO_FEW]) == gaps.TOO_FEW


def test_what_cannot_be_measured_says_why():
    usual = table(100, 0, lambda sex, score, r: sex)
    tables = Tables(usual, usual, usual, usual)
    nobody = Fairness().evaluate(tables, schema=replace(SCHEMA, sensitive=()), rng=rng())
    assert set(nobody.values()) == {"the Schema names no sensitive column"}
    itself = Fairness().evaluate(tables, schema=replace(SCHEMA, sensitive=("income",)), rng=rng())
    assert itself == nobody
    no_target = replace(SCHEMA, target=None, task=None)
    found = Fairness().evaluate(tables, schema=no_target, rng=rng())
    assert found.pop("group_representation_error") == 0
    assert found.pop("column_group_representation_error[sex]") == 0
    assert set(found.values()) == {"the table has no target"}
    empty = Fairness().evaluate(replace(tables, synthetic=usual[:0]), schema=SCHEMA, rng=rng())
    assert set(empty.values()) == {"synthetic has no rows"}
    with pytest.raises(ValueError, match="set model=xgboost"):
        Fairness("oracle")


def test_pictures_show_each_group_of_each_sensitive_column():
    from matplotlib.figure import Figure

    usual = table(200, 0, lambda sex, score, r: sex)
    schema = replace(SCHEMA, sensitive=("sex", "race"))
    tables = Tables(usual, usual, usual, usual[:150].reset_index(drop=True))
    pictures = Fairness().pictures(tables, schema=schema, rng=rng())
    assert [picture.title for picture in pictures] == [
        "Groups of race",
        "income=high by race",
        "Groups of sex",
        "income=high by sex",
    ]
    axes = Figure().subplots()
    pictures[3].draw(axes)
    assert {text.get_text() for text in axes.get_yticklabels()} == {"Male", "Female"}
    widths = sorted(bar.get_width() for bar in axes.patches)
    assert widths == [0, 0, 1, 1]  # by group, train and synthetic alike
