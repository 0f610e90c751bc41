"""TabSyn: its autoencoder and its diffusion by closed forms, and what is kept of their training."""

import numpy as np
import pytest
from truths import TRUTHS

from syntharena.bench.contracts import Budget
from syntharena.generators.tabsyn import TabSyn
from syntharena.generators.views.blocks import Blocks

torch = pytest.importorskip("torch")

from syntharena.generators.networks import column_vae, latent_diffusion  # noqa: E402 - needs torch

BLOCKS = Blocks((3, 4))
SHORT = {"layers": 0, "hidden": 32, "vae_batch": 128, "batch": 128, "vae_steps": 600, "steps": 100}
SHORT |= {"vae_patience": 0, "beta_patience": 0, "patience": 0, "vae_learning_rate": 1e-2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def built(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def small_vae():
    return built(lambda: column_vae.ColumnVae(2, BLOCKS, width=4, layers=1, factor=2))


def some_rows(n):
    codes = torch.randint(3, (n, 2), generator=seeded(1))
    return torch.randn(n, 2, generator=seeded(2)), codes + torch.from_numpy(BLOCKS.starts)


def test_divergence_is_that_of_normals():
    means = torch.randn(50, 3, 4, generator=seeded(1), dtype=torch.float64)
    logs = torch.randn(50, 3, 4, generator=seeded(2), dtype=torch.float64)
    latents = torch.distributions.Normal(means, (logs / 2).exp())
    expected = torch.distributions.kl_divergence(latents, torch.distributions.Normal(0.0, 1.0))
    assert column_vae.divergence(means, logs).item() == pytest.approx(expected.mean().item())


def test_noise_of_latents_has_the_deviation_that_was_encoded():
    vae, rows = small_vae(), some_rows(6)
    means, logs = vae.encode(*rows)
    noise = torch.randn(means.shape, generator=seeded())
    numbers, logits, again, also = vae(*rows, noise)
    assert torch.equal(again, means)
    assert torch.equal(also, logs)
    expected = vae.decode(means + (logs / 2).exp() * noise)
    torch.testing.assert_close((numbers, logits), expected)


def test_misses_count_numbers_and_codes():
    numbers, places = some_rows(40)
    right = 50 * BLOCKS.rows(places)
    assert column_vae.misses(BLOCKS, numbers, places, (numbers, right)) < 1e-6
    off = column_vae.misses(BLOCKS, numbers, places, (numbers + 2, right))
    assert off.item() == pytest.approx(4)
    blank = column_vae.misses(BLOCKS, numbers, places, (numbers, torch.zeros(40, 7)))
    assert blank.item() == pytest.approx((np.log(3) + np.log(4)) / 2)


def test_scaled_latents_have_the_deviation_that_diffusion_assumes():
    vae, rows = small_vae(), some_rows(5000)  # more than a chunk
    latents, scaled = latent_diffusion.Latents.of(vae, rows)
    assert scaled.mean(0).abs().max() < 1e-4
    assert scaled.square().mean().sqrt().item() == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(latents.unscaled(scaled), vae.encode(*rows)[0].flatten(1))


def test_of_one_row_the_latents_are_finite():
    latents, scaled = latent_diffusion.Latents.of(small_vae(), some_rows(1))
    assert torch.all(scaled == 0)
    assert torch.isfinite(latents.unscaled(torch.ones_like(scaled))).all()


def test_the_loss_of_normal_latents_is_that_of_noise():
    """Of normal latents the linear guess is the best one, so a network that adds 0 loses 1."""
    clean = 0.5 * torch.randn(20_000, 3, generator=seeded(1))
    noise, log = (
        torch.randn(20_000, 3, generator=seeded(2)),
        torch.randn(20_000, generator=seeded()),
    )
    found = latent_diffusion.loss(lambda vectors, time: 0 * vectors, clean, noise, log)
    assert found.item() == pytest.approx(1, abs=0.02)
    unit = torch.randn(4000, 3, generator=seeded(3))
    drawn = latent_diffusion.drawn(lambda vectors, time: 0 * vectors, unit, 100, seeded())
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def test_the_autoencoder_leads_rows_there_and_back():
    truth = TRUTHS["interactions"]
    table = truth.draw(1000, np.random.default_rng(0))
    losses = []
    generator = TabSyn(**SHORT)
    generator.progress = lambda step, total, **found: losses.append((step, total, found))
    generator.fit(table, schema=truth.schema, budget=Budget(), rng=np.random.default_rng(0))
    numbers, places = generator.scaled_.tensors(table)
    with torch.no_grad():
        means, _ = generator.networks_["vae"].encode(numbers, places)
        found, logits = generator.networks_["vae"].decode(means)
    assert torch.equal(generator.scaled_.blocks.likeliest(logits), places)
    assert (found - numbers).abs().mean() < 0.1
    assert [step for step, _, found in losses if "misses" in found] == list(range(20, 601, 20))
    assert [step for step, _, found in losses if "diffusion" in found] == list(range(620, 701, 20))
    assert {total for _, total, _ in losses} == {700}
