"""The page of the comparison with peers: medians, ratios, aims and what is said of ends."""

import json
import re
from pathlib import Path

import pytest
from sides import page
from sides.pairs import Pair

ROOT = Path(__file__).parent.parent
FIT = next(measure for measure in page.MEASURES if measure.key == "fit_seconds")
RATE = next(measure for measure in page.MEASURES if measure.key == "rows_per_second")
AUROC = next(measure for measure in page.MEASURES if measure.key == "auroc")
SLOW = {"ended": "not done in 300 s (used 301 s and 900 MiB with imports)", "limit": 300.0}


def runs(*seconds):
    return [{"fit_seconds": value} for value in seconds]


# Figures


def test_the_median_stands_before_its_range():
    assert page.shown(FIT, runs(3.0, 1.0, 2.0)) == "2 [1–3]"
    assert page.shown(FIT, runs(1234.4, 1234.3)) == "1,234"
    assert page.shown(AUROC, [{"auroc": 0.91234}]) == "0.9123"
    assert page.shown(FIT, [SLOW]) == "not done in 300 s"
    assert page.shown(FIT, [{"ended": "failed: ValueError: no"}]) == "failed"
    assert page.shown(FIT, []) == "–"


def test_what_was_measured_before_the_end_is_shown():
    fitted = {"fit_seconds": 5.0, **SLOW}
    assert page.shown(FIT, [fitted]) == "5"
    assert page.shown(RATE, [fitted]) == "not done in 300 s"


def test_what_a_person_wrote_into_a_page_stays():
    words = "<!-- words -->\nTVAE is fast.\n\n- Why.\n<!-- /words -->"
    once = page.page(results(), words)
    assert page.words_of(once) == words
    assert page.page(results(), page.words_of(once)) == once
    assert page.words_of(page.page(results())) == ""


def test_the_published_page_is_what_its_file_says():
    known = json.loads((ROOT / "results" / "speed" / "peers.json").read_text(encoding="utf-8"))
    published = (ROOT / "docs" / "findings" / "speed.md").read_text(encoding="utf-8")
    assert page.page(known, page.words_of(published)) == published


def test_the_ratio_is_the_median_of_the_peer_by_ours():
    assert page.ratio(FIT, runs(1.0, 2.0, 9.0), runs(5.0)) == "2.5"
    assert page.ratio(RATE, [{"rows_per_second": 8e4}], [{"rows_per_second": 240.0}]) == "0.003"
    assert page.ratio(FIT, runs(2.0), []) == "–"
    assert page.ratio(FIT, [SLOW], runs(2.0)) == "–"


def test_a_peer_that_is_not_done_gives_a_lower_bound_of_costs_only():
    assert page.ratio(FIT, runs(12.0), [SLOW]) == "> 25"
    assert page.ratio(RATE, [{"rows_per_second": 10.0}], [SLOW]) == "–"
    assert page.ratio(FIT, runs(12.0), [{"ended": "failed: no"}]) == "–"


# Pages


def results():
    pairs = {
        "sdv_tvae": {
            "ours": [{"fit_seconds": 2.0, "epoch_seconds": 0.5, "auroc": 0.8}],
            "peer": [{"fit_seconds": 6.0, "epoch_seconds": 1.0, "versions": {"ctgan": "0.12.1"}}],
        },
        "forestdiffusion": {"ours": runs(12.0), "peer": [SLOW]},
        "tabsyn": {"ours": runs(3.0), "peer": []},
    }
    for found in pairs.values():
        found.update(epochs=2, draws=1000)
    step = {"name": "tvae", "flops": 2e8, "seconds": 0.01}
    step |= {"data": 0.1, "network": 0.7, "optimizer": 0.15, "rest": 0.05}
    return {
        "commands": ["python scripts/speed/peers.py adult.csv"],
        "place": {"processor": "a machine"},
        "tables": {"adult": {"rows": 32561, "real": 0.925, "pairs": pairs}},
        "steps": {"peak": 1e11, "steps": [step]},
    }


def test_a_page_has_every_pair_with_its_ratio_last():
    text = page.page(json.loads(json.dumps(results())))
    lines = text.splitlines()
    assert "| sdv_tvae | tvae | CPU s, whole fit | 2 | 6 | 3 |" in lines
    assert "| tabsyn | tabsyn | CPU s, whole fit | 3 | no package | – |" in lines
    bound = "| forestdiffusion | forest_flow | CPU s, whole fit | 12 | not done in 300 s | > 25 |"
    assert bound in lines
    # an epoch counts where both have them: twice as fast is not the three times of the aim
    assert "| sdv_tvae | 2 | 3 | – | – | – | 3 | no |" in lines
    assert "  - peer: not done in 300 s (used 301 s and 900 MiB with imports)." in lines
    assert any(
        line.startswith("- sdv_tvae: 2 epochs, 1,000 rows drawn; ctgan 0.12.1, ") for line in lines
    )
    assert "$ python scripts/speed/peers.py adult.csv" in lines
    # 2e8 FLOP in 10 ms are 20 GFLOP/s, a fifth of the peak
    assert "| tvae | 10 | 200 | 20 | 20% | 10% | 70% | 15% | 5.0% |" in lines


def test_all_lines_of_a_table_have_as_many_cells():
    for block in re.findall(r"(?:^\|.*\n)+", page.page(results()), flags=re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [
        ([{"epoch_seconds": 1.0}], [{"epoch_seconds": 3.1}], "yes"),
        ([{"epoch_seconds": 1.0}], [{"epoch_seconds": 2.9}], "no"),
        ([{"total_seconds": 20.0}], [SLOW], "yes"),  # 15 times at least
        ([{"total_seconds": 200.0}], [SLOW], "–"),  # 1.5 times at least
        ([{"total_seconds": 20.0}], [{"ended": "failed: no"}], "–"),
    ],
)
def test_an_aim_is_met_or_not_or_nobody_knows(ours, peer, met):
    assert page.verdict(Pair("a", "b", aim=3.0), {"ours": ours, "peer": peer}) == ["3", met]


def test_lines_are_short_but_those_of_tables_and_commands():
    found = results() | {"place": {"ours": "many words " * 20}}
    found["tables"]["adult"]["pairs"]["sdv_tvae"]["peer"][0]["ended"] = "failed: " + "word " * 30
    found["commands"] *= 2
    lines = page.page(found).splitlines()
    assert all(len(line) <= 100 or line.startswith(("|", "$ ")) for line in lines)
    assert len([line for line in lines if line.startswith("$ ")]) == 1


def test_a_device_has_a_section_without_parts_of_steps():
    network = {"name": "tvae", "epoch_seconds": 0.5, "milliseconds": 7.7, "fit_seconds": 3.0}
    network |= {"rows_per_second": 1e5, "peak_mib": 60.0, "shape": 0.9}
    table = {"rows": 32561, "epochs": 3, "device": "a GPU", "networks": [network]}
    steps = {"peak": 5e13, "steps": [{"name": "tvae", "flops": 2e8, "seconds": 0.004}]}
    text = page.page(
        results() | {"devices": {"cuda": {"tables": {"adult": table}, "steps": steps}}}
    )
    lines = text.splitlines()
    assert "### cuda, adult: 32,561 rows, 3 epochs on a GPU" in lines
    assert "| tvae | 0.5 | 7.7 | 3 | 100,000 | 60 | 0.9000 |" in lines
    assert "| tvae | 4 | 200 | 50 | 0.1% |" in lines


def test_steps_that_failed_are_said_to_have():
    assert "failed: no torch" in page.page(results() | {"steps": {"ended": "failed: no torch"}})
