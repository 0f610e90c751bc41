"""The auditor's runs, pairs, attacks and schema-leak test, on generators whose leak is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from brief import GENERATORS
from leaky import CELLS, SCHEMA, DividedByRows, Histogram, Nosy, cells

from syntharena.bench import targets
from syntharena.bench.audit import pairs
from syntharena.bench.audit.attacks import Encoder, exact_direction, row_features, scores
from syntharena.bench.audit.estimates import estimate, strongest, verdict
from syntharena.bench.audit.runs import Runs, collect, pool
from syntharena.bench.audit.schema_leak import schema_leaks
from syntharena.bench.contracts import Budget
from syntharena.bench.probes import schemas, table
from syntharena.bench.schema import Column, Schema
from syntharena.generators.dp_marginals import DpMarginals
from syntharena.generators.dpgan import DpGan
from syntharena.generators.pategan import PateGan
from syntharena.generators.privacy.dpsgd import Descent
from syntharena.generators.privacy.noise import discrete_laplace

BUDGET = Budget(1.0)
SMALL = {"hidden": 2, "noise": 2}  # networks whose fits take a moment
EVERY_ROW = SMALL | {"lot": 300, "steps": 10}
PRIVATE = ("dp_marginals", "mst", "aim", "mwem_pgm", "privbayes")
PRIVATE += ("pategan", "dpgan", "dpctgan", "dptvae")


def population(n=200):
    """Rows in all cells but the canary's, the last one."""
    return cells(np.arange(n) % (CELLS - 1))


def audited(make, numbers, rows=1000, seed=0):
    pair = pairs.outlier(SCHEMA, population())
    return collect(make, pair, budget=BUDGET, schema=SCHEMA, numbers=numbers, seed=seed, rows=rows)


def found(runs, side, **options):
    return estimate(*runs.scores(side), delta=0.0, **options)


# What is known of 1000 runs per world: (black-box, white-box) ranges of the empirical epsilon.
PUBLISHED = {
    "honest": (Histogram, (0.0, 0.85), (0.2, 1.0)),
    "half the noise": (lambda: Histogram(2.0), (0.0, 1.8), (0.9, 1.99)),
    "a tenth": (lambda: Histogram(10.0), (2.0, 4.0), (3.9, 4.94)),
    "a hundredth": (lambda: Histogram(100.0), (3.0, 4.94), (4.87, 4.94)),
    "divided by n": (DividedByRows, (3.0, 4.94), (4.87, 4.94)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_under_noised_histograms_give_the_published_figures(name):
    make, *ranges = PUBLISHED[name]
    runs = audited(make, range(1000))
    for side, (low, high) in zip(("rows", "model"), ranges, strict=True):
        assert low <= found(runs, side).epsilon <= high, side


@pytest.mark.slow
def test_the_honest_histogram_is_never_caught_and_the_others_are():
    """50 audits of the honest one through both attacks; 10 of each other one."""
    caught = dict.fromkeys(PUBLISHED, 0)
    for name, (make, *_) in PUBLISHED.items():
        audits = 50 if name == "honest" else 10
        for seed in range(audits):
            runs = audited(make, range(1000), rows=200, seed=seed)
            both = [found(runs, side, confidence=0.975) for side in ("rows", "model")]
            caught[name] += verdict(1.0, strongest(both)) == "VIOLATION"
    assert caught["honest"] == 0
    assert caught["half the noise"] >= 7
    assert [caught[name] for name in list(PUBLISHED)[2:]] == [10, 10, 10]


@pytest.mark.parametrize(
    ("name", "judged"),
    [("honest", "consistent"), ("a tenth", "VIOLATION"), ("divided by n", "VIOLATION")],
)
def test_verdicts_on_histograms_in_few_runs(name, judged):
    runs = audited(PUBLISHED[name][0], range(200), rows=500)
    both = [found(runs, side, confidence=0.975) for side in runs.sides]
    assert runs.sides == ("rows", "model")
    assert verdict(1.0, strongest(both)) == judged


def test_more_synthetic_rows_show_more():
    few = found(audited(lambda: Histogram(10.0), range(300), rows=100), "rows")
    many = found(audited(lambda: Histogram(10.0), range(300), rows=20_000), "rows")
    assert many.epsilon > few.epsilon + 0.5


def test_runs_can_be_split_and_pooled_in_any_way():
    whole = audited(Histogram, range(12), rows=50)
    blocks = [
        audited(Histogram, part, rows=50) for part in ([7, 1, 3, 11], [0, 2, 4, 5, 6, 8, 9, 10])
    ]
    assert json.dumps(pool(blocks).to_json()) == json.dumps(whole.to_json())
    again = Runs.from_json(json.loads(json.dumps(whole.to_json())))
    np.testing.assert_array_equal(again.present, whole.present)
    assert json.dumps(pool([whole, blocks[0]]).to_json()) == json.dumps(whole.to_json())
    other = replace(blocks[0], present=blocks[0].present + 1)
    with pytest.raises(ValueError, match="two runs of one number differ"):
        pool([whole, other])


def test_features_that_only_some_blocks_have_are_missing_elsewhere():
    a = Runs(("model:x", "rows:y"), (0,), np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    b = Runs(("rows:y",), (1,), np.array([[5.0]]), np.array([[6.0]]))
    both = pool([b, a])
    np.testing.assert_array_equal(both.absent, [[1, 2], [np.nan, 5]])
    assert Runs.from_json(json.loads(json.dumps(both.to_json()))).numbers == (0, 1)


def test_worlds_and_runs_draw_their_own_random_numbers():
    runs = audited(Histogram, range(4), rows=50)
    noise = np.concatenate([runs.absent[:, 0], runs.present[:, 0]])
    assert len(np.unique(noise)) == 8


def test_the_exact_direction_is_what_the_canary_adds():
    pair = pairs.outlier(SCHEMA, population())

    class Exact(Histogram):
        def scale(self, train, budget):
            return 0.0

    (moved,) = exact_direction(Exact, pair, SCHEMA, 0).values()
    assert moved.tolist() == [0.0] * (CELLS - 1) + [1.0]


def test_a_rule_learned_on_other_runs_mixes_weak_features():
    """Ten features that each shift by half a standard deviation shift together by sqrt(10) / 2."""
    rng = np.random.default_rng(0)
    names = tuple(f"rows:{i}" for i in range(10))
    absent, present = rng.normal(size=(2, 2000, 10))
    one = scores(names[:1], absent[:, :1], present[:, :1] + 0.5, "rows")
    all_ten = scores(names, absent, present + 0.5, "rows")
    assert len(one[0]) == 2000
    assert len(all_ten[0]) == 1200
    apart = [np.subtract(*map(np.mean, pair[::-1])) / np.std(pair[0]) for pair in (one, all_ten)]
    assert apart[0] == pytest.approx(0.5, abs=0.1)
    assert apart[1] == pytest.approx(np.sqrt(10) / 2, rel=0.1)


def test_features_that_say_nothing_give_an_honest_bound():
    rng = np.random.default_rng(1)
    names = tuple(f"rows:{i}" for i in range(30))
    worlds = rng.normal(size=(2, 300, 30))
    worlds[:, :, 3] = 7.0  # constant
    worlds[:, 5, 4] = np.nan  # missing in some runs
    assert estimate(*scores(names, *worlds, "rows"), delta=0).epsilon < 0.5
    with pytest.raises(ValueError, match="no feature"):
        scores(names, *worlds, "model")


def test_black_box_features_count_the_canary():
    schema = schemas()["mixed"]
    known = table(schema, 100, np.random.default_rng(0))
    pair = pairs.outlier(schema, known)
    look = row_features(Encoder.of(schema, pair.absent), pair.canary)
    mixed = pd.concat([known.iloc[:3], pair.canary], ignore_index=True)
    seen = look(schema.conform(mixed))
    assert (seen["rows:all cells"], seen["rows:nearest"]) == (0.25, 0)
    assert all(seen[f"rows:cell:{name}"] >= 0.25 for name in schema.names)
    assert look(known)["rows:nearest"] > 0


@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
@pytest.mark.parametrize("name", schemas())
def test_pairs_are_neighbours_under_the_schema(name, neighbours):
    schema = schemas()[name]
    known = table(schema, 60, np.random.default_rng(0))
    for pair in (pairs.tiny(schema, neighbours), pairs.outlier(schema, known, neighbours)):
        assert schema.problems(pair.absent) == schema.problems(pair.present) == []
        shared = len(pair.absent) if neighbours == "add_remove" else len(pair.absent) - 1
        assert len(pair.present) == shared + 1
        assert schema.digest(pair.present[:shared]) == schema.digest(pair.absent[:shared])
        assert schema.digest(pair.present[shared:]) == schema.digest(pair.canary)
    assert len(pairs.tiny(schema).absent) == 4


def test_the_tiny_pair_is_the_worst_case_of_the_published_audit():
    schema = Schema(tuple(Column(c, "continuous", minimum=0, maximum=1) for c in "abc"))
    pair = pairs.tiny(schema)
    assert pair.absent.to_numpy().tolist() == [[0, 0, 0]] * 4
    assert pair.present.to_numpy().tolist() == [[0, 0, 0]] * 4 + [[1, 1, 1]]
    with pytest.raises(ValueError, match="public bounds"):
        pairs.tiny(Schema((Column("a", "continuous"),)))


def test_the_outlier_holds_the_rarest_values():
    schema = Schema(
        (
            Column("x", "continuous", minimum=0, maximum=10),
            Column("free", "integer"),
            Column("c", "categorical", ("a", "b", "z")),
        )
    )
    known = schema.conform(
        pd.DataFrame({"x": [8.0, 9, 9], "free": [1, 2, 9], "c": ["a", "z", "a"]})
    )
    assert pairs.outlier(schema, known).canary.iloc[0].tolist() == [0.0, 9, "b"]


LEAKS = {
    "nothing": set(),
    "categories": {"rows", "vocabulary", "model"},
    "support": {"model"},
    "maximum": {"rows", "bounds", "model"},
    "bounds": {"model"},
    "rows": {"row count"},
    "length": {"row count"},
    "rate": {"exact number"},
    "crash": {"crash"},
    "release": {"shape"},
}


@pytest.mark.parametrize(("looks_at", "places"), LEAKS.items())
def test_schema_leaks_are_found_where_they_are(looks_at, places):
    schema = schemas()["mixed"]
    known = table(schema, 300, np.random.default_rng(0))
    leaks = schema_leaks(lambda: Nosy(looks_at), schema, known, budget=BUDGET, seed=0)
    assert {leak.place for leak in leaks} >= places
    assert bool(leaks) == bool(places)


class CountsRows:
    """Holds a noisy number of rows, and nothing else of them."""

    ledger = ()

    def fit(self, train, *, schema, budget, rng):
        self.schema_ = schema
        self.rows_ = len(train) + int(discrete_laplace(1.0, 1, rng)[0])
        return self

    def sample(self, n, *, rng):
        return table(self.schema_, n, rng)


@pytest.mark.parametrize("seed", range(10))
def test_a_noisy_number_of_rows_is_no_leak_even_where_the_noise_is_nothing(seed):
    schema = schemas()["mixed"]
    known = table(schema, 300, np.random.default_rng(0))
    assert schema_leaks(CountsRows, schema, known, budget=BUDGET, seed=seed) == []


def short(name):
    """Return a factory of a private generator whose training is over in a moment."""
    return lambda: targets.build(GENERATORS[name], ("fit", "sample"))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", PRIVATE)
def test_our_own_generators_leak_nothing_of_the_schema(name, epsilon):
    schema = schemas()["mixed"]
    known = table(schema, 300, np.random.default_rng(0))
    assert schema_leaks(short(name), schema, known, budget=Budget(epsilon, 1e-5), seed=0) == []


def test_nor_do_they_where_a_record_is_replaced():
    schema = schemas()["mixed"]
    known = table(schema, 300, np.random.default_rng(0))
    budget = Budget(1.0, 1e-5, "replace")
    assert schema_leaks(DpMarginals, schema, known, budget=budget, seed=0) == []


def watched(make, numbers):
    """Run a network, and return what its noisy training steps show."""
    pair = pairs.tiny(SCHEMA)
    budget = Budget(1.0, 1e-5)
    runs = collect(make, pair, budget=budget, schema=SCHEMA, numbers=numbers, seed=0, rows=10)
    assert runs.sides[-1] == "training"
    (event, *_) = [e for e in make().fit(**fit_of(pair, budget)).ledger if not e.decides]
    return runs.scores("training"), event


def fit_of(pair, budget):
    rng = np.random.default_rng(0)
    return {"train": pair.absent, "schema": SCHEMA, "budget": budget, "rng": rng}


def apart(scores):
    """Distance of two worlds in standard deviations."""
    absent, present = scores
    return float((present.mean() - absent.mean()) / np.sqrt((absent.var() + present.var()) / 2))


def test_training_steps_show_a_tenth_of_the_noise_and_hide_all_of_it(monkeypatch):
    pytest.importorskip("torch")
    make = lambda: DpGan(**EVERY_ROW)  # noqa: E731
    honest, event = watched(make, range(60))
    claimed = np.sqrt(event.count) / event.noise_multiplier  # mu of all steps together
    error = np.sqrt(2 / 60)
    assert apart(honest) == pytest.approx(claimed, abs=4 * error)
    assert verdict(1.0, estimate(*honest, delta=1e-5)) != "VIOLATION"
    planned = Descent.of.__func__

    def less(cls, *args, **options):
        descent = planned(cls, *args, **options)
        return replace(descent, noise=descent.noise / 10)

    monkeypatch.setattr(Descent, "of", classmethod(less))
    leaky, _ = watched(make, range(60))
    assert apart(leaky) == pytest.approx(10 * claimed, rel=0.25)
    assert verdict(1.0, estimate(*leaky, delta=1e-5)) == "VIOLATION"


def test_votes_show_what_their_noise_hides():
    pytest.importorskip("torch")
    few = SMALL | {"teachers": 1, "rounds": 3, "votes": 16, "batch": 4, "student_steps": 1}
    make = lambda: PateGan(**few)  # noqa: E731
    scores, event = watched(make, range(40))
    most = np.sqrt(event.count) / (event.scale / np.sqrt(2))  # every vote by one deviation
    assert apart(scores) <= most + 4 * np.sqrt(2 / 40)
    assert all(np.ptp(world) > 0 for world in scores)  # the twins do not always agree


@pytest.mark.parametrize("make", [DpGan(**EVERY_ROW), PateGan(**SMALL, teachers=1, rounds=2)])
def test_watching_changes_nothing(make):
    pytest.importorskip("torch")
    pair, budget = pairs.tiny(SCHEMA), Budget(1.0, 1e-5)
    make.fit(**fit_of(pair, budget))
    alone = dict(make.release)
    make.watched = pair.absent, pair.present
    make.fit(**fit_of(pair, budget))
    assert all(np.array_equal(make.release[name], value) for name, value in alone.items())


def test_marginals_keep_their_claim_on_the_tiny_pair():
    schema = schemas()["discrete"]
    runs = collect(
        DpMarginals,
        pairs.tiny(schema),
        budget=BUDGET,
        schema=schema,
        numbers=range(200),
        seed=0,
        rows=1000,
    )
    for side in runs.sides:
        assert verdict(1.0, estimate(*runs.scores(side), delta=0.0)) == "consistent"
