"""TabDDPM: noise and the way back against dense algebra, and what it learns against the truth."""

import numpy as np
import pandas as pd
import pytest
from odd_tables import table
from scipy import stats
from truths import TRUTHS

from syntharena.bench import check, config
from syntharena.bench.contracts import Budget
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.networks import training
from syntharena.generators.tabddpm import TabDdpm
from syntharena.generators.views.blocks import Blocks

torch = pytest.importorskip("torch")
ddpm = pytest.importorskip("syntharena.generators.networks.ddpm")
multinomial = pytest.importorskip("syntharena.generators.networks.multinomial")

SMOKE = {"steps": 2, "batch": 32, "hidden": [8], "times": 3}
CHANCE = 1e-4  # p-value below which a test of random draws fails


def smoke(**settings):
    return TabDdpm(**{**SMOKE, **settings})


def fitted(model, train, schema, seed=0):
    return model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The schedule


@pytest.mark.parametrize("times", [1, 100, 1000])
def test_the_schedule_is_the_cosine_of_the_paper(times):
    kept = ddpm.cosine(times)
    angles = (np.arange(times + 1) / times + 0.008) / 1.008 * np.pi / 2
    assert kept[0] == 1
    early = slice(0, max(1, int(0.9 * times)))
    expected = np.cos(angles[early]) ** 2 / np.cos(angles[0]) ** 2
    assert kept[early] == pytest.approx(expected, rel=1e-9)
    assert np.all(1 - kept[1:] / kept[:-1] <= 0.999 + 1e-12)
    assert kept[-1] < 1e-3 * (1 + (times == 1))


def test_leaps_that_leave_times_out_compose():
    kept = ddpm.cosine(100)
    fine, coarse = ddpm.leaps(kept), ddpm.leaps(kept[::20])
    assert torch.all((fine[:, ::2] + fine[:, 1::2] - 1).abs() < 1e-6)
    for number, leap in enumerate(coarse):
        steps = fine[20 * number : 20 * (number + 1)]
        assert float(leap[4]) == pytest.approx(float(steps[:, 4].prod()), rel=1e-4)
        assert float(leap[0]) == pytest.approx(float(steps[-1, 0]), rel=1e-6)


# Codes against matrices


def transition(size, kept):
    """Chance of every code (columns) given every code (rows)."""
    return kept * np.eye(size) + (1 - kept) / size


def posterior(shares, later, leap):
    """q(earlier | later, clean) with ``shares`` in the place of the clean code."""
    _, _, before, _, step, _ = (float(part) for part in leap)
    chances = transition(len(shares), step)[:, later] * (shares @ transition(len(shares), before))
    return chances / chances.sum()


def leap_at(step, times=50):
    return multinomial.Leap(*ddpm.leaps(ddpm.cosine(times)).double()[step][:, None, None])


@pytest.mark.parametrize("step", [0, 1, 20, 48, 49])
def test_divergences_are_those_of_dense_matrices(step):
    sizes = (1, 2, 3, 7)
    codes, leap = multinomial.Codes(Blocks(sizes)), leap_at(step)
    rng, rows = np.random.default_rng(step), 40
    logits = rng.normal(scale=3, size=(rows, sum(sizes)))
    clean = np.stack([rng.integers(size, size=rows) for size in sizes], axis=1)
    noisy = np.where(rng.random(clean.shape) < 0.5, clean, rng.integers(100, size=clean.shape))
    noisy %= np.array(sizes)
    starts = codes.blocks.starts
    found = codes.divergence(
        torch.from_numpy(logits).float(),
        torch.from_numpy(clean + starts),
        torch.from_numpy(noisy + starts),
        multinomial.Leap(*(part.float() for part in leap)),
    )
    for row in range(rows):
        for column, (begun, size) in enumerate(zip(starts, sizes, strict=True)):
            weights = np.exp(logits[row, begun : begun + size])
            later = noisy[row, column]
            true = posterior(np.eye(size)[clean[row, column]], later, leap)
            guess = posterior(weights / weights.sum(), later, leap)
            seen = true > 0
            expected = (true[seen] * np.log(true[seen] / guess[seen])).sum()
            assert float(found[row, column]) == pytest.approx(expected, abs=2e-5, rel=1e-4)


def test_a_perfect_guess_diverges_by_nothing():
    codes = multinomial.Codes(Blocks((5, 3)))
    clean = torch.tensor([[0, 5], [4, 7], [2, 6]])
    logits = 60.0 * codes.blocks.rows(clean)
    for step in range(50):
        leap = multinomial.Leap(*(part.float() for part in leap_at(step)))
        noisy = torch.tensor([[0, 6], [1, 7], [2, 5]]) if step else clean
        assert codes.divergence(logits, clean, noisy, leap).abs().max() < 1e-4


def test_thousands_of_categories_stay_finite():
    sizes = (3000, 2, 5000)
    codes = multinomial.Codes(Blocks(sizes))
    logits = (300 * torch.randn(64, sum(sizes), generator=seeded())).requires_grad_()
    clean = codes.uniform(torch.rand(64, 3, generator=seeded(1)))
    times = torch.arange(64) * 1000 // 64
    leap = multinomial.Leap(*ddpm.leaps(ddpm.cosine(1000))[times].T[:, :, None])
    noisy = codes.noisy(clean, torch.rand(2, 64, 3, generator=seeded(2)), leap.kept)
    found = codes.divergence(logits, clean, noisy, leap)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert found.min() > -1e-3
    drawn = codes.earlier(logits.detach(), noisy, leap, seeded(3))
    blocks = codes.blocks.owners[drawn]
    assert torch.equal(blocks, torch.arange(3).expand(64, 3))


def test_noise_keeps_a_code_or_makes_it_uniform():
    codes, n = multinomial.Codes(Blocks((2, 4))), 40_000
    places = torch.tensor([[1, 3]]).expand(n, 2)
    noisy = codes.noisy(places, torch.rand(2, n, 2, generator=seeded()), torch.tensor([0.3]))
    for column, size, own in ((0, 2, 1), (1, 4, 1)):
        seen = np.bincount(noisy[:, column] - codes.blocks.starts[column], minlength=size)
        expected = transition(size, 0.3)[own] * n
        assert stats.chisquare(seen, expected).pvalue > CHANCE


@pytest.mark.parametrize("step", [0, 10, 49])
def test_the_way_back_is_the_posterior(step):
    codes, n, leap = multinomial.Codes(Blocks((4, 3))), 40_000, leap_at(step)
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.0, 50.0, 51.0, 49.0]]).expand(n, -1)
    noisy = torch.tensor([[1, 6]]).expand(n, 2)
    single = multinomial.Leap(*(part.float()[0] for part in leap))
    drawn = codes.earlier(logits, noisy, single, seeded(step))
    for column, block, later in ((0, slice(0, 4), 1), (1, slice(4, 7), 2)):
        shares = torch.softmax(logits[0, block].double(), 0).numpy()
        expected = posterior(shares, later, leap)
        seen = np.bincount(drawn[:, column] - block.start, minlength=len(expected))
        assert stats.chisquare(seen, expected / expected.sum() * n).pvalue > CHANCE


# The way back with a network that knows


class Oracle:
    """Knows one number, normal around 1 with deviation 0.5, and two codes that are always equal.

    What it tells of a clean code is what the other one tells: the posterior that the shares are put
    into brings in what the noisy code itself tells.
    """

    numbers = 1
    mean, deviation = 1.0, 0.5
    shares = torch.tensor([0.7, 0.2, 0.1])

    def __init__(self, times):
        self.kept = torch.from_numpy(ddpm.cosine(times)).float()

    def __call__(self, numbers, places, times, labels):
        kept = self.kept[times + 1][:, None]
        spread = kept * self.deviation**2 + 1 - kept
        noise = (1 - kept).sqrt() * (numbers - kept.sqrt() * self.mean) / spread
        one_hot = torch.nn.functional.one_hot(places - torch.tensor([0, 3]), 3)
        told = self.shares.log() + torch.log(
            kept[:, :, None] * one_hot + (1 - kept[:, :, None]) / 3
        )
        return noise, torch.cat([told[:, 1], told[:, 0]], 1)


@pytest.mark.parametrize(("times", "steps"), [(100, 100), (1000, 100)])
def test_a_network_that_knows_draws_the_truth(times, steps):
    far = torch.tensor([10.0])
    codes = multinomial.Codes(Blocks((3, 3)))
    process = ddpm.Process(codes, ddpm.cosine(times), -far, far)
    labels = torch.zeros(8000, dtype=torch.int64)
    numbers, places = process.draw(Oracle(times), labels, steps, seeded())
    assert float(numbers.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(numbers.std()) == pytest.approx(0.5, abs=0.03)
    seen = np.bincount(places[:, 0], minlength=3) / len(labels)
    assert seen == pytest.approx(Oracle.shares.numpy(), abs=0.03)
    assert float((places[:, 0] == places[:, 1] - 3).float().mean()) > 0.97


def test_clean_numbers_stay_within_the_range_of_the_training_rows():
    class Wild:
        numbers = 1

        def __call__(self, numbers, places, times, labels):
            return 1e3 * torch.ones_like(numbers), torch.empty(len(numbers), 0)

    process = ddpm.Process(
        multinomial.Codes(Blocks(())), ddpm.cosine(50), torch.tensor([-2.0]), torch.tensor([3.0])
    )
    numbers, _ = process.draw(Wild(), torch.zeros(20, dtype=torch.int64), 50, seeded())
    assert torch.all(numbers == -2.0)


def test_the_bound_of_a_network_that_knows_is_the_entropy():
    n, far = 20_000, torch.tensor([9.0])
    process = ddpm.Process(multinomial.Codes(Blocks((3, 3))), ddpm.cosine(40), -far, far)
    drawn = torch.multinomial(Oracle.shares, n, replacement=True, generator=seeded())
    numbers = Oracle.mean + Oracle.deviation * torch.randn(n, 1, generator=seeded(1))
    places, labels = torch.column_stack([drawn, drawn + 3]), torch.zeros(n, dtype=torch.int64)
    noise = process.noise(n, 1, seeded(2))
    losses = process.losses(Oracle(40), numbers, places, labels, noise)
    entropy = -float((Oracle.shares * Oracle.shares.log()).sum())
    # Two equal codes have the entropy of one; that both are drawn at once in each step costs some.
    assert 0.49 * entropy < float(losses["codes"]) < 0.65 * entropy
    kept = Oracle(40).kept[1:]
    spread = kept * Oracle.deviation**2 + 1 - kept
    assert float(losses["numbers"]) == pytest.approx(
        float((1 - (1 - kept) / spread).mean()), abs=0.02
    )


# What it learns


LEARNING = {"steps": 600, "batch": 256, "hidden": [128, 128], "times": 50}


def test_a_class_is_met_exactly_and_the_others_follow():
    truth = TRUTHS["rare"]
    train = truth.draw(2000, np.random.default_rng(0))
    model = fitted(TabDdpm(**{**LEARNING, "steps": 300}), train, truth.schema)
    kinds = np.repeat(["kind0", "kind1"], 500)
    asked = truth.schema.conform(pd.DataFrame({"kind": kinds, "size": 0.0}))[["kind"]]
    made = model.sample(1000, rng=np.random.default_rng(1), conditions=asked)
    assert made["kind"].tolist() == list(kinds)
    means = made.groupby("kind", observed=True)["size"].mean()
    assert means["kind0"] == pytest.approx(0.0, abs=0.5)
    assert means["kind1"] == pytest.approx(5.0, abs=0.5)
    free = model.sample(4000, rng=np.random.default_rng(1))["kind"]
    shares = train["kind"].value_counts(normalize=True)
    assert free.value_counts(normalize=True)["kind0"] == pytest.approx(shares["kind0"], abs=0.03)


def test_other_conditions_are_met_by_selection():
    truth = TRUTHS["rare"]
    train = truth.draw(2000, np.random.default_rng(0))
    model = fitted(TabDdpm(**{**LEARNING, "steps": 300}), train, truth.schema)
    asked = pd.DataFrame({"size": np.repeat([0.0, 5.0], 100)})
    made = model.sample(200, rng=np.random.default_rng(1), conditions=asked)
    assert made["size"].tolist() == asked["size"].tolist()
    assert (made["kind"] == np.repeat(["kind0", "kind1"], 100)).mean() > 0.9


def test_fewer_steps_back_are_an_option():
    truth = TRUTHS["gaussian"]
    train = truth.draw(500, np.random.default_rng(0))
    few = fitted(smoke(times=40, sampling_steps=7), train, truth.schema)
    many = fitted(smoke(times=40), train, truth.schema)
    first, second = (m.sample(50, rng=np.random.default_rng(0)) for m in (few, many))
    assert truth.schema.problems(first, 50) == []
    assert not first.equals(second)


# How it is trained


class Killed(Exception):
    pass


def test_a_killed_training_ends_bit_identical_to_an_unbroken_one(tmp_path):
    truth = TRUTHS["interactions"]
    train = truth.draw(300, np.random.default_rng(0))
    settings = {"steps": 70}
    whole = fitted(smoke(**settings), train, truth.schema)
    broken = smoke(**settings)
    broken.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)

    def die(step, total, **losses):
        if step == 2 * training.REPORT + training.REPORT:
            raise Killed

    broken.progress = die
    with pytest.raises(Killed):
        fitted(broken, train, truth.schema)
    again = smoke(**settings)
    again.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)
    fitted(again, train, truth.schema)
    made = [m.sample(100, rng=np.random.default_rng(3)) for m in (whole, again)]
    pd.testing.assert_frame_equal(*made)


def test_rows_of_very_many_categories_are_taken_in_parts(monkeypatch):
    truth = TRUTHS["interactions"]
    train = truth.draw(100, np.random.default_rng(0))
    whole = fitted(smoke(), train, truth.schema).networks_["denoiser"]
    monkeypatch.setattr("syntharena.generators.tabddpm.ENTRIES", 40)
    parted = fitted(smoke(), train, truth.schema)
    for one, other in zip(
        whole.parameters(), parted.networks_["denoiser"].parameters(), strict=True
    ):
        assert one.shape == other.shape
    assert truth.schema.problems(parted.sample(30, rng=np.random.default_rng(0)), 30) == []


def test_progress_tells_the_losses():
    truth, seen = TRUTHS["interactions"], []
    model = smoke(steps=45)
    model.progress = lambda step, total, **losses: seen.append((step, total, sorted(losses)))
    fitted(model, truth.draw(50, np.random.default_rng(0)), truth.schema)
    assert seen == [(step, 45, ["codes", "numbers"]) for step in (20, 40, 45)]
    assert model.parameters == sum(p.numel() for p in model.networks_["denoiser"].parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"hidden": []}, "hidden must name one layer at least"),
        ({"hidden": [8, 0]}, "hidden must be a whole number >= 1, got 0"),
        ({"sampling_steps": 4}, "sampling_steps must be at most times=3, got 4"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"weight_decay": -1.0}, "weight_decay must be >= 0"),
        ({"device": "tpu"}, "device must be one of"),
    ],
)
def test_hyperparameters_are_checked_in_fit(changed, message):
    schema = Schema((Column("a", "boolean"),))
    with pytest.raises(ValueError, match=message):
        fitted(smoke(**changed), table(schema, 5, 0), schema)


def test_no_rows_are_refused_and_so_is_a_finite_budget():
    schema = Schema((Column("a", "boolean"),))
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        fitted(smoke(), table(schema, 0, 0), schema)
    assert "privacy=none" in smoke().skip(schema, Budget(1.0, 1e-5))


def test_the_contract_is_kept():
    spec = config.all_options("generator", preset="smoke")["tabddpm"]
    wrong = [found for found in check.generator(spec) if found.outcome == "fail"]
    assert wrong == []
