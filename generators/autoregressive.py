"""Any-order autoregression after TabularARGN (Tiwald et al. 2025, arXiv:2501.12012).

Every column is cut into sub-columns with discrete values (``subcolumns``); a regressor for each
predicts it from those before it (``anyorder``). The order of the columns is drawn anew for every
batch, so the fitted model knows the chance of any column given any others: rows are drawn column by
column in any order, and conditions are columns that come first, exactly.

What the paper leaves open is taken from its authors' engine: dropout of the embeddings, the size of
batches, halving of the learning rate. Deviations:

- Dropout is drawn once for a row, not for each of its regressors, whose first layers are one
  product here.
- Sub-columns of about the same size share the length of their embeddings.
- A number with many values is the first digits of its rank, where the paper has a hundred bins or
  the digits of the number itself: with a few thousand rows, dependence is learned digit by digit
  and hardly from a hundred bins. Within a bin training values are interpolated, which keeps
  frequent ones.
- Embeddings of codes with an order begin as a random walk along it, so that near ones are alike.
- Rare categories and extreme numbers are not hidden: that is no privacy mechanism.
- The rows that stop the training are seen in the same orders every time, so that their loss changes
  with the weights alone; each few thousand rows are drawn in an order of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..bench.schema import Schema
from .common import check_at_least, check_rows, fixed_columns
from .networks.learning import steps_of
from .networks.network import Network
from .networks.start import Course, Start
from .networks.training import Batches, device_of, initialised, seeded
from .views.subcolumns import UNKNOWN, SubColumns

if TYPE_CHECKING:
    from torch import Tensor

    from .networks.anyorder import AnyOrder
    from .networks.seeds import Seeds

HELD = 10  # one row in ten stops the training
STOPS, SLOWS = 4, 2  # epochs without a better loss that end the training, or slow it
ORDERS = 16  # in which the rows that stop the training are seen, at least
CHUNK = 2048  # rows drawn in one order
DECAY = 0.01  # of all weights, as in AdamW by default
BATCHES, SMALLEST, LARGEST = 64, 8, 2048  # batches of an epoch at least, rows of a batch


class Autoregressive(Network):
    """Any-order autoregressive network on discrete sub-columns.

    Parameters
    ----------
    epochs : int
        Most passes over the table, >= 1.
    steps : int or None
        Most steps, >= 1; None: as many as the passes have.
    base : int
        Values of a digit, >= 2.
    digits : int
        How many digits of its rank tell a number from others, >= 1.
    batch : int or None
        Rows of a batch, >= 1; None: by the size of the table (``rows_of_a_batch``).
    dropout : float
        Share of the embeddings' numbers that a step leaves out, in [0, 1).
    learning_rate : float
        For batches of 32 rows, > 0; it grows with the square root of their size.
    device : {"auto", "cpu", "cuda"}
        Where tensors are; auto: a GPU where there is one.
    """

    def __init__(
        self,
        epochs: int = 100,
        steps: int | None = 12_800,
        base: int = 10,
        digits: int = 2,
        batch: int | None = None,
        dropout: float = 0.25,
        learning_rate: float = 1e-3,
        device: str = "auto",
    ) -> None:
        self.epochs = epochs
        self.steps = steps
        self.base = base
        self.digits = digits
        self.batch = batch
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.device = device

    def _begin(self, train: pd.DataFrame, schema: Schema, rng: np.random.Generator) -> Start | None:
        """Cut columns, and build the network unless no sub-column varies."""
        self._check(train)
        self.device_ = device_of(self.device)
        self.sub_columns_ = SubColumns.of(train, schema, self.base, self.digits)
        sizes = self.sub_columns_.sizes
        varied = np.flatnonzero(sizes > 1)
        self.varied_ = varied[np.argsort(sizes[varied], kind="stable")]
        self.networks_ = {}
        if not len(self.varied_):
            return None
        codes = self.sub_columns_.codes({name: train[name] for name in schema.names})
        return self._ready(codes[:, self.varied_], rng)

    def _check(self, train: pd.DataFrame) -> None:
        for name, least in {"epochs": 1, "base": 2, "digits": 1}.items():
            check_at_least(name, getattr(self, name), least)
        for name in ("steps", "batch"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate!r}")
        check_rows(train)

    def _ready(self, codes: np.ndarray, rng: np.random.Generator) -> Start:
        """Build the network, and hold out some of the rows."""
        import torch

        from .networks.anyorder import AnyOrder

        sizes = self.sub_columns_.sizes[self.varied_].tolist()
        owners = self.owners_ = self.sub_columns_.owners[self.varied_]
        ordered = self.sub_columns_.ordered[self.varied_]
        network = initialised(lambda: AnyOrder(sizes, owners, self.varied_, ordered), rng)
        network = network.to(self.device_)
        rows = torch.from_numpy(codes[rng.permutation(len(codes))]).to(self.device_)
        held = len(rows) // HELD
        learned, looked = rows[held:], rows[:held] if held else rows
        draws = seeded(rng, self.device_)
        weights = sum(weight.numel() for weight in network.parameters())
        size = self.batch or rows_of_a_batch(len(learned), weights)
        batches = Batches(len(learned), size, draws)
        looks = _looks(network, looked, batches.size, len(self.sub_columns_.coders), rng)
        layout = *sizes, *owners.tolist(), *self.varied_.tolist()
        return Start(
            {"any order": network},
            (learned, looks),
            draws,
            {"rows": batches},
            alike=(layout, len(looked), batches.per_pass),
        )

    def _course(self, seeds: Seeds) -> Course:
        import torch

        from .networks.paced import Paced, set_gradients
        from .networks.patience import Patience

        network, batches = seeds.networks["any order"], seeds.first.batches["rows"]
        learned, looks = seeds.held
        looked = sum(rows.shape[-2] for rows, _ in looks)
        columns = len(self.sub_columns_.coders)
        total = steps_of(self.steps, self.epochs, batches.per_pass)
        look_after = min(batches.per_pass, total)
        rate = self.learning_rate * (batches.size / 32) ** 0.5
        adam = Paced(network, decay=DECAY, apart=seeds.count > 1)
        patience = Patience(network, rate, stops=STOPS, slows=SLOWS, seeds=seeds.count)

        def draw(start: Start) -> tuple[Tensor, ...]:
            rows, draws = start.batches["rows"].draw(), start.draws
            noise = torch.rand(len(rows), network.inputs, generator=draws, device=draws.device)
            return rows, noise, torch.rand(columns, generator=draws, device=draws.device)

        def loss_of(
            network: AnyOrder, learned: Tensor, rows: Tensor, noise: Tensor, ranks: Tensor
        ) -> Tensor:
            kept = (noise >= self.dropout) / (1 - self.dropout)
            return network(learned[rows], network.earlier(ranks), kept).sum(1).mean()

        def step(number: int) -> dict[str, Tensor]:
            loss = seeds.each(loss_of, network, learned, *seeds.drawn(draw))
            set_gradients(loss, adam.weights)
            adam.step(patience.rates)
            if (number + 1) % look_after == 0:
                with torch.no_grad():
                    sums = seeds.each(_sum_of_losses, network, looks).reshape(-1).tolist()
                patience.look([missed / looked for missed in sums])
            return {"loss": loss}

        return Course(
            step,
            total,
            {"network": network, "adam": adam, "patience": patience},
            lambda seed: {"any order": seeds.own(patience.best(seed), seed)},
            until=lambda: patience.ended,
        )

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, given any columns.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.
        conditions : DataFrame, optional
            n rows, some of the columns. A value that no training row has is kept and tells nothing
            of the other columns.

        Raises
        ------
        ValueError
            If the conditions break the Schema or have another number of rows.
        """
        schema = self.sub_columns_.schema
        fixed = fixed_columns(conditions, schema, n)
        codes = np.zeros((n, len(self.sub_columns_.sizes)), dtype=np.int64)
        if len(self.varied_):
            given = codes - 1 if not fixed else self.sub_columns_.codes(fixed)
            codes[:, self.varied_] = self._drawn(given[:, self.varied_], fixed, rng)
        made = self.sub_columns_.columns(codes, rng)
        return schema.assemble(made | fixed)

    def _drawn(
        self, given: np.ndarray, fixed: Mapping[str, pd.Series], rng: np.random.Generator
    ) -> np.ndarray:
        """Draw what ``given`` lacks, a few thousand rows at a time, each in an order of its own."""
        import torch

        network, draws = self.networks_["any order"], seeded(rng, self.device_)
        names = np.array(self.sub_columns_.schema.names)[self.owners_]
        drawn = np.flatnonzero(~np.isin(names, list(fixed)))
        parts = [np.empty((0, len(names)), dtype=np.int64)]
        with torch.inference_mode():
            for begun in range(0, len(given), CHUNK):
                ranks = rng.random(len(self.sub_columns_.coders))[self.owners_]
                order = drawn[np.lexsort((self.varied_[drawn], ranks[drawn]))]
                codes = torch.from_numpy(given[begun : begun + CHUNK]).to(self.device_)
                codes = network.draw(codes, codes != UNKNOWN, order.tolist(), draws)
                parts.append(codes.cpu().numpy())
        return np.concatenate(parts)


def rows_of_a_batch(rows: int, weights: int) -> int:
    """Return the engine's choice: a power of 2, a 64th of the rows, less for many weights.

    Parameters
    ----------
    rows : int
        Of the table.
    weights : int
        Of the network.
    """
    largest = LARGEST if weights <= 1e6 else LARGEST // 4 if weights <= 1e7 else LARGEST // 16
    return int(np.clip(2 ** int(np.log2(max(rows / BATCHES, 1))), SMALLEST, largest))


def _looks(
    network: AnyOrder, codes: Tensor, size: int, columns: int, rng: np.random.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Part rows into batches, each with an order of the columns."""
    import torch

    size = max(1, min(size, len(codes) // ORDERS))
    ranks = torch.from_numpy(rng.random((-(-len(codes) // size), columns))).to(codes.device)
    return [(rows, network.earlier(r)) for rows, r in zip(codes.split(size), ranks, strict=True)]


def _sum_of_losses(network: AnyOrder, looks: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the sum over rows of their losses."""
    import torch

    return torch.stack([network(rows, earlier).sum() for rows, earlier in looks]).sum()
