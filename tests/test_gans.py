"""CTGAN, TVAE and ADS-GAN: their networks against plain forms, and what they learn."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from truths import TRUTHS

from syntharena.bench.contracts import Budget
from syntharena.bench.probes import schemas, table
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.adsgan import AdsGan, distance_weights
from syntharena.generators.common import draw_in_passes
from syntharena.generators.ctgan import Ctgan
from syntharena.generators.tvae import Tvae
from syntharena.generators.views.blocks import Blocks
from syntharena.generators.views.mixed import Mixed

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402 - needs torch

from syntharena.generators.networks.asking import Asking, Rows  # noqa: E402
from syntharena.generators.networks.critic import Beside, Critic, CriticNoise  # noqa: E402
from syntharena.generators.networks.gan import ResidualGenerator, activated, gumbel, misses  # noqa: E402
from syntharena.generators.networks.mode_autoencoder import ModeAutoencoder  # noqa: E402

CHANCE = 1e-4  # p-value below which a test of random numbers fails
SMOKE = {
    Ctgan: {"epochs": 2, "least_steps": 3, "batch": 40, "pack": 4, "hidden": 16, "noise": 8},
    Tvae: {"epochs": 2, "least_steps": 3, "batch": 40, "hidden": 16, "latent": 8},
    AdsGan: {"steps": 3, "batch": 40, "hidden": 8, "noise": 4},
}
BLOCKS = Blocks((3, 1, 4))


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def fitted(make, train, schema, seed=0, **settings):
    generator = make(**(SMOKE[make] | settings))
    return generator.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def double(noise):
    return CriticNoise(
        [u.double() for u in noise.uniforms],
        [u.double() for u in noise.uniforms_mixed],
        noise.shares.double(),
    )


# Blocks


def test_softmax_within_blocks_is_torch_s_of_each_block():
    logits = torch.randn(50, BLOCKS.width, generator=draws()) * 300  # beyond what exp can hold
    parts = [functional.log_softmax(part, 1) for part in logits.split(BLOCKS.sizes, 1)]
    assert torch.allclose(BLOCKS.log_shares(logits), torch.cat(parts, 1), atol=1e-4)
    assert torch.allclose(BLOCKS.softmax(logits), torch.cat(parts, 1).exp(), atol=1e-6)
    places = BLOCKS.draw(BLOCKS.softmax(logits), draws())
    surprisals = BLOCKS.surprisals(logits, places)
    for i, part in enumerate(parts):
        own = part.gather(1, places[:, [i]] - int(BLOCKS.starts[i]))[:, 0]
        assert torch.allclose(surprisals[:, i], -own, atol=1e-4)


def test_rows_through_the_gumbel_softmax_are_drawn_by_their_shares():
    logits = torch.tensor([0.3, -1.0, 1.0, 5.0, 0.0, 0.5, -2.0, 0.1, 0.7])
    n = 20_000
    rows = activated(
        BLOCKS, logits.expand(n, -1), gumbel(torch.rand(n, BLOCKS.width, generator=draws())), 0.2
    )
    assert rows[:, -1] == pytest.approx(math.tanh(0.7))
    assert (rows[:, 3] == 1).all()
    for begin, size in zip(BLOCKS.starts, BLOCKS.sizes, strict=True):
        block = rows[:, begin : begin + size]
        assert block.sum(1) == pytest.approx(1, abs=1e-5)
        seen = np.bincount(block.argmax(1), minlength=size)
        expected = torch.softmax(logits[begin : begin + size].double(), 0).numpy() * n
        assert size == 1 or stats.chisquare(seen, expected).pvalue > CHANCE


def test_a_miss_is_the_cross_entropy_of_the_place_asked_for():
    logits = torch.randn(30, BLOCKS.width, generator=draws())
    asked = torch.randint(BLOCKS.width, (30,), generator=draws())
    for row, place, found in zip(logits, asked, misses(BLOCKS, logits, asked), strict=True):
        block = int(BLOCKS.owners[place])
        begin, size = int(BLOCKS.starts[block]), BLOCKS.sizes[block]
        expected = functional.cross_entropy(row[begin : begin + size], place - begin)
        assert float(found) == pytest.approx(float(expected), abs=1e-5)


# Networks


def test_places_enter_a_layer_as_one_hot_vectors_do():
    layer = Beside(5, 6, 4)
    numbers = torch.randn(8, 5, generator=draws())
    places = torch.randint(6, (4, 2), generator=draws())
    hot = functional.one_hot(places, 6).sum(1).float().repeat(2, 1)
    weight = torch.cat([layer.dense.weight, layer.rows.T], 1)
    expected = functional.linear(torch.cat([numbers, hot], 1), weight, layer.dense.bias)
    assert torch.allclose(layer(numbers, places), expected, atol=1e-6)
    assert max(float(p.detach().abs().max()) for p in layer.parameters()) <= 11**-0.5


@pytest.mark.parametrize("asked", [0, 5])
def test_the_generator_is_a_chain_of_concatenating_blocks(asked):
    hidden, width, n = [7, 6, 5], 9, 12
    network = ResidualGenerator(4, asked, hidden, width)
    noise = torch.randn(n, 4, generator=draws())
    places = torch.randint(asked, (n,), generator=draws()) if asked else None
    hot = functional.one_hot(places, asked).float() if asked else noise[:, :0]
    known = torch.cat([noise, hot], 1)
    begin, inside = 0, noise[:, :0]
    for position, units in enumerate([*hidden, width]):
        end = begin + units
        parts = [network.entry.dense.weight[begin:end]]
        parts += [network.entry.rows[:, begin:end].T] if asked else []
        parts += [network.layers[position - 1].weight] if position else []
        weight = torch.cat(parts, 1)
        assert float(weight.detach().abs().max()) <= weight.shape[1] ** -0.5
        inputs = torch.cat([known, inside], 1)
        outputs = functional.linear(inputs, weight, network.entry.dense.bias[begin:end])
        if position < len(hidden):
            norm = functional.batch_norm(outputs, None, None, training=True)
            inside = torch.cat([inside, functional.relu(norm)], 1)
        begin = end
    assert torch.allclose(network(noise, places), outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("hidden", "pack", "asked", "slope", "dropout"),
    [([6], 1, 0, 0.0, 0.0), ([8, 7], 3, 5, 0.2, 0.5), ([8, 7, 6], 2, 0, 0.2, 0.3)],
)
def test_the_critics_loss_is_that_of_a_second_backward_pass(hidden, pack, asked, slope, dropout):
    critic = Critic(4, hidden, asked=asked, pack=pack, slope=slope, dropout=dropout).double()
    packs, n = 9, 9 * pack
    real, fake = torch.randn(2, n, 4, generator=draws(), dtype=torch.float64)
    places = torch.randint(asked, (n,), generator=draws()) if asked else None
    noise = double(critic.noise(packs, draws()))
    loss = critic.loss(real, fake, places, noise, 10.0)

    def scores(rows, uniforms):
        return critic.scores(critic.enter(rows, places), critic.kept(uniforms))

    shares = noise.shares.repeat_interleave(pack, 0)
    mixed = (shares * real + (1 - shares) * fake).requires_grad_()
    total = scores(mixed, noise.uniforms_mixed).sum()
    (slopes,) = torch.autograd.grad(total, mixed, create_graph=True)
    norms = slopes.reshape(packs, -1).norm(dim=1)
    fakes = scores(fake, [u[packs:] for u in noise.uniforms])
    reals = scores(real, [u[:packs] for u in noise.uniforms])
    expected = fakes.mean() - reals.mean() + 10 * (norms - 1).square().mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    parameters = list(critic.parameters())
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(expected, parameters)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-14)


def test_dropout_keeps_means():
    critic = Critic(2, [400], dropout=0.3)
    (kept,) = critic.kept(critic.uniforms(500, draws()))
    assert sorted(kept.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert float(kept.mean()) == pytest.approx(1, abs=0.01)


def test_tvae_s_loss_is_the_evidence_lower_bound():
    network = ModeAutoencoder(BLOCKS.width, 2, 6, 3)
    with torch.no_grad():
        network.deviations.copy_(torch.tensor([0.05, 0.7]))
    n = 20
    places = BLOCKS.draw(torch.ones(n, BLOCKS.width) / BLOCKS.blocks.sum(0)[BLOCKS.owners], draws())
    offsets = torch.rand(n, 2, generator=draws()) * 2 - 1
    noise = torch.randn(n, 3, generator=draws())
    told = (torch.rand(n, 2, generator=draws()) < 0.7).float()
    misfit, divergence = network(BLOCKS, places, offsets, told, noise)

    moments = network.encoder(torch.cat([BLOCKS.rows(places), offsets], 1))
    posterior = torch.distributions.Normal(moments[:, :3], torch.exp(moments[:, 3:] / 2))
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    assert float(divergence) == pytest.approx(float(expected), rel=1e-5)
    outputs = network.decoder(posterior.mean + posterior.stddev * noise)
    normal = torch.distributions.Normal(torch.tanh(outputs[:, -2:]), network.deviations)
    constant = math.log(2 * math.pi) / 2
    expected = -((normal.log_prob(offsets) + constant) * told).sum(1)
    for i, part in enumerate(outputs[:, :-2].split(BLOCKS.sizes, 1)):
        categories = torch.distributions.Categorical(logits=part)
        expected = expected - categories.log_prob(places[:, i] - int(BLOCKS.starts[i]))
    assert float(misfit) == pytest.approx(float(expected.mean()), rel=1e-4)

    with torch.no_grad():
        network.deviations.copy_(torch.tensor([-1.0, 3.0]))
    network.clip()
    assert network.deviations.tolist() == pytest.approx([0.01, 1.0])


# Training by sampling


def test_columns_are_asked_for_evenly_and_categories_by_their_weight():
    weights = torch.tensor([1.0, 2.0, 3.0, 9.0, 1e-3, 1.0, 1.0, 2.0], dtype=torch.float64)
    places = Asking.of(weights, BLOCKS).draw(60_000, draws())
    expected = weights / (BLOCKS.blocks.T.double() @ weights)[BLOCKS.owners] / 3
    seen = np.bincount(places, minlength=8)
    assert stats.chisquare(seen, expected.numpy() * 60_000).pvalue > CHANCE


def test_rows_that_have_what_is_asked_for_are_drawn_evenly():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(0, size, 40) for size in BLOCKS.sizes])
    codes[:4] = np.arange(4)[:, None] % np.array(BLOCKS.sizes)
    places = torch.from_numpy((codes + BLOCKS.starts).astype(np.int32))
    having = Rows.of(places, BLOCKS)
    assert having.counts.tolist() == np.bincount(places.numpy().ravel(), minlength=8).tolist()
    for place in range(8):
        rows = having.draw(torch.full((4000,), place), draws()).numpy()
        members = np.flatnonzero((places.numpy() == place).any(axis=1))
        seen = np.bincount(rows, minlength=40)
        assert seen[members].sum() == 4000
        assert stats.chisquare(seen[members]).pvalue > CHANCE


# ADS-GAN's distance


def test_all_columns_weigh_the_same():
    schema = Schema(
        (
            Column("coin", "categorical", ("a", "b")),
            Column("three", "categorical", ("a", "b", "c")),
            Column("flat", "continuous"),
            Column("gaps", "continuous", missing=True),
        )
    )
    rows = {"coin": ["a", "b"] * 9, "three": ["a", "b", "c"] * 6}
    rows |= {"flat": np.arange(18) / 17, "gaps": [0.0, None, 1.0] * 6}
    mixed = Mixed.of(schema.conform(pd.DataFrame(rows)), schema)
    found = distance_weights(mixed.sizes, len(mixed.numeric))
    blocks = Blocks(tuple(mixed.sizes))
    one, other = (
        blocks.rows(torch.tensor([places])).numpy()[0] for places in ([0, 2, 5], [1, 4, 6])
    )
    far = np.append(one, [0.0, 1.0]) - np.append(other, [1.0, 0.0])
    assert (far**2) @ found == pytest.approx(1)
    near = np.append(one, [0.0, 1.0]) - np.append(one, [1.0, 1.0])
    assert (near**2) @ found == pytest.approx(1 / 5)


def test_rows_stay_away_from_what_they_are_made_of_where_that_is_paid_for():
    truth = TRUTHS["gaussian"]
    train = truth.draw(300, np.random.default_rng(0))
    base = np.random.default_rng(1)
    base.integers(2**63)  # what seeds torch
    taken = train.iloc[draw_in_passes(300, 300, base)].to_numpy()
    apart = []
    for weight in (0.0, 50.0):
        settings = {"steps": 100, "average": 0.0, "learning_rate": 1e-3}
        generator = fitted(AdsGan, train, truth.schema, identifiability=weight, **settings)
        made = generator.sample(300, rng=np.random.default_rng(1)).to_numpy()
        apart.append(np.sqrt((((made - taken) / taken.std(axis=0)) ** 2).mean()))
    assert apart[1] > 1.15 * apart[0]


# All three


class Killed(Exception):
    """What ends a training before its time."""


@pytest.mark.parametrize("make", SMOKE)
def test_a_killed_training_goes_on_bit_identical(make, tmp_path):
    schema = schemas()["mixed"]
    train = table(schema, 90, np.random.default_rng(0))
    length = {"steps": 50} if make is AdsGan else {"least_steps": 50}
    whole = fitted(make, train, schema, **length).sample(50, rng=np.random.default_rng(1))

    def attempt(dies_at):
        generator = make(**(SMOKE[make] | length))
        generator.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)

        def progress(step, total, **losses):
            assert total == 50
            assert all(map(math.isfinite, losses.values()))
            if step == dies_at:
                raise Killed

        generator.progress = progress
        return generator.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(0))

    with pytest.raises(Killed):
        attempt(40)
    made = attempt(None).sample(50, rng=np.random.default_rng(1))
    pd.testing.assert_frame_equal(made, whole)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Ctgan, {"batch": 45}, "batch must be a multiple of pack, got 45 and 4; set batch to 44"),
        (Ctgan, {"noise": 0}, "noise must be a whole number >= 1, got 0"),
        (Ctgan, {"device": "tpu"}, "device must be one of auto, cpu, cuda, got 'tpu'"),
        (Tvae, {"threshold": 0.2}, "threshold must be >= 0 and below"),
        (Tvae, {"latent": 1.5}, "latent must be a whole number >= 1, got 1.5"),
        (AdsGan, {"identifiability": -1.0}, r"identifiability must be >= 0, got -1.0"),
        (AdsGan, {"steps": 0}, "steps must be a whole number >= 1, got 0"),
    ],
)
def test_hyperparameters_are_checked(make, settings, message):
    schema = schemas()["mixed"]
    with pytest.raises(ValueError, match=message):
        fitted(make, table(schema, 9, np.random.default_rng(0)), schema, **settings)


@pytest.mark.parametrize("make", SMOKE)
def test_a_training_that_runs_away_is_refused(make):
    schema = schemas()["mixed"]
    train = table(schema, 90, np.random.default_rng(0))
    length = {"steps": 60} if make is AdsGan else {"least_steps": 60}
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fitted(make, train, schema, learning_rate=1e18, **length)


# What they learn


def test_ctgan_draws_a_rare_category_that_it_is_asked_for():
    """2 rows in 100 are of the rare kind, and their sizes are elsewhere."""
    truth = TRUTHS["rare"]
    train = truth.draw(2000, np.random.default_rng(0))
    size = {"least_steps": 500, "batch": 200, "hidden": 64, "noise": 32, "average": 0.0}
    generator = fitted(Ctgan, train, truth.schema, learning_rate=1e-3, **size)
    free = truth.errors(generator.sample(4000, rng=np.random.default_rng(0)))
    assert free["share"] < 0.5
    kinds = np.repeat(["kind2", "kind0", "kind1"], 300)
    asked = truth.schema.conform(pd.DataFrame({"kind": kinds, "size": 0.0}))[["kind"]]
    made = generator.sample(900, rng=np.random.default_rng(1), conditions=asked)
    pd.testing.assert_series_equal(made["kind"], asked["kind"])
    means = made.groupby("kind", observed=True)["size"].mean()
    assert means["kind2"] == pytest.approx(20, abs=1.5)
    assert means["kind0"] == pytest.approx(0, abs=1.5)
    assert means["kind1"] == pytest.approx(5, abs=1.5)
    drawn = generator._drawn(300, np.full(300, 2), draws())  # under its vector, without selection
    assert (drawn["kind"] == "kind2").mean() > 0.9
