"""The privacy ledger: which mechanisms touched private rows, and the epsilon they add up to.

A generator states events; the harness, not the generator, computes what they cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Neighbours = Literal["add_remove", "replace"]
Mechanism = Literal["laplace", "gaussian"]


@dataclass(frozen=True)
class Event:
    """One use of a mechanism on private rows.

    Parameters
    ----------
    mechanism : {"laplace", "gaussian"}
        The noise that was added.
    sensitivity : float
        Of the released value, in the norm of the mechanism (L1 for Laplace, L2 for Gaussian).
    scale : float
        Of the noise: b of Laplace, the standard deviation of a Gaussian; inf for no release at all.
    count : int
        How often it was used.
    sampling_rate : float
        Share of rows in a Poisson-sampled use; 1 for all rows.
    purpose : str
        What the released value was for.
    """

    mechanism: Mechanism
    sensitivity: float
    scale: float
    count: int = 1
    sampling_rate: float = 1.0
    purpose: str = ""

    def __post_init__(self) -> None:
        if self.mechanism not in get_args(Mechanism):
            raise ValueError(
                f"mechanism must be one of {', '.join(get_args(Mechanism))}, got {self.mechanism!r}"
            )
        positive = {"sensitivity": self.sensitivity, "scale": self.scale, "count": self.count}
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"{name} must be > 0, got {value!r}")
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"sampling_rate must be in (0, 1], got {self.sampling_rate!r}")

    @property
    def noise_multiplier(self) -> float:
        """Noise scale in units of the sensitivity."""
        return self.scale / self.sensitivity


def spent_epsilon(ledger: Sequence[Event], delta: float) -> float:
    """Compute the epsilon that a ledger spends at ``delta``.

    Full-batch Laplace events compose to the exact sum of their epsilons (Dwork and Roth 2014,
    theorem 3.16). Full-batch Gaussian events compose to one Gaussian event, whose epsilon is exact
    too (Balle and Wang 2018, theorem 8). Everything else goes through the privacy loss
    distributions of dp-accounting, an upper bound that is tight to its discretisation.

    Parameters
    ----------
    ledger : sequence of Event
        Empty for a generator that read no private row.
    delta : float
        In [0, 1).

    Returns
    -------
    float
        In [0, inf].
    """
    if not ledger:
        return 0.0
    mechanisms = {event.mechanism for event in ledger}
    if all(event.sampling_rate == 1 for event in ledger) and len(mechanisms) == 1:
        if mechanisms == {"laplace"}:
            return math.fsum(event.count / event.noise_multiplier for event in ledger)
        mu = math.sqrt(math.fsum(e.count / e.noise_multiplier**2 for e in ledger))
        return gaussian_epsilon(mu, delta)
    return _pld_epsilon(ledger, delta)


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Delta of a Gaussian mechanism with sensitivity / noise = ``mu`` at ``epsilon``.

    Balle and Wang 2018, theorem 8; equivalently the curve of mu-GDP (Dong, Roth and Su 2022).
    """
    from scipy.special import log_ndtr

    first = math.exp(log_ndtr(mu / 2 - epsilon / mu))
    return max(0.0, first - math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu)))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Epsilon of a Gaussian mechanism with sensitivity / noise = ``mu`` at ``delta``."""
    if mu == 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    if delta == 0:
        return math.inf
    from scipy.optimize import root_scalar

    high = 1.0
    while gaussian_delta(mu, high) > delta:
        high *= 2
    return root_scalar(
        lambda epsilon: gaussian_delta(mu, epsilon) - delta, bracket=(0.0, high), xtol=1e-12
    ).root


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Largest sensitivity / noise of a Gaussian mechanism that keeps (``epsilon``, ``delta``).

    The analytic calibration of Balle and Wang 2018, algorithm 1, by root finding.
    """
    from scipy.optimize import root_scalar

    high = 1.0
    while gaussian_delta(high, epsilon) < delta:
        high *= 2
    low = high
    while gaussian_delta(low, epsilon) > delta:
        low /= 2
    return root_scalar(
        lambda mu: gaussian_delta(mu, epsilon) - delta, bracket=(low, high), xtol=1e-15
    ).root


def _pld_epsilon(ledger: Sequence[Event], delta: float) -> float:
    import dp_accounting
    from dp_accounting import pld

    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for event in ledger:
        noise = (
            dp_accounting.GaussianDpEvent(event.noise_multiplier)
            if event.mechanism == "gaussian"
            else dp_accounting.LaplaceDpEvent(event.noise_multiplier)
        )
        if event.sampling_rate < 1:
            noise = dp_accounting.PoissonSampledDpEvent(event.sampling_rate, noise)
        accountant.compose(noise, event.count)
    return float(accountant.get_epsilon(delta))
