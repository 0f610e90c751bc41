"""Lower bounds on epsilon from one run: how many canaries' coins can be guessed.

Each of m canaries is put into the training rows by a fair coin of its own; after one fit an attack
scores them all, the highest are guessed "in" and the lowest "out". Which canaries are guessed, and
how many, depends on scores alone, never on the coins.

Three bounds, from the weakest assumption to the strongest:

- ``guess_epsilon`` (Steinke, Nasr and Jagielski 2023): holds for every (epsilon, delta)-DP
  generator.
- ``curve_refuted`` (Mahloujifar, Melis and Chaudhuri 2025): holds for every generator that has the
  trade-off curve at hand for each canary, and is tighter where that is not an (epsilon, delta) one.
- ``order_mu`` (after Xiang et al. 2025): the guesses with the largest privacy losses err least. It
  needs the curve to be Gaussian *and* the canaries' losses to be independent given the others, as
  with noise on orthogonal directions. A generator that fails for all canaries at once is mu-GDP for
  each and still exceeds this bound, so that it is shown and convicts nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..ledger import Neighbours
from ..schema import Schema
from .attacks import Encoder
from .estimates import CONFIDENCE, Curve, Estimate, Profile, gaussian_curve, stretched, trade_off
from .pairs import rare_rows

# Shares of the canaries that are guessed; each pays its part of confidence. Not all of them: with
# half guessed "in", the coins alone would make some of the guesses wrong.
FRACTIONS = (0.1, 0.8)
GAIN = 4.0  # how much more a row counts for each further cell that it shares with a canary
CHUNK = 64  # canaries that are compared with all rows at once


@dataclass(frozen=True)
class Canaries:
    """Rows that are put into the training rows by fair coins.

    Parameters
    ----------
    rows : DataFrame
        m canonical rows.
    included : ndarray of bool, shape (m,)
        The coins.
    others : DataFrame, optional
        Under ``replace``, the m rows that stand in where the coin is False.
    """

    rows: pd.DataFrame
    included: np.ndarray
    others: pd.DataFrame | None = None

    def planted(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return ``rows`` with the canaries as their coins say."""
        chosen = [rows, self.rows[self.included]]
        if self.others is not None:
            chosen.append(self.others[~self.included])
        return pd.concat(chosen, ignore_index=True)

    def scores(
        self, synthetic: pd.DataFrame, known: pd.DataFrame, schema: Schema
    ) -> dict[str, np.ndarray]:
        """Return the scores of each attack, under ``replace`` less those of ``others``."""
        found = {name: attack(synthetic, known, self.rows, schema) for name, attack in ATTACKS}
        if self.others is None:
            return found
        others = {name: attack(synthetic, known, self.others, schema) for name, attack in ATTACKS}
        return {name: found[name] - others[name] for name in found}


def draw_canaries(
    schema: Schema,
    known: pd.DataFrame,
    m: int,
    rng: np.random.Generator,
    neighbours: Neighbours = "add_remove",
) -> Canaries:
    """Draw m canaries of rare values (``pairs.rare_rows``) and toss their coins."""
    rows = rare_rows(schema, known, m, rng)
    others = rare_rows(schema, known, m, rng) if neighbours == "replace" else None
    return Canaries(rows, rng.random(m) < 0.5, others)


def density_scores(
    synthetic: pd.DataFrame, known: pd.DataFrame, canaries: pd.DataFrame, schema: Schema
) -> np.ndarray:
    """Score how much denser synthetic rows lie at each canary than the known real ones.

    The density at a canary is the mean over rows of ``GAIN`` to the number of cells (categories,
    or 32nds of a range) that a row shares with it. The attacker knows all real rows but the
    canaries.

    Parameters
    ----------
    synthetic, known, canaries : DataFrame
        Canonical; at least one row each.

    Returns
    -------
    ndarray of float64, shape (m,)
        Log ratio of the densities; high scores speak for "in".
    """
    encoder = Encoder.of(schema, known)
    drawn, real, planted = (
        encoder.cells(encoder.units(table)) for table in (synthetic, known, canaries)
    )
    return _log_density(planted, drawn) - _log_density(planted, real)


def nearness_scores(
    synthetic: pd.DataFrame, known: pd.DataFrame, canaries: pd.DataFrame, schema: Schema
) -> np.ndarray:
    """Score how near the closest synthetic row lies to each canary: finds what is copied whole.

    The distance is the mean over columns of the difference in ranges, 1 for another category or
    where one value is missing.

    Returns
    -------
    ndarray of float64, shape (m,)
        Negative distances; high scores speak for "in".
    """
    encoder = Encoder.of(schema, known)
    points, rows = encoder.units(canaries), encoder.units(synthetic)
    found = np.empty(len(points))
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        total = np.zeros((len(chunk), len(rows)))
        for i, column in enumerate(schema):
            gap = np.abs(chunk[:, i, None] - rows[None, :, i])
            if column.is_discrete:
                gap = (gap > 0).astype(np.float64)
            absent = np.isnan(chunk[:, i, None]), np.isnan(rows[None, :, i])
            total += np.where(absent[0] | absent[1], absent[0] != absent[1], gap)
        found[start : start + CHUNK] = -total.min(axis=1) / len(schema)
    return found


ATTACKS = (("density", density_scores), ("nearness", nearness_scores))


def _log_density(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log of the mean of ``GAIN`` to the number of shared cells, shape (points,)."""
    worth = GAIN ** np.arange(points.shape[1] + 1.0)
    density = np.empty(len(points))
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        shared = np.zeros((len(chunk), len(rows)), dtype=np.int16)
        for i in range(points.shape[1]):
            shared += chunk[:, i, None] == rows[None, :, i]
        density[start : start + CHUNK] = worth[shared].mean(axis=1)
    return np.log(density)


def estimate(
    scores: np.ndarray,
    included: np.ndarray,
    *,
    delta: float,
    confidence: float = CONFIDENCE,
    profile: Profile | None = None,
    fractions: Sequence[float] = FRACTIONS,
) -> Estimate:
    """Bound what a generator leaks from the canaries' scores and coins.

    Every bound is the strongest over the ``fractions`` of canaries guessed, each at its equal part
    of what ``confidence`` is missing to 1.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        High scores speak for "in"; m at least 2.
    included : ndarray of bool, shape (m,)
        The coins.
    delta : float
        In [0, 1).
    profile : callable, optional
        Epsilon to delta of what the generator's ledger claims; for ``excess``.
    """
    m = len(scores)
    level = (1 - confidence) / len(fractions)
    sizes = [min(2 * max(1, round(share * m / 2)), m) for share in fractions]
    right = [correct_guesses(scores, included, size) for size in sizes]
    outcomes = list(zip(sizes, right, strict=True))
    found = [guess_epsilon(m, r, v, delta, level) for r, v in outcomes]

    def most(bound: Callable[[int, int], float], perfect: bool = False) -> float:
        return max(bound(r, r if perfect else v) for r, v in outcomes)

    def excess(curve: Curve) -> Callable[[int, int], float]:
        return lambda r, v: _largest(
            lambda times: curve_refuted(m, r, v, stretched(curve, times), level)
        )

    curve = None if profile is None else trade_off(profile)
    return Estimate(
        epsilon=max(found),
        delta=delta,
        form="guesses",
        confidence=confidence,
        ceiling=most(lambda r, v: guess_epsilon(m, r, v, delta, level), perfect=True),
        runs=max(sizes),
        mu=most(lambda r, v: curve_mu(m, r, v, level)),
        mu_independent=most(lambda r, v: order_mu(m, r, v, level)),
        excess=None if curve is None else most(excess(curve)),
        excess_ceiling=None if curve is None else most(excess(curve), perfect=True),
    )


def correct_guesses(scores: np.ndarray, included: np.ndarray, r: int) -> int:
    """Count right guesses when the r / 2 highest are guessed "in" and the r / 2 lowest "out".

    For an odd r one more is guessed "in".
    """
    order = np.argsort(scores, kind="stable")
    included = np.asarray(included, dtype=bool)
    low, high = order[: r // 2], order[len(order) - (r - r // 2) :]
    return int(included[high].sum() + (~included[low]).sum())


def guess_chance(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Bound the chance that an (epsilon, delta)-DP generator lets v of r guesses be right.

    Steinke, Nasr and Jagielski 2023, theorem 5.2: with delta = 0 the number is dominated by a
    binomial one; each of the m coins may moreover be given away with chance 2 delta, and the worst
    generator gives away i at once.
    """
    from scipy.special import bdtrc, expit

    share = float(expit(epsilon))
    # chance of at least v - i right guesses, for i = 0 .. v; the last is 1
    tails = np.append(bdtrc(np.arange(v - 1, -1, -1.0), r, share), 1.0)
    given = (tails[1:] - tails[0]) / np.arange(1, v + 1)
    return min(1.0, float(tails[0] + 2 * m * delta * given.max(initial=0.0)))


def guess_epsilon(m: int, r: int, v: int, delta: float, level: float) -> float:
    """Largest epsilon that v of r right guesses among m canaries refute at ``level``; 0 if none."""
    return _largest(lambda epsilon: guess_chance(m, r, v, epsilon, delta) < level)


def curve_refuted(m: int, r: int, v: int, curve: Curve, level: float) -> bool:
    """Whether v of r right guesses refute that each canary has this trade-off curve.

    The recursion of Mahloujifar, Melis and Chaudhuri 2025 (their algorithm for bounded guesses):
    if the chance of v right guesses were ``level``, the curve bounds the chances of v - 1, v - 2
    and so on in turn; it is refuted if they add up to more than there is.
    """
    right, wrong = level * v / m, level * (r - v) / m
    for i in range(v - 1, -1, -1):
        least = float(curve(1 - right))  # the curve is its own inverse
        if least <= wrong:
            break
        right = min(1.0, right + i / (r - i) * (least - wrong))
        wrong = least
    return right + wrong > r / m


def curve_mu(m: int, r: int, v: int, level: float) -> float:
    """Largest mu whose Gaussian curve v of r right guesses refute at ``level``; 0 if none."""
    return _largest(lambda mu: curve_refuted(m, r, v, gaussian_curve(mu), level))


def order_mu(m: int, r: int, v: int, level: float) -> float:
    """Largest mu that v right among the r surest of m guesses refute at ``level``; 0 if none.

    If the canaries' privacy losses are those of independent Gaussian mechanisms, then, given the
    (m - r)-th smallest size of a loss, the r larger ones are independent draws, and so the wrong
    guesses among them are binomial. Integrating over that order statistic, whose share of the
    distribution is Beta(m - r, r + 1), gives the chance exactly; Xiang et al. 2025 (theorems 2 and
    3) bound it by Chernoff's inequality.
    """
    return _largest(lambda mu: mu == 0 or _order_chance(m, r, r - v, mu) < level)


def _order_chance(m: int, r: int, wrong: int, mu: float) -> float:
    """Chance of at most so many wrong guesses among the r of m with the largest losses."""
    from scipy.special import bdtr, betaincinv, ndtr

    if r == m:
        return float(bdtr(wrong, r, ndtr(-mu / 2)))
    quantiles = (np.arange(400) + 0.5) / 400
    below = betaincinv(m - r, r + 1.0, quantiles)
    # An outcome z is N(0, 1) without and N(mu, 1) with a canary; its loss is mu |z - mu / 2|.
    far = np.linspace(0.0, mu / 2 + 9.0, 4000)
    beyond = ndtr(mu / 2 - far) + ndtr(-mu / 2 - far)
    cuts = np.interp(-(1 - below), -beyond, far)
    err = ndtr(-mu / 2 - cuts) / (ndtr(mu / 2 - cuts) + ndtr(-mu / 2 - cuts))
    return float(bdtr(wrong, r, err).mean())


def _largest(refuted: Callable[[float], bool]) -> float:
    """Find where a claim that grows weaker stops being refuted, to 1e-5; 0 if it never is."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, 2 * high
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
