"""Any-order autoregression: sub-columns lead there and back, orders and chances against algebra."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_tables import schemas, table
from scipy import stats
from truths import COUNTRIES, TRUTHS

from syntharena.bench import check, config
from syntharena.bench.contracts import Budget
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.autoregressive import Autoregressive, rows_of_a_batch
from syntharena.generators.networks import training
from syntharena.generators.views.subcolumns import UNKNOWN, Dates, Digits, Distinct, SubColumns

torch = pytest.importorskip("torch")
anyorder = pytest.importorskip("syntharena.generators.networks.anyorder")
patience = pytest.importorskip("syntharena.generators.networks.patience")
seeds = pytest.importorskip("syntharena.generators.networks.seeds")

CHANCE = 1e-4  # p-value below which a test of random draws fails


def smoke(**settings):
    return Autoregressive(**{"epochs": 2, "batch": 32, **settings})


def fitted(model, train, schema, seed=0):
    return model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Sub-columns


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1e9, 1e9), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(0, 3),
    st.integers(2, 10),
    st.integers(1, 3),
)
def test_digits_lead_to_a_value_of_the_same_bin(values, missing, base, digits):
    column = np.array([*map(float, values), *[np.nan] * missing])
    coder = Digits.of(column, base, digits)
    codes = coder.codes(column)
    assert codes.min() >= 0
    assert np.all(codes.max(0) < coder.sizes)
    drawn = coder.values(codes, np.random.default_rng(0))
    assert np.array_equal(np.isnan(drawn), np.isnan(column))
    known = ~np.isnan(column)
    assert np.array_equal(coder.codes(drawn), codes)
    assert drawn[known].min() >= min(values)
    assert drawn[known].max() <= max(values)


def test_digits_are_those_of_the_rank():
    coder = Digits.of(np.arange(1000.0), 10, 3)
    assert coder.codes(np.array([0.0, 7.0, 345.0, 999.0])).tolist() == [
        [0, 0, 0],
        [0, 0, 7],
        [3, 4, 5],
        [9, 9, 9],
    ]
    outside = coder.codes(np.array([-5.0, 2000.0, 345.5]))
    assert outside.tolist() == [[0, 0, 0], [9, 9, 9], [3, 4, 5]]
    assert coder.codes(np.array([np.nan])).tolist() == [[UNKNOWN] * 3]


def test_a_frequent_number_has_a_bin_of_its_own_and_keeps_its_share():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(5000) < 0.9, 0.0, rng.exponential(size=5000))
    coder = Digits.of(column, 10, 2)
    codes = coder.codes(column)
    own = codes[column == 0]
    assert (own == own[0]).all()
    assert not (codes[column != 0] == own[0]).all(1).any()
    drawn = coder.values(codes, rng)
    assert (drawn == 0).mean() == (column == 0).mean()
    assert stats.ks_2samp(drawn[drawn > 0], column[column > 0]).pvalue > CHANCE


def test_dates_keep_what_they_have_in_common():
    days = pd.date_range("1968-02-27", "2021-03-02", freq="5D")
    column = np.append(days.to_numpy("datetime64[s]").astype(np.int64).astype(float), np.nan)
    coder = Dates.of(column)
    assert coder.sizes[3:] == [1, 1, 1]  # midnight, all of them
    codes = coder.codes(column)
    back = coder.values(codes, np.random.default_rng(0))
    assert np.array_equal(back, column, equal_nan=True)
    february = codes[days.get_loc("1968-02-27")].copy()
    february[2] = coder.sizes[2] - 1  # the thirty-first
    drawn = coder.values(february[None], np.random.default_rng(0))
    assert pd.Timestamp(drawn[0], unit="s") == pd.Timestamp("1968-02-29")


def test_what_no_training_row_has_is_unknown():
    coder = Distinct(np.array([1.0, 4.0, np.nan]))
    asked = np.array([4.0, np.nan, 2.0, 9.0, 1.0])
    assert coder.codes(asked)[:, 0].tolist() == [1, 2, UNKNOWN, UNKNOWN, 0]
    assert Distinct(np.array([1.0])).codes(np.array([np.nan]))[0, 0] == UNKNOWN


@settings(max_examples=40, deadline=None)
@given(schema=schemas(), rows=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_sub_columns_lead_there_and_back(schema, rows, seed):
    train = table(schema, rows, seed)
    found = SubColumns.of(train, schema, base=100, digits=3)  # a bin for every value
    codes = found.codes(dict(train.items()))
    assert codes.shape == (rows, len(found.sizes))
    assert np.all((codes >= 0) & (codes < found.sizes))
    pd.testing.assert_frame_equal(
        schema.assemble(found.columns(codes, np.random.default_rng(0))), train
    )


# The networks

SIZES, OWNERS = [2, 3, 3, 9, 40], [0, 2, 1, 2, 3]  # the second and the fourth are one column


def network(seed=0):
    build = lambda: anyorder.AnyOrder(SIZES, np.array(OWNERS), np.arange(5), np.arange(5) > 2)  # noqa: E731
    return training.initialised(build, np.random.default_rng(seed))


def random_codes(rows, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.integers(0, size, rows) for size in SIZES], axis=1))


def test_sorts_cover_all_sub_columns_side_by_side():
    sizes = [2, 2, 3, 4, 5, 12, 13, 40, 100, 5000]
    sorts = anyorder.sorts_of(sizes)
    assert sum(sort.count for sort in sorts) == len(sizes)
    for sort in sorts:
        own = sizes[sort.first : sort.first + sort.count]
        assert sort.size == max(own)
        assert sort.length == min(max(own), max(10, 3 * int(np.ceil(max(own) ** 0.25))))
        assert {16 * max(1, round(np.log(size))) for size in own} == {sort.hidden}


def test_a_loss_depends_on_what_comes_before_and_on_nothing_else():
    net, codes = network(), random_codes(6)
    ranks = torch.tensor([2.0, 0.0, 3.0, 1.0])  # of the columns: 1, 3, 0, 2
    order = [2, 4, 0, 1, 3]
    earlier = net.earlier(ranks)
    losses = net(codes, earlier)
    for place, position in enumerate(order):
        changed = codes.clone()
        changed[:, position] = (changed[:, position] + 1) % SIZES[position]
        moved = (net(changed, earlier) != losses).any(0)
        assert not moved[order[:place]].any()
        assert moved[order[place:]].all()


def test_chances_of_a_whole_row_add_to_one():
    net = network()
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in SIZES], indexing="ij"), axis=-1)
    codes = torch.from_numpy(grid.reshape(-1, len(SIZES)))
    for seed in range(2):
        earlier = net.earlier(torch.rand(4, generator=seeded(seed)))
        with torch.no_grad():
            chances = torch.exp(-net(codes, earlier).double().sum(1))
        assert float(chances.sum()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("given_first", [(), (0, 4), (1, 3)])
def test_draws_have_the_chances_that_the_losses_tell(given_first):
    net, n = network(1), 60_000
    with torch.no_grad():
        for weight in net.parameters():  # so that chances are far from even
            weight.mul_(2.0)
    codes = random_codes(1).expand(n, -1)
    known = torch.zeros(n, 5, dtype=torch.bool)
    known[:, list(given_first)] = True
    ranks = torch.tensor([1.0, 2.0, 3.0, 4.0])
    ranks[sorted({OWNERS[i] for i in given_first})] -= 10
    rank = ranks[torch.tensor(OWNERS)]
    order = [int(i) for i in np.lexsort((np.arange(5), rank)) if i not in given_first]
    with torch.inference_mode():
        drawn = net.draw(codes, known, order, seeded())
        assert torch.equal(drawn[:, list(given_first)], codes[:, list(given_first)])
        free = order[:2]
        grid = codes[:1].repeat(SIZES[free[0]] * SIZES[free[1]], 1)
        grid[:, free[0]] = torch.arange(SIZES[free[0]]).repeat_interleave(SIZES[free[1]])
        grid[:, free[1]] = torch.arange(SIZES[free[1]]).repeat(SIZES[free[0]])
        chances = torch.exp(-net(grid, net.earlier(ranks)).double()[:, free].sum(1)).numpy()
    assert chances.sum() == pytest.approx(1.0, abs=1e-4)
    places = drawn[:, free[0]] * SIZES[free[1]] + drawn[:, free[1]]
    seen = np.bincount(places, minlength=len(chances))
    often = chances * n > 5
    assert (
        stats.chisquare(
            seen[often], chances[often] / chances[often].sum() * seen[often].sum()
        ).pvalue
        > CHANCE
    )


def test_an_unknown_value_tells_nothing():
    net = network()
    codes = random_codes(20_000)
    known = torch.zeros_like(codes, dtype=torch.bool)
    with torch.inference_mode():
        drawn = [
            net.draw(torch.where(known, codes, fill), known, [2, 0], seeded()) for fill in (0, -1)
        ]
    assert torch.equal(*drawn)


def test_near_ordered_codes_begin_alike():
    net = training.initialised(
        lambda: anyorder.AnyOrder([40, 40], np.arange(2), np.arange(2), np.arange(2) < 1),
        np.random.default_rng(0),
    )
    weights = net.embeddings[0].detach()
    gaps = (weights[:, 1:] - weights[:, :-1]).square().mean((1, 2))
    assert gaps[0] < 0.2 * gaps[1]
    assert torch.allclose(weights[0].square().mean(), torch.tensor(1.0), atol=0.05)


def test_patience_keeps_the_best_and_ends():
    net = torch.nn.Linear(1, 1)
    watch = patience.Patience(net, 1.0, stops=4, slows=2)
    assert watch.best(0) is net
    rates = []
    for loss in (3.0, 2.0, 2.5, 2.5, 2.5, 2.5):
        with torch.no_grad():
            net.weight.fill_(loss)
        assert not watch.ended
        watch.look([loss])
        rates += watch.rates
    assert watch.ended
    assert rates == [1, 1, 1, 1, 0.5, 0]
    assert watch.best(0).weight.item() == 2.0


def test_each_seed_has_patience_of_its_own():
    net = seeds.stacked([torch.nn.Linear(1, 1) for _ in range(2)])
    watch = patience.Patience(net, 1.0, stops=2, slows=9, seeds=2)
    for losses in ([3.0, 3.0], [2.0, 4.0], [1.0, 5.0], [2.0, 1.0], [0.5, 1.0]):
        with torch.no_grad():
            net.weight.copy_(torch.tensor(losses).view(2, 1, 1))
        watch.look(losses)
    assert watch.rates == [1, 0]
    assert not watch.ended
    assert [watch.best(seed).weight[seed].item() for seed in range(2)] == [0.5, 3.0]


@pytest.mark.parametrize(
    ("rows", "weights", "expected"),
    [(1, 10, 8), (600, 10, 8), (29_000, 10, 256), (300_000, 10, 2048), (300_000, 5 * 10**6, 512)],
)
def test_batches_grow_with_the_table(rows, weights, expected):
    assert rows_of_a_batch(rows, weights) == expected


# What it learns


def learned(name, seed, rows=2000):
    truth = TRUTHS[name]
    train = truth.draw(rows, np.random.default_rng(seed))
    model = Autoregressive(epochs=60, batch=64)
    return fitted(model, train, truth.schema, seed)


def errors(name, model, seed):
    return TRUTHS[name].errors(model.sample(4000, rng=np.random.default_rng(seed)))


@pytest.fixture(scope="module", params=[0, 1])
def dependent(request):
    return learned("dependence", request.param)


def test_it_learns_what_depends(dependent):
    found = errors("dependence", dependent, 0)
    assert found["category"] < 0.05
    assert found["number"] < 0.1


def test_conditions_are_met_in_either_direction(dependent):
    city, country = (TRUTHS["dependence"].schema[name] for name in ("city", "country"))
    n = 2000
    codes = np.arange(n) % 10
    asked = pd.DataFrame({"city": city.from_codes(codes), "net": codes * 10 + 5})
    made = dependent.sample(n, rng=np.random.default_rng(0), conditions=asked)
    assert made["city"].equals(asked["city"])
    assert made["net"].tolist() == asked["net"].tolist()
    assert (country.codes(made["country"]) == COUNTRIES[codes]).mean() > 0.95
    assert np.abs(made["gross"] - 2 * asked["net"]).mean() < 12
    asked = pd.DataFrame({"country": country.from_codes(codes % 4)})
    made = dependent.sample(n, rng=np.random.default_rng(0), conditions=asked)
    drawn = city.codes(made["city"])
    assert (COUNTRIES[drawn] == codes % 4).mean() > 0.95
    seen = np.bincount(drawn[codes % 4 == 2], minlength=10)[5:9]
    assert seen.min() > 0.15 * seen.sum()


# How it is trained


class Killed(Exception):
    pass


def test_a_killed_training_ends_bit_identical_to_an_unbroken_one(tmp_path):
    truth = TRUTHS["interactions"]
    train = truth.draw(300, np.random.default_rng(0))
    whole = fitted(smoke(epochs=9), train, truth.schema)
    broken = smoke(epochs=9)
    broken.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)

    def die(step, total, **losses):
        if step == 3 * training.REPORT:
            raise Killed

    broken.progress = die
    with pytest.raises(Killed):
        fitted(broken, train, truth.schema)
    again = smoke(epochs=9)
    again.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)
    fitted(again, train, truth.schema)
    made = [m.sample(100, rng=np.random.default_rng(3)) for m in (whole, again)]
    pd.testing.assert_frame_equal(*made)


def test_a_training_ends_when_held_out_rows_are_not_predicted_better():
    schema = Schema((Column("a", "boolean"), Column("b", "boolean")))
    train, seen = table(schema, 200, 0), []
    model = Autoregressive(epochs=1000, batch=32)
    model.progress = lambda step, total, **losses: seen.append((step, total))
    fitted(model, train, schema)
    assert seen[-1][0] < 0.5 * seen[-1][1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number >= 1, got 0"),
        ({"base": 1}, "base must be a whole number >= 2, got 1"),
        ({"digits": 0}, "digits must be a whole number >= 1, got 0"),
        ({"batch": 0}, "batch must be a whole number >= 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"learning_rate": -1.0}, "learning_rate must be > 0"),
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
    spec = config.all_options("generator", preset="smoke")["autoregressive"]
    wrong = [found for found in check.generator(spec) if found.outcome == "fail"]
    assert wrong == []
