"""TabDiff: schedules, losses and solver against exact posteriors; the generator against truths."""

import numpy as np
import pytest
from scipy import stats

from syntharena.generators.views.blocks import Blocks
from syntharena.generators.views.scaled import Asked

torch = pytest.importorskip("torch")

from syntharena.generators.networks import edm, joint_diffusion  # noqa: E402 - needs torch
from syntharena.generators.networks.joint_solver import Solver  # noqa: E402 - needs torch

CHANCE = 1e-4  # p-value below which a test of random numbers fails
CODES, NO_CODES = Blocks((2, 2, 2)), Blocks(())
FAITHFUL = 0.95


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Oracle:
    """Stands for a network: numbers are correlated normals, codes as a subclass says."""

    def __init__(self, correlation, blocks=NO_CODES):
        self.blocks = blocks
        self.correlation = torch.tensor(correlation)
        self.schedules = joint_diffusion.Schedules(len(correlation), len(blocks.sizes))

    def __call__(self, noisy, places, hidden, time):
        sigma = self.schedules.sigma(time)[0]
        total = self.correlation + torch.diag(sigma.square())
        clean = noisy @ torch.linalg.solve(total, self.correlation) if len(sigma) else noisy
        return edm.wanted(clean, noisy, sigma, 1.0), self.logits(places, hidden)

    def logits(self, places, hidden):
        return torch.zeros(len(places), self.blocks.width)


class Interactions(Oracle):
    """Knows that the third of three codes is nearly always the exclusive or of the others."""

    def __init__(self):
        super().__init__(torch.zeros(0, 0).tolist(), CODES)

    def logits(self, places, hidden):
        codes = places - torch.arange(3) * 2
        others = (codes[:, [1, 0, 0]] + codes[:, [2, 2, 1]]) % 2
        sure = hidden[:, [1, 0, 0]] + hidden[:, [2, 2, 1]] == 0
        chance = torch.where(sure, torch.where(others == 1, FAITHFUL, 1 - FAITHFUL), 0.5)
        return torch.cat([1 - chance[..., None], chance[..., None]], 2).log().flatten(1)


# Schedules


def learned(bends, speeds):
    schedules = joint_diffusion.Schedules(len(bends), len(speeds))
    with torch.no_grad():
        for raw, least, values in (
            (schedules.raw_bends, joint_diffusion.LEAST_BEND, bends),
            (schedules.raw_speeds, joint_diffusion.LEAST_SPEED, speeds),
        ):
            raw.copy_((torch.tensor(values) - least).expm1().log())
    return schedules


def test_schedules_begin_and_end_where_the_paper_says():
    first = joint_diffusion.Schedules(2, 3)
    assert first.bends().tolist() == pytest.approx([5 + np.log1p(np.exp(7))] * 2)
    assert first.speeds().tolist() == pytest.approx([1 + np.log1p(np.exp(-6))] * 3)
    schedules = learned([5.5, 9.0], [1.5, 3.0])
    ends = torch.tensor([0.0, 1.0])
    assert schedules.sigma(ends).T.tolist() == pytest.approx(np.tile([0.002, 80.0], (2, 1)))
    assert schedules.chance(ends).T.tolist() == pytest.approx(np.tile([0.0, 0.999], (2, 1)))
    middle = torch.tensor([0.4])
    low, high = 0.002 ** (1 / 9), 80.0 ** (1 / 9)
    assert schedules.sigma(middle)[0, 1].item() == pytest.approx((low + 0.4 * (high - low)) ** 9)
    assert schedules.chance(middle)[0, 0].item() == pytest.approx(0.999 * 0.4**1.5)


def test_churn_raises_no_noise_by_more_than_it_should():
    schedules = learned([5.5, 9.0], [1.5])
    for time in (0.05, 0.5, 0.9):
        now = torch.tensor([time])
        growth = schedules.sigma(schedules.raised(now, 1.02)) / schedules.sigma(now)
        assert growth.max().item() == pytest.approx(1.02, rel=1e-4)
    assert schedules.raised(torch.tensor([1.0]), 1.02).item() == 1.0
    only_codes = joint_diffusion.Schedules(0, 2)
    assert only_codes.raised(torch.tensor([0.5]), 1.02).item() == 0.5


def test_codes_are_hidden_by_their_chance_and_its_gradients_know_the_way():
    chance = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
    uniform = torch.rand(20_000, 3, generator=seeded())
    hidden = joint_diffusion.hidden_softly(chance, uniform)
    assert set(hidden.unique().tolist()) == {0.0, 1.0}
    assert hidden.mean(0).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.015)
    (gradient,) = torch.autograd.grad(hidden.mean(0).sum(), chance)
    assert gradient.tolist() == pytest.approx([1, 1, 1], abs=0.25)  # of the mean, the chance


# Losses


class Ignorant(torch.nn.Module):
    """Knows the shares of every code and nothing else."""

    def __init__(self, schedules, logits):
        super().__init__()
        self.schedules, self.logits = schedules, logits

    def forward(self, noisy, places, hidden, time):
        return torch.zeros_like(noisy), self.logits.expand(len(noisy), -1)


def test_the_loss_of_codes_is_their_entropy_whatever_their_speed():
    """Shi et al. 2025: the bound is tight where the posterior is; it holds for any schedule."""
    blocks, n = Blocks((2, 3)), 200_000
    shares = torch.tensor([0.2, 0.8, 0.5, 0.3, 0.2])
    schedules = learned([], [1.2, 2.5])
    first, second = (
        torch.multinomial(part, n, replacement=True, generator=seeded())
        for part in shares.split([2, 3])
    )
    places = torch.column_stack([first, 2 + second])
    rows = torch.zeros(n, 0), places
    time = (torch.arange(n) + 0.5) / n
    uniform = torch.rand(n, 2, generator=seeded(3))
    network = Ignorant(schedules, shares.log())
    none, found = joint_diffusion.losses(network, blocks, rows, time, rows[0], uniform)
    entropy = sum(stats.entropy(part) for part in (shares[:2], shares[2:]))
    assert none == 0
    assert found.item() == pytest.approx(0.999 * entropy / 2, rel=0.02)


def test_the_loss_of_normal_numbers_is_that_of_noise():
    n = 50_000
    rows = torch.randn(n, 2, generator=seeded(1)), torch.zeros(n, 0, dtype=torch.int64)
    noise = torch.randn(n, 2, generator=seeded(2))
    network = Ignorant(learned([7.0, 6.0], []), torch.zeros(0))
    time = torch.rand(n, generator=seeded(3))
    found, none = joint_diffusion.losses(network, Blocks(()), rows, time, noise, rows[1].float())
    assert none == 0
    assert found.item() == pytest.approx(1, abs=0.02)


# The solver


def test_exact_posteriors_give_exact_numbers():
    oracle = Oracle([[1.0, 0.8], [0.8, 1.0]])
    with torch.no_grad():
        rows, _ = Solver(oracle, oracle.blocks, 30, seeded()).rows(3000)
    rows = rows.double().numpy()
    assert np.corrcoef(rows.T)[0, 1] == pytest.approx(0.8, abs=0.03)
    assert stats.kstest(rows.ravel()[::2], stats.norm.cdf).pvalue > CHANCE


@pytest.mark.parametrize(("steps", "close"), [(10, 0.12), (100, 0.03)])
def test_exact_posteriors_give_nearly_exact_codes(steps, close):
    """Codes shown in one step do not know of each other: the more steps, the rarer that is."""
    oracle = Interactions()
    with torch.no_grad():
        _, places = Solver(oracle, CODES, steps, seeded()).rows(8000)
    codes = places.numpy() % 2
    unfaithful = (codes[:, 0] ^ codes[:, 1] != codes[:, 2]).mean()
    assert unfaithful == pytest.approx(1 - FAITHFUL, abs=close)
    assert codes.mean(0) == pytest.approx([0.5] * 3, abs=0.03)


def asked_for(numbers, fixes):
    none = torch.zeros(len(numbers), 0)
    fixes = torch.tensor(fixes).expand(len(numbers), -1)
    return Asked(numbers, none.long(), fixes, none.bool())


def test_in_painting_nears_the_conditional_distribution_with_repeats():
    """Of two normals with correlation 0.8, given the first: what the other should be is known."""
    oracle, n = Oracle([[1.0, 0.8], [0.8, 1.0]]), 2000
    asked = asked_for(torch.tensor([[2.0, 0.0]]).expand(n, 2), [True, False])
    gaps = []
    for repeats in (1, 4):
        with torch.no_grad():
            rows, _ = Solver(oracle, oracle.blocks, 30, seeded(), asked, repeats).rows(n)
        assert torch.equal(rows[:, 0], asked.numbers[:, 0])
        gaps.append(abs(rows[:, 1].mean().item() - 1.6))
    assert gaps[1] < min(gaps[0], 0.08)
    assert rows[:, 1].std().item() == pytest.approx(0.6, abs=0.1)


def test_codes_asked_for_decide_the_others():
    n = 4000
    places = torch.tensor([[0, 3, 4]]).expand(n, 3)  # a is 0, b is 1
    fixes = torch.tensor([[True, True, False]]).expand(n, 3)
    asked = Asked(torch.zeros(n, 0), places, torch.zeros(n, 0).bool(), fixes)
    with torch.no_grad():
        _, drawn = Solver(Interactions(), CODES, 5, seeded(), asked).rows(n)
    assert torch.equal(drawn[:, :2], places[:, :2])
    assert (drawn[:, 2] == 5).float().mean().item() == pytest.approx(FAITHFUL, abs=0.02)
