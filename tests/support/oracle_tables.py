"""Tables of the oracle scripts, and the values that the field's libraries gave for them."""

import importlib
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

import syntharena.conf
from syntharena.bench.contracts import Tables
from syntharena.bench.schema import Column, Schema

ROOT = Path(__file__).parent.parent.parent


def script(name):
    """Import a script of scripts/oracles."""
    folder = str(ROOT / "scripts" / "oracles")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def values(name):
    """Read a fixture."""
    return json.loads((ROOT / "tests" / "fixtures" / f"{name}.json").read_text())


def real_table(name):
    """Read a table as the oracle did, or skip the test where it is not on this machine."""
    folders = [Path(syntharena.conf.__path__[0]) / "dataset" / "tables"]
    folders += [Path(os.environ["SYNTHARENA_DATA"])] if "SYNTHARENA_DATA" in os.environ else []
    for folder in folders:
        if (folder / f"{name}.csv.gz").exists():
            oracle = script("sdmetrics_values")
            return oracle.read(folder / f"{name}.csv.gz", oracle.TARGETS[name])
    pytest.skip(f"{name}.csv.gz is neither shipped nor in SYNTHARENA_DATA")


def tables(real, synthetic, numbers="continuous"):
    """Guess a Schema for a pair of tables; whole numbers have the bounds of the real ones and 0."""
    columns = []
    for name in real:
        if real[name].dtype == float:
            bounds = {"minimum": min(0, real[name].min()), "maximum": real[name].max()}
            bounds = bounds if numbers == "integer" else {}
            columns.append(Column(name, numbers, missing=True, **bounds))
        else:
            seen = pd.concat([real[name], synthetic[name]]).dropna().unique()
            columns.append(Column(name, "categorical", tuple(sorted(seen)), missing=True))
    schema = Schema(tuple(columns))
    real, synthetic = schema.conform(real), schema.conform(synthetic)
    return schema, Tables(real, real, real, synthetic)
