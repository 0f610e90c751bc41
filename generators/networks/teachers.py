"""PATE-GAN's teachers, all trained at once; imported late, because torch takes seconds to load."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import leaky_relu, softplus

from ..views.blocks import Encoding

SLOPE = 0.2  # of the leaky rectifiers


class Teachers:
    """Classifiers of real against generated rows, each with rows of its own.

    Their weights are stacked, so that one step trains all of them. Adam moves every number by its
    own gradient and the loss is a sum over teachers, so none learns of another's rows. How much is
    drawn of ``generator`` does not depend on the rows.

    Parameters
    ----------
    encoding : Encoding
        Of the rows.
    places : Tensor of int64, shape (rows, columns)
        The real rows.
    owners : ndarray of int64, shape (rows,)
        Which teacher sees each of them.
    count, hidden : int
        How many teachers there are, and the width of the one hidden layer of each.
    learning_rate : float
        Of Adam.
    generator : torch.Generator
        Draws the initial weights.
    """

    def __init__(
        self,
        encoding: Encoding,
        places: Tensor,
        owners: np.ndarray,
        *,
        count: int,
        hidden: int,
        learning_rate: float,
        generator: Generator,
    ) -> None:
        self.encoding = encoding
        self.places = places[torch.from_numpy(np.argsort(owners, kind="stable"))]
        self.sizes = torch.from_numpy(np.bincount(owners, minlength=count))
        self.starts = torch.cumsum(self.sizes, 0) - self.sizes
        scales = len(encoding.sizes) ** -0.5, hidden**-0.5
        shapes = (count, hidden, encoding.width), (count, hidden)
        into, out = (
            torch.empty(shape).uniform_(-scale, scale, generator=generator)
            for scale, shape in zip(scales, shapes, strict=True)
        )
        self.weights = [into, torch.zeros(count, hidden), out, torch.zeros(count)]
        for weight in self.weights:
            weight.requires_grad_()
        self.adam = torch.optim.Adam(self.weights, lr=learning_rate, betas=(0.5, 0.9), fused=True)

    def learn(self, fake: Tensor, generator: Generator) -> None:
        """Take one step each: on as many rows of its own, with repeats, as ``fake`` has places."""
        real = softplus(-self._scores_of_own(self._draw_own(len(fake), generator)))
        real = real * (self.sizes > 0)  # who has no rows learns of generated ones alone
        loss = (real + softplus(self._scores(self.encoding.rows(fake)))).mean(0).sum()
        gradients = torch.autograd.grad(loss, self.weights)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.adam.step()

    def votes(self, rows: Tensor) -> np.ndarray:
        """Count the teachers that find each row more real than their median one, int64."""
        with torch.no_grad():
            scores = self._scores(rows)
        return (scores > scores.median(0).values).sum(1).numpy()

    def _draw_own(self, n: int, generator: Generator) -> Tensor:
        """Draw ``n`` rows of each teacher's, shape (teachers, n, width)."""
        drawn = torch.rand(len(self.sizes), n, generator=generator) * self.sizes[:, None]
        positions = (self.starts[:, None] + drawn.long()).clamp(max=len(self.places) - 1)
        if len(self.places) == 0:
            return torch.zeros(*positions.shape, self.encoding.width)
        return self.encoding.rows(self.places[positions.ravel()]).view(*positions.shape, -1)

    def _scores(self, rows: Tensor) -> Tensor:
        """Log-odds of real for rows that all teachers see, shape (n, teachers)."""
        into = self.weights[0]
        return self._head((rows @ into.flatten(0, 1).T).view(len(rows), *into.shape[:2]))

    def _scores_of_own(self, rows: Tensor) -> Tensor:
        """Log-odds of real for rows of shape (teachers, n, width), shape (n, teachers)."""
        into = self.weights[0].transpose(1, 2)
        return self._head(torch.bmm(rows, into).transpose(0, 1))

    def _head(self, hidden: Tensor) -> Tensor:
        _, shift, out, bias = self.weights
        return (leaky_relu(hidden + shift, SLOPE) * out).sum(-1) + bias
