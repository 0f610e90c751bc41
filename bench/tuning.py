"""Tuning: how a generator's hyperparameters were chosen, and what that costs of a budget.

Every trial on private rows is another release (Papernot and Steinke 2022 show what ignoring that
leaks). So a private claim says how its hyperparameters came about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from .contracts import Budget

How = Literal["none", "public", "charged", "private"]


@dataclass(frozen=True)
class Tuning:
    """How hyperparameters were chosen.

    Parameters
    ----------
    how : {"none", "public", "charged", "private"}
        Not at all; on a public stand-in; on the private rows with every trial charged; on the
        private rows at no charge.
    stand_in : str, optional
        The public table, for ``public``.
    trials : int
        How many there were, the final fit among them, for ``charged``: each is handed epsilon /
        trials and delta / trials, so that any choice among them keeps the budget by sequential
        composition (Dwork and Roth 2014, theorem 3.16), as long as the choice itself reads nothing
        but the trials' tables.

    Raises
    ------
    ValueError
        If they do not fit together.
    """

    how: How = "none"
    stand_in: str | None = None
    trials: int = 1

    def __post_init__(self) -> None:
        if self.how not in get_args(How):
            raise ValueError(
                f"tuning.how must be one of {', '.join(get_args(How))}, got {self.how!r}"
            )
        if (self.how == "public") != bool(self.stand_in):
            raise ValueError(
                "tuning.stand_in names the public table of tuning.how=public, and only of that; "
                f"got how={self.how!r}, stand_in={self.stand_in!r}"
            )
        whole = isinstance(self.trials, int) and not isinstance(self.trials, bool)
        if not whole or self.trials < 1 or (self.trials > 1 and self.how != "charged"):
            raise ValueError(
                "tuning.trials must be a whole number >= 1, above 1 only for tuning.how=charged; "
                f"got {self.trials!r} for how={self.how!r}"
            )

    def handed(self, budget: Budget) -> Budget:
        """Return the budget of a single trial."""
        if not budget.is_private:
            return budget
        return replace(
            budget, epsilon=budget.epsilon / self.trials, delta=budget.delta / self.trials
        )

    @property
    def text(self) -> str:
        """What a board says of it."""
        return {
            "none": "not tuned",
            "public": f"tuned on public {self.stand_in}",
            "charged": f"{self.trials} trials charged, sequential composition",
            "private": "tuning not private",
        }[self.how]
