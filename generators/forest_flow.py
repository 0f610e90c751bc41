"""Forest-Flow and Forest-VP: flows and diffusions whose velocities are gradient-boosted trees.

A grid of times leads from noise to data. At each time, and for each class of a discrete target,
trees learn where rows go from rows mixed with noise; new rows are noise that follows them.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.schema import Schema
from .common import NotPrivate, check_at_least, check_rows, draw_in_passes, fixed_columns
from .forests.boosting import Boosting, predicted
from .forests.processes import Flow, Process, VariancePreserving
from .selection import by_selection
from .views.classes import Classes
from .views.cube import CORNERS, SCALES, Cube

MOST_NUMBERS = 2**28  # in the noisy rows of one time and class


class ForestFlow(NotPrivate):
    """Forest-Flow and Forest-VP (Jolicoeur-Martineau, Fatras and Kachman 2024, algorithms 1 to 3).

    All coordinates of one time and class share one matrix of binned rows and one booster, with a
    tree for each coordinate in each round: the trees of separate boosters. The target's classes are
    drawn by their shares. What differs from the paper:

    - Times are 0, 1/n, ... for the flow, so every model is used; the authors' last one is not.
    - A missing number is filled and has an indicator (``cube``); the paper's trees take it as it
      is, leave it out as a target, and its tables come out complete.
    - Binary columns have a dummy as any other, and not a number that is rounded.
    - A target of more than ``classes`` categories is a column like any other.
    - ``scale`` normal, ``corners`` digits and ``solver`` heun are ours: they make less work of a
      table with heavy tails or many categories. The preset paper is without them.

    Parameters
    ----------
    process : {"flow", "vp"}
        Which of the two.
    times : int
        In the grid, >= 1.
    copies : int
        How often each row is mixed with noise at each time, >= 1.
    points : int or None
        Most noisy rows at a time, of all classes; None for no limit. Where that is less than a copy
        of each row, every time has other rows.
    trees, depth : int
        Rounds of boosting, and the depth of trees; >= 1.
    learning_rate : float
        In (0, 1].
    min_rows : int
        Fewest noisy rows in a leaf, >= 1.
    bins : int
        Most bins of a coordinate, >= 2.
    scale : {"normal", "min_max"}
        Of numbers: normal scores, or -1 to 1.
    corners : {"digits", "dummies"}
        How categories are written: binary digits, or dummies for all but the first.
    solver : {"heun", "euler"}
        Of the flow; the diffusion's is Euler and Maruyama's.
    classes : int
        Most categories of a target whose classes have models of their own, >= 1.
    """

    def __init__(
        self,
        process: str = "flow",
        times: int = 10,
        copies: int = 100,
        points: int | None = 30_000,
        trees: int = 20,
        depth: int = 6,
        learning_rate: float = 0.3,
        min_rows: int = 20,
        bins: int = 32,
        scale: str = "normal",
        corners: str = "digits",
        solver: str = "heun",
        classes: int = 20,
    ) -> None:
        self.process = process
        self.times = times
        self.copies = copies
        self.points = points
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.min_rows = min_rows
        self.bins = bins
        self.scale = scale
        self.corners = corners
        self.solver = solver
        self.classes = classes

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Learn the trees, time after time."""
        self._check()
        check_rows(train)
        self.schema_ = schema
        self.target_ = Classes.of(train, schema, self.classes)
        labels, inner = np.zeros(len(train), dtype=np.int64), schema
        if self.target_ is not None:
            labels, inner = self.target_.places(train), Schema(schema.features)
        self.cube_ = Cube.of(train, inner, self.scale, self.corners)
        rows = self.cube_.points(train, rng)
        members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        self.shares_ = np.array([len(member) / len(train) for member in members])
        self.models_ = self._models(rows, members, rng) if self.cube_.width else []
        return self

    def _check(self) -> None:
        for name, least in (
            {
                "times": 1,
                "copies": 1,
                "trees": 1,
                "depth": 1,
                "min_rows": 1,
                "bins": 2,
                "classes": 1,
            }
        ).items():
            check_at_least(name, getattr(self, name), least)
        if self.points is not None:
            check_at_least("points", self.points, 1)
        if not 0 < self.learning_rate <= 1:
            raise ValueError(
                f"learning_rate must be in (0, 1], got {self.learning_rate!r}; set it to 0.3"
            )
        for name, known in {
            "process": ("flow", "vp"),
            "scale": SCALES,
            "corners": CORNERS,
            "solver": ("heun", "euler"),
        }.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    def _process(self) -> Process:
        if self.process == "vp":
            return VariancePreserving(self.times)
        return Flow(self.times, self.solver == "heun")

    def _models(
        self, rows: np.ndarray, members: list[np.ndarray], rng: np.random.Generator
    ) -> list[list[bytes]]:
        """Learn the boosters of each time and class, in this order."""
        process, total = self._process(), self.times * len(members)
        counts = [self._count(len(member), len(rows)) for member in members]
        boosting = Boosting(self.trees, self.depth, self.learning_rate, self.min_rows, self.bins)
        seeds = rng.integers(2**63, size=total)
        models: list[list[bytes]] = self.checkpoint.load() or []
        for step in range(len(models), total):
            time, label = divmod(step, len(members))
            draws = np.random.default_rng(seeds[step])
            chosen = draw_in_passes(len(members[label]), counts[label], draws)
            pair = process.pair(time, rows[members[label][chosen]], draws)
            boosters, error = boosting.learn(*pair)
            models.append(boosters)
            self.progress(step + 1, total, error=error)
            if label + 1 == len(members):
                self.checkpoint.save(lambda: models)
        return models

    def _count(self, members: int, rows: int) -> int:
        """Return how many noisy rows a class has at each time."""
        count = self.copies * members
        if self.points is not None:
            count = min(count, max(1, round(self.points * members / rows)))
        if count * self.cube_.width > MOST_NUMBERS:
            raise ValueError(
                f"the noisy rows of one class may hold {MOST_NUMBERS} numbers, got {count} rows of "
                f"{self.cube_.width}; set generator.points={MOST_NUMBERS // self.cube_.width}"
            )
        return count

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows, of the class asked for; other conditions are selected for."""
        fixed = fixed_columns(conditions, self.schema_, n)
        asked = np.empty(0, dtype=np.int64)
        if self.target_ is not None and self.target_.column.name in fixed:
            asked = self.target_.places(pd.DataFrame(fixed))
            if len(fixed) == 1:
                unknown = asked < 0  # no row has this class
                asked[unknown] = self._drawn_labels(unknown.sum(), rng)
                return self._rows(asked, rng).assign(**fixed)
            asked = asked[asked >= 0]

        def draw(count: int) -> pd.DataFrame:
            labels = self._drawn_labels(count, rng)
            return self._rows(rng.choice(asked, size=count) if len(asked) else labels, rng)

        return by_selection(draw, conditions, self.schema_, n, rng)

    def _drawn_labels(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(len(self.shares_), size=n, p=self.shares_)

    def _rows(self, labels: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Draw a row of each class in ``labels``."""
        shape = len(labels), self.cube_.width
        points = rng.standard_normal(shape, dtype=np.float32)
        process = self._process()
        for label in np.unique(labels) if self.models_ else ():
            members = np.flatnonzero(labels == label)
            models = self.models_[label :: len(self.shares_)]
            points[members] = process.back(
                lambda time, rows, models=models: predicted(models[time], rows),
                points[members],
                rng,
            )
        made = self.cube_.table(points)
        if self.target_ is not None:
            made[self.target_.column.name] = self.target_.series(labels)
        return made[self.schema_.names]
