"""Parts are disjoint and complete, in the given shares, and hold together what belongs together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syntharena.bench.data.datasets import Dataset
from syntharena.bench.data.splits import PARTS, release_split
from syntharena.bench.names import UnknownName
from syntharena.bench.schema import Column, Schema

FRACTIONS = {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15}


def make(numbers, classes=None, persons=None, splits=None):
    """Return a dataset with one numeric column, a target and a column that names persons."""
    numbers = np.asarray(numbers, dtype=float)
    columns = [Column("x", "continuous", missing=True)]
    table = {"x": pd.Series(numbers)}
    if classes is not None:
        target = Column("y", "categorical", tuple("abcdefghij"), missing=True)
        columns.append(target)
        table["y"] = target.from_codes(np.asarray(classes))
    target, task = (None, None) if classes is None else ("y", "multiclass")
    schema = Schema(tuple(columns), target=target, task=task)
    identifiers = None if persons is None else pd.DataFrame({"person": persons})
    return Dataset("toy", schema, schema.assemble(table), identifiers, "", splits or {})


def split(dataset, seed=0, fractions=FRACTIONS, **options):
    return release_split(dataset, fractions=fractions, rng=np.random.default_rng(seed), **options)


def located(dataset, parts):
    """Return the part of each row of a table whose x are all different; "" for none."""
    where = {x: name for name, table in parts.items() for x in table["x"]}
    return np.array([where.get(x, "") for x in dataset.table["x"]])


@st.composite
def grouped(draw):
    n = draw(st.integers(1, 60))
    ids = st.lists(st.integers(0, draw(st.integers(0, 40))), min_size=n, max_size=n)
    numbers, persons = draw(ids), draw(st.none() | ids)
    classes = draw(st.none() | st.lists(st.integers(-1, 2), min_size=n, max_size=n))
    texts = None if persons is None else [f"p{p}" for p in persons]
    return make(numbers, classes, texts)


@settings(max_examples=200, deadline=None)
@given(grouped(), st.integers(0, 5))
def test_parts_are_all_rows_and_hold_groups_together(dataset, seed):
    parts = split(dataset, seed)
    assert list(parts) == list(PARTS)
    together = pd.concat(parts.values())
    counts = together.astype(str).value_counts()
    pd.testing.assert_series_equal(
        counts.sort_index(), dataset.table.astype(str).value_counts().sort_index()
    )
    hashes = [set(map(tuple, part.astype(str).to_numpy())) for part in parts.values()]
    assert sum(map(len, hashes)) == len(set.union(*hashes))  # no row is in two parts
    for part in parts.values():
        assert not dataset.schema.problems(part)
        assert part.index.equals(pd.RangeIndex(len(part)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.integers(0, 5))
def test_persons_stay_in_one_part(persons, seed):
    dataset = make(np.arange(len(persons)), persons=[f"p{p}" for p in persons])
    where = located(dataset, split(dataset, seed))
    for person in set(persons):
        assert len(set(where[np.array(persons) == person])) == 1


def test_rows_linked_through_others_stay_together():
    # equal rows 0-1, person a 1-2, equal rows 2-3, person b 3-4
    numbers = [0, 0, 1, 1, 2, *range(10, 110)]
    persons = ["x", "a", "a", "b", "b", *map(str, range(100))]
    for seed in range(20):
        parts = split(make(numbers, persons=persons), seed)
        assert sum({0.0, 1.0, 2.0} & set(part["x"]) != set() for part in parts.values()) == 1


def test_missing_identifiers_link_nobody():
    dataset = make(np.arange(1000), persons=[None] * 998 + ["p", "p"])
    assert {k: len(v) for k, v in split(dataset).items()} == pytest.approx(
        {"train": 600, "holdout": 150, "reference": 100, "fresh": 150}, abs=2
    )


def test_negative_zero_and_missing_numbers_are_equal_rows():
    dataset = make([0.0, -0.0, np.nan, np.nan] * 50)
    for seed in range(5):
        parts = [part["x"] for part in split(dataset, seed).values() if len(part)]
        assert sum((x == 0).any() for x in parts) == 1
        assert sum(x.isna().any() for x in parts) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=10),
    st.lists(st.floats(0.01, 1), min_size=4, max_size=5),
    st.integers(0, 5),
)
def test_classes_have_their_shares_to_within_a_row_or_so(sizes, weights, seed):
    fractions = dict(zip(PARTS, np.array(weights)[:4] / sum(weights), strict=True))
    classes = np.repeat(np.arange(len(sizes)), sizes)
    dataset = make(np.arange(len(classes)), np.random.default_rng(seed).permutation(classes))
    parts = split(dataset, seed, fractions)
    for name, part in parts.items():
        assert len(part) == pytest.approx(fractions[name] * len(classes), abs=2)
        found = np.bincount(part["y"].cat.codes, minlength=len(sizes))
        assert found == pytest.approx(fractions[name] * np.array(sizes), abs=3)


def test_a_rare_row_goes_to_each_part_by_its_fraction():
    dataset = make(np.arange(50), [0] * 49 + [1])
    counts = dict.fromkeys(PARTS, 0)
    for seed in range(800):
        (name,) = [k for k, part in split(dataset, seed).items() if (part["y"] == "b").any()]
        counts[name] += 1
    for name, fraction in FRACTIONS.items():  # four standard errors
        assert counts[name] / 800 == pytest.approx(fraction, abs=4 * (0.25 / 800) ** 0.5)


def test_duplicates_are_no_rarer_in_the_holdout_than_elsewhere():
    numbers = np.repeat(np.arange(3000), np.where(np.arange(3000) < 1000, 2, 1))
    for part in split(make(numbers, numbers % 3)).values():
        assert part["x"].duplicated().mean() == pytest.approx(0.25, abs=0.03)


def test_one_giant_group_leaves_the_other_shares_near():
    parts = split(make([0.0] * 400 + list(range(1, 601))))
    assert {k: len(v) for k, v in parts.items()} == {
        "train": 600,
        "holdout": 150,
        "reference": 100,
        "fresh": 150,
    }
    assert (parts["train"]["x"] == 0).sum() == 400


def test_free_duplicates_go_anywhere():
    parts = split(make([1.0] * 1000), duplicates="free")
    assert [len(part) for part in parts.values()] == [600, 150, 100, 150]


def test_same_state_same_parts_and_another_state_other_parts():
    dataset = make(np.arange(200), np.arange(200) % 2)
    first, again, other = split(dataset, 1), split(dataset, 1), split(dataset, 2)
    for name in PARTS:
        pd.testing.assert_frame_equal(first[name], again[name])
    assert not first["train"]["x"].equals(other["train"]["x"])
    assert first["train"]["x"].is_monotonic_increasing


def test_rows_beyond_the_sum_are_in_no_part():
    dataset = make(np.arange(1000))
    parts = split(dataset, fractions={"train": 0.2, "holdout": 0.1})
    assert [len(part) for part in parts.values()] == [200, 100, 0, 0]


def test_named_range_is_the_holdout_and_its_copies_are_nowhere_else():
    numbers = np.arange(1000) % 950  # rows 950 to 999 equal rows 0 to 49
    persons = ["a" if i in (100, 960) else str(i) for i in range(1000)]
    dataset = make(numbers, persons=persons, splits={"paper": {"holdout": [900, 1000]}})
    parts = split(dataset, split="paper")
    assert parts["holdout"]["x"].tolist() == numbers[900:].tolist()
    rest = pd.concat([parts["train"], parts["reference"], parts["fresh"]])["x"]
    assert sorted(rest) == [x for x in range(50, 900) if x != 100]
    shares = {name: len(parts[name]) / len(rest) for name in ("train", "reference", "fresh")}
    expected = {name: FRACTIONS[name] / 0.85 for name in shares}
    assert shares == pytest.approx(expected, abs=0.003)


def test_named_range_with_free_duplicates_keeps_every_row():
    dataset = make(np.arange(100) % 50, splits={"paper": {"holdout": [80, 100]}})
    assert sum(map(len, split(dataset, split="paper", duplicates="free").values())) == 100


def test_named_fractions_replace_the_given_ones():
    dataset = make(np.arange(100), splits={"ninety": {"fractions": {"train": 0.9, "holdout": 0.1}}})
    assert [len(part) for part in split(dataset, split="ninety").values()] == [90, 10, 0, 0]


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"fractions": {"train": -0.1}}, ValueError, "fractions.train must be >= 0, got -0.1"),
        ({"fractions": {"train": 0.5, "fresh": np.nan}}, ValueError, "fractions.fresh must be"),
        ({"fractions": {"holdout": 0.5}}, ValueError, "fractions.train must be > 0"),
        ({"fractions": {"train": 0.9, "fresh": 0.2}}, ValueError, "must sum to 1 or less"),
        ({"fractions": {"trian": 0.9}}, UnknownName, "'trian'; did you mean 'train'"),
        ({"split": "ucl"}, UnknownName, "unknown split 'ucl'; did you mean 'uci'"),
        ({"split": "bad"}, ValueError, "must be a range within 100 rows, got \\[50, 101\\]"),
        ({"duplicates": "apart"}, ValueError, "must be 'together' or 'free', got 'apart'"),
    ],
)
def test_setting_out_of_range_is_refused(options, error, rule):
    splits = {"uci": {"holdout": [50, 100]}, "bad": {"holdout": [50, 101]}}
    with pytest.raises(error, match=rule):
        split(make(np.arange(100), splits=splits), **options)


def test_subset_keeps_rows_persons_and_ranges_in_step():
    dataset = make(
        np.arange(100), persons=[f"p{i}" for i in range(100)], splits={"a": {"holdout": [60, 100]}}
    )
    cut = dataset.cut(30)
    assert cut.table["x"].is_monotonic_increasing
    assert cut.identifiers["person"].tolist() == [f"p{x:.0f}" for x in cut.table["x"]]
    first, end = cut.splits["a"]["holdout"]
    assert (cut.table["x"][:first] < 60).all()
    assert (cut.table["x"][first:end] >= 60).all()
    assert end == 30
    assert dataset.cut(100) is dataset


@pytest.mark.parametrize("rows", [0, -1, 2.5, True, "10"])
def test_subset_of_no_whole_number_is_refused(rows):
    with pytest.raises(ValueError, match=r"dataset\.rows must be a whole number >= 1"):
        make(np.arange(10)).cut(rows)
