"""Published results: boards are rebuilt byte for byte, cells executed again (faults F18, F19)."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PUBLISHED = sorted(path.parent for path in ROOT.glob("results/*/records") if path.is_dir())
# How many records are executed again: usually, and in the long form (None: all).
AGAIN = {"quickstart": (6, None), "privacy": (3, 30), "generators": (2, 20), "tuning": (3, 10)}
# Those whose rounding errors do not grow on another processor into other rows.
STEADY = (
    "train_copy",
    "fresh_real",
    "independent",
    "gaussian_copula",
    "smote",
    "cart",
    "bayesian_network",
    "dp_marginals",
    "privbayes",
    "mst",
    "aim",
    "mwem_pgm",
)
SHIPPED = ("adult", "german_credit", "three_bits")


def published(folders):
    return pytest.mark.parametrize("folder", folders, ids=lambda folder: folder.name)


def syntharena(*arguments, cwd, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "syntharena.bench.cli", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_a_published_result():
    assert {folder.name for folder in PUBLISHED} == AGAIN.keys()


@published(PUBLISHED)
@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "4"},
        pytest.param(
            {"TZ": "UTC", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["one place", "another"],
)
def test_a_board_is_rebuilt_byte_for_byte(folder, environment, tmp_path):
    syntharena("leaderboard", "--results", folder, "--out", "again", cwd=tmp_path, **environment)
    pages = sorted((folder / "leaderboard").iterdir())
    assert len(pages) >= 4
    for page in pages:
        assert page.read_bytes() == (tmp_path / "again" / page.name).read_bytes(), page.name


def verify_some(folder, count, cwd):
    records = [path for path in sorted(folder.glob("records/*/*.json")) if runs_anywhere(path)]
    count = len(records) if count is None else count
    records = random.Random(3).sample(records, count)
    lines = syntharena("verify", *records, cwd=cwd).splitlines()
    verdicts = [line for line in lines if not line.startswith("    ")]
    assert len(verdicts) == count
    assert all(line.startswith(("identical ", "within tolerance ")) for line in verdicts), lines


def runs_anywhere(path):
    names = json.loads(path.read_text())["names"]
    return names["dataset"] in SHIPPED and names["generator"] in STEADY


@published(PUBLISHED)
def test_some_cells_executed_again_give_their_records(folder, tmp_path):
    verify_some(folder, AGAIN[folder.name][0], tmp_path)


@pytest.mark.slow
@published(PUBLISHED)
def test_cells_executed_again_give_their_records(folder, tmp_path):
    verify_some(folder, AGAIN[folder.name][1], tmp_path)


def test_the_picture_is_drawn_again_byte_for_byte(tmp_path):
    folder = ROOT / "results" / "privacy"
    script = ROOT / "scripts" / "privacy_picture.py"
    again = tmp_path / "picture.svg"
    subprocess.run([sys.executable, str(script), str(folder), str(again)], check=True)
    assert again.read_bytes() == (folder / "picture.svg").read_bytes()


@published(PUBLISHED)
def test_nothing_of_the_machine_is_published(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for trace in ("/home/", "/root/", "/tmp/", str(ROOT), "://127."):
                assert trace not in text, f"{path}: {trace}"
