"""What the neural private generators share: a fitted row generator, its release, its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from ...bench.ledger import Event
from ...bench.schema import Schema
from ..privacy.dpsgd import Descent, Trace, not_sampled
from ..views.blocks import Encoding, chunks
from .training import not_installed, seeded


class Neural:
    """A fitted model is networks by name; the one named ``generator`` draws rows.

    Nothing else is kept of a fit but ``noisy_``: other noisy numbers that it released, by name.
    """

    ledger: Sequence[Event] = ()
    claimed_epsilon: float
    progress = staticmethod(lambda step, total, **losses: None)
    watched: tuple[pd.DataFrame, pd.DataFrame] | None = None
    trace: float
    encoding_: Encoding
    networks_: dict[str, Any]
    noisy_: dict[str, np.ndarray]

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply."""
        return not_installed() or not_sampled(schema, budget)

    @property
    def parameters(self) -> int:
        """How many weights were learned."""
        return sum(p.numel() for net in self.networks_.values() for p in net.parameters())

    @property
    def release(self) -> Mapping[str, np.ndarray]:
        """Weights of all networks, and what else was released."""
        weights = {
            f"{name} {key}": value.detach().numpy()
            for name, network in self.networks_.items()
            for key, value in network.named_parameters()
        }
        return weights | self.noisy_

    def _trace(self) -> Trace | None:
        """Return what is to watch the gradients, if an audit asked for it."""
        if self.watched is None:
            return None
        return Trace(*map(self.encoding_.places, self.watched))

    def _account(self, descent: Descent) -> None:
        """Say what was spent, and what watching has shown."""
        self.ledger, self.claimed_epsilon = descent.ledger, descent.claimed_epsilon
        if descent.trace is not None:
            self.trace = descent.trace.value

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows."""
        import torch

        generator = seeded(rng)
        network = self.networks_["generator"]
        parts = [network.places(len(rows), generator) for rows in chunks(n, self.encoding_.width)]
        places = torch.cat(parts) if parts else torch.empty((0, len(self.encoding_.sizes)))
        return self.encoding_.table(places.numpy().astype(np.int64), rng)


def check_allowed(generator: Neural, schema: Schema, budget: Budget) -> None:
    """Raise a ValueError if ``generator`` skips such a cell."""
    if reason := generator.skip(schema, budget):
        raise ValueError(reason)
