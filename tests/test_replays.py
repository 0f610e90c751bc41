"""Replayed steps: what a recording is given, and, on a GPU, that it computes what a call does."""

import warnings

import numpy as np
import pytest
import truths

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from syntharena.bench import config, targets  # noqa: E402
from syntharena.bench.contracts import Budget  # noqa: E402
from syntharena.generators.networks import replays, training  # noqa: E402
from syntharena.generators.networks.replays import Replays  # noqa: E402

NETWORKS = (
    "ctgan",
    "tvae",
    "adsgan",
    "tabddpm",
    "tabsyn",
    "tabdiff",
    "flow_matching",
    "autoregressive",
)


def graphed(function, samples, allow_unused_input):
    """Stand in for a recording: it reads its own tensors, into which others are copied."""

    def replayed(*given):
        recorded.append([own is now for own, now in zip(samples, given, strict=True)])
        with torch.no_grad():
            for own, now in zip(samples, given, strict=True):
                if own.data_ptr() != now.data_ptr():
                    own.copy_(now)
        return function(*given[:weights], *samples[weights:])

    recorded, weights = (
        [],
        sum(isinstance(sample.grad_fn, type(None)) and sample.requires_grad for sample in samples),
    )
    graphed.recorded = recorded
    return replayed


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(replays, "RECORDING", "cpu")
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)


def loss_of(table, network, rows, scale, options):
    bias, nothing = options
    assert nothing is None
    return {"loss": (network(table[rows]) * scale + bias).square().mean()}


def test_recordings_are_given_weights_then_tensors_and_read_tables_in_place(on_a_cpu):
    table, network = torch.randn(50, 3), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    call, bias = Replays("cpu"), torch.ones(4)
    for step in range(6):
        rows = torch.randperm(50)[:8]
        expected = loss_of(table, network, rows, 2.0, (bias, None))["loss"]
        wanted = torch.autograd.grad(expected, list(network.parameters()))
        found = call(loss_of, table, network, rows, 2.0, (bias, None))["loss"]
        assert torch.equal(found, expected)
        for mine, theirs in zip(
            torch.autograd.grad(found, list(network.parameters())), wanted, strict=True
        ):
            assert torch.equal(mine, theirs)
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.1 * step
    assert len(graphed.recorded) == 4
    *_, table_in_place, rows_in_place, bias_in_place = graphed.recorded[-1]
    assert (table_in_place, rows_in_place, bias_in_place) == (True, False, True)


def test_another_manner_of_calling_is_another_recording(on_a_cpu):
    call, table, network = Replays("cpu"), torch.randn(50, 3), nn.Linear(3, 4)
    for scale, size in [(1.0, 8)] * 3 + [(2.0, 8)] * 3 + [(2.0, 5)] * 3:
        rows = torch.arange(size)
        found = call(loss_of, table, network, rows, scale, (torch.ones(4), None))
        assert torch.equal(
            found["loss"], loss_of(table, network, rows, scale, (torch.ones(4), None))["loss"]
        )
    assert sum(known.recorded is not None for known in call._known.values()) == 3


def test_nothing_is_recorded_on_a_cpu_or_without_gradients(monkeypatch):
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", None)
    call, table, network = Replays("cpu"), torch.randn(50, 3), nn.Linear(3, 4)
    given = table, network, torch.arange(8), 1.0, (torch.ones(4), None)
    for _ in range(5):
        call(loss_of, *given)
    monkeypatch.setattr(replays, "RECORDING", "cpu")
    with torch.no_grad():
        for _ in range(5):
            call(loss_of, *given)


ROWS = 2000
STEPS = {
    "tabsyn": ("vae_steps", "steps"),
    "ctgan": ("least_steps", "most_steps"),
    "tvae": ("least_steps", "most_steps"),
}


def fitted(name, steps=60, look=lambda: None):
    """Fit on a GPU, and return the generator and the losses at every look."""
    spec = config.all_options("generator", preset="smoke")[name]
    spec = {**spec, **dict.fromkeys(STEPS.get(name, ("steps",)), steps), "device": "cuda"}
    generator, told = targets.build(spec, ("fit", "sample")), []

    def progress(done, total, **losses):
        told.append(losses)
        look()

    generator.progress = progress
    rng = np.random.default_rng(0)
    train = truths.draw_interactions(ROWS, rng)
    return generator.fit(train, schema=truths.INTERACTING, budget=Budget(), rng=rng), told


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_a_replayed_training_is_the_plain_one(name, monkeypatch):
    replayed, told = fitted(name)
    monkeypatch.setattr(replays, "PLAIN_CALLS", 10**9)
    plain, expected = fitted(name)
    assert len(told) == len(expected) >= 2
    for mine, theirs in zip(told, expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-2, abs=1e-2)
    for generator in (replayed, plain):
        drawn = generator.sample(200, rng=np.random.default_rng(1))
        assert len(truths.INTERACTING.conform(drawn)) == 200


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tabsyn", "tabdiff", "flow_matching"])
def test_a_compiled_training_is_the_plain_one(name, monkeypatch, recwarn):
    monkeypatch.setattr(replays, "RECORDED_CALLS", 30)
    _, told = fitted(name)
    assert not any("compiled" in str(warning.message) for warning in recwarn)
    monkeypatch.setattr(replays, "PLAIN_CALLS", 10**9)
    monkeypatch.setattr(replays, "RECORDED_CALLS", 10**9)
    _, expected = fitted(name)
    for mine, theirs in zip(told, expected, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-2, abs=1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_no_step_waits_for_the_gpu(name):
    """Looks at losses, and ends of passes, wait for it; there are fewer of both than steps."""
    waits = []

    def look():
        torch.cuda.set_sync_debug_mode("warn")
        waits.append(len(caught))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted(name, steps=100, look=look)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    between = np.diff(waits)[1:]  # the first steps record
    assert len(between) >= 2
    assert (between >= 1).all()  # or the warnings do not work
    assert (between < training.REPORT / 2).all()
