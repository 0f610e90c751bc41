"""Generators and evaluators that tell how they fare in an environment of their own."""

import os
import time
from pathlib import Path

import numpy as np
import waterlily

from syntharena.bench.contracts import Measured, Metric
from syntharena.bench.ledger import Event

# Each import leaves a line, so that tests can count them.
if (log := os.environ.get("TRAVELLERS_LOG")) is not None:
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")


class Traveller:
    """A bootstrap that needs what only the environment has."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def fit(self, train, *, schema, budget, rng):
        assert waterlily.grow(2) == 4
        time.sleep(self.seconds)
        self.train = train
        return self

    def sample(self, n, *, rng):
        return self.train.iloc[rng.integers(len(self.train), size=n)].reset_index(drop=True)


class GlobalDraws(Traveller):
    """Draws from the global random state, as many libraries do."""

    def sample(self, n, *, rng):
        rows = np.random.randint(len(self.train), size=n)  # noqa: NPY002
        return self.train.iloc[rows].reset_index(drop=True)


class Private(Traveller):
    """States a ledger, a claim, a release and a trace."""

    ledger = ()
    watched = None

    def skip(self, schema, budget):
        return "it wants a label" if schema.target is None else None

    def fit(self, train, *, schema, budget, rng):
        self.ledger = [Event("laplace", 1.0, 1.0 / budget.epsilon, purpose="a count")]
        self.claimed_epsilon = budget.epsilon
        self.release = {"noise": rng.laplace(size=3)}
        if self.watched is not None:
            self.trace = float(len(self.watched[1]) - len(self.watched[0]))
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Conditional(Traveller):
    def sample(self, n, *, rng, conditions=None):
        table = super().sample(n, rng=rng)
        for name in () if conditions is None else conditions:
            table[name] = conditions[name].to_numpy()
        return table


class Saver(Traveller):
    """Walks for a hundred steps and leaves a checkpoint at each."""

    checkpoint = None

    def fit(self, train, *, schema, budget, rng):
        begun, self.at = 0, 0.0
        if (kept := self.checkpoint.load()) is not None:
            begun, self.at, rng.bit_generator.state = kept
        for step in range(begun, 100):
            self.at += rng.normal()
            self.progress(step + 1, 100)
            self.checkpoint.save(lambda step=step: (step + 1, self.at, rng.bit_generator.state))
            time.sleep(self.seconds / 100)
        return super().fit(train, schema=schema, budget=budget, rng=rng)

    def sample(self, n, *, rng):
        return super().sample(n, rng=rng).assign(x=np.round(np.clip(self.at, -6, 6), 3))


class Unpicklable(Traveller):
    def __getstate__(self):
        raise TypeError("no way")


class Burner(Traveller):
    """Uses up a second of CPU time and memory that can be seen."""

    def fit(self, train, *, schema, budget, rng):
        hoard = np.ones(20_000_000)
        end = time.process_time() + 1.0
        while time.process_time() < end:
            hoard[:1000].sum()
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Meter:
    """An evaluator: how many synthetic rows there are, and how many there should be."""

    metrics = (
        Metric("share_of_rows_score", "fidelity", best=1.0, worst=0.0, definition="rows"),
        Metric("luck_score", "fidelity", best=1.0, worst=0.0, definition="a random number"),
        Metric("none_score", "fidelity", best=1.0, worst=0.0, definition="never there"),
    )

    def evaluate(self, tables, *, schema, rng):
        share = len(tables.synthetic) / len(tables.train)
        return {
            "share_of_rows_score": Measured(share, share / 2, 1.0),
            "luck_score": rng.random(),
            "none_score": f"never, but waterlily is {waterlily.VERSION}",
        }
