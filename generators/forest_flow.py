"""Forest-Flow and Forest-VP: flows and diffusions whose velocities are gradient-boosted trees.

A grid of times leads from noise to data. At each time, and for each class of a discrete target,
trees learn where rows go from rows mixed with noise; new rows are noise that follows them.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget, Checkpoint
from ..bench.schema import Schema
from .common import NotPrivate, check_at_least, check_rows, draw_in_passes, fixed_columns
from .cores import threads
from .cube import CORNERS, SCALES, Cube
from .forest_processes import Flow, Process, VariancePreserving
from .mixed import Mixed
from .selection import by_selection
from .training import NoCheckpoint

if TYPE_CHECKING:
    from xgboost import Booster

MOST_NUMBERS = 2**30  # in the noisy rows of one time and class
AT_ONCE = 2**27  # residuals held at once while trees grow: rows times coordinates
UNREAD = (b"loss_changes", b"sum_hessian", b"base_weights")  # of trees, in predictions


class ForestFlow(NotPrivate):
    """Forest-Flow and Forest-VP (Jolicoeur-Martineau, Fatras and Kachman 2024, algorithms 1 to 3).

    All coordinates of one time and class share one matrix of binned rows and one booster with a tree
    for each coordinate in each round, which are the trees of separate boosters. The target's classes
    are drawn by their shares. What differs from the paper:

    - Times are 0, 1/n, ... for the flow, so every model is used; the authors' last one is not.
    - A missing number is filled and has an indicator (``cube``); the paper's trees take it as it is,
      and its tables come out complete.
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
        Most noisy rows at a time, of all classes: less than one copy of each row uses other rows at
        every time. None for no limit.
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

    checkpoint: Checkpoint = NoCheckpoint()

    def __init__(
        self,
        process: str = "flow",
        times: int = 10,
        copies: int = 1,
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
        self.label_, labels = _label(train, schema, self.classes)
        inner = schema
        if self.label_ is not None:
            inner = Schema(tuple(column for column in schema if column.name != schema.target))
        self.cube_ = Cube.of(train, inner, self.scale, self.corners)
        rows = self.cube_.points(train, rng)
        members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        self.shares_ = np.array([len(member) / len(train) for member in members])
        self.models_ = self._models(rows, members, rng) if self.cube_.width else []
        return self

    def _check(self) -> None:
        for name, least in (
            {"times": 1, "copies": 1, "trees": 1, "depth": 1, "min_rows": 1, "bins": 2, "classes": 1}
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
        seeds = rng.integers(2**63, size=total)
        models: list[list[bytes]] = self.checkpoint.load() or []
        for step in range(len(models), total):
            time, label = divmod(step, len(members))
            draws = np.random.default_rng(seeds[step])
            count = self._count(len(members[label]), len(rows))
            data = rows[members[label][draw_in_passes(len(members[label]), count, draws)]]
            noise = draws.standard_normal(data.shape, dtype=np.float32)
            noisy, target = process.noisy(time, data, noise), process.target(data, noise)
            boosters, error = self._boosters(noisy, target)
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

    def _boosters(self, noisy: np.ndarray, target: np.ndarray) -> tuple[list[bytes], float]:
        """Learn the coordinates of one target, as many at once as memory allows.

        Returns
        -------
        tuple
            The packed boosters, and the root mean squared error on these rows.
        """
        import xgboost

        options: dict[str, Any] = {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_depth": self.depth,
            "eta": self.learning_rate,
            "min_child_weight": self.min_rows,
            "reg_lambda": 0.0,
            "max_bin": self.bins,
            "nthread": threads(),
        }
        binned = xgboost.QuantileDMatrix(noisy, max_bin=self.bins, nthread=threads())
        step = max(1, AT_ONCE // len(noisy))
        packed, squares = [], 0.0
        for begun in range(0, target.shape[1], step):
            part = np.ascontiguousarray(target[:, begun : begun + step])
            binned.set_label(part)
            booster = xgboost.train(options, binned, self.trees)
            squares += part.shape[1] * float(booster.eval(binned).rpartition(":")[2]) ** 2
            packed.append(_packed(booster))
        return packed, float(np.sqrt(squares / target.shape[1]))

    def sample(
        self, n: int, *, rng: np.random.Generator, conditions: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Draw ``n`` rows; a class that is asked for is drawn, other conditions are selected for."""
        fixed = fixed_columns(conditions, self.schema_, n)
        target = self.schema_.target
        asked = None
        if self.label_ is not None and target in fixed and n:
            asked = self._labels(fixed[target])
            if len(fixed) == 1:
                unknown = asked < 0  # no row has this class
                asked[unknown] = self._drawn_labels(unknown.sum(), rng)
                return self._rows(asked, rng).assign(**{target: fixed[target]})[self.schema_.names]
            asked = asked[asked >= 0]

        def draw(count: int) -> pd.DataFrame:
            if asked is None or not len(asked):
                return self._rows(self._drawn_labels(count, rng), rng)
            return self._rows(rng.choice(asked, size=count), rng)

        return by_selection(draw, conditions, self.schema_, n, rng)

    def _drawn_labels(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(len(self.shares_), size=n, p=self.shares_)

    def _labels(self, series: pd.Series) -> np.ndarray:
        """Return the class of each value asked for, -1 for one that no row has."""
        (variable,) = self.label_.variables
        codes = self.schema_[self.schema_.target].codes(series)
        places = np.full(len(self.schema_[self.schema_.target].categories) + 1, -1)
        places[np.nan_to_num(variable.values, nan=-1).astype(np.int64)] = np.arange(
            len(variable.values)
        )
        return places[codes]

    def _rows(self, labels: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Draw a row of each class in ``labels``."""
        shape = len(labels), self.cube_.width
        points = rng.standard_normal(shape, dtype=np.float32)
        process = self._process()
        for label in np.unique(labels) if self.models_ else ():
            members = np.flatnonzero(labels == label)
            models = self.models_[label :: len(self.shares_)]
            points[members] = process.back(
                lambda time, rows, models=models: _predicted(models[time], rows),
                points[members],
                rng,
            )
        made = self.cube_.table(points)
        if self.label_ is None:
            return made
        classes = self.label_.table(np.empty((len(labels), 0)), labels[:, None])
        return pd.concat([made, classes], axis=1)[self.schema_.names]


def _label(train: pd.DataFrame, schema: Schema, classes: int) -> tuple[Mixed | None, np.ndarray]:
    """Return the target as a table of its own, if its classes have own models, and the classes."""
    if schema.target is not None and schema[schema.target].is_discrete:
        label = Mixed.of(train, Schema((schema[schema.target],)))
        if label.sizes[0] <= classes:
            return label, label.split(train)[1][:, 0]
    return None, np.zeros(len(train), dtype=np.int64)


def _packed(booster: Booster) -> bytes:
    """Return a booster as bytes, without what predictions do not read."""
    raw = booster.save_raw("ubj")
    for name in UNREAD:
        head = name + b"[$d#L"  # an array of float32, and 8 bytes for its length, in UBJSON
        begun = raw.find(head)
        while begun >= 0:
            begun += len(head) + 8
            count = int.from_bytes(raw[begun - 8 : begun], "big")
            raw[begun : begun + 4 * count] = bytes(4 * count)
            begun = raw.find(head, begun + 4 * count)
    return zlib.compress(raw, 1)


def _predicted(packed: list[bytes], rows: np.ndarray) -> np.ndarray:
    """Return the predictions of boosters side by side, (rows, coordinates)."""
    import xgboost

    parts = []
    for content in packed:
        raw = bytearray(zlib.decompress(content))
        booster = xgboost.Booster({"nthread": threads()}, model_file=raw)
        parts.append(booster.inplace_predict(rows).reshape(len(rows), -1))
    return np.hstack(parts)
