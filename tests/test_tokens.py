"""Networks over columns, EDM's scales and solver, and what paces a training, by closed forms."""

import numpy as np
import pytest
from scipy import special, stats

from syntharena.generators.networks import learning
from syntharena.generators.views.blocks import Blocks

torch = pytest.importorskip("torch")

from syntharena.generators.networks import edm, tokens  # noqa: E402 - needs torch

CHANCE = 1e-4  # p-value below which a test of random numbers fails
BLOCKS = Blocks((3, 1, 4))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def built(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def some_rows(n, blocks=BLOCKS, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(np.array(blocks.sizes, dtype=int), size=(n, len(blocks.sizes)))
    return torch.from_numpy(codes + blocks.starts)


# Tokens and heads


def test_places_and_their_one_hot_rows_have_the_same_tokens():
    found = built(lambda: tokens.Tokens(2, BLOCKS, 5))
    numbers, places = torch.randn(7, 2, generator=seeded()), some_rows(7)
    looked_up = found(numbers, places)
    assert looked_up.shape == (7, 5, 5)
    torch.testing.assert_close(found(numbers, BLOCKS.rows(places)), looked_up)


def test_a_hidden_code_is_not_seen():
    found = built(lambda: tokens.Tokens(1, BLOCKS, 4))
    numbers, one, other = torch.zeros(6, 1), some_rows(6, seed=1), some_rows(6, seed=2)
    hidden = torch.tensor([[1.0, 0.0, 1.0]]).expand(6, 3)
    seen, also = (found(numbers, places, hidden) for places in (one, other))
    torch.testing.assert_close(seen, also)  # the second block has one place only
    assert not torch.allclose(found(numbers, one), seen)


def test_heads_give_each_code_the_product_of_its_token_and_its_places():
    heads = built(lambda: tokens.Heads(2, BLOCKS, 3))
    vectors = torch.randn(4, 5, 3, generator=seeded())
    numbers, logits = heads(vectors)
    torch.testing.assert_close(numbers, (vectors[:, :2] * heads.slopes).sum(2))
    for block, (start, size) in enumerate(zip(BLOCKS.starts, BLOCKS.sizes, strict=True)):
        expected = vectors[:, 2 + block] @ heads.places[start : start + size].T
        torch.testing.assert_close(logits[:, start : start + size], expected)


def test_misfits_and_likeliest_are_those_of_each_block():
    logits = 30 * torch.randn(50, BLOCKS.width, generator=seeded())  # far beyond exp's range
    places = some_rows(50)
    misfits = BLOCKS.surprisals(logits, places).numpy()
    likeliest = BLOCKS.likeliest(logits).numpy()
    for block, (start, size) in enumerate(zip(BLOCKS.starts, BLOCKS.sizes, strict=True)):
        part = logits[:, start : start + size].double().numpy()
        logs = special.log_softmax(part, axis=1)
        codes = places[:, block].numpy() - start
        assert misfits[:, block] == pytest.approx(-logs[np.arange(50), codes], abs=1e-4)
        assert np.array_equal(likeliest[:, block], start + part.argmax(axis=1))


def test_equal_weights_have_a_likeliest_place_of_their_own_block():
    assert BLOCKS.likeliest(torch.zeros(2, 8)).tolist() == [[0, 3, 4]] * 2


def test_a_transformer_does_not_know_the_order_of_columns():
    layers = built(lambda: tokens.transformer(2, 4, 8))
    vectors, order = torch.randn(5, 6, 4, generator=seeded()), [3, 0, 5, 1, 4, 2]
    torch.testing.assert_close(layers(vectors)[:, order], layers(vectors[:, order]))


def test_one_time_for_all_rows_is_the_same_time_for_each():
    network = built(lambda: tokens.Denoiser(2, BLOCKS, width=4, layers=1, factor=2, hidden=16))
    numbers, places = torch.randn(9, 2, generator=seeded()), some_rows(9)
    one = network(numbers, places, torch.tensor([0.3]))
    each = network(numbers, places, torch.full((9,), 0.3))
    for found, expected in zip(one, each, strict=True):
        torch.testing.assert_close(found, expected)
    later, _ = network(numbers, places, torch.tensor([0.9]))
    assert not torch.allclose(later, one[0])


@pytest.mark.parametrize(("numbers", "sizes"), [(0, (2, 3)), (3, ()), (0, (1,))])
def test_tables_of_one_sort_pass_through(numbers, sizes):
    blocks = Blocks(sizes)
    network = built(lambda: tokens.Denoiser(numbers, blocks, width=2, layers=1, factor=2, hidden=4))
    found, logits = network(torch.zeros(5, numbers), some_rows(5, blocks), torch.zeros(1))
    assert found.shape == (5, numbers)
    assert logits.shape == (5, blocks.width)
    assert blocks.surprisals(logits, some_rows(5, blocks)).shape == (5, len(sizes))


# EDM


@pytest.mark.parametrize("data", [0.5, 1.0])
@pytest.mark.parametrize("sigma", [0.002, 0.3, 80.0])
def test_scales_are_what_normal_rows_need(data, sigma):
    """Of normal rows the linear guess is the posterior mean: nothing is left but unit noise."""
    sigma, draws = torch.tensor(sigma), seeded()
    clean = data * torch.randn(100_000, generator=draws)
    noisy = clean + sigma * torch.randn(100_000, generator=draws)
    left = edm.wanted(clean, noisy, sigma, data)
    assert left.std() == pytest.approx(1, abs=0.01)
    assert torch.corrcoef(torch.stack([left, noisy]))[0, 1].abs() < 0.02
    skip, out, into = edm.scales(sigma, data)
    torch.testing.assert_close(skip * noisy + out * left, clean, atol=1e-3, rtol=1e-3)
    assert (into * noisy).std() == pytest.approx(1, abs=0.01)


def test_levels_are_those_of_the_paper():
    noise = edm.levels(18).double().numpy()
    ends = 0.002 ** (1 / 7), 80.0 ** (1 / 7)
    for step in range(18):
        expected = (ends[1] + step / 17 * (ends[0] - ends[1])) ** 7  # equation 5
        assert noise[step] == pytest.approx(expected, rel=1e-5)
    assert noise[18] == 0
    assert edm.levels(1).tolist() == [80.0, 0.0]


def test_the_solver_draws_what_an_exact_denoiser_knows():
    """Two atoms and a normal; the denoiser is their posterior mean."""

    def denoise(noisy, sigma):
        atoms = torch.sigmoid(2 * noisy[:, 0] / sigma**2 + np.log(0.7 / 0.3)) * 2 - 1
        normal = 0.3 + (noisy[:, 1] - 0.3) * 0.04 / (0.04 + sigma**2)
        return torch.stack([atoms, normal], 1)

    unit = torch.randn(4000, 2, generator=seeded(1))
    rows = edm.sampled(denoise, unit, 40, seeded(2)).double().numpy()
    assert np.abs(np.abs(rows[:, 0]) - 1).max() < 0.01
    assert (rows[:, 0] > 0).mean() == pytest.approx(0.7, abs=0.03)
    assert stats.kstest(rows[:, 1], stats.norm(0.3, 0.2).cdf).pvalue > CHANCE


# What paces a training


def test_a_number_falls_evenly():
    linear = learning.Falling(2.0, 4, patience=0, factor=0.5)
    assert [linear.at(step) for step in range(4)] == [2.0, 1.5, 1.0, 0.5]
    geometric = learning.Falling(1.0, 4, patience=0, factor=0.5, lowest=1e-4)
    assert [geometric.at(step) for step in range(4)] == pytest.approx([1, 0.1, 0.01, 0.001])


def test_a_number_falls_whenever_the_loss_has_not_for_a_while():
    beta = learning.Falling(1.0, 99, patience=2, factor=0.5, lowest=0.2)
    seen = []
    for loss in [5, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, float("nan"), 2]:
        beta.after_pass(loss)
        seen.append(beta.at(0))
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]


def linear_network(weight):
    network = built(lambda: torch.nn.Linear(1, 1, bias=False))
    torch.nn.init.constant_(network.weight, weight)
    return network


def test_the_best_weights_are_kept():
    network = linear_network(0.0)
    best = learning.Best(network)
    for loss, weight in [(3.0, 1.0), (1.0, 2.0), (2.0, 3.0)]:
        torch.nn.init.constant_(network.weight, weight)
        best.after_pass([loss])
    assert best.kept.weight.item() == 2.0


def test_an_average_begins_at_the_first_weights_it_sees():
    network = linear_network(7.0)
    average = learning.Average(network, 0.9)
    seen = [1.0, 2.0, 5.0]
    for weight in seen:
        torch.nn.init.constant_(network.weight, weight)
        average.update()
    weights = 0.9 ** np.arange(3)[::-1]
    assert average.kept.weight.item() == pytest.approx(np.average(seen, weights=weights))
    with pytest.raises(ValueError, match=r"average must be in \[0, 1\), got 1"):
        learning.Average(network, 1.0)


def test_passes_are_reported_and_learning_goes_on_from_its_state():
    def taught(steps, state=None):
        network = linear_network(1.0)
        rate = learning.Falling(0.1, 10, patience=1, factor=0.5)

        def after_pass(losses):
            taught.fall(losses)
            reports.extend(losses)

        taught = learning.Learning(network, [rate], 3, after_pass, warm_up=2, clip=0.5)
        if state is not None:
            taught.load_state_dict(state)
        for step in steps:
            taught.follow(step, (network.weight - step).square().sum())
        return taught

    reports = []
    whole = taught(range(10))
    expected, reports = reports, []
    state = taught(range(4)).state_dict()
    again = taught(range(4, 10), state)
    assert reports == expected
    assert len(expected) == 4  # the last pass has one step
    assert torch.equal(again.network.weight, whole.network.weight)


def test_a_training_has_so_many_passes_and_no_more_than_so_many_steps():
    assert learning.steps_of(None, 3, 7) == 21
    assert learning.steps_of(5, 3, 7) == 5
    assert learning.steps_of(50, 3, 7) == 21
    with pytest.raises(ValueError, match="steps must be a whole number >= 1, got 0"):
        learning.steps_of(0, 3, 7)
    with pytest.raises(ValueError, match=r"epochs must be a whole number >= 1, got 0\.5"):
        learning.steps_of(None, 0.5, 7)
