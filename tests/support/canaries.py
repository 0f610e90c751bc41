"""Synthetic tables of which it is known what they leak, made from a table's own rows."""

import numpy as np
import pandas as pd


def fresh(train, population, schema, rng):
    """Rows that nobody trained on."""
    return drawn(population, len(train), rng)


def independent(train, population, schema, rng):
    """Every column shuffled on its own."""
    return schema.assemble({c.name: shuffled(train[c.name], rng) for c in schema})


def bootstrap(train, population, schema, rng):
    return train.iloc[rng.integers(len(train), size=len(train))].reset_index(drop=True)


def copy(train, population, schema, rng):
    return train


def copied(share):
    """Fresh rows, a share of them replaced by rows of train."""

    def make(train, population, schema, rng):
        count = round(share * len(train))
        rows = [drawn(train, count, rng), drawn(population, len(train) - count, rng)]
        return pd.concat(rows, ignore_index=True)

    return make


def resampled(share):
    """A bootstrap in which a share of the cells comes from other rows."""

    def make(train, population, schema, rng):
        table = bootstrap(train, population, schema, rng)
        columns = {}
        for column in schema:
            changed = rng.random(len(table)) < share
            other = shuffled(table[column.name], rng)
            columns[column.name] = table[column.name].where(~changed, other)
        return schema.conform(schema.assemble(columns))

    return make


def noised(deviations):
    """A bootstrap with Gaussian noise on every number, in standard deviations of its column."""

    def make(train, population, schema, rng):
        table = bootstrap(train, population, schema, rng)
        columns = {name: table[name] for name in schema.names}
        for column in schema:
            if not column.is_discrete:
                numbers = column.numbers(table[column.name])
                noise = rng.normal(scale=deviations * np.nanstd(numbers), size=len(numbers))
                columns[column.name] = column.from_numbers(numbers + noise)
        return schema.assemble(columns)

    return make


def histogram(epsilon, draws):
    """Draw from all cells of the public domain: counts with Laplace noise, smoothed upwards."""

    def make(train, population, schema, rng):
        sizes = [len(column.categories) for column in schema]
        codes = np.ravel_multi_index([c.codes(train[c.name]) for c in schema], sizes)
        counts = np.bincount(codes, minlength=int(np.prod(sizes)))
        noisy = np.maximum(counts + rng.laplace(scale=1 / epsilon, size=len(counts)), 0) + 3
        cells = rng.choice(len(noisy), size=draws * len(train), p=noisy / noisy.sum())
        values = zip(schema, np.unravel_index(cells, sizes), strict=True)
        return schema.assemble({c.name: c.from_codes(v) for c, v in values})

    return make


def drawn(table, count, rng):
    return table.iloc[rng.permutation(len(table))[:count]].reset_index(drop=True)


def shuffled(series, rng):
    return series.iloc[rng.permutation(len(series))].reset_index(drop=True)
