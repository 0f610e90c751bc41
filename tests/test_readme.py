"""The README: its files and commands work as they stand, its board and its lists are the real ones.

The two lines that install the project are run by ``.ci/run``, which reads them from the README.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import board_excerpts
import pytest
from markdown_blocks import ROOT, blocks, write_files

from syntharena.bench import cli
from syntharena.bench.commands import catalog

README = ROOT / "README.md"
RUN = "pip install -c constraints.txt . && syntharena run +experiment=quickstart"
TEST = "pip install -c constraints.txt -e '.[test]' && python -m pytest -n logical"


def commands():
    return [command for block in blocks(README) for command in block.commands]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run the README from top to bottom in an empty folder; return what each command printed."""
    folder = tmp_path_factory.mktemp("reader")
    write_files(README, folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    environment.pop("SYNTHARENA_DATA", None)
    outputs = {}
    for command in commands():
        if not command.startswith("pip "):
            outputs[command] = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
    return outputs


def test_every_command_ends_well(done):
    assert len(done) >= 4
    for command, result in done.items():
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


def test_the_three_new_things_pass_their_checks(done):
    (checked,) = [result.stdout for command, result in done.items() if " check " in command]
    for title in ("generator swap", "evaluator repeats", "dataset iris"):
        assert title in checked
    assert "fail" not in checked


def test_the_three_new_things_take_part_in_a_run(done):
    first, second = [result.stdout for command, result in done.items() if " run " in command]
    assert "1 of 1 cells have a record: 1 ok" in first
    assert "1 swap" in first
    assert "1 of 1 cells have a record: 1 ok" in second
    assert "3 different values of the target: class labels" in second


def test_the_shown_files_need_no_import_of_ours_for_a_generator():
    (generator,) = [block for block in blocks(README) if block.file == "mylab/gen.py"]
    assert "import" not in generator.text


@pytest.mark.parametrize("page", board_excerpts.PAGES, ids=lambda page: page.name)
def test_boards_that_a_page_quotes_are_the_published_ones(page):
    text = page.read_text(encoding="utf-8")
    assert board_excerpts.with_excerpts(text) == text, "python scripts/board_excerpts.py --write"


def test_the_readme_quotes_a_board():
    assert board_excerpts.QUOTED.search(README.read_text(encoding="utf-8"))


def test_an_excerpt_is_the_first_table_of_the_board_without_a_budget(tmp_path):
    board = (
        "# Leaderboard\n\n| 0 |\n\n## release: no privacy asked\n\n> a note\n\n### Without\n\n"
        "| 1 |\n|---|\n| 2 |\n\n| 3 |\n\n## release: ε = 1\n\n| 4 |\n"
    )
    assert board_excerpts.excerpt(board) == "| 1 |\n|---|\n| 2 |\n"
    assert board_excerpts.excerpt(board.partition("\n\n| 3 |")[0]) == "| 1 |\n|---|\n| 2 |"
    folder = tmp_path / "results" / "mine" / "leaderboard"
    folder.mkdir(parents=True)
    (folder / "leaderboard.md").write_text(board, encoding="utf-8")
    page = "a\n<!-- board results/mine -->\nold\n<!-- /board -->\nb\n"
    new = board_excerpts.with_excerpts(page, tmp_path)
    assert new == "a\n<!-- board results/mine -->\n| 1 |\n|---|\n| 2 |\n<!-- /board -->\nb\n"
    with pytest.raises(ValueError, match="no privacy asked"):
        board_excerpts.excerpt("# Leaderboard\n| 0 |\n")


def test_the_two_lines_have_blocks_of_their_own():
    page = README.read_text(encoding="utf-8")
    for heading, line in (("## Run it", RUN), ("## Test it", TEST)):
        assert page.count(f"{heading}\n\n```console\n$ {line}\n```\n") == 1


def test_ci_runs_the_lines_that_the_readme_shows():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    function = re.search(r"^readme_line\(\) \{.*?^\}", script, flags=re.MULTILINE | re.DOTALL)
    assert function is not None
    for name, heading, line in (("run", "Run it", RUN), ("test", "Test it", TEST)):
        assert f'{name}=$(readme_line "{heading}")' in script
        assert f'eval "${name}"' in script
        found = subprocess.run(
            ["bash", "-c", f'{function.group()}\nreadme_line "{heading}"'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == f"{line}\n"


@pytest.mark.parametrize("kind", ["generators", "evaluators"])
def test_the_tables_list_what_exists(kind):
    all_names = {name for name, _ in catalog.entries(catalog.KINDS[kind])}
    listed = {name for name in all_names if "/" not in name}
    head = f"| {kind.removesuffix('s')} | what it "
    rows = README.read_text(encoding="utf-8").partition(head)[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in cell.split("`")[1::2]) == sorted(listed)
    for folder in {name.partition("/")[0] for name in all_names - listed}:
        assert f"`{folder}/" in README.read_text(encoding="utf-8")


def test_the_table_of_verbs_lists_every_verb():
    page = README.read_text(encoding="utf-8")
    (actions,) = [a for a in cli._parser()._actions if a.dest == "verb"]
    for verb in actions.choices:
        assert f"| `syntharena {verb}" in page
