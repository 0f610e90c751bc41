"""Configuration: our grid equals Hydra's own, and unknown names are answered in one line."""

import itertools
import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from syntharena.bench import config, plan, targets
from syntharena.bench.config import ConfigError
from syntharena.bench.names import UnknownName

SWEEPS = {
    "generator": ["one", "two", "three"],
    "dataset": ["left", "right"],
    "privacy": ["none", "eps1", "eps10"],
    "seed": ["0", "1", "7"],
    "generator.size": ["1", "2"],
    "extra": ["generator", "dataset"],
    "privacy.delta": ["1e-06", "1e-07"],
    "generator.layers": ["[1]", "[2,3]"],
    "preset": ["smoke", "paper"],
    "+note": ["a", "'b c'"],
}


@pytest.fixture(scope="module")
def config_dir(tmp_path_factory):
    """Groups of somebody else's: generators, datasets, and one that changes either of them."""
    folder = tmp_path_factory.mktemp("conf")
    files = {
        "dataset/left.yaml": "name: left\ncolumns: {a: {kind: integer}}\nsize: 1\n",
        "dataset/right.yaml": "name: right\ncolumns: {a: {kind: integer}}\nsize: ${seed}\n",
        "extra/generator.yaml": "# @package _global_\ngenerator: {size: 99}\n",
        "extra/dataset.yaml": "# @package _global_\ndataset: {size: 98}\n",
    }
    for name in SWEEPS["generator"]:
        body = f"_target_: my.{name}\nsize: 0\nlayers: [0]\nabout: {{name: {name}}}\n"
        body += "depth: ${preset:1,2,[3]}\n"
        files[f"generator/{name}.yaml"] = body
    files["experiment/both.yaml"] = (
        "# @package _global_\n"
        "hydra:\n"
        "  mode: MULTIRUN\n"
        "  sweeper: {params: {generator: 'one,two', seed: 'range(2)'}}\n"
    )
    for path, content in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)
    return folder


def hydras_own(overrides, config_dir):
    """Compose one point as Hydra does."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module(config.CONFIG_MODULE, version_base="1.3"):
        search = f"hydra.searchpath=['{config_dir}']"
        return OmegaConf.to_container(compose("config", [search, *overrides]), resolve=True)


def without_hydra(point):
    return {key: value for key, value in point.config.items() if key != "hydra"}


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # composing is too slow to shrink
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.data())
def test_a_random_grid_equals_hydras(config_dir, data):
    keys = data.draw(st.permutations(["generator", "dataset", *list(SWEEPS)[2:]]))
    swept = ["generator", "dataset", *keys[: data.draw(st.integers(0, 3))]]
    swept = list(dict.fromkeys(swept))
    values = {key: data.draw(st.permutations(SWEEPS[key]))[:2] for key in swept}
    plus = {"extra": "+extra"}
    lines = [f"{plus.get(key, key)}={','.join(values[key])}" for key in swept]
    if any("[" in line for line in lines):  # Hydra needs choice() around lists
        lines = [
            f"generator.layers=choice({','.join(values['generator.layers'])})" if "[" in li else li
            for li in lines
        ]
    ours = config.grid(lines, config_dir=config_dir, multirun=True)
    product = itertools.product(
        *([f"{plus.get(key, key)}={value}" for value in values[key]] for key in swept)
    )
    for point, overrides in zip(ours, product, strict=True):
        assert without_hydra(point) == hydras_own(overrides, config_dir)
        assert list(point.overrides) == list(overrides)


def test_an_experiment_sets_the_grid_and_the_command_line_wins(config_dir):
    points = config.grid(
        ["+experiment=both", "dataset=left"], config_dir=config_dir, multirun=False
    )
    seen = [(p.choices["generator"], p.config["seed"]) for p in points]
    assert seen == [("one", 0), ("one", 1), ("two", 0), ("two", 1)]
    points = config.grid(
        ["+experiment=both", "dataset=left", "generator=three"],
        config_dir=config_dir,
        multirun=False,
    )
    assert [p.choices["generator"] for p in points] == ["three", "three"]


def test_a_setting_follows_the_preset_until_it_is_set(config_dir):
    def depths(*overrides):
        points = config.grid(["generator=one", *overrides], config_dir=config_dir, multirun=True)
        return [point.config["generator"]["depth"] for point in points]

    assert depths("preset=smoke,cpu,paper") == [1, 2, [3]]
    assert depths("preset=smoke,paper", "generator.depth=7") == [7, 7]
    assert config.all_options("generator", config_dir)["one"]["depth"] == 2


def test_a_row_of_a_board_says_how_its_generator_was_fitted(config_dir):
    def label(*overrides):
        points = config.grid(["generator=one", *overrides], config_dir=config_dir, multirun=False)
        return plan._label(points[0])

    assert label() == label("preset=cpu")
    assert label("preset=smoke") == f"{label()} (preset=smoke)"
    assert label("preset=smoke", "generator.size=9") == f"{label()} (preset=smoke, size=9)"
    assert label("preset=smoke", "generator.depth=7") == f"{label()} (depth=7)"
    search = "tuning=optuna", "tuning.trials=9", "tuning.search.seconds=60"
    assert label(*search) == f"{label()} (tuned, 9 trials or 60 s)"


def test_glob_names_every_option(config_dir):
    points = config.grid(
        ["generator=one", "dataset=glob(*ft)"], config_dir=config_dir, multirun=True
    )
    assert [p.choices["dataset"] for p in points] == ["left"]


def test_glob_reaches_into_a_folder_where_it_says_so():
    def chosen(glob):
        points = config.grid([f"generator=glob({glob})", "dataset=adult"], multirun=True)
        return [point.choices["generator"] for point in points]

    assert "sdv/tvae" not in chosen("*")
    assert chosen("sdv/*an") == ["sdv/copulagan", "sdv/ctgan"]
    with pytest.raises(config.ConfigError, match=r"matches nothing; see syntharena list"):
        chosen("sdv/nothing*")


def test_the_environment_is_never_resolved(config_dir, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    (point,) = config.grid(
        ["generator=one", "dataset=left", "dataset.target='${oc.env:SECRET}'"],
        config_dir=config_dir,
        multirun=False,
    )
    assert point.config["dataset"]["target"] == "${oc.env:SECRET}"
    assert "hunter2" not in repr(point.config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["generator=onee"], r"unknown generator 'onee'; did you mean 'one'\? valid: .*three"),
        (["generator=../../etc/passwd"], r"unknown generator '\.\./\.\./etc/passwd'; valid: "),
        (["sed=1"], r"unknown setting 'sed'; did you mean 'seed'\?"),
        (["generator=one", "generator.sizes=1"], r"unknown setting of generator 'sizes'"),
        (["generator=one,two"], r"several values need a multirun, got 'generator=one,two'; add -m"),
        (
            ["preset=papre"],
            r"unknown preset 'papre'; did you mean 'paper'\? valid: cpu, paper, smoke",
        ),
        (["+note=${preset:1,2}"], r"a value each for smoke, cpu, paper is needed, got 1, 2"),
        (["seed==1"], r"Error parsing override 'seed==1'"),
        (["generator=one", "generator.size=${nothing}"], r"nothing"),
    ],
)
def test_a_wrong_override_is_answered_in_one_line(config_dir, overrides, message):
    with pytest.raises((ConfigError, UnknownName), match=message) as caught:
        config.grid(overrides, config_dir=config_dir, multirun=False)
    assert "\n" not in str(caught.value)


def test_a_folder_of_groups_must_exist():
    with pytest.raises(ConfigError, match="--config-dir must be a folder, got 'nowhere'"):
        config.grid([], config_dir="nowhere", multirun=False)


def test_composing_does_not_depend_on_the_current_folder(config_dir, tmp_path, monkeypatch):
    here = config.grid(["generator=one", "dataset=left"], config_dir=config_dir, multirun=False)
    monkeypatch.chdir(tmp_path)
    there = config.grid(["generator=one", "dataset=left"], config_dir=config_dir, multirun=False)
    assert without_hydra(here[0]) == without_hydra(there[0])
    assert not os.listdir(tmp_path)


def test_a_cluster_of_ones_own_is_a_launcher_of_ones_own(tmp_path):
    (tmp_path / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "hydra" / "launcher" / "mycluster.yaml").write_text(
        "defaults: [slurm, _self_]\n"
        "job: {partition: short}\n"
        "by_generator: {ctgan: {gpus: 1}}\n"
        "at_once: 100\n"
    )
    words = ["hydra/launcher=mycluster", "hydra.launcher.job.account=me"]
    (point,) = config.grid(words, config_dir=tmp_path, multirun=False)
    launcher = targets.build(point.config["hydra"]["launcher"], ("run", "outline"))
    assert (launcher.settings.job["partition"], launcher.settings.job["account"]) == ("short", "me")
    assert launcher.settings.by_generator == {"ctgan": {"gpus": 1}}
    assert (launcher.settings.at_once, launcher.detach) == (100, False)


def test_a_value_may_lie_in_a_group_that_the_experiment_chooses():
    chosen = ["+experiment=tuning", "seed=0", "generator=cart", "dataset=german_credit"]
    (point,) = config.grid([*chosen, "tuning.search.seconds=7"], multirun=False)
    assert point.config["tuning"]["search"]["seconds"] == 7
    with pytest.raises(ConfigError, match="did you mean 'seconds'"):
        config.grid([*chosen, "tuning.search.secnds=7"], multirun=False)
