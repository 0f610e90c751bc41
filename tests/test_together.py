"""Many seeds in one batch end as each of them alone, but for the order of sums."""

import warnings

import numpy as np
import pandas as pd
import pytest
from brief import GENERATORS

from syntharena.bench import targets
from syntharena.bench.contracts import Budget
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.networks import network, start
from syntharena.generators.views.blocks import Blocks

torch = pytest.importorskip("torch")

from syntharena.generators.networks import paced, room, seeds  # noqa: E402 - needs torch
from syntharena.generators.networks.mode_autoencoder import ModeAutoencoder  # noqa: E402

SCHEMA = Schema(
    (
        Column("height", "continuous", minimum=-5, maximum=5, decimals=3),
        Column("visits", "integer", minimum=0, maximum=40, missing=True),
        Column("gain", "continuous", minimum=0, maximum=1000, decimals=1),
        Column("city", "categorical", tuple("abcdefghijklmnop")),
        Column("flag", "boolean"),
        Column("label", "categorical", ("no", "yes")),
    ),
    target="label",
    task="binary",
)
STEPS = 40
LONGER = {  # what makes trainings of ``STEPS`` steps, two passes or more
    "tvae": {"least_steps": STEPS, "most_steps": STEPS},
    "ctgan": {"least_steps": STEPS, "most_steps": STEPS, "average": 0.9},
    "adsgan": {"steps": STEPS, "average": 0.9},
    "tabddpm": {"steps": STEPS},
    "tabdiff": {"steps": STEPS},
    "flow_matching": {"steps": STEPS},
    "tabsyn": {"vae_steps": STEPS // 2, "steps": STEPS // 2},
    "autoregressive": {"epochs": STEPS, "steps": STEPS, "batch": 32},
}
ROWS = (120, 119, 120)
GROUPS = {  # where seeds on tables of their own are several batches
    "tabsyn": [2, 1],  # 11 and 12 rows are held out
    "autoregressive": [2, 1],  # likewise; other values are other sub-columns
}
# Elsewhere some weights have no gradient but rounding, which Adam makes as large as any: biases
# before a batch normalisation, and of keys before a softmax.
EXACT = ("tvae", "adsgan", "tabddpm", "autoregressive")


class Killed(Exception):
    """What ends a training before its time."""


def people(rows, seed, cities=16):
    """Draw a table; its rare cities, numbers and gains are others with every seed."""
    rng = np.random.default_rng(seed)
    height = rng.normal(size=rows)
    city = np.minimum(rng.geometric(0.3, rows) - 1, cities - 1)
    city[: cities // 2] = np.arange(cities // 2)
    visits = rng.poisson(np.exp(1 + height / 2)).clip(max=40).astype(float)
    visits[rng.random(rows) < 0.1] = np.nan
    table = pd.DataFrame(
        {
            "height": height.round(3).clip(-5, 5),
            "visits": visits,
            "gain": np.where(rng.random(rows) < 0.7, 0, rng.uniform(0, 1000, rows)).round(1),
            "city": [SCHEMA["city"].categories[code] for code in city],
            "flag": rng.random(rows) < 0.3,
            "label": np.where(height + rng.normal(size=rows) > 0, "yes", "no"),
        }
    )
    return SCHEMA.conform(table)


def built(name, count, **settings):
    spec = GENERATORS[name] | LONGER[name] | settings
    return [targets.build(spec, ("fit", "sample")) for _ in range(count)]


def rngs(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def apart(generators, tables):
    for generator, table, rng in zip(generators, tables, rngs(len(tables)), strict=True):
        generator.fit(table, schema=SCHEMA, budget=Budget(), rng=rng)
    return generators


def together(generators, tables):
    type(generators[0]).fit_together(
        generators, tables, schema=SCHEMA, budget=Budget(), rngs=rngs(len(tables))
    )
    return generators


def distance(one, other):
    """Return the distance of two generators' weights as a share of their length."""
    pairs = [
        (weights.double().ravel(), found.double().ravel())
        for name, net in one.networks_.items()
        for (key, weights), found in zip(
            net.state_dict().items(), other.networks_[name].state_dict().values(), strict=True
        )
    ]
    first, second = (torch.cat(side) for side in zip(*pairs, strict=True))
    return float((first - second).norm() / first.norm())


def unlike(one, other, n=400):
    """Return the share of drawn cells that differ by more than a thousandth of the range."""
    drawn = [generator.sample(n, rng=np.random.default_rng(7)) for generator in (one, other)]
    different = []
    for column in SCHEMA:
        first, second = (rows[column.name] for rows in drawn)
        if column.is_discrete:
            different.append((first.astype(str) != second.astype(str)).to_numpy())
            continue
        first, second = (column.numbers(values) for values in (first, second))
        reach = 1e-3 * (column.maximum - column.minimum)
        near = np.abs(first - second) <= reach + 1e-9
        different.append(~(near | (np.isnan(first) & np.isnan(second))))
    return np.mean(different)


@pytest.fixture
def batches(monkeypatch):
    """Return a list that is told how many seeds each training has."""
    sizes = []
    original = network._train

    def watched(generators, starts):
        sizes.append(len(generators))
        original(generators, starts)

    monkeypatch.setattr(network, "_train", watched)
    return sizes


def reports_of(generators):
    """Note what each generator reports, from now on."""
    notes = [[] for _ in generators]
    for generator, own in zip(generators, notes, strict=True):
        generator.progress = lambda *at, own=own, **losses: own.append((*at, losses))
    return notes


# Together as apart


@pytest.mark.parametrize("name", LONGER)
def test_seeds_end_together_as_they_end_apart(name, batches):
    """On tables of their own, in which other values occur, and not equally many rows."""
    tables = [people(rows, seed) for seed, rows in enumerate(ROWS)]
    alone, many = built(name, 3), built(name, 3)
    expected, found = reports_of(alone), reports_of(many)
    apart(alone, tables)
    batches.clear()
    together(many, tables)
    assert batches == GROUPS.get(name, [3])
    for one, other in zip(alone, many, strict=True):
        assert distance(one, other) < (1e-6 if name in EXACT else 1e-3)
        assert unlike(one, other) <= 0.002
    for own, its in zip(expected, found, strict=True):
        for (*at, losses), (*place, loss) in zip(own, its, strict=True):
            assert at == place
            assert loss == pytest.approx(losses, rel=1e-3)


@pytest.fixture
def strict():
    """Let nothing pass that ``vmap`` does for one seed after another: it warns of that."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(before)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("name", LONGER)
def test_seeds_of_one_table_are_one_batch(name, batches):
    tables = [people(120, 0)] * 3
    alone = apart(built(name, 3), tables)
    batches.clear()
    many = together(built(name, 3), tables)
    assert batches == [3]
    assert max(map(distance, alone, many)) < (1e-6 if name in EXACT else 1e-3)
    assert distance(many[0], many[1]) > 0.1


@pytest.mark.parametrize("name", ["tabdiff", "flow_matching", "tabsyn"])
def test_each_seed_has_a_learning_rate_of_its_own(name):
    settings = {"steps": None, "epochs": 12, "patience": 1}
    if name == "tabsyn":
        settings |= {"vae_steps": None, "vae_epochs": 12, "vae_patience": 1, "beta_patience": 1}
    tables = [people(120, seed) for seed in range(3)]
    alone = apart(built(name, 3, **settings), tables)
    many = together(built(name, 3, **settings), tables)
    for one, other in zip(alone, many, strict=True):
        assert distance(one, other) < 1e-3


def test_seeds_that_end_early_keep_their_weights():
    settings = {"epochs": 60, "steps": None, "learning_rate": 0.02}
    tables = [people(200, 0, cities=4)] * 4
    alone, many = (built("autoregressive", 4, **settings) for _ in range(2))
    reports = reports_of(alone)
    apart(alone, tables)
    assert len({len(own) for own in reports}) > 1
    together(many, tables)
    for one, other in zip(alone, many, strict=True):
        assert distance(one, other) < 1e-3


def test_a_half_trained_seed_of_many_draws_rows():
    drawn = []
    generators = built("tvae", 2)

    def progress(step, total, **losses):
        generators[1].snapshot()
        drawn.append(generators[1].sample(30, rng=np.random.default_rng(step)))

    generators[1].progress = progress
    tables = [people(120, seed) for seed in range(2)]
    looked = together(generators, tables)
    assert len(drawn) == 2
    for rows in drawn:
        SCHEMA.conform(rows, 30)
    for one, other in zip(looked, together(built("tvae", 2), tables), strict=True):
        assert distance(one, other) == 0


# Broken off


@pytest.mark.parametrize("name", LONGER)
def test_a_killed_batch_goes_on_bit_identical(name, tmp_path):
    tables = [people(120, seed) for seed in range(3)]
    whole = together(built(name, 3), tables)

    def attempt(dies):
        generators = built(name, 3)
        for seed, generator in enumerate(generators):
            generator.checkpoint = models.Checkpoint(tmp_path / str(seed), seconds=0)

        def progress(step, total, **losses):
            steps.append(step)
            if dies and step == STEPS:
                raise Killed

        generators[0].progress = progress
        return together(generators, tables)

    steps = []
    with pytest.raises(Killed):
        attempt(dies=True)
    assert steps == [20, 40]
    again = attempt(dies=False)
    assert steps[2] == 40
    for one, other in zip(whole, again, strict=True):
        assert distance(one, other) == 0


def test_a_training_takes_no_checkpoint_of_other_seeds(tmp_path):
    tables = [people(120, 0)] * 3

    def fitted(count, steps):
        generators = built("tvae", count, least_steps=steps, most_steps=steps)
        generators[0].checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)
        notes = reports_of(generators)[0]
        together(generators, tables[:count])
        return [step for step, *_ in notes]

    assert fitted(3, 40) == [20, 40]
    assert fitted(3, 60) == [60]
    assert fitted(2, 60) == [20, 40, 60]
    assert fitted(1, 60) == [20, 40, 60]
    assert fitted(3, 60) == [20, 40, 60]


# What is refused


def test_what_differs_in_more_than_its_seed_is_refused():
    tables = [people(60, 0)] * 2
    mixed = built("tvae", 1) + built("tvae", 1, hidden=9)
    with pytest.raises(ValueError, match=r"equal hyperparameters, got hidden=16 and 9; fit these"):
        together(mixed, tables)
    mixed = built("tvae", 1) + built("tabddpm", 1)
    with pytest.raises(ValueError, match=r"got class='Tvae' and 'TabDdpm'; fit these"):
        together(mixed, tables)
    with pytest.raises(ValueError, match="got 1 generators, 2 tables and 2 rngs"):
        together(built("tvae", 1), tables)


def test_a_seed_that_runs_away_is_named():
    generators = built("tvae", 2, learning_rate=1e18)
    with pytest.raises(FloatingPointError, match=r"of seed [01] of 2 is (nan|inf).* fit it apart"):
        together(generators, [people(120, 0)] * 2)


def test_a_table_without_anything_to_learn_is_no_part_of_a_batch(batches):
    constant = people(120, 0).assign(
        height=1.0, visits=2, gain=3.0, city="a", flag=True, label="no"
    )
    tables = [people(120, 0), SCHEMA.conform(constant), people(120, 0)]
    generators = together(built("autoregressive", 3), tables)
    assert batches == [2]
    for generator in generators:
        SCHEMA.conform(generator.sample(20, rng=np.random.default_rng(0)), 20)


# Pieces


def test_stacked_networks_are_each_their_own():
    linear = [torch.nn.Linear(3, 2) for _ in range(4)]
    inputs = torch.randn(4, 5, 3)
    many = seeds.Many([start.Start({"net": net}, (), torch.Generator()) for net in linear])
    network = many.networks["net"]
    found = many.each(lambda net, rows: net(rows), network, inputs)
    expected = [net(rows) for net, rows in zip(linear, inputs, strict=True)]
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    window = many.own(network, 2)
    with torch.no_grad():
        network.weight.add_(1.0)
    assert torch.equal(window.weight, linear[2].weight + 1)


def test_sums_of_rows_have_the_gradients_of_each_seed():
    table = torch.randn(3, 7, 4, requires_grad=True)
    places = torch.randint(7, (3, 6, 2))
    embed = torch.nn.functional.embedding_bag
    many = seeds.Many([start.Start({}, (), torch.Generator()) for _ in range(3)])
    found = many.each(lambda rows, at: embed(at, rows, mode="sum"), table, places)
    expected = table[torch.arange(3)[:, None, None], places].sum(2)
    assert torch.allclose(found, expected, atol=1e-6)
    slopes = torch.randn(3, 6, 4)
    ours, theirs = (torch.autograd.grad(out, table, slopes)[0] for out in (found, expected))
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("rates", [[0.1, 0.1, 0.1], [0.1, 0.0, 0.03]])
def test_every_seed_goes_at_its_own_rate(rates):
    """As AdamW does with each by itself, strided gradients included."""
    weights = torch.randn(3, 4, 5)
    stacked = torch.nn.ParameterDict({"w": torch.nn.Parameter(weights.clone())})
    adam = paced.Paced(stacked, decay=0.1, apart=True)
    alone = [torch.nn.Parameter(own.clone()) for own in weights]
    theirs = [
        torch.optim.AdamW([own], lr=rate, weight_decay=0.1)
        for own, rate in zip(alone, rates, strict=True)
    ]
    for _ in range(20):
        goal = torch.randn(5, 4)
        loss = (stacked["w"].transpose(1, 2) - goal).square().sum((1, 2))
        paced.set_gradients(loss, adam.weights)
        adam.step(rates)
        for own, optimizer in zip(alone, theirs, strict=True):
            own.grad = torch.autograd.grad((own.T - goal).square().sum(), own)[0].contiguous()
            optimizer.step()
    for one, other in zip(stacked["w"], alone, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_each_seed_s_gradient_has_a_bound_of_its_own():
    gradients = [torch.randn(3, 4, 2), torch.randn(3, 5)]
    stacked = [torch.zeros_like(g) for g in gradients]
    for weight, gradient in zip(stacked, gradients, strict=True):
        weight.grad = gradient.clone()
    paced.clip_gradients(stacked, 1.0, 3)
    for seed in range(3):
        own = [torch.zeros_like(g[seed]) for g in gradients]
        for weight, gradient in zip(own, gradients, strict=True):
            weight.grad = gradient[seed].clone()
        paced.clip_gradients(own, 1.0, 1)
        for weight, many in zip(own, stacked, strict=True):
            assert torch.allclose(weight.grad, many.grad[seed], atol=1e-6)


def test_a_wider_network_says_the_same():
    own, wide = Blocks((2, 3, 1)), Blocks((4, 3, 2))
    space = room.Room(own, wide)
    narrow, broad = (ModeAutoencoder(blocks.width, 2, 6, 3) for blocks in (own, wide))
    space.widened(narrow, broad)
    places = torch.tensor([[0, 2, 5], [1, 4, 5]])
    offsets, told, noise = torch.randn(2, 2), torch.ones(2, 2), torch.randn(2, 3)
    expected = narrow(own, places, offsets, told, noise)
    found = broad(wide, space.places(places), offsets, told, noise)
    assert [x.item() for x in found] == pytest.approx([x.item() for x in expected], abs=1e-5)
    back = space.narrowed(broad, ModeAutoencoder(own.width, 2, 6, 3))
    for one, other in zip(narrow.parameters(), back.parameters(), strict=True):
        assert torch.equal(one, other)
