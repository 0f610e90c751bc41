"""What tuning gave on holdout: pairs of cells, differences, verdicts."""

from pathlib import Path

import pytest
import tuning_gain

from syntharena.bench.store import Store

ROOT = Path(__file__).parent.parent


def record(seed, utility, trend=0.9, *, tuned=False, metric="tstr_xgboost_auroc_score"):
    measured = {metric: utility, "trend_score": trend}
    found = {
        "names": {"dataset": "toy", "generator": f"cart{' (tuned, 9 trials)' * tuned}"},
        "cell": {"seeds": {"train": seed}, "generator": {}, "budget": {}},
        "metrics": {**measured, "shape_score": 0.5},
        "cost": {},
    }
    if tuned:
        objective = {
            "binary": ["tstr_xgboost_auroc_score", "trend_score"],
            "regression": ["tstr_xgboost_r2_score", "trend_score"],
        }
        trials = [
            {"state": "complete", "metrics": {**measured, "photocopy_error": 0.0}},
            {"state": "failed", "metrics": {}},
            {"state": "unfinished", "metrics": {}},
        ]
        found["cell"]["tuning"] = {"search": {"objective": objective}}
        found |= {"tuning": {"trials": trials}, "cost": {"tuning_cpu_seconds": 60.0 + seed}}
    return found


def test_seeds_are_paired_and_the_objective_is_that_of_the_task():
    name = "tstr_xgboost_r2_score"
    records = [record(seed, 0.1 * seed, metric=name) for seed in range(3)]
    records += [record(seed, 0.1 * seed + 0.2, tuned=True, metric=name) for seed in (2, 0)]
    (found,) = tuning_gain.gains(records)
    assert (found.dataset, found.generator) == ("toy", "cart")
    assert found.defaults == pytest.approx([0.45, 0.55])
    assert found.differences == pytest.approx([0.1, 0.1])
    assert (found.trials, found.seconds) == ([2, 2], [60.0, 62.0])


@pytest.mark.parametrize(
    ("gained", "verdict"),
    [
        ((0.1, 0.12, 0.11), "helps"),
        ((-0.1, -0.12, -0.11), "harms"),
        ((0.1, -0.1, 0.05), "not shown"),
        ((0.3,), "not shown"),
        ((0.0, 0.0), "not shown"),
    ],
)
def test_an_interval_decides(gained, verdict):
    records = [record(seed, 0.5) for seed in range(len(gained))]
    records += [record(seed, 0.5 + gain, tuned=True) for seed, gain in enumerate(gained)]
    (found,) = tuning_gain.gains(records)
    assert found.verdict == verdict
    line = tuning_gain.line(found)
    assert line.endswith(f"| {verdict} |")
    assert ("[" in line) == (len(gained) > 1)


def test_a_tuned_cell_without_its_counterpart_is_refused():
    with pytest.raises(ValueError, match=r"cart on toy has no cells with defaults, seeds \[1\]"):
        tuning_gain.gains([record(0, 0.5), record(1, 0.6, tuned=True)])


def test_cells_are_paired_by_what_they_are_and_not_by_their_names():
    """Two budgets of one generator, and a search of which no trial was measured."""
    records = []
    for epsilon, gained in (("1.0", 0.1), ("10.0", 0.2)):
        for tuned in (False, True):
            made = record(0, 0.5 + gained * tuned, tuned=tuned)
            made["cell"]["budget"] = {"epsilon": epsilon}
            made["names"]["generator"] = f"cart (min_leaf=3{', tuned, 9 trials' * tuned})"
            if tuned:
                made["tuning"]["trials"] = [{"state": "failed", "metrics": {}}]
            records.append(made)
    found = tuning_gain.gains(records)
    assert [one.generator for one in found] == ["cart (min_leaf=3)"] * 2
    assert [one.differences for one in found] == [pytest.approx([0.05]), pytest.approx([0.1])]


def on(dataset, records):
    for one in records:
        one["names"]["dataset"] = one["cell"]["dataset"] = dataset
    return records


def test_each_seed_counts_with_its_mean_over_datasets():
    """Gains of .1 and of .3 or .2: with their means, .2 and .15, by half (one of two metrics)."""
    records = []
    for dataset, gained in (("one", (0.1, 0.1)), ("two", (0.3, 0.2))):
        made = [record(seed, 0.5) for seed in range(2)]
        made += [record(seed, 0.5 + gain, tuned=True) for seed, gain in enumerate(gained)]
        records += on(dataset, made)
    found = tuning_gain.gains(records)
    (mean,) = tuning_gain.over_datasets(found)
    assert (mean.dataset, mean.generator) == ("all", "cart")
    assert mean.differences == pytest.approx([0.1, 0.075])
    assert (mean.trials, mean.seconds) == ([2, 2], [60.0, 61.0])
    assert tuning_gain.line(mean) in tuning_gain.table(found)


def test_budgets_of_one_generator_have_means_of_their_own():
    records = []
    for dataset in ("one", "two"):
        for epsilon, gained in (("1.0", 0.1), ("10.0", 0.2)):
            made = [record(0, 0.5), record(0, 0.5 + gained, tuned=True)]
            for one in on(dataset, made):
                one["cell"]["budget"] = {"epsilon": epsilon}
            records += made
    found = tuning_gain.gains(records)
    means = tuning_gain.over_datasets(found)
    assert sorted(mean.differences[0] for mean in means) == pytest.approx([0.05, 0.1])
    of_one_dataset = [gain for gain in found if gain.dataset == "one"]
    assert tuning_gain.over_datasets(of_one_dataset) == []


def test_one_dataset_or_unequal_seeds_have_no_mean_over_datasets():
    one = on("one", [record(0, 0.5), record(0, 0.6, tuned=True)])
    two = on("two", [record(1, 0.5), record(1, 0.6, tuned=True)])
    assert tuning_gain.over_datasets(tuning_gain.gains(one)) == []
    assert tuning_gain.over_datasets(tuning_gain.gains(one + two)) == []


def test_the_page_says_what_the_records_say():
    page = (ROOT / "docs" / "findings" / "tuning.md").read_text(encoding="utf-8")
    found = tuning_gain.gains(Store(ROOT / "results" / "tuning").records())
    assert tuning_gain.with_table(page, found) == page
    assert tuning_gain.table(found) in page
