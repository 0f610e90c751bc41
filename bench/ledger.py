"""The privacy ledger: which mechanisms touched private rows, and what one of them is worth.

A generator states events; the harness, not the generator, computes what they cost together
(``accountant``). Here are the events and the closed forms by which mechanisms are calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Neighbours = Literal["add_remove", "replace"]
Mechanism = Literal[
    "laplace", "discrete_laplace", "gaussian", "discrete_gaussian", "exponential", "pure"
]
GAUSSIAN = ("gaussian", "discrete_gaussian")
FLOATING_POINT = ("laplace", "gaussian", "exponential", "pure")
RESERVED = "reserved, not used"  # purpose of what an adaptive filter kept and nothing drew on


@dataclass(frozen=True)
class Event:
    """One use of a mechanism on private rows.

    Parameters
    ----------
    mechanism : str
        ``laplace``, ``discrete_laplace``, ``gaussian`` or ``discrete_gaussian`` for the noise that
        was added; ``exponential`` for a choice with chances proportional to exp(score / scale);
        ``pure`` for anything else that is proven to keep epsilon = sensitivity / scale.
    sensitivity : float
        Largest change between neighbours of the released value, in the norm of the mechanism: L1
        for Laplace, L2 for Gaussian; of a choice, the largest change of one score less the least
        change of another (its range). A whole number for discrete Gaussian noise, whose events
        count one per changed cell.
    scale : float
        Of the noise: b of Laplace, the standard deviation of a Gaussian; inf for no release at all.
    count : int
        How often it was used.
    sampling_rate : float
        Share of rows in a Poisson-sampled use; 1 for all rows.
    purpose : str
        What the released value was for.
    adaptive : bool
        Whether its scale or count was chosen after seeing earlier noisy answers. Such uses are
        accounted by a filter on the sum of rho or epsilon (Feldman and Zrnic 2021), whose guarantee
        is the sum that was never to be exceeded: what is left of it is booked as ``RESERVED``.
    decides : bool
        Whether its answer chose the scales or sampling rates of other events. It must be pure, and
        its epsilon is added to that of the others, whatever they are (sequential composition).
    """

    mechanism: Mechanism
    sensitivity: float
    scale: float
    count: int = 1
    sampling_rate: float = 1.0
    purpose: str = ""
    adaptive: bool = False
    decides: bool = False

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
        if self.decides and self.mechanism in GAUSSIAN:
            raise ValueError(
                f"an event that decides must be pure, got {self.mechanism!r}; use Laplace noise"
            )
        if self.mechanism == "discrete_gaussian" and self.sensitivity != int(self.sensitivity):
            raise ValueError(
                "sensitivity of discrete Gaussian noise must be a whole number, "
                f"got {self.sensitivity!r}; state one event for each changed cell"
            )

    @property
    def noise_multiplier(self) -> float:
        """Noise scale in units of the sensitivity."""
        return self.scale / self.sensitivity

    @property
    def pure_epsilon(self) -> float:
        """Epsilon at delta = 0 of a single use; inf for Gaussian noise.

        Poisson sampling amplifies it (Balle, Barthe and Gaboardi 2018, theorem 8, for add_remove).
        """
        if self.mechanism in GAUSSIAN:
            return math.inf
        epsilon = 1 / self.noise_multiplier
        return math.log1p(self.sampling_rate * math.expm1(epsilon)) if epsilon < 700 else epsilon


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


def zcdp_delta(rho: float, epsilon: float) -> float:
    """Delta of ``rho``-zCDP at ``epsilon`` (Canonne, Kamath and Steinke 2020, proposition 12)."""
    from scipy.optimize import minimize_scalar

    def log_delta(log_order: float) -> float:
        order = 1 + math.exp(log_order)
        above = order - 1
        return above * (order * rho - epsilon) - math.log(above) + order * math.log1p(-1 / order)

    if rho == 0:
        return 0.0
    best = minimize_scalar(
        log_delta, bounds=(-20.0, 30.0), method="bounded", options={"xatol": 1e-10}
    )
    return min(1.0, math.exp(min(0.0, best.fun)))


def zcdp_rho(epsilon: float, delta: float) -> float:
    """Largest rho for which rho-zCDP implies (``epsilon``, ``delta``); both > 0."""
    from scipy.optimize import root_scalar

    return root_scalar(
        lambda rho: math.log(max(zcdp_delta(rho, epsilon), 1e-300)) - math.log(delta),
        bracket=(1e-30, epsilon + 1),
        xtol=1e-15,
        rtol=1e-12,
    ).root


def zcdp_epsilon(rho: float, delta: float) -> float:
    """Least epsilon for which ``rho``-zCDP implies (epsilon, ``delta``)."""
    from scipy.optimize import root_scalar

    if rho == 0:
        return 0.0
    high = rho + 2 * math.sqrt(rho * math.log(1 / delta))  # Bun and Steinke 2016, proposition 1.3
    if zcdp_delta(rho, 0.0) <= delta:
        return 0.0
    return root_scalar(
        lambda epsilon: math.log(max(zcdp_delta(rho, epsilon), 1e-300)) - math.log(delta),
        bracket=(0.0, high),
        rtol=1e-12,
    ).root
