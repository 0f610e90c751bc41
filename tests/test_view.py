"""The progress view: short for ten and for ten thousand cells, and right about the rest."""

import re

import pytest

from syntharena.bench.commands.tally import Tally, duration
from syntharena.bench.commands.view import Lines
from syntharena.bench.running.sweep import Progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def named(name, **fields):
    return {"_target_": f"hostile.{name}", "about": {"version": 1, "name": name}, **fields}


def end(status="ok", reason=""):
    return {"done": {"status": status, "reason": reason}}


@pytest.fixture
def cells(make_cell):
    fast = [make_cell(named("Honest"), seed=seed) for seed in range(8)]
    return fast + [make_cell(named("Slow"), seed=seed) for seed in range(2)]


def feed(progress, watcher, cell, event):
    if "done" in event:
        progress.counts[event["done"]["status"]] += 1
    watcher(cell, event)


def test_slow_cells_at_the_end_are_not_taken_for_nearly_done(cells):
    clock = Clock()
    progress = Progress(cells, cells)
    tally = Tally(progress, clock)
    assert tally.seconds_left is None
    for cell, seconds in [(cells[-1], 100.0), *((cell, 1.0) for cell in cells[:8])]:
        feed(progress, tally.take, cell, {"started": 0.0})
        clock.now += seconds
        feed(progress, tally.take, cell, end())
    assert tally.seconds_left == pytest.approx(100.0)
    assert tally.slowest == [("Slow", 100.0), ("Honest", 1.0)]


def test_what_runs_side_by_side_and_has_begun_is_counted(cells):
    clock = Clock()
    progress = Progress(cells[:8], cells[:8])
    tally = Tally(progress, clock)
    for _ in range(2):
        for cell in cells[:2]:
            tally.take(cell, {"started": 0.0})
        clock.now += 10.0
    for cell in cells[:2]:  # two lanes: started anew after ten seconds, ten seconds each
        feed(progress, tally.take, cell, end())
    for cell in cells[2:4]:
        tally.take(cell, {"started": 0.0})
    clock.now += 5.0
    # Six cells of ten seconds, two of them half done, at (20 + 10) / 25 lanes.
    assert tally.seconds_left == pytest.approx((60 - 10) / (30 / 25))


def test_one_line_says_all(cells):
    clock = Clock()
    progress = Progress(cells, cells)
    tally = Tally(progress, clock)
    for cell in cells[4:]:
        tally.take(cell, {"queued": "Priority"})
    for cell in cells[:3]:
        tally.take(cell, {"started": 0.0})
    clock.now += 30.0
    feed(progress, tally.take, cells[0], end())
    feed(progress, tally.take, cells[1], end("failed", "cannot\nlearn"))
    assert tally.line() == (
        "2/10 cells run (1 ok, 1 failed); 1 running; 6 queued (Priority); 70 s left"
    )
    assert tally.failures == {("failed", "cannot"): 1}
    tally.take(cells[2], {"queued": "interrupted"})
    assert "running" not in tally.line()


def test_ten_thousand_failures_do_not_flood_a_log(cells, capsys):
    clock = Clock()
    progress = Progress(cells, cells * 1000)
    view = Lines(clock)
    view.begin(progress)
    for cell in progress.pending:
        clock.now += 1.0
        feed(progress, view.on_event, cell, {"started": 0.0})
        feed(progress, view.on_event, cell, end("failed", "of course"))
    lines = capsys.readouterr().err.splitlines()
    assert sum("failed: of course" in line for line in lines) == 3
    assert 100 < len(lines) < 250  # nearly three hours
    assert lines[-1].startswith("10000/10000 cells run (10000 failed)")


def test_ten_cells_have_a_line_now_and_then(cells, capsys):
    clock = Clock()
    progress = Progress(cells, cells)
    view = Lines(clock)
    view.begin(progress)
    for cell in cells:
        feed(progress, view.on_event, cell, {"started": 0.0})
        clock.now += 6.0
        feed(progress, view.on_event, cell, end())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "10 cells, 0 already done, 10 to run"
    assert lines[-1] == "10/10 cells run (10 ok); slowest Honest 6 s, Slow 6 s"
    assert 4 <= len(lines) <= 10


def test_bars_show_a_few_cells_of_many(cells, monkeypatch):
    from rich.console import Console

    from syntharena.bench.commands import view as view_module

    screen = Console(record=True, force_terminal=True, width=160)
    monkeypatch.setattr("rich.console.Console", lambda **options: screen)
    many = list(cells)
    progress = Progress(many, many)
    bars = view_module.Bars()
    bars.begin(progress)
    for cell in many:
        bars.on_event(cell, {"started": 0.0})
        bars.on_event(cell, {"event": {"stage": "train"}})
    assert len(bars._rows) == view_module.ROWS
    bars.on_event(many[0], {"event": {"step": 3, "total": 10, "losses": {"loss": 0.5}}})
    for cell in many[:5]:
        feed(progress, bars.on_event, cell, end())
    bars.on_event(many[5], {"queued": "interrupted"})
    assert len(bars._rows) == 2
    bars.on_event(many[-1], {"event": {"stage": "sample"}})  # there is room now
    assert len(bars._rows) == 3
    for cell in many[5:]:
        feed(progress, bars.on_event, cell, end())
    bars.close()
    assert bars._rows == {}
    assert re.search(r"10/10 .*10/10 cells run \(10 ok\)", screen.export_text())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25 s"), (42, "42 s"), (1500, "25 min"), (7200, "2.0 h")]
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
