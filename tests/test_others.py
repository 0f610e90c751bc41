"""The worker that fits other libraries keeps its contract, tried with its built-in methods."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

WORKER = Path(__file__).parent.parent / "scripts" / "others" / "worker.py"
DOMAIN = {name: {"kind": "categorical", "categories": [0, 1]} for name in "abc"}


def put(folder, without, extra, domain):
    folder.mkdir(exist_ok=True)
    without.to_csv(folder / "without.csv", index=False)
    row = pd.DataFrame([extra], columns=without.columns)
    pd.concat([without, row]).to_csv(folder / "with.csv", index=False)
    (folder / "schema.json").write_text(json.dumps(domain))
    return folder


@pytest.fixture
def tiny(tmp_path):
    zeros = pd.DataFrame(0, index=range(4), columns=list("abc"))
    return put(tmp_path / "tiny", zeros, (1, 1, 1), DOMAIN)


def work(*arguments):
    # another interpreter, from another folder: nothing of this project can be imported by accident
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")


def attacked(folder, out, method, runs="0:4", rows=200, **options):
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    done = work(
        *("--method", method, "--pair", folder, "--runs", runs, "--rows", rows),
        *("--epsilon", 1, "--out", out, *flags),
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(out))


def test_features_of_both_worlds_are_stored_and_a_copy_is_caught(tiny, tmp_path):
    found = attacked(tiny, tmp_path / "copy.npz", "toy_copy")
    names = found["names"].tolist()
    shares = [f"share:{name}" for name in "abc"]
    assert names == ["equal_rows", *shares, "rows", "default_rows", "vocabulary"]
    assert found["features0"].shape == found["features1"].shape == (4, 7)
    first = names.index("equal_rows")
    assert (found["features0"][:, first] == 0).all()
    # a bootstrap of 4 + 1 rows holds the extra one in a fifth of its rows: within 5 sigma of 40
    assert np.abs(found["features1"][:, first] - 40).max() < 5 * np.sqrt(200 * 0.2 * 0.8)
    assert (found["features1"][:, names.index("rows")] == 200).all()
    assert (found["features0"][:, names.index("default_rows")] == 4).all()
    assert (found["features1"][:, names.index("default_rows")] == 5).all()
    assert (found["features0"][:, names.index("vocabulary")] == 0).all()
    assert (found["features1"][:, names.index("vocabulary")] == 3).all()
    assert (found["errors0"] == "").all()
    assert (found["seconds1"] >= 0).all()


def test_runs_do_not_depend_on_how_they_are_divided(tiny, tmp_path):
    whole = attacked(tiny, tmp_path / "whole.npz", "toy_laplace", runs="0:4")
    parts = [
        attacked(tiny, tmp_path / f"{runs}.npz", "toy_laplace", runs=runs)
        for runs in ("0:1", "1:4")
    ]
    for world in ("features0", "features1"):
        joined = np.concatenate([part[world] for part in parts])
        np.testing.assert_array_equal(whole[world], joined)
    assert len({tuple(row) for row in np.vstack([whole["features0"], whole["features1"]])}) == 8


def test_a_crash_is_a_finding_and_ends_nothing(tmp_path):
    domain = {**DOMAIN, "c": {"kind": "integer", "minimum": 0, "maximum": 9}}
    zeros = pd.DataFrame(0, index=range(4), columns=list("abc"))
    folder = put(tmp_path / "mixed", zeros, (1, 1, 9), domain)
    found = attacked(folder, tmp_path / "f.npz", "toy_laplace", runs="0:2")
    assert all("KeyError" in text for text in found["errors0"])  # no numbers in its histogram
    assert np.isnan(found["features1"]).all()


def test_numbers_count_on_the_side_of_the_extra_record(tmp_path):
    domain = {**DOMAIN, "c": {"kind": "continuous", "minimum": 0, "maximum": 10}}
    table = pd.DataFrame({"a": 0, "b": 0, "c": [1.0, 2.0, 3.0, 8.0]})
    folder = put(tmp_path / "numbers", table, (1, 1, 9.0), domain)
    found = attacked(folder, tmp_path / "f.npz", "toy_copy", rows=1000)
    share = found["names"].tolist().index("share:c")
    # above (2.5 + 9) / 2 lie one of four rows without, two of five with: within 5 sigma
    assert np.abs(found["features0"][:, share] - 1 / 4).max() < 5 * np.sqrt(0.25 * 0.75 / 1000)
    assert np.abs(found["features1"][:, share] - 2 / 5).max() < 5 * np.sqrt(0.4 * 0.6 / 1000)


@pytest.mark.parametrize(("method", "leaks"), [("toy_copy", True), ("toy_laplace", False)])
def test_a_category_outside_the_domain_is_reported_where_it_comes_out(tmp_path, method, leaks):
    domain = {name: {"kind": "categorical", "categories": ["x", "y"]} for name in "ab"}
    table = pd.DataFrame({"a": ["x", "y"] * 10, "b": ["y"] * 20})
    folder = put(tmp_path / "rare", table, ("RARE", "y"), domain)
    done = work(
        *("--method", method, "--pair", folder, "--check-schema", "RARE", "--runs", "0:2"),
        *("--rows", 400, "--out", tmp_path / "f.json"),
    )
    assert done.returncode == 0, done.stderr
    for entry in json.loads((tmp_path / "f.json").read_text()):
        told = leaks and entry["table"] == "with"
        assert (entry["rows_with_category"] > 0) == told
        assert (entry["rows_outside"]["a"] > 0) == told
        assert entry["rows_outside"]["b"] == 0
        assert entry["vocabulary_outside"] == {"a": ["RARE"] if told else [], "b": []}


def test_one_table_is_written_with_its_cost(tmp_path):
    table = pd.DataFrame({"a": [0, 1] * 50, "b": [1] * 100, "c": [0] * 100})
    table.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "domain.json").write_text(json.dumps(DOMAIN))
    done = work(
        *("--method", "toy_laplace", "--table", tmp_path / "train.csv"),
        *("--domain", tmp_path / "domain.json", "--rows", 70, "--epsilon", 1e6),
        *("--out", tmp_path / "synth.csv", "--seconds-out", tmp_path / "cost.json"),
    )
    assert done.returncode == 0, done.stderr
    synthetic = pd.read_csv(tmp_path / "synth.csv")
    assert synthetic.shape == (70, 3)
    assert set(map(tuple, synthetic.to_numpy())) == {(0, 1, 0), (1, 1, 0)}  # noise far below 1 row
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert cost["fit_cpu_seconds"] >= 0
    assert cost["rows_fitted"] == 100


def test_largest_rho_equals_the_published_values(monkeypatch):
    monkeypatch.syspath_prepend(WORKER.parent)
    largest_rho = runpy.run_path(str(WORKER.with_name("libraries.py")))["largest_rho"]
    # cdp_rho of the repository mbi, recomputed
    for epsilon, delta, rho in [
        (1, 1e-9, 0.014973),
        (1, 1e-5, 0.030557),
        (10, 1e-5, 1.782696),
        (0.1, 1e-5, 0.000433),
    ]:
        assert largest_rho(epsilon, delta) == pytest.approx(rho, abs=1.1e-6)


# Verdicts


def npz(path, features, errors=("", "")):
    names = ["equal_rows", "default_rows", "vocabulary"]
    worlds = {f"features{world}": features[world] for world in (0, 1)}
    lost = {f"errors{world}": np.full(len(features[0]), errors[world]) for world in (0, 1)}
    seconds = {f"seconds{world}": np.ones(len(features[0])) for world in (0, 1)}
    np.savez(path, names=np.array(names), **worlds, **lost, **seconds)
    return path


@pytest.fixture(scope="module")
def verdicts():
    return runpy.run_path(str(WORKER.with_name("verdicts.py")))


@pytest.fixture(scope="module")
def judge(verdicts):
    return verdicts["judge"]


def test_rows_that_tell_the_tables_apart_are_a_violation(judge, tmp_path):
    rng = np.random.default_rng(0)
    shown = [np.column_stack([rng.normal(9 * w, 1, 400), np.full((400, 2), w)]) for w in (0, 1)]
    fields = judge(npz(tmp_path / "lib_leaky.tiny.npz", shown), 1.0, 1e-5)
    assert fields[:3] == ["lib leaky", "tiny", "800"]
    assert fields[-2:] == ["VIOLATION", "number of rows, categories"]


def test_rows_alike_are_consistent(judge, tmp_path):
    rng = np.random.default_rng(0)
    alike = [np.column_stack([rng.normal(size=400), np.ones((400, 2))]) for _ in (0, 1)]
    fields = judge(npz(tmp_path / "lib_good.tiny.npz", alike), 1.0, 1e-5)
    assert fields[-2:] == ["consistent", "–"]


def test_what_never_ran_is_not_called_consistent(judge, tmp_path):
    nothing = [np.full((400, 3), np.nan)] * 2
    file = npz(tmp_path / "lib_broken.tiny.npz", nothing, ("ValueError: 4 rows", "ValueError: 5"))
    assert judge(file, 1.0, 1e-5)[-2:] == ["every fit failed", "–"]
    assert judge(npz(tmp_path / "few.tiny.npz", [np.ones((3, 3))] * 2), 1.0, 1e-5)[-2:] == [
        "too few fits",
        "–",
    ]


def test_a_crash_in_one_of_the_tables_only_is_told(judge, tmp_path):
    nothing = [np.full((40, 3), np.nan)] * 2
    file = npz(tmp_path / "lib_crash.tiny.npz", nothing, ("", "ValueError: 5"))
    assert "crash" in judge(file, 1.0, 1e-5)[-1]


@pytest.mark.parametrize(
    ("held", "said"), [(["None"], "in no row"), (["None", "RARE"], "in no row, kept in the model")]
)
def test_a_cell_for_the_unknown_is_no_foreign_category(verdicts, tmp_path, held, said):
    entries = [
        {
            "table": world,
            "rows": 10,
            "rows_with_category": 0,
            "vocabulary_outside": {"x": ["None"] if world == "without" else held},
        }
        for world in ("without", "with")
    ]
    file = tmp_path / "lib_method.json"
    file.write_text(json.dumps(entries))
    assert verdicts["foreign"](file) == said


@pytest.mark.parametrize("script", ["others/libraries.py", "speed/sides/libraries.py"])
def test_what_synthcity_never_calls_is_stood_in_for_and_what_is_installed_is_not(script):
    code = (
        "import runpy, sys; script = runpy.run_path(sys.argv[1])['STAND_INS'];"
        "script['install'](script['SYNTHCITY']);"
        "import pycox.models, pandas;"
        "print(type(pycox.models).__name__, pycox.models.CoxPH(1, a=2).__class__.__name__);"
        "print(type(pandas).__name__);"
        "import nothing_of_this_name"
    )
    path = WORKER.parents[1] / script
    ran = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == ["StandIn", "CoxPH", "module"]
    assert "No module named 'nothing_of_this_name'" in ran.stderr
