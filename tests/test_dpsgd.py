"""DP-SGD and the generators that learn by it, against brute force, Opacus and published figures."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from syntharena.bench.accountant import spent, spent_epsilon
from syntharena.bench.contracts import Budget
from syntharena.bench.ledger import Event
from syntharena.bench.schema import Column, Schema
from syntharena.generators.dpctgan import DpCtgan
from syntharena.generators.dpgan import DpGan
from syntharena.generators.dptvae import DpTvae
from syntharena.generators.privacy.dpsgd import (
    Descent,
    Trace,
    calibrated,
    clipped_sums,
    noisy_number_of_rows,
)
from syntharena.generators.views.blocks import Encoding
from syntharena.generators.views.domain import NOWHERE

torch = pytest.importorskip("torch")

from syntharena.generators.networks.learning import Average  # noqa: E402 - needs torch
from syntharena.generators.networks.rows import (  # noqa: E402 - needs torch
    Perceptron,
    RowGenerator,
    criticise,
    elbo,
    wasserstein,
)

CHANCE = 1e-4  # p-value below which a test of random numbers fails
PRIVATE = Budget(1.0, 1e-5)
SHORT = [DpGan(steps=6, critic_steps=2), DpCtgan(steps=6, critic_steps=2), DpTvae(steps=6)]
MIXED = Schema(
    (
        Column("x", "continuous", minimum=-1, maximum=3, missing=True),
        Column("k", "integer", minimum=0, maximum=4),
        Column("c", "categorical", ("a", "b", "c"), missing=True),
        Column("y", "boolean"),
    )
)


def mixed_table(rows, seed=0):
    """Build a table in which y is c == "a" and k grows with x."""
    rng = np.random.default_rng(seed)
    x, k, c, y = MIXED.columns
    codes = rng.integers(-1, 3, size=rows)
    numbers = rng.beta(2, 5, size=rows) * 4 - 1
    return MIXED.assemble(
        {
            "x": x.from_numbers(np.where(rng.random(rows) < 0.1, np.nan, numbers)),
            "k": k.from_numbers(np.floor(numbers + 1)),
            "c": c.from_codes(codes),
            "y": y.from_codes((codes == 0).astype(np.int64)),
        }
    )


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def fitted(generator, table, budget=PRIVATE, seed=0, schema=MIXED):
    fresh = type(generator)(**vars_of(generator))
    return fresh.fit(table, schema=schema, budget=budget, rng=np.random.default_rng(seed))


def vars_of(generator):
    return {name: value for name, value in vars(generator).items() if not name.endswith("_")}


# Rows as network input


def test_encoding_goes_there_and_back():
    encoding = Encoding.of(MIXED, 32)
    table = mixed_table(200)
    places = encoding.places(table)
    rows = encoding.rows(places)
    assert rows.shape == (200, 33 + 5 + 4 + 2)
    assert (rows.sum(1) == 4).all()
    back = encoding.table(places.numpy(), np.random.default_rng(0))
    assert MIXED.problems(back, 200) == []
    pd.testing.assert_frame_equal(back[["k", "c", "y"]], table[["k", "c", "y"]])
    assert (back["x"].isna() == table["x"].isna()).all()
    assert (back["x"] - table["x"]).abs().max() <= 4 / 32


def test_values_outside_the_schema_are_zeros_or_the_nearest_bound():
    table = mixed_table(4).astype({"k": "float64"})
    table["c"] = pd.Categorical(["new", "a", "b", "c"], categories=["new", "a", "b", "c"])
    table["k"] = [np.nan, -1e300, 1e12, 2.0]
    encoding = Encoding.of(MIXED, 32)
    rows = encoding.rows(encoding.places(table))
    _, k, c, _ = rows.split(encoding.sizes, dim=1)
    assert c.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert k.tolist() == [[0] * 5, [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]
    assert NOWHERE < 0


def test_cells_are_drawn_by_their_shares():
    encoding = Encoding.of(MIXED, 3)
    logits = torch.randn(1, encoding.width, generator=draws(1))
    shares = encoding.shares(logits)
    n = 40_000
    places = encoding.draw(shares.expand(n, -1), draws())
    counts = encoding.rows(places).sum(0).numpy()
    for found, expected in zip(
        np.split(counts, encoding.starts[1:]), shares[0].split(encoding.sizes), strict=True
    ):
        assert (
            stats.chisquare(found, expected.double().numpy() * n, sum_check=False).pvalue > CHANCE
        )
    one = torch.full((1, encoding.width), -50.0)
    one[0, encoding.starts] = 50.0
    assert (
        encoding.draw(encoding.shares(one).expand(n, -1), draws()) == torch.tensor(encoding.starts)
    ).all()


# Gradients


def brute_force(loss_of, network, rows, bound):
    """Clip and sum gradients that autograd takes of one row at a time."""
    parameters = list(network.parameters())
    sums = [torch.zeros_like(p) for p in parameters]
    norms = []
    for row in rows:
        gradients = torch.autograd.grad(loss_of(row[None]).sum(), parameters)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        norms.append(norm)
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient * min(1.0, bound / norm)
    return sums, np.array(norms)


def critic_and_rows(seed=0, rows=23):
    encoding = Encoding.of(MIXED, 8)
    critic = Perceptron([encoding.width, 16, 8, 1], draws(seed))
    return critic, encoding.rows(encoding.places(mixed_table(rows)))


def scored(critic):
    """Return what gives each row's loss, its negative score, and the taps."""

    def per_row(rows):
        scores, taps = critic.tapped(rows)
        return -scores.squeeze(1), taps

    return per_row


@pytest.mark.parametrize("bound", [0.3, 1.0, math.inf])
def test_clipped_sums_are_those_of_single_rows(bound):
    critic, rows = critic_and_rows()
    scores, taps = critic.tapped(rows)
    sums = clipped_sums(-scores.squeeze(1), taps, bound)
    expected, norms = brute_force(lambda row: -critic(row).squeeze(1), critic, rows, bound)
    assert norms.min() > 0.3  # so that the least bound clips
    for found, wanted in zip(sums, expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_clipped_sums_of_an_autoencoder_are_those_of_single_rows():
    encoding = Encoding.of(MIXED, 8)
    rows = encoding.rows(encoding.places(mixed_table(11)))
    encoder = Perceptron([encoding.width, 16, 6], draws(1))
    decoder = RowGenerator(encoding, 3, [16], draws(2))
    both = torch.nn.ModuleList([encoder, decoder])
    noise = torch.randn(11, 3, generator=draws(3))

    def losses(index):
        encoded = encoder(rows[index])
        mean, log_variance = encoded.chunk(2, dim=1)
        decoded = decoder.logits(mean + torch.exp(log_variance / 2) * noise[index])
        blocks = zip(
            decoded.split(encoding.sizes, 1), rows[index].split(encoding.sizes, 1), strict=True
        )
        misfit = -sum((block.log_softmax(1) * row).sum(1) for block, row in blocks)
        return misfit - (1 + log_variance - mean**2 - log_variance.exp()).sum(1) / 2

    values, taps = elbo(rows, encoder, decoder, draws(3))
    assert torch.allclose(values, losses(slice(None)), atol=1e-4)
    sums = clipped_sums(values, taps, 1.0)
    expected, _ = brute_force(lambda i: losses(i[0]), both, torch.arange(11)[:, None], 1.0)
    for found, wanted in zip(sums, expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)


def test_clipped_sums_are_those_of_opacus():
    grad_sample = pytest.importorskip("opacus.grad_sample")
    critic, rows = critic_and_rows()
    scores, taps = critic.tapped(rows)
    sums = clipped_sums(-scores.squeeze(1), taps, 0.5)
    wrapped = torch.nn.Sequential(
        *[part for layer in critic.layers for part in (layer, torch.nn.LeakyReLU(0.2))][:-1]
    )
    module = grad_sample.GradSampleModule(wrapped, loss_reduction="sum")
    (-module(rows.clone().requires_grad_())).sum().backward()
    samples = [p.grad_sample for p in module.parameters()]
    norms = torch.cat([s.flatten(1) for s in samples], dim=1).norm(dim=1)
    factors = (0.5 / norms).clamp(max=1.0)
    for found, sample in zip(sums, samples, strict=True):
        assert torch.allclose(found, torch.einsum("n,n...->...", factors, sample), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_no_row_moves_the_sum_by_more_than_the_bound(scale):
    critic, rows = critic_and_rows(rows=60)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(scale)
    everything = None
    for leave in [None, *range(20)]:
        kept = rows if leave is None else torch.cat([rows[:leave], rows[leave + 1 :]])
        scores, taps = critic.tapped(kept)
        flat = torch.cat([s.double().ravel() for s in clipped_sums(-scores.squeeze(1), taps, 0.7)])
        everything = flat if everything is None else everything
        assert (everything - flat).norm() <= 0.7 + 1e-4


def test_an_empty_lot_has_no_gradient_but_noise():
    critic, rows = critic_and_rows()
    scores, taps = critic.tapped(rows[:0])
    assert all((s == 0).all() for s in clipped_sums(-scores.squeeze(1), taps, 1.0))
    descent = Descent(0.1, 10.0, 2.0, 3.0, (), 1.0)
    gradients = descent.gradients(scored(critic), rows[:0], np.random.default_rng(1))
    drawn = torch.cat([g.ravel() for g in gradients]).numpy()
    assert stats.kstest(drawn, stats.norm(scale=2.0 * 3.0 / 10.0).cdf).pvalue > CHANCE
    assert len(np.unique(drawn)) == len(drawn)


def test_noise_is_fresh_in_every_step():
    critic, rows = critic_and_rows()
    descent, rng = Descent(0.1, 10.0, 1.0, 1.0, (), 1.0), np.random.default_rng(0)
    taken = [descent.gradients(scored(critic), rows[:0], rng)[0] for _ in range(2)]
    assert not torch.isclose(*taken).any()


def test_noise_has_the_whole_seed_and_the_tails_of_a_normal():
    """torch keeps 32 bits of a seed, and its float32 normals end at 5.77 standard deviations."""
    critic, rows = critic_and_rows()
    descent = Descent(0.1, 1.0, 1.0, 1.0, (), 1.0)

    class Far:
        def normal(self, mean, deviation, shape):
            return np.full(shape, 9.0 * deviation)

    def taken(rng):
        return descent.gradients(scored(critic), rows[:0], rng)

    assert all((gradient == 9.0).all() for gradient in taken(Far()))
    first, second = (taken(np.random.default_rng(seed))[0] for seed in (5, 5 + 2**32))
    assert not torch.isclose(first, second).any()


def test_the_trace_is_the_likelihood_ratio_of_noisy_sums():
    critic, rows = critic_and_rows()
    bound, noise, tables = 0.7, 2.0, (rows[:-1], rows)
    absent, present = (
        torch.cat([s.ravel() for s in clipped_sums(*scored(critic)(t), bound)]).double()
        for t in tables
    )
    far = float((present - absent).norm())
    assert far == pytest.approx(bound, rel=1e-3)  # the last row's gradient is clipped
    for world, sign in zip(tables, (-1, 1), strict=True):
        rng, values = np.random.default_rng(0), []
        for _ in range(2000):
            descent = Descent(1.0, 1.0, bound, noise, (), 1.0, Trace(*tables))
            descent.gradients(scored(critic), world, rng)
            values.append(descent.trace.value)
        normal = stats.norm(sign * far**2 / 2, noise * bound * far)
        assert stats.kstest(values, normal.cdf).pvalue > CHANCE


def test_a_critic_of_equal_rows_has_no_gradient_without_noise():
    critic, rows = critic_and_rows()
    descent = Descent(1.0, float(len(rows)), 0.1, 0.0, (), 1.0)
    same, rng = (lambda given: given), np.random.default_rng(0)
    criticise(critic, same, rows, lambda: rows, wasserstein, descent, rng)
    assert all(p.grad.abs().max() < 1e-6 for p in critic.parameters())


# Lots


def test_lots_hold_each_row_on_its_own():
    descent, rng = Descent(0.3, 30.0, 1.0, 1.0, (), 1.0), np.random.default_rng(0)
    taken = np.zeros((4_000, 100))
    for lot in taken:
        lot[descent.draw(100, rng).numpy()] = 1
    trials = taken.shape[0]
    shares = taken.mean(0)
    assert stats.kstest((shares - 0.3) / math.sqrt(0.21 / trials), "norm").pvalue > CHANCE
    sizes = taken.sum(1)
    assert sizes.var() == pytest.approx(21, rel=0.1)  # binomial, not of a fixed size
    together = (taken[:, :50] * taken[:, 50:]).mean()
    assert together == pytest.approx(0.09, abs=4 * math.sqrt(0.09 / taken[:, :50].size))


def test_a_lot_is_expected_to_hold_what_sums_are_divided_by():
    for estimate in (10, 256, 100_000):
        descent = Descent.of(estimate, (), Budget(), lot=256, steps=1, bound=1.0)
        assert descent.rate * estimate == pytest.approx(descent.lot)


def test_the_number_of_rows_is_noisy_and_never_below_one():
    rng = np.random.default_rng(0)
    found = [noisy_number_of_rows(500, PRIVATE, 0.02, rng) for _ in range(400)]
    (event,) = found[0][1]
    values = np.array([estimate for estimate, _ in found])
    assert (event.mechanism, event.decides) == ("discrete_laplace", True)
    assert event.pure_epsilon == pytest.approx(0.02 * PRIVATE.epsilon)
    deviation = math.sqrt(2) * event.scale
    assert values.std() == pytest.approx(deviation, rel=0.3)
    assert values.mean() == pytest.approx(500, abs=4 * deviation / 20)
    assert min(noisy_number_of_rows(0, Budget(0.1, 1e-5), 0.02, rng)[0] for _ in range(20)) == 1
    assert noisy_number_of_rows(500, Budget(), 0.02, rng) == (500, ())


# The claim


def test_the_accountant_gives_the_published_figures():
    # dp-accounting 0.6.0: q=.01, sigma=4, 10,000 steps at delta 1e-5.
    event = Event("gaussian", 1.0, 4.0, count=10_000, sampling_rate=0.01)
    by = spent([event], 1e-5).by
    assert by["rdp"] == pytest.approx(1.0355, abs=1e-3)
    assert by["pld"] == pytest.approx(0.9470, abs=1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("rows", [1, 600, 29_305])
def test_noise_is_calibrated_to_the_budget(epsilon, rows):
    budget = Budget(epsilon, 1e-5)
    estimate, paid = noisy_number_of_rows(rows, budget, 0.02, np.random.default_rng(0))
    descent = Descent.of(estimate, paid, budget, lot=256, steps=2_000, bound=0.5)
    found = spent_epsilon(descent.ledger, budget.delta)
    assert 0.98 * epsilon <= found <= descent.claimed_epsilon * (1 + 1e-6)
    assert 0.998 * epsilon <= descent.claimed_epsilon <= epsilon
    count, gradients = descent.ledger
    assert gradients.count == 2_000
    assert gradients.scale == pytest.approx(descent.noise * 0.5)
    assert gradients.sampling_rate == descent.rate
    assert count == paid[0]


@pytest.mark.parametrize("guess", [1e-3, 3.0, 1e4])
def test_calibration_finds_its_target_from_any_guess(guess):
    noise, spent = calibrated(lambda noise: 2 / noise + 1 / noise**2, 0.5, guess)
    assert 0.499 <= spent <= 0.5
    assert spent == 2 / noise + 1 / noise**2


# The generators


@pytest.mark.parametrize("make", SHORT)
def test_events_are_as_many_as_noisy_gradients(make, monkeypatch):
    calls = []
    real = Descent.gradients
    monkeypatch.setattr(
        Descent, "gradients", lambda *args: calls.append(args[0].noise) or real(*args)
    )
    generator = fitted(make, mixed_table(50))
    assert len(calls) == generator.ledger[-1].count == 6
    assert calls[0] == pytest.approx(generator.ledger[-1].noise_multiplier)
    assert 0.98 <= spent_epsilon(generator.ledger, 1e-5) <= generator.claimed_epsilon <= 1.0


@pytest.mark.parametrize("make", SHORT)
def test_real_rows_enter_gradients_only_through_clipped_sums(make, monkeypatch):
    """With clipped sums of real rows put to 0 and no noise, fits to different tables are equal."""
    monkeypatch.setattr(
        Descent,
        "gradients",
        lambda self, per_row, lot, generator: [
            torch.zeros_like(s) for s in clipped_sums(*per_row(lot), 1.0)
        ],
    )
    # Without lots a fit draws nothing whose amount depends on rows.
    monkeypatch.setattr(Descent, "draw", lambda self, rows, generator: torch.arange(min(rows, 5)))
    monkeypatch.setattr(
        "syntharena.generators.dpctgan._noisy_marginals",
        lambda places, encoding, *rest: (np.full(encoding.width, 9.0), ()),
    )
    monkeypatch.setattr(
        "syntharena.generators.privacy.dpsgd.discrete_laplace",
        lambda sigma, size, rng: np.full(size, -1e6),
    )
    models = [fitted(make, mixed_table(40, seed)).release for seed in (0, 1)]
    assert models[0].keys() == models[1].keys()
    for name in models[0]:
        np.testing.assert_array_equal(models[0][name], models[1][name])


@pytest.mark.parametrize("make", SHORT)
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("budget", [Budget(), PRIVATE])
def test_hardly_any_rows_survive(make, rows, budget):
    generator = pickle.loads(pickle.dumps(fitted(make, mixed_table(rows), budget)))
    for n in (0, 1, 50):
        assert MIXED.problems(generator.sample(n, rng=np.random.default_rng(0)), n) == []


@pytest.mark.parametrize("make", SHORT)
def test_unknown_values_leave_no_trace(make):
    table = mixed_table(30).astype({"k": "float64"})
    table["c"] = table["c"].cat.add_categories(["new"])
    table.loc[0, "c"] = "new"
    table.loc[1, "k"] = 1e12
    made = fitted(make, table).sample(200, rng=np.random.default_rng(0))
    assert MIXED.problems(made, 200) == []


@pytest.mark.parametrize("make", SHORT)
def test_skips_say_why(make):
    assert make.skip(MIXED, PRIVATE) is None
    assert make.skip(MIXED, Budget()) is None
    assert "delta" in make.skip(MIXED, Budget(1.0))
    assert "add_remove" in make.skip(MIXED, Budget(1.0, 1e-5, "replace"))
    assert "guessed" in make.skip(Schema(MIXED.columns, public=False), PRIVATE)
    assert "'x'" in make.skip(Schema((Column("x", "continuous"),)), PRIVATE)
    with pytest.raises(ValueError, match="delta > 0"):
        fitted(make, mixed_table(3), Budget(1.0))


@pytest.mark.parametrize("make", SHORT)
def test_no_budget_means_no_noise_and_no_claim(make, monkeypatch):
    monkeypatch.setattr("syntharena.generators.privacy.dpsgd.discrete_laplace", None)
    monkeypatch.setattr("syntharena.generators.dpctgan.discrete_gaussian", None)
    seen = []
    real = Descent.gradients
    monkeypatch.setattr(Descent, "gradients", lambda *args: seen.append(args[0]) or real(*args))
    generator = fitted(make, mixed_table(50), Budget())
    assert list(generator.ledger) == []
    assert generator.claimed_epsilon == math.inf
    assert {(descent.noise, descent.bound) for descent in seen} == {(0.0, math.inf)}


@pytest.mark.parametrize("make", SHORT)
def test_release_and_parameters_are_the_weights(make):
    generator = fitted(make, mixed_table(50))
    extra = {"number of rows", "one-way marginals"}
    sizes = {name: value.size for name, value in generator.release.items() if name not in extra}
    assert sum(sizes.values()) == generator.parameters
    assert extra & generator.release.keys()
    other = fitted(make, mixed_table(80), seed=1)
    assert {n: v.shape for n, v in other.release.items()} == {
        n: v.shape for n, v in generator.release.items()
    }


def test_an_average_forgets_its_first_weights():
    network = Perceptron([1, 1], draws())
    average = Average(network, 0.9)
    for value in (1.0, 2.0, 3.0):
        with torch.no_grad():
            network.layers[0].weight.fill_(value)
        average.update()
    weights = 0.9 ** np.array([2, 1, 0])
    assert float(average.kept.layers[0].weight) == pytest.approx(
        weights @ [1, 2, 3] / weights.sum()
    )


@pytest.mark.parametrize("name", ["bins", "lot", "steps", "hidden", "noise"])
@pytest.mark.parametrize("make", [DpGan, DpCtgan, DpTvae])
def test_hyperparameters_are_checked(make, name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, got 0"):
        fitted(make(**{name: 0}), mixed_table(3))


def distance(one, other, bins=8):
    """Mean total variation distance of two-way marginals."""
    codes = [Encoding.of(MIXED, bins).domain.codes(table) for table in (one, other)]
    sizes = Encoding.of(MIXED, bins).sizes
    found = []
    for i in range(len(sizes)):
        for j in range(i):
            counts = [
                np.bincount(c[:, i] * sizes[j] + c[:, j], minlength=sizes[i] * sizes[j]) / len(c)
                for c in codes
            ]
            found.append(np.abs(counts[0] - counts[1]).sum() / 2)
    return np.mean(found)


@pytest.mark.slow
@pytest.mark.parametrize("make", [DpGan, DpCtgan, DpTvae])
def test_utility_grows_with_epsilon(make):
    truth = mixed_table(20_000, seed=99)
    means = []
    for epsilon in (0.1, 1.0, 10.0, math.inf):
        budget = Budget(epsilon, 1e-5) if math.isfinite(epsilon) else Budget()
        means.append(
            np.mean(
                [
                    distance(
                        fitted(make(), mixed_table(2_000, seed), budget, seed).sample(
                            20_000, rng=np.random.default_rng(seed)
                        ),
                        truth,
                    )
                    for seed in range(3)
                ]
            )
        )
    assert means[0] > means[1] > means[2] > means[3] - 0.02, means
