"""The contract tests for generators, evaluators and datasets, ours or a stranger's.

Each check runs in a process of its own under a time limit, so that code which crashes or hangs
fails its check and nothing else. ``syntharena check`` prints the findings; the tests assert them.
"""

from __future__ import annotations

import inspect
import math
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import claim, probes, process, targets
from .answers import refusal, sort_values
from .contracts import Budget, Measured
from .data import datasets
from .data.splits import release_split
from .schema import Schema

SECONDS = 60.0  # for one check, unless a caller allows more
SEED = 20260101
BUDGETS = {"no privacy": Budget(), "epsilon 1": Budget(1.0, 1e-5)}
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """What one check showed; ``outcome`` is "pass", "fail" or "skip"."""

    name: str
    outcome: str
    detail: str = ""


class Skipped(Exception):
    """The check does not apply; the text says why."""


def generator(spec: Spec, seconds: float = SECONDS) -> Iterator[Finding]:
    """Check that a generator keeps its contract, on every probe table and budget."""
    yield _check("can be built", lambda: _need(targets.build(spec, ("fit", "sample"))), seconds)
    for name, schema in probes.schemas().items():
        for label, budget in BUDGETS.items():
            yield _check(
                f"{name} table, {label}",
                lambda s=schema, b=budget: _generator_on(spec, s, b, probes.ROWS),
                seconds,
            )
    mixed = probes.schemas()["mixed"]
    yield _check(
        "one row of training data", lambda: _generator_on(spec, mixed, Budget(), 1), seconds
    )


def _need(value: Any) -> None:
    if value is None:
        raise AssertionError("nothing was built")


def _generator_on(spec: Spec, schema: Schema, budget: Budget, rows: int) -> None:
    train = probes.table(schema, rows, np.random.default_rng(SEED))
    first, generator = _fit_and_sample(spec, schema, budget, train)
    untouched = _global_random_state()  # the first time, importing a library may have moved it
    second, _ = _fit_and_sample(spec, schema, budget, train)
    _expect(
        _global_random_state() == untouched,
        "global random state was used; draw from the rng that is handed in",
    )
    _expect(schema.digest(first) == schema.digest(second), "equal seeds give unequal rows")
    other = schema.conform(generator.sample(len(train), rng=np.random.default_rng(SEED + 2)))
    again = schema.conform(generator.sample(len(train), rng=np.random.default_rng(SEED + 2)))
    _expect(schema.digest(other) == schema.digest(again), "sample() depends on earlier calls")
    for n in (0, 1, 3 * rows):
        problems = schema.problems(generator.sample(n, rng=np.random.default_rng(SEED)), n)
        _expect(not problems, f"sample({n}): {'; '.join(problems)}")
    _check_conditions(generator, schema, train)


def _fit_and_sample(
    spec: Spec, schema: Schema, budget: Budget, train: pd.DataFrame
) -> tuple[pd.DataFrame, Any]:
    generator = targets.build(spec, ("fit", "sample"))
    if reason := refusal(generator, schema, budget):
        _expect(isinstance(reason, str), f"skip() gives a text or None, got {reason!r}")
        raise Skipped(reason)
    before = schema.digest(train)
    fitted = generator.fit(train, schema=schema, budget=budget, rng=np.random.default_rng(SEED))
    _expect(fitted is generator, "fit() must return self")
    _expect(schema.digest(train) == before, "fit() changed the training table")
    if budget.is_private:
        problem = claim.violation(claim.account(generator, budget), budget)
        _expect(problem is None, str(problem))
    table = generator.sample(len(train), rng=np.random.default_rng(SEED + 1))
    problems = schema.problems(table, len(train))
    _expect(not problems, "; ".join(problems))
    pickle.loads(pickle.dumps(generator))
    return schema.conform(table), generator


def _global_random_state() -> tuple[Any, str]:
    with np.printoptions(threshold=10_000):
        return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - must stay unused


def _check_conditions(generator: Any, schema: Schema, train: pd.DataFrame) -> None:
    if "conditions" not in inspect.signature(generator.sample).parameters:
        return
    wanted = train[[schema.names[-1]]]
    table = generator.sample(len(train), rng=np.random.default_rng(SEED), conditions=wanted)
    kept = schema.conform(table, len(train))[wanted.columns].equals(wanted)
    _expect(kept, "sample(conditions=...) changed the values it was given")


def evaluator(spec: Spec, seconds: float = SECONDS) -> Iterator[Finding]:
    """Check that an evaluator keeps its contract, on every probe table."""
    yield _check("can be built", lambda: _need(targets.build(spec, ("evaluate",)).metrics), seconds)
    for name, schema in probes.schemas().items():
        for case in ("alike", "one value", "one row", "all missing"):
            yield _check(
                f"{name} table, synthetic rows: {case}",
                lambda s=schema, c=case: _evaluator_on(spec, s, c),
                seconds,
            )


def _evaluator_on(spec: Spec, schema: Schema, case: str) -> None:
    given = probes.tables(schema, np.random.default_rng(SEED))
    given = probes.with_synthetic(given, _degenerate(schema, given.synthetic, case))
    before = [schema.digest(t) for t in (given.train, given.holdout, given.synthetic)]
    results = []
    for _ in range(2):
        evaluator = targets.build(spec, ("evaluate",))
        fresh = probes.with_synthetic(given, given.synthetic)
        rng = np.random.default_rng(SEED)
        values = evaluator.evaluate(fresh, schema=schema, rng=rng)
        for key, entry in values.items():
            value = entry.value if isinstance(entry, Measured) else entry
            good = isinstance(value, str) or math.isfinite(value)
            _expect(good, f"{key} is {value!r}; state a reason as a text instead")
        sorted_ = sort_values("checked", evaluator.metrics, values)
        wrong = [
            f"{key}: {reason}"
            for key, reason in sorted_["unavailable"].items()
            if values.get(key) != reason
        ]
        _expect(not wrong, "; ".join(wrong))
        results.append(dict(values))
    costs = ("_seconds", "_per_second", "_mib", "_count")
    stable = [{k: v for k, v in r.items() if not k.endswith(costs)} for r in results]
    _expect(stable[0] == stable[1], "equal seeds give unequal values")
    after = [schema.digest(t) for t in (given.train, given.holdout, given.synthetic)]
    _expect(before == after, "evaluate() changed a table")


def _degenerate(schema: Schema, table: pd.DataFrame, case: str) -> pd.DataFrame:
    if case == "one value":
        return table.iloc[[0] * len(table)].reset_index(drop=True)
    if case == "one row":
        return table.iloc[:1].reset_index(drop=True)
    if case == "all missing":
        n = len(table)
        absent = {
            c.name: c.from_codes(np.full(n, -1))
            if c.is_discrete
            else c.from_numbers(np.full(n, np.nan))
            for c in schema
            if c.missing
        }
        return schema.assemble({**{name: table[name] for name in schema.names}, **absent})
    return table


def dataset(
    spec: Spec, data_dir: Path | None, cache_dir: Path, seconds: float = SECONDS
) -> Iterator[Finding]:
    """Check that a dataset loads as pinned, fits its Schema and splits into disjoint parts."""
    for field in () if "guessed" in spec else ("summary", "licence", "citation"):
        yield _check(
            f"states its {field}", lambda f=field: _expect(bool(spec.get(f)), "empty"), seconds
        )
    yield _check(
        "loads as pinned, fits its Schema and splits",
        lambda: _dataset_loads(spec, data_dir, cache_dir),
        seconds,
    )


def _dataset_loads(spec: Spec, data_dir: Path | None, cache_dir: Path) -> None:
    try:
        datasets.locate(spec, data_dir=data_dir, cache_dir=cache_dir, download=False)
    except datasets.DatasetError as error:
        raise Skipped(str(error)) from error
    loaded = datasets.load(spec, data_dir=data_dir, cache_dir=cache_dir, download=False)
    problems = loaded.schema.problems(loaded.table)
    _expect(not problems, "; ".join(problems))
    if loaded.schema.target is not None:
        distinct = loaded.table[loaded.schema.target].nunique()
        _expect(distinct > 1, f"the target {loaded.schema.target!r} is constant")
    fractions = {"train": 0.6, "holdout": 0.15, "reference": 0.1, "fresh": 0.15}
    parts = release_split(
        loaded,
        fractions=fractions,
        split="random",
        duplicates="free",
        rng=np.random.default_rng(SEED),
    )
    total = sum(map(len, parts.values()))
    _expect(total == len(loaded.table), f"the parts hold {total} of {len(loaded.table)} rows")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _check(name: str, call: Callable[[], None], seconds: float) -> Finding:
    """Run one check in a process of its own."""

    def task(report: process.Report) -> None:
        try:
            call()
        except Skipped as reason:
            report(outcome="skip", detail=str(reason))
        except AssertionError as error:
            report(outcome="fail", detail=str(error))
        except BaseException as error:
            report(outcome="fail", detail=f"{type(error).__name__}: {error}")
        else:
            report(outcome="pass", detail="")

    outcome = process.run(task, process.Limits(seconds=seconds))
    for message in outcome.messages:
        return Finding(name, **message)
    if outcome.ended == "timeout":
        reason = f"it was not done in {seconds:g} s; if that is how long it takes, allow more"
        return Finding(name, "fail", f"{reason} (--seconds)")
    reason = f"the process ended by {outcome.ended} (exit code {outcome.exit_code})"
    return Finding(name, "fail", reason)
