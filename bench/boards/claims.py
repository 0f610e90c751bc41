"""Claims on a board: what private generators promise, what they spent, what audits found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from .board import Claim, Note


def claims(cells: pd.DataFrame, audits: Iterable[Any]) -> tuple[Claim, ...]:
    """Return the claims of the generators among a board's cells, by name.

    Parameters
    ----------
    cells : DataFrame
        Of one board: ``generator``, ``reference``, ``setting``, ``spent``, ``claimed``, ``noise``,
        ``tuning``.
    audits : iterable
        Conclusions (``audit.conclusions``) under the board's budget.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    for audit in audits:
        found[audit.setting].append(audit)
    promising = cells.loc[(cells["reference"] == "").to_numpy() & cells["spent"].notna().to_numpy()]
    return tuple(_claims(promising, found))


def broken(made: Iterable[Claim]) -> Iterator[Note]:
    """Say loudly whose promise an audit found broken."""
    for claim in made:
        if claim.alarm:
            leak = f" A record outside the Schema shows in {claim.leaks[0]}." if claim.leaks else ""
            yield Note(
                f"A PROMISE IS BROKEN: {claim.generator} leaks at least epsilon "
                f"{claim.empirical or 0.0:.2f}, its ledger says {claim.spent:.2f}.{leak}",
                True,
            )


WORST_FIRST = ("VIOLATION", "inconclusive", "consistent")
HEAD = (
    "generator",
    "spent ε",
    "its own word",
    "noise",
    "hyperparameters",
    "empirical ε ≥",
    "ceiling",
    "verdict",
    "audited on",
)
LEGEND = (
    "Spent is what the harness computes from the ledger; empirical is what an audit showed at "
    "{confidence:.0f} % confidence, at most the ceiling of that many fits. Consistent is no proof: "
    "a stronger attack may show more."
)


def fields(claim: Claim) -> list[str]:
    """Write a claim in the columns of ``HEAD``."""
    fits = "1 fit" if claim.fits == 1 else f"{claim.fits} fits"
    audited = f"{', '.join(claim.worlds)} ({fits})" if claim.worlds else ""
    return [
        claim.generator,
        _epsilon(claim.spent),
        _epsilon(claim.stated),
        claim.noise or "–",
        claim.tuning or "–",
        _epsilon(claim.empirical),
        _epsilon(claim.ceiling),
        claim.verdict + (f", {len(claim.leaks)} schema leaks" if claim.leaks else ""),
        audited or "–",
    ]


def legend(made: Iterable[Claim]) -> str:
    """Say how to read the claims of a board; empty where nothing was audited."""
    confidences = [claim.confidence for claim in made if claim.confidence is not None]
    return LEGEND.format(confidence=100 * min(confidences)) if confidences else ""


def _badness(audit: Any) -> tuple[int, float]:
    """Order audits of what one label stands for: the worst comes first."""
    return WORST_FIRST.index(audit.verdict), -audit.found.epsilon


def _epsilon(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _claims(cells: pd.DataFrame, audits: Mapping[str, list[Any]]) -> Iterator[Claim]:
    names, settings = (cells[name].to_numpy() for name in ("generator", "setting"))
    for name in sorted(set(names)):
        mine = names == name
        own = cells.loc[mine]
        known = [audit for key in dict.fromkeys(settings[mine]) for audit in audits.get(key, ())]
        audit = min(known, key=_badness, default=None)
        found = None if audit is None else audit.found
        yield Claim(
            generator=name,
            spent=float(own["spent"].max()),
            stated=_largest(own["claimed"].to_numpy()),
            noise=" and ".join(sorted(set(filter(None, own["noise"])))),
            tuning=" and ".join(sorted(set(filter(None, own["tuning"])))),
            verdict="not audited" if audit is None else audit.verdict,
            empirical=None if found is None else found.epsilon,
            ceiling=None if found is None else found.ceiling,
            confidence=None if found is None else found.confidence,
            fits=0 if audit is None else audit.fits,
            worlds=() if audit is None else audit.worlds,
            leaks=() if audit is None else audit.leaks,
        )


def _largest(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else None
