"""Risk: how much better an attack does on rows the generator saw than on rows it did not see.

An attack is run against train (main) and against holdout (control). What works on both is knowledge
about the population, which a useful table must give; the risk is what works on train beyond that
(Giomi et al. 2023, "A unified framework for quantifying privacy risk in synthetic data", PoPETs).
An attack that does no better than guessing says nothing about the table, so it yields a reason
instead of a risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bench.contracts import Measured
from .intervals import LEVEL, normal_quantile, within

LEAST = 30  # attacks; from fewer no rate is told


@dataclass(frozen=True)
class Attack:
    """What happened when one attack was made in k variants (one for each secret column, say).

    Parameters
    ----------
    main : ndarray of bool, shape (n, k)
        Which attacks on train succeeded.
    control : ndarray of bool or float64, shape (m, k)
        Which attacks on holdout succeeded; weights in [0, 1] where success is an expectation.
    baseline : ndarray of float64, shape (k,)
        Chance in [0, 1] that a guess, made without looking at the target, succeeds on train.
    control_attacks : float, optional
        How many attacks the sum over ``control`` stands for; m if None.
    """

    main: np.ndarray
    control: np.ndarray
    baseline: np.ndarray
    control_attacks: float | None = None

    @property
    def too_few(self) -> str | None:
        """The reason why no rate can be told, or None."""
        fewest = min(len(self.main), len(self.control))
        return f"{fewest} attacks are possible, fewer than {LEAST}" if fewest < LEAST else None

    def main_rates(self, level: float = LEVEL) -> Rates:
        """Success rates on train, shape (k,)."""
        return wilson(self.main.sum(axis=0), len(self.main), level)

    def control_rates(self, level: float = LEVEL) -> Rates:
        """Success rates on holdout, shape (k,)."""
        attacks = len(self.control) if self.control_attacks is None else self.control_attacks
        # Expectations are added in sorted order, so that the order of rows cannot show.
        successes = np.sort(self.control, axis=0).sum(axis=0)
        return wilson(np.minimum(successes, attacks), attacks, level)

    def baseline_rates(self, level: float = LEVEL) -> Rates:
        """Success rates of guessing on train, shape (k,)."""
        return wilson(self.baseline * len(self.main), len(self.main), level)


@dataclass(frozen=True)
class Rates:
    """Estimated rates with the half widths of their intervals, both of shape (k,)."""

    value: np.ndarray
    error: np.ndarray


def wilson(successes: np.ndarray, attacks: float, level: float = LEVEL) -> Rates:
    """Success rate by the centre and half width of the score interval (Wilson 1927).

    Parameters
    ----------
    successes : ndarray of float64, shape (k,)
        In [0, attacks].
    attacks : float
        Above 0.
    """
    z = normal_quantile(level)
    weight = attacks + z**2
    spread = successes * (attacks - successes) / attacks + z**2 / 4
    return Rates((successes + z**2 / 2) / weight, z * np.sqrt(spread) / weight)


def variant_risks(attack: Attack) -> list[Measured | str]:
    """Risk of each variant; the reason where it was not measured.

    Returns
    -------
    list of Measured or str
        Values in [0, 1]: ``(main - control) / (1 - control)``, below 0 counted as 0, with the error
        propagated from both rates (Giomi et al. 2023).
    """
    if attack.too_few:
        return [attack.too_few] * len(attack.baseline)
    residual, from_main, from_control = _residuals(attack, LEVEL)
    errors = np.hypot(from_main, from_control)
    main, baseline = attack.main_rates().value, attack.baseline_rates().value
    return [
        within(value, value - error, value + error, 0.0, 1.0)
        if hit > guess
        else _no_better(hit, guess)
        for value, error, hit, guess in zip(residual, errors, main, baseline, strict=True)
    ]


def mean_risk(attack: Attack) -> Measured | str:
    """Mean risk over the variants, all made on the same targets; of one variant its risk.

    A variant that does no better than guessing stays in the mean: leaving it out would pick the
    variants that were lucky on train. The interval respects that variants share their targets.
    """
    if attack.too_few:
        return attack.too_few
    main, baseline = attack.main_rates().value.mean(), attack.baseline_rates().value.mean()
    if main <= baseline:
        return _no_better(main, baseline)
    residual, from_main, from_control = _residuals(attack, LEVEL)
    variance = _variance_of_sum(from_main, attack.main)
    variance += _variance_of_sum(from_control, attack.control)
    value, error = residual.mean(), np.sqrt(variance) / len(residual)
    return within(value, value - error, value + error, 0.0, 1.0)


def worst_risk(attack: Attack) -> Measured | str:
    """Largest risk over the variants, with an interval that holds for all of them at once.

    The largest of several noisy values is too high on average; its lower end is not, since each
    variant gets its share of the 5 % (Bonferroni). So far out the propagated error is too small
    where most attacks succeed; the ends are those of the logarithm of the share of failures on
    train to that on holdout, as for a ratio of risks (Katz et al. 1978).
    """
    if attack.too_few:
        return attack.too_few
    works = attack.main_rates().value > attack.baseline_rates().value
    if not works.any():
        return "no attack does better than guessing"
    level = 1 - (1 - LEVEL) / len(works)
    main, control = attack.main_rates(level), attack.control_rates(level)
    ratio = (1 - main.value) / (1 - control.value)
    error = np.hypot(main.error / (1 - main.value), control.error / (1 - control.value))
    value = _residuals(attack, LEVEL)[0][works].max()
    low, high = ((1 - ratio * np.exp(sign * error))[works].max() for sign in (1, -1))
    return within(value, low, high, 0.0, 1.0)


def _residuals(attack: Attack, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unclipped risks and the parts of their errors that come from either rate, shapes (k,)."""
    main, control = attack.main_rates(level), attack.control_rates(level)
    room = 1 - control.value
    residual = (main.value - control.value) / room
    return residual, main.error / room, control.error * (1 - main.value) / room**2


def _variance_of_sum(errors: np.ndarray, successes: np.ndarray) -> float:
    """Square of the error of a sum whose terms correlate as ``successes`` (n, k) do."""
    centred = successes - successes.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    centred /= np.where(length > 0, length, 1.0)
    correlation = centred.T @ centred
    np.fill_diagonal(correlation, 1.0)
    return max(0.0, float(errors @ correlation @ errors))


def _no_better(main: float, baseline: float) -> str:
    return (
        f"the attack does no better than guessing ({main:.3f} against {baseline:.3f}), "
        "so it measures no risk"
    )
