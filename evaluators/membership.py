"""Membership inference: whether the synthetic table tells rows of train from other real rows.

Members come from train, non-members from holdout, and the attackers' reference rows from reference:
equally many of each, and only rows whose content occurs once in all real rows together. Under the
null hypothesis, a generator that kept nothing of single rows, members and non-members could swap
their labels; so every test here is exact or a rank test, and none depends on what an attack does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..bench.content import draw_rows, in_order, row_hashes
from ..bench.contracts import Measured, Metric, Picture, Tables, Values
from ..bench.schema import Schema, by_name
from .attacks import ATTACKS, Evidence
from .intervals import LEVEL, of_auroc, within
from .matches import matched_rows, more_hits_p, row_counts

GUESSING = 0.5  # AUC; less is no merit
FEWEST = 20  # members below which no number is given
# What is measured of an attack, by its name in metrics: a false-positive rate, or None for the AUC.
MEASURES = {"auc": None, "tpr_at_1pct_fpr": 0.01, "tpr_at_0_1pct_fpr": 0.001}
FALSE_POSITIVES = 2  # that a rate must allow before a true-positive rate is given
OUTLYING = 0.05  # share of the candidates that lies farthest from reference
TOP = 0.01  # share of the candidates that the low-rate test calls members
LEVEL_OF_TEST = 1e-3  # family-wise, over all attacks and tests
PHOTOCOPY = 0.65  # AUC that no releasable table reaches; a bootstrap of train has 0.82
DRAWS = 2000  # of the bootstrap
SUBSETS = {"": "all candidates", "outlier_": "the 5 % of them farthest from reference"}


@dataclass(frozen=True)
class Scores:
    """What an attack said of members and non-members.

    Parameters
    ----------
    members, others : ndarray of float64, shapes (m,) and (n,)
        High for "member".
    """

    members: np.ndarray
    others: np.ndarray


class Membership:
    """Attack success per attack and as the maximum, and a test for copied rows.

    Parameters
    ----------
    rows : int
        At most so many members, and as many non-members and reference rows, drawn by content.
    attacks : sequence of str, optional
        Names in ``attacks.ATTACKS``; all of them by default.

    Raises
    ------
    ValueError
        If an attack is unknown or ``rows`` is too small.
    """

    def __init__(self, rows: int = 5000, attacks: list[str] | None = None) -> None:
        self.attacks = tuple(ATTACKS if attacks is None else attacks)
        if unknown := [name for name in self.attacks if name not in ATTACKS]:
            raise ValueError(
                f"attacks must be some of {', '.join(ATTACKS)}, got {unknown[0]!r}; "
                "leave attacks out to run all"
            )
        if rows < FEWEST:
            raise ValueError(f"rows must be at least {FEWEST}, got {rows!r}; set rows=5000")
        self.rows = rows
        self.metrics = tuple(_metrics(self.attacks))

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return attack success, and the test for traces of single rows."""
        found = self._scores(tables, schema, rng)
        if isinstance(found, str):
            return {metric.name: found for metric in self.metrics}
        scores, outlying = found
        values: dict[str, float | str | Measured] = {}
        for prefix, chosen in (("", None), ("outlier_", outlying)):
            values |= _success(prefix, _subset(scores, chosen), rng)
        p, auc = adjusted_p(scores, tables, schema), values["mia_auc_score"]
        return values | {
            "memorisation_p_score": p,
            "memorisation_error": float(p < LEVEL_OF_TEST),
            "photocopy_error": float(isinstance(auc, Measured) and auc.low > PHOTOCOPY),
        }

    def pictures(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> list[Picture]:
        """Draw the ROC curves of all attacks, on logarithmic axes."""
        found = self._scores(tables, schema, rng)
        if isinstance(found, str):
            return []
        curves = {name: roc(scores) for name, scores in found[0].items()}

        def draw(axes) -> None:
            for name, (false, true) in curves.items():
                axes.step(false, true, where="post", label=name.replace("_", " "), linewidth=1)
            axes.plot([1e-4, 1], [1e-4, 1], color="grey", linestyle=":", linewidth=1)
            axes.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1.05))
            axes.set(xlabel="false-positive rate", ylabel="true-positive rate")
            axes.legend(fontsize="x-small", loc="lower right")

        caption = "Each line is an attack. On the dotted diagonal it guesses; above it, it knows."
        return [Picture("Membership inference", caption, draw)]

    def _scores(
        self, tables: Tables, schema: Schema, rng: np.random.Generator
    ) -> tuple[dict[str, Scores], Scores] | str:
        """Ask every attack once; also mark outlying candidates (1 or 0). A text says why not."""
        key = ("membership", self.rows, self.attacks)
        return tables.once(key, lambda: _ask(tables, schema, self.rows, self.attacks, rng))


def _metrics(attacks: Sequence[str]) -> Iterator[Metric]:
    for prefix, subset in SUBSETS.items():
        for measure, rate in MEASURES.items():
            meaning = _meaning(rate)
            yield Metric(
                name=f"mia_{prefix}{measure}_score",
                family="privacy",
                best=GUESSING if rate is None else 0.0,
                worst=1.0,
                definition=f"Largest over the attacks {', '.join(attacks)}: {meaning}; {subset}.",
                ranked=rate is None and not prefix,
                attack=True,
            )
            yield Metric(
                name=f"mia_{prefix}attack_{measure}_score",
                family="privacy",
                best=GUESSING if rate is None else 0.0,
                worst=1.0,
                definition=f"{meaning}; {subset}.",
                per="attack",
                attack=True,
            )
    yield Metric(
        name="memorisation_p_score",
        family="privacy",
        best=1.0,
        worst=0.0,
        definition="Smallest p-value of all attacks (rank test of the scores, hypergeometric test "
        "of the top 1 %) and of the exact matches, times their number (Bonferroni).",
    )
    yield Metric(
        name="memorisation_error",
        family="privacy",
        best=0.0,
        worst=1.0,
        definition=f"1 where memorisation_p_score is below {LEVEL_OF_TEST:g}, else 0: single rows "
        "of train left a trace that an attacker finds.",
    )
    yield Metric(
        name="photocopy_error",
        family="privacy",
        best=0.0,
        worst=1.0,
        definition=f"1 where the interval of mia_auc_score lies above {PHOTOCOPY:g}, else 0: the "
        "table tells most members from non-members. A bootstrap of train has an AUC of 0.82.",
        limit=0.5,
    )


def _meaning(rate: float | None) -> str:
    if rate is None:
        return "Area under the attack's ROC curve, 0.5 for guessing (less counts as 0.5)"
    return f"Share of members found where {100 * rate:g} % of non-members are called members"


def _ask(
    tables: Tables, schema: Schema, rows: int, attacks: tuple[str, ...], rng: np.random.Generator
) -> tuple[dict[str, Scores], Scores] | str:
    """Draw candidates and ask the attacks; rows and columns stand in an order of their content."""
    if tables.synthetic.empty:
        return "synthetic has no rows"
    schema = replace(schema, columns=by_name(schema))
    drawn = candidates(tables, schema, rows, rng)
    if isinstance(drawn, str):
        return drawn
    members, others, reference = drawn
    n = len(members)
    evidence = Evidence(
        candidates=pd.concat([members, others], ignore_index=True),
        synthetic=in_order(tables.synthetic, schema).reset_index(drop=True),
        reference=reference,
        schema=schema,
    )
    scores = {name: ATTACKS[name](evidence) for name in attacks}
    far = evidence.near_reference.distance[:, 0]
    outlying = far > np.quantile(far, 1 - OUTLYING)
    split = {name: Scores(values[:n], values[n:]) for name, values in scores.items()}
    return split, Scores(outlying[:n], outlying[n:])


def candidates(
    tables: Tables, schema: Schema, rows: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | str:
    """Draw members, non-members and reference rows: disjoint, without duplicates, equally many.

    Returns
    -------
    tuple of DataFrame or str
        Each in the order of its content; the reason where there are too few rows.
    """
    parts = {"train": tables.train, "holdout": tables.holdout, "reference": tables.reference}
    hashes = {name: row_hashes(table, schema) for name, table in parts.items()}
    counts = row_counts(np.concatenate(list(hashes.values())))
    once = {name: np.flatnonzero(counts(values) == 1) for name, values in hashes.items()}
    n = min(rows, *map(len, once.values()))
    if n < FEWEST:
        sizes = ", ".join(f"{len(positions)} in {name}" for name, positions in once.items())
        return f"membership needs {FEWEST} rows without a duplicate in each part; there are {sizes}"
    drawn = []
    for name, table in parts.items():
        positions = once[name][draw_rows(hashes[name][once[name]], n, rng)]
        drawn.append(in_order(table.iloc[positions], schema).reset_index(drop=True))
    return tuple(drawn)


def _subset(scores: dict[str, Scores], chosen: Scores | None) -> dict[str, Scores]:
    if chosen is None:
        return scores
    return {
        name: Scores(found.members[chosen.members], found.others[chosen.others])
        for name, found in scores.items()
    }


def _success(
    prefix: str, scores: dict[str, Scores], rng: np.random.Generator
) -> dict[str, float | str | Measured]:
    """Every measure of every attack, and the largest over attacks."""
    values: dict[str, float | str | Measured] = {}
    several = 1 - (1 - LEVEL) / len(scores)  # the winner's interval allows for having been chosen
    for measure, rate in MEASURES.items():
        single = {name: success(found, rate, LEVEL, rng) for name, found in scores.items()}
        names = f"mia_{prefix}attack_{measure}_score", f"mia_{prefix}{measure}_score"
        known = {name: value.value for name, value in single.items() if not isinstance(value, str)}
        if not known:
            reason = next(iter(single.values()))
            values |= dict.fromkeys(names, reason)
            continue
        values |= {f"{names[0]}[{name}]": value for name, value in single.items()}
        winner = max(known, key=known.__getitem__)
        values[names[1]] = success(scores[winner], rate, several, rng)
    return values


def success(
    scores: Scores, rate: float | None, level: float, rng: np.random.Generator
) -> Measured | str:
    """AUC of an attack, or its true-positive rate at a false-positive rate.

    Parameters
    ----------
    rate : float, optional
        The false-positive rate; None asks for the AUC.
    level : float
        Of the interval.

    Returns
    -------
    Measured or str
        In [0, 1], an AUC in [0.5, 1]; the reason where there are too few rows.
    """
    m, n = len(scores.members), len(scores.others)
    if min(m, n) < FEWEST:
        return f"{FEWEST} members and non-members are needed, there are {m} and {n}"
    if rate is None:
        area = of_auroc(scores.members, scores.others, level)
        return within(area.value, area.low, area.high, GUESSING, 1.0)
    if n * rate < FALSE_POSITIVES:
        needed = int(np.ceil(FALSE_POSITIVES / rate))
        return f"a rate of {100 * rate:g} % needs {needed} non-members, there are {n}"
    return _true_positive_rate(scores, rate, level, rng)


def _true_positive_rate(
    scores: Scores, rate: float, level: float, rng: np.random.Generator
) -> Measured:
    """Share of members above the threshold that at most ``rate`` of non-members exceed.

    The interval is the bootstrap's over members and non-members: in a resample the threshold is the
    non-member whose rank is a Beta draw, and the hits are binomial.
    """
    m, n = len(scores.members), len(scores.others)
    thresholds = np.sort(scores.others)[::-1]
    allowed = int(np.floor(n * rate + 1e-9))
    ascending = np.sort(scores.members)

    def share_above(ranks: np.ndarray) -> np.ndarray:
        return 1 - np.searchsorted(ascending, thresholds[ranks], side="right") / m

    ranks = np.minimum((n * rng.beta(allowed + 1, n - allowed, DRAWS)).astype(np.int64), n - 1)
    draws = rng.binomial(m, share_above(ranks)) / m
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return within(float(share_above(np.array(allowed))), low, high, 0.0, 1.0)


def roc(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Compute false- and true-positive rates at every threshold, from (0, 0) to (1, 1)."""
    values = np.concatenate([scores.members, scores.others])
    is_member = np.arange(len(values)) < len(scores.members)
    order = np.argsort(-values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    hits = np.cumsum(is_member[order])[last]
    true = np.append(0, hits) / len(scores.members)
    false = np.append(0, last + 1 - hits) / len(scores.others)
    return false, true


def adjusted_p(scores: dict[str, Scores], tables: Tables, schema: Schema) -> float:
    """Smallest p-value of all tests, times their number, at most 1."""
    tests = [p for found in scores.values() for p in (rank_test_p(found), top_test_p(found))]
    if (exact := matched_rows(tables, schema)) is not None:
        tests.append(exact.p)
    return float(min(1.0, len(tests) * min(tests)))


def rank_test_p(scores: Scores) -> float:
    """One-sided p-value that members score higher (Mann and Whitney 1947), ties corrected."""
    from scipy.stats import mannwhitneyu

    values = np.concatenate([scores.members, scores.others])
    if np.ptp(values) == 0:
        return 1.0
    found = mannwhitneyu(scores.members, scores.others, alternative="greater", method="asymptotic")
    return float(found.pvalue)


def top_test_p(scores: Scores) -> float:
    """One-sided p-value that members crowd among the candidates with the highest scores."""
    values = np.sort(np.concatenate([scores.members, scores.others]))
    threshold = values[-max(1, round(TOP * len(values)))]
    hits, other_hits = (int((side >= threshold).sum()) for side in (scores.members, scores.others))
    return more_hits_p(hits, len(scores.members), other_hits, len(scores.others))
