"""MST: a maximum spanning tree of noisy two-way marginals (McKenna, Miklau and Sheldon 2021).

Three thirds of the budget: all one-way marginals; the edges of the tree; the two-way marginals on
them. Between, each column's rare cells, those with noisy counts below three standard deviations,
are merged into one, whose noisy count is their sum, of a variance that is the sum of theirs; a row
drawn there gets any of them. Deviations from arXiv:2108.04978: the number of rows is estimated; a
column with a single cell left stays out of the tree, since no edge to it would teach anything; and
where no tree is left, what it would have cost pays for the one-way marginals once more.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .distributions.beliefs import Model
from .distributions.graphical import ITERATIONS, Measurement, estimate
from .distributions.marginal_model import MarginalModel, Survey

RARE = 3.0  # standard deviations of the noise
PART = 1 / 3  # of the budget, for each of the three steps


class Mst(MarginalModel):
    """MST (McKenna, Miklau and Sheldon 2021, arXiv:2108.04978).

    Parameters
    ----------
    bins : int
        Most bins of a numeric column, >= 1.
    discretiser : {"uniform", "quantile", "privtree"}
        How the bins are laid.
    discretiser_share : float
        Of the budget, in (0, 1), for a discretiser that reads rows.
    iterations : int
        Most steps of the estimate, >= 1.
    """

    adaptive = True  # shares of edges depend on how many columns keep more than one cell

    def __init__(
        self,
        bins: int = 32,
        discretiser: str = "privtree",
        discretiser_share: float = 0.1,
        iterations: int = ITERATIONS,
    ) -> None:
        self.bins = bins
        self.discretiser = discretiser
        self.discretiser_share = discretiser_share
        self.iterations = iterations

    def _learn(self, survey: Survey) -> Model:
        part = survey.allowance.left * PART
        asked = _ask(survey, part)
        merged = [merged_cells(measurement) for measurement in asked]
        tree_is_left = sum(cells.max() > 0 for cells in merged) > 1
        if not tree_is_left:
            again = _ask(survey, survey.allowance.left)
            asked = [combined(*both) for both in zip(asked, again, strict=True)]
            merged = [merged_cells(measurement) for measurement in asked]
        self.merged_ = merged
        survey.merge(merged)
        known = [merged_counts(m, cells) for m, cells in zip(asked, self.merged_, strict=True)]
        if tree_is_left:
            ones = estimate(survey.sizes, known, iterations=self.iterations)
            tree = spanning_tree(survey, ones, part)
            share = part / len(tree)
            known += [survey.measure(edge, share, "two-way marginal of the tree") for edge in tree]
        return estimate(survey.sizes, known, iterations=self.iterations)

    def _codes(self, n: int, rng: np.random.Generator) -> np.ndarray:
        codes = self.model_.codes(n, rng)
        for column, cells in enumerate(self.merged_):
            codes[:, column] = split(codes[:, column], cells, rng)
        return codes


def _ask(survey: Survey, share: float) -> list[Measurement]:
    """Measure the marginals of all columns for equal parts of ``share``."""
    each = share / len(survey.sizes)
    columns = range(len(survey.sizes))
    return [survey.measure((column,), each, "one-way marginal") for column in columns]


def spanning_tree(survey: Survey, model: Model, share: float) -> list[tuple[int, int]]:
    """Choose edges until all columns of more than one cell hang together.

    Each round chooses among the pairs of columns not yet connected, with the exponential mechanism;
    a pair's score is the L1 distance of its marginal from the model's, which a row changes by at
    most 1.
    """
    columns = [column for column, size in enumerate(survey.sizes) if size > 1]
    pairs = list(combinations(columns, 2))
    scores = survey.errors(model, pairs)
    first, second = np.array(pairs).T
    component = np.arange(len(survey.sizes))
    share /= len(columns) - 1
    tree = []
    while len(tree) < len(columns) - 1:
        apart = np.flatnonzero(component[first] != component[second])
        choice = survey.allowance.choose(scores[apart], 1, share, "edge of the tree", survey.rng)
        a, b = pairs[apart[choice]]
        tree.append((a, b))
        component[component == component[b]] = component[a]
    return tree


def combined(first: Measurement, second: Measurement) -> Measurement:
    """Weigh two measurements of one marginal by the inverse of their variances."""
    weights = second.variance / (first.variance + second.variance)
    counts = weights * first.counts + (1 - weights) * second.counts
    return Measurement(first.clique, counts, np.sqrt(weights * first.variance))


def merged_cells(measurement: Measurement) -> np.ndarray:
    """Return the new cell of each cell of a column: rare ones share the last."""
    rare = measurement.counts < RARE * measurement.deviation
    return np.where(rare, (~rare).sum(), np.cumsum(~rare) - 1)


def merged_counts(measurement: Measurement, cells: np.ndarray) -> Measurement:
    """Add up the counts and the variances of merged cells."""
    counts = np.bincount(cells, weights=measurement.counts)
    variances = np.bincount(cells, weights=measurement.variance)
    return Measurement(measurement.clique, counts, np.sqrt(variances))


def split(codes: np.ndarray, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one of the cells that were merged into each code."""
    order = np.argsort(cells, kind="stable")
    merged = np.bincount(cells)
    first = np.cumsum(merged) - merged
    return order[first[codes] + rng.integers(merged[codes])]
