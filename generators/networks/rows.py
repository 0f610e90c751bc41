"""Networks of the neural generators; imported late, because torch takes seconds to load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ..privacy.dpsgd import Descent, clipped_sums
from ..views.blocks import Encoding

if TYPE_CHECKING:
    from ..privacy.dpsgd import Tap

SLOPE = 0.2  # of the leaky rectifiers
LARGEST_LOG = 10.0  # of a variance
Loss = Callable[[Tensor], Tensor]


class Perceptron(nn.Module):
    """Linear layers with leaky rectifiers between them.

    Parameters
    ----------
    widths : sequence of int
        Of the input, the hidden layers and the output.
    generator : torch.Generator
        Draws the initial weights, uniform with variance 1 / (3 inputs); biases begin at 0.
    """

    def __init__(self, widths: Sequence[int], generator: Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_linear(*ends, generator) for ends in pairwise(widths))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, first width) to (n, last width)."""
        return self.tapped(inputs)[0]

    def tapped(self, inputs: Tensor) -> tuple[Tensor, list[Tap]]:
        """Return the output, and what entered and left each layer."""
        taps: list[Tap] = []
        for layer in self.layers:
            if taps:
                inputs = nn.functional.leaky_relu(taps[-1][1], SLOPE)
            taps.append((inputs, layer(inputs)))
        return taps[-1][1], taps


def _linear(inputs: int, outputs: int, generator: Generator) -> nn.Module:
    """Build a layer without a draw from the global random state."""
    layer: Any = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(outputs, inputs, generator=generator) * 2 - 1)
        layer.weight.mul_(inputs**-0.5)
        layer.bias.zero_()
    return layer


class RowGenerator(nn.Module):
    """Draws rows: noise, a perceptron, one cell of every block.

    Parameters
    ----------
    encoding : Encoding
        Of the rows.
    noise : int
        Length of the noise vectors.
    hidden : sequence of int
        Widths of the hidden layers.
    generator : torch.Generator
        Draws the initial weights.
    """

    def __init__(
        self, encoding: Encoding, noise: int, hidden: Sequence[int], generator: Generator
    ) -> None:
        super().__init__()
        self.encoding = encoding
        self.noise = noise
        self.logits = Perceptron([noise, *hidden, encoding.width], generator)

    def shares(self, n: int, generator: Generator) -> Tensor:
        """Draw ``n`` distributions over cells, one per row."""
        return self.encoding.shares(self.logits(torch.randn(n, self.noise, generator=generator)))

    def places(self, n: int, generator: Generator) -> Tensor:
        """Draw ``n`` rows as places, int64 of shape (n, columns)."""
        with torch.no_grad():
            return self.encoding.draw(self.shares(n, generator), generator)

    def forward(self, n: int, generator: Generator) -> Tensor:
        """Draw ``n`` rows as network input, through which gradients pass."""
        return straight_through(self.encoding, self.shares(n, generator), generator)


class ConditionalGenerator(RowGenerator):
    """Draws rows in each of which one cell was asked for.

    Parameters
    ----------
    encoding : Encoding
        Of the rows.
    counts : ndarray of float64, shape (width,)
        What the chances of a column's cells to be asked for are proportional to; > 0.
    noise, hidden, generator
        As in ``RowGenerator``.
    """

    def __init__(
        self,
        encoding: Encoding,
        counts: np.ndarray,
        noise: int,
        hidden: Sequence[int],
        generator: Generator,
    ) -> None:
        super().__init__(encoding, noise, hidden, generator)
        self.logits = Perceptron([noise + encoding.width, *hidden, encoding.width], generator)
        self.logarithms = torch.from_numpy(np.log(counts)).float()
        last: Any = self.logits.layers[-1]
        with torch.no_grad():
            last.bias.copy_(encoding.shares(self.logarithms[None])[0].log())

    def conditions(self, n: int, generator: Generator) -> Tensor:
        """Draw conditional vectors, one-hot of shape (n, width)."""
        asked = self.encoding.shares(self.logarithms.expand(n, -1))
        cells = self.encoding.draw(asked, generator)
        column = torch.randint(cells.shape[1], (n, 1), generator=generator)
        return self.encoding.rows(cells.gather(1, column))

    def shares_given(self, conditions: Tensor, generator: Generator) -> Tensor:
        """Draw a distribution over cells for each conditional vector."""
        noise = torch.randn(len(conditions), self.noise, generator=generator)
        return self.encoding.shares(self.logits(torch.cat([noise, conditions], 1)))

    def shares(self, n: int, generator: Generator) -> Tensor:
        """Draw ``n`` distributions over cells, one per row."""
        return self.shares_given(self.conditions(n, generator), generator)

    def pairs(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw rows beside their conditional vectors, and each row's miss of its vector.

        Returns
        -------
        tuple of Tensor
            Shapes (n, 2 width) and (n,); the miss is the cross entropy of the cell asked for.
        """
        conditions = self.conditions(n, generator)
        shares = self.shares_given(conditions, generator)
        rows = straight_through(self.encoding, shares, generator)
        misses = -torch.log((shares * conditions).sum(1))
        return torch.cat([rows, conditions], 1), misses


def straight_through(encoding: Encoding, shares: Tensor, generator: Generator) -> Tensor:
    """Draw one-hot rows whose gradients are those of the shares (Bengio et al. 2013).

    So a critic sees of generated rows what it sees of real ones.
    """
    with torch.no_grad():
        rows = encoding.rows(encoding.draw(shares, generator))
    return rows + shares - shares.detach()


def wasserstein(scores: Tensor) -> Tensor:
    """Loss of a critic whose ``scores`` should be low."""
    return scores


def cross_entropy(scores: Tensor) -> Tensor:
    """Loss of a critic whose ``scores`` are log-odds and should be low."""
    return nn.functional.softplus(scores)


def criticise(
    critic: Perceptron,
    shown: Callable[[Tensor], Tensor],
    lot: Tensor,
    draw: Callable[[], Tensor],
    loss: Loss,
    descent: Descent,
    rng: np.random.Generator,
) -> None:
    """Set the critic's gradients: private ones of the real rows, free ones of generated rows.

    ``shown`` turns the places of real rows into what the critic sees, ``draw`` generates rows.
    Generated rows are clipped too, so that the two terms weigh the same and vanish together when
    generated rows are distributed as real ones.
    """

    def per_row(places: Tensor) -> tuple[Tensor, list[Tap]]:
        scores, taps = critic.tapped(shown(places))
        return loss(-scores.squeeze(1)), taps

    private = descent.gradients(per_row, lot, rng)
    fake = draw()
    scores, taps = critic.tapped(fake)
    free = clipped_sums(loss(scores.squeeze(1)), taps, descent.bound)
    for parameter, one, other in zip(critic.parameters(), private, free, strict=True):
        parameter.grad = one + other / len(fake)


def bound_weights(critic: nn.Module, bound: float) -> None:
    """Clip a critic's weights, so that its scores cannot change steeply (Arjovsky et al. 2017)."""
    with torch.no_grad():
        for weight in critic.parameters():
            weight.clamp_(-bound, bound)


def elbo(
    rows: Tensor, encoder: Perceptron, decoder: RowGenerator, generator: Generator
) -> tuple[Tensor, list[Tap]]:
    """Return each row's negative evidence lower bound, and the taps of both networks.

    Kingma and Welling 2014, equation 7, with a categorical likelihood for every column.
    """
    moments, taps = encoder.tapped(rows)
    mean, log_variance = moments.chunk(2, dim=1)
    deviation = torch.exp(log_variance.clamp(-LARGEST_LOG, LARGEST_LOG) / 2)
    noise = torch.randn(mean.shape, generator=generator)
    logits, more = decoder.logits.tapped(mean + deviation * noise)
    misfit = -(torch.log(decoder.encoding.shares(logits)) * rows).sum(1)
    divergence = (mean.square() + deviation.square() - 1).sum(1) / 2 - deviation.log().sum(1)
    return misfit + divergence, taps + more
