"""The comparison with peers: processes, settings, tables and clocks, without any peer."""

import subprocess
import sys
import time
from argparse import Namespace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import peers
import psutil
import pytest
from sides import environments, libraries, meter, processes, tables
from sides.pairs import PAIRS, Pair

from syntharena.bench import config, probes, targets

CSV = pd.DataFrame(
    {
        "fnlwgt": np.arange(30),
        "work": ["?", "a", "b"] * 10,
        "income": ["<=50K", ">50K"] * 15,
    }
)


# Clocks


def test_an_epoch_is_the_mean_step_times_the_steps_of_an_epoch():
    # 2 s of encoding, then 6 steps of 0.5 s in 2 epochs
    ends = [2.5 + 0.5 * step for step in range(6)]
    assert meter.epoch_seconds(ends, 2) == pytest.approx(1.5)
    assert meter.epoch_seconds(ends[:1], 2) is None
    assert meter.epoch_seconds([], 2) is None


# Processes


def test_lines_of_json_are_merged_and_others_are_not_read():
    output = '{"fit_seconds": 1}\nEpoch 1\n[1]\n{"fit_seconds": 2, "done": true}\n{"cut'
    assert processes.told(output) == {"fit_seconds": 2, "done": True}


def test_a_process_is_ended_at_the_first_limit_that_it_reaches():
    limits = processes.Limits(seconds=300, mib=1000)
    assert limits.broken(299, 999, 400) == ""
    assert limits.broken(300, 10, 400) == "not done in 300 s"
    assert limits.broken(1, 1000, 400) == "ended above 1000 MiB"
    assert limits.broken(1, 10, 6000) == "not done in 6000 s of waiting"


def test_living_workers_count():
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); time.sleep(60)"
    before = meter.cpu_seconds()
    worker = subprocess.Popen([sys.executable, "-c", work], stdout=subprocess.PIPE)
    assert worker.stdout
    worker.stdout.readline()
    living = meter.cpu_seconds()
    worker.kill()
    worker.wait()
    assert living - before >= 0.28  # ticks of the clock
    assert meter.cpu_seconds() >= living - 0.02
    assert worker.pid not in meter.spent()


def test_workers_that_a_side_leaves_behind_are_ended():
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    code = f"import subprocess as s; print(s.Popen({sleeper!r}, stdout=s.DEVNULL).pid)"
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    left = int(worker.communicate()[0])
    assert left in meter.spent(left)
    processes._end(worker)
    deadline = time.perf_counter() + 30
    while psutil.pid_exists(left) and psutil.Process(left).status() != psutil.STATUS_ZOMBIE:
        assert time.perf_counter() < deadline
        time.sleep(0.05)


def test_a_side_that_fails_says_why():
    given = ["no_such_library", "-", "t", "o", "--target", "y", "--epochs", 1, "--draws", 1]
    found = processes.run(sys.executable, "theirs", given, processes.Limits(60, 4000))
    assert found["ended"].startswith("failed: ")
    assert "no_such_library" in found["ended"]


# What is asked for


def test_sizes_are_numbers_or_adult():
    assert peers.parsed_rows("adult,300000") == [None, 300_000]
    with pytest.raises(ValueError, match="abc"):
        peers.parsed_rows("abc")


def test_a_command_shows_no_place_of_the_machine():
    argv = [
        "scripts/speed/peers.py",
        "/a/b/adult.csv.gz",
        "--environments",
        "/a/c",
        "--epochs",
        "3",
    ]
    assert peers.command(argv) == (
        "python scripts/speed/peers.py adult.csv.gz --environments c --epochs 3"
    )


def test_ours_trains_as_many_epochs_as_the_peer():
    asked = {"batch": 1000}
    assert Pair("a", "b", asked, lengths=("steps",)).ours(2001, 3) == {"batch": 1000, "steps": 9}
    assert Pair("a", "b", asked, lengths=("epochs",)).ours(2001, 3) == {"batch": 1000, "epochs": 3}
    assert Pair("a", "b", asked).ours(2001, 3) == asked
    assert Pair("a", "b", {"lot": 1000}, lengths=("steps",)).ours(2001, 3)["steps"] == 9


def test_slow_pairs_run_on_few_rows():
    options = Namespace(rows=[None, 300_000], only=[])

    def names(rows):
        return {pair.name for pair in peers.pairs_of(rows, options)}

    assert peers.sizes(options) == [1000, None, 300_000]
    assert names(1000) == {"forestdiffusion", "synthcity_dpgan", "synthcity_pategan"}
    assert names(None) == {pair.name for pair in PAIRS} - {"synthcity_dpgan", "synthcity_pategan"}
    assert "forestdiffusion" not in names(300_000)
    assert "sdv_ctgan" in names(300_000)


@pytest.fixture(scope="module")
def specs():
    return config.all_options("generator", preset="cpu")


def test_a_private_pair_has_a_budget_and_its_table_bounds(specs, tmp_path):
    for pair in PAIRS:
        tags = specs[pair.generator]["about"]["tags"]
        assert (pair.budget is not None) == ("dp" in tags)
    CSV.to_csv(tmp_path / "all.csv", index=False)
    tables.write(str(tmp_path / "all.csv"), None, tmp_path)
    schema, train, _ = tables.read(tmp_path)
    column = tables.bounded(schema, train)["fnlwgt"]
    assert (column.minimum, column.maximum) == (train["fnlwgt"].min(), train["fnlwgt"].max())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_every_pair_names_what_there_is(pair, specs):
    spec = specs[pair.generator]
    assert set(pair.ours(1000, 2)) <= set(targets.arguments(spec))
    if pair.peer is not None:
        assert pair.peer.library in libraries.LIBRARIES
        pins = environments.requirements(pair.peer.environment)
        assert all("==" in pin for pin in pins)
        assert not any("+" in pin or pin.startswith("nvidia") for pin in pins)


def test_names_of_pairs_are_distinct():
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)


def test_resume_leaves_what_is_done_at_the_same_settings():
    pair = Pair("a", "b")
    table = {"pairs": {"a": {"epochs": 2, "draws": 10, "repeats": 1, "seconds": 5.0, "ours": []}}}
    asked = {"epochs": 2, "draws": 10, "repeats": 1, "seconds": 5.0, "resume": True}
    assert peers.known(pair, table, Namespace(**asked))
    assert not peers.known(pair, table, Namespace(**asked | {"epochs": 3}))
    assert not peers.known(pair, table, Namespace(**asked | {"resume": False}))
    assert not peers.known(Pair("other", "b"), table, Namespace(**asked))


# Tables and adapters


def test_larger_tables_repeat_train_and_the_holdout_stays_unseen(tmp_path):
    CSV.to_csv(tmp_path / "all.csv", index=False)
    assert tables.write(str(tmp_path / "all.csv"), None, tmp_path / "own") == 20
    assert tables.write(str(tmp_path / "all.csv"), 50, tmp_path / "large") == 50
    schema, train, holdout = tables.read(tmp_path / "own")
    assert not set(train["fnlwgt"]) & set(holdout["fnlwgt"])
    assert schema["work"].categories == ("?", "a", "b")
    _, large, same = tables.read(tmp_path / "large")
    pd.testing.assert_frame_equal(same, holdout)
    pd.testing.assert_frame_equal(large[:20], train)


def test_codes_of_text_go_there_and_back():
    task = libraries.Task(CSV, "income", {}, 1, 0)
    codes = libraries.Codes.of(task)
    assert task.discrete == ["work", "income"]
    coded = codes.coded(CSV)
    assert sorted(coded["work"].unique()) == [0, 1, 2]
    pd.testing.assert_frame_equal(codes.text(coded), CSV, check_dtype=False)
    assert (codes.text(coded.assign(work=7.4))["work"] == "b").all()


def test_numbers_come_back_out_of_their_bins():
    task = libraries.Task(CSV, "income", {}, 1, 0)
    binned, members = libraries.cut(task, 3)
    assert binned["fnlwgt"].value_counts().to_dict() == {"0": 10, "1": 10, "2": 10}
    drawn = libraries.of_bins(binned["fnlwgt"], members["fnlwgt"], np.random.default_rng(0))
    assert (drawn // 10 == CSV["fnlwgt"] // 10).all()


# Training steps


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_clock_gives_each_part_its_own_time(monkeypatch):
    from sides import steps

    now = [0.0]
    monkeypatch.setattr(steps.time, "process_time", lambda: now[0])
    clock = steps.Clock()

    def takes(seconds, then=lambda: None):
        def work():
            now[0] += seconds
            then()

        return work

    noise = clock.clocked(takes(1.0), "data")
    indexing = clock.clocked(takes(2.0), "data", outside="network")
    network = clock.clocked(takes(4.0, lambda: (noise(), indexing())), "network")
    takes(8.0, network)()
    indexing()
    clock.turn()
    assert clock.seconds == {"rest": 8.0, "network": 6.0, "data": 3.0}


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_an_epoch_on_a_device_is_timed_between_looks():
    from sides import device

    # 100 steps in two epochs: 10 ms a step once the first call is over
    looks = [(20, 100, 9.0), (40, 100, 10.0), (60, 100, 10.2), (100, 100, 10.6)]
    assert device.epoch_of(looks, 2) == pytest.approx((0.5, 0.01))
    with pytest.raises(ValueError, match="--epochs"):
        device.epoch_of(looks[:1], 2)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_every_network_is_measured_on_a_device():
    from sides import device, steps

    assert [pair.generator for pair in device.each_network([])] == list(steps.NETWORKS)
    assert [pair.name for pair in device.each_network(["ctgan"])] == ["sdv_ctgan"]


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("name", ["tvae", "tabsyn", "autoregressive"])
def test_steps_of_every_training_of_a_network_are_measured(name, monkeypatch):
    from sides import steps

    few = {"WARM": 1, "TIMED": 2, "NEEDED": 6}
    for constant, value in few.items():
        monkeypatch.setattr(steps, constant, value)
    monkeypatch.setitem(steps.NETWORKS, name, dict.fromkeys(steps.NETWORKS[name], 6))
    found = steps.measured(name, *table_of(200), "cpu")
    assert [one["name"] for one in found] == list(steps.TRAININGS.get(name, (name,)))
    for one in found:
        assert one["flops"] > 0
        assert one["seconds"] > 0
        assert sum(one[part] for part in steps.PARTS) == pytest.approx(1.0)
        assert one["network"] > 0.1


def table_of(rows):
    schema = probes.schemas()["mixed"]
    return schema, probes.table(schema, rows, np.random.default_rng(0))
