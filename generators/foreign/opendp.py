"""OpenDP's synthetic data: a contingency table with public keys, measured by MST or AIM.

The library measures under a privacy filter in rho of zero-concentrated privacy and would raise if
it were exceeded; rho is the largest that implies the budget, cut to four digits, because the
library's own shares of a longer one can add up to more than it, and it then refuses. Noise comes
from the operating system and takes no seed, so a fit cannot be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from .coded import CodedAdapter, largest_rho, zcdp_event
from .common import in_batches


class OpenDp(CodedAdapter):
    """A contingency table of OpenDP.

    Parameters
    ----------
    algorithm : {"MST", "AIM"}
        Its class in ``opendp.mbi``.
    bins, epsilon
        As of ``CodedAdapter``.
    arguments : mapping, optional
        Of the algorithm's constructor.
    """

    def __init__(
        self,
        algorithm: str,
        bins: int = 32,
        epsilon: float = 1.0,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(bins, epsilon, arguments)
        self.algorithm = algorithm

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Measure the table."""
        import opendp.prelude as dp
        import polars as pl

        dp.enable_features("contrib")
        rho = _four_digits(largest_rho(budget))
        context = dp.Context.compositor(
            data=pl.from_pandas(table).lazy(),
            privacy_unit=dp.unit_of(contributions=1),
            privacy_loss=dp.loss_of(rho=rho),
            split_evenly_over=1,
        )
        keys = {name: list(range(size)) for name, size in self.sizes.items()}
        algorithm = getattr(dp.mbi, self.algorithm)(**self.arguments)
        query = context.query().select(*keys)
        self.table_ = query.contingency_table(keys=keys, cuts={}, algorithm=algorithm).release()
        self.ledger = (zcdp_event(rho, f"all of {self.algorithm}, by OpenDP's accounting"),)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw codes; the library has a cell for values that are no key, which none is."""

        def known(short: int) -> pd.DataFrame:
            return self.table_.synthesize(short).to_pandas()[list(self.sizes)].dropna()

        return in_batches(known, n)


def _four_digits(rho: float) -> float:
    """Cut a number after its fourth digit."""
    digit = 10.0 ** (math.floor(math.log10(rho)) - 3)
    return round(math.floor(rho / digit) * digit, 12)
