"""PATE-GAN (Jordon, Yoon and van der Schaar 2019): teachers vote, a student learns from votes.

Each row belongs to one of k teachers, drawn once and independently of all rows; a teacher sees its
own rows and generated ones. The student sees generated rows only, labelled by noisy majorities, and
the generator learns from the student. All votes are planned and paid for in advance, by accounting
that does not depend on the data.

Adding or removing a row changes one teacher, and with it each vote by at most one; so does
replacing it, because rows are assigned by position. Labels are n1 + noise > k / 2, where n1 counts
the teachers for "real". Deviations from the paper, for utility:

- The paper puts noise on n0 and n1, which move together: n0 = k - n1 with k public. Noise on n1
  alone costs the same epsilon and leaves half the variance.
- The noise is calibrated by privacy loss distributions, a fifth less of it than the paper's moments
  bound asks for (``accountant: moments`` is the paper's).
- A teacher votes "real" for rows that it finds more real than its median generated row. With the
  plain threshold nearly all teachers call nearly all generated rows fake, and labels say nothing.
- k is far more than the paper's one in a thousand rows: noise on a vote does not grow with k.
- The student learns from the labels of the last rounds again, the generator maximises log S in
  place of minimising log(1 - S), at a learning rate that falls to 0, and its weights are averaged.

Votes carry exact discrete noise. An infinite epsilon takes exact votes.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ..bench.accountant import spent_epsilon
from ..bench.contracts import Budget
from ..bench.ledger import Event, gaussian_mu
from ..bench.schema import Schema
from .common import check_at_least
from .networks.private import Neural, check_allowed
from .networks.training import not_installed, seeded
from .privacy.dpsgd import calibrated
from .privacy.noise import discrete_laplace
from .views.blocks import Encoding
from .views.domain import not_finite

if TYPE_CHECKING:
    from torch import Generator

    from .networks.teachers import Teachers

ORDERS = 100  # largest order of the moments accountant (the paper's L)
ACCOUNTANTS = ("tight", "moments")
COUNTS = ("bins", "teachers", "rounds", "votes", "teacher_steps", "student_steps")
COUNTS += ("generator_steps", "batch", "teacher_hidden", "hidden", "noise")
GENERATED = 256  # rows in a step of the student or the generator
RECENT = 10  # rounds whose labels the student learns from


def moments_epsilon(votes: int, inverse_scale: float, delta: float) -> float:
    """Epsilon of PATE-GAN's moments accountant, in its part that reads no votes.

    Jordon et al. 2019, algorithm 2: alpha(l) = 2 lambda**2 l (l + 1) for each vote.

    Parameters
    ----------
    votes : int
        How many labels were given.
    inverse_scale : float
        The paper's lambda; a vote keeps 2 lambda-differential privacy.
    delta : float
        In (0, 1).
    """
    orders = np.arange(1, ORDERS + 1)
    alpha = 2 * votes * inverse_scale**2 * orders * (orders + 1)
    return float(np.min((alpha - math.log(delta)) / orders))


class PateGan(Neural):
    """Private aggregation of teacher ensembles, for a generative adversarial network.

    Parameters
    ----------
    bins : int
        Most cells of a numeric column, >= 1.
    teachers : int
        k, >= 1; never read off the number of rows.
    rounds : int
        How often teachers, student and generator learn in turn, >= 1.
    votes : int
        Generated rows that are labelled in each round, >= 1.
    teacher_steps, student_steps, generator_steps : int
        Steps of each in a round, >= 1.
    batch : int
        Rows in a teacher's step, real and generated each, >= 1.
    teacher_rate, learning_rate : float
        Of the teachers' Adam, and of the student's and the generator's, > 0; the generator's falls
        linearly to 0.
    teacher_hidden, hidden, noise : int
        Widths of the teachers' hidden layer, of the other networks' and of the generator's noise,
        >= 1.
    average : float
        Weight of the past in the running average of the generator's weights, in [0, 1).
    accountant : {"tight", "moments"}
        What calibrates the noise where delta > 0: privacy loss distributions, or the paper's bound.
    """

    def __init__(
        self,
        bins: int = 16,
        teachers: int = 500,
        rounds: int = 200,
        votes: int = 64,
        teacher_steps: int = 2,
        student_steps: int = 10,
        generator_steps: int = 1,
        batch: int = 32,
        teacher_rate: float = 1e-2,
        learning_rate: float = 1e-3,
        teacher_hidden: int = 4,
        hidden: int = 64,
        noise: int = 64,
        average: float = 0.97,
        accountant: str = "tight",
    ) -> None:
        self.bins = bins
        self.teachers = teachers
        self.rounds = rounds
        self.votes = votes
        self.teacher_steps = teacher_steps
        self.student_steps = student_steps
        self.generator_steps = generator_steps
        self.batch = batch
        self.teacher_rate = teacher_rate
        self.learning_rate = learning_rate
        self.teacher_hidden = teacher_hidden
        self.hidden = hidden
        self.noise = noise
        self.average = average
        self.accountant = accountant

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply."""
        floor = -math.log(budget.delta) / ORDERS if budget.delta else 0.0
        if self.accountant == "moments" and budget.epsilon <= floor:
            return f"the moments accountant reaches no epsilon below {floor:.3g} at this delta"
        return not_installed() or not_finite(schema, budget)

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Train teachers, student and generator in turn for the planned number of votes."""
        import torch

        from .networks.learning import Average, follow, slow_down
        from .networks.rows import Perceptron, RowGenerator, cross_entropy
        from .networks.teachers import Teachers

        self._check()
        check_allowed(self, schema, budget)
        self.ledger, self.claimed_epsilon = self._plan(budget)
        encoding = self.encoding_ = Encoding.of(schema, self.bins)
        assignment, noise, weights = rng.spawn(3)  # streams that the number of rows cannot shift
        draws = seeded(weights)

        def taught(table: pd.DataFrame, generator: Generator) -> Teachers:
            return Teachers(
                encoding,
                encoding.places(table),
                copy.deepcopy(assignment).integers(self.teachers, size=len(table)),
                count=self.teachers,
                hidden=self.teacher_hidden,
                learning_rate=self.teacher_rate,
                generator=generator,
            )

        twins = [taught(table, draws.clone_state()) for table in self.watched or ()]
        teachers = taught(train, draws)
        generator = RowGenerator(encoding, self.noise, [self.hidden] * 2, draws)
        student = Perceptron([encoding.width, self.hidden, 1], draws)
        average = Average(generator, self.average)
        adam = {"lr": self.learning_rate, "betas": (0.5, 0.9), "fused": True}
        generator_adam = torch.optim.Adam(generator.parameters(), **adam)
        student_adam = torch.optim.Adam(student.parameters(), **adam)
        asked, counts, evidence = [], [], 0.0
        for step in range(1, self.rounds + 1):
            for _ in range(self.teacher_steps):
                fake = generator.places(self.batch, draws)
                for twin in twins:
                    twin.learn(fake, draws.clone_state())
                teachers.learn(fake, draws)
            rows = encoding.rows(generator.places(self.votes, draws))
            asked = [*asked, rows][-RECENT:]
            counts.append(self._count(teachers.votes(rows), noise))
            if twins:
                evidence += _evidence(counts[-1], *(twin.votes(rows) for twin in twins))
            recent = torch.cat(asked)
            signs = _signs(np.concatenate(counts[-RECENT:]), self.teachers)
            for _ in range(self.student_steps):
                batch = torch.randint(len(recent), (GENERATED,), generator=draws)
                scores = student(recent[batch]).squeeze(1)
                follow(cross_entropy(-signs[batch] * scores).mean(), student, student_adam)
            slow_down(generator_adam, self.learning_rate, step / self.rounds)
            for _ in range(self.generator_steps):
                loss = cross_entropy(-student(generator(GENERATED, draws))).mean()
                follow(loss, generator, generator_adam)
            average.update()
            self.progress(step, self.rounds, generator=float(loss.detach()))
        self.networks_ = {"generator": average.kept, "student": student}
        self.noisy_ = {"votes": np.concatenate(counts)}
        if twins:
            self.trace = evidence
        return self

    def _check(self) -> None:
        for name in COUNTS:
            check_at_least(name, getattr(self, name), 1)
        if self.accountant not in ACCOUNTANTS:
            allowed = ", ".join(ACCOUNTANTS)
            raise ValueError(f"accountant must be one of {allowed}, got {self.accountant!r}")

    def _plan(self, budget: Budget) -> tuple[tuple[Event, ...], float]:
        """Return the event of all votes, and the epsilon that it spends."""
        votes = self.rounds * self.votes
        if not budget.is_private:
            return (), math.inf

        def event(scale: float) -> Event:
            return Event("discrete_laplace", 1, scale, votes, purpose="votes of the teachers")

        if budget.delta == 0:
            return (event(votes / budget.epsilon),), budget.epsilon

        def epsilon(scale: float) -> float:
            if self.accountant == "moments":
                return moments_epsilon(votes, 1 / (2 * scale), budget.delta)
            return spent_epsilon([event(scale)], budget.delta)

        guess = math.sqrt(votes) / gaussian_mu(budget.epsilon, budget.delta)
        scale, spent = calibrated(epsilon, budget.epsilon, guess)
        return (event(scale),), spent

    def _count(self, votes: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        """Add the planned noise to counts of votes."""
        if not self.ledger:
            return votes
        return votes + discrete_laplace(self.ledger[0].scale, len(votes), noise)


def _evidence(noisy: np.ndarray, absent: np.ndarray, present: np.ndarray) -> float:
    """Return what noisy counts say for the second of two tables, from the exact counts of both.

    The log-likelihood ratio of discrete Laplace noise, up to its scale.
    """
    return float((np.abs(noisy - absent) - np.abs(noisy - present)).sum())


def _signs(counts: np.ndarray, teachers: int) -> Any:
    """Turn noisy counts of "real" into labels 1 and -1 by majority, float32 of shape (rows,)."""
    import torch

    return torch.from_numpy(np.where(2 * counts > teachers, np.float32(1), np.float32(-1)))
