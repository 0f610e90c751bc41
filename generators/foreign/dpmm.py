"""dpmm's MST, AIM and PrivBayes.

Rows are coded here, by public knowledge: dpmm's own preprocessing keeps a column that is constant
in the rows as it is, which no epsilon covers. So nothing is spent on bins.

MST and AIM say what they spend, as rho of zero-concentrated privacy. PrivBayes divides the
sensitivity of its scores by the exact number of rows and is refused at a finite epsilon. Noise
comes from the operating system and takes no seed, so a private fit cannot be repeated.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from .coded import CodedAdapter, zcdp_event
from .common import seed_of

CLASSES = {
    "mst": "dpmm.models.mst.MSTGM",
    "aim": "dpmm.models.aim.AIMGM",
    "privbayes": "dpmm.models.priv_bayes.PrivBayesGM",
}
STATES_RHO = ("mst", "aim")


class Dpmm(CodedAdapter):
    """A generative model of dpmm.

    Parameters
    ----------
    model : {"mst", "aim", "privbayes"}
        Which one.
    bins, epsilon
        As of ``CodedAdapter``.
    arguments : mapping, optional
        Of its constructor.
    """

    def __init__(
        self,
        model: str,
        bins: int = 32,
        epsilon: float = 1.0,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(bins, epsilon, arguments)
        self.model = model

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Refuse a finite epsilon where the library does not say what it spends."""
        if budget.is_private and self.model not in STATES_RHO:
            return "its scores are scaled by the exact number of rows, which no epsilon covers"
        return super().skip(schema, budget)

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the model."""
        module, _, name = CLASSES[self.model].rpartition(".")
        given = {"n_jobs": 1, "epsilon": budget.epsilon, "delta": budget.delta, **self.arguments}
        self.fitted_ = getattr(importlib.import_module(module), name)(**given)
        self.fitted_.set_random_state(np.random.RandomState(seed_of(rng)))
        self.fitted_.set_domain(domain=self.sizes)
        self.fitted_.fit(table)
        if self.model in STATES_RHO:
            rho = float(self.fitted_.generator.rho)
            self.ledger = (zcdp_event(rho, f"all of {self.model}, by dpmm's accounting"),)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw codes."""
        self.fitted_.set_random_state(np.random.RandomState(seed_of(rng)))
        return self.fitted_.generate(n_records=n)[list(self.sizes)]
