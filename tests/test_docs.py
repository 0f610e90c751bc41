"""The documentation: links lead somewhere, files exist, commands parse, lists are complete."""

import ast
import re
import shlex

import pytest
import reference_pages
import yaml
from markdown_blocks import ROOT, blocks, write_files

from syntharena.bench import cli, config, statuses
from syntharena.bench.commands import run

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

FOLDERS = "bench|conf|generators|evaluators|scripts|tests|docs|results|\\.ci"


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page):
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors of a page's headings, as Markdown viewers make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        assert "://" not in link, f"{link}: name the source instead of linking out"
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_named_files_exist(page):
    for name in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", prose(page)):
        if re.search(r"[A-Z]{3}", name) or name.startswith("results/runs"):
            continue  # a pattern such as conf/dataset/NAME.yaml, or a user's own folder
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_and_yaml_blocks_parse(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "yaml":
            assert yaml.safe_load(block.text)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Be in a folder that holds the files which the README shows."""
    write_files(ROOT / "README.md", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_parse_and_make_configurations(page, reader, tmp_path):
    write_files(page, tmp_path)
    for command in (command for block in blocks(page) for command in block.commands):
        words = shlex.split(command)
        if words[0] != "syntharena":
            continue
        options = cli._parser().parse_args(words[1:])
        if options.verb == "tune":
            options.overrides = run.searching(options.overrides)
        if options.verb in ("run", "tune", "check"):
            points = config.grid(
                options.overrides, config_dir=options.config_dir, multirun=options.multirun
            )
            assert points, command


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lines_are_short(page):
    for line in text(page).splitlines():
        is_table_or_command = line.startswith(("|", "$ "))
        assert len(line) <= 100 or is_table_or_command, line


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "index.md"
    reached = {
        (index.parent / link).resolve() for link in re.findall(r"\]\(([^)]+)\)", text(index))
    }
    assert {page for page in PAGES if page.parts[-2] != ROOT.name} - {index} <= reached


@pytest.mark.parametrize("page", ["metrics.md", "datasets.md"])
def test_generated_pages_are_up_to_date(page):
    path = ROOT / "docs" / "reference" / page
    assert text(path) == reference_pages.pages()[path], "python scripts/reference_pages.py"


def _settings(values, before=""):
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            yield from _settings(value, f"{name}.")
        else:
            yield name


def test_the_reference_names_every_setting():
    page = text("docs/reference/configuration.md")
    (point,) = config.grid([], multirun=False)
    described = {"evaluators", "scenario._target_", "scenario.about", "hydra.launcher._target_"}
    wanted = {key: point.config[key] for key in point.config if key != "hydra"}
    wanted["hydra"] = {"launcher": point.config["hydra"]["launcher"]}
    for name in _settings(wanted):
        if not name.startswith(tuple(described)):
            assert f"\n| `{name}` | " in page, name


def test_the_reference_names_every_setting_of_the_cluster():
    page = text("docs/reference/configuration.md")
    (point,) = config.grid(["hydra/launcher=slurm"], multirun=False)
    for name in _settings({"hydra": {"launcher": point.config["hydra"]["launcher"]}}):
        assert name.endswith("_target_") or f"\n| `{name}` | " in page, name


def test_the_reference_names_every_group_and_option():
    page = text("docs/reference/configuration.md")
    for group in ("scenario", "privacy", "suite", "evaluator", "tracking", "experiment"):
        assert f"`{group}`" in page
        for option in config.all_options(group):
            assert f"`{option}`" in page, f"{group}={option}"


def test_the_reference_names_every_verb_and_option():
    page = text("docs/reference/cli.md")
    (verbs,) = [action for action in cli._parser()._actions if action.dest == "verb"]
    for verb, parser in verbs.choices.items():
        section = page.partition(f"## syntharena {verb}")[2].partition("\n## ")[0]
        assert section, verb
        for action in parser._actions:
            for option in action.option_strings:
                if option not in ("-h", "--help"):
                    assert f"`{option}`" in section, f"{verb} {option}"


def test_every_status_is_explained():
    page = text("docs/concepts/statuses.md")
    for status in (*statuses.STATUSES, "missing", "running"):
        assert f"| `{status}` |" in page
