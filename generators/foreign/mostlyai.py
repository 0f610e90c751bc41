"""The engine of MOSTLY AI: TabularARGN, an auto-regressive network over encoded columns.

Its protection of rare values and its differentially private training read the rows with budgets of
their own and state no mechanism, so a finite epsilon is refused. A category that it protects is
replaced by others, since its own word for it is in no Schema.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from .common import Adapter, seed_of
from .frames import Frame


class TabularArgn(Adapter):
    """``mostlyai.engine.TabularARGN``.

    Parameters
    ----------
    arguments : mapping, optional
        Of its constructor.
    """

    refusal = "it does not say which mechanisms it used, so no finite epsilon can be checked"

    def frame(self, schema: Schema) -> Frame:
        """Return the table with its missing values and dates, which the engine knows."""
        return Frame(schema, missing="native", dates="nanoseconds")

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the network."""
        from mostlyai.engine import TabularARGN

        kinds = {
            name: "TABULAR_CATEGORICAL"
            if column.is_discrete
            else ("TABULAR_DATETIME" if column.kind == "datetime" else "TABULAR_NUMERIC_AUTO")
            for name, column in self.frame_.columns.items()
        }
        given = {"tgt_encoding_types": kinds, "random_state": seed_of(rng), "verbose": 0}
        self.model_ = TabularARGN(**{**given, **self.arguments})
        self.model_.fit(table)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows."""
        from mostlyai import engine  # pyright: ignore

        engine.set_random_state(seed_of(rng))
        return self.model_.sample(n, rare_category_replacement_method="SAMPLE")
