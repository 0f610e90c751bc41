"""Private generators that promise more than they keep, for audits as cells."""

from syntharena.bench.ledger import Event
from syntharena.generators.dp_marginals import DpMarginals


class TenTimesTooLittleNoise(DpMarginals):
    """States one ledger and adds a tenth of its noise."""

    def __init__(self):
        super().__init__(discretiser="uniform")  # the same bins with and without noise

    def fit(self, train, *, schema, budget, rng):
        exact = DpMarginals(discretiser="uniform").fit(
            train, schema=schema, budget=type(budget)(), rng=rng
        )
        super().fit(train, schema=schema, budget=budget, rng=rng)
        self.counts_ = [
            true + (noisy - true) / 10
            for true, noisy in zip(exact.counts_, self.counts_, strict=True)
        ]
        self.ledger = [
            Event("gaussian", event.sensitivity, event.scale, event.count, purpose=event.purpose)
            for event in self.ledger
        ]
        return self


class LearnsCategories(DpMarginals):
    """Keeps the categories that it saw."""

    def fit(self, train, *, schema, budget, rng):
        self.seen_ = [
            list(train[column.name].cat.categories) for column in schema if column.is_discrete
        ]
        return super().fit(train, schema=schema, budget=budget, rng=rng)


class Overspends(DpMarginals):
    """Says in its ledger that it spent twice the budget."""

    def fit(self, train, *, schema, budget, rng):
        super().fit(train, schema=schema, budget=budget, rng=rng)
        if budget.is_private:
            self.ledger = [Event("pure", 1.0, 1 / (2 * budget.epsilon))]
        return self


class CopiesUnderAPromise(DpMarginals):
    """Hands out its training rows, and states the ledger of an honest generator."""

    def fit(self, train, *, schema, budget, rng):
        super().fit(train, schema=schema, budget=budget, rng=rng)
        self.rows_ = train.copy() if _inside(train, schema) else None
        return self

    def sample(self, n, *, rng):
        if self.rows_ is None:
            return super().sample(n, rng=rng)
        return self.rows_.iloc[rng.integers(len(self.rows_), size=n)].reset_index(drop=True)


def _inside(train, schema):
    return not schema.problems(train)
