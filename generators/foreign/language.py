"""Language models over rows as text: GReaT (be-great) and REaLTabFormer.

GReaT continues a pretrained model, which nobody downloads here: ``weights`` is a folder that holds
one, and without it the cell is skipped. REaLTabFormer trains its own from the beginning.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.schema import Schema
from .common import Adapter, in_batches, seed_of
from .frames import Frame


class Great(Adapter):
    """GReaT.

    Parameters
    ----------
    weights : str or None
        Folder of a causal language model with its tokenizer, as transformers saves them.
    device : str
        "cpu" or "cuda".
    arguments, sampling : mapping, optional
        Of its constructor, and of ``sample``.
    """

    def __init__(
        self,
        weights: str | None = None,
        device: str = "cpu",
        arguments: Mapping[str, Any] | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(arguments)
        self.weights = weights
        self.device = device
        self.sampling = dict(sampling or {})

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Ask for the weights."""
        if reason := super().skip(schema, budget):
            return reason
        if self.weights is None or not Path(self.weights, "config.json").is_file():
            return (
                "needs the folder of a pretrained language model; set generator.weights=FOLDER, "
                f"got {self.weights!r}"
            )
        return None

    def frame(self, schema: Schema) -> Frame:
        """Keep the names of columns, which mean something to a language model."""
        return Frame(schema, names="own")

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fine-tune the model."""
        from be_great import GReaT

        with tempfile.TemporaryDirectory(prefix="great") as folder:
            given = {"experiment_dir": folder, "seed": seed_of(rng), "save_strategy": "no"}
            self.model_ = GReaT(
                str(self.weights), use_cpu=self.device == "cpu", **{**given, **self.arguments}
            )
            self.model_.fit(table)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows until there are enough that can be read.

        The model writes any text: what is no row of the Schema is drawn again.
        """
        import torch

        torch.manual_seed(seed_of(rng))

        def readable(short: int) -> pd.DataFrame:
            rows = self.model_.sample(short, device=self.device, **self.sampling)
            return rows[self.frame_.is_readable(rows)]

        return in_batches(readable, n)


class RealTabFormer(Adapter):
    """REaLTabFormer for single tables.

    Parameters
    ----------
    device : str
        "cpu" or "cuda".
    critic : int
        Epochs between two looks at how alike drawn and real rows are, which can end the training;
        0 for none.
    arguments : mapping, optional
        Of its constructor.
    """

    def __init__(
        self, device: str = "cpu", critic: int = 5, arguments: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(arguments)
        self.device = device
        self.critic = critic

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Train the model."""
        from realtabformer import REaLTabFormer

        with tempfile.TemporaryDirectory(prefix="realtabformer") as folder:
            given = {
                "model_type": "tabular",
                "checkpoints_dir": f"{folder}/checkpoints",
                "samples_save_dir": f"{folder}/samples",
                "full_save_dir": f"{folder}/full",
                "random_state": seed_of(rng),
                "use_cpu": self.device == "cpu",
            }
            self.model_ = REaLTabFormer(**{**given, **self.arguments})
            self.model_.fit(table, device=self.device, n_critic=self.critic)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Draw rows."""
        import torch

        torch.manual_seed(seed_of(rng))
        return in_batches(lambda short: self.model_.sample(short, device=self.device), n)
