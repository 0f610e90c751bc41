"""Our figures beside published ones: verdicts, pages, and that the committed pages keep to both."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import protocols
import pytest
from comparison import Figure, Run, Section, put, replaced, row, usual_tolerance, verdict

from syntharena.bench.schema import Column, Schema

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "results" / "published").glob("*.md"))
RESULTS = [page for page in PAGES if page.name != "README.md"]
INDEX = ROOT / "results" / "published" / "README.md"
SCRIPTS = sorted(
    path
    for path in (ROOT / "scripts" / "published").glob("*.py")
    if path.stem not in ("comparison", "protocols")
)
TOP = "# A page\n\nWhat it is.\n"
ROW = re.compile(r"\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
VERDICT = r"(not )?reproduced( at full size)?( \((within|better|worse|outside)\))?|–"


def named(path):
    return path.stem


# Verdicts


@pytest.mark.parametrize(
    ("ours", "reduced", "expected"),
    [
        (0.81, False, "reproduced"),
        (0.82, False, "reproduced"),  # on the edge, whatever the binary fraction
        (0.78, False, "reproduced"),
        (0.8201, False, "not reproduced (better)"),
        (0.7799, False, "not reproduced (worse)"),
        (0.80, True, "not reproduced at full size (within)"),
        (0.83, True, "not reproduced at full size (better)"),
        (0.70, True, "not reproduced at full size (worse)"),
        (0.82004, False, "reproduced"),  # printed as 0.8200
    ],
)
def test_verdict_by_distance(ours, reduced, expected):
    assert verdict(Figure("F1", 0.80, None, 0.02, best=1.0), ours, reduced) == expected


@pytest.mark.parametrize(
    ("tolerance", "ours", "expected"),
    [
        ((958.0, np.inf), 958.0, "reproduced"),
        ((958.0, np.inf), 999.0, "reproduced"),
        ((958.0, np.inf), 957.9, "not reproduced (outside)"),
        ((-np.inf, 3.0), 2.9, "reproduced"),
        ((-np.inf, 3.0), 3.1, "not reproduced (outside)"),
    ],
)
def test_verdict_by_order(tolerance, ours, expected):
    assert verdict(Figure("score", 958.0, None, tolerance, decimals=1), ours, False) == expected


def test_the_better_side_is_that_of_the_best_value():
    share = Figure("dcr_share", 0.55, None, 0.01, best=0.5)
    error = Figure("rmse", 0.55, None, 0.01, best=0.0)
    assert verdict(share, 0.51, False).endswith("(better)")
    assert verdict(share, 0.44, False).endswith("(worse)")
    assert verdict(error, 0.44, False).endswith("(better)")


@pytest.mark.parametrize("figure", [Figure("F1"), Figure("F1", 0.8), Figure("F1", tolerance=0.1)])
def test_no_verdict_without_published_value_and_tolerance(figure):
    assert verdict(figure, 0.8, False) == "–"


def test_usual_tolerance_has_a_floor():
    assert usual_tolerance(0.0) == 0.005
    assert usual_tolerance(0.02) == 0.05


# Rows and pages


def test_a_row_has_the_interval_of_students_t():
    line = row(Figure("F1", 0.5, 0.1, 0.2), [0.0, 1.0], False)
    half = 12.7062 * 0.5  # quantile of one degree of freedom, standard error of two values
    interval = f"0.5000 [{0.5 - half:.4f}, {0.5 + half:.4f}]"
    assert line == f"| F1 | 0.5000 ± 0.1000 | {interval} | ± 0.2 | reproduced |"


def test_a_single_seed_has_no_interval():
    assert row(Figure("F1", 0.5, None, 0.2), [0.4], True) == (
        "| F1 | 0.5000 | 0.4000 | ± 0.2 | not reproduced at full size (within) |"
    )
    assert row(Figure("F1"), [0.4], False) == "| F1 | – | 0.4000 | – | – |"


def test_an_order_is_shown_as_the_least_or_most():
    least = row(Figure("k", 958.0, None, (958.0, np.inf), decimals=1), [960.0], False)
    most = row(Figure("k", 958.0, None, (-np.inf, 970.0), decimals=1), [960.0], False)
    assert "| at least 958.0 |" in least
    assert "| at most 970.0 |" in most


def section(generator, value, dataset="adult"):
    run = Run("python x.py", "seeds 1", "1.0 CPU seconds", "here", reduced=False)
    return Section(generator, dataset, run, [Figure("F1", 0.5, None, 0.1)], {"F1": [value]})


def page_of(*sections):
    page = ""
    for each in sections:
        page = replaced(page, each, TOP)
    return page


def test_a_run_adds_its_section_and_leaves_others():
    first = page_of(section("arf", 0.5))
    both = page_of(section("arf", 0.5), section("arf", 0.6, dataset="iris"), section("ar", 0.1))
    assert both.startswith(first.rstrip())
    assert re.findall("^## .*", both, re.MULTILINE) == [
        "## arf on adult",
        "## arf on iris",
        "## ar on adult",
    ]


def test_a_run_replaces_its_section_in_place():
    before = page_of(section("arf", 0.5), section("tvae", 0.5), section("ctgan", 0.5))
    after = replaced(before, section("tvae", 0.9), TOP)
    assert after != before
    assert after.replace("0.9000", "0.5000").replace("not reproduced (outside)", "reproduced") == (
        before
    )


def test_the_same_run_again_changes_nothing():
    page = page_of(section("arf", 0.5), section("tvae", 0.5))
    assert replaced(page, section("arf", 0.5), TOP) == page
    assert page.startswith(TOP)


def test_a_page_is_made_and_printed(tmp_path, capsys):
    out = tmp_path / "folder" / "page.md"
    put(section("arf", 0.5), TOP, out)
    put(section("tvae", 0.5), TOP, out)
    put(section("ctgan", 0.5), TOP, None)
    assert out.read_text() == page_of(section("arf", 0.5), section("tvae", 0.5))
    assert capsys.readouterr().out.count("reproduced") == 3


# Runs


def trial(name, *words, table=None):
    options = protocols.parser("A script.", ["arf"], 5).parse_args(words)
    return protocols.Trial(name, options, table=table)


@pytest.mark.parametrize(
    ("name", "words", "rows", "reduced", "size"),
    [
        ("arf", (), 9, False, "preset paper, rows 9, seeds 5"),
        ("arf", ("--preset", "cpu"), 9, True, "preset cpu, not paper, rows 9, seeds 5"),
        ("smote", ("--preset", "cpu"), 9, False, "preset cpu, rows 9, seeds 5"),
        ("arf", (), 8, True, "preset paper, rows 8 of 9, seeds 5"),
        ("real", ("--seeds", "4"), 9, True, "rows 9, seeds 4 of 5"),
        ("real", ("--preset", "smoke"), 9, False, "rows 9, seeds 5"),
    ],
)
def test_a_run_knows_whether_it_is_the_protocol(name, words, rows, reduced, size):
    tried = trial(name, *words)
    run = tried.run(rows=(rows, 9), seeds=(tried.options.seeds, 5))
    assert (run.reduced, run.size) == (reduced, size)


@pytest.mark.parametrize(
    "out", [("--out", "a page.md"), ("--out=page.md",), ("--kept", "a folder"), ()]
)
def test_the_command_leaves_out_page_and_folder(out, monkeypatch, tmp_path):
    script = ROOT / "scripts" / "published" / "tabpc.py"
    monkeypatch.setattr(sys, "argv", [str(script), "arf", *out, "--seeds", "1"])
    assert trial("arf").run().command == "python scripts/published/tabpc.py arf --seeds 1"


def test_rows_drawn_here_are_scored_there(tmp_path, monkeypatch):
    schema = Schema((Column("x", "continuous"), Column("y", "categorical", ("a", "b"))))
    rng = np.random.default_rng(0)
    x, y = schema["x"].from_numbers(rng.normal(size=50)), schema["y"].from_codes(np.arange(50) % 2)
    train = schema.assemble({"x": x, "y": y})
    monkeypatch.setenv("SYNTHARENA_COMMIT", "0123456789ab")
    here, there = trial("cart", "--keep", str(tmp_path)), trial("cart", "--kept", str(tmp_path))
    for seed in range(2):
        made = here.rows(train, schema, seed)
        pd.testing.assert_frame_equal(schema.conform(there.rows(train, schema, seed)), made)
    monkeypatch.setenv("SYNTHARENA_COMMIT", "ba9876543210")
    run = there.run(seeds=(2, 2))
    assert "0123456789ab" in run.place.partition("; scored on ")[0]
    assert "ba9876543210" in run.place.partition("; scored on ")[2]
    assert re.fullmatch(r".* to fit and draw; .* CPU seconds to score", run.cost)


def test_rows_of_two_tables_are_kept_side_by_side(tmp_path):
    schema = Schema((Column("x", "integer"),))
    for low, table in enumerate(("first", "second")):
        train = schema.assemble({"x": schema["x"].from_numbers(np.full(5, float(low)))})
        trial("cart", "--keep", str(tmp_path), table=table).rows(train, schema, 0)
    for low, table in enumerate(("first", "second")):
        made = trial("cart", "--kept", str(tmp_path), table=table).rows(train, schema, 0)
        assert (made["x"] == low).all()


def test_an_unknown_generator_is_refused_at_once(capsys):
    with pytest.raises(SystemExit):
        trial("arf", "arff")
    assert "must be one of" in capsys.readouterr().err


# The pages that are there


def numbers(cell):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", cell)]


def is_within(published, ours, tolerance):
    (bound,), (value, *_) = numbers(tolerance), numbers(ours)
    if tolerance.startswith("at least"):
        return value >= bound
    if tolerance.startswith("at most"):
        return value <= bound
    assert tolerance.startswith("±")
    return abs(value - numbers(published)[0]) <= bound + 1e-9


def sections(page):
    """Yield heading, size, command and rows of each section."""
    for text in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        lines = text.strip().split("\n")
        labels = [line.partition(":")[0] for line in lines[2:6]]
        assert labels == ["- command", "- size", "- cost", "- place"], lines[0]
        assert lines[7:9] == [
            "| figure | published | ours | tolerance | verdict |",
            "|---|---|---|---|---|",
        ]
        matches = [ROW.fullmatch(line) for line in lines[9:]]
        assert matches, lines[0]
        assert all(matches), lines[0]
        command = re.fullmatch("- command: `(.*)`", lines[2])
        assert command, lines[2]
        yield lines[0], lines[3], command[1], [match.groups() for match in matches if match]


@pytest.mark.parametrize("page", RESULTS, ids=named)
def test_a_page_claims_nothing_that_its_numbers_do_not_say(page):
    assert list(sections(page))
    for heading, size, _, rows in sections(page):
        assert size.endswith(("; full size", "; reduced")), heading
        for name, published, ours, tolerance, said in rows:
            assert re.fullmatch(VERDICT, said), (heading, name)
            if said == "–":
                assert "–" in (published, tolerance)
                continue
            within = is_within(published, ours, tolerance)
            assert (said == "reproduced") == (within and size.endswith("full size")), (
                heading,
                name,
            )
            assert ("at full size" in said) == size.endswith("reduced"), (heading, name)
            assert said.endswith("(within)") == (within and size.endswith("reduced"))


@pytest.mark.parametrize("page", RESULTS, ids=named)
def test_intervals_hold_their_means(page):
    for heading, _, _, rows in sections(page):
        for name, _, ours, _, _ in rows:
            value, *interval = numbers(ours)
            if interval:
                low, high = interval
                assert low <= value <= high, (heading, name)


def parsed(command):
    """Parse a command of one of the scripts; return its options."""
    python, script, *words = shlex.split(command)
    assert python == "python"
    assert (ROOT / script) in SCRIPTS, command
    return importlib.import_module(Path(script).stem).parser().parse_args(words)


@pytest.mark.parametrize("page", RESULTS, ids=named)
def test_a_page_names_its_commands(page):
    for heading, _, command, _ in sections(page):
        options = parsed(command)
        assert heading.split(" on ")[0] in options.generators, heading
        assert Path(command.split()[1]).stem == page.stem


@pytest.mark.parametrize("page", RESULTS, ids=named)
def test_a_page_says_nothing_of_the_folders_it_was_made_in(page):
    for trace in ("/home/", "/root/", "/tmp/", "/work", str(ROOT), "+, "):
        assert trace not in page.read_text(encoding="utf-8"), trace


# The scripts and the index


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_without_options_a_script_runs_its_protocol(script):
    module = importlib.import_module(script.stem)
    options = module.parser().parse_args([])
    assert (options.preset, options.seeds) == ("paper", module.SEEDS)
    assert options.rows is options.out is None
    assert module.__doc__.splitlines()[2].startswith(f"    python scripts/published/{script.name}")


def test_the_index_names_every_target_script_and_page():
    text = INDEX.read_text(encoding="utf-8")
    targets = re.findall(r"^\| (T\d+|NIST) ", text, re.MULTILINE)
    assert set(targets) == {*(f"T{number}" for number in range(7, 17)), "NIST"}
    for path in SCRIPTS:
        assert f"`python scripts/published/{path.name}" in text, path
    for page in RESULTS:
        assert f"]({page.name}#" in text, page
    for command in re.findall(r"`(python scripts/published/[^`]*)`", text):
        parsed(command)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_pages_and_their_sections(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        target = page.parent / file
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}
        assert not anchor or anchor in anchors, link
