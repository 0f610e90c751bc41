"""The script that puts our numbers beside TabPC's tables: its figures, divisions and verdicts."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from datasets_at_hand import spec_and_table

SCRIPT = runpy.run_path(
    str(Path(__file__).parent.parent / "scripts" / "published" / "tabpc.py"), run_name="tabpc"
)
DATASETS = ("adult", "default_credit", "online_shoppers", "magic_gamma", "beijing_pm25")


def test_every_figure_is_there():
    published = SCRIPT["read_published"]()
    generators = {"ctgan", "tvae", "tabsyn", "tabdiff", "independent", "shallow_mixture"}
    assert {key[0] for key in published} == set(DATASETS)
    assert {key[1] for key in published} == generators
    assert {key[2] for key in published} == set(SCRIPT["METRICS"])
    assert len(published) == 5 * 6 * 8
    assert published["adult", "independent", "trend"] == (0.9251, 0.0004)
    assert published["adult", "shallow_mixture", "c2st_xgb"] == (0.7727, 0.0243)
    assert published["beijing_pm25", "tabdiff", "mle"] == (0.5642, 0.0123)


@pytest.mark.parametrize(
    ("name", "numeric", "discrete", "rows"),
    [
        ("adult", 6, 9, 32_561),
        ("default_credit", 14, 10, 27_000),
        ("online_shoppers", 10, 8, 11_097),
        ("magic_gamma", 10, 1, 17_118),
        ("beijing_pm25", 7, 5, 37_581),
    ],
)
def test_tables_have_the_columns_of_tabsyn(name, numeric, discrete, rows):
    spec_and_table(name)  # or skip
    schema, train, test = SCRIPT["divide"](name, None)
    kinds = [column.is_discrete for column in schema]
    assert (kinds.count(False), kinds.count(True)) == (numeric, discrete)
    assert len(train) == rows
    assert schema.problems(train) == schema.problems(test) == []
    assert train[schema.target].notna().all()


@pytest.mark.parametrize(
    ("dataset", "metric", "value", "verdict"),
    [
        ("adult", "shape", 0.994, "within"),
        ("adult", "shape", 0.98, "MISSED, worse"),
        ("adult", "dcr_share", 0.53, "missed, better"),
        ("adult", "dcr_share", 0.6, "MISSED, worse"),
        ("beijing_pm25", "mle", 0.4, "missed, better"),
        ("beijing_pm25", "mle", 0.7, "MISSED, worse"),
    ],
)
def test_verdicts(dataset, metric, value, verdict):
    line = SCRIPT["line"](dataset, "shallow_mixture", metric, [value], SCRIPT["read_published"]())
    assert line.endswith(verdict)
    assert np.isclose(float(line.split()[1].rstrip(",")), value)
