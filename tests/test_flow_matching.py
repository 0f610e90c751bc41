"""Flow matching: its losses and its flow against exact posteriors; the generator against truths."""

import numpy as np
import pytest
from scipy import stats

from syntharena.generators.views.blocks import Blocks

torch = pytest.importorskip("torch")

from syntharena.generators.networks import flow  # noqa: E402 - needs torch

CHANCE = 1e-4  # p-value below which a test of random numbers fails


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n, numbers, blocks, seed=0):
    draws = seeded(seed)
    return tuple(torch.randn(n, width, generator=draws) for width in (numbers, blocks.width))


class Oracle:
    """Stands for a network: independent normal numbers, and codes with known shares."""

    def __init__(self, shares):
        self.logs = torch.tensor(shares).log()

    def __call__(self, numbers, rows, told):
        ratio = torch.exp(4 * told)[:, None]  # noise to signal: (1 - t) / t
        time = 1 / (1 + ratio)
        return torch.zeros_like(numbers), self.logs + time * rows / (1 - time).square()


def test_the_flow_of_normal_numbers_leads_nowhere():
    """The posterior mean is t x / (t^2 + (1 - t)^2), so numbers shrink and grow back."""
    start = noise(500, 3, Blocks(()))
    end, _ = flow.carried(Oracle([]), Blocks(()), start, 50)
    scale = np.sqrt(flow.END**2 + (1 - flow.END) ** 2)
    torch.testing.assert_close(end, scale * start[0], atol=2e-3, rtol=2e-3)


def test_the_flow_leads_to_codes_by_their_shares():
    blocks, shares = Blocks((2, 3)), [0.1, 0.9, 0.55, 0.3, 0.15]
    _, places = flow.carried(Oracle(shares), blocks, noise(6000, 0, blocks), 60)
    for block, (start, size) in enumerate(zip(blocks.starts, blocks.sizes, strict=True)):
        seen = np.bincount(places[:, block].numpy() - start, minlength=size)
        expected = 6000 * np.array(shares[start : start + size])
        assert stats.chisquare(seen, expected).pvalue > CHANCE


def test_steps_shorten_towards_the_end():
    times = flow.times(10).double().numpy()
    assert times[0] == 0
    assert times[-1] == pytest.approx(flow.END)
    assert np.all(np.diff(times, 2) < 0)


def test_losses_are_negative_log_likelihoods():
    blocks, n = Blocks((3,)), 4000
    oracle = Oracle([0.2, 0.3, 0.5])
    time = torch.full((n,), 0.6)
    clean = torch.randn(n, 2, generator=seeded(1))
    places = torch.multinomial(torch.tensor([0.2, 0.3, 0.5]), n, True, generator=seeded(2))[:, None]
    unclean = noise(n, 2, blocks, seed=3)
    of_numbers, of_codes = flow.losses(oracle, blocks, (clean, places), time, unclean)
    on_the_way = (0.6 * clean + 0.4 * unclean[0]).double().numpy()
    means = 0.6 * on_the_way / (0.6**2 + 0.4**2)
    variance = 1 - 0.99 * 0.6**2
    logs = stats.norm(means, np.sqrt(variance)).logpdf(clean.double().numpy()).sum(1)
    constant = np.log(2 * np.pi * variance)  # of two numbers
    assert of_numbers.item() == pytest.approx(-logs.mean() - constant, rel=1e-4)
    hot = (0.6 * blocks.rows(places) + 0.4 * unclean[1]).double().numpy()
    likelihoods = (
        np.array([0.2, 0.3, 0.5])
        * np.exp(
            [-((hot - 0.6 * np.eye(3)[code]) ** 2).sum(1) / (2 * 0.4**2) for code in range(3)]
        ).T
    )
    posterior = likelihoods / likelihoods.sum(1, keepdims=True)
    expected = -np.log(posterior[np.arange(n), places[:, 0].numpy()]).mean()
    assert of_codes.item() == pytest.approx(expected, rel=1e-3)
