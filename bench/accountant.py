"""The accountant: what a ledger adds up to, computed by the harness and not by the generator.

Sequential composition, adaptive or not. Every method gives a sound upper bound, so the least of
them is reported; all are kept. Privacy loss distributions and Renyi divergences come from Google's
dp-accounting.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .ledger import GAUSSIAN, Event, Neighbours, gaussian_epsilon, zcdp_delta, zcdp_epsilon

INTERVAL = 1e-4  # of the discretised privacy losses
PURE_LIMIT = 50.0  # total epsilon beyond which privacy losses are not discretised
WIDEST_NOISE = 1e4  # scale of discrete Gaussian noise beyond which its losses are too many
Profile = Callable[[np.ndarray], np.ndarray]  # epsilons to deltas


class Use(NamedTuple):
    """What equal uses of a mechanism have in common; scales are in units of the sensitivity.

    Discrete Gaussian noise alone keeps both: by k cells of its lattice of scale s it hides less
    than by one cell of a lattice of scale s / k.
    """

    mechanism: str
    noise: float
    rate: float
    shift: int = 1


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
    found = _spent(tuple(ledger), delta, neighbours)
    return replace(found, by=dict(found.by))


@lru_cache(maxsize=1024)  # audits and boards ask again and again for the same few ledgers
def _spent(ledger: tuple[Event, ...], delta: float, neighbours: Neighbours) -> Spent:
    if not ledger:
        return Spent(0.0, {})
    first, rest = _deciding(ledger)
    if first:
        others = spent(rest, delta, neighbours)
        return Spent(first + others.epsilon, {name: first + e for name, e in others.by.items()})
    uses = _uses(ledger, neighbours)
    by = {}
    pure = _pure(uses)
    if math.isfinite(pure):
        by["pure"] = pure
    adaptive = any(event.adaptive for event in ledger)
    if not adaptive and all(use.mechanism == "gaussian" and use.rate == 1 for use in uses):
        mu = math.sqrt(math.fsum(count / use.noise**2 for use, count in uses.items()))
        by["gaussian"] = gaussian_epsilon(mu, delta)
    if delta > 0:
        if not adaptive and "gaussian" not in by and _has_loss_distribution(uses):
            by["pld"] = float(_losses(tuple(uses.items())).get_epsilon_for_delta(delta))
        if not adaptive and not any(u.rate < 1 for u in uses if u.mechanism == "discrete_gaussian"):
            by["rdp"] = _renyi_epsilon(uses, delta)
        if (rho := _rho(uses)) is not None:
            by["zcdp"] = zcdp_epsilon(rho, delta)
    return Spent(min(by.values(), default=math.inf), by)


def spent_epsilon(
    ledger: Sequence[Event], delta: float, neighbours: Neighbours = "add_remove"
) -> float:
    """Return the least sound epsilon of ``spent``."""
    return spent(ledger, delta, neighbours).epsilon


def delta_of(
    ledger: Sequence[Event], delta: float, neighbours: Neighbours = "add_remove"
) -> Profile:
    """Return the deltas of a ledger as a function of epsilons >= 0: its whole privacy profile.

    The trade-off curve that no test between neighbours can get below follows from it (Dong, Roth
    and Su 2022, proposition 6). Where scales or rates depend on earlier answers, the ledger of one
    fit says nothing of another's losses; then only what was calibrated holds: epsilon at ``delta``,
    and rho where that is what adds up.
    """
    if not ledger:
        return np.zeros_like
    uses = _uses(ledger, neighbours)
    decided = any(event.decides for event in ledger)
    fixed = not decided and not any(event.adaptive for event in ledger)
    if fixed and _has_loss_distribution(uses):
        frozen = tuple(uses.items())
        return lambda epsilons: np.reshape(
            _deltas(frozen, tuple(np.ravel(epsilons).tolist())), np.shape(epsilons)
        )
    profiles = [_profile_of_pair(spent_epsilon(ledger, delta, neighbours), delta)]
    if not decided and (rho := _rho(uses)) is not None:
        profiles.append(np.vectorize(lambda epsilon: zcdp_delta(rho, epsilon), otypes=[float]))
    return lambda epsilons: np.min([profile(epsilons) for profile in profiles], axis=0)


def _profile_of_pair(epsilon: float, delta: float) -> Profile:
    """Return the worst profile that is (epsilon, delta)-private.

    That of the pair which dominates all others (Kairouz, Oh and Viswanath 2015, theorem 3.3).
    """
    largest = math.tanh(epsilon / 2)  # (e**epsilon - 1) / (e**epsilon + 1), the delta at 0

    def profile(epsilons: np.ndarray) -> np.ndarray:
        left = np.minimum(epsilons, epsilon) - epsilon
        growth = (np.exp(left) - math.exp(-epsilon)) / (1 + math.exp(-epsilon))
        return delta + (1 - delta) * np.maximum(0.0, largest - growth)

    return profile


def _deciding(ledger: Sequence[Event]) -> tuple[float, list[Event]]:
    """Return the epsilon of the events that decide over others, and the others."""
    epsilons = [event.count * event.pure_epsilon for event in ledger if event.decides]
    return math.fsum(epsilons), [event for event in ledger if not event.decides]


def _uses(ledger: Sequence[Event], neighbours: Neighbours) -> Counter[Use]:
    """Count equal uses."""
    uses: Counter[Use] = Counter()
    for event in ledger:
        rate = event.sampling_rate if neighbours == "add_remove" else 1.0
        shift = int(event.sensitivity) if event.mechanism == "discrete_gaussian" else 1
        uses[Use(event.mechanism, event.noise_multiplier, rate, shift)] += event.count
    return uses


def _event(use: Use) -> Event:
    # The sensitivity of discrete Gaussian noise would have to be a whole number.
    mechanism = "gaussian" if use.mechanism == "discrete_gaussian" else use.mechanism
    return Event(mechanism, 1.0, use.noise, sampling_rate=use.rate)  # type: ignore[arg-type]


def _pure(uses: Mapping[Use, int]) -> float:
    """Add up the epsilons of all uses at delta = 0; inf if one has none."""
    return math.fsum(count * _event(use).pure_epsilon for use, count in uses.items())


def _has_loss_distribution(uses: Mapping[Use, int]) -> bool:
    """Whether privacy losses can be discretised: neither too large nor too many."""
    discrete = [use.noise * use.shift for use in uses if use.mechanism == "discrete_gaussian"]
    few = all(scale <= WIDEST_NOISE or math.isinf(scale) for scale in discrete)
    return few and not PURE_LIMIT < _pure(uses) < math.inf


@lru_cache(maxsize=4)  # megabytes each
def _losses(uses: tuple[tuple[Use, int], ...]) -> Any:
    """Compose the privacy loss distributions of all uses."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    total = pld.identity(INTERVAL)
    for use, count in uses:
        total = total.compose(_losses_of(use).self_compose(count))
    return total


@lru_cache(maxsize=256)
def _deltas(uses: tuple[tuple[Use, int], ...], epsilons: tuple[float, ...]) -> Sequence[float]:
    """Return the deltas of all uses; dp-accounting takes half a second for a wide distribution."""
    return tuple(_losses(uses).get_delta_for_epsilon(list(epsilons)))


def _losses_of(use: Use) -> Any:
    from dp_accounting.pld import common
    from dp_accounting.pld import privacy_loss_distribution as pld

    mechanism, noise, rate, shift = use
    settings: dict[str, Any] = {"value_discretization_interval": INTERVAL}
    if math.isinf(noise):
        return pld.identity(INTERVAL)
    if mechanism == "gaussian":
        return pld.from_gaussian_mechanism(
            noise, sampling_prob=rate, use_connect_dots=True, **settings
        )
    if mechanism == "discrete_gaussian":
        return pld.from_discrete_gaussian_mechanism(
            noise * shift, sensitivity=shift, sampling_prob=rate, **settings
        )
    if mechanism == "laplace":
        return pld.from_laplace_mechanism(
            noise, sampling_prob=rate, use_connect_dots=True, **settings
        )
    epsilon = _event(use).pure_epsilon
    if mechanism == "exponential" and rate == 1:
        return _losses_of_choice(epsilon)
    return pld.from_privacy_parameters(
        common.DifferentialPrivacyParameters(epsilon, 0.0), **settings
    )


def _losses_of_choice(epsilon: float) -> Any:
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

    mechanism, noise, rate, _ = use
    if math.isinf(noise):
        return dp_accounting.NoOpDpEvent()
    if mechanism in GAUSSIAN and rate < 1:
        return dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    if mechanism == "laplace" and rate == 1:
        return dp_accounting.LaplaceDpEvent(noise)
    return dp_accounting.ZCDpEvent(_concentrated(use))


def _rho(uses: Mapping[Use, int]) -> float | None:
    """Add up what all uses cost in rho; None where one of them is sampled."""
    if any(use.rate < 1 for use in uses):
        return None
    return math.fsum(count * _concentrated(use) for use, count in uses.items())


def _concentrated(use: Use) -> float:
    """Return the rho of zero-concentrated differential privacy that a use costs.

    Discrete Gaussian noise costs no more than Gaussian noise (Canonne, Kamath and Steinke 2020,
    theorem 4); a choice of bounded range epsilon costs epsilon**2 / 8 (Cesar and Rogers 2021),
    anything pure epsilon**2 / 2 (Bun and Steinke 2016, proposition 1.4).
    """
    if use.mechanism in GAUSSIAN:
        return 1 / (2 * use.noise**2)
    epsilon = _event(use).pure_epsilon
    return epsilon**2 / (8 if use.mechanism == "exponential" and use.rate == 1 else 2)
