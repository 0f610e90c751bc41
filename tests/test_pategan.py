"""PATE-GAN: its accountant, its teachers, and that the student learns from noisy votes alone."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from syntharena.bench.accountant import spent_epsilon
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators.pategan import PateGan, moments_epsilon
from syntharena.generators.views.blocks import Encoding

torch = pytest.importorskip("torch")

from syntharena.generators.networks.teachers import Teachers  # noqa: E402 - needs torch

CHANCE = 1e-4  # p-value below which a test of random numbers fails
PRIVATE = Budget(1.0, 1e-5)
SCHEMA = Schema(
    (
        Column("x", "continuous", minimum=0, maximum=1, missing=True),
        Column("c", "categorical", ("a", "b", "c")),
        Column("y", "boolean"),
    )
)
SHORT = {"teachers": 7, "rounds": 4, "votes": 5, "hidden": 8, "student_steps": 2}


def small_table(rows, seed=0):
    """Build a table in which y is c == "a" and x is small."""
    rng = np.random.default_rng(seed)
    x, c, y = SCHEMA.columns
    codes = rng.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    return SCHEMA.assemble(
        {
            "x": x.from_numbers(rng.beta(1, 6, size=rows)),
            "c": c.from_codes(codes),
            "y": y.from_codes((codes == 0).astype(np.int64)),
        }
    )


def fitted(table, budget=PRIVATE, seed=0, **parameters):
    generator = PateGan(**(SHORT | parameters))
    return generator.fit(table, schema=SCHEMA, budget=budget, rng=np.random.default_rng(seed))


# The claim


@pytest.mark.parametrize(("votes", "epsilon"), [(10_000, 0.9797), (100_000, 3.2391)])
def test_the_moments_accountant_gives_the_known_figures(votes, epsilon):
    assert moments_epsilon(votes, 1e-3, 1e-5) == pytest.approx(epsilon, abs=1e-4)


@pytest.mark.parametrize("accountant", ["tight", "moments"])
@pytest.mark.parametrize("epsilon", [0.1, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("votes", [1, 12_800])
def test_votes_are_calibrated_to_the_budget(epsilon, accountant, votes):
    generator = PateGan(rounds=votes, votes=1, accountant=accountant)
    if accountant == "moments" and epsilon < math.log(1e5) / 100:
        assert "0.115" in generator.skip(SCHEMA, Budget(epsilon, 1e-5))
        return
    (event,), claimed = generator._plan(Budget(epsilon, 1e-5))
    found = spent_epsilon([event], 1e-5)
    assert found <= claimed <= epsilon
    assert claimed >= 0.99 * epsilon
    assert event.count == votes
    if accountant == "tight":
        assert found == pytest.approx(claimed, rel=1e-6)
    else:
        assert moments_epsilon(votes, 0.5 / event.scale, 1e-5) == pytest.approx(claimed)


@pytest.mark.parametrize("neighbours", ["add_remove", "replace"])
def test_without_delta_votes_compose_to_the_sum(neighbours):
    generator = fitted(small_table(20), Budget(2.0, 0.0, neighbours))
    (event,) = generator.ledger
    assert event.count * event.sensitivity / event.scale == pytest.approx(2.0)
    assert generator.claimed_epsilon == 2.0
    assert spent_epsilon(generator.ledger, 0.0, neighbours) == pytest.approx(2.0)


def test_the_tight_accountant_asks_for_less_noise_than_the_paper():
    scales = {
        accountant: PateGan(accountant=accountant)._plan(PRIVATE)[0][0].scale
        for accountant in ("tight", "moments")
    }
    assert 0.7 < scales["tight"] / scales["moments"] < 0.9


def test_votes_charged_are_votes_asked(monkeypatch):
    asked = []
    real = Teachers.votes
    monkeypatch.setattr(
        Teachers, "votes", lambda self, rows: asked.append(len(rows)) or real(self, rows)
    )
    (event,) = fitted(small_table(50)).ledger
    assert sum(asked) == event.count == SHORT["rounds"] * SHORT["votes"]


def test_votes_carry_the_planned_noise(monkeypatch):
    monkeypatch.setattr(Teachers, "votes", lambda self, rows: np.full(len(rows), 3))
    generator = fitted(small_table(50), rounds=10, votes=400)
    noise = generator.release["votes"] - 3
    scale = generator.ledger[0].scale
    assert len(np.unique(noise.reshape(10, 400), axis=0)) == 10
    jittered = noise + np.random.default_rng(0).uniform(-0.5, 0.5, len(noise))
    assert stats.kstest(jittered, stats.laplace(scale=scale).cdf).pvalue > CHANCE


# The teachers


def teachers_of(table, owners, count, seed=0):
    encoding = Encoding.of(SCHEMA, 4)
    return Teachers(
        encoding,
        encoding.places(table),
        np.asarray(owners),
        count=count,
        hidden=3,
        learning_rate=0.01,
        generator=torch.Generator().manual_seed(seed),
    )


def trained(table, owners, count=5, steps=10):
    teachers = teachers_of(table, owners, count)
    generator = torch.Generator().manual_seed(1)
    fake = teachers.encoding.places(small_table(8, seed=9))
    for _ in range(steps):
        teachers.learn(fake, generator)
    return teachers


def test_parts_are_disjoint_and_hold_every_row():
    table = small_table(40)
    owners = np.random.default_rng(0).integers(5, size=40)
    teachers = teachers_of(table, owners, 5)
    assert int(teachers.sizes.sum()) == 40
    assert teachers.starts.tolist() == np.cumsum([0, *teachers.sizes[:-1]]).tolist()
    for teacher in range(5):
        start, size = int(teachers.starts[teacher]), int(teachers.sizes[teacher])
        own = teachers.encoding.places(table)[torch.from_numpy(owners == teacher)]
        assert torch.equal(teachers.places[start : start + size], own)


def test_a_teacher_draws_from_its_own_rows_only():
    table = small_table(30)
    column = SCHEMA["c"]
    owners = np.arange(30) % 3
    table["c"] = column.from_codes(owners.astype(np.int64))
    drawn = teachers_of(table, owners, 4)._draw_own(200, torch.Generator().manual_seed(0))
    _, c, _ = drawn[:3].split([5, 3, 2], dim=2)
    assert torch.equal(c, torch.eye(3)[:, None].expand(3, 200, 3))


@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_one_row_moves_one_teacher(change):
    table = small_table(40)
    owners = np.random.default_rng(0).integers(5, size=40)
    other, others = table, owners
    if change == "add":
        other, others = pd.concat([table, small_table(1, 5)], ignore_index=True), [*owners, 2]
    elif change == "remove":
        kept = np.arange(40) != np.flatnonzero(owners == 2)[0]
        other, others = table[kept].reset_index(drop=True), owners[kept]
    else:
        row = np.flatnonzero(owners == 2)[0]
        other = table.copy()
        other.loc[row, "x"] = 1 - other.loc[row, "x"]
    before, after = trained(table, owners), trained(other, others)
    for one, two in zip(before.weights, after.weights, strict=True):
        moved = (one != two).reshape(5, -1).any(1)
        assert moved.nonzero().ravel().tolist() == [2]
    rows = before.encoding.rows(before.encoding.places(small_table(60, seed=3)))
    assert np.abs(before.votes(rows) - after.votes(rows)).max() <= 1


def test_owners_of_rows_do_not_depend_on_rows(monkeypatch):
    seen = []
    real = Teachers.__init__
    monkeypatch.setattr(
        Teachers,
        "__init__",
        lambda self, encoding, places, owners, **rest: (
            seen.append(owners) or real(self, encoding, places, owners, **rest)
        ),
    )
    for rows, seed in ((40, 0), (41, 1)):
        fitted(small_table(rows, seed))
    assert (seen[0] == seen[1][:40]).all()
    assert seen[0].max() < SHORT["teachers"]


def test_teachers_tell_real_rows_from_generated_ones():
    table = small_table(2_000)
    teachers = trained(table, np.arange(2_000) % 20, count=20, steps=200)
    rows = teachers.encoding.rows(teachers.encoding.places(small_table(300, seed=4)))
    odd = rows[:, [0, 1, 2, 3, 4, 6, 7, 5, 8, 9]]  # c moved to other categories, y left
    votes = teachers.votes(torch.cat([rows, odd]))
    assert stats.mannwhitneyu(votes[:300], votes[300:], alternative="greater").pvalue < 1e-3


# The student


def test_the_student_and_the_generator_see_noisy_votes_and_nothing_else(monkeypatch):
    """With the votes of the teachers given, fits to different tables are equal."""
    monkeypatch.setattr(Teachers, "votes", lambda self, rows: np.arange(len(rows)))
    models = [fitted(table).release for table in (small_table(40), small_table(55, seed=1))]
    assert models[0].keys() == models[1].keys()
    for name in models[0]:
        np.testing.assert_array_equal(models[0][name], models[1][name])


def test_without_a_budget_votes_are_exact():
    generator = fitted(small_table(60), Budget())
    assert list(generator.ledger) == []
    assert generator.claimed_epsilon == math.inf
    votes = generator.release["votes"]
    assert votes.min() >= 0
    assert votes.max() <= SHORT["teachers"]


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("budget", [Budget(), PRIVATE])
def test_hardly_any_rows_survive(rows, budget):
    generator = pickle.loads(pickle.dumps(fitted(small_table(rows), budget)))
    for n in (0, 1, 50):
        assert SCHEMA.problems(generator.sample(n, rng=np.random.default_rng(0)), n) == []


def test_skips_say_why():
    assert PateGan().skip(SCHEMA, Budget(1.0, 0.0, "replace")) is None
    assert "guessed" in PateGan().skip(Schema(SCHEMA.columns, public=False), PRIVATE)
    assert "'d'" in PateGan().skip(Schema((Column("d", "datetime"),)), PRIVATE)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"teachers": 0}, "teachers must be a whole number >= 1"),
        ({"votes": 2.5}, "votes must be a whole number >= 1"),
        ({"accountant": "loose"}, "accountant must be one of tight, moments"),
    ],
)
def test_hyperparameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        fitted(small_table(3), **parameters)


def distance(one, other):
    """Mean total variation distance of one-way marginals."""
    encoding = Encoding.of(SCHEMA, 8)
    means = [encoding.rows(encoding.places(table)).mean(0) for table in (one, other)]
    return float((means[0] - means[1]).abs().sum()) / (2 * len(encoding.sizes))


@pytest.mark.slow
def test_utility_grows_with_epsilon():
    truth = small_table(20_000, seed=99)
    means = []
    for epsilon in (0.1, 1.0, 10.0):
        found = []
        for seed in range(5):
            generator = PateGan().fit(
                small_table(4_000, seed),
                schema=SCHEMA,
                budget=Budget(epsilon, 1e-5),
                rng=np.random.default_rng(seed),
            )
            made = generator.sample(20_000, rng=np.random.default_rng(seed))
            found.append(distance(made, truth))
        means.append(np.mean(found))
    assert means[0] > means[1] > means[2], means
