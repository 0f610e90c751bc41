"""The page of a score: complete, self-contained, harmless, and well set in a real browser."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from syntharena.bench import probes
from syntharena.bench.contracts import Picture
from syntharena.bench.schema import Column, Schema
from syntharena.bench.scoring import pictures, report, score
from syntharena.bench.scoring.tables import Given

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    "--allow-file-access-from-files",
]
NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{$",
    "a\u202eb",
    "{{ 7 }}",
)
VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
EVALUATORS = {
    "shape": {"_target_": "syntharena.evaluators.shape.Shape", "about": {"version": 1}},
    "pictured": {"_target_": "scored.Pictured", "fails": True, "about": {"version": 1}},
    "alarmed": {"_target_": "scored.Alarmed", "about": {"version": 1}},
}


def given(schema, rows=60):
    tables = probes.tables(schema, np.random.default_rng(0))
    parts = {"train": tables.train, "holdout": tables.holdout, "synthetic": tables.train}
    parts = {side: table[:rows] for side, table in parts.items()}
    files = {side: {"file": f"{side}<b>.csv", "rows": rows, "sha256": "0" * 64} for side in parts}
    return Given(schema, "guessed from the real rows", parts, files, ["a warning <i>"])


@pytest.fixture(scope="module")
def scored():
    """Return a score of hostile names and long ones, in every kind of column."""
    mixed = probes.schemas()["mixed"]
    columns = [replace(c, name=name) for c, name in zip(mixed.columns, NAMES, strict=False)]
    long = Column("w" * 120, "categorical", categories=("v" * 90, "=CMD()"), missing=True)
    schema = Schema((*columns, *mixed.columns[len(NAMES) :], long), "label", "binary", ("member",))
    return score.score(given(schema), EVALUATORS, interval_seconds=5, pictures=True)


@pytest.fixture(scope="module")
def page(scored):
    return report.to_html(scored)


class Reader(HTMLParser):
    """Checks that tags close in order; keeps attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def parsed(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_names_are_text(parsed, page):
    assert "script" not in parsed.tags
    assert "img" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    for name in ("<script>alert(1)</script>", "$\\frac{$", "{{ 7 }}", "=CMD()", "a\\u202eb"):
        assert name in parsed.text
    assert "\u202e" not in page


def test_nothing_is_asked_of_another_host(parsed, page):
    for name, value in parsed.attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset"):
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in page


def test_every_metric_is_shown_with_what_it_means_or_why_it_is_not_there(scored, parsed):
    text = parsed.text
    for name, metric in scored.outcome["declared"].items():
        assert name in text
        if name not in scored.outcome["unavailable"]:
            assert metric["definition"] in text
    assert "because <b> & so" in text
    assert "a warning <i>" in text
    assert "[0.250, 0.750]" in text
    assert "Copying is DETECTED" in text


def test_a_value_stands_on_its_scale_with_its_interval_and_the_baselines(scored):
    drawn = report._metric(scored, "own_score")["value"]
    spots = [float(drawn[spot]) for spot in ("low", "x", "high")]
    assert spots == pytest.approx([8 + 224 * share for share in (0.25, 0.5, 0.75)], abs=0.1)
    assert set(drawn["marks"]) == {"real_holdout", "independent"}
    assert drawn["aria"].startswith("0.500 [0.250, 0.750] on a scale from 0 (worst) to 1 (best)")
    copies = report._metric(scored, "memorisation_error")
    assert (copies["best"], copies["value"]["ends"]) == ("0", ["1", "0"])
    assert float(copies["value"]["x"]) == 8.0  # the worst is on the left
    endless = report._metric(scored, "open_error")
    assert endless["declared"]["worst"] == np.inf
    assert float(endless["value"]["ends"][0]) > 60
    parts = report._metric(scored, "kind_score")["parts"]
    assert [label for label, _ in parts] == scored.given.schema.names


def test_pictures_are_drawn_and_one_that_fails_costs_itself_only(parsed, page):
    assert "<h3>Broken</h3>" not in page
    assert "Bars of <i>" in parsed.text
    assert "What & how." in parsed.text
    assert "'Broken' could not be drawn: ZeroDivisionError: no such axis" in parsed.text
    assert page.count("data:image/png;base64,") == 1  # the crowd is an image, the bars are not


def test_only_the_first_pictures_of_an_evaluator_stand_open(scored, page):
    offered = [len(found) for found in scored.pictures.values()]
    hidden = sum(max(0, count - report.LEADING) for count in offered)
    assert hidden > 0
    assert f"More pictures ({hidden})" in page
    assert page.count("<figure>") == sum(offered) - 1  # one of them cannot be drawn


def test_ids_are_unique_and_references_lead_somewhere(parsed, page):
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = [value for name, value in parsed.attributes if name in ("href", "xlink:href")]
    wanted = [value for value in wanted if value.startswith("#")] + re.findall(
        r"url\((#[^)]*)\)", page
    )
    assert {value[1:] for value in wanted} <= set(ids)
    labelled = [value for name, value in parsed.attributes if name == "aria-labelledby"]
    assert set(labelled) <= set(ids)


def test_a_page_is_written_twice_alike(scored, page):
    assert report.to_html(scored) == page


def test_matplotlib_is_left_as_it_was():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from syntharena.bench.contracts import Picture; from syntharena.bench.scoring import pictures\n"
        "svg = pictures.to_svg(Picture('t', 'c', lambda axes: axes.plot([1, 2])), 'p')\n"
        "assert svg.startswith('<svg') and matplotlib.rcParams.copy() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_texts_take_the_colour_of_the_page_and_stay_texts():
    def draw(axes):
        axes.plot([1, 10, 100], [1, 2, 3], label="$x$ \ud800")
        axes.set_xscale("log")
        axes.set_xticks([1, 100])
        axes.set_yticks([1, 2], ["$one$", "\ud800"])
        axes.legend()

    svg = pictures.to_svg(Picture('a "title" <b>', "", draw), "p")
    assert 'aria-label="a &quot;title&quot; &lt;b&gt;"' in svg
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"$x$ \\ud800", "$one$", "\\ud800", "1", "100"} <= set(shown)
    assert "fill: currentColor" in svg
    assert pictures.INK not in svg
    assert "fill: #000000" not in svg


# A real browser


def measured(page, tmp_path, widths):
    """Return, for each width, what the page's own width is, all details opened."""
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    frames = "".join(
        f'<iframe src="page.html" style="border:0;height:900px;width:{width}px"></iframe>'
        for width in widths
    )
    script = """
    addEventListener("load", () => {
      const widths = [...document.querySelectorAll("iframe")].map((frame) => {
        const page = frame.contentDocument;
        page.querySelectorAll("details").forEach((part) => part.open = true);
        return page.documentElement.scrollWidth;
      });
      document.body.dataset.widths = widths.join(" ");
    });
    """
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(f"<!DOCTYPE html><body><script>{script}</script>{frames}</body>")
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            wrapper.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'data-widths="([\d ]+)"', done.stdout)
    assert found, done.stderr[-2000:]
    return [int(width) for width in found.group(1).split()]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
def test_no_width_of_window_makes_the_page_scroll_sideways(page, tmp_path):
    widths = [1280, 760, 390]
    # with a scroll bar at the side the page is narrower than its window
    for own, window in zip(measured(page, tmp_path, widths), widths, strict=True):
        assert own <= window


def test_a_score_without_any_value_still_has_a_page():
    schema = probes.schemas()["discrete"]
    failing = {"raising": {"_target_": "hostile.BadEvaluator", "how": "raises"}}
    failing["raising"]["about"] = {"version": 1}
    result = score.score(given(schema), failing, interval_seconds=5, pictures=True)
    page = report.to_html(result)
    assert "No metric has a value." in page
    assert "the evaluator raised ZeroDivisionError" in page
