"""An allowance: one budget spent in shares, and the ledger of what it was spent on.

With delta > 0 shares are shares of rho (zero-concentrated differential privacy, Bun and Steinke
2016), noise is discrete Gaussian, and the whole costs what rho-zCDP implies at delta. With delta =
0 they are shares of epsilon and noise is discrete Laplace. With an infinite epsilon everything is
exact and nothing is booked.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from ...bench.contracts import Budget
from ...bench.ledger import RESERVED, Event, Mechanism, zcdp_epsilon, zcdp_rho
from .noise import discrete_gaussian, discrete_laplace

ROUNDING = 1e-9  # of sums of shares


class Allowance:
    """Spends a budget in shares that add up to at most 1.

    Parameters
    ----------
    budget : Budget
        The total.
    adaptive : bool
        Whether shares depend on earlier noisy answers.
    """

    def __init__(self, budget: Budget, adaptive: bool = False) -> None:
        self.budget = budget
        self.adaptive = adaptive
        self.left = 1.0
        self._concentrated = budget.delta > 0
        self._total = (
            zcdp_rho(budget.epsilon, budget.delta) if self._concentrated else budget.epsilon
        )
        # Cells of a histogram whose counts differ by one between neighbours.
        self._cells = 1 if budget.neighbours == "add_remove" else 2
        self._events: Counter[Event] = Counter()

    @property
    def ledger(self) -> tuple[Event, ...]:
        """What was spent so far, equal uses counted together."""
        return tuple(replace(event, count=count) for event, count in self._events.items())

    @property
    def claimed_epsilon(self) -> float:
        """Epsilon of what was spent so far, by the rule that the shares follow."""
        if not self.budget.is_private:
            return math.inf
        spent = self._total * (1 - self.left)
        return zcdp_epsilon(spent, self.budget.delta) if self._concentrated else spent

    def scale(self, share: float) -> float:
        """Return the scale of the noise on counts: a Gaussian's sigma, b of a Laplace."""
        if not self.budget.is_private:
            return 0.0
        if self._concentrated:
            return math.sqrt(self._cells / (2 * self._total * share))
        return self._cells / (self._total * share)

    def deviation(self, share: float) -> float:
        """Return the standard deviation of the noise on counts."""
        scale = self.scale(share)
        if self._concentrated or scale == 0:
            return scale
        return 1 / (math.sqrt(2) * math.sinh(1 / (2 * scale)))

    def epsilon(self, share: float) -> float:
        """Return the epsilon of a pure mechanism that costs ``share``."""
        return math.sqrt(2 * self._total * share) if self._concentrated else self._total * share

    def noisy(
        self, counts: np.ndarray, share: float, purpose: str, rng: np.random.Generator
    ) -> np.ndarray:
        """Add noise to a histogram.

        Parameters
        ----------
        counts : ndarray of whole numbers, any shape
            Each row of the table adds 1 to at most one cell.
        share : float
            Of the budget.
        purpose : str
            What the histogram is for.
        rng : Generator
            Where the noise comes from.

        Returns
        -------
        ndarray of float64
            Unclipped whole numbers.
        """
        exact = np.asarray(counts, dtype=np.float64)
        scale = self.scale(share)
        if not self._spend(share):
            return exact
        if self._concentrated:
            self._book("discrete_gaussian", 1, scale, self._cells, purpose)
            return exact + discrete_gaussian(scale, exact.size, rng).reshape(exact.shape)
        self._book("discrete_laplace", self._cells, scale, 1, purpose)
        return exact + discrete_laplace(scale, exact.size, rng).reshape(exact.shape)

    def choose(
        self,
        scores: np.ndarray,
        sensitivity: float,
        share: float,
        purpose: str,
        rng: np.random.Generator,
    ) -> int:
        """Choose a candidate with a high score (McSherry and Talwar 2007, exponential mechanism).

        Parameters
        ----------
        scores : ndarray of float64, shape (candidates,)
            What a high score means is the caller's; -inf is never chosen and must be public.
        sensitivity : float
            Largest change of one score when a row is added or removed.
        share : float
            Of the budget; an epsilon-choice is epsilon**2 / 8-zCDP (Cesar and Rogers 2021).
        purpose : str
            What is chosen.
        rng : Generator
            Draws Gumbel noise, whose largest sum with the scores is the choice.

        Returns
        -------
        int
            The position of the candidate.
        """
        if not self._spend(share):
            return int(np.argmax(scores))
        doubled = math.sqrt(8 * self._total * share) if self._concentrated else self.epsilon(share)
        range_ = 2 * self._cells * sensitivity
        self._book("exponential", range_, range_ / doubled, 1, purpose)
        return int(np.argmax(scores * (doubled / range_) + rng.gumbel(size=len(scores))))

    def pure(self, share: float, purpose: str) -> float:
        """Spend a share on a mechanism with a proof of its own, and return its epsilon."""
        epsilon = self.epsilon(share)
        if self._spend(share):
            self._book("pure", 1, 1 / epsilon, 1, purpose)
        return epsilon

    def reserve(self) -> None:
        """Book what is left of an adaptive allowance: its guarantee is the whole, used or not."""
        if self.adaptive and self.left > ROUNDING:
            self.pure(self.left, RESERVED)

    def _spend(self, share: float) -> bool:
        """Take a share off; False where nothing has to be paid."""
        if not share > 0:
            raise ValueError(f"share must be > 0, got {share!r}")
        if share > self.left + ROUNDING:
            raise ValueError(
                f"share must be at most what is left of the budget, {self.left!r}, got {share!r}"
            )
        self.left = max(0.0, self.left - share)
        return self.budget.is_private

    def _book(
        self, mechanism: Mechanism, sensitivity: float, scale: float, count: int, purpose: str
    ) -> None:
        event = Event(mechanism, sensitivity, scale, purpose=purpose, adaptive=self.adaptive)
        self._events[event] += count
