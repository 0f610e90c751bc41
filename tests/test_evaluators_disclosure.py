"""Disclosure: equal to anonymeter, calibrated on honest rows, and blind to nothing copied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syntharena.bench.contracts import Measured, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.evaluators import gower as module
from syntharena.evaluators.disclosure import Disclosure
from syntharena.evaluators.gower import Gower, each_left_out, halves, nearest
from syntharena.evaluators.guesses import blind, correct, inference, linkage
from syntharena.evaluators.predicates import (
    Index,
    Predicates,
    guessed,
    matches,
    of_rows,
    single_column,
    singles,
)
from syntharena.evaluators.risk import Attack, mean_risk, variant_risks, worst_risk
from syntharena.evaluators.singling_out import chance_removed, multivariate, univariate

ORACLE = json.loads((Path(__file__).parent / "fixtures" / "anonymeter.json").read_text())
NUMBERS = tuple(Column(name, "continuous", minimum=0, maximum=1) for name in "abc")
SCHEMA = Schema((*NUMBERS, Column("color", "categorical", categories=("blue", "green", "red"))))
GIVEN = {name: SCHEMA.conform(pd.DataFrame(columns)) for name, columns in ORACLE["tables"].items()}


def rng(seed=0):
    return np.random.default_rng(seed)


def as_oracle(value):
    return pytest.approx(Measured(value["risk"], value["low"], value["high"]).__dict__, abs=1e-9)


def given(rows):
    return Tables(GIVEN["train"][:rows], GIVEN["holdout"], GIVEN["holdout"][:0], GIVEN["synthetic"])


def drawn(n, seed):
    """Rows of a mixed table whose columns depend on each other, with missing values."""
    r = rng(seed)
    x = r.normal(size=n)
    schema = Schema(
        (
            Column("x", "continuous", minimum=-8, maximum=8, missing=True),
            Column("amount", "integer", minimum=0, maximum=100_000),
            Column("place", "categorical", categories=tuple("pqrst"), missing=True),
            Column("yes", "boolean"),
            Column("day", "datetime", minimum="2000-01-01", maximum="2030-01-01"),
        )
    )
    codes = np.clip(np.rint(x + r.normal(size=n) + 2), 0, 4).astype(int)
    table = schema.assemble(
        {
            "x": schema["x"].from_numbers(np.where(r.random(n) < 0.05, np.nan, x)),
            "amount": schema["amount"].from_numbers(np.exp(x + r.normal(size=n) + 6)),
            "place": schema["place"].from_codes(np.where(r.random(n) < 0.05, -1, codes)),
            "yes": schema["yes"].from_codes((x + r.normal(size=n) > 0).astype(int)),
            "day": schema["day"].from_numbers(1.4e9 + 1e8 * r.normal(size=n)),
        }
    )
    return table, schema


def test_risks_and_intervals_equal_anonymeters():
    for case in ORACLE["rates"]:
        pairs = zip(case["attacks"], case["counts"], strict=True)
        sides = [np.arange(n)[:, None] < k for n, k in pairs]
        attack = Attack(sides[0], sides[1], np.zeros(1))
        for risk in (mean_risk(attack), *variant_risks(attack)):
            if case["successes"] == 0:
                assert isinstance(risk, str)
            else:
                assert risk.__dict__ == as_oracle(case)


def test_linked_rows_equal_anonymeters():
    names = SCHEMA.names
    see = halves([np.array([names.index(name) for name in ORACLE["halves"][0]])])
    gower = Gower(SCHEMA.columns, GIVEN["train"])
    sides = GIVEN["train"][:60], GIVEN["holdout"]
    found = [nearest(gower, side, GIVEN["synthetic"], see) for side in sides]
    main, control = ((near[0] == near[1])[:, None] for near in found)
    assert [main.sum(), control.sum()] == [
        ORACLE["linkability"][key] for key in ("successes", "control")
    ]
    assert mean_risk(Attack(main, control, np.zeros(1))).__dict__ == as_oracle(
        ORACLE["linkability"]
    )


def test_guessed_columns_equal_anonymeters():
    attack = inference(given(80), SCHEMA, 80, rng())
    risks = variant_risks(attack)
    for position, (name, value) in enumerate(sorted(ORACLE["inference"].items())):
        assert attack.main[:, position].sum() == value["successes"], name
        assert attack.control[:, position].sum() == value["control"], name
        assert risks[position].__dict__ == as_oracle(value), name


def test_singled_out_rows_equal_anonymeters():
    expected = ORACLE["univariate"]
    attack = univariate(given(60), SCHEMA, 1000, rng())
    assert attack.main.shape == (expected["predicates"], 1)
    assert attack.main.sum() == expected["successes"]
    assert attack.control.sum() == pytest.approx(expected["control"])
    assert mean_risk(attack).__dict__ == as_oracle(expected)


def test_predicates_on_several_columns_match_the_rows_that_anonymeters_match():
    expected = ORACLE["multivariate"]
    names = SCHEMA.names
    columns = np.array([[names.index(name) for name in chosen] for chosen in expected["columns"]])
    synthetic = Index.of(GIVEN["synthetic"], SCHEMA.columns)
    predicates = of_rows(synthetic, np.array(expected["rows"]), columns)
    for name, table in GIVEN.items():
        index = Index.of(table, SCHEMA.columns)
        assert matches(predicates, index).tolist() == expected[name], name
        assert singles(predicates, index).tolist() == [n == 1 for n in expected[name]], name


def fulfilled(predicates, keys):
    """Count matches one predicate at a time, the slow way."""
    counts = []
    for i in range(len(predicates)):
        value = keys[predicates.columns[i]]
        low, high, negated = (
            part[i][:, None] for part in (predicates.low, predicates.high, predicates.negated)
        )
        inside = (low <= value) & (value <= high)
        holds = np.where(negated, ~inside & (value < np.inf), inside)
        counts.append(int(holds.all(axis=0).sum()))
    return counts


@pytest.mark.parametrize("width", [1, 2, 5])
def test_random_predicates_are_counted_as_one_by_one(width):
    table, schema = drawn(700, 1)
    index = Index.of(table, schema.columns)
    predicates = guessed(index, 400, width, rng(3))
    assert (np.diff(predicates.columns, axis=1) > 0).all()
    counts = fulfilled(predicates, index.keys)
    assert matches(predicates, index).tolist() == counts
    assert singles(predicates, index).tolist() == [n == 1 for n in counts]
    assert len(set(counts)) > 20
    assert predicates.negated.any()


def test_every_predicate_on_one_column_singles_out_a_row_and_none_is_left_out():
    column = Column("x", "continuous", minimum=0, maximum=9, missing=True)
    flag = Column("f", "categorical", categories=("a", "b"), missing=True)
    table = Schema((column, flag)).assemble(
        {
            "x": column.from_numbers(np.array([1, 2, 2, 5, np.nan, 7.0])),
            "f": flag.from_codes(np.array([0, 0, 1, -1, 0, 0])),
        }
    )
    found = single_column(Index.of(table, (column, flag)))
    inf, most = np.inf, np.finfo(float).max
    conditions = set(zip(found.columns[:, 0], found.low[:, 0], found.high[:, 0], strict=True))
    assert conditions == {
        *((0, v, v) for v in (1, 5, 7, inf)),
        (0, -inf, 1),
        (0, 7, most),
        (1, 1, 1),
        (1, inf, inf),
    }
    assert (matches(found, Index.of(table, (column, flag))) == 1).all()


def test_a_table_of_train_size_that_swaps_rows_for_holdout_is_singled_out_as_often_as_train():
    table, schema = drawn(1300, 2)
    index = Index.of(table, schema.columns)
    predicates = guessed(index, 4000, 2, rng(4))
    main, control = 0.0, 0.0
    for seed in range(30):
        order = rng(seed).permutation(1300)
        train, holdout = (
            matches(predicates, Index.of(table.iloc[part], schema.columns))
            for part in (order[:1000], order[1000:])
        )
        main += (train == 1).sum() / 30
        control += ((holdout == 1) * chance_removed(train, 300, 1000)).sum() * 1000 / 300 / 30
    assert control == pytest.approx(main, rel=0.05)
    assert chance_removed(np.array([0, 1, 2, 5]), 4, 10) == pytest.approx([1, 0.4, 0.4 * 3 / 9, 0])


@pytest.mark.parametrize("cells", [10, 3000, 2**19])
def test_nearest_rows_are_those_of_the_plain_distance_under_every_view(cells, monkeypatch):
    monkeypatch.setattr(module, "CELLS", cells)
    table, schema = drawn(400, 5)
    queries, rows = table[:40], table[40:]
    gower = Gower(schema.columns, table)
    apart = np.stack([plain(column, queries, rows) for column in schema])
    some = [np.array([1, 3]), np.array([4])]
    views = {
        each_left_out: [[0], [1], [2], [3], [4]],
        halves(some): [[0, 2, 4], [1, 3], [0, 1, 2, 3], [4]],
    }
    for see, hidden in views.items():
        found = nearest(gower, queries, rows, see)
        for view, columns in zip(found, hidden, strict=True):
            seen = np.delete(apart, columns, axis=0).sum(axis=0)
            assert seen[np.arange(40), view] == pytest.approx(seen.min(axis=1), abs=1e-6)


def plain(column, queries, rows):
    if column.is_discrete:
        a, b = (column.codes(side[column.name]) for side in (queries, rows))
        return (a[:, None] != b).astype(float)
    a, b = (column.numbers(side[column.name]) for side in (queries, rows))
    width = column.upper - column.lower
    apart = np.minimum(np.abs(a[:, None] - b) / width, 1)
    absent = np.isnan(a)[:, None] + np.isnan(b).astype(int)
    return np.where(absent == 0, apart, absent == 1)


def test_tied_halves_are_linked_as_often_as_the_first_of_their_nearest_rows_is_shared():
    schema = Schema(tuple(Column(name, "categorical", categories=("a", "b")) for name in "xy"))
    codes = {"x": [0, 0, 0, 1], "y": [0, 0, 1, 0]}  # nearest to (a, a): rows 0-2 and 0, 1, 3
    synthetic = schema.assemble({c.name: c.from_codes(np.array(codes[c.name])) for c in schema})
    table = schema.assemble({c.name: c.from_codes(np.zeros(50, dtype=int)) for c in schema})
    tables = Tables(table, table, table, synthetic)
    linked = [linkage(tables, schema, 50, 1, rng(seed)).main.all() for seed in range(400)]
    assert np.mean(linked) == pytest.approx(1 / 2, abs=0.07)  # two of four rows


def test_guesses_of_numbers_count_within_a_twentieth_of_their_size():
    column = Column("x", "continuous", missing=True)
    guesses = np.array([100, 100, 0, 0, -100, -100, np.nan, np.nan])
    secrets = np.array([105, 106, 0, 1, -95, 50, np.nan, 1])
    found = correct(column, column.from_numbers(guesses), column.from_numbers(secrets))
    assert found.tolist() == [True, False, True, False, True, False, True, False]
    day = Column("d", "datetime", minimum="2000-01-01", maximum="2000-04-10")  # 100 days
    dates = [day.from_numbers(9.5e8 + 86400 * np.array(days)) for days in ([0.0, 0], [5.0, 6])]
    assert correct(day, *dates).tolist() == [True, False]


def test_the_chance_of_a_blind_guess_is_that_of_all_pairs():
    table, schema = drawn(120, 6)
    values, secrets = table[:70], table[70:].reset_index(drop=True)
    for column in schema:
        hits = [
            correct(column, values[column.name].iloc[[i] * 50], secrets[column.name]).mean()
            for i in range(70)
        ]
        if column.kind == "datetime":
            continue
        found = blind(column, values[column.name], secrets[column.name])
        assert found == pytest.approx(np.mean(hits)), column.name


def test_copies_carry_every_risk_and_fresh_rows_none():
    train, schema = drawn(1000, 10)
    holdout, fresh = drawn(500, 11)[0], drawn(1000, 12)[0]
    evaluator = Disclosure(attacks=500)
    found = {
        name: evaluator.evaluate(
            Tables(train, holdout, holdout, synthetic), schema=schema, rng=rng(1)
        )
        for name, synthetic in {"copy": train, "fresh": fresh}.items()
    }
    for key, value in found["copy"].items():
        if key == "linkability_error":  # halves of two or three columns tie
            assert value.low > 0.3
        elif key.startswith("singling_out"):
            assert value.value > 0.97
        else:
            assert value.low > 0.4, key
    for key, value in found["fresh"].items():
        assert isinstance(value, str) or value.low == 0, key


def test_honest_rows_are_seldom_flagged():
    flags = {}
    for seed in range(60):
        table, schema = drawn(900, 100 + seed)
        parts = [table[a:b].reset_index(drop=True) for a, b in ((0, 400), (400, 500), (500, 900))]
        tables = Tables(parts[0], parts[1], parts[1], parts[2])
        values = Disclosure(attacks=100).evaluate(tables, schema=schema, rng=rng(seed))
        for key, value in values.items():
            if isinstance(value, Measured):
                flags.setdefault(key, []).append(value.low > 0)
    for key, flagged in flags.items():
        assert sum(flagged) <= 6, key  # 2.5 % each are expected; 7 of 60 have a chance of 0.1 %


def test_the_mean_over_variants_has_the_spread_of_its_shared_targets():
    one = rng(0).random((400, 1)) < 0.4
    other = rng(1).random((300, 1)) < 0.3
    same = Attack(np.tile(one, 5), np.tile(other, 5), np.zeros(5))
    single = mean_risk(Attack(one, other, np.zeros(1)))
    assert mean_risk(same).__dict__ == pytest.approx(single.__dict__)
    apart = Attack(rng(2).random((400, 5)) < 0.4, rng(3).random((300, 5)) < 0.3, np.zeros(5))
    width = [risk.high - risk.value for risk in (single, mean_risk(apart))]
    assert width[1] == pytest.approx(width[0] / np.sqrt(5), rel=0.25)
    worst = worst_risk(apart)
    values = variant_risks(apart)
    assert worst.value == max(v.value for v in values)
    assert worst.low <= max(v.low for v in values) <= max(v.high for v in values) <= worst.high


def test_an_attack_that_only_guesses_or_is_too_small_measures_nothing():
    hits = np.arange(100)[:, None] < 30
    assert "no better than guessing" in mean_risk(Attack(hits, hits, np.array([0.3])))
    assert "no better than guessing" in variant_risks(Attack(hits, hits, np.array([0.3])))[0]
    assert "guessing" in worst_risk(Attack(hits, hits, np.array([0.3])))
    small = Attack(hits, hits[:29], np.array([0.1]))
    for risk in (mean_risk(small), *variant_risks(small), worst_risk(small)):
        assert risk == "29 attacks are possible, fewer than 30"


def test_too_few_predicates_and_one_column_are_reasons():
    schema = Schema((Column("f", "categorical", categories=("a", "b")),))
    table = schema.assemble({"f": schema["f"].from_codes(np.arange(100) % 2)})
    values = Disclosure().evaluate(Tables(table, table, table, table), schema=schema, rng=rng())
    assert values["singling_out_multivariate_error"].startswith("the table has one column")
    assert values["singling_out_univariate_error"].startswith("2 attacks are possible")
    assert values["linkability_error"].startswith("the table has one column")
    empty = Tables(table, table, table, table[:0])
    reasons = Disclosure().evaluate(empty, schema=schema, rng=rng())
    assert set(reasons.values()) == {"synthetic has no rows"}


def test_a_holdout_larger_than_train_is_cut_to_its_size():
    train, schema = drawn(200, 20)
    holdout = drawn(600, 21)[0]
    tables = Tables(train, holdout, holdout, drawn(300, 22)[0])
    attack = multivariate(tables, schema, 100, 3, rng())
    assert attack.control_attacks == len(attack.main)


def test_bad_arguments_say_what_to_set():
    for name in ("attacks", "columns", "splits"):
        with pytest.raises(ValueError, match=f"{name} must be at least .* set {name}="):
            Disclosure(**{name: 0})


def test_the_picture_shows_both_sides_and_guessing():
    from matplotlib.figure import Figure

    train, schema = drawn(300, 30)
    tables = Tables(train, drawn(300, 31)[0], train, drawn(300, 32)[0])
    (picture,) = Disclosure(attacks=100).pictures(tables, schema=schema, rng=rng())
    axes = Figure().subplots()
    picture.draw(axes)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(labels) == {"train", "holdout", "guessing"}
    assert len(axes.get_xticks()) == 4


def test_predicates_are_told_apart_by_their_hashes():
    shape = (4, 1)
    low = np.array([[1.0], [1.0], [1.0], [2.0]])
    negated = np.array([[False], [False], [True], [False]])
    same = Predicates(np.zeros(shape, dtype=int), low, low, negated)
    assert len(np.unique(same.hashes())) == 3
