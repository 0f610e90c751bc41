"""DP-SGD (Abadi et al. 2016): Poisson lots, gradients clipped row by row, noise, calibration.

Norms of row-wise gradients come in closed form from what enters a linear layer and the slope of the
loss in what leaves it (Goodfellow 2015), so no row's gradient is ever built. A critic's gradient
takes at most 1.5 times as long as without clipping; with Opacus 1.6 it takes 25 to 50 times, 3 to 6
with its ghost clipping (scripts/speed/private_networks.py). So Opacus is the tests' oracle only.
Networks must be made of linear layers, each used once per row, without anything that mixes rows.

Gaussian noise on gradients is floating-point, drawn in double precision from the numpy generator
that is handed in: torch's own keeps 32 bits of a seed, and its float32 normals end at 5.77 standard
deviations, where a private row's gradient would show more often than delta allows. Only
``add_remove`` neighbours are covered: the amplification by Poisson sampling is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...bench.contracts import Budget
from ...bench.ledger import Event, gaussian_mu
from ...bench.schema import Schema
from ..views.domain import not_finite
from .noise import discrete_laplace

if TYPE_CHECKING:
    from torch import Tensor

    Tap = tuple[Tensor, Tensor]  # what entered a linear layer, what left it
    PerRow = Callable[[Tensor], tuple[Tensor, list[Tap]]]  # rows to their losses, and the taps

CLOSE = 2e-3  # relative; how much of epsilon a calibration may leave unspent
INTERVAL = 1e-3  # of discretised privacy losses, in units of epsilon
TRIALS = 40  # of noise multipliers; a few are enough
REPEATS = 16  # draws of a loss whose mean a trace takes
LEAST_EPSILON = 0.01  # below which noise is all that a network would learn


def not_sampled(schema: Schema, budget: Budget) -> str | None:
    """Say why DP-SGD does not apply."""
    if budget.is_private and budget.delta == 0:
        return "Gaussian noise needs delta > 0; set privacy.delta=1e-5"
    if budget.epsilon < LEAST_EPSILON:
        return f"DP-SGD needs epsilon >= {LEAST_EPSILON:g}, got {budget.epsilon:g}"
    if budget.is_private and budget.neighbours != "add_remove":
        return "Poisson sampling is accounted for add_remove neighbours only"
    return not_finite(schema, budget)


def noise_on_counts(budget: Budget, share: float, columns: int = 1) -> float:
    """Sigma for histograms of ``columns`` columns that may take a share of the budget.

    Squared sensitivities over variances add up under composition, so shares are of their sum.
    """
    return math.sqrt(columns / share) / gaussian_mu(budget.epsilon, budget.delta)


def noisy_number_of_rows(
    rows: int, budget: Budget, share: float, rng: np.random.Generator
) -> tuple[int, tuple[Event, ...]]:
    """Estimate how many rows there are, at least 1, and say what that cost.

    The estimate decides over sampling rates and noise, so it is pure and takes its share off
    epsilon.
    """
    if not budget.is_private:
        return max(1, rows), ()
    scale = 1 / (share * budget.epsilon)
    estimate = max(1, rows + int(discrete_laplace(scale, 1, rng)[0]))
    return estimate, (Event("discrete_laplace", 1, scale, purpose="number of rows", decides=True),)


class Trace:
    """What noisy gradients say of which of two neighbouring tables was trained on.

    For an attacker who knows both tables and all steps (Nasr et al. 2023, arXiv:2302.07956, its
    white box). Where every row is in every lot and its loss draws nothing it is the log-likelihood
    ratio, up to its scale; of losses that draw noise or conditions it takes the mean.

    Parameters
    ----------
    absent, present : Tensor
        Rows of the two tables, as ``PerRow`` takes them.
    """

    def __init__(self, absent: Tensor, present: Tensor) -> None:
        self.value = 0.0
        self._tables = absent, present

    def see(self, noisy: list[Tensor], sums: Callable[[Tensor], list[Tensor]], rate: float) -> None:
        """Take a step in: its noisy sum, and what the sum of either table would be."""
        absent, present = ([s / REPEATS for s in sums(t.repeat(REPEATS, 1))] for t in self._tables)
        for seen, without, given in zip(noisy, absent, present, strict=True):
            middle = rate * (without + given) / 2
            self.value += float(((seen - middle) * (given - without)).sum())


@dataclass(frozen=True)
class Descent:
    """How private gradients are taken, all of it fixed before the first one.

    Parameters
    ----------
    rate : float
        Chance of each row to be in a lot.
    lot : float
        Expected rows in a lot, by which sums of gradients are divided.
    bound : float
        Largest norm that a row's gradient keeps; inf without a budget.
    noise : float
        Noise multiplier: standard deviation in units of ``bound``; 0 without a budget.
    ledger : tuple of Event
        What the whole fit spends.
    claimed_epsilon : float
        What that adds up to.
    trace : Trace, optional
        What watches the gradients.
    """

    rate: float
    lot: float
    bound: float
    noise: float
    ledger: tuple[Event, ...]
    claimed_epsilon: float
    trace: Trace | None = None

    @classmethod
    def of(
        cls,
        estimate: int,
        paid: tuple[Event, ...],
        budget: Budget,
        *,
        lot: int,
        steps: int,
        bound: float,
        trace: Trace | None = None,
    ) -> Descent:
        """Calibrate the noise of ``steps`` gradients to what ``paid`` leaves of the budget.

        Parameters
        ----------
        estimate : int
            A public number of rows, >= 1; a wrong one costs utility and no privacy.
        """
        rate, expected = min(1.0, lot / estimate), float(min(lot, estimate))
        if not budget.is_private:
            return cls(rate, expected, math.inf, 0.0, (), math.inf, trace)

        first = sum(event.pure_epsilon for event in paid if event.decides)
        left = replace(budget, epsilon=budget.epsilon - first)

        def ledger(noise: float) -> tuple[Event, ...]:
            event = Event("gaussian", bound, noise * bound, steps, rate, "gradients")
            return (*paid, event)

        guess = _first_guess(left, rate, steps)
        noise, spent = calibrated(lambda noise: _epsilon(ledger(noise), left), left.epsilon, guess)
        return cls(rate, expected, bound, noise, ledger(noise), first + spent, trace)

    def draw(self, rows: int, rng: np.random.Generator) -> Tensor:
        """Draw a lot: positions of rows, each in it independently (Poisson sampling)."""
        import torch

        return torch.from_numpy(np.flatnonzero(rng.random(rows) < self.rate))

    def gradients(self, per_row: PerRow, lot: Tensor, rng: np.random.Generator) -> list[Tensor]:
        """Return the noisy mean gradient of a lot, of each layer its weight's and its bias's."""
        import torch

        def sums_of(rows: Tensor) -> list[Tensor]:
            return clipped_sums(*per_row(rows), self.bound)

        sums = sums_of(lot)
        if self.noise:
            deviation = self.noise * self.bound
            noise = (torch.from_numpy(rng.normal(0.0, deviation, s.shape)) for s in sums)
            sums = [(s + n).float() for s, n in zip(sums, noise, strict=True)]
        if self.trace is not None:
            self.trace.see(sums, sums_of, self.rate)
        return [s / self.lot for s in sums]


def clipped_sums(losses: Tensor, taps: list[Tap], bound: float) -> list[Tensor]:
    """Sum gradients over rows, each scaled down to norm ``bound`` over all layers together.

    Parameters
    ----------
    losses : Tensor, shape (n,)
        One for each row.
    taps : list of (Tensor, Tensor)
        What entered and what left each linear layer, shapes (n, inputs) and (n, outputs).
    bound : float
        inf clips nothing.

    Returns
    -------
    list of Tensor
        Of each layer the weight's sum, shape (outputs, inputs), and the bias's.
    """
    import torch

    slopes = list(torch.autograd.grad(losses.sum(), [after for _, after in taps]))
    befores = [before.detach() for before, _ in taps]
    if math.isfinite(bound):
        squares = torch.zeros(len(losses))
        for slope, before in zip(slopes, befores, strict=True):
            squares += slope.square().sum(1) * (before.square().sum(1) + 1)  # 1: the bias
        scales = torch.clamp(bound / squares.sqrt(), max=1.0).unsqueeze(1)
        slopes = [slope * scales for slope in slopes]
    pairs = zip(slopes, befores, strict=True)
    return [total for slope, before in pairs for total in (slope.T @ before, slope.sum(0))]


def calibrated(
    epsilon: Callable[[float], float], target: float, guess: float
) -> tuple[float, float]:
    """Find a noise that spends at most ``target`` and nearly all of it.

    Parameters
    ----------
    epsilon : callable
        Falls as the noise grows.
    guess : float
        Where to begin; the search follows the slope in logarithms, which varies little.

    Returns
    -------
    tuple of float
        The noise and its epsilon.
    """
    low, high, noise, slope = 0.0, math.inf, guess, -1.0
    last: tuple[float, float] | None = None
    for _ in range(TRIALS):
        spent = epsilon(noise)
        if target * (1 - CLOSE) <= spent <= target:
            return noise, spent
        low, high = (noise, high) if spent > target else (low, noise)
        here = math.log(noise), math.log(max(spent, 1e-9 * target))
        if last is not None and here[0] != last[0]:
            slope = min((here[1] - last[1]) / (here[0] - last[0]), -0.2)
        last = here
        noise = math.exp(here[0] + (math.log(target * (1 - CLOSE / 2)) - here[1]) / slope)
        if not low < noise < high:
            noise = math.sqrt(low * high) if low else high / 2
    return high, epsilon(high)


def _epsilon(ledger: tuple[Event, ...], budget: Budget) -> float:
    """Bound what a ledger spends beside what decided, by coarse and fast loss distributions."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    interval = INTERVAL * min(max(budget.epsilon, 0.1), 3.0)
    total = pld.identity(interval)
    for event in ledger:
        if event.decides:
            continue
        if event.mechanism == "discrete_gaussian":
            one = pld.from_discrete_gaussian_mechanism(
                event.noise_multiplier, value_discretization_interval=interval
            )
        else:
            one = pld.from_gaussian_mechanism(
                event.noise_multiplier,
                sampling_prob=event.sampling_rate,
                value_discretization_interval=interval,
                use_connect_dots=True,
            )
        total = total.compose(one.self_compose(event.count))
    return float(total.get_epsilon_for_delta(budget.delta))


def _first_guess(budget: Budget, rate: float, steps: int) -> float:
    """Noise by the central limit theorem (Bu et al. 2020, section 3), which is not safe by itself.

    mu = rate sqrt(steps (exp(1 / noise**2) - 1)).
    """
    mu = gaussian_mu(budget.epsilon, budget.delta)
    if rate == 1:
        return math.sqrt(steps) / mu
    return 1 / math.sqrt(math.log1p(mu**2 / (rate**2 * steps)))
