"""Every table in the data folder goes through the cheap generators and comes out valid."""

import os
from pathlib import Path

import pandas as pd
import pytest
from brief import GENERATORS

from syntharena.bench import claim, config, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.data import datasets, splits
from syntharena.bench.seeds import stream

DATA = os.environ.get("SYNTHARENA_DATA")
DATASETS = config.all_options("dataset")
PRIVATE = sorted(n for n, spec in GENERATORS.items() if "dp" in spec["about"].get("tags", ()))
CHEAP = ("independent", "cart", "gaussian_copula", "smote")
CHEAP_PRIVATE = ("dp_marginals", "mst", "privbayes")
OTHERS = sorted(set(GENERATORS) - set(PRIVATE) - set(CHEAP))
# A small one; the one with the most columns; the one with most values missing and many classes.
FEW_DATASETS = ("german_credit", "diabetes_130us", "support2")
FRACTIONS = {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15}
NONE = Budget()
ROWS = 3000  # enough to meet every sort of value; the long form takes whole tables


def survives(name, generator, tmp_path, rows, budget=NONE):
    try:
        dataset = datasets.load(
            {**DATASETS[name], "rows": rows},
            data_dir=Path(DATA) if DATA else None,
            cache_dir=tmp_path,
            download=False,
        )
    except datasets.DatasetError as error:
        if "is not on this machine" in str(error):
            pytest.skip("the table is not on this machine; set SYNTHARENA_DATA")
        raise
    train = splits.release_split(dataset, fractions=FRACTIONS, rng=stream(0, "split"))["train"]
    schema, model = dataset.schema, targets.build(GENERATORS[generator], ("fit", "sample"))
    if hasattr(model, "skip") and (reason := model.skip(schema, budget)):
        assert reason.strip()
        return
    model.fit(train, schema=schema, budget=budget, rng=stream(0, "train"))
    assert claim.violation(claim.account(model, budget), budget) is None
    synthetic = model.sample(len(train), rng=stream(0, "sample"))
    assert schema.problems(synthetic, len(train)) == []
    # and through a file and back
    canonical = schema.conform(synthetic)
    canonical.to_parquet(tmp_path / "table.parquet", index=False)
    again = schema.conform(pd.read_parquet(tmp_path / "table.parquet"))
    assert schema.digest(again) == schema.digest(canonical)


@pytest.mark.parametrize("generator", CHEAP)
@pytest.mark.parametrize("name", DATASETS)
def test_a_cut_of_every_table_survives(name, generator, tmp_path):
    survives(name, generator, tmp_path, ROWS)


@pytest.mark.parametrize("generator", OTHERS)
@pytest.mark.parametrize("name", FEW_DATASETS)
def test_a_cut_of_few_tables_survives(name, generator, tmp_path):
    survives(name, generator, tmp_path, 1000)


@pytest.mark.parametrize("generator", CHEAP_PRIVATE)
@pytest.mark.parametrize("name", DATASETS)
def test_a_cut_of_every_table_survives_a_small_budget(name, generator, tmp_path):
    survives(name, generator, tmp_path, 1000, Budget(0.1, 1e-5))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [Budget(0.1, 1e-5), Budget(0.3), Budget(10.0, 1e-5, "replace")])
@pytest.mark.parametrize("generator", PRIVATE)
@pytest.mark.parametrize("name", DATASETS)
def test_every_table_survives_every_sort_of_budget(name, generator, budget, tmp_path):
    survives(name, generator, tmp_path, ROWS, budget)


@pytest.mark.slow
@pytest.mark.parametrize("generator", sorted(set(GENERATORS) - {"dp_marginals", "fresh_real"}))
@pytest.mark.parametrize("name", DATASETS)
def test_every_whole_table_survives(name, generator, tmp_path):
    survives(name, generator, tmp_path, None)
