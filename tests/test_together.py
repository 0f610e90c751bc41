"""Many seeds in one batch end as each of them alone, but for the order of sums."""

import numpy as np
import pandas as pd
import pytest
from brief import GENERATORS

from syntharena.bench import targets
from syntharena.bench.contracts import Budget
from syntharena.bench.schema import Column, Schema
from syntharena.generators.networks import network

torch = pytest.importorskip("torch")
seeds = pytest.importorskip("syntharena.generators.networks.seeds")
room = pytest.importorskip("syntharena.generators.networks.room")

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


@pytest.mark.parametrize("name", LONGER)
def test_print(name, batches):
    tables = [people(rows, seed) for seed, rows in enumerate(ROWS)]
    ones = apart(built(name, 3), tables)
    batches.clear()
    others = together(built(name, 3), tables)
    print(
        name,
        batches,
        [f"{distance(a, b):.1e}" for a, b in zip(ones, others)],
        [f"{unlike(a, b):.1e}" for a, b in zip(ones, others)],
    )
    same = [tables[0]] * 3
    ones = apart(built(name, 3), same)
    batches.clear()
    others = together(built(name, 3), same)
    print(
        name,
        batches,
        [f"{distance(a, b):.1e}" for a, b in zip(ones, others)],
        [f"{unlike(a, b):.1e}" for a, b in zip(ones, others)],
    )
