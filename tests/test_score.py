"""Scoring somebody's own table: what is read, what is measured, how sure it is, what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from syntharena.bench import cli, content
from syntharena.bench.contracts import Metric, Tables
from syntharena.bench.schema import Column, Schema
from syntharena.bench.scoring import jackknife, score
from syntharena.bench.scoring.tables import read_tables

SHAPE = {"shape": {"_target_": "syntharena.evaluators.shape.Shape", "about": {"version": 1}}}
TEST_EVALUATORS = {
    "pictured": {"_target_": "scored.Pictured"},
    "alarmed": {"_target_": "scored.Alarmed"},
    "raising": {"_target_": "hostile.BadEvaluator", "how": "raises"},
}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(3)
    return pd.DataFrame(
        {
            "x": x,
            "visits": rng.integers(0, 9, n),
            "city": rng.choice(["Bonn", "Oslo", "Rome"], n),
            "label": np.where(x + rng.normal(size=n) > 0, "yes", "no"),
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Be in a folder with the three tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for seed, (name, n) in enumerate({"train": 200, "holdout": 120, "synthetic": 150}.items()):
        rows(n, seed).to_csv(f"{name}.csv", index=False)
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Return a function that scores the tables: exit code, output, errors."""

    def run(*arguments, **files):
        capfd.readouterr()
        names = {"train": "train.csv", "holdout": "holdout.csv", "synthetic": "synthetic.csv"}
        words = [word for side, name in (names | files).items() for word in (f"--{side}", name)]
        code = cli.main(["score", *map(str, words), *map(str, arguments)])
        return code, *capfd.readouterr()

    return run


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no finite number")

    return json.loads(text, parse_constant=refuse)


def read(paths=("train", "holdout", "synthetic"), **roles):
    return read_tables({name: f"{name}.csv" for name in paths}, **roles)


def edit(name, change):
    """Write a table again as ``change`` returns it, every field a text."""
    table = pd.read_csv(f"{name}.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(f"{name}.csv", index=False)


def begin(name, column, *values):
    """Let a column begin with other values."""
    edit(name, lambda t: t.assign(**{column: [*values, *t[column][len(values) :]]}))


# The command


def test_every_number_is_in_the_json_with_its_interval_and_baselines(run):
    code, output, errors = run(
        *("--target", "label", "--sensitive", "city"),
        *("--evaluators", "shape", "trend", "nearest", "--json", "out.json"),
    )
    assert code == 0, errors
    found = strict(Path("out.json").read_text())
    assert set(found["metrics"]) >= {"shape_score", "trend_score", "column_shape_score[city]"}
    assert set(found["baselines"]) == {"real_holdout", "independent"}
    for name in found["metrics"]:
        assert name.partition("[")[0] in found["declared"]
    for name in ("shape_score", "trend_score"):
        low, high = found["intervals"][name]
        assert 0 <= low < found["metrics"][name] < high <= 1
        assert f"{name} ↑" in output
        for baseline in found["baselines"].values():
            assert 0 <= baseline["metrics"][name] <= 1
    assert found["baselines"]["independent"]["metrics"]["shape_score"] == 1
    assert found["schema"]["target"] == "label"
    assert found["schema"]["sensitive"] == ["city"]
    assert found["tables"]["holdout"]["rows"] == 120
    assert found["tables"]["holdout"]["scored_rows"] == 60
    assert found["tables"]["reference"] == {"scored_rows": 60}
    assert len(found["tables"]["train"]["sha256"]) == 64
    assert any("60 of the 120 holdout rows" in warning for warning in found["warnings"])
    assert "your table: shape" in errors
    assert "real holdout" in output


def test_equal_inputs_give_equal_bytes_whatever_the_order_of_rows_and_columns(run):
    evaluators = ["--evaluators", "shape", "nearest", "--quiet"]
    for name in ("one", "two"):
        assert run(*evaluators, "--json", f"{name}.json")[0] == 0
    assert Path("one.json").read_text() == Path("two.json").read_text()
    for side in ("train", "holdout", "synthetic"):
        table = pd.read_csv(f"{side}.csv").sample(frac=1, random_state=1)
        table.to_csv(f"moved_{side}.csv", index=False, columns=list(table)[::-1])
    code, _, errors = run(
        *(*evaluators, "--json", "moved.json"),
        **{side: f"moved_{side}.csv" for side in ("train", "holdout", "synthetic")},
    )
    assert (code, errors) == (0, "")
    first, moved = (strict(Path(f"{name}.json").read_text()) for name in ("one", "moved"))
    for side in (first, *first["baselines"].values()):
        assert side["metrics"]
    assert moved["metrics"] == pytest.approx(first["metrics"], abs=1e-9)
    for name, baseline in first["baselines"].items():
        assert moved["baselines"][name]["metrics"] == pytest.approx(baseline["metrics"], abs=1e-9)
    for name, ends in first["intervals"].items():
        assert moved["intervals"][name] == pytest.approx(ends, abs=1e-9)


def test_what_is_not_wanted_is_left_out(run):
    options = ["--evaluators", "shape", "--no-baselines", "--no-intervals", "--json", "out.json"]
    assert run(*options)[0] == 0
    found = strict(Path("out.json").read_text())
    assert (found["baselines"], found["intervals"], found["jackknifed"]) == ({}, {}, [])


def test_a_suite_is_composed_and_its_cost_left_out(run):
    assert run("--suite", "quick", "--no-baselines", "--no-intervals", "--json", "out.json")[0] == 0
    found = strict(Path("out.json").read_text())
    assert list(found["evaluators"]) == ["shape", "trend"]
    assert {metric["family"] for metric in found["declared"].values()} == {"fidelity"}


def test_the_schema_of_a_dataset_holds_strictly(run, monkeypatch):
    from syntharena.bench import config
    from syntharena.bench.data import datasets

    (point,) = config.grid(["dataset=german_credit"], multirun=False)
    spec = point.config["dataset"]
    spec["splits"] = {}
    table = datasets.load(spec).table
    for name, part in {
        "train": table[:500],
        "holdout": table[500:],
        "synthetic": table[:300],
    }.items():
        part.to_csv(f"{name}.csv", index=False)
    options = ["--dataset", "german_credit", "--evaluators", "shape", "--quiet"]
    code, _, errors = run(*options, "--json", "out.json")
    assert (code, errors) == (0, "")
    found = strict(Path("out.json").read_text())
    assert found["schema"]["origin"] == "of the dataset german_credit"
    assert found["schema"]["task"] == "binary"
    begin("synthetic", "purpose", "a yacht")
    code, _, errors = run(*options)
    assert code == 2
    assert "'purpose': categories outside the Schema: 'a yacht'" in errors


def test_an_evaluator_that_raises_costs_its_own_metrics_only(folder):
    given = read(target="label")
    evaluators = {"raising": TEST_EVALUATORS["raising"], **SHAPE}
    result = score.score(given, evaluators, interval_seconds=0)
    reason = "the evaluator raised ZeroDivisionError: of course"
    assert result.by_reason() == {reason: ["good_score", "bad_score"]}
    assert "shape_score" in result.outcome["metrics"]


def test_copying_is_the_first_thing_that_is_said(run, folder):
    conf = folder / "conf" / "evaluator"
    conf.mkdir(parents=True)
    (conf / "alarmed.yaml").write_text("_target_: scored.Alarmed\nabout: {name: a, version: 1}\n")
    options = ["--config-dir", "conf", "--evaluators", "alarmed", "--quiet"]
    assert run(*options)[1].startswith("No copying of train rows was detected")
    code, output, _ = run(*options, "--json", "out.json", synthetic="train.csv")
    assert code == 0
    assert output.startswith("!!! Copying is DETECTED")
    found = strict(Path("out.json").read_text())
    assert found["verdict"][0]["alarm"] is True
    assert "memorisation_p_score" not in found["intervals"]


def test_slow_evaluators_get_no_jackknife_and_that_is_said(folder):
    result = score.score(read(), SHAPE, interval_seconds=1e-9)
    assert not result.outcome["intervals"]
    assert any("no jackknife intervals of shape" in warning for warning in result.warnings)


# Refusals


def change_header(old, new):
    path = Path("synthetic.csv")
    return lambda: path.write_text(path.read_text().replace(old, new, 1))


def write(name, text):
    return lambda: Path(name).write_text(text)


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (write("synthetic.csv", ""), [], "is empty; a table needs a header line and rows"),
        (write("synthetic.csv", "x,visits,city,label\n"), [], "a header line only"),
        (change_header("visits", "x"), [], "column names must be unique, got 'x' twice"),
        (change_header("visits", "weight"), [], "missing 'visits' and extra 'weight'; add, drop"),
        (write("holdout.csv", "a,b\n1,2\n"), [], "every table needs the same columns"),
        (lambda: None, ["--synthetic", "no.csv"], "--synthetic must be a CSV or Parquet file"),
        (lambda: None, ["--target", "lable"], "unknown column for --target 'lable'; did you mean"),
        (lambda: None, ["--sensitive", "town"], "unknown column for --sensitive 'town'"),
        (lambda: None, ["--target", "city", "--task", "binary"], "a binary target has two"),
        (lambda: None, ["--target", "x", "--task", "ranking"], "invalid choice: 'ranking'"),
        (lambda: None, ["--suite", "standrad"], "unknown suite 'standrad'; did you mean"),
        (lambda: None, ["--evaluators", "shap"], "unknown evaluator 'shap'; did you mean 'shape'"),
        (lambda: None, ["--dataset", "adlut"], "unknown dataset 'adlut'; did you mean 'adult'"),
        (lambda: None, ["--seed", "-1"], "--seed must be >= 0, got -1"),
        (lambda: None, ["--json", "no/such/folder.json"], "--json must be a file that can be"),
        (lambda: None, ["--html", "."], "--html must be a file that can be written"),
        (lambda: None, ["--json", "train.csv"], "--json must be a file of its own"),
        (lambda: None, ["--json", "o", "--html", "./o"], "--json must be a file of its own"),
        (
            lambda: edit("synthetic", lambda t: t.assign(x="tall")),
            [],
            "column 'x': numbers expected, got 'tall'; correct the file",
        ),
        (
            lambda: edit("synthetic", lambda t: t.assign(x="inf")),
            [],
            "column 'x': 150 infinite values",
        ),
        (
            lambda: [edit(side, lambda t: t.assign(label="no")) for side in ("train", "holdout")],
            ["--target", "label"],
            "--target must vary, 'label' is constant",
        ),
    ],
)
def test_a_bad_file_or_option_is_refused_in_one_line(run, change, options, told):
    change()
    kept = Path("train.csv").read_text()
    chosen = [] if {"--suite", "--evaluators"} & {*options} else ["--evaluators", "shape"]
    code, output, errors = run(*chosen, *options)
    assert (code, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith("syntharena: ")
    assert told in line
    assert Path("train.csv").read_text() == kept


def test_an_output_is_tried_before_anything_is_computed_and_left_as_it_was(run):
    write("old.json", "kept")()
    code, _, _ = run("--json", "old.json", "--html", "new.html", "--target", "nothing")
    assert code == 2
    assert Path("old.json").read_text() == "kept"
    assert not Path("new.html").exists()


# Reading


def note(given):
    """Return the one warning that reading left."""
    (warning,) = given.warnings
    return warning


def test_a_category_that_only_the_synthetic_table_has_is_let_in_and_said(folder):
    begin("synthetic", "city", "Paris", "Paris")
    given = read()
    assert "'city': 2 of 150 synthetic rows have a category that no real row has" in note(given)
    assert given.schema["city"].categories == ("Bonn", "Oslo", "Rome", "Paris")
    assert (given.tables["synthetic"]["city"] == "Paris").sum() == 2


def test_a_new_class_of_the_target_counts_as_missing(folder):
    begin("synthetic", "label", "maybe")
    given = read(target="label")
    assert "a class that no real row has, which counts as missing: 'maybe'" in given.warnings[0]
    assert given.schema.task == "binary"
    assert given.schema["label"].categories == ("no", "yes")
    assert given.tables["synthetic"]["label"].isna().sum() == 1


def test_missing_values_and_fractions_are_let_in_and_said(folder):
    begin("synthetic", "x", "", "NaN")
    begin("synthetic", "visits", "2.5")
    given = read()
    told = " ".join(given.warnings)
    assert "'x': read 'NaN' as missing" in told
    assert "'x': 2 of 150 synthetic rows have no value" in told
    assert "'visits': 1 of 150 synthetic rows have a fraction" in told
    assert given.schema["visits"].kind == "continuous"
    assert given.tables["synthetic"]["x"].isna().sum() == 2


def test_the_same_value_spelled_otherwise_is_read_as_what_it_means(folder):
    for side in ("train", "holdout"):
        edit(side, lambda t: t.assign(city=np.where(t["city"] == "Oslo", "1", "0")))
        edit(side, lambda t: t.assign(label=np.where(t["label"] == "yes", "True", "False")))
    begin("synthetic", "city", *["1.0"] * 5, *["0.0"] * 145)
    begin("synthetic", "label", *["TRUE"] * 7, *["false"] * 143)
    given = read()
    assert given.schema["city"].categories == ("0", "1")
    assert given.schema["label"].kind == "boolean"
    synthetic = given.tables["synthetic"]
    assert (synthetic["city"] == "1").sum() == 5
    assert (synthetic["label"] == "True").sum() == 7
    assert len(given.warnings) == 2


def test_a_guess_states_no_bounds_and_reads_no_synthetic_value(folder):
    before = read().schema
    begin("synthetic", "x", "1e12")
    assert read().schema == before
    assert not before["x"].is_bounded
    assert not before.public


def test_columns_that_name_rows_are_left_out_and_may_be_absent(folder):
    for place, side in enumerate(("train", "holdout")):
        edit(side, lambda t, p=place: t.assign(id=[f"person {p}-{i}" for i in t.index]))
    given = read()
    assert given.schema.names == ["x", "visits", "city", "label"]
    assert note(given) == "left out, because they name rows: 'id'"
    edit("synthetic", lambda t: t.assign(id="anonymous"))
    assert read().schema == given.schema


def test_parquet_and_dates_are_read(folder):
    days = pd.date_range("2020-01-01", periods=150, freq="D")
    for side in ("train", "holdout", "synthetic"):
        table = pd.read_csv(f"{side}.csv")
        table["day"] = days[np.arange(len(table)) % 150]
        table.to_parquet(f"{side}.parquet")
    given = read_tables({side: f"{side}.parquet" for side in ("train", "holdout", "synthetic")})
    assert given.schema["day"].kind == "datetime"
    assert given.tables["synthetic"]["day"].iloc[5] == pd.Timestamp("2020-01-06")


# Tables


def schema_of(*columns):
    return Schema(columns)


FEW = schema_of(Column("a", "categorical", categories=("p", "q")))


def test_halves_are_even_and_do_not_depend_on_order_even_with_few_distinct_rows(folder):
    table = FEW["a"].from_codes(np.repeat([0, 1], [70, 31])).to_frame()
    rng = np.random.default_rng
    first, second = (
        table.iloc[half]
        for half in content.halves(content.keys(content.row_hashes(table, FEW), rng(3)))
    )
    assert (len(first), len(second)) == (51, 50)
    for half in (first, second):
        assert 20 < (half["a"] == "p").sum() < 50
    moved = table.sample(frac=1, random_state=2).reset_index(drop=True)
    again = moved.iloc[content.halves(content.keys(content.row_hashes(moved, FEW), rng(3)))[0]]
    assert again["a"].value_counts().to_dict() == first["a"].value_counts().to_dict()


def test_equal_rows_get_equal_keys_across_tables_and_signs_of_zero():
    schema = schema_of(Column("x", "continuous"), Column("y", "continuous", missing=True))
    one = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [np.nan, 1.0, 2.0]})
    other = pd.DataFrame({"x": [-0.0, 5.0, 2.0], "y": [np.nan, 1.0, 2.0]})
    keys = [
        content.keys(content.row_hashes(t, schema), np.random.default_rng(0)) for t in (one, other)
    ]
    assert (keys[0] == keys[1]).tolist() == [True, False, True]


def test_baselines_are_unseen_real_rows_and_shuffled_columns(folder):
    given = read(target="label")
    tables, _ = score._tables(given, 0)
    assert len(tables.holdout) + len(tables.reference) == 120
    (_, real), (_, independent) = score._baselines(tables, given.schema, 0)
    stands_in = pd.concat([real.synthetic, real.reference])
    assert sorted(stands_in["x"]) == sorted(tables.reference["x"])
    assert real.holdout is tables.holdout
    for name in given.schema.names:
        assert sorted(independent.synthetic[name]) == sorted(tables.train[name])
    joint = independent.synthetic.groupby("label", observed=True)["x"].mean()
    assert abs(joint["yes"] - joint["no"]) < 0.4
    assert tables.train.groupby("label", observed=True)["x"].mean().diff().iloc[1] > 0.8


def test_a_reference_that_is_given_leaves_holdout_whole(folder):
    rows(40, 9).to_csv("reference.csv", index=False)
    given = read(("train", "holdout", "synthetic", "reference"))
    tables, warnings = score._tables(given, 0)
    assert (len(tables.holdout), len(tables.reference), warnings) == (120, 40, [])


def test_one_row_of_holdout_leaves_no_baseline_but_a_score(run):
    edit("holdout", lambda t: t[:1])
    code, _, errors = run("--evaluators", "shape", "nearest", "--json", "out.json", "--quiet")
    assert (code, errors) == (0, "")
    found = strict(Path("out.json").read_text())
    assert "no baseline real_holdout: there are too few real rows" in found["warnings"]
    assert "shape_score" in found["metrics"]


# Intervals

MEAN = (Metric("mean_score", "fidelity", best=10.0, worst=-10.0, definition="A mean."),)
X = schema_of(Column("x", "continuous"))


def tables_of(x):
    empty = pd.DataFrame({"x": np.zeros(1)})
    return Tables(pd.DataFrame({"x": x}), empty, empty, empty)


def mean_interval(x, seed=0):
    means = [
        {"mean_score": float(t.train["x"].mean())} for t in jackknife.reduced(tables_of(x), X, seed)
    ]
    found = jackknife.intervals(MEAN, {"mean_score": float(np.mean(x))}, means)
    return found["mean_score"]


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    draws = [mean_interval(rng.normal(size=100), seed) for seed in range(300)]
    covered = np.mean([low <= 0 <= high for low, high in draws])
    assert 0.91 < covered < 0.98
    halves = [(high - low) / 2 for low, high in draws]
    assert np.mean(halves) == pytest.approx(0.973 * jackknife.T_QUANTILE / 10, rel=0.05)  # c4 of 10


def test_the_standard_error_is_the_closed_form():
    results = np.array([1.0, 2.0, 4.0])
    by_hand = math.sqrt(2 / 3 * sum((r - 7 / 3) ** 2 for r in results))
    assert jackknife.standard_error(results) == pytest.approx(by_hand, rel=1e-12)


def test_an_interval_is_cut_to_the_range_and_absent_where_nothing_varies():
    without = [{"mean_score": 9.0 + i / 10, "p": 1.0} for i in range(10)]
    low, high = jackknife.intervals(MEAN, {"mean_score": 9.9}, without)["mean_score"]
    assert low < 9.9 < high == 10.0
    assert jackknife.intervals(MEAN, {"mean_score": 1.0}, [{"mean_score": 1.0}] * 10) == {}
    assert jackknife.intervals(MEAN, {"mean_score": 1.0}, [{}, *without[1:]]) == {}


def test_a_row_and_its_copy_leave_together(folder):
    train = pd.DataFrame({"x": np.arange(100.0)})
    tables = Tables(train, train + 500, train + 900, train.sample(frac=1, random_state=0))
    parts = list(jackknife.reduced(tables, X, 0))
    assert len(parts) == jackknife.GROUPS
    for part in parts:
        assert set(part.train["x"]) == set(part.synthetic["x"])
        assert len(part.train) < 100
    kept = np.concatenate([part.train["x"] for part in parts])
    assert np.unique(kept, return_counts=True)[1].tolist() == [jackknife.GROUPS - 1] * 100


# Text


def test_hostile_names_reach_the_terminal_as_text(run):
    evil = "=CMD() \x1b[31m<b>[red]"
    for side in ("train", "holdout", "synthetic"):
        edit(side, lambda t: t.rename(columns={"city": evil}))
    code, output, errors = run("--evaluators", "shape", "--sensitive", evil, "--json", "out.json")
    assert code == 0, errors
    assert "\x1b" not in output + errors
    assert f"column_shape_score[{evil}]" in strict(Path("out.json").read_text())["metrics"]
