"""The contract tests themselves: ours pass, and each sort of misbehaviour is found."""

import os
from pathlib import Path

import pytest
from brief import GENERATORS

from syntharena.bench import check, config
from syntharena.bench.schema import Column, Schema

DATA = os.environ.get("SYNTHARENA_DATA")
EVALUATORS = config.all_options("evaluator")
DATASETS = config.all_options("dataset")


def outcomes(findings):
    return {finding.name: (finding.outcome, finding.detail) for finding in findings}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_keeps_its_contract(name):
    found = outcomes(check.generator(GENERATORS[name]))
    assert [item for item in found.items() if item[1][0] == "fail"] == []
    assert found["mixed table, no privacy"][0] == "pass"


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_keeps_its_contract(name):
    found = outcomes(check.evaluator(EVALUATORS[name]))
    assert [item for item in found.items() if item[1][0] == "fail"] == []


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_keeps_its_contract(name, tmp_path):
    found = outcomes(check.dataset(DATASETS[name], Path(DATA) if DATA else None, tmp_path))
    assert [item for item in found.items() if item[1][0] == "fail"] == []
    if found["loads as pinned, fits its Schema and splits"][0] == "skip":
        pytest.skip("the table is not on this machine; set SYNTHARENA_DATA")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("Raises", "RuntimeError"),
        ("Segfaults", "exit code -11"),
        ("ExitsAtOnce", "exit"),
        ("UsesGlobalRandomness", "global random state was used"),
        ("ChangesTrain", "fit() changed the training table"),
        ("NoMethods", "has no method fit"),
        ("WrongOutput", "DataFrame"),
    ],
)
def test_a_misbehaving_generator_is_found(name, complaint, monkeypatch):
    schema = Schema((Column("x", "continuous", minimum=-9.0, maximum=9.0),))
    monkeypatch.setattr(check.probes, "schemas", lambda: {"probe": schema, "mixed": schema})
    findings = list(check.generator({"_target_": f"hostile.{name}"}))
    assert any(f.outcome == "fail" and complaint in f.detail for f in findings), findings


def test_a_hanging_generator_is_found(monkeypatch):
    monkeypatch.setattr(check.probes, "schemas", lambda: {"mixed": Schema(check.probes.NUMERIC)})
    findings = list(check.generator({"_target_": "hostile.Hangs"}, seconds=0.5))
    assert any("not done in 0.5 s" in f.detail for f in findings if f.outcome == "fail")


def test_an_overspending_generator_is_found():
    findings = outcomes(check.generator({"_target_": "hostile.Overspends", "factor": 2.0}))
    assert findings["mixed table, epsilon 1"] == (
        "fail",
        "the ledger spends epsilon 1.99998 at delta 1e-05, the budget is 1",
    )


@pytest.mark.parametrize("how", ["nan", "range", "absent", "undeclared", "raises", "segfault"])
def test_a_misbehaving_evaluator_is_found(how):
    findings = list(check.evaluator({"_target_": "hostile.BadEvaluator", "how": how}))
    assert any(finding.outcome == "fail" for finding in findings)
