"""SDV's synthesizers of single tables: Gaussian copula, CTGAN, TVAE, CopulaGAN.

Metadata come from the Schema. Dates go in as nanoseconds, since seconds are misread. SDV starts
every ``sample`` of a fitted synthesizer from a seed of its own, and goes on from there in the next
call; here it starts from the seed of the cell, through a method that is not part of its interface.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from .common import Adapter, seed_of
from .frames import Frame


class Sdv(Adapter):
    """A synthesizer of SDV.

    Parameters
    ----------
    synthesizer : str
        Its class in ``sdv.single_table``.
    arguments : mapping, optional
        Of its constructor, beside the metadata.
    """

    def __init__(self, synthesizer: str, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__(arguments)
        self.synthesizer = synthesizer

    def frame(self, schema: Schema) -> Frame:
        """Return the table with its missing values and dates, which SDV knows."""
        return Frame(schema, missing="native", dates="nanoseconds")

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the synthesizer."""
        import sdv.single_table
        from sdv.metadata import Metadata

        columns = {name: _described(column) for name, column in self.frame_.columns.items()}
        metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})
        cls = getattr(sdv.single_table, self.synthesizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model_ = cls(metadata, **self.arguments)
            self.model_.fit(table)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Sample from the seed that is drawn here."""
        self.model_.reset_sampling()
        self.model_._set_random_state(seed_of(rng))
        return self.model_.sample(n)


def _described(column: Any) -> dict[str, str]:
    if column.kind == "datetime":
        return {"sdtype": "datetime", "datetime_format": "%Y-%m-%d %H:%M:%S"}
    return {"sdtype": "categorical" if column.is_discrete else "numerical"}
