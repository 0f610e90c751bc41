"""Foreign environments: what is asked for, how it is made, and cells that run in one.

That every ending of a cell is the same abroad as at home is in test_worker.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from driver import processes_of, start_driver, wait_for_nobody
from markdown_blocks import ROOT, blocks, write_files

from syntharena.bench import check, probes, process, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.foreign import making, servers, wire
from syntharena.bench.foreign.spec import Environment, EnvironmentSpecError, resolve
from syntharena.bench.running import models, stages, sweep, verify
from syntharena.bench.running.local import Local
from syntharena.bench.running.pool import Workplace
from syntharena.bench.running.worker import Worker
from syntharena.bench.store import Store

FIXTURES = Path(__file__).parent / "fixtures"
LILY = {"requirements": ["waterlily==1.2"]}


@pytest.fixture(autouse=True)
def travellers_can_be_imported(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"))


def traveller(name="Traveller", **fields):
    return {"_target_": f"travellers.{name}", "about": {"name": name, "version": 1}, **fields}


@pytest.fixture
def run(store, tmp_path, make_cell, abroad, foreign_cache):
    """Return a function that runs a traveller as a cell and returns its record."""

    def call(name="Traveller", *, limits=(), on_message=lambda message: None, **fields):
        hyperparameters = fields.pop("hyperparameters", {})
        cell = make_cell(abroad(traveller(name, **hyperparameters)), limits=limits, **fields)
        store.supersede(cell)
        return Worker(store, None, foreign_cache).run(cell, on_message)

    return call


# What is asked for


def test_requirements_are_part_of_a_cell_and_nothing_else_of_it(make_cell):
    home, plain = make_cell(traveller()), make_cell(resolve(traveller(environment=LILY)))
    other = make_cell(resolve(traveller(environment={"requirements": ["waterlily==2.0"]})))
    assert len({cell.key for cell in (home, plain, other)}) == 3
    assert plain.identity["generator"]["environment"] == {"requirements": ["waterlily==1.2"]}
    assert "environment" not in home.identity["generator"]
    assert plain.identity["generator"]["hyperparameters"] == {}


def test_a_file_counts_by_what_it_lists(tmp_path):
    file = tmp_path / "needs.txt"
    file.write_text("# what it needs\nwaterlily==1.2   # the good one\n\nfrog \\\n  <2\n")
    listed = Environment.of({"environment": {"file": str(file)}})
    written = Environment.of({"environment": {"requirements": ["waterlily==1.2", "frog <2"]}})
    assert listed == written
    assert listed.key == written.key


def test_sources_of_a_project_are_part_of_a_cell_and_of_no_environment(tmp_path):
    (tmp_path / "requirements.txt").write_text("waterlily==1.2\n")
    (tmp_path / "mine.py").write_text("class Mine: ...\n")
    spec = {"environment": {"project": str(tmp_path)}}
    before = Environment.of(spec)
    for beside in ("table.csv", "notes.txt", ".git/config", "venv/pyvenv.cfg", "venv/x.py"):
        (tmp_path / beside).parent.mkdir(exist_ok=True)
        (tmp_path / beside).write_text("1")
    assert Environment.of(spec) == before
    (tmp_path / "mine.py").write_text("class Mine: pass\n")
    after = Environment.of(spec)
    assert after.identity != before.identity
    assert after.key == before.key
    (tmp_path / "requirements.txt").write_text("waterlily==2.0\n")
    assert Environment.of(spec).key != before.key


def test_a_specification_is_read_once(tmp_path):
    file = tmp_path / "needs.txt"
    file.write_text("waterlily==1.2\n")
    spec = resolve({"environment": {"file": str(file)}})
    before = Environment.of(spec)
    file.unlink()
    assert Environment.of(spec) == before
    assert resolve(spec) == spec


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("ctgan", "must be a mapping, got 'ctgan'"),
        ({}, "needs requirements, a file or a project"),
        ({"packages": ["a"]}, "environment has requirements, .* got 'packages'"),
        ({"requirements": "a"}, r"environment.requirements must be a list of packages, got 'a'"),
        ({"requirements": ["a"], "python": 3.1}, 'quoted version such as "3.12", got 3.1'),
        ({"file": "nowhere.txt"}, "a file of requirements is needed, got 'nowhere.txt'"),
        ({"project": "."}, "a folder with pyproject.toml or requirements.txt, got '.'"),
        ({"file": "nested.txt"}, "must list packages themselves, got '-r other.txt'"),
    ],
)
def test_what_cannot_be_meant_is_refused(environment, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nested.txt").write_text("-r other.txt\n")
    with pytest.raises(EnvironmentSpecError, match=message):
        Environment.of({"environment": environment})


def test_the_version_of_a_class_is_the_hash_of_its_code(tmp_path):
    spec = {"_target_": "travellers.Traveller", "environment": LILY}
    source = Path(__file__).parent / "support" / "travellers.py"
    assert targets.version(spec) == targets.version({"_target_": "travellers.Traveller"})
    assert source.exists()
    with pytest.raises(targets.TargetError, match=r"set about\.version"):
        targets.version({"_target_": "waterlily.Grower", "environment": LILY})


# Making


def made_in(cache, **environment):
    return making.make(Environment.of({"environment": environment}), cache)


def test_an_environment_is_made_once_and_says_what_it_holds(foreign_cache, tmp_path):
    said = []
    environment = Environment.of({"environment": LILY})
    first = making.make(environment, tmp_path, said.append)
    assert first["packages"]["waterlily"] == "1.2"
    assert first["python"] == sys.version.split()[0]
    assert said == ["making an environment of waterlily==1.2 (once)"]
    assert making.make(environment, tmp_path, said.append) == first
    assert len(said) == 1


def test_one_whose_making_was_killed_is_made_again(foreign_cache, tmp_path):
    environment = Environment.of({"environment": LILY})
    making.make(environment, tmp_path)
    folder = making.folder_of(environment, tmp_path)
    (folder / making.MARKER).unlink()
    left = folder / "half"
    left.write_text("")
    making.make(environment, tmp_path)
    assert not left.exists()


def test_two_sweeps_make_one_environment_between_them(foreign_cache, tmp_path):
    environment, said = Environment.of({"environment": LILY}), []
    threads = [
        threading.Thread(target=making.make, args=(environment, tmp_path, said.append))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [
        "making an environment of waterlily==1.2 (once)",
        "waiting for another process that makes the same environment",
    ]


def test_packages_are_installed_without_what_they_ask_for_where_that_is_said(
    foreign_cache, tmp_path
):
    found = made_in(tmp_path, requirements=["waterlily==2.0"], no_dependencies=["frog"])
    assert found["packages"]["waterlily"] == "2.0"
    assert found["packages"]["frog"] == "1.0"


def test_pins_that_name_pandas_are_all_that_is_installed(foreign_cache, tmp_path):
    environment = Environment(no_dependencies=(f"pandas=={pd.__version__}", "frog"))
    found = making.make(environment, tmp_path)
    assert found["packages"]["frog"] == "1.0"
    assert "waterlily" not in found["packages"]
    said = making.folder_of(environment, tmp_path).with_suffix(".log").read_text()
    assert said.count(" install ") == 1
    environment = Environment(no_dependencies=("pandas-stubs",))
    with contextlib.suppress(making.EnvironmentUnavailable):  # it is not among the tests' wheels
        making.make(environment, tmp_path)
    said = making.folder_of(environment, tmp_path).with_suffix(".log").read_text()
    assert said.count(" install ") == 2  # pandas came first


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"requirements": ["waterlily==9"]}, "not to be had for this Python .*waterlily==9"),
        ({"requirements": ["frog", "waterlily==2.0"]}, "the requirements exclude each other"),
        ({"requirements": ["waterlily"], "python": "3.99"}, "there is no python3.99 here; install"),
        ({"requirements": ["not a requirement"]}, "Invalid requirement"),
    ],
)
def test_what_cannot_be_made_says_why_in_one_line(foreign_cache, tmp_path, environment, reason):
    with pytest.raises(making.EnvironmentUnavailable, match=reason) as raised:
        made_in(tmp_path, **environment)
    assert "\n" not in str(raised.value)


def test_a_missing_network_is_told_from_a_missing_package(foreign_cache, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(making.EnvironmentUnavailable, match="no package index can be reached"):
        made_in(tmp_path, requirements=["nenuphar"])


def test_a_configured_pip_is_used_and_else_uv(foreign_cache, tmp_path, monkeypatch):
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "pip" in making.installer("/x/python")[2]
    monkeypatch.setattr(making, "_pip_is_configured", lambda: False)
    assert making.installer("/x/python")[:3] == [str(uv), "pip", "install"]


# Cells


def test_a_cell_runs_where_its_packages_are_and_its_record_names_them(
    run, store, foreign_cache, make_cell
):
    record = run()
    assert (record["status"], record["reason"]) == ("ok", "")
    found = record["environment"]["foreign"]["generator"]
    assert found["packages"]["waterlily"] == "1.2"
    assert 0 < record["metrics"]["shape_score"] <= 1
    store.put_sweep([make_cell()])  # keeps what the table is
    (read,) = store.records()
    assert verify.verify(read, store, None, foreign_cache).status == "identical"


def test_a_class_gives_the_same_rows_at_home_and_abroad(store, tmp_path, make_cell, abroad):
    spec = {
        "_target_": "syntharena.generators.independent.Independent",
        "about": {"name": "independent", "version": 1},
    }
    worker = Worker(store, None, tmp_path / "cache")
    records = [worker.run(make_cell(place)) for place in (spec, abroad(spec))]
    assert records[0]["synthetic"] == records[1]["synthetic"]
    assert records[0]["cell_key"] != records[1]["cell_key"]


def test_global_random_states_follow_the_seed(run):
    one, same = run("GlobalDraws"), run("GlobalDraws")
    other = run("GlobalDraws", seeds={"sample": 1})
    assert one["synthetic"] == same["synthetic"] != other["synthetic"]


def test_a_ledger_a_claim_and_a_reason_come_back(run, toy):
    record = run("Private", budget=Budget(1.0))
    assert record["status"] == "ok"
    assert record["privacy"]["spent_epsilon"] == pytest.approx(1.0)
    assert record["privacy"]["claimed_epsilon"] == 1.0
    assert record["privacy"]["ledger"][0]["purpose"] == "a count"
    bare = run("Private", budget=Budget(1.0), dataset={**toy, "target": None, "task": None})
    assert (bare["status"], bare["reason"]) == ("skipped", "it wants a label")


def test_audits_hand_over_pairs_and_look_at_releases(abroad):
    schema = probes.schemas()["discrete"]
    rng = np.random.default_rng(0)
    absent, present = (probes.table(schema, rows, rng) for rows in (20, 23))
    model = targets.build(abroad(traveller("Private")), ("fit", "sample"))
    model.watched = absent, present
    model.fit(present, schema=schema, budget=Budget(2.0), rng=np.random.default_rng(1))
    assert model.trace == 3.0
    assert model.release["noise"].shape == (3,)


def test_the_costs_are_those_of_the_process_that_worked(run):
    cost = run("Burner")["cost"]
    assert cost["fit_cpu_seconds"] >= 1.0
    assert cost["peak_rss_mib"] > 140
    assert cost["tree_peak_rss_mib"] > 140
    quiet = run("Traveller")["cost"]
    assert quiet["fit_cpu_seconds"] < 1.0
    assert quiet["peak_rss_mib"] < 140


def test_an_evaluator_runs_abroad(store, tmp_path, make_cell, abroad, foreign_cache):
    cell = make_cell(evaluators={"meter": abroad(traveller("Meter"))})
    worker = Worker(store, None, foreign_cache)
    record = worker.run(cell)
    assert record["metrics"]["share_of_rows_score"] == 1.0
    assert record["intervals"]["share_of_rows_score"] == [0.5, 1.0]
    assert record["unavailable"]["none_score"] == "never, but waterlily is 1.2"
    assert record["environment"]["foreign"]["meter"]["packages"]["waterlily"] == "1.2"
    luck = record["metrics"]["luck_score"]
    store.supersede(cell)
    assert worker.run(cell)["metrics"]["luck_score"] == luck


def test_a_fitted_model_is_stored_at_home_and_samples_again(run, store, monkeypatch):
    monkeypatch.setattr(stages, "MODEL_SECONDS", 0.0)
    monkeypatch.setattr(Store, "clear_stages", lambda *arguments: None)
    first = run()
    (model,) = store.root.glob("stages/*.model")
    before = model.stat().st_mtime_ns
    second = run(seeds={"sample": 5})
    assert second["status"] == "ok"
    assert second["cost"]["fit_seconds"] == first["cost"]["fit_seconds"]
    assert model.stat().st_mtime_ns == before
    assert run("Unpicklable")["status"] == "ok"


def test_a_killed_training_goes_on_from_its_checkpoint(run, monkeypatch):
    monkeypatch.setattr(models.Checkpoint.__init__, "__defaults__", (0.0,))  # saves at each step
    unbroken = run("Saver", hyperparameters={"seconds": 0.0})
    limits = {"seconds": 4.0}
    slow = {"seconds": 8.0}
    steps = []

    def seen(message):
        steps.append(message.get("step", 0))

    broken = run("Saver", hyperparameters=slow, limits=limits, on_message=seen)
    assert broken["status"] == "timeout"
    reached = max(steps)
    assert 0 < reached < 100
    steps.clear()
    resumed = run("Saver", hyperparameters=slow, limits={"seconds": 60.0}, on_message=seen)
    assert resumed["status"] == "ok"
    assert min(step for step in steps if step) >= reached - 25
    assert resumed["synthetic"] == unbroken["synthetic"]


def test_conditions_arrive(abroad):
    findings = list(check.generator(abroad(traveller("Conditional"))))
    assert {finding.outcome for finding in findings} == {"pass", "skip"}, findings


def test_the_contract_test_finds_what_is_wrong_abroad(abroad):
    spec = {"_target_": "hostile.ChangesTrain", "about": {"version": 1}}
    outcomes = {f.name: f.outcome for f in check.generator(abroad(spec))}
    assert outcomes["can be built"] == "pass"
    assert "fail" in outcomes.values()  # there is no column x


# Projects


def test_a_folder_with_requirements_is_all_it_takes(store, make_cell, foreign_cache):
    spec = {"_target_": "pond.Pond", "environment": {"project": str(FIXTURES / "waterlab")}}
    spec = resolve(spec)
    servers.start(servers.prepare([spec], foreign_cache))
    seen = []
    record = Worker(store, None, foreign_cache).run(make_cell(spec), seen.append)
    assert record["status"] == "ok", record["reason"]
    assert [m["losses"]["loss"] for m in seen if "losses" in m] == [0.5, 0.25]
    assert record["cost"]["parameters_count"] == 240
    assert record["cell"]["generator"]["version"].startswith("source:")


def test_a_package_is_installed_with_what_it_depends_on(store, make_cell, foreign_cache):
    project = str(FIXTURES / "waterpark")
    spec = resolve({"_target_": "waterpark.slides.Slide", "environment": {"project": project}})
    servers.start(servers.prepare([spec], foreign_cache))
    record = Worker(store, None, foreign_cache).run(make_cell(spec))
    assert record["status"] == "ok", record["reason"]
    assert record["cost"]["parameters_count"] == 1.2


# Sweeps, and what goes wrong in them


@pytest.fixture
def place(store, foreign_cache):
    return Workplace(store.root, None, foreign_cache)


@pytest.fixture
def imports(tmp_path, monkeypatch):
    """Return a function that counts in how many processes the travellers were imported."""
    log = tmp_path / "imports"
    monkeypatch.setenv("TRAVELLERS_LOG", str(log))
    return lambda: len(log.read_text().split()) if log.exists() else 0


def foreign_cells(make_cell, count, name="Traveller", **hyperparameters):
    spec = resolve({**traveller(name, **hyperparameters), "environment": LILY})
    return [make_cell(spec, seed=seed) for seed in range(count)]


def test_a_sweep_imports_once_for_all_its_cells(store, place, make_cell, imports):
    cells = [*foreign_cells(make_cell, 6), make_cell(seed=9)]
    progress = sweep.run(cells, store, Local(workers=2), place)
    assert dict(progress.counts) == {"ok": 7}
    assert imports() == 1


def test_nothing_starts_when_an_environment_or_its_class_is_wrong(store, place, make_cell):
    wrong = resolve({**traveller(), "environment": {"requirements": ["waterlily==9"]}})
    with pytest.raises(making.EnvironmentUnavailable, match="waterlily==9"):
        sweep.run([make_cell(wrong)], store, Local(1), place)
    nobody = resolve({**traveller("Nobody"), "environment": LILY})
    with pytest.raises(targets.TargetError, match="has no 'Nobody'"):
        sweep.run([make_cell(nobody)], store, Local(1), place)
    assert not store.root.exists()


def server_of_nursery():
    """The server below the nursery of the sweep that this process runs."""
    for pid in process.descendants():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if str(servers.SERVER).encode() in command:
                return pid
    return None


def test_a_server_that_is_killed_costs_no_cell(store, place, make_cell, imports):
    cells = foreign_cells(make_cell, 4, seconds=0.5)
    killed = []

    class Killer:
        def begin(self, progress):
            pass

        def on_event(self, cell, event):
            if "done" in event and not killed:
                killed.append(server_of_nursery())
                os.kill(killed[0], signal.SIGKILL)

    progress = sweep.run(cells, store, Local(1), place, watchers=[Killer()])
    assert killed
    assert dict(progress.counts) == {"ok": 4}
    assert imports() > 1


def test_a_killed_sweep_leaves_nobody_and_goes_on(make_cell, tmp_path, foreign_cache):
    cells = foreign_cells(make_cell, 4, seconds=3.0)
    root = tmp_path / "runs"
    (root / "cache").mkdir(parents=True)
    (root / "cache" / "environments").symlink_to(foreign_cache / "environments")
    making.make(Environment.of({"environment": LILY}), foreign_cache)
    driver = start_driver(cells, root, tmp_path)
    deadline = time.monotonic() + 60
    while len(Store(root).running()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    while sum(1 for _ in processes_of(root)) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)  # driver, nursery, server, workers, cells, keepers, guests
    driver.kill()
    driver.communicate()
    wait_for_nobody(root)
    again = start_driver(cells, root, tmp_path)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert {record["status"] for record in Store(root).records()} == {"ok"}


def test_what_a_guest_started_ends_with_its_cell(make_cell, store, abroad, foreign_cache):
    spec = abroad({"_target_": "hostile.Hangs", "about": {"version": 1}})
    most = []

    def stopped():
        most.append(len(guests()))
        return "stop" if most[-1] > 2 else ""  # the keeper, the guest, and who forked away from it

    record = Worker(store, None, foreign_cache).run(make_cell(spec), stopped=stopped)
    assert record["status"] == "preempted"
    assert guests() == []


def test_a_guest_that_is_killed_before_its_cell_is_stopped_fails_nothing(
    make_cell, store, abroad, foreign_cache
):
    spec = abroad({"_target_": "hostile.Hangs", "about": {"version": 1}})
    killed = []

    def stopped():
        if not killed and len(living := guests()) > 2:
            os.kill(living[1], signal.SIGTERM)
            killed.append(time.monotonic())
        return "gone" if killed and time.monotonic() > killed[0] + 0.5 else ""

    assert Worker(store, None, foreign_cache).run(make_cell(spec), stopped=stopped) is None
    assert not list(store.records())
    assert guests() == []


def guests():
    """Find the living processes below the servers of this process."""
    below = [pid for server in process.SPARED for pid in process.descendants(server)]
    return [pid for pid in below if state(pid) not in ("Z", "")]


def state(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def test_a_search_runs_its_trials_abroad(store, make_cell, abroad, foreign_cache):
    import searched

    spec = abroad(searched.spec())
    record = Worker(store, None, foreign_cache).run(
        make_cell(spec, tuning=searched.tuning(trials=3))
    )
    assert record["status"] == "ok", record["reason"]
    assert [trial["state"] for trial in record["tuning"]["trials"]] == ["complete"] * 3


# The wire


@pytest.mark.parametrize("name", probes.schemas())
def test_a_table_arrives_as_it_was_sent(name):
    schema = probes.schemas()[name]
    table = probes.table(schema, 50, np.random.default_rng(3))
    got = wire.unpack_tables(wire.pack_tables({"table": table}))["table"]
    pd.testing.assert_frame_equal(got, table)
    assert schema.digest(schema.conform(got)) == schema.digest(table)
    assert wire.schema_of(wire.schema_to_plain(schema)) == schema


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1, 2]}, index=[0, 0]),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": ["x", None, 3.5]}),
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"a": pd.to_datetime(["2020-01-01", None])}),
        pd.DataFrame(index=range(3)),
        pd.DataFrame({"a": []}),
    ],
    ids=["index", "names", "mixed", "nullable", "dates", "no columns", "no rows"],
)
def test_odd_tables_arrive_with_their_oddities(table):
    got = wire.unpack_tables(wire.pack_tables({"table": table}))["table"]
    assert list(got.columns) == list(table.columns)
    assert len(got) == len(table)
    assert got.index.is_unique == table.index.is_unique
    assert got.isna().to_numpy().tolist() == table.isna().to_numpy().tolist()


@pytest.mark.parametrize("name", ["PCG64", "MT19937", "Philox", "SFC64"])
def test_random_states_travel(name):
    rng = np.random.Generator(getattr(np.random, name)(5))
    rng.random(3)
    there = wire.rng_of(wire.rng_to_plain(rng))
    assert there.random(4).tolist() == rng.random(4).tolist()


def test_a_proxy_can_be_pickled_more_than_once(abroad):
    schema = probes.schemas()["mixed"]
    train = probes.table(schema, 60, np.random.default_rng(0))
    model = targets.build(abroad(traveller()), ("fit", "sample"))
    model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(1))
    rows = model.sample(30, rng=np.random.default_rng(2))
    for _ in range(2):
        model = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(model.sample(30, rng=np.random.default_rng(2)), rows)


# The guide


def test_the_guide_leads_to_a_method_of_ones_own(foreign_cache, tmp_path, monkeypatch):
    page = ROOT / "docs" / "guides" / "foreign-environments.md"
    write_files(page, tmp_path)
    commands = [line for block in blocks(page) for line in block.commands]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(foreign_cache))
    monkeypatch.delenv("PYTHONPATH")
    printed = []
    for command in commands:
        if "pond" in command:
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed.append(done.stdout + done.stderr)
    checked, run = printed
    assert "making an environment of mymethod (once)" in checked
    assert "pass  mixed table, no privacy" in checked
    assert "1 of 1 cells have a record: 1 ok" in run
    listed = subprocess.run(
        "syntharena list generators --config-dir mylab/conf",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[environment: mymethod]" in listed.stdout
