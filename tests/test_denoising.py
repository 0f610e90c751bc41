"""TabSyn, TabDiff and flow matching: equal seeds, conditions, and trainings cut short."""

import numpy as np
import pandas as pd
import pytest

from syntharena.bench import probes
from syntharena.bench.contracts import Budget
from syntharena.bench.running import models
from syntharena.bench.schema import Column, Schema
from syntharena.generators.flow_matching import FlowMatching
from syntharena.generators.tabdiff import TabDiff
from syntharena.generators.tabsyn import TabSyn

torch = pytest.importorskip("torch")

TINY = {"layers": 1, "factor": 2, "hidden": 8, "steps": 3, "batch": 8, "patience": 0}
TINY |= {"sampling_steps": 2}


def tabsyn_of(options):
    half = (options["steps"] + 1) // 2
    vae = {"vae_steps": half, "vae_batch": options["batch"], "vae_patience": 0, "beta_patience": 0}
    return TabSyn(**(options | {"steps": half, "vae_learning_rate": 5e-3} | vae))


def tabdiff_of(options):
    return TabDiff(**options, average=0.98)


def flow_of(options):
    return FlowMatching(**options, average=0.98)


EVERY = [tabsyn_of, tabdiff_of, flow_of]
CONSTANT = Column("constant", "continuous", minimum=2.5, maximum=2.5)


def fitted(generator, table, schema, seed=1):
    return generator.fit(table, schema=schema, budget=Budget(), rng=np.random.default_rng(seed))


@pytest.mark.parametrize("make", EVERY)
def test_equal_seeds_give_equal_tables_whatever_the_global_state(make):
    schema = probes.schemas()["mixed"]
    table = probes.table(schema, 50, np.random.default_rng(0))
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(fitted(make(TINY), table, schema).sample(50, rng=np.random.default_rng(0)))
        assert torch.initial_seed() == seed
    pd.testing.assert_frame_equal(*made)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("hidden", 7, "hidden must be even, got 7"),
        ("layers", -1, "layers must be a whole number >= 0, got -1"),
        ("steps", 0, "steps must be a whole number >= 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be > 0"),
        ("device", "tpu", "device must be one of auto, cpu, cuda, got 'tpu'"),
    ],
)
@pytest.mark.parametrize("make", EVERY)
def test_hyperparameters_are_checked_in_fit(make, option, value, message):
    schema = Schema((CONSTANT,))
    table = probes.table(schema, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        fitted(make(TINY | {option: value}), table, schema)


@pytest.mark.parametrize("make", EVERY)
def test_a_finite_budget_and_no_rows_are_refused(make):
    schema = Schema((CONSTANT,))
    generator = make(TINY)
    assert "privacy=none" in generator.skip(schema, Budget(1.0, 1e-5))
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        fitted(generator, probes.table(schema, 0, np.random.default_rng(0)), schema)


# Trainings cut short


class Killed(Exception):
    """What ends a training before its time."""


class Deadly(models.Checkpoint):
    """A checkpoint after whose second saving the training is killed."""

    saved = 0

    def save(self, state):
        super().save(state)
        self.saved += 1
        if self.saved == self.dies_at:
            raise Killed


@pytest.mark.parametrize("dies_at", [1, 3])
@pytest.mark.parametrize("make", EVERY)
def test_a_killed_training_ends_bit_identical_to_an_unbroken_one(tmp_path, make, dies_at):
    schema = probes.schemas()["mixed"]
    table = probes.table(schema, 90, np.random.default_rng(0))
    options = TINY | {"steps": 90, "batch": 32}
    whole = fitted(make(options), table, schema).sample(60, rng=np.random.default_rng(3))
    killed = make(options)
    killed.checkpoint = Deadly(tmp_path / "state", seconds=0)
    killed.checkpoint.dies_at = dies_at
    with pytest.raises(Killed):
        fitted(killed, table, schema)
    again = make(options)
    again.checkpoint = models.Checkpoint(tmp_path / "state", seconds=0)
    seen = []
    again.progress = lambda step, total, **losses: seen.append(step)
    made = fitted(again, table, schema).sample(60, rng=np.random.default_rng(3))
    assert min(seen) > 20 * dies_at
    pd.testing.assert_frame_equal(made, whole)
