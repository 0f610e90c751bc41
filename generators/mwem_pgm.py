"""MWEM+PGM: multiplicative weights with a graphical model (McKenna, Sheldon and Miklau 2019).

A fixed number of equal rounds; each chooses the marginal that the model answers worst, measures it,
and estimates the model again. In the scores a marginal's cells are taken off its error, so that
large marginals are not chosen for being large. A limit on the size of the model, which rises with
the rounds, keeps inference possible.

Deviation from arXiv:1901.09136, where the number of rows is public: one more round asks for it.
"""

from __future__ import annotations

from .common import check_at_least
from .distributions.beliefs import Model
from .distributions.graphical import ITERATIONS, estimate
from .distributions.marginal_model import MarginalModel, Survey
from .distributions.workload import Workload, cells_of

NOISE = 0.9  # of a round's share; the rest pays for the choice


class MwemPgm(MarginalModel):
    """MWEM+PGM (McKenna, Sheldon and Miklau 2019, arXiv:1901.09136, section 5).

    Parameters
    ----------
    rounds : int, optional
        How many marginals are chosen, >= 1; as many as columns if None.
    degree : int
        Most columns of a marginal, >= 1.
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
    iterations : int
        Most steps of an estimate, >= 1.
    """

    whole_numbers = ("degree", "bins", "max_cells", "iterations")
    positive = ("max_model_size",)

    def __init__(
        self,
        rounds: int | None = None,
        degree: int = 2,
        bins: int = 32,
        discretiser: str = "privtree",
        discretiser_share: float = 0.1,
        max_model_size: float = 2.0,
        max_cells: int = 10_000,
        iterations: int = ITERATIONS,
    ) -> None:
        self.rounds = rounds
        self.degree = degree
        self.bins = bins
        self.discretiser = discretiser
        self.discretiser_share = discretiser_share
        self.max_model_size = max_model_size
        self.max_cells = max_cells
        self.iterations = iterations

    def _check(self) -> None:
        super()._check()
        if self.rounds is not None:
            check_at_least("rounds", self.rounds, 1)

    def _learn(self, survey: Survey) -> Model:
        rounds = len(survey.sizes) if self.rounds is None else self.rounds
        workload = Workload(survey.sizes, self.degree, self.max_cells)
        share = survey.allowance.left / (rounds + 1)
        survey.measure((), share, "number of rows")
        model = estimate(survey.sizes, survey.measurements)
        for step in range(1, rounds + 1):
            room = cells_of(self.max_model_size) * step / rounds
            fitting = workload.fitting((m.clique for m in survey.measurements), room)
            errors = survey.errors(model, [workload.cliques[place] for place in fitting])
            errors -= workload.cells[fitting]
            chosen = survey.allowance.choose(
                errors, 1, (1 - NOISE) * share, "choice of a marginal", survey.rng
            )
            survey.measure(workload.cliques[fitting[chosen]], NOISE * share, "chosen marginal")
            model = estimate(
                survey.sizes, survey.measurements, iterations=self.iterations, start=model
            )
            self.progress(step, rounds)
        return model
