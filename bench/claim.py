"""The privacy claim of a cell: what was asked, what the ledger spends, what the generator says.

Three numbers that should agree and often do not: the target is the budget's epsilon, the spent one
is computed here from the ledger, the claimed one is the generator's own word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .accountant import spent
from .contracts import Budget
from .ledger import FLOATING_POINT, RESERVED, Event
from .tuning import Tuning

SLACK = 1e-6  # relative; what root finding and rounding may cost
UNTUNED = Tuning()
WORD_SLACK = 1e-3  # by how much an accountant's discretisation may exceed the generator's word


def events(generator: Any) -> list[Event]:
    """Return the ledger of a fitted generator; a stranger's may list mappings instead of events."""
    return [
        Event(**event) if isinstance(event, Mapping) else event
        for event in getattr(generator, "ledger", ())
    ]


def account(generator: Any, budget: Budget, tuning: Tuning = UNTUNED) -> dict[str, Any]:
    """Say what a fitted generator spent, as its record keeps it.

    The ledger is that of one fit, the epsilons are those of all charged trials: each of the others
    may have used other mechanisms, so it counts as what it was handed or, if that is more, as what
    this one spent.

    Returns
    -------
    dict
        ``neighbours`` and ``unit`` of the claim; the ``ledger``; ``spent_epsilon`` (None for an
        empty ledger) and the bounds ``spent_by`` method; ``claimed_epsilon`` (None where the
        generator says nothing); ``tuning``, how hyperparameters were chosen; ``floating_point``,
        the purposes whose noise was drawn in floating point, so that its low bits may leak (Mironov
        2012).
    """
    ledger, handed = events(generator), tuning.handed(budget)
    found = spent(ledger, handed.delta, handed.neighbours) if ledger else None
    claimed = getattr(generator, "claimed_epsilon", None) if budget.is_private else None

    def of_all_trials(epsilon: float) -> float:
        others = tuning.charged - 1
        return epsilon + others * max(epsilon, handed.epsilon) if others else epsilon

    return {
        "neighbours": budget.neighbours,
        "unit": "row",
        "ledger": [asdict(event) for event in ledger],
        "spent_epsilon": None if found is None else of_all_trials(found.epsilon),
        "spent_by": {} if found is None else {k: of_all_trials(e) for k, e in found.by.items()},
        "claimed_epsilon": None if claimed is None else of_all_trials(float(claimed)),
        "tuning": tuning.text,
        "floating_point": floating_point(ledger),
    }


def floating_point(ledger: Sequence[Event]) -> list[str]:
    """Return the purposes of a ledger whose noise was drawn in floating point."""
    drawn = (event for event in ledger if event.purpose != RESERVED)
    return sorted({event.purpose for event in drawn if event.mechanism in FLOATING_POINT})


def violation(privacy: Mapping[str, Any], budget: Budget) -> str | None:
    """Say why what ``account`` returned does not support the budget, or return None."""
    if not budget.is_private:
        return None
    spent_epsilon, claimed = privacy["spent_epsilon"], privacy["claimed_epsilon"]
    if spent_epsilon is None:
        return "the ledger is empty, so it supports no claim"
    if spent_epsilon > budget.epsilon * (1 + SLACK):
        return (
            f"the ledger spends epsilon {spent_epsilon:.6g} at delta {budget.delta:g}, "
            f"the budget is {budget.epsilon:g}"
        )
    if claimed is not None and not spent_epsilon <= claimed + WORD_SLACK * max(1.0, claimed):
        return (
            f"the generator says that it spent epsilon {claimed:.6g}, "
            f"its ledger spends {spent_epsilon:.6g} at delta {budget.delta:g}"
        )
    if claimed is not None and (math.isnan(claimed) or claimed > budget.epsilon * (1 + SLACK)):
        return f"the generator says that it spent epsilon {claimed:.6g} of {budget.epsilon:g}"
    return None
