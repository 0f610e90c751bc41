"""The command line as its users meet it: output, exit codes, one-line errors."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syntharena.bench import cli

SUPPORT = Path(__file__).parent / "support"
SMALL = ["suite=quick", "tracking=none"]


@pytest.fixture
def syntharena(tmp_path, monkeypatch, capfd):
    """Return a function that runs a command in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.delenv("SYNTHARENA_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments):
        capfd.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code
        output, errors = capfd.readouterr()
        return code, output, errors

    return run


def one_line(errors):
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    assert lines[0].startswith("syntharena: ")
    return lines[0]


def test_help_answers_at_once_with_examples():
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "syntharena.bench.cli", "--help"], capture_output=True, text=True
    )
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    assert done.returncode == 0
    assert "examples:" in done.stdout
    assert used < 0.5


@pytest.mark.parametrize(
    "verb",
    [
        "run",
        "leaderboard",
        "list",
        "check",
        "verify",
        "status",
        "logs",
        "cancel",
        "retry",
        "mlflow",
        "data",
    ],
)
def test_every_verb_explains_itself(syntharena, verb):
    code, output, _ = syntharena(verb, "--help")
    assert code == 0
    assert "examples:" in output


def test_list_shows_a_line_on_everything(syntharena):
    code, output, _ = syntharena("list")
    assert code == 0
    for name in ("cart", "dp_marginals", "adult", "diabetes_130us", "utility", "release", "eps1"):
        assert re.search(rf"^  {name} +\S", output, re.MULTILINE), name


def test_a_sweep_ends_in_a_leaderboard_and_pages(syntharena, tmp_path):
    code, output, errors = syntharena(
        "run",
        "-m",
        "generator=independent,train_copy",
        "dataset=german_credit",
        "seed=0,1",
        *SMALL,
    )
    assert code == 0, errors
    assert "4 of 4 cells have a record: 4 ok" in output
    assert "independent" in output
    page = tmp_path / "results/runs/leaderboard/leaderboard.html"
    assert str(page) in output
    assert page.read_text().lower().startswith("<!doctype html>")
    code, output, _ = syntharena("status")
    assert code == 0
    assert "4 cells expected" in output
    code, _, errors = syntharena("run", "-m", "generator=independent,train_copy",
                                 "dataset=german_credit", "seed=0,1", *SMALL)  # fmt: skip
    assert code == 0
    assert "4 cells, 4 already done, 0 to run" in errors


def test_somebodys_table_is_guessed_shown_and_refused_for_privacy(syntharena, toy):
    path = toy["path"]
    code, output, _ = syntharena(
        "run",
        "-m",
        "generator=independent,dp_marginals",
        f"dataset.path={path}",
        "dataset.target=label",
        "privacy=none,eps1",
        *SMALL,
    )
    assert code == 0
    assert "dataset.public=true" in output
    assert "1 ok" in output or "2 ok" in output
    code, output, _ = syntharena(
        "run",
        "generator=dp_marginals",
        f"dataset.path={path}",
        "dataset.target=label",
        "dataset.public=true",
        "privacy=eps1",
        *SMALL,
    )
    assert code == 0
    assert "1 ok" in output


def test_a_strangers_class_runs_from_the_current_folder(syntharena, tmp_path):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "gen.py").write_text(
        "class MyGen:\n"
        "    def __init__(self, step=1):\n"
        "        self.step = step\n"
        "    def fit(self, train, *, schema, budget, rng):\n"
        "        self.train = train\n"
        "        return self\n"
        "    def sample(self, n, *, rng):\n"
        "        return self.train.sample(n, replace=True, random_state=rng, ignore_index=True)\n"
    )
    code, output, errors = syntharena(
        "run",
        "-m",
        "generator._target_=mylab.gen.MyGen",
        "+generator.step=1,2",
        "dataset=german_credit",
        *SMALL,
    )
    assert code == 0, output + errors
    assert "MyGen (step=1)" in output
    assert "MyGen (step=2)" in output
    code, output, _ = syntharena("check", "generator._target_=mylab.gen.MyGen")
    assert code == 0, output
    assert "fail" not in output


def test_changed_code_without_a_version_runs_again(syntharena, tmp_path):
    source = (SUPPORT / "hostile.py").read_text()
    (tmp_path / "mine.py").write_text(source)
    command = ["run", "generator._target_=mine.Honest", "dataset=german_credit", *SMALL]
    syntharena(*command)
    assert "1 already done" in syntharena(*command)[2]
    (tmp_path / "mine.py").write_text(source + "\n# changed\n")
    assert "0 already done" in syntharena(*command)[2]


def test_a_record_verifies_and_a_changed_one_does_not(syntharena, tmp_path):
    syntharena("run", "generator=independent", "dataset=german_credit", *SMALL)
    (record,) = tmp_path.glob("results/runs/records/*/*.json")
    code, output, _ = syntharena("verify", record)
    assert (code, output.split()[0]) == (0, "identical")
    record.write_text(record.read_text().replace('"status": "ok"', '"status": "oom"'))
    code, output, _ = syntharena("verify", record)
    assert (code, output.split()[0]) == (1, "damaged")


def test_a_forged_number_is_found_by_executing_the_cell_again(syntharena, tmp_path):
    """A liar who seals the record correctly is caught, because the cell is run again."""
    from syntharena.bench.canonical import dumps
    from syntharena.bench.store import seal

    syntharena("run", "generator=independent", "dataset=german_credit", *SMALL)
    (path,) = tmp_path.glob("results/runs/records/*/*.json")
    record = json.loads(path.read_text())
    record.pop("sha256")
    record["metrics"]["shape_score"] = 0.99999
    path.write_text(dumps(seal(record), indent=1))
    code, output, _ = syntharena("verify", path)
    assert code == 1
    assert output.startswith("different")
    assert "shape_score: 0.99999 became" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "generator=carrt", "dataset=adult"], "unknown generator 'carrt'; did you mean 'cart'"),
        (["run", "generator=cart", "dataset=adlt"], "unknown dataset 'adlt'; did you mean 'adult'"),
        (["run", "generator=cart"], "a dataset is needed"),
        (["run", "dataset=adult"], "a generator is needed"),
        (["run", "generator=cart", "dataset=adult", "privacy.epsilon=0"], "privacy.epsilon must be > 0"),
        (["run", "generator=cart", "dataset=adult", "privacy.epsilon=-1"], "got -1.0"),
        (["run", "generator=cart", "dataset=adult", "privacy.epsilon=nan"], "got nan"),
        (["run", "generator=cart", "dataset=adult", "privacy.epsilon=much"], "got 'much'"),
        (["run", "generator=cart", "dataset=adult", "privacy.delta=1"], "privacy.delta must be in"),
        (["run", "generator=cart", "dataset=adult", "seed=-1"], "seed must be a whole number >= 0"),
        (["run", "generator=cart", "dataset=adult", "seed=1.5"], "seed must be a whole number"),
        (["run", "generator=cart", "dataset=adult", "limits.seconds=0"], "limits.seconds must be > 0"),
        (["run", "generator=cart", "dataset=adult", "retry=[bad]"], "got 'bad'"),
        (["run", "generator=cart", "dataset=adult", "hydra.launcher.workers=0"], "got 0"),
        (["run", "generator=cart", "dataset.path=nothing.csv"], "nothing.csv"),
        (["run", "generator=cart", "dataset.path=empty.csv"], "empty"),
        (["run", "generator=cart", "dataset.path=header.csv"], "header"),
        (["run", "generator=cart", "dataset.path=binary.csv"], "binary.csv"),
        (["run", "generator=cart", "dataset.path=table.csv", "dataset.target=z"], "got 'z'"),
        (["run", "generator=cart", "dataset.path=table.csv", "dataset.target=c"], "must vary"),
        (["run", "generator=cart", "dataset=bank_marketing", "paths.data=."], "bank_marketing"),
        (["run", "generator=cart", "dataset=adult", "dataset.path=table.csv"], "sha256"),
        (["run", "generator._target_=json.dumps", "dataset=adult"], "must name a class"),
        (["run", "generator._target_=nowhere.G", "dataset=adult"], "nowhere.G"),
        (["rnu"], "unknown verb 'rnu'; did you mean 'run'?"),
        (["list", "generater"], "unknown kind 'generater'; did you mean 'generators'?"),
        (["run", "--quite"], "unrecognized arguments: --quite; see: syntharena --help"),
        (["run", "+evaluator=shape", "generator=cart", "dataset=adult"], "+evaluator@evaluators."),
        (["run", "generator=cart", "dataset=adult", "scenario.split=odd"], "unknown split 'odd'"),
        (["run", "generator=cart", "dataset=adult", "scenario.fractions.train=2"], "fractions"),
        (["check", "seed=1"], "nothing to check"),
        (["check", "generator=cart", "--seconds", "0"], "--seconds must be positive, got 0"),
        (["leaderboard", "--from-mlflow", "sqlite:///nope.db"], "--from-mlflow must name"),
        (["leaderboard"], "--results must be a folder"),
        (["status"], "no sweep has been run"),
        (["verify", "nothing.json"], "nothing.json"),
        (["mlflow", "rebuild", "--results", "nope"], "--results must be a folder"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_and_leaves_nothing(syntharena, tmp_path, arguments, message):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "table.csv").write_text("a,b,c\n1,2,5\n3,4,5\n5,6,5\n")
    before = set(tmp_path.rglob("*"))
    code, _, errors = syntharena(*arguments)
    assert code == 2
    assert message in one_line(errors)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    ["../x", "a\nb", "=CMD()", "<script>alert(1)</script>", "a|b", "${oc.env:HOME}", "\u202ex"],
)
def test_hostile_names_are_data_from_end_to_end(syntharena, tmp_path, name):
    import csv

    rows = [[i % 7, "yes" if i % 3 else "no", name if i % 2 else "b"] for i in range(60)]
    with open(tmp_path / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([[name, "y", "c"], *rows])
    code, output, errors = syntharena(
        "run",
        "-m",
        "generator=independent,cart",
        "dataset.path=table.csv",
        "dataset.target=y",
        f"dataset.name={json.dumps(name, ensure_ascii=False)}".replace("\\n", "\n"),
        "suite=standard",
        "tracking=none",
    )
    assert code == 0, output + errors
    assert "2 ok" in output
    home = os.environ["HOME"]
    for path in (tmp_path / "results/runs/leaderboard").iterdir():
        text = path.read_text()
        if path.suffix in (".html", ".md"):
            assert "<script>alert" not in text
        if name.startswith("${"):
            assert f"\n{home}," not in text
    for line in csv.reader((tmp_path / "results/runs/leaderboard/cells.csv").open(newline="")):
        assert not any(cell.startswith(("=", "+", "@")) for cell in line)
    outside = {p.name for p in tmp_path.parent.iterdir()} & {"x", "x.json"}
    assert not outside


def test_a_dry_run_says_what_would_run_and_runs_nothing(syntharena, tmp_path):
    grid = ["run", "-m", "generator=independent", "dataset=german_credit", "seed=0,1", *SMALL]
    code, output, _ = syntharena(*grid, "--dry-run", "hydra.launcher.workers=1")
    assert code == 0
    assert output.splitlines() == [
        "2 cells, 0 already done, 2 to run",
        "2 cells on this machine, 1 at once",
        "about 0.0 hours of cells, 0.0 hours in all",
        "without a record here, and so taken for 60 s: independent",
    ]
    assert not (tmp_path / "results").exists()


def test_a_sweep_says_what_is_missing_and_how_to_go_on(syntharena):
    target = "generator._target_=hostile.Raises"
    command = ["run", "-m", target, "dataset=german_credit", "seed=0,1", *SMALL]
    code, output, _ = syntharena(*command)
    assert code == 1
    end = output.splitlines()[-4:]
    assert end[0] == "2 of 2 cells have a record: 2 failed"
    assert end[1] == "       2 failed: RuntimeError: cannot"
    assert end[2] == "what they printed: syntharena logs"
    again = f"syntharena {' '.join(command)} 'retry=[failed]'"
    assert end[3] == f"run them again: {again}"
    code, output, _ = syntharena("status")
    assert code == 1
    assert "what they printed: syntharena logs" in output


def test_logs_are_listed_and_a_single_one_is_shown(syntharena):
    target = "generator._target_=hostile.Raises"
    syntharena("run", "-m", target, "dataset=german_credit", "seed=0,1", *SMALL)
    code, output, _ = syntharena("logs")
    assert code == 0
    assert len(output.splitlines()) == 2
    assert "german_credit Raises seed=0: failed: RuntimeError: cannot learn <script>" in output
    _, output, _ = syntharena("logs", "seed=1", "Raises")
    assert "Traceback" in output
    _, output, _ = syntharena("logs", "seed=7")
    assert output.startswith("no cell that ended badly")
    _, output, _ = syntharena("logs", "--all")
    assert output.count("Traceback") == 2


def test_verbs_of_a_cluster_without_one(syntharena):
    syntharena("run", "generator=independent", "dataset=german_credit", *SMALL)
    code, output, _ = syntharena("cancel")
    assert (code, output) == (0, "no job array of this folder is in the queue or running\n")
    code, _, errors = syntharena("retry")
    assert code == 2
    assert "nothing was submitted to SLURM" in one_line(errors)
    code, _, errors = syntharena("retry", "faild")
    assert "did you mean 'failed'" in one_line(errors)


def test_tables_can_be_fetched_before(syntharena):
    code, output, _ = syntharena("data", "fetch", "german_credit")
    assert code == 0
    assert output.startswith("german_credit: 1000 rows, 21 columns, ")
    code, _, errors = syntharena("data", "fetch", "german_credits")
    assert "did you mean 'german_credit'" in one_line(errors)
