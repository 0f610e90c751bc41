"""Toy generators of which it is known what they leak: histograms over one public column."""

import numpy as np
import pandas as pd

from syntharena.bench.ledger import Event
from syntharena.bench.schema import Column, Schema

CELLS = 50
SCHEMA = Schema((Column("cell", "categorical", tuple(f"c{i}" for i in range(CELLS))),))


def cells(codes):
    return pd.DataFrame({"cell": SCHEMA["cell"].from_codes(np.asarray(codes))})


class Histogram:
    """Counts with Laplace noise of scale 1 / (factor * epsilon): honest for a factor of 1."""

    ledger = ()

    def __init__(self, factor=1.0):
        self.factor = factor

    def scale(self, train, budget):
        return 1 / (self.factor * budget.epsilon)

    def fit(self, train, *, schema, budget, rng):
        self.schema_ = schema
        codes = train["cell"].cat.codes.to_numpy()
        counts = np.bincount(codes[(codes >= 0) & (codes < CELLS)], minlength=CELLS)
        self.counts_ = counts + rng.laplace(scale=self.scale(train, budget), size=CELLS)
        return self

    @property
    def release(self):
        return {"counts of cell": self.counts_}

    def sample(self, n, *, rng):
        positive = np.maximum(self.counts_, 0) + 1e-12
        drawn = rng.choice(CELLS, size=n, p=positive / positive.sum())
        return self.schema_.assemble({"cell": self.schema_["cell"].from_codes(drawn)})


class DividedByRows(Histogram):
    """The noise of a share on a count: too small by the number of rows."""

    def scale(self, train, budget):
        return 1 / (len(train) * budget.epsilon)


class Nosy:
    """Takes from the rows what should come from the Schema, as told by ``looks_at``."""

    ledger = ()

    def __init__(self, looks_at):
        self.looks_at = looks_at

    def fit(self, train, *, schema, budget, rng):
        self.schema_ = schema
        look = getattr(self, f"_{self.looks_at}")
        self.learned_ = look(train)
        return self

    def _nothing(self, train):
        return None

    def _categories(self, train):
        return list(train["city"].cat.categories)

    def _support(self, train):
        return {"seen": np.array(train["city"].astype(str).unique())}

    def _maximum(self, train):
        return float(train["height"].max())

    def _bounds(self, train):
        return train["height"].to_numpy().astype("float32")[-1:]

    def _rows(self, train):
        return {"step": [1, len(train)]}

    def _length(self, train):
        return [0.0] * len(train)

    def _rate(self, train):
        self.ledger = (Event("gaussian", 1.0, 9.0, sampling_rate=64 / len(train)),)

    def _crash(self, train):
        codes = train["city"].cat.codes.to_numpy()
        np.zeros(len(self.schema_["city"].categories))[codes] += 1

    def _release(self, train):
        self.release = {"city": np.zeros(len(train["city"].cat.categories))}

    def sample(self, n, *, rng):
        columns = {}
        for column in self.schema_:
            if column.is_discrete:
                codes = rng.integers(max(1, len(column.categories)), size=n)
                columns[column.name] = column.from_codes(codes if column.categories else codes - 1)
            else:
                columns[column.name] = column.from_numbers(
                    rng.uniform(column.lower, column.upper, size=n)
                )
        rows = self.schema_.assemble(columns)
        if self.looks_at == "categories":
            dtype = pd.CategoricalDtype(pd.Index(self.learned_, dtype=object))
            rows["city"] = rows["city"].astype(dtype)
            rows.loc[0, "city"] = self.learned_[-1]
        if self.looks_at == "maximum":
            rows.loc[0, "height"] = self.learned_
        return rows
