"""Frames: the way of a table into other people's libraries and back loses nothing."""

import itertools

import numpy as np
import pandas as pd
import pytest

from syntharena.bench import probes
from syntharena.generators.foreign.frames import Frame

SHAPES = [
    dict(zip(("missing", "dates", "names"), values, strict=True))
    for values in itertools.product(
        ("columns", "native"), ("seconds", "nanoseconds"), ("short", "own")
    )
]


@pytest.fixture(params=probes.schemas().values(), ids=probes.schemas().keys())
def schema(request):
    return request.param


@pytest.fixture
def table(schema):
    return probes.table(schema, 60, np.random.default_rng(0))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(shape.values()))
def test_a_table_comes_back_as_it_was(schema, table, shape):
    frame = Frame(schema, **shape)
    there = frame.to_library(table)
    pd.testing.assert_frame_equal(frame.from_library(there), table)
    assert frame.is_readable(there).all()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(shape.values()))
def test_rows_that_cannot_be_read_are_those_that_break_the_schema(schema, table, shape):
    frame = Frame(schema, **shape)
    for place, name in enumerate(frame.columns):
        there = frame.to_library(table).astype({name: object})
        there.loc[place, name] = "no such thing"
        readable = frame.is_readable(there)
        assert list(np.flatnonzero(~readable)) == [place]
        assert schema.problems(frame.from_library(there[readable])) == []


def test_a_number_that_is_missing_can_be_read_where_it_may_be():
    schema = probes.schemas()["mixed"]
    for name, column in Frame(schema).columns.items():
        for missing in ("columns", "native"):
            frame = Frame(schema, missing=missing)
            there = frame.to_library(probes.table(schema, 5, np.random.default_rng(0)))
            there[name] = None
            assert frame.is_readable(there).all() == (column.missing and missing == "native")
