"""The named datasets whose tables are on this machine."""

import os
from importlib.resources import files
from pathlib import Path

import pytest

import syntharena.conf
from syntharena.bench import config, plan
from syntharena.bench.data import datasets


def names():
    """Return the names of all datasets, at hand or not."""
    folder = files(syntharena.conf) / "dataset"
    return sorted(Path(str(f)).stem for f in folder.iterdir() if f.name.endswith(".yaml"))


def spec_and_table(name):
    """Load a dataset, or skip the test where its table is not on this machine."""
    point = config.grid([f"dataset={name}"], config_dir=None, multirun=False)[0]
    spec = plan.Planner().dataset(point.config["dataset"])
    folder = os.environ.get("SYNTHARENA_DATA")
    folder = Path(folder) if folder else None
    try:
        return datasets.load(spec, data_dir=folder, cache_dir=Path(), download=False)
    except datasets.DatasetError as error:
        pytest.skip(str(error))
