"""The accountant: what a ledger adds up to, computed by the harness and not by the generator.

Sequential composition, adaptive or not. Every method gives a sound upper bound, so the least of
them is reported; all are kept. Privacy loss distributions and Renyi divergences come from Google's
dp-accounting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ledger import GAUSSIAN, Event, Neighbours, gaussian_epsilon, zcdp_epsilon

INTERVAL = 1e-4  # of the discretised privacy losses
PURE_LIMIT = 50.0  # total epsilon beyond which privacy losses are not discretised
Use = tuple[str, float, float]  # mechanism, noise multiplier, sampling rate


@dataclass(frozen=True)
class Spent:
    """What a ledger spends at one delta.

    Parameters
    ----------
    epsilon : float
        The least of the upper bounds, in [0, inf].
    by : mapping of str to float
        Each method's bound: ``pure`` (the sum of epsilons), ``gaussian`` (exact), ``pld``, ``rdp``,
        ``zcdp``; only those that apply.
    """

    epsilon: float
    by: Mapping[str, float]


def spent(ledger: Sequence[Event], delta: float, neighbours: Neighbours = "add_remove") -> Spent:
    """Compute the epsilon that a ledger spends at ``delta``.

    Pure mechanisms compose to the sum of their epsilons (Dwork and Roth 2014, theorem 3.16), and
    full-batch Gaussian ones to one Gaussian, whose epsilon is exact (Balle and Wang 2018, theorem
    8). With delta > 0 everything also goes through privacy loss distributions (Doroshenko et al.
    2022), Renyi divergences (Mironov 2017) and, without sampling, zero-concentrated differential
    privacy (Bun and Steinke 2016). Where scales were chosen adaptively only sums of epsilon or rho
    hold; the epsilon of an event that decided over others is added to theirs.

    Parameters
    ----------
    ledger : sequence of Event
        Empty for a generator that read no private row.
    delta : float
        In [0, 1).
    neighbours : {"add_remove", "replace"}
        The relation that the sensitivities are stated for. Under ``replace`` sampling is taken to
        amplify nothing.
    """
    if not ledger:
        return Spent(0.0, {})
    first, rest = _deciding(ledger)
    if first:
        others = spent(rest, delta, neighbours)
        return Spent(first + others.epsilon, {name: first + e for name, e in others.by.items()})
    uses = _uses(ledger, neighbours)
    by = {}
    pure = math.fsum(count * _event(use).pure_epsilon for use, count in uses.items())
    if math.isfinite(pure):
        by["pure"] = pure
    adaptive = any(event.adaptive for event in ledger)
    if not adaptive and all(mechanism == "gaussian" and rate == 1 for mechanism, _, rate in uses):
        mu = math.sqrt(math.fsum(count / noise**2 for (_, noise, _), count in uses.items()))
        by["gaussian"] = gaussian_epsilon(mu, delta)
    if delta > 0:
        if not adaptive and "gaussian" not in by and not PURE_LIMIT < pure < math.inf:
            by["pld"] = float(_loss_distribution(uses).get_epsilon_for_delta(delta))
        if not adaptive:
            by["rdp"] = _renyi_epsilon(uses, delta)
        if all(rate == 1 for _, _, rate in uses):
            rho = math.fsum(count * _concentrated(use) for use, count in uses.items())
            by["zcdp"] = zcdp_epsilon(rho, delta)
    return Spent(min(by.values(), default=math.inf), by)


def spent_epsilon(
    ledger: Sequence[Event], delta: float, neighbours: Neighbours = "add_remove"
) -> float:
    """Return the least sound epsilon of ``spent``."""
    return spent(ledger, delta, neighbours).epsilon


def delta_of(
    ledger: Sequence[Event], neighbours: Neighbours = "add_remove"
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the deltas of a ledger as a function of epsilons: its whole privacy profile.

    The trade-off curve that no test between neighbours can get below follows from it (Dong, Roth
    and Su 2022, proposition 6).
    """
    if not ledger:
        return lambda epsilons: np.maximum(0.0, -np.expm1(epsilons))
    first, rest = _deciding(ledger)
    losses = _loss_distribution(_uses(rest, neighbours))

    def delta(epsilons: np.ndarray) -> np.ndarray:
        left = np.ravel(epsilons) - first
        found = np.reshape(losses.get_delta_for_epsilon(left.tolist()), np.shape(epsilons))
        return np.where(np.asarray(epsilons) < first, 1.0, found)

    return delta


def _deciding(ledger: Sequence[Event]) -> tuple[float, list[Event]]:
    """Return the epsilon of the events that decide over others, and the others."""
    epsilons = [event.count * event.pure_epsilon for event in ledger if event.decides]
    return math.fsum(epsilons), [event for event in ledger if not event.decides]


def _uses(ledger: Sequence[Event], neighbours: Neighbours) -> Counter[Use]:
    """Count equal uses."""
    uses: Counter[Use] = Counter()
    for event in ledger:
        rate = event.sampling_rate if neighbours == "add_remove" else 1.0
        uses[event.mechanism, event.noise_multiplier, rate] += event.count
    return uses


def _event(use: Use) -> Event:
    mechanism, noise, rate = use
    if mechanism == "discrete_gaussian":  # the sensitivity is a whole number there
        mechanism = "gaussian"
    return Event(mechanism, 1.0, noise, sampling_rate=rate)  # type: ignore[arg-type]


def _loss_distribution(uses: Mapping[Use, int]) -> Any:
    """Compose the privacy loss distributions of all uses."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = pld.identity(INTERVAL)
    for use, count in uses.items():
        total = total.compose(_one_loss_distribution(use).self_compose(count))
    return total


def _one_loss_distribution(use: Use) -> Any:
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    mechanism, noise, rate = use
    settings: dict[str, Any] = {"value_discretization_interval": INTERVAL}
    if math.isinf(noise):
        return pld.identity(INTERVAL)
    if mechanism == "gaussian":
        return pld.from_gaussian_mechanism(
            noise, sampling_prob=rate, use_connect_dots=True, **settings
        )
    if mechanism == "discrete_gaussian":
        return pld.from_discrete_gaussian_mechanism(noise, sampling_prob=rate, **settings)
    if mechanism == "laplace":
        return pld.from_laplace_mechanism(
            noise, sampling_prob=rate, use_connect_dots=True, **settings
        )
    epsilon = _event(use).pure_epsilon
    if mechanism == "exponential" and rate == 1:
        return _choice_loss_distribution(epsilon)
    return pld.from_privacy_parameters(
        common.DifferentialPrivacyParameters(epsilon, 0.0), **settings
    )


def _choice_loss_distribution(epsilon: float) -> Any:
    """Privacy losses that dominate every mechanism of bounded range ``epsilon``.

    A choice's log-ratio between neighbours lies in [t - epsilon, t] for some t (Dong, Durfee and
    Rogers 2020). The worst such pair at hockey-stick order x has t = (x + epsilon) / 2, which gives
    delta(x) = (1 - exp((x - epsilon) / 2))**2 / (1 - exp(-epsilon)) for abs(x) <= epsilon.
    """
    from dp_accounting.pld import pld_pmf
    from dp_accounting.pld import privacy_loss_distribution as pld

    steps = math.ceil(epsilon / INTERVAL)
    epsilon = steps * INTERVAL
    places = np.arange(-steps, steps + 1)
    deltas = np.expm1((places * INTERVAL - epsilon) / 2) ** 2 / -np.expm1(-epsilon)
    return pld.PrivacyLossDistribution(
        pld_pmf.create_pmf_pessimistic_connect_dots(INTERVAL, places, np.clip(deltas, 0, 1))
    )


def _renyi_epsilon(uses: Mapping[Use, int], delta: float) -> float:
    import dp_accounting
    from dp_accounting import rdp

    accountant = rdp.RdpAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE
    )
    for use, count in uses.items():
        accountant.compose(_renyi_event(use), count)
    return float(accountant.get_epsilon(delta))


def _renyi_event(use: Use) -> Any:
    """Say what a use costs in Renyi divergence."""
    import dp_accounting

    mechanism, noise, rate = use
    if math.isinf(noise):
        return dp_accounting.NoOpDpEvent()
    if mechanism in GAUSSIAN and rate < 1:
        return dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    if mechanism == "laplace" and rate == 1:
        return dp_accounting.LaplaceDpEvent(noise)
    return dp_accounting.ZCDpEvent(_concentrated(use))


def _concentrated(use: Use) -> float:
    """Return the rho of zero-concentrated differential privacy that a use costs.

    Discrete Gaussian noise costs no more than Gaussian noise (Canonne, Kamath and Steinke 2020,
    theorem 4); a choice of bounded range epsilon costs epsilon**2 / 8 (Cesar and Rogers 2021),
    anything pure epsilon**2 / 2 (Bun and Steinke 2016, proposition 1.4).
    """
    mechanism, noise, rate = use
    if mechanism in GAUSSIAN:
        return 1 / (2 * noise**2)
    epsilon = _event(use).pure_epsilon
    return epsilon**2 / (8 if mechanism == "exponential" and rate == 1 else 2)
