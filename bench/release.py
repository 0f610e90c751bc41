"""The ``release`` scenario: train on private rows, sample as many, compare.

A scenario decides how real rows reach the generator and what the evaluators are handed. It has two
methods, ``parts`` and ``run``; the core knows nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from .contracts import Tables
from .data.splits import release_split

if TYPE_CHECKING:
    from .data.datasets import Dataset
    from .running.stages import Stages

Parts = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Release:
    """One table in, one table of the same size out.

    Parameters
    ----------
    fractions : mapping of str to float
        Shares of ``train``, ``holdout`` (tests and non-members), ``reference`` (for attackers) and
        ``fresh`` (real rows that nothing else uses, for the ceiling row).
    split : str
        ``random``, or the name of one of the dataset's own splits.
    duplicates : {"together", "free"}, optional
        Whether rows that are equal in every column stay in one part; None: as the dataset says.
    """

    searches: ClassVar[bool] = True  # hyperparameters may be searched: it fits once
    fractions: Mapping[str, float] = field(default_factory=dict)
    split: str = "random"
    duplicates: str | None = None

    def parts(self, dataset: Dataset, rng: np.random.Generator) -> Parts:
        """Divide the real rows."""
        return release_split(
            dataset,
            fractions=self.fractions,
            split=self.split,
            duplicates=self.duplicates,
            rng=rng,
        )

    def run(self, parts: Parts, stages: Stages) -> None:
        """Train, sample and evaluate."""
        train = parts["train"]
        synthetic = stages.synthesize(parts[stages.fit_on], len(train))
        stages.evaluate(
            Tables(
                train=train,
                holdout=parts["holdout"],
                reference=parts["reference"],
                synthetic=synthetic,
                cost=stages.cost,
            )
        )
