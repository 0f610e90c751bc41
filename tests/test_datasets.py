"""Datasets load as published or not at all; a user's own file is data, whatever is in it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from syntharena.bench.data import datasets
from syntharena.bench.data.datasets import DatasetError, load, locate, user_spec
from syntharena.bench.data.splits import release_split

CONF = Path(str(resources.files("syntharena.conf"))) / "dataset"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
DATA = Path(os.environ["SYNTHARENA_DATA"]) if os.environ.get("SYNTHARENA_DATA") else None
HOSTILE = [
    "../x",
    "line\nbreak",
    "=CMD()",
    "${oc.env:HOME}",
    "a|b",
    "<script>",
    'say "hi"',
    "ünï, ç",
]


def published(name):
    return yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8"))


def shared(name):
    try:
        return locate(published(name), data_dir=DATA, cache_dir=None)
    except DatasetError as error:
        pytest.skip(str(error))


def fields_of(path):
    text = gzip.decompress(path.read_bytes()).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def refused(call, *arguments, **options):
    """Return the message of the one-line refusal that the call must end in."""
    with pytest.raises(DatasetError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The published tables


def test_there_is_a_yaml_for_every_table():
    shipped = {"three_bits"}
    assert len(NAMES) == 21
    found = DATA and {path.name[:-7] for path in DATA.glob("*.csv.gz")}
    assert DATA is None or found == set(NAMES) - shipped


@pytest.mark.parametrize("name", NAMES)
def test_yaml_is_complete_and_read_alike_by_hydra(name):
    spec = published(name)
    text = (CONF / f"{name}.yaml").read_text("utf-8")
    assert OmegaConf.to_container(OmegaConf.create(text), resolve=True) == spec
    assert spec["name"] == name
    for field in ("summary", "domain", "licence", "citation"):
        assert spec[field]
        assert "\n" not in spec[field]
    assert len(spec["columns"]) == spec["pins"]["columns"]
    schema = datasets.schema_of(spec)
    assert schema.public
    assert all(column.is_bounded or column.kind == "datetime" for column in schema)
    for name in spec["identifiers"]:
        assert name not in schema.names


@pytest.mark.parametrize("name", NAMES)
def test_table_loads_as_it_is_in_the_file(name):
    path = shared(name)
    spec = published(name)
    dataset = load(spec, data_dir=DATA)
    assert not dataset.schema.problems(dataset.table, spec["pins"]["rows"])
    header, *rows = fields_of(path)
    assert header == list(spec["columns"])
    fields = np.array(rows, dtype=object)
    for column in dataset.schema:
        series, texts = dataset.table[column.name], fields[:, header.index(column.name)]
        absent = np.isin(texts, ["", *column.missing_values])
        assert (series.isna().to_numpy() == absent).all()
        assert column.missing or not absent.any()
        known = texts[~absent]
        if column.is_discrete:
            assert (
                column.codes(series)[~absent] == list(map(column.categories.index, known))
            ).all()
        elif column.kind == "datetime":
            assert (series[~absent] == pd.to_datetime(list(known), format="ISO8601")).all()
        else:
            assert (column.numbers(series)[~absent] == known.astype(float)).all()
            round_trip = column.from_numbers(column.numbers(series))
            pd.testing.assert_series_equal(round_trip, series, check_exact=True)


def test_shipped_tables_need_no_data_folder():
    for name in ("adult", "german_credit"):
        assert len(load(published(name)).table) == published(name)["pins"]["rows"]


def test_identifiers_stay_out_of_the_schema():
    shared("diabetes_130us")
    dataset = load(published("diabetes_130us"), data_dir=DATA)
    assert list(dataset.identifiers) == ["encounter_id", "patient_nbr"]
    assert dataset.identifiers["patient_nbr"].nunique() == 71518
    assert not set(dataset.identifiers) & set(dataset.schema.names)


def test_uci_holds_out_its_own_test_part_of_adult():
    dataset = load(published("adult"))
    fractions = {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15}
    rng = np.random.default_rng(0)
    parts = release_split(dataset, fractions=fractions, split="uci", rng=rng)
    pd.testing.assert_frame_equal(parts["holdout"], dataset.table[32561:].reset_index(drop=True))
    rest = sum(len(part) for name, part in parts.items() if name != "holdout")
    copies = dataset.table[:32561].merge(dataset.table[32561:].drop_duplicates(), how="inner")
    assert rest == 32561 - len(copies)


@pytest.mark.parametrize("name", NAMES)
def test_named_splits_are_ranges_or_fractions(name):
    spec = published(name)
    for named in spec["splits"].values():
        if "holdout" in named:
            first, end = named["holdout"]
            assert 0 < first < end <= spec["pins"]["rows"]
        else:
            assert sum(named["fractions"].values()) <= 1


def test_rows_cut_is_the_same_each_time_and_narrows_named_ranges():
    spec = published("adult")
    whole, cut = load(spec), load(spec | {"rows": 5000})
    pd.testing.assert_frame_equal(cut.table, load(spec | {"rows": 5000}).table)
    assert len(cut.table) == 5000
    first, end = cut.splits["uci"]["holdout"]
    assert end == 5000
    assert first / 5000 == pytest.approx(2 / 3, abs=0.03)
    train = whole.table[:32561]
    kept = cut.table[:first].merge(train.drop_duplicates(), how="inner")
    assert len(kept) == first


# Where a table is found


@pytest.fixture
def toy(tmp_path):
    """Return the specification of a toy table that is nowhere yet, and its content."""
    content = b"x,y\n1,a\n2,b\n3,\n"
    spec = {
        "name": "toy",
        "columns": {
            "x": {"kind": "integer", "minimum": 0, "maximum": 9},
            "y": {"kind": "categorical", "categories": ["a", "b"], "missing": True},
        },
        "pins": {"rows": 3, "columns": 2, "sha256": hashlib.sha256(content).hexdigest()},
    }
    return spec, content


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_data_folder_may_hold_any_format(ending, toy, tmp_path):
    spec, content = toy
    path = tmp_path / f"toy.{ending}"
    if ending == "parquet":
        pd.read_csv(io.BytesIO(content)).to_parquet(path)
    else:
        path.write_bytes(gzip.compress(content) if ending == "csv.gz" else content)
    table = load(spec, data_dir=tmp_path).table
    assert table["x"].tolist() == [1, 2, 3]
    assert table["y"].cat.codes.tolist() == [0, 1, -1]


def test_data_folder_comes_before_the_cache_and_a_path_before_both(toy, tmp_path):
    spec, content = toy
    places = [tmp_path / "elsewhere.csv", tmp_path / "data" / "toy.csv", tmp_path / "c/toy.csv.gz"]
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    folders = {"data_dir": tmp_path / "data", "cache_dir": tmp_path / "c"}
    assert locate(spec | {"path": str(places[0])}, **folders) == places[0]
    assert locate(spec, **folders) == places[1]
    places[1].unlink()
    assert locate(spec, **folders) == places[2]
    places[2].unlink()
    assert "no download address is known" in refused(locate, spec, **folders)


@pytest.mark.parametrize("name", ["../toy", "a/b", "", ".toy", "x\ny", "/etc/passwd"])
def test_name_is_never_a_path(name, toy, tmp_path):
    spec, content = toy
    (tmp_path / "toy.csv").write_bytes(content)
    (tmp_path / "data").mkdir()
    message = refused(load, spec | {"name": name}, data_dir=tmp_path / "data")
    assert "needs a name of letters" in message


def test_absent_data_folder_is_named(toy, tmp_path):
    assert "SYNTHARENA_DATA" in refused(load, toy[0], data_dir=tmp_path / "no")


@pytest.mark.parametrize(
    ("pins", "rule"),
    [
        ({"sha256": "0" * 64}, "sha256 0000"),
        ({"rows": 4}, "4 rows and 2 columns are pinned, got 3 and 2"),
        ({"columns": 3}, "3 rows and 3 columns are pinned, got 3 and 2"),
    ],
)
def test_every_pin_is_checked(pins, rule, toy, tmp_path):
    spec, content = toy
    (tmp_path / "toy.csv").write_bytes(content)
    spec["pins"] |= pins
    assert rule in refused(load, spec, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"y": {"kind": "categorical", "categories": ["a"], "missing": True}}, "Schema: 'b'"),
        ({"y": {"kind": "categorical", "categories": ["a", "b"]}}, "1 missing values"),
        ({"x": {"kind": "integer", "minimum": 2, "maximum": 9}}, "values outside [2, 9]: 1.0"),
        ({"y": {"kind": "continuous"}}, "could not convert string to float"),
        ({"y": {"kind": "datetime"}}, "column 'y'"),
        ({"y": {"kind": "colour"}}, "kind must be one of"),
        ({"y": {"kind": "integer", "colour": 1}}, "unexpected keyword argument 'colour'"),
        ({"z": {"kind": "integer"}}, "columns ['x', 'y', 'z'] are expected"),
    ],
)
def test_table_that_breaks_its_schema_is_refused(columns, rule, toy, tmp_path):
    spec, content = toy
    (tmp_path / "toy.csv").write_bytes(content)
    spec["columns"] |= columns
    assert rule in refused(load, spec, data_dir=tmp_path)


# Somebody's own table


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_own_file_of_mixed_types_round_trips(form, tmp_path):
    n = 60
    table = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "x": np.linspace(0, 1, n).round(3),
            "n": [None if i % 7 == 0 else i % 10 for i in range(n)],
            "flag": np.arange(n) % 3 == 0,
            "day": pd.date_range("2020-01-30", periods=n).strftime("%Y-%m-%d"),
            "when": pd.date_range("2020-01-30 10:00:01", periods=n, freq="h"),
            "text": [f"t{i % 30}" for i in range(n)],
            "same": "k",
            "void": np.full(n, np.nan),
            "label": np.arange(n) % 4,
        }
    )
    path = tmp_path / f"my.{form}"
    table.to_parquet(path) if form == "parquet" else table.to_csv(path, index=False)
    spec = user_spec(path, "label")
    kinds = {name: column["kind"] for name, column in spec["columns"].items()}
    assert kinds == {
        "id": "categorical",
        "x": "continuous",
        "n": "integer",
        "flag": "boolean",
        "day": "datetime",
        "when": "datetime",
        "text": "categorical",
        "same": "categorical",
        "void": "categorical",
        "label": "categorical",
    }
    assert (spec["name"], spec["task"], spec["public"]) == ("my", "multiclass", False)
    assert spec["identifiers"] == ["id"]
    dataset = load(spec)
    assert not dataset.schema.problems(dataset.table, n)
    assert (dataset.table["x"] == table["x"]).all()
    assert (dataset.table["when"] == table["when"]).all()
    assert dataset.table["n"].isna().sum() == table["n"].isna().sum()
    assert dataset.table["void"].isna().all()
    assert dataset.identifiers["id"].tolist() == table["id"].tolist()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_hostile_names_and_categories_are_data(form, tmp_path):
    rows = [[*np.roll(HOSTILE, i % 8).tolist(), str(i % 2)] for i in range(64)]
    path = tmp_path / f"my data.{form}"
    if form == "csv":
        write(path, [[*HOSTILE, "y"], *rows])
    else:
        pd.DataFrame(rows, columns=[*HOSTILE, "y"]).to_parquet(path)
    dataset = load(user_spec(path, "y"))
    assert dataset.schema.names == [*HOSTILE, "y"]
    for name in HOSTILE:
        assert set(dataset.table[name]) == set(HOSTILE)
    assert dataset.table.to_numpy().tolist() == rows


def test_own_settings_win_over_the_guess(tmp_path):
    path = write(tmp_path / "a.csv", [["x", "s", "y"], *[[i / 8, i % 3, i % 5] for i in range(40)]])
    spec = user_spec(
        path, "y", name="mine", task="regression", sensitive=["s"], public=True, rows=10
    )
    dataset = load(spec)
    assert (dataset.name, len(dataset.table)) == ("mine", 10)
    assert dataset.schema.task == "regression"
    assert dataset.schema.sensitive == ("s",)
    assert dataset.schema.public


def test_byte_order_mark_and_crlf_are_no_part_of_the_data(tmp_path):
    path = tmp_path / "windows.csv"
    path.write_bytes(b"\xef\xbb\xbfx,y\r\n1,a\r\n2,b\r\n3,a\r\n")
    dataset = load(user_spec(path, "y"))
    assert dataset.schema.names == ["x", "y"]
    assert dataset.table["y"].tolist() == ["a", "b", "a"]


def test_changed_file_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", [["x", "y"], [1, "a"], [2, "b"], [3, "b"]])
    spec = user_spec(path, "y")
    write(path, [["x", "y"], [1, "a"], [2, "b"], [3, "a"]])
    assert "is pinned for dataset 'a'" in refused(load, spec)


BAD_FILES = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n \n", "is empty"),
    "header.csv": (b"x,y\n", "has a header line only"),
    "twice.csv": (b"x,x\n1,2\n", "must be unique, got 'x' twice"),
    "nameless.csv": (b",y\n1,2\n", "column 1 has none"),
    "semicolons.csv": (b"x;y\n1;2\n", "separate fields by commas"),
    "long.csv": (b"x,y\n1,2\n1,2,3\n", "row 2 has 3; quote fields"),
    "short.csv": (b"x,y\n1,2\n1\n", "row 2 has 1"),
    "open.csv": (b'x,y\n1,"2\n3,4\n', "no CSV in UTF-8"),
    "latin.csv": ("x,y\n1,\xfc\n".encode("latin-1"), "no CSV in UTF-8"),
    "binary.csv": (b"\x7fELF\x00\x01,\n\x00", "is no text"),
    "png.csv": (b"\x89PNG\r\n\x1a\n\x00", "is no text"),
    "rubbish.parquet": (b"PAR1 rubbish", "is no Parquet table"),
    "rubbish.csv.gz": (b"rubbish", "cannot be read"),
    "cut.csv.gz": (gzip.compress(b"x,y\n1,2\n" * 99)[:-20], "cannot be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_is_no_table_is_refused(name, tmp_path):
    content, rule = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(user_spec, path)
    assert rule in message
    assert name in message


@pytest.mark.parametrize("path", ["", "no/such/file.csv", ".", "line\nbreak.csv", "a\0b"])
def test_path_that_is_no_file_is_refused(path):
    assert "must be a CSV or Parquet file" in refused(user_spec, path)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("z", "must be one of the columns ('x', 'y', 'c'), got 'z'"),
        ("c", "must vary, 'c' has only ['k']"),
        ("${oc.env:HOME}", "got '${oc.env:HOME}'"),
    ],
)
def test_unfit_target_is_refused(target, rule, tmp_path):
    path = write(tmp_path / "a.csv", [["x", "y", "c"], [1, "a", "k"], [2, "b", ""], [3, "b", "k"]])
    assert rule in refused(user_spec, path, target)


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        ({"task": "regression"}, "task 'regression' does not fit"),
        ({"task": "guessing"}, "task must be one of"),
        ({"sensitive": ["z"]}, "sensitive[0] must be one of the columns, got 'z'"),
        ({"identifiers": ["y"]}, "target must be one of the columns"),
    ],
)
def test_unfit_setting_is_refused(overrides, rule, tmp_path):
    path = write(tmp_path / "a.csv", [["x", "y"], [1, "a"], [2, "b"], [3, "b"]])
    assert rule in refused(user_spec, path, "y", **overrides)
