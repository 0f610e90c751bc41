"""AIM: an adaptive and iterative mechanism (McKenna, Mullins, Sheldon and Miklau 2022).

One-way marginals first; then rounds. Each chooses, with the exponential mechanism, the marginal of
the workload that the model answers worst beyond what its noise would be, measures it, and estimates
the model again. When a round taught less than its noise, the next ones get less noise. A limit on
the size of the model, which rises with the share spent, keeps inference possible.

Deviations from arXiv:2201.12677. The workload is all marginals of two columns, as in the authors'
code, not three: three cost three times as much on adult and change no error of one to three columns
by more than 0.002. The size limit is 2 MiB, not 80: at epsilon 1, 8 MiB scored no better, and time
grows with it. With delta = 0 the same shares pay for Laplace noise. With an infinite epsilon, where
shares buy nothing, there are three rounds for each column.
"""

from __future__ import annotations

import math
import time

import numpy as np

from .distributions.beliefs import Model
from .distributions.graphical import ITERATIONS, estimate
from .distributions.junction import Clique
from .distributions.marginal_model import MarginalModel, Survey
from .distributions.workload import Workload, cells_of
from .privacy.allowance import Allowance

ROUNDS = 16  # for each column, that the first shares would last for
EXACT_ROUNDS = 3  # for each column, where nothing is paid for and no share ever rises
NOISE = 0.9  # of a round's share; the rest pays for the choice
LAST = 2  # rounds that the budget must be left for, or one takes all of it
CELLS_PER_SECOND = 2e7  # that belief propagation visits, on a slow machine
COLUMN_CELLS = 1000  # that take as long as the overhead of a column
CANDIDATE_CELLS = 2000  # that take as long as a candidate's score


class Aim(MarginalModel):
    """AIM (McKenna, Mullins, Sheldon and Miklau 2022, arXiv:2201.12677).

    Parameters
    ----------
    degree : int
        Most columns of a marginal of the workload, >= 1.
    bins : int
        Most bins of a numeric column, >= 1.
    discretiser : {"uniform", "quantile", "privtree"}
        How the bins are laid.
    discretiser_share : float
        Of the budget, in (0, 1), for a discretiser that reads rows.
    max_model_size : float
        MiB of the model's cells at most, > 0.
    max_cells : int
        Cells of a marginal of more than one column at most, >= 1.
    round_iterations : int
        Most steps of the estimate in a round, >= 1.
    iterations : int
        Most steps of the last estimate, >= 1.
    seconds : float
        Time limit, > 0. The rounds are planned by the cells that the estimates visit, so that
        a usual fit ends before it and the same seed gives the same rows. Where the clock reaches it
        nevertheless, the fit ends with budget unspent.
    """

    whole_numbers = ("degree", "bins", "max_cells", "round_iterations", "iterations")
    positive = ("max_model_size", "seconds")

    adaptive = True  # rounds get less noise when one taught too little

    def __init__(
        self,
        degree: int = 2,
        bins: int = 32,
        discretiser: str = "privtree",
        discretiser_share: float = 0.1,
        max_model_size: float = 2.0,
        max_cells: int = 10_000,
        round_iterations: int = 50,
        iterations: int = ITERATIONS,
        seconds: float = 60.0,
    ) -> None:
        self.degree = degree
        self.bins = bins
        self.discretiser = discretiser
        self.discretiser_share = discretiser_share
        self.max_model_size = max_model_size
        self.max_cells = max_cells
        self.round_iterations = round_iterations
        self.iterations = iterations
        self.seconds = seconds

    def _learn(self, survey: Survey) -> Model:
        deadline = time.monotonic() + self.seconds
        allowance, columns = survey.allowance, range(len(survey.sizes))
        whole = allowance.left
        workload = Workload(survey.sizes, self.degree, self.max_cells)
        rounds = ROUNDS if allowance.budget.is_private else EXACT_ROUNDS
        share = whole / (rounds * len(columns))
        for column in columns:
            survey.measure((column,), NOISE * share, "one-way marginal")
        model = estimate(survey.sizes, survey.measurements, iterations=self.iterations)
        work, last = self.seconds * CELLS_PER_SECOND, False
        while not last and time.monotonic() < deadline:
            left = allowance.left
            share = max(share, left / self._rounds(work, model, workload))
            last = left < LAST * share
            share = left if last else share
            room = cells_of(self.max_model_size) * (1 - (left - share) / whole)
            clique = self._choose(survey, workload, model, room, share)
            survey.measure(clique, NOISE * share, "chosen marginal")
            before, model = model, self._estimate(survey, model, last, deadline)
            work -= self._work(model, self.round_iterations, workload)
            self.progress(round(100 * (1 - allowance.left)), 100)
            moved = model.marginal(clique) - before.marginal(clique)
            if np.abs(moved).mean() <= _noise(allowance, share):
                share *= 4 if allowance.budget.delta > 0 else 2  # half the noise
        return model

    def _choose(
        self, survey: Survey, workload: Workload, model: Model, room: float, share: float
    ) -> Clique:
        """Choose the marginal with the largest weighted error beyond the noise it would have."""
        fitting = workload.fitting((m.clique for m in survey.measurements), room)
        errors = survey.errors(model, [workload.cliques[place] for place in fitting])
        errors -= _noise(survey.allowance, share) * workload.cells[fitting]
        weights = workload.weights[fitting]
        chosen = survey.allowance.choose(
            weights * errors,
            float(weights.max()),
            (1 - NOISE) * share,
            "choice of a marginal",
            survey.rng,
        )
        return workload.cliques[fitting[chosen]]

    def _estimate(self, survey: Survey, model: Model, last: bool, deadline: float) -> Model:
        return estimate(
            survey.sizes,
            survey.measurements,
            iterations=self.iterations if last else self.round_iterations,
            start=model,
            deadline=deadline,
        )

    def _rounds(self, work: float, model: Model, workload: Workload) -> float:
        """Say how many rounds the work that is left lasts for, at least 1."""
        work -= self._work(model, self.iterations, workload)
        return max(1.0, work / self._work(model, self.round_iterations, workload))

    def _work(self, model: Model, iterations: int, workload: Workload) -> float:
        """Count the cells that a round visits; a step of the estimate visits the model twice."""
        overhead = COLUMN_CELLS * len(workload.sizes)
        return 2 * iterations * (model.cells + overhead) + CANDIDATE_CELLS * len(workload.cliques)


def _noise(allowance: Allowance, share: float) -> float:
    """Return the mean absolute noise of a cell measured in a round of this share."""
    gaussian = allowance.budget.delta > 0
    return allowance.deviation(NOISE * share) * math.sqrt(2 / math.pi if gaussian else 1 / 2)
