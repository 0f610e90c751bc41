"""Leaderboard statistics against closed forms, a slow bootstrap, invariances and tampering."""

from __future__ import annotations

import hashlib
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syntharena.bench.boards.bootstrap import intervals
from syntharena.bench.boards.leaderboard import compile


def metric(family="fidelity", direction="higher", ranked=True, per="", version=1):
    best, worst = (1.0, 0.0) if direction == "higher" else (0.0, "inf")
    return {
        "family": family,
        "direction": direction,
        "best": best,
        "worst": worst,
        "unit": "",
        "ranked": ranked,
        "per": per,
        "definition": "what it is",
        "version": version,
    }


DECLARED = {
    "shape_score": metric(),
    "leak_error": metric("privacy", "lower"),
    "fit_seconds": metric("cost", "lower", ranked=False),
}
ROLES = {"train_copy": "copy", "fresh_real": "ceiling", "independent": "floor"}


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def cell(generator, dataset="a", epsilon="inf", seed=0, *, delta=1e-5, version=1, rows=None):
    return {
        "scenario": {"target": "Release"},
        "dataset": {"sha256": dataset, "schema_sha256": "", "rows": rows},
        "generator": {"target": generator, "version": version, "hyperparameters": {}},
        "budget": {"epsilon": epsilon, "delta": delta, "neighbours": "add_remove"},
        "seeds": {"split": seed, "train": seed, "sample": seed},
    }


def plan(generator, *args, suite="", **options):
    identity = cell(generator, *args, **options)
    return {
        "key": digest([identity, suite]),
        "cell_key": digest(identity),
        "cell": identity,
        "evaluation": {"seed": 0, "evaluators": [suite]},
        "names": {
            "scenario": "release",
            "dataset": identity["dataset"]["sha256"],
            "generator": generator,
        },
        "reference": ROLES.get(generator),
    }


def record(generator, *args, metrics=None, status="ok", declared=None, **options):
    extra = {name: options.pop(name) for name in ("reason", "unavailable") if name in options}
    return {
        "format": 1,
        "status": status,
        "reason": "",
        "metrics": metrics or {},
        "unavailable": {},
        "declared": DECLARED if declared is None else declared,
        **plan(generator, *args, **options),
        **extra,
    }


def scored(generator, dataset="a", seed=0, shape=0.5, leak=0.1, **options):
    values = {"shape_score": shape, "leak_error": leak, "fit_seconds": 2.0}
    return record(generator, dataset, seed=seed, metrics=values, **options)


def references(dataset="a", seed=0):
    return [
        scored("train_copy", dataset, seed, shape=0.95, leak=0.9),
        scored("fresh_real", dataset, seed, shape=0.97, leak=0.05),
        scored("independent", dataset, seed, shape=0.3, leak=0.01),
    ]


def row(table, generator):
    return next(row for row in table.rows if row.generator == generator)


# Means, ranks, ties


def test_mean_is_over_datasets_of_seed_means():
    records = [scored("g", "a", seed, shape=shape) for seed, shape in enumerate([0.1, 0.2, 0.6])]
    records += [scored("g", "b", 0, shape=0.9)]
    estimate = row(compile(records).boards[0].plain, "g").estimates["shape_score"]
    assert estimate.mean == pytest.approx((0.3 + 0.9) / 2)
    assert estimate.datasets == 2
    assert estimate.low < estimate.mean < estimate.high


def test_ranks_are_averaged_over_datasets_and_ranked_metrics():
    shapes = {"g": (0.9, 0.5), "h": (0.8, 0.5), "i": (0.7, 0.6)}
    leaks = {"g": (0.3, 0.3), "h": (0.2, 0.2), "i": (0.1, 0.1)}
    records = [
        scored(name, dataset, shape=shapes[name][place], leak=leaks[name][place])
        for name in shapes
        for place, dataset in enumerate("ab")
    ]
    table = compile(records).boards[0].plain
    assert row(table, "g").estimates["shape_score"].rank == pytest.approx((1 + 2.5) / 2)
    assert row(table, "i").estimates["leak_error"].rank == 1  # lower is better
    assert row(table, "g").mean_rank.mean == pytest.approx((2 + (2.5 + 3) / 2) / 2)
    assert [entry.generator for entry in table.rows] == ["i", "h", "g"]
    assert [entry.position for entry in table.rows] == [1, 2, 3]


def test_cost_is_not_ranked_by_but_reported():
    table = compile([scored("g"), scored("h")]).boards[0].plain
    assert row(table, "g").estimates["fit_seconds"].mean == 2.0
    assert row(table, "g").mean_rank.mean == 1.5


def test_metric_of_another_task_does_not_count_for_a_dataset():
    declared = {"auroc_score": metric("utility"), "r2_score": metric("utility")}
    records = []
    for name, auroc, r2 in (("g", 0.9, -3.0), ("h", 0.8, 0.5)):
        records += [
            record(name, "classes", declared=declared, metrics={"auroc_score": auroc}),
            record(name, "numbers", declared=declared, metrics={"r2_score": r2}),
        ]
    table = compile(records).boards[0].plain
    assert row(table, "g").estimates["r2_score"].mean == -3.0
    assert row(table, "g").estimates["r2_score"].datasets == 1
    assert row(table, "g").mean_rank.mean == 1.5
    assert row(table, "g").unranked == ""


def test_tied_set_is_what_overlaps_the_best():
    spread = {"g": (0.80, 0.90), "h": (0.85, 0.95), "i": (0.10, 0.12)}
    records = [
        scored(name, dataset, shape=spread[name][place])
        for name in spread
        for place, dataset in enumerate("ab")
    ]
    table = compile(records).boards[0].plain
    best = {entry.generator for entry in table.rows if entry.estimates["shape_score"].best}
    assert best == {"g", "h"}


def test_row_on_fewer_datasets_is_not_tied_with_the_best():
    records = [scored("g", "a", shape=0.5), scored("g", "b", shape=0.5), scored("h", "a", shape=1)]
    records += [record("h", "b", status="skipped", reason="too wide"), scored("i", "a", shape=0.4)]
    records += [scored("i", "b", shape=0.3)]
    table = compile(records).boards[0].plain
    assert not row(table, "h").estimates["shape_score"].best
    assert row(table, "g").estimates["shape_score"].best
    assert (row(table, "h").datasets, row(table, "h").coverage) == (1, 1.0)


# Intervals


def test_single_value_has_no_interval():
    estimate = row(compile([scored("g")]).boards[0].plain, "g").estimates["shape_score"]
    assert (estimate.low, estimate.high) == (None, None)


def test_two_values_have_a_known_interval():
    # means of two draws from {0, 1}: 0, 1/2, 1/2, 1 with equal probability
    assert intervals(np.array([[[0.0], [1.0]]])).tolist() == [[0.0, 1.0]]


def test_one_dataset_resamples_its_seeds():
    values = np.random.default_rng(0).normal(size=50)
    ends = intervals(values[None, None, :], 4000)[0]
    half = 1.96 * values.std() / math.sqrt(50)
    assert ends == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)


def test_many_datasets_agree_with_the_normal_interval():
    values = np.random.default_rng(1).normal(3, 2, size=(1, 300, 1))
    half = 1.96 * values.std() / math.sqrt(300)
    centre = values.mean()
    assert intervals(values, 4000)[0] == pytest.approx([centre - half, centre + half], abs=0.03)


def test_intervals_agree_with_a_slow_bootstrap():
    draw = random.Random(2)
    datasets = [[draw.gauss(mu, 1) for _ in range(n)] for mu, n in ((0, 3), (2, 5), (5, 1), (1, 4))]
    means = []
    for _ in range(6000):
        chosen = [draw.choice(datasets) for _ in datasets]
        seeds = [[draw.choice(values) for _ in values] for values in chosen]
        means.append(sum(sum(values) / len(values) for values in seeds) / len(seeds))
    means.sort()
    series = np.full((1, 4, 5), np.nan)
    for place, values in enumerate(datasets):
        series[0, place, : len(values)] = values
    assert intervals(series, 6000)[0] == pytest.approx([means[150], means[5849]], abs=0.15)


def test_holes_may_stand_anywhere_and_series_do_not_meet():
    rng = np.random.default_rng(3)
    series = rng.normal(size=(6, 4, 3))
    series[1, 2, 0] = series[3, :, 1] = np.nan
    together = intervals(series)
    assert together.tolist() == [intervals(one[None])[0].tolist() for one in series]
    assert intervals(series[3:4, :, ::-1]) == pytest.approx(together[3:4], abs=0.3)


def test_constant_has_an_interval_of_no_width():
    assert intervals(np.full((1, 7, 3), 0.1)).tolist() == [[0.1, 0.1]]


def test_row_beyond_a_limit_is_shown_and_not_ranked():
    declared = DECLARED | {"leak_error": DECLARED["leak_error"] | {"limit": 0.5}}
    records = [
        *(scored("copier", d, shape=0.99, leak=leak) for d, leak in (("a", 0.1), ("b", 0.9))),
        *(scored("honest", d, shape=0.4, leak=0.2) for d in "ab"),
    ]
    board = compile([{**r, "declared": declared} for r in records]).boards[0]
    for table in (board.plain, board.imputed):
        copier = row(table, "copier")
        assert copier.position is None
        assert copier.unranked == "leak_error is 0.9 on b, the limit is 0.5"
        assert copier.estimates["shape_score"].mean == 0.99
        assert row(table, "honest").position == 1


def test_a_photocopier_that_a_limit_stops_raises_no_alarm():
    worse = scored("g", leak=0.95)  # so no ranked metric puts the copy below every generator
    alarms = []
    for limit in (None, 0.5):
        declared = DECLARED | {"leak_error": DECLARED["leak_error"] | {"limit": limit}}
        records = [{**r, "declared": declared} for r in [*references(), worse]]
        notes = compile(records).boards[0].notes
        alarms.append([note.alarm for note in notes].count(True))
    assert alarms == [1, 0]


# Coverage and imputation


def test_failed_cell_keeps_the_row_out_of_the_ranking():
    records = [scored("g"), scored("h", seed=0), record("h", seed=1, status="oom", reason="4 GiB")]
    board = compile(records).boards[0]
    failed = row(board.plain, "h")
    assert (failed.ok, failed.expected, failed.coverage) == (1, 2, 0.5)
    assert failed.position is None
    assert failed.unranked == "1 of 2 cells ok"
    assert failed.estimates["shape_score"].mean == 0.5
    assert board.failures[0].line == "h on a, 1 cell oom: 4 GiB"


def test_imputation_takes_the_worst_reference_row_of_the_dataset():
    records = [*references(), *references("b"), scored("g", shape=0.1), scored("g", "b")]
    records += [scored("h"), record("h", "b", status="failed", reason="bug")]
    board = compile(records).boards[0]
    imputed = row(board.imputed, "h")
    assert imputed.by_dataset["b"] == {"shape_score": 0.3, "leak_error": 0.9}
    assert imputed.estimates["shape_score"].mean == pytest.approx((0.5 + 0.3) / 2)
    assert imputed.estimates["shape_score"].imputed == 0.5
    assert imputed.estimates["fit_seconds"].mean == 2.0  # of one cell: cost is never imputed
    assert imputed.estimates["fit_seconds"].imputed == 0
    assert imputed.imputed == 0.5
    assert imputed.position is not None
    assert row(board.imputed, "g").imputed == 0


def test_imputation_takes_the_mean_over_seeds_of_a_reference_row():
    records = [scored("independent", seed=seed, shape=seed / 10, leak=0.01) for seed in range(3)]
    records += [record("g", status="timeout"), scored("g", seed=1)]
    imputed = row(compile(records).boards[0].imputed, "g")
    assert imputed.estimates["shape_score"].mean == pytest.approx((0.1 + 0.5) / 2)


def test_without_a_reference_row_nothing_is_imputed():
    records = [scored("g"), scored("h", seed=0), record("h", seed=1, status="failed")]
    imputed = row(compile(records).boards[0].imputed, "h")
    assert imputed.position is None
    assert imputed.unranked == "no reference row has shape_score on a"


def test_dataset_where_nobody_succeeds_ranks_nobody_who_failed():
    records = [*references(), scored("g"), record("g", "b", status="failed", reason="bug")]
    imputed = row(compile(records).boards[0].imputed, "g")
    assert imputed.position is None
    assert imputed.unranked == "no reference row has any ranked metric on b"


def test_reference_rows_are_never_imputed_or_ranked():
    records = [*references(), record("train_copy", seed=1, status="failed"), scored("g")]
    copy = row(compile(records).boards[0].imputed, "train_copy")
    assert (copy.imputed, copy.position, copy.reference) == (0, None, "copy")


def test_gain_by_failing_is_told():
    records = [*references(), scored("g", shape=0.1), record("g", seed=1, status="failed")]
    notes = [note.text for note in compile(records).boards[0].notes]
    assert any("flatters g" in note for note in notes)


def test_value_that_only_one_generator_lacks_is_a_hole():
    # a synthetic target with one class makes AUROC unavailable: no way out of being ranked by it
    dodge = record(
        "h",
        metrics={"leak_error": 0.0},
        unavailable={"shape_score": "one class"},
    )
    board = compile([*references(), scored("g"), dodge]).boards[0]
    assert row(board.plain, "h").unranked == "no value of shape_score on a"
    assert row(board.imputed, "h").estimates["shape_score"].mean == 0.3


def test_skipped_cells_are_listed_and_not_expected():
    records = [scored("g"), record("g", "b", status="skipped", reason="no target")]
    records += [record("h", status="skipped", reason="no target"), scored("i", "b")]
    board = compile(records).boards[0]
    assert row(board.plain, "g").coverage == 1
    assert [entry.generator for entry in board.plain.rows] == ["g", "i"]
    assert [incident.line for incident in board.not_applicable] == [
        "g on b, 1 cell skipped: no target",
        "h on a, 1 cell skipped: no target",
    ]


def test_planned_cell_without_a_record_is_missing():
    expected = [plan("g", seed=seed) for seed in range(4)]
    board = compile([scored("g", seed=0), scored("g", seed=1)], expected).boards[0]
    assert row(board.plain, "g").statuses == {"ok": 2, "missing": 2}
    assert row(board.plain, "g").coverage == 0.5
    assert board.failures[0].line == "g on a, 2 cells missing"
    assert row(compile([], expected).boards[0].plain, "g").statuses == {"missing": 4}


# Boards


def test_private_and_other_generators_never_share_a_board():
    records = [*references(), scored("g"), scored("dp", epsilon=1.0), scored("dp", epsilon=10.0)]
    records += [scored("dp"), scored("dp", epsilon=1.0, delta=1e-9)]
    boards = compile(records).boards
    assert [(board.epsilon, board.delta) for board in boards] == [
        (math.inf, 0.0),
        (10.0, 1e-5),
        (1.0, 1e-9),
        (1.0, 1e-5),
    ]
    three = ["fresh_real", "independent", "train_copy"]
    assert [entry.generator for entry in boards[0].plain.rows] == ["dp", "g", *three]
    for board in boards[1:]:
        assert [entry.generator for entry in board.plain.rows] == ["dp", *three]


def test_reference_rows_under_a_budget_stand_on_no_board():
    skipped = record("train_copy", epsilon=1.0, status="skipped", reason="not private")
    boards = compile([*references(), skipped]).boards
    assert [board.epsilon for board in boards] == [math.inf]
    assert boards[0].not_applicable == ()


def test_non_private_records_change_no_private_board():
    private = [*references(), *(scored("dp", seed=seed, epsilon=1.0) for seed in range(3))]
    others = [scored("g", seed=seed, shape=0.99) for seed in range(3)]
    assert compile(private).boards[-1] == compile(private + others).boards[-1]


def test_photocopier_is_caught_or_shouted_about():
    calm = compile([*references(), scored("g", leak=0.1), scored("h", leak=0.2)]).boards[0]
    assert not any(note.alarm for note in calm.notes)
    alarmed = compile([*references(), scored("g", leak=0.9)]).boards[0]
    assert [note.text[:24] for note in alarmed.notes if note.alarm] == [
        "A PHOTOCOPIER PASSES HERE"[:24]
    ]


def test_board_without_a_ranked_privacy_metric_shouts():
    declared = {"shape_score": metric()}
    records = [record("train_copy", declared=declared, metrics={"shape_score": 1.0})]
    assert any(note.alarm for note in compile(records).boards[0].notes)


@pytest.mark.parametrize(("count", "warned"), [(5, True), (6, False)])
def test_few_datasets_are_warned_about(count, warned):
    board = compile([scored("g", f"d{place}") for place in range(count)]).boards[0]
    assert any("not significant" in note.text for note in board.notes) == warned


def test_families_choose_the_metrics():
    board = compile([scored("g")], families=["privacy"]).boards[0]
    assert board.metrics == ("leak_error",)
    with pytest.raises(ValueError, match="families must be among"):
        compile([scored("g")], families=["speed"])


# Records of one cell, labels


def test_suites_of_one_cell_are_united():
    one = record("g", metrics={"shape_score": 0.5}, suite="one")
    two = record("g", metrics={"leak_error": 0.25}, suite="two")
    table = compile([one, two]).boards[0].plain
    assert table.rows[0].statuses == {"ok": 1}
    assert {name: e.mean for name, e in table.rows[0].estimates.items()} == {
        "shape_score": 0.5,
        "leak_error": 0.25,
    }


def test_higher_version_wins_then_the_larger_key():
    newer = {**DECLARED, "shape_score": metric(version=2)}
    old = record("g", metrics={"shape_score": 0.1}, suite="old")
    new = record("g", metrics={"shape_score": 0.7}, suite="new", declared=newer)
    assert compile([old, new]).boards[0].plain.rows[0].estimates["shape_score"].mean == 0.7
    pair = [record("g", metrics={"shape_score": v}, suite=str(v)) for v in (0.1, 0.9)]
    winner = max(pair, key=lambda one: one["key"])["metrics"]["shape_score"]
    for order in (pair, pair[::-1]):
        mean = compile(order).boards[0].plain.rows[0].estimates["shape_score"].mean
        assert mean == winner


def test_older_version_does_not_compare_with_a_newer_one():
    newer = {**DECLARED, "shape_score": metric(version=2)}
    records = [scored("g", shape=0.99), record("h", metrics={"shape_score": 0.4}, declared=newer)]
    leaderboard = compile(records)
    assert "shape_score" not in row(leaderboard.boards[0].plain, "g").estimates
    assert "1 values are left out" in leaderboard.notes[0].text


def test_one_label_for_two_things_is_told_apart():
    records = [scored("g"), scored("g", version=2), scored("h"), scored("h", rows=100)]
    board = compile(records).boards[0]
    assert {entry.generator for entry in board.plain.rows} == {"g v1", "g v2", "h"}
    assert board.datasets == ("a (100 rows)", "a (all rows)")


def test_variants_under_one_label_do_not_pass_for_seeds():
    variant = scored("g", shape=0.9)
    variant["cell"]["generator"]["hyperparameters"] = {"depth": 3}
    variant |= {"key": digest(variant["cell"]), "cell_key": digest(variant["cell"])}
    rows = compile([scored("g"), variant]).boards[0].plain.rows
    assert len(rows) == 2
    assert all(entry.generator.startswith("g #") for entry in rows)


# Tidy frame


def test_tidy_frame_holds_every_cell_and_metric():
    declared = {**DECLARED, "f1_score": metric("utility", per="class")}
    values = {"shape_score": 0.5, "f1_score[good]": 0.75}
    why = {"leak_error": "no holdout"}
    records = [*references(), scored("h"), record("h", "b", status="failed", reason="bug")]
    records += [record("g", metrics=values, declared=declared, unavailable=why)]
    records += [record("i", status="oom", reason="4 GiB"), record("j", "c", status="skipped")]
    frame = compile(records).cells
    keyed = frame.set_index(["generator", "dataset", "metric"])
    assert keyed.loc[("g", "a", "f1_score[good]"), "value"] == 0.75
    assert keyed.loc[("g", "a", "leak_error"), "reason"] == "no holdout"
    assert keyed.loc[("g", "a", "fit_seconds"), "reason"] == "not measured"
    assert keyed.loc[("i", "a", "shape_score"), "imputed"] == 0.3
    assert keyed.loc[("i", "a", "shape_score"), "reason"] == "4 GiB"
    assert np.isnan(keyed.loc[("i", "a", "fit_seconds"), "imputed"])
    assert list(frame[frame["metric"] == ""]["status"]) == ["failed", "skipped"]
    assert set(frame["cell_key"]) == {one["cell_key"] for one in records}


# Order and tampering


def test_order_of_records_does_not_matter():
    rng = random.Random(0)
    records = [
        scored(name, dataset, seed, shape=rng.random(), leak=rng.random())
        for name in "ghij"
        for dataset in "abc"
        for seed in range(3)
    ] + [record("k", status="failed", reason=reason) for reason in ("x", "y")]
    expected = [plan("k", seed=seed) for seed in range(3)]
    first = compile(records, expected, bootstrap=200)
    for _ in range(3):
        rng.shuffle(records)
        again = compile(iter(records), iter(expected[::-1]), bootstrap=200)
        assert again.boards == first.boards
        assert again.cells.equals(first.cells)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.5", None])
def test_value_that_is_no_finite_number_is_refused(value):
    bad = scored("g", shape=value)
    with pytest.raises(ValueError, match=f"shape_score.*{bad['key']}"):
        compile([bad])


def test_unknown_status_and_undeclared_metric_are_refused():
    with pytest.raises(ValueError, match="got 'fine' in record"):
        compile([record("g", status="fine")])
    with pytest.raises(ValueError, match="'other_score' undeclared"):
        compile([record("g", metrics={"other_score": 0.5})])


def test_metrics_of_a_failed_record_do_not_count():
    failed = record("h", status="invalid_output", metrics={"shape_score": 1.0})
    table = compile([scored("g"), failed]).boards[0].plain
    assert row(table, "h").estimates == {}


def test_nothing_compiles_to_nothing():
    leaderboard = compile([])
    assert leaderboard.boards == ()
    assert len(leaderboard.cells) == 0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=6),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_ranks_sum_up_and_ignore_the_scale(shapes, scale):
    def mean_ranks(factor):
        records = [
            scored(f"g{place}", "abc"[dataset], shape=factor * value - 1, leak=0.1)
            for place, values in enumerate(shapes)
            for dataset, value in enumerate(values)
        ]
        rows = compile(records, families=["fidelity"], bootstrap=10).boards[0].plain.rows
        return {entry.generator: entry.mean_rank.mean for entry in rows}

    ranks = mean_ranks(scale)
    assert ranks == pytest.approx(mean_ranks(1.0))
    assert sum(ranks.values()) == pytest.approx(len(shapes) * (len(shapes) + 1) / 2)


def test_board_where_nothing_applies_has_no_rows():
    board = compile([record("g", status="skipped", reason="not private", epsilon=1.0)]).boards[0]
    assert board.plain.rows == ()
    assert board.not_applicable[0].line == "g on a, 1 cell skipped: not private"


def test_cell_stays_ok_when_another_suite_fails():
    for good, bad in (("one", "two"), ("two", "one")):
        records = [scored("g", suite=good), record("g", status="failed", suite=bad)]
        assert compile(records).boards[0].plain.rows[0].statuses == {"ok": 1}
