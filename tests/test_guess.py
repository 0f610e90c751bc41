"""What is proposed for a column follows from its texts, and holds them all."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syntharena.bench.data.guess import describe, propose
from syntharena.bench.schema import Column


def column(texts, **options):
    return propose(pd.DataFrame({"c": texts}, dtype=object), **options).columns["c"]


def codes(*categories, missing=False):
    return {"kind": "categorical", "categories": list(categories), "missing": missing}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2", "3"], {"kind": "integer", "minimum": 1, "maximum": 3, "missing": False}),
        (["1", "", "3", "2"], {"kind": "integer", "minimum": 1, "maximum": 3, "missing": True}),
        (
            ["5.0", "6.0", "-7.0"],
            {"kind": "integer", "minimum": -7, "maximum": 6, "missing": False},
        ),
        (
            ["0.5", ".25", "3"],
            {
                "kind": "continuous",
                "minimum": 0.25,
                "maximum": 3.0,
                "decimals": 2,
                "missing": False,
            },
        ),
        (
            ["0.5", "1e-3", "3"],
            {"kind": "continuous", "minimum": 0.001, "maximum": 3.0, "missing": False},
        ),
        (
            ["1", "2", "3", "NA"],
            {
                "kind": "integer",
                "minimum": 1,
                "maximum": 3,
                "missing_values": ["NA"],
                "missing": True,
            },
        ),
        (["1", "0", "1"], codes("0", "1")),
        (["1", "0", "?"], codes("0", "1", "?")),
        (["10", "9", "x"], codes("9", "10", "x")),
        (["007", "12", "3"], codes("3", "12", "007")),
        (["1", " 2", "3"], codes("1", "3", " 2")),
        (["inf", "1", "2"], codes("1", "2", "inf")),
        (["1", "2", "9" * 17], codes("1", "2", "9" * 17)),
        (["١", "٢", "٣"], codes("١", "٢", "٣")),
        (["True", "False"], {"kind": "boolean", "missing": False}),
        (["True", ""], codes("True", missing=True)),
        (["true", "false"], codes("false", "true")),
        (["", ""], codes(missing=True)),
        (["NA", ""], codes("NA", missing=True)),
        (["k"], codes("k")),
        (
            ["2020-02-29", "2019-01-01 10:00"],
            {
                "kind": "datetime",
                "minimum": "2019-01-01T10:00:00",
                "maximum": "2020-02-29T00:00:00",
                "missing": False,
            },
        ),
        (["2020-02-30", "2019-01-01"], codes("2019-01-01", "2020-02-30")),
    ],
)
def test_column(texts, expected):
    assert column(texts) == expected


@pytest.mark.parametrize(
    ("texts", "task", "kind", "expected"),
    [
        (["1", "2", "3"] * 4, None, "categorical", "multiclass"),
        ([str(i) for i in range(20)], None, "categorical", "multiclass"),
        ([str(i) for i in range(21)], None, "integer", "regression"),
        (["0.5", "1.5", "2.5"], None, "continuous", "regression"),
        (["0.5", "1.5", "2.5"], "multiclass", "categorical", "multiclass"),
        (["0", "1"], None, "categorical", "binary"),
        (["0", "1"], "regression", "continuous", "regression"),
        (["1", "2", "3"], "regression", "integer", "regression"),
        (["yes", "no"], None, "categorical", "binary"),
        (["True", "False"], None, "boolean", "binary"),
        (["a", "b", "c"], None, "categorical", "multiclass"),
        ([f"name {i}" for i in range(50)], None, "categorical", "multiclass"),
    ],
)
def test_target_decides_the_task(texts, task, kind, expected):
    guessed = propose(pd.DataFrame({"c": texts}), target="c", task=task)
    assert (guessed.columns["c"]["kind"], guessed.task) == (kind, expected)
    assert guessed.identifiers == []


def test_labels_of_a_numeric_target_leave_missing_texts_out():
    texts = ["1", "2", "3", "NA"]
    expected = codes("1", "2", "3", missing=True) | {"missing_values": ["NA"]}
    assert column(texts, target="c") == expected


@pytest.mark.parametrize(
    ("texts", "names_rows"),
    [
        ([f"p{i}" for i in range(100)], True),
        ([f"p{i // 2}" for i in range(100)], False),
        ([f"p{i}" for i in range(10)], False),
        ([str(i) for i in range(1, 101)], True),
        ([str(i) for i in range(100)], True),
        ([str(1900 + i) for i in range(100)], False),
        ([str(i / 7) for i in range(100)], False),
        ([f"p{i}" for i in range(96)] + [""] * 4, True),
    ],
)
def test_identifier(texts, names_rows):
    assert propose(pd.DataFrame({"c": texts})).identifiers == (["c"] if names_rows else [])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=4),
            st.floats(-1e6, 1e6).map(repr),
            st.integers(-(2**60), 2**60).map(str),
            st.datetimes().map(lambda d: d.isoformat(timespec="seconds")),
            st.sampled_from(["", "NA", "?", "True", "False"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_proposal_holds_every_text(texts):
    proposed = column(texts)
    lists = {k: tuple(proposed.get(k, ())) for k in ("categories", "missing_values")}
    stated = Column("c", **(proposed | lists))
    for text in texts:
        if text == "" or text in stated.missing_values:
            assert stated.missing
        elif stated.is_discrete:
            assert text in stated.categories
        elif stated.kind == "datetime":
            assert stated.lower <= pd.Timestamp(text).timestamp() <= stated.upper
        else:
            assert stated.lower <= float(text) <= stated.upper
            assert stated.from_numbers([float(text)])[0] == float(text)


def test_description_names_every_column_in_a_line_of_its_own():
    table = pd.DataFrame({"x\n": ["1", "2", "3"], "\x1b[31m": ["a", "b", "a"]})
    guessed = propose(table, target="x\n")
    spec = {
        "name": "my\rdata",
        "target": "x\n",
        "task": guessed.task,
        "identifiers": [],
        "public": False,
        "pins": {"rows": 3, "columns": 2},
        "columns": guessed.columns,
        "guessed": guessed.reasons,
    }
    lines = describe(spec)
    assert all(line.isprintable() for line in lines)
    assert "target 'x\\n' (multiclass)" in lines[0]
    assert "3 rows, 2 columns" in lines[0]
    assert "'x\\n'" in lines[1]
    assert "class labels" in lines[1]
    assert "2 different texts" in lines[2]
    assert "dataset.public=true" in lines[3]
    assert len(describe(spec | {"public": True})) == 3
