"""Every generator without a privacy mechanism on tables that nobody expects.

Tables of fixed shapes, each with one thing in excess, and tables that chance makes. What comes back
is valid, repeats, keeps its conditions, and takes nothing from the global random state.
"""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from odd_tables import CONSTANT, EMPTY, SHAPES, UNKNOWN, schemas, shape, survives, table

from syntharena.bench import config, targets
from syntharena.bench.schema import Schema
from syntharena.generators import selection

SPECS = {
    name: spec
    for name, spec in config.all_options("generator", preset="smoke").items()
    if "dp" not in spec["about"]["tags"]
}


def maker(name):
    if "torch" in SPECS[name]["about"]["preload"]:
        pytest.importorskip("torch")
    if "xgboost" in SPECS[name]["about"]["preload"]:
        pytest.importorskip("xgboost")
    return lambda: targets.build(SPECS[name], ("fit", "sample"))


def global_states():
    states = [np.random.get_state()[1].tolist()]  # noqa: NPY002
    if find_spec("torch"):
        import torch

        states.append(torch.get_rng_state().tolist())
    return states


@pytest.fixture(scope="module", autouse=True)
def few_candidates():
    """Draw no thousands of rows to select seven from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "FEWEST", 50)
        yield


@pytest.fixture(autouse=True)
def no_global_draws():
    before = global_states()
    yield
    assert global_states() == before


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("kind", SHAPES)
def test_every_shape_survives(kind, name):
    schema, train = shape(kind)
    survives(maker(name), schema, train, seed=0, sizes=(0, 1, 40))


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=3, deadline=None)
@given(schema=schemas(), rows=st.integers(1, 40), seed=st.integers(0, 2**32))
@example(schema=Schema((EMPTY,)), rows=1, seed=0)
@example(schema=Schema((UNKNOWN, CONSTANT, EMPTY)), rows=3, seed=3)
@example(schema=Schema((CONSTANT, UNKNOWN), "unknown", "regression"), rows=9, seed=3)
def test_every_table_survives(name, schema, rows, seed):
    survives(maker(name), schema, table(schema, rows, seed), seed, sizes=(0, 1, 3 * rows + 1))
