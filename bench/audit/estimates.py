"""Lower bounds on epsilon from many runs: how well a score tells two neighbouring tables apart.

A generator is fitted many times on a table without the canary and many times on its neighbour with
it. A cut through the score, chosen on one part of the runs, is a test between the two worlds; how
often it errs on the other runs bounds from below what the generator leaks (Jagielski, Ullman and
Oprea 2020). Two forms:

- *threshold*: each error rate has its own upper bound (Clopper and Pearson 1934), and the cut is
  chosen for the highest epsilon. It finds leaks that are rare and certain.
- *curve*: both worlds' errors are counted together, which one bound covers, and are held against
  the least that the trade-off curve of the generator's own ledger allows. It is the tighter one for
  Gaussian noise, whose (epsilon, delta) worst case is too rare to be met.

What needs an assumption: ``epsilon`` and ``excess`` need none. ``mu`` is a bound on the mu of
Gaussian differential privacy, and ``gaussian_epsilon`` is what it means if the generator's
trade-off curve is Gaussian; for a Laplace mechanism that is far above the truth, so that it
convicts nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from ..accountant import Profile
from ..ledger import gaussian_epsilon

Form = Literal["threshold", "curve", "guesses"]
Verdict = Literal["consistent", "VIOLATION", "inconclusive"]
Rates = np.ndarray | float
Curve = Callable[[Rates], np.ndarray]  # false positive rate -> least false negative rate
CONFIDENCE = 0.95
GRID = np.concatenate([[0.0], np.geomspace(1e-3, 100.0, 300)])  # epsilons of a profile
LEAST_RUNS = 50  # evaluated runs per world, or guesses, below which an audit says nothing
NEAR = 0.05  # share of the best cut's worth that a cut in a wider gap may lack
REACH = 2.0  # how many times its claim a generator must leak for the audit to be able to show it


@dataclass(frozen=True)
class Estimate:
    """What an audit has shown, at ``confidence``.

    Parameters
    ----------
    epsilon : float
        Lower bound on the epsilon at ``delta``, >= 0; needs no assumption.
    delta : float
        In [0, 1).
    form : {"threshold", "curve", "guesses"}
        Which form gave ``epsilon``; guesses are those of a one-run audit.
    confidence : float
        Chance, in (0, 1), that an audit's lower bounds are all below the truth.
    ceiling : float
        The highest ``epsilon`` that this many runs can show.
    runs : int
        Evaluated runs per world; guesses of a one-run audit.
    mu : float
        Lower bound on mu if the generator is mu-GDP (Dong, Roth and Su 2022), >= 0.
    fpr, fnr : float, optional
        Error rates of the test on the evaluated runs; None for a one-run audit.
    excess : float, optional
        How many times further apart the worlds are than the ledger's own trade-off curve allows,
        in units of mu, at least; above 1 the ledger is refuted. None where no curve was given.
    excess_ceiling : float, optional
        The highest ``excess`` that this many runs can show.
    mu_independent : float, optional
        Of a one-run audit: lower bound on mu if moreover the canaries' losses are independent.
    """

    epsilon: float
    delta: float
    form: Form
    confidence: float
    ceiling: float
    runs: int
    mu: float
    fpr: float | None = None
    fnr: float | None = None
    excess: float | None = None
    excess_ceiling: float | None = None
    mu_independent: float | None = None

    @property
    def gaussian_epsilon(self) -> float:
        """Epsilon at ``delta`` under the assumption that the trade-off curve is Gaussian."""
        return gaussian_epsilon(self.mu, self.delta)


def estimate(
    absent: np.ndarray,
    present: np.ndarray,
    *,
    delta: float,
    confidence: float = CONFIDENCE,
    profile: Profile | None = None,
    selection: float = 0.5,
) -> Estimate:
    """Bound what a generator leaks from a score of its runs in both worlds.

    Parameters
    ----------
    absent, present : ndarray of float64, shapes (m,) and (n,)
        Scores of independent runs without and with the canary, finite, at least two each; those
        that one world has more of are left out. Whether high or low scores speak for the canary is
        learned together with the cut.
    delta : float
        In [0, 1); of the claim that is audited.
    confidence : float
        In (0, 1).
    profile : callable, optional
        Epsilon to delta of what the generator's ledger claims. With it both forms are used, each at
        half of what ``confidence`` is missing to 1; without it the threshold form alone.
    selection : float
        Share of the runs, the first ones, that the cut is chosen on, in (0, 1).

    Raises
    ------
    ValueError
        If a score is not finite or a world has fewer than two runs.
    """
    n = min(len(absent), len(present))
    worlds = _scores("absent", absent)[:n], _scores("present", present)[:n]
    chosen_on = min(max(round(selection * n), 1), n - 1)
    if profile is None:
        return _estimate(worlds, chosen_on, delta, confidence, "threshold", _threshold_reading)
    each = (1 + confidence) / 2
    return strongest(
        [
            _estimate(worlds, chosen_on, delta, each, "threshold", _threshold_reading),
            _estimate(worlds, chosen_on, delta, each, "curve", _curve_reading(profile)),
        ]
    )


def verdict(epsilon: float, found: Estimate, sure: Estimate | None = None) -> Verdict:
    """Judge a claimed ``epsilon`` at the estimate's delta.

    VIOLATION if the lower bound exceeds the claim or the ledger's own curve is refuted.
    Inconclusive if that is so of ``found`` and not of ``sure``, if the audit had fewer than
    ``LEAST_RUNS`` runs, or if it could not have shown a leak of ``REACH`` times the claim. Else
    consistent, which is no proof of privacy: a stronger attack may show more.

    Parameters
    ----------
    epsilon : float
        The claim.
    found : Estimate
        What the audit shows.
    sure : Estimate, optional
        The same at a higher confidence, where many claims are judged together; ``found`` by
        default.
    """
    if refutes(epsilon, found if sure is None else sure):
        return "VIOLATION"
    if refutes(epsilon, found):
        return "inconclusive"
    reach = max(found.ceiling / epsilon, found.excess_ceiling or 0.0)
    return "inconclusive" if found.runs < LEAST_RUNS or reach < REACH else "consistent"


def refutes(epsilon: float, found: Estimate) -> bool:
    """Whether an estimate contradicts a claimed ``epsilon`` or the ledger's own curve."""
    return found.epsilon > epsilon or (found.excess or 0.0) > 1


def strongest(estimates: Sequence[Estimate]) -> Estimate:
    """Return the strongest of several estimates for one generator, at their joint confidence.

    By the union bound all of them hold together with 1 minus the sum of what each is missing to 1;
    to reach 0.95 with k estimates make each at ``1 - 0.05 / k``.
    """
    best = max(estimates, key=lambda found: found.epsilon)
    excess = [found.excess for found in estimates if found.excess is not None]
    reach = [found.excess_ceiling for found in estimates if found.excess_ceiling is not None]
    return replace(
        best,
        confidence=1 - math.fsum(1 - found.confidence for found in estimates),
        ceiling=max(found.ceiling for found in estimates),
        mu=max(found.mu for found in estimates),
        excess=max(excess, default=None),
        excess_ceiling=max(reach, default=None),
    )


def rates_epsilon(fpr: Rates, fnr: Rates, delta: float) -> np.ndarray:
    """Lowest epsilon whose (epsilon, delta) region holds a test with these error rates.

    Kairouz, Oh and Viswanath 2015, theorem 2.1; negative or -inf where the test is worthless.
    """
    with np.errstate(divide="ignore"):
        forward = np.log(np.maximum(1 - fnr - delta, 0.0)) - np.log(fpr)
        backward = np.log(np.maximum(1 - fpr - delta, 0.0)) - np.log(fnr)
    return np.maximum(forward, backward)


def rates_mu(fpr: Rates, fnr: Rates) -> np.ndarray:
    """Mu of the Gaussian trade-off curve through these error rates (Dong, Roth and Su 2022)."""
    from scipy.special import ndtri

    with np.errstate(invalid="ignore"):  # a test that always answers alike
        return -ndtri(fpr) - ndtri(fnr)


def balanced_error(profile: Profile) -> float:
    """Least mean of both error rates that a privacy profile allows, in [0, 0.5].

    It is met where the trade-off curve has equal rates: the highest (1 - delta) / (1 + e^epsilon).
    """
    kept = 1 - np.asarray(profile(GRID))
    return float(np.max(kept / (1 + np.exp(GRID))))


def trade_off(profile: Profile) -> Curve:
    """Return the trade-off curve that a privacy profile implies: the least possible FNR for a FPR.

    The supremum of the curves of all its (epsilon, delta) pairs (Dong, Roth and Su 2022,
    proposition 2.12), over a grid of epsilons: never above the true curve, so that nobody is
    convicted by the grid.
    """
    kept = 1 - np.asarray(profile(GRID))
    growth = np.exp(GRID)

    def curve(fpr: Rates) -> np.ndarray:
        rate = np.asarray(fpr, dtype=np.float64)[..., None]
        lines = np.maximum(kept - growth * rate, (kept - rate) / growth)
        return np.maximum(lines.max(axis=-1), 0.0)

    return curve


def gaussian_curve(mu: float) -> Curve:
    """Return the trade-off curve of mu-GDP (Dong, Roth and Su 2022, definition 2.6)."""
    from scipy.special import ndtr, ndtri

    return lambda fpr: ndtr(-ndtri(fpr) - mu)


def stretched(curve: Curve, times: float) -> Curve:
    """Return a curve along which the worlds lie ``times`` as far apart, in units of mu."""
    from scipy.special import ndtr, ndtri

    def further(fpr: Rates) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            fnr = ndtr(-ndtri(fpr) - times * np.maximum(rates_mu(fpr, curve(fpr)), 0.0))
        # undefined at the ends, and for a curve without any privacy that is stretched by 0
        return np.where(np.isnan(fnr), 1 - np.asarray(fpr), fnr)

    return further


@lru_cache(maxsize=64)
def share_upper(n: int, tail: float) -> np.ndarray:
    """Upper ends of the one-sided Clopper-Pearson intervals of a share of n.

    Returns
    -------
    ndarray of float64, shape (n + 1,)
        For 0 to n hits; a true share is above its end with a chance of at most ``tail``.
    """
    from scipy.special import betaincinv

    hits = np.arange(n)
    upper = np.append(betaincinv(hits + 1.0, n - hits, 1 - tail), 1.0)
    upper.setflags(write=False)
    return upper


@dataclass(frozen=True)
class _Reading:
    """Bounds for each of several cuts; the last of them is what a cut is chosen for."""

    epsilon: np.ndarray
    mu: np.ndarray
    excess: np.ndarray | None = None

    @property
    def worth(self) -> np.ndarray:
        return self.epsilon if self.excess is None else self.excess


_Read = Callable[[np.ndarray, int, float, float], _Reading]


def _estimate(
    worlds: tuple[np.ndarray, np.ndarray],
    chosen_on: int,
    delta: float,
    confidence: float,
    form: Form,
    read: _Read,
) -> Estimate:
    """Choose a cut on the first runs, and read the others by it."""
    first = [np.sort(scores[:chosen_on]) for scores in worlds]
    second = [np.sort(scores[chosen_on:]) for scores in worlds]
    cut, low_is_present = _best_cut(first[0], first[1], delta, 1 - confidence, read)
    runs = len(second[0])
    wrong = _errors(second[0], second[1], np.array([cut]))
    if low_is_present:
        wrong = runs - wrong
    found, best = (read(w, runs, delta, 1 - confidence) for w in (wrong, np.zeros_like(wrong)))
    return Estimate(
        epsilon=max(0.0, float(found.epsilon[0])),
        delta=delta,
        form=form,
        confidence=confidence,
        ceiling=max(0.0, float(best.epsilon[0])),
        runs=runs,
        mu=max(0.0, float(found.mu[0])),
        fpr=float(wrong[0, 0] / runs),
        fnr=float(wrong[1, 0] / runs),
        excess=None if found.excess is None else max(0.0, float(found.excess[0])),
        excess_ceiling=None if best.excess is None else float(best.excess[0]),
    )


def _threshold_reading(wrong: np.ndarray, n: int, delta: float, alpha: float) -> _Reading:
    """Bound both error rates at ``alpha / 2`` each, from counts of shape (2, cuts)."""
    fpr, fnr = share_upper(n, alpha / 2)[wrong]
    return _Reading(rates_epsilon(fpr, fnr, delta), rates_mu(fpr, fnr))


def _curve_reading(profile: Profile) -> _Read:
    from scipy.special import ndtri

    allowed = -2 * float(ndtri(balanced_error(profile)))

    def read(wrong: np.ndarray, n: int, delta: float, alpha: float) -> _Reading:
        """Bound the mean of both error rates.

        Errors of both worlds are 2 n independent trials, whose lower tail is at most that of a
        binomial one with their mean chance (Hoeffding 1956, theorem 4).
        """
        error = share_upper(2 * n, alpha)[wrong.sum(axis=0)]
        mu = rates_mu(error, error)
        excess = mu / allowed if allowed > 0 else np.where(mu > 0, np.inf, 0.0)
        return _Reading(rates_epsilon(error, error, delta), mu, excess)

    return read


def _scores(world: str, scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(
            f"scores need at least 2 finite values per world, got {len(scores)} {world!r} with "
            f"{int((~np.isfinite(scores)).sum())} not finite; audit more runs"
        )
    return scores


def _best_cut(
    absent: np.ndarray, present: np.ndarray, delta: float, alpha: float, read: _Read
) -> tuple[float, bool]:
    """Choose the cut, and whether low scores mean "present".

    Cuts lie midway between neighbouring scores, and below the lowest one. Of those that are worth
    nearly as much on these runs as the best, it is the one in the widest gap: a cut close to a
    score errs more on other runs.
    """
    distinct = np.union1d(absent, present)
    gaps = np.append(0.0, np.diff(distinct))
    cuts = distinct - np.where(gaps > 0, gaps / 2, 1.0)
    wrong = _errors(absent, present, cuts)
    n = len(absent)
    worth = np.stack([read(w, n, delta, alpha).worth for w in (wrong, n - wrong)])
    near = worth >= worth.max() - NEAR * abs(worth.max())
    direction, place = np.unravel_index(np.argmax(np.where(near, gaps, -1.0)), worth.shape)
    return float(cuts[place]), bool(direction)


def _errors(absent: np.ndarray, present: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Count false positives and negatives of "present if above the cut", shape (2, cuts)."""
    below = [np.searchsorted(scores, cuts, side="right") for scores in (absent, present)]
    return np.stack([len(absent) - below[0], below[1]])
