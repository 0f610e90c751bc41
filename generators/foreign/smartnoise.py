"""smartnoise-synth: MST, AIM, MWEM and its networks.

No argument takes public categories: all but one of its methods learn them from the rows, and MST
uses the exact number of rows (results/privacy/others.md has what audits showed). So a finite
epsilon is refused; without a budget a method runs at the epsilon among its arguments, and claims
nothing.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from .common import Adapter, in_batches

CUBES = ("mst", "aim", "mwem")  # methods over cells: numbers are binned


class Smartnoise(Adapter):
    """A synthesizer of smartnoise-synth.

    Parameters
    ----------
    synthesizer : str
        Its name for ``Synthesizer.create``.
    arguments : mapping
        Of its constructor, ``epsilon`` among them.
    """

    refusal = "it reads categories, and some methods the number of rows, off the rows themselves"

    def __init__(self, synthesizer: str, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self.synthesizer = synthesizer

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Ask for bounds, without which the library would spend epsilon on them."""
        if reason := super().skip(schema, budget):
            return reason
        if (unbounded := self.frame(schema).unbounded()) is not None:
            return f"needs public bounds; column {unbounded!r} has none"
        return None

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the synthesizer, bounds handed over as transformers."""
        from snsynth import Synthesizer
        from snsynth.transform import BinTransformer, MinMaxTransformer

        bounded = BinTransformer if self.synthesizer in CUBES else MinMaxTransformer
        bounds = self.frame_.bounds().items()
        numbers = {name: bounded(lower=low, upper=high) for name, (low, high) in bounds}
        self.model_ = Synthesizer.create(self.synthesizer, **self.arguments)
        discrete = [name for name in table if name not in numbers]
        self.model_.fit(table, transformer=numbers or None, categorical_columns=discrete)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows."""
        return in_batches(self.model_.sample, n)
