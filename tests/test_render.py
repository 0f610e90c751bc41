"""Rendering: number formats, hostile names in every format, whole and reproducible files."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syntharena.bench.boards import render
from syntharena.bench.boards.board import headlines
from syntharena.bench.boards.leaderboard import compile
from syntharena.bench.escape import csv_text, interval, latex, markdown, number, plus_minus, visible

HOSTILE = [
    "../../etc/x",
    "line\nbreak",
    "=CMD()",
    "=HYPERLINK(\"x\",\"y\")",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1dCMD()",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</title></style><b>",
    "a|b",
    "`code` *bold* _it_ [link](http://x)",
    "${oc.env:HOME}",
    "{{ 7 * 7 }}{% x %}",
    "\\input{x}",
    "%comment",
    "[3cm]",
    "*",
    "x_y^z&#~$",
    "\u202egnp.exe",
    "zero\u200bwidth\ufeff",
    "nul\x00bell\x07",
    "half\ud800",
    "\u2028\u2029",
    "[red]markup[/red] :smile:",
    "x" * 300,
    "",
    " ",
]  # fmt: skip
INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\ud800-\udfff]")
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)


def digest(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def records(names=("g", "h"), datasets=("a", "b"), scenario="release", text="what it is"):
    """Reference rows and generators on every dataset, two seeds; the last generator fails once."""
    declared = {
        name: {
            "family": family,
            "direction": direction,
            "best": 1.0,
            "worst": "-inf",
            "unit": text,
            "ranked": family != "cost",
            "per": "",
            "definition": text,
            "version": 1,
        }
        for name, family, direction in [
            ("shape_score", "fidelity", "higher"),
            (f"{text}_score", "utility", "higher"),
            ("leak_error", "privacy", "lower"),
            ("fit_seconds", "cost", "lower"),
        ]
    }
    roles = {"train_copy": "copy", "fresh_real": "ceiling", "independent": "floor"}
    found = []
    for place, name in enumerate([*roles, *names]):
        for dataset in datasets:
            for seed in (0, 1):
                identity = {
                    "scenario": {},
                    "dataset": {"sha256": dataset, "rows": None},
                    "generator": {"target": name, "version": 1},
                    "budget": {"epsilon": "inf", "delta": 0.0, "neighbours": "add_remove"},
                    "seeds": {"split": seed, "train": seed, "sample": seed},
                }
                failed = name == names[-1] and dataset == datasets[-1] and seed == 1
                value = place / 10 - 0.25 + seed / 100
                found.append(
                    {
                        "key": digest(identity),
                        "cell_key": digest(identity),
                        "cell": identity,
                        "names": {"scenario": scenario, "dataset": dataset, "generator": name},
                        "reference": roles.get(name),
                        "status": "failed" if failed else "ok",
                        "reason": text if failed else "",
                        "metrics": {} if failed else dict.fromkeys(declared, value),
                        "unavailable": {},
                        "declared": declared,
                    }
                )
    return found


@pytest.fixture(scope="module")
def hostile():
    """Every hostile text as a generator, a dataset and a reason, one as scenario."""
    found = []
    for text in HOSTILE:
        found += records((f"{text}", f"{text}2"), (text, "b"), scenario=HOSTILE[10], text=text)
    return compile({record["key"]: record for record in found}.values(), bootstrap=20)


# Numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98765, "0.988"),
        (1, "1.000"),
        (-0.0421, "-0.042"),
        (-3.5, "-3.500"),
        (12.3456, "12.35"),
        (123.456, "123.5"),
        (123456.7, "123457"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (0.00004, "4.0e-05"),
        (-0.0004, "-4.0e-04"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_intervals_share_their_decimals_and_are_not_clipped():
    assert interval(0.5, None, None) == "0.500"
    assert interval(0.98, 0.97, 1.004) == "0.980 [0.970, 1.004]"
    assert interval(-0.3, -1.25, 0.01) == "-0.300 [-1.250, 0.010]"
    assert interval(8.5, 1.25, 40.0) == "8.50 [1.25, 40.00]"
    assert plus_minus(0.98, 0.97, 1.0) == ("0.980", "0.015")
    assert plus_minus(0.98, None, None) == ("0.980", "")


# Escaping


def test_what_cannot_be_seen_is_shown():
    assert visible("a\nb\x00\u202e\ud800") == "a\\nb\\x00\\u202e\\ud800"
    assert visible("ünï ε 中") == "ünï ε 中"


@given(TEXTS)
@example("=1")
@example(" =1")
def test_csv_text_is_no_formula_and_reads_back(text):
    (fields,) = csv.reader(io.StringIO(f"{csv_text(text)},end\n"))
    assert fields[1] == "end"
    assert not fields[0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert fields[0].removeprefix("'") == visible(text).removeprefix("'")
    fields[0].encode()


@given(TEXTS)
def test_markdown_text_stays_in_its_cell(text):
    escaped = markdown(text)
    assert not re.search(r"[|<>`\n\r]", escaped)
    for match in re.finditer(r"[*\[\]{}#$]", html.unescape(escaped)):
        before = html.unescape(escaped)[: match.start()]
        assert (len(before) - len(before.rstrip("\\"))) % 2 == 1
    assert re.sub(r"\\([\\*_{}\[\]()#+!~$=-])", r"\1", html.unescape(escaped)) == visible(text)


@given(TEXTS)
def test_latex_text_holds_no_command_of_its_own(text):
    escaped = latex(text)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#_%]|\{[\[\]*]\}|\$\\[a-z]+\$", "", escaped)
    assert not re.search(r"[\\{}$&#^_~%\[\]*\n]", bare)


# Hostile names in every format


def test_csv_files_keep_their_shape(hostile):
    for text in (render.to_csv(hostile), render.to_tidy_csv(hostile)):
        rows = list(csv.reader(io.StringIO(text)))
        assert {len(row) for row in rows} == {len(rows[0])}
        fields = {field for row in rows for field in row}
        for field in fields:
            assert not INVISIBLE.search(field)
            if field.startswith(("=", "+", "-", "@", "\uff1d")):
                float(field)
        for name in HOSTILE:
            assert fields & {visible(name), "'" + visible(name)}


class Page(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {(tag, name, value) for name, value in attrs}

    def handle_data(self, data):
        self.text.append(data)


def test_page_holds_names_as_text_and_asks_no_other_host(hostile):
    source = render.to_html(hostile)
    page = Page()
    page.feed(source)
    assert page.tags.count("script") == page.tags.count("title") - page.tags.count("g") == 1
    assert not {"img", "iframe", "link", "object", "b"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "style", "action", "data", "srcset")
        assert name != "href" or value.startswith("#")
    assert "url(" not in source
    assert "@import" not in source
    assert not INVISIBLE.search(source)
    text = "".join(page.text)
    for name in HOSTILE:
        assert visible(name) in text
    assert "{{ 7 * 7 }}" in text


def test_page_is_well_formed(hostile):
    void = {"meta", "br", "wbr"}
    stack = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                stack.append(tag)

        def handle_endtag(self, tag):
            assert stack.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    Balance().feed(render.to_html(hostile))
    assert stack == []


def test_markdown_tables_keep_their_shape(hostile):
    text = render.to_markdown(hostile)
    assert not INVISIBLE.search(text)
    assert "<" not in text
    width = 0
    for line in text.splitlines():
        if line.startswith("|"):
            width = width or line.count("|")
            assert line.count("|") == width
        else:
            width = 0
    for name in HOSTILE:
        assert markdown(name) in text


def test_latex_tables_keep_their_shape(hostile):
    text = render.to_latex(hostile)
    assert not INVISIBLE.search(text)
    assert "\\input" not in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {rows[0].count("&")}
    assert not any(re.match(r"\s*[\[*]", row) for row in rows)


def test_terminal_text_holds_no_control_characters(hostile):
    text = render.to_text(hostile, width=120)
    assert not INVISIBLE.search(text)
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "${oc.env:HOME}" in text


# Boards in print


def test_what_tuning_took_stands_beside_the_fit_where_something_was_tuned():
    def heads(found):
        board = compile(found, bootstrap=20)
        return headlines(board, board.boards[0])[-2:]

    found = records()
    assert heads(found) == ["leak_error", "fit_seconds"]
    for record in found:
        record["declared"]["tuning_seconds"] = record["declared"]["fit_seconds"]
        record["unavailable"]["tuning_seconds"] = "tuning_seconds was not measured"
    assert heads(found) == ["leak_error", "fit_seconds"]
    found[-2]["metrics"]["tuning_seconds"] = 9.0
    del found[-2]["unavailable"]["tuning_seconds"]
    assert heads(found) == ["tuning_seconds", "fit_seconds"]


def test_text_shows_rank_coverage_interval_and_imputation():
    text = render.to_text(compile(records()))
    for part in ("release: no privacy asked", "Without imputation", "With imputation"):
        assert part in text
    assert "3/4" in text
    assert "±" in text
    assert "Failed: h on b, 1 cell failed: what it is" in text
    assert max(map(len, text.splitlines())) <= 110


def test_complete_board_is_printed_once():
    complete = [record for record in records() if record["names"]["generator"] != "h"]
    leaderboard = compile(complete)
    for show in (render.to_text, render.to_markdown, render.to_html):
        assert "Nothing was imputed" in show(leaderboard)
        assert "With imputation" not in show(leaderboard)
    assert ",yes," in render.to_csv(leaderboard)


def test_alarm_is_loud_in_every_page():
    leaderboard = compile(records())  # the copy's leak is the smallest
    for show in (render.to_text, render.to_markdown, render.to_html):
        assert "A PHOTOCOPIER PASSES HERE" in show(leaderboard)


def test_csv_numbers_are_those_of_the_board():
    leaderboard = compile(records())
    rows = list(csv.DictReader(io.StringIO(render.to_csv(leaderboard))))
    row = next(row for row in rows if (row["generator"], row["imputation"]) == ("h", "yes"))
    entry = next(e for e in leaderboard.boards[0].imputed.rows if e.generator == "h")
    estimate = entry.estimates["shape_score"]
    assert float(row["shape_score"]) == pytest.approx(estimate.mean)
    assert float(row["shape_score_low"]) == pytest.approx(estimate.low)
    assert float(row["coverage"]) == 0.75
    assert row["epsilon"] == "inf"


def test_tidy_csv_is_exact():
    leaderboard = compile(records())
    rows = list(csv.DictReader(io.StringIO(render.to_tidy_csv(leaderboard))))
    values = [float(row["value"]) if row["value"] else None for row in rows]
    expected = [None if value != value else value for value in leaderboard.cells["value"]]
    assert values == expected


def test_nothing_is_rendered_from_nothing(tmp_path):
    leaderboard = compile([])
    assert render.to_text(leaderboard) == "No records.\n"
    assert len(render.write(leaderboard, tmp_path)) == 5


# Files


def test_write_leaves_whole_files_only(tmp_path, monkeypatch):
    leaderboard = compile(records())
    paths = render.write(leaderboard, tmp_path / "new")
    names = ["leaderboard.md", "leaderboard.csv", "leaderboard.tex", "leaderboard.html"]
    assert [path.name for path in paths] == [*names, "cells.csv"]
    before = {path: path.read_bytes() for path in paths}
    render.write(leaderboard, tmp_path / "new")
    assert {path: path.read_bytes() for path in paths} == before

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        render.write(compile(records(("g",))), tmp_path / "new")
    assert {path: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before


def test_files_do_not_depend_on_the_process(tmp_path):
    """Hash seed, locale, time zone, threads, terminal, folder and order of records are no input."""
    source = tmp_path / "records.json"
    source.write_text(json.dumps(records()))
    script = (
        "import hashlib, json, pathlib, sys\n"
        "from syntharena.bench.boards import leaderboard, render\n"
        f"records = json.loads(pathlib.Path({str(source)!r}).read_text())\n"
        "board = leaderboard.compile(records[::int(sys.argv[1])])\n"
        "texts = [path.read_bytes() for path in render.write(board, sys.argv[2])]\n"
        "print(hashlib.sha256(b''.join(texts) + render.to_text(board).encode()).hexdigest())\n"
    )
    settings = [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "OMP_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "COLUMNS": "60"},
    ]
    hashes = set()
    for number_, (order, setting) in enumerate(zip(("1", "-1"), settings, strict=True)):
        folder = tmp_path / f"run{number_}"
        folder.mkdir()
        command = [sys.executable, "-c", script, order, str(folder)]
        environment = {**os.environ, "FORCE_COLOR": order, **setting}
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=True
        )
        hashes.add(done.stdout)
    assert len(hashes) == 1
