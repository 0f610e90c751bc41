"""Generators whose hyperparameters are worth a search, and some that break in it."""

import os
import signal
import time

from syntharena.bench.tuning import Search, Tuning

SHAPE = {"_target_": "syntharena.evaluators.shape.Shape", "about": {"version": 1}}
SPACE = {"noise": {"low": 0.0, "high": 1.0}, "way": {"choices": [["a", 1], ["b", 2]]}}


def rule(**fields):
    objective = {task: ["shape_score"] for task in ("binary", "multiclass", "regression", "none")}
    given = {"objective": objective, "evaluators": {"shape": SHAPE}, "seconds": 600.0}
    once = {"validation_rows": 1}
    return Search(**given | once | fields)


def tuning(trials=6, how="private", stand_in=None, **fields):
    return Tuning(how, stand_in, trials, rule(**fields))


def spec(name="Dial", **hyperparameters):
    given = {"noise": 0.5, "way": ["a", 1], "search": SPACE} | hyperparameters
    return {"_target_": f"searched.{name}", "about": {"name": "dial", "version": 1}, **given}


class Dial:
    """A bootstrap that is off by so much."""

    def __init__(self, noise, way):
        self.noise = noise
        self.way = way

    def fit(self, train, *, schema, budget, rng):
        self.train_ = train.copy()
        return self

    def sample(self, n, *, rng):
        rows = self.train_.iloc[rng.integers(len(self.train_), size=n)].reset_index(drop=True)
        return rows.assign(x=(rows["x"] + 3 * self.noise).clip(upper=6.0).round(3))


class Moody(Dial):
    """Breaks in a way of its own wherever there is more noise than a quarter."""

    def __init__(self, noise, way, breaks):
        super().__init__(noise, way)
        self.breaks = breaks

    def fit(self, train, *, schema, budget, rng):
        if self.noise > 0.25:
            match self.breaks:
                case "raises":
                    raise ValueError("too much noise")
                case "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hangs":
                    time.sleep(600)
                case "swells":
                    hoard = []
                    while True:
                        hoard.append(b"x" * 20_000_000)
                case "invents":
                    self.invents = True
        return super().fit(train, schema=schema, budget=budget, rng=rng)

    def sample(self, n, *, rng):
        table = super().sample(n, rng=rng)
        return table.assign(x=1e9) if hasattr(self, "invents") else table


class Slow(Dial):
    """Takes a second, and can be looked at meanwhile."""

    def fit(self, train, *, schema, budget, rng):
        super().fit(train, schema=schema, budget=budget, rng=rng)
        for step in range(20):
            time.sleep(0.02)
            self.progress(step + 1, 20, loss=0.0)
        return self

    def snapshot(self):
        """All is there from the beginning."""


class Spy(Dial):
    """Writes down what it was fitted on, as often as it is."""

    def fit(self, train, *, schema, budget, rng):
        folder = os.environ["SYNTHARENA_SPY"]
        train.to_parquet(os.path.join(folder, f"{time.monotonic_ns()}.parquet"))
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Sworn(Dial):
    """Has a ledger, and spends what it is handed."""

    def fit(self, train, *, schema, budget, rng):
        self.budget_ = budget
        return super().fit(train, schema=schema, budget=budget, rng=rng)

    @property
    def ledger(self):
        from syntharena.bench.ledger import Event

        return [Event("laplace", 1.0, 1.0 / self.budget_.epsilon)]
