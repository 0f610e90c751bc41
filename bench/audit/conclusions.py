"""Conclusions: from the records of audit cells to one verdict on each generator and budget.

Blocks of runs of the same audit are joined; a generator that was audited on several pairs, from
outside and from inside, is judged by the strongest of these attacks, each at a confidence that
makes them hold together. So are all claims among the records: with 95 % no honest generator of a
whole board is called a violator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..accountant import delta_of
from ..boards.grid import setting_of
from ..canonical import digest
from ..contracts import Budget
from ..ledger import Event
from ..tuning import Tuning
from . import one_run
from .estimates import CONFIDENCE, Estimate, Profile, estimate, refutes, strongest, verdict
from .runs import Runs, pool

FEWEST = 10  # runs in a block below which no bound is computed


@dataclass(frozen=True)
class Conclusion:
    """What the audits of one generator under one budget have shown.

    Parameters
    ----------
    generator : str
        Its label.
    setting : str
        What was fitted (``grid.setting_of``).
    epsilon, delta : float
        The claim; where trials are charged, of all together.
    neighbours : str
        Its relation.
    worlds : tuple of str
        What was audited: pairs and datasets.
    fits : int
        In both worlds together.
    found : Estimate
        The strongest attack.
    leaks : tuple of str
        Where a record outside the Schema was recognised.
    verdict : str
        ``consistent``, ``VIOLATION`` or ``inconclusive``; a leak is a violation.
    """

    generator: str
    setting: str
    epsilon: float
    delta: float
    neighbours: str
    worlds: tuple[str, ...]
    fits: int
    found: Estimate
    leaks: tuple[str, ...]
    verdict: str


def conclude(
    runs: Runs, delta: float, profile: Profile | None = None, share: float = 1.0
) -> Estimate | None:
    """Bound epsilon by every attack that the runs allow; None where they are too few.

    Parameters
    ----------
    runs : Runs
        Of one pair.
    delta : float
        Of the claim.
    profile : callable, optional
        Delta by epsilon of the ledger.
    share : float
        Of what is missing to full confidence that these attacks may use up, in (0, 1].
    """
    if len(runs.numbers) < FEWEST:
        return None
    confidence = 1 - (1 - CONFIDENCE) * share / len(runs.sides)
    return strongest(
        [
            estimate(*runs.scores(side), delta=delta, confidence=confidence, profile=profile)
            for side in runs.sides
        ]
    )


def conclude_guesses(
    guesses: Mapping[str, Any], delta: float, profile: Profile | None = None, share: float = 1.0
) -> Estimate:
    """Bound epsilon by every attack on the canaries of one fit; as ``conclude``.

    Parameters
    ----------
    guesses : mapping
        ``scores``, those of each attack by name, and ``included``, the coins.
    """
    scores, included = guesses["scores"], np.array(guesses["included"])
    confidence = 1 - (1 - CONFIDENCE) * share / len(scores)
    return strongest(
        [
            one_run.estimate(
                np.array(found), included, delta=delta, confidence=confidence, profile=profile
            )
            for found in scores.values()
        ]
    )


def conclusions(records: Iterable[Mapping[str, Any]]) -> list[Conclusion]:
    """Conclude from every audit among ``records``; other records are passed over."""
    audited: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in sorted(records, key=lambda record: record["key"]):
        if record["status"] == "ok" and record.get("audit"):
            audited[_claim(record)][_world(record)].append(record)
    found = (_conclusion(claim, worlds, len(audited)) for claim, worlds in audited.items())
    kept = [conclusion for conclusion in found if conclusion is not None]
    return sorted(kept, key=lambda c: (c.epsilon, c.delta, c.neighbours, c.generator, c.setting))


def _claim(record: Mapping[str, Any]) -> tuple[Any, ...]:
    budget = record["cell"]["budget"]
    name = record["names"]["generator"]
    return (
        name,
        setting_of(record["cell"]),
        float(budget["epsilon"]),
        float(budget["delta"]),
        budget["neighbours"],
    )


def _world(record: Mapping[str, Any]) -> str:
    """Return what two blocks must agree in to be joined."""
    cell = record["cell"]
    parts = {"scenario": cell["scenario"], "dataset": cell["dataset"], "split": _split(cell)}
    return digest(parts)


def _split(cell: Mapping[str, Any]) -> Any:
    """Return the seed of the rows that an outlier pair is made of; others are joined across it."""
    outlier = cell["scenario"]["hyperparameters"].get("pair") == "outlier"
    return cell["seeds"]["split"] if outlier else None


def _conclusion(
    claim: tuple[Any, ...], worlds: Mapping[str, Sequence[Mapping[str, Any]]], claims: int
) -> Conclusion | None:
    handed = _handed(next(iter(worlds.values()))[0])
    best = _of_worlds(worlds, handed.delta, 1.0)
    if best is None:
        return None
    contested = refutes(handed.epsilon, best)
    sure = _of_worlds(worlds, handed.delta, 1 / claims) if contested else best
    leaks = {
        f"{leak['place']} ({leak['where']}): {leak['seen']}"
        for block in worlds.values()
        for record in block
        for leak in record["audit"]["leaks"]
    }
    return Conclusion(
        *claim,
        worlds=tuple(sorted({_name(block[0]) for block in worlds.values()})),
        fits=sum(map(_fits, worlds.values())),
        found=best,
        leaks=tuple(sorted(leaks)),
        verdict="VIOLATION" if leaks else verdict(handed.epsilon, best, sure),
    )


def _of_worlds(
    worlds: Mapping[str, Sequence[Mapping[str, Any]]], delta: float, share: float
) -> Estimate | None:
    found = [_of_world(block, delta, share / len(worlds)) for block in worlds.values()]
    shown = [one for one in found if one is not None]
    return strongest(shown) if shown else None


def _of_world(block: Sequence[Mapping[str, Any]], delta: float, share: float) -> Estimate | None:
    """Conclude from the records of one world: runs are joined, single fits judged one by one."""
    profile = _profile(block[0])
    if "runs" in block[0]["audit"]:
        runs = pool([Runs.from_json(record["audit"]["runs"]) for record in block])
        return conclude(runs, delta, profile, share)
    guesses = _fitted_once(block)
    return strongest([conclude_guesses(g, delta, profile, share / len(guesses)) for g in guesses])


def _fitted_once(block: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the guesses of every single fit, one for each that was recorded again."""
    fits = {}
    for record in block:
        seeds = record["cell"]["seeds"]
        fits[seeds["split"], seeds["train"]] = record["audit"]["guesses"]
    return list(fits.values())


def _fits(block: Sequence[Mapping[str, Any]]) -> int:
    if "runs" in block[0]["audit"]:
        return 2 * len({n for record in block for n in record["audit"]["runs"]["numbers"]})
    return len(_fitted_once(block))


def _name(record: Mapping[str, Any]) -> str:
    audit, dataset = record["audit"], record["names"]["dataset"]
    if "guesses" in audit:
        return f"{len(audit['guesses']['included'])} canaries, {dataset}"
    pair = record["cell"]["scenario"]["hyperparameters"].get("pair", "tiny")
    return f"{pair} pair, {dataset}"


def _handed(record: Mapping[str, Any]) -> Budget:
    """Return the budget of a single fit, which is what its audit judges."""
    tuning = Tuning.of(record["cell"].get("tuning", {}))
    return tuning.handed(Budget(**record["cell"]["budget"]))


def _profile(record: Mapping[str, Any]) -> Profile:
    events = [Event(**event) for event in record["privacy"]["ledger"]]
    budget = _handed(record)
    return delta_of(events, budget.delta, budget.neighbours)
