"""Shallow mixtures: densities and EM against closed forms, exact conditions, resuming."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from syntharena.bench.contracts import Budget
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.distributions import mixtures
from syntharena.generators.distributions.mixtures import Layout, Mixture, StochasticEm
from syntharena.generators.shallow_mixture import ShallowMixture
from syntharena.generators.views.cells import NOWHERE

CHANCE = 1e-4  # p-value below which a test of a random table fails


def letters(name, count):
    return Column(name, "categorical", tuple(f"{name}{i}" for i in range(count)))


def fitted(table, schema, seed=0, **options):
    generator = ShallowMixture(**options)
    return generator.fit(table, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def random_mixture(seed, components=4):
    """Three columns; the second is a number where its code is 1."""
    rng = np.random.default_rng(seed)
    layout = Layout((3, 2, 4), ((1, 1),))
    chances = np.concatenate(
        [rng.dirichlet(np.ones(size), size=components).T for size in layout.sizes]
    )
    return Mixture(
        layout,
        np.log(rng.dirichlet(np.ones(components))).astype(np.float32),
        np.log(chances).astype(np.float32),
        rng.normal(size=(1, components)).astype(np.float32),
        rng.uniform(0.1, 2, size=(1, components)).astype(np.float32),
    )


def random_rows(mixture, rows, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, rows) for size in mixture.layout.sizes], axis=1)
    numbers = np.where(codes[:, 1] == 1, rng.normal(size=rows), 0.0)[:, None]
    return codes, numbers.astype(np.float32)


def joint_density(mixture, codes, number):
    """Log density of one row in every component, one factor after the other."""
    found = mixture.log_weights.astype(float)
    for start, code in zip(mixture.layout.starts, codes, strict=True):
        if code != NOWHERE:
            found = found + mixture.log_chances[start + code]
    if codes[1] == 1:
        deviations = np.sqrt(mixture.variances[0])
        found = found + stats.norm(mixture.means[0], deviations).logpdf(number)
    return found


@pytest.mark.parametrize("dense", [0, 30])
def test_densities_are_sums_of_products(monkeypatch, dense):
    monkeypatch.setattr(mixtures, "DENSE", dense)
    mixture = random_mixture(0)
    codes, numbers = random_rows(mixture, 50)
    codes[:5, 0] = NOWHERE
    found = mixture.log_density(codes, numbers)
    expected = [
        logsumexp(joint_density(mixture, row, number))
        for row, (number,) in zip(codes, numbers, strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-5)


def test_components_are_drawn_by_their_share_of_the_density():
    mixture = random_mixture(1)
    codes = np.tile([NOWHERE, 1, 2], (20_000, 1))
    numbers = np.full((20_000, 1), 0.4, dtype=np.float32)
    drawn = mixture.components(codes, numbers, np.random.default_rng(0))
    shares = joint_density(mixture, codes[0], 0.4)
    expected = np.exp(shares - logsumexp(shares)) * len(drawn)
    assert stats.chisquare(np.bincount(drawn, minlength=4), expected).pvalue > CHANCE


def learner(codes, numbers, **options):
    layout = random_mixture(0).layout
    given = {"components": 3, "prior": 0.7, "batch": 10**6, "seed": 0} | options
    return StochasticEm(layout, codes, numbers, **given)


def objective(em):
    """What EM climbs: the likelihood, and that of the prior's rows in every component."""
    mixture = em.mixture
    shares = np.exp(learner(em.codes, em.numbers, components=1, prior=1e-9).mixture.log_chances)
    variances = mixture.variances.astype(float)
    numbers = -(np.log(2 * np.pi * variances) + (1 + mixture.means**2) / variances) / 2
    prior = (shares * mixture.log_chances).sum() + numbers.sum()
    return mixture.log_density(em.codes, em.numbers).sum() + em.prior * prior


def test_em_on_a_whole_table_never_falls():
    rng = np.random.default_rng(0)
    mixture = random_mixture(2)
    codes, numbers = random_rows(mixture, 400)
    codes[:, 2] = (codes[:, 0] + rng.integers(0, 2, 400)) % 4
    em = learner(codes, numbers)
    climbed = []
    for _ in range(30):
        em.step()
        climbed.append(objective(em))
    assert (np.diff(climbed) > -0.05).all()  # single precision
    assert climbed[-1] > climbed[0] + 10


def test_one_component_is_the_table_and_the_prior():
    mixture = random_mixture(0)
    codes, numbers = random_rows(mixture, 300)
    em = learner(codes, numbers, components=1, prior=2.0)
    em.step()
    found = em.mixture
    shares = [np.bincount(codes[:, i], minlength=size) / 300 for i, size in enumerate((3, 2, 4))]
    assert np.exp(found.log_chances[:, 0]) == pytest.approx(np.concatenate(shares), rel=1e-5)
    known = numbers[codes[:, 1] == 1, 0].astype(float)
    mean = known.sum() / (len(known) + 2)
    assert found.means[0, 0] == pytest.approx(mean, abs=1e-5)
    square = ((known**2).sum() + 2) / (len(known) + 2)
    assert found.variances[0, 0] == pytest.approx(square - mean**2, rel=1e-4)


@pytest.mark.parametrize("batch", [100, 350])
def test_batches_learn_what_the_whole_table_does(batch):
    kind = np.arange(600) % 2
    codes = np.stack([kind, np.ones(600, dtype=int), kind + 2 * (np.arange(600) % 3 == 0)], axis=1)
    codes[:3] = [2, 0, 0]
    numbers = (3.0 * kind - 1.5 + 0.1 * np.random.default_rng(0).normal(size=600))[:, None]
    numbers[:3] = 0
    found = []
    for size in (batch, 600):
        em = learner(codes, numbers.astype(np.float32), components=2, batch=size, seed=1)
        for _ in range(200):
            em.step()
        order = np.argsort(em.mixture.means[0])
        found.append(np.exp(em.mixture.log_chances[:, order]))
    assert found[0] == pytest.approx(found[1], abs=0.02)


# The generator


def clusters(rows, seed=0):
    """Two kinds of rows: everything but the kind's own noise follows from the kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, rows)
    shade = np.where(rng.random(rows) < 0.8, kind, 2)
    size = np.where(rng.random(rows) < 0.4, 0.0, 10.0 * kind + rng.normal(size=rows))
    schema = Schema((letters("kind", 2), letters("shade", 4), Column("size", "continuous")))
    columns = {"kind": schema["kind"].from_codes(kind), "shade": schema["shade"].from_codes(shade)}
    return schema.assemble(columns | {"size": schema["size"].from_numbers(size)}), schema


def test_clusters_and_heavy_values_are_reproduced():
    table, schema = clusters(3_000)
    made = fitted(table, schema, components=20, components_per_root=9).sample(
        5_000, rng=np.random.default_rng(1)
    )
    assert (made["size"] == 0).mean() == pytest.approx(0.4, abs=0.03)
    seen = made[made["size"] != 0]
    assert ((seen["size"] > 5) == (seen["kind"] == "kind1")).mean() > 0.95
    crossed = (made["kind"] == "kind0") & (made["shade"] == "shade1")
    assert crossed.mean() < 0.01
    assert (made["shade"] == "shade3").sum() == 0  # no row of train has it
    for kind in ("kind0", "kind1"):
        both = [t.loc[(t["kind"] == kind) & (t["size"] != 0), "size"] for t in (made, table)]
        assert stats.ks_2samp(*both).statistic < 0.08
    assert seen["size"].isin(table["size"]).mean() < 0.01


def test_conditions_are_met_exactly_and_bear_on_everything():
    table, schema = clusters(3_000)
    generator = fitted(table, schema, components=20, components_per_root=9)
    rng = np.random.default_rng(0)
    asked = pd.DataFrame({"size": np.repeat([10.2, -0.3, 0.0], 2_000)})
    made = generator.sample(6_000, rng=rng, conditions=asked)
    assert made["size"].equals(asked["size"])
    shares = [(made["kind"][i : i + 2_000] == "kind1").mean() for i in (0, 2_000, 4_000)]
    assert shares == pytest.approx([1, 0, 0.5], abs=0.05)
    asked = pd.DataFrame({"kind": schema["kind"].from_codes(np.ones(3_000, dtype=int))})
    made = generator.sample(3_000, rng=rng, conditions=asked)
    assert (made.loc[made["size"] != 0, "size"] > 5).mean() > 0.95
    unseen = pd.DataFrame({"shade": schema["shade"].from_codes(np.full(4_000, 3))})
    made = generator.sample(4_000, rng=rng, conditions=unseen)
    assert (made["kind"] == "kind1").mean() == pytest.approx(0.5, abs=0.05)


def test_draws_given_a_category_follow_the_joint_ones():
    table, schema = clusters(1_000)
    generator = fitted(table, schema, components=5, steps=20)
    free = generator.sample(200_000, rng=np.random.default_rng(0))
    code = np.full(50_000, 2)
    asked = pd.DataFrame({"shade": schema["shade"].from_codes(code)})
    made = generator.sample(50_000, rng=np.random.default_rng(1), conditions=asked)
    expected = free[free["shade"] == "shade2"]
    assert stats.ks_2samp(made["size"], expected["size"]).pvalue > CHANCE
    counts = [side["kind"].value_counts().sort_index() for side in (made, expected)]
    assert stats.chi2_contingency(counts).pvalue > CHANCE


class Killed(Exception):
    """What ends a fit before its time."""


@pytest.mark.parametrize("batch", [64, 10_000])
def test_a_killed_fit_ends_bit_identical_to_an_unbroken_one(tmp_path, monkeypatch, batch):
    table, schema = clusters(300)
    options = {"components": 6, "batch": batch, "steps": 60}
    whole = fitted(table, schema, **options).mixture_
    step = StochasticEm.step

    def dying(em):
        if em.done == 33:
            raise Killed
        return step(em)

    def resumed():
        generator = ShallowMixture(**options)
        generator.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)
        rng = np.random.default_rng(0)
        return generator.fit(table, schema=schema, budget=Budget(), rng=rng).mixture_

    monkeypatch.setattr(StochasticEm, "step", dying)
    with pytest.raises(Killed):
        resumed()
    monkeypatch.setattr(StochasticEm, "step", step)
    again = resumed()
    for name in ("log_weights", "log_chances", "means", "variances"):
        assert np.array_equal(getattr(again, name), getattr(whole, name))


def test_progress_tells_of_a_loss_that_falls():
    table, schema = clusters(500)
    generator, seen = ShallowMixture(steps=40), []
    generator.progress = lambda step, total, **losses: seen.append((step, total, losses))
    generator.fit(table, schema=schema, budget=Budget(), rng=np.random.default_rng(0))
    assert [entry[:2] for entry in seen] == [(10, 40), (20, 40), (30, 40), (40, 40)]
    losses = [entry[2]["negative_log_density"] for entry in seen]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))


def test_many_categories_stay_bounded():
    rng = np.random.default_rng(0)
    schema = Schema((letters("c", 3_000), Column("x", "continuous")))
    codes = np.minimum(rng.geometric(0.005, size=6_000), 2_999)
    table = schema.assemble(
        {"c": schema["c"].from_codes(codes), "x": schema["x"].from_numbers(rng.normal(size=6_000))}
    )
    generator = fitted(table, schema, components=30, steps=20, max_cells=100)
    assert generator.parameters == 30 * (1 + 101 + 1 + 2)
    made = generator.sample(6_000, rng=rng)["c"].cat.codes.to_numpy()
    assert np.isin(made, codes).all()
    rare = np.bincount(codes, minlength=3_000) < 5
    assert rare[made].mean() == pytest.approx(rare[codes].mean(), abs=0.02)


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior", 0.0), ("steps", 0), ("components", 2.5), ("components_per_root", 0)],
)
def test_hyperparameters_are_checked_in_fit(name, value):
    table, schema = clusters(10)
    with pytest.raises(ValueError, match=f"{name} must be .*, got {value}"):
        fitted(table, schema, **{name: value})
