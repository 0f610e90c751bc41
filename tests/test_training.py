"""Training goes on where it stopped, scales and mixed tables lead there and back."""

import numpy as np
import pandas as pd
import pytest
from brief import GENERATORS
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from syntharena.bench import targets
from syntharena.bench.contracts import Budget
from syntharena.bench.probes import schemas, table
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.common import NoCheckpoint
from syntharena.generators.networks import learning, network, start, training
from syntharena.generators.views.mixed import Mixed
from syntharena.generators.views.scales import NormalScores, Standard

torch = pytest.importorskip("torch")
LOOKED_AT = {
    name: spec
    for name, spec in GENERATORS.items()
    if issubclass(targets.find(spec["_target_"], ()), network.Network)
}


class Killed(Exception):
    """What ends a training before its time."""


class Tiny(network.Network):
    """A linear network that learns noise, killed after some steps where that is asked for."""

    def __init__(self, steps, dies_at=None):
        self.steps = steps
        self.dies_at = dies_at

    def _begin(self, train, schema, rng):
        draws = training.seeded(rng)
        linear = training.initialised(lambda: torch.nn.Linear(3, 1), rng)
        batches = training.Batches(50, 8, draws)
        rows = torch.randn(50, 3, generator=draws)
        return start.Start({"network": linear}, (rows,), draws, {"rows": batches})

    def _course(self, seeds):
        linear = seeds.networks["network"]
        adam = torch.optim.Adam(linear.parameters(), fused=True)

        def draw(own):
            return own.batches["rows"].draw(), torch.randn(8, 1, generator=own.draws)

        def loss_of(linear, rows, chosen, wanted):
            return (linear(rows[chosen]) - wanted).square().mean()

        def step(number):
            if number == self.dies_at:
                raise Killed
            loss = seeds.each(loss_of, linear, *seeds.held, *seeds.drawn(draw))
            learning.follow(loss, linear, adam)
            return {"loss": loss}

        parts = {"network": linear, "adam": adam}
        learned = lambda seed: {"network": seeds.own(linear, seed)}  # noqa: E731
        return start.Course(step, self.steps, parts, learned)


def fitted(tiny, checkpoint=None):
    if checkpoint is not None:
        tiny.checkpoint = checkpoint
    schema = schemas()["mixed"]
    return tiny.fit(None, schema=schema, budget=Budget(), rng=np.random.default_rng(5))


def weights(tiny):
    return torch.cat([p.detach().ravel() for p in tiny.networks_["network"].parameters()])


@pytest.mark.parametrize("dies_at", [1, 19, 21, 47, 99])
def test_a_killed_training_ends_bit_identical_to_an_unbroken_one(tmp_path, dies_at):
    whole = fitted(Tiny(100))
    path = tmp_path / "state"
    with pytest.raises(Killed):
        fitted(Tiny(100, dies_at), models.Checkpoint(path, seconds=0))
    assert path.exists() == (dies_at > training.REPORT)
    again = models.Checkpoint(path, seconds=0)
    assert torch.equal(weights(fitted(Tiny(100), again)), weights(whole))
    assert whole.parameters == 4


def test_the_cost_of_a_killed_training_is_not_forgotten(tmp_path):
    with pytest.raises(Killed):
        fitted(Tiny(100, 50), models.Checkpoint(tmp_path / "state", seconds=0))
    again = models.Checkpoint(tmp_path / "state", seconds=0)
    again.load()
    assert again.cost["fit_seconds"] > 0
    again.drop()
    assert models.Checkpoint(tmp_path / "state").load() is None


def test_a_checkpoint_of_somebody_else_is_not_loaded(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"0" * 32 + b"cos\nsystem\n(S'true'\ntR.")
    assert models.Checkpoint(path).load() is None


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(FloatingPointError, match=r"'loss' is nan at step 20; lower the learning"):
        training.train(
            lambda number: {"loss": torch.tensor(np.nan)},
            30,
            {},
            progress=[lambda *args, **losses: None],
            checkpoint=NoCheckpoint(),
        )


def test_building_a_network_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    one, other, third = (
        training.initialised(lambda: torch.nn.Linear(4, 4), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.weight, third.weight)


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device must be one of auto, cpu, cuda, got 'tpu'"):
        training.device_of("tpu")


def test_every_pass_sees_every_row_once():
    batches = training.Batches(12, 4, torch.Generator().manual_seed(0))
    for _ in range(3):
        seen = torch.cat([batches.draw() for _ in range(batches.per_pass)])
        assert sorted(seen.tolist()) == list(range(12))


@pytest.mark.parametrize("name", sorted(schemas()))
@pytest.mark.parametrize("rows", [1, 2, 60])
def test_a_mixed_table_leads_there_and_back(name, rows):
    schema = schemas()[name]
    train = table(schema, rows, np.random.default_rng(0))
    mixed = Mixed.of(train, schema)
    numbers, codes = mixed.split(train)
    assert np.all((codes >= 0) & (codes < np.array(mixed.sizes, dtype=int)))
    filled = np.where(np.isnan(numbers), 0.5, numbers)  # what a model may put in
    pd.testing.assert_frame_equal(mixed.table(filled, codes), train)


def test_what_no_training_row_has_cannot_be_asked_for():
    schema = Schema((Column("a", "categorical", ("x", "y", "z")),))
    table_of = lambda *values: schema.conform(pd.DataFrame({"a": list(values)}))  # noqa: E731
    mixed = Mixed.of(table_of("x", "z"), schema)
    assert mixed.split(table_of("z"))[1].tolist() == [[1]]
    with pytest.raises(ValueError, match="no training row has one of the values asked for"):
        mixed.split(table_of("y"))


numbers = st.lists(st.one_of(st.floats(-1e9, 1e9), st.integers(0, 3)), min_size=2, max_size=40)


@given(numbers, st.integers(0, 3))
def test_scales_lead_there_and_back(values, missing):
    column = np.array([*map(float, values), *[np.nan] * missing])[:, None]
    reach = np.ptp(values) or 1.0
    for scale in (NormalScores, Standard):
        found = scale.of(column)
        scaled = found.scaled(column)
        assert np.array_equal(np.isnan(scaled), np.isnan(column))
        known = ~np.isnan(column)
        back = found.numbers(np.where(known, scaled, 0.0))
        assert back[known] == pytest.approx(column[known], abs=1e-6 * reach)


def test_normal_scores_keep_the_shares_of_repeated_values():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(2000) < 0.9, 0.0, rng.exponential(size=2000))[:, None]
    scale = NormalScores.of(column)
    drawn = scale.numbers(rng.standard_normal((20_000, 1)))
    assert abs((drawn == 0).mean() - (column == 0).mean()) < 0.01
    assert abs(np.quantile(drawn, 0.98) - np.quantile(column, 0.98)) < 0.1
    smooth = NormalScores.of(rng.normal(3, 2, size=(4000, 1)))
    points = np.array([[-3.0], [3.0], [6.0]])
    assert smooth.scaled(points)[:, 0] == pytest.approx(norm.ppf(norm.cdf([-3, 0, 1.5])), abs=0.15)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_look_at_a_half_trained_generator_changes_nothing_of_it(name):
    """Rows drawn meanwhile obey the Schema, and the fit ends as one that nobody looked at."""
    schema = schemas()["mixed"]
    rows = table(schema, 120, np.random.default_rng(0))
    drawn = []

    def fit(look):
        spec = LOOKED_AT[name]
        longer = {key: 60 for key in spec if key.endswith("steps") and key != "sampling_steps"}
        longer |= {"epochs": 60} if "epochs" in spec else {}
        generator = targets.build(spec | longer, ("fit", "sample"))

        def progress(step, total, **losses):
            if look and step < total:
                generator.snapshot()
                drawn.append(generator.sample(30, rng=np.random.default_rng(step)))

        generator.progress = progress
        generator.fit(rows, schema=schema, budget=Budget(), rng=np.random.default_rng(1))
        return schema.digest(schema.conform(generator.sample(200, rng=np.random.default_rng(2))))

    assert fit(look=True) == fit(look=False)
    assert drawn
    for made in drawn:
        schema.conform(made, 30)
