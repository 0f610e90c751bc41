"""Tables whose truth is known, and how far a synthetic one is from it.

Every ``Truth`` draws its table and measures errors of any other table under its Schema, each 0 for
the truth itself and for a large sample of it nearly so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from syntharena.bench.schema import Column, Schema


@dataclass(frozen=True)
class Truth:
    """A distribution.

    Parameters
    ----------
    schema : Schema
        Of its tables.
    draw : callable
        (rows, rng) to a canonical table.
    errors : callable
        A canonical table to errors by name, each in [0, 1].
    """

    schema: Schema
    draw: Callable[[int, np.random.Generator], pd.DataFrame]
    errors: Callable[[pd.DataFrame], dict[str, float]]


def letters(name, count):
    return Column(name, "categorical", tuple(f"{name}{i}" for i in range(count)))


# Interactions: c is the exclusive or of a and b with chance 0.95, so no pair of columns tells of
# the third; x is normal with standard deviation 1 around one of three means, chosen by a + b.

MEANS = np.array([-6.0, 0.0, 6.0])
FAITHFUL = 0.95
INTERACTING = Schema(
    (letters("a", 2), letters("b", 2), letters("c", 2), Column("x", "continuous")),
    target="c",
    task="binary",
)


def draw_interactions(n, rng):
    a, b = rng.integers(0, 2, size=(2, n))
    c = np.where(rng.random(n) < FAITHFUL, a ^ b, 1 - (a ^ b))
    x = MEANS[a + b] + rng.standard_normal(n)
    columns = {"a": a, "b": b, "c": c}
    made = {name: INTERACTING[name].from_codes(codes) for name, codes in columns.items()}
    return INTERACTING.assemble({**made, "x": INTERACTING["x"].from_numbers(x)})


def interaction_errors(table):
    a, b, c = (table[name].cat.codes.to_numpy(dtype=np.int64) for name in "abc")
    seen = np.bincount(4 * a + 2 * b + c, minlength=8) / len(table)
    true = np.array(
        [(FAITHFUL if c == a ^ b else 1 - FAITHFUL) / 4 for a, b, c in np.ndindex(2, 2, 2)]
    )
    apart = []
    for mean, total in zip(MEANS, range(3), strict=True):
        x = table["x"].to_numpy()[a + b == total]
        apart.append(stats.kstest(x, stats.norm(mean).cdf).statistic if len(x) else 1.0)
    return {"joint": np.abs(seen - true).sum() / 2, "modes": max(apart)}


# Gaussian: four correlated columns.

CORRELATION = np.array(
    [[1.0, 0.8, -0.5, 0.0], [0.8, 1.0, -0.3, 0.2], [-0.5, -0.3, 1.0, 0.6], [0.0, 0.2, 0.6, 1.0]]
)
SCALES = np.array([1.0, 100.0, 0.01, 5.0])
GAUSSIAN = Schema(tuple(Column(name, "continuous") for name in "pqrs"))


def draw_gaussian(n, rng):
    rows = rng.multivariate_normal(np.zeros(4), CORRELATION, size=n) * SCALES
    return GAUSSIAN.assemble(
        {c.name: c.from_numbers(x) for c, x in zip(GAUSSIAN, rows.T, strict=True)}
    )


def gaussian_errors(table):
    rows = table.to_numpy() / SCALES
    with np.errstate(invalid="ignore"):
        gap = np.abs(np.corrcoef(rows.T) - CORRELATION).max() / 2
    apart = max(stats.kstest(x, stats.norm.cdf).statistic for x in rows.T)
    return {"correlation": float(np.nan_to_num(gap, nan=1.0)), "margins": apart}


# Dependence: the city decides the country, and twice the net amount is the gross one.

COUNTRIES = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])
DEPENDENT = Schema(
    (
        letters("city", 10),
        letters("country", 4),
        Column("net", "integer", minimum=0, maximum=99),
        Column("gross", "integer", minimum=0, maximum=198),
    )
)


def draw_dependence(n, rng):
    city = rng.integers(0, 10, n)
    net = rng.integers(0, 100, n)
    made = {"city": city, "country": COUNTRIES[city]}
    columns = {name: DEPENDENT[name].from_codes(codes) for name, codes in made.items()}
    columns |= {"net": DEPENDENT["net"].from_numbers(net)}
    return DEPENDENT.assemble(columns | {"gross": DEPENDENT["gross"].from_numbers(2 * net)})


def dependence_errors(table):
    city, country = (table[name].cat.codes.to_numpy() for name in ("city", "country"))
    gap = np.abs(table["gross"] - 2 * table["net"]).mean() / 66  # of independent columns
    return {
        "category": float((COUNTRIES[city] != country).mean()),
        "number": float(min(1.0, gap)),
    }


# Rare: one row in fifty has a category of its own, whose numbers lie elsewhere.

SHARE = 0.02
RARE = Schema(
    (letters("kind", 3), Column("size", "continuous", minimum=-20, maximum=40)),
    target="kind",
    task="multiclass",
)


def draw_rare(n, rng):
    kind = np.where(rng.random(n) < SHARE, 2, rng.integers(0, 2, n))
    size = np.where(kind == 2, 20.0, 5.0 * kind) + rng.standard_normal(n)
    columns = {"kind": RARE["kind"].from_codes(kind), "size": RARE["size"].from_numbers(size)}
    return RARE.assemble(columns)


def rare_errors(table):
    rare = table["kind"].cat.codes.to_numpy() == 2
    share = rare.mean()
    sizes = table["size"].to_numpy()[rare]
    apart = stats.kstest(sizes, stats.norm(20).cdf).statistic if len(sizes) else 1.0
    return {"share": min(1.0, abs(share - SHARE) / SHARE), "place": apart}


TRUTHS = {
    "interactions": Truth(INTERACTING, draw_interactions, interaction_errors),
    "gaussian": Truth(GAUSSIAN, draw_gaussian, gaussian_errors),
    "dependence": Truth(DEPENDENT, draw_dependence, dependence_errors),
    "rare": Truth(RARE, draw_rare, rare_errors),
}
