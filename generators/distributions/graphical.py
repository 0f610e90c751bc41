"""Private-PGM: the graphical model that fits noisy marginals best (McKenna, Sheldon, Miklau 2019).

Of all distributions whose marginals have the least weighted squared distance to the noisy counts,
the one sought has the most entropy; it is a product of potentials over the measured cliques. The
potentials follow mirror descent (their algorithm 1): against the gradient of the loss in the
marginals, from 0 on. Two things differ, both for speed. Steps are accelerated by Nesterov's
momentum on the potentials, which restarts whenever the loss would rise (O'Donoghue and Candes
2015). And their length follows the relative smoothness of the loss (Lu, Freund and Nesterov 2018),
found by doubling. Marginals come from belief propagation along a junction tree.

Everything here is post-processing of noisy counts: no private row is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .beliefs import MOST_CELLS, Beliefs, Model, TooLargeError
from .junction import Clique, JunctionTree

ITERATIONS = 1000  # most steps of an estimate
TOLERANCE = 1e-3  # relative fall of the loss over PATIENCE steps below which an estimate ends
PATIENCE = 25
STEP_GROWTH = 1.1  # of the step length, each time; 2 until a step was too long
ROUNDING = 1e-13  # of a relative entropy


@dataclass(frozen=True)
class Measurement:
    """Noisy counts of one marginal.

    Parameters
    ----------
    clique : tuple of int
        Columns, each once; any order. Of no column: the number of rows.
    counts : ndarray of float64
        One axis for each of them, in their order.
    deviation : float or ndarray
        Standard deviation of the noise, > 0, or 0 for exact counts; may differ by cell.
    """

    clique: Clique
    counts: np.ndarray
    deviation: float | np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Variance of each cell; exact counts are trusted to one row."""
        deviation = np.broadcast_to(self.deviation, self.counts.shape)
        return np.where(deviation > 0, deviation, 1.0) ** 2


def estimate(
    sizes: Sequence[int],
    measurements: Iterable[Measurement],
    *,
    total: float | None = None,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    start: Model | None = None,
    deadline: float = math.inf,
) -> Model:
    """Estimate the distribution whose marginals fit the measurements best.

    Parameters
    ----------
    sizes : sequence of int
        Number of cells of each column, >= 1.
    measurements : iterable of Measurement
        At least one.
    total : float, optional
        Number of rows; from the counts if None.
    iterations : int
        Most steps.
    tolerance : float
        The estimate ends once ``PATIENCE`` steps lower the loss by a smaller part than this.
    start : Model, optional
        Potentials to begin with; cliques that it lacks begin at 0.
    deadline : float
        Time of ``time.monotonic`` after which the estimate ends wherever it stands.

    Raises
    ------
    TooLargeError
        If the model would have more than ``MOST_CELLS`` cells.
    """
    combined = combine(measurements)
    total = estimate_total(combined) if total is None else total
    combined = [measurement for measurement in combined if measurement.clique]
    cliques = [measurement.clique for measurement in combined]
    tree = JunctionTree.of(sizes, cliques)
    if tree.cells > MOST_CELLS:
        raise TooLargeError(
            f"a model may have {MOST_CELLS} cells, this one has {tree.cells}; "
            "measure fewer or smaller marginals"
        )
    beliefs = Beliefs(tree, cliques)
    target = beliefs.flat([measurement.counts for measurement in combined]) / total
    weights = total**2 / beliefs.flat([measurement.variance for measurement in combined])
    known = {} if start is None else start.potentials
    potentials = beliefs.flat([known.get(m.clique, np.zeros(m.counts.shape)) for m in combined])
    found = _descend(_Loss(beliefs, target, weights), potentials, iterations, tolerance, deadline)
    arrays = dict(zip(cliques, beliefs.arrays(found.potentials), strict=True))
    return Model(tree, found.conditionals, total, arrays)


def combine(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Sort the columns of each clique, and average measurements of one clique by precision."""
    grouped: dict[Clique, list[Measurement]] = {}
    for measurement in measurements:
        order = np.argsort(measurement.clique)
        clique = tuple(measurement.clique[axis] for axis in order)
        turned = measurement.counts.transpose(order), np.sqrt(measurement.variance).transpose(order)
        grouped.setdefault(clique, []).append(Measurement(clique, *turned))
    return [_average(group) if len(group) > 1 else group[0] for group in grouped.values()]


def _average(group: Sequence[Measurement]) -> Measurement:
    precisions = np.stack([1 / measurement.variance for measurement in group])
    counts = np.average([m.counts for m in group], axis=0, weights=precisions)
    return Measurement(group[0].clique, counts, np.sqrt(1 / precisions.sum(axis=0)))


def estimate_total(measurements: Iterable[Measurement]) -> float:
    """Estimate the number of rows: the unbiased estimate of least variance, at least 1."""
    sums = [(m.counts.sum(), m.variance.sum()) for m in measurements]
    precision = sum(1 / variance for _, variance in sums)
    return max(1.0, float(sum(count / variance for count, variance in sums) / precision))


class _Point(NamedTuple):
    potentials: np.ndarray
    marginals: np.ndarray
    log_partition: float
    conditionals: list[np.ndarray]
    loss: float


@dataclass(frozen=True)
class _Loss:
    """Half the weighted squared distance of a distribution's marginals from the target."""

    beliefs: Beliefs
    target: np.ndarray
    weights: np.ndarray

    def at(self, potentials: np.ndarray) -> _Point:
        marginals, log_partition, conditionals = self.beliefs.of(potentials)
        distance = marginals - self.target
        loss = 0.5 * float(self.weights @ distance**2)
        return _Point(potentials, marginals, log_partition, conditionals, loss)

    def step(self, point: _Point, smoothness: float) -> _Point:
        gradient = self.weights * (point.marginals - self.target)
        return self.at(point.potentials - gradient / smoothness)

    def is_smooth(self, point: _Point, after: _Point, smoothness: float) -> bool:
        """Say whether the loss curves less than ``smoothness`` times the relative entropy."""
        divergence = (after.potentials - point.potentials) @ after.marginals
        divergence -= after.log_partition - point.log_partition
        curved = 0.5 * float(self.weights @ (after.marginals - point.marginals) ** 2)
        return curved <= smoothness * (max(float(divergence), 0.0) + ROUNDING)


def _descend(
    loss: _Loss, potentials: np.ndarray, iterations: int, tolerance: float, deadline: float
) -> _Point:
    here, earlier = loss.at(potentials), potentials
    smoothness = float((loss.weights * here.marginals).max(initial=0.0))
    growth, age, checked = 2.0, 1.0, here.loss  # the momentum's weight rises with its age
    for step in range(1, iterations + 1):
        older = (1 + math.sqrt(1 + 4 * age**2)) / 2
        momentum = (age - 1) / older
        lead = (
            loss.at(here.potentials + momentum * (here.potentials - earlier)) if momentum else here
        )
        after = loss.step(lead, smoothness)
        while not loss.is_smooth(lead, after, smoothness):
            smoothness, growth = 2 * smoothness, STEP_GROWTH
            after = loss.step(lead, smoothness)
        smoothness /= growth
        if momentum and after.loss > here.loss:
            age = 1.0
        else:
            earlier, here, age = here.potentials, after, older
        if step % PATIENCE == 0:
            if checked - here.loss <= tolerance * here.loss or time.monotonic() > deadline:
                break
            checked = here.loss
    return here
