"""OpenDP's synthetic data: a contingency table with public keys, measured by MST or AIM.

The library measures under a filter in rho of zero-concentrated privacy and raises rather than
exceed it. It divides what is left by the number of selections and lowers each share by one float,
which is too little: from 20 columns on the shares always add up to more than the whole, and MST
stops half way. So shares are lowered by 1e-12 of themselves; the filter still judges the sum. Noise
comes from the operating system and takes no seed, so a fit cannot be repeated.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.ledger import zcdp_rho
from .coded import CodedAdapter, zcdp_event
from .common import in_batches, seed_of

STEP = 1e-12  # what a share is lowered by, relative


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
        rho = zcdp_rho(budget.epsilon, budget.delta)
        self.model_ = self._measured(table, rho).model
        self.ledger = (zcdp_event(rho, f"all of {self.algorithm}, by OpenDP's accounting"),)

    def _measured(self, table: pd.DataFrame, rho: float) -> Any:
        import opendp.prelude as dp
        import polars as pl

        dp.enable_features("contrib")
        for part in ("_mst", "_table"):
            module: Any = importlib.import_module(f"opendp.extras.mbi.{part}")
            module.prior = lowered
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
            codes = codes[list(sizes)]
            return codes[(codes < pd.Series(sizes)).all(axis=1)]

        return in_batches(known, n)


def lowered(share: float) -> float:
    """Return a share that is less by more than what a sum of many of them is rounded up by."""
    return share * (1 - STEP)
