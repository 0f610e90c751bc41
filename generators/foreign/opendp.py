"""OpenDP's synthetic data: a contingency table with public keys, measured by MST or AIM.

The library measures under a filter in rho of zero-concentrated privacy and raises rather than
exceed it. Its shares of two thirds of all rho add up to more than it by rounding, and it then stops
half way; so rho is the first below the largest that implies the budget which it takes, in steps of
the fourth digit. Noise comes from the operating system and takes no seed, so a fit cannot be
repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from .coded import CodedAdapter, largest_rho, zcdp_event
from .common import in_batches, seed_of

TRIES = 8  # steps of rho


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
        """Measure the table; only the model is kept, which can be pickled."""
        from opendp.mod import OpenDPException

        rhos = steps_below(largest_rho(budget))
        for rho in rhos:
            try:
                self.model_ = self._measured(table, rho).model
                break
            except OpenDPException as error:
                if "insufficient budget" not in str(error) or rho == rhos[-1]:
                    raise
        self.ledger = (zcdp_event(rho, f"all of {self.algorithm}, by OpenDP's accounting"),)

    def _measured(self, table: pd.DataFrame, rho: float) -> Any:
        import opendp.prelude as dp
        import polars as pl

        dp.enable_features("contrib")
        context = dp.Context.compositor(
            data=pl.from_pandas(table).lazy(),
            privacy_unit=dp.unit_of(contributions=1),
            privacy_loss=dp.loss_of(rho=rho),
            split_evenly_over=1,
        )
        keys = {name: list(range(size)) for name, size in self.sizes.items()}
        algorithm = getattr(dp.mbi, self.algorithm)(**self.arguments)
        query = context.query().select(*keys)
        return query.contingency_table(keys=keys, cuts={}, algorithm=algorithm).release()

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw codes; the model has a cell more in each column, for values that are no key."""
        np.random.seed(seed_of(rng))  # noqa: NPY002 - what the library draws from
        sizes = self.sizes

        def known(short: int) -> pd.DataFrame:
            drawn = self.model_.synthetic_data(rows=short)
            codes = drawn.df if hasattr(drawn, "df") else pd.DataFrame(drawn.to_dict())
            return codes.loc[(codes[list(sizes)] < pd.Series(sizes)).all(axis=1), list(sizes)]

        return in_batches(known, n)


def steps_below(rho: float) -> list[float]:
    """Return the numbers of four digits below ``rho``, largest first, as many as are tried."""
    digit = 10.0 ** (math.floor(math.log10(rho)) - 3)
    return [round((math.floor(rho / digit) - step) * digit, 12) for step in range(TRIES)]
