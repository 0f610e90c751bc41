"""Decisions: how what a downstream model decides falls on groups of holdout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..bench.contracts import Tables
from ..bench.schema import Schema
from .gaps import LEAST, TOO_FEW, Value, area, counts, recall, widest, widest_change
from .groups import Groups, Labels
from .predictors import fitted, predictions


@dataclass(frozen=True)
class Decisions:
    """What a model decides for the n rows of holdout, beside the truth.

    Parameters
    ----------
    holdout : DataFrame
        The rows.
    truth : ndarray of int64, shape (n,)
        Classes, -1 where missing.
    decided : ndarray of int64, shape (n,)
        Classes.
    scores : ndarray of float64, shape (n, classes)
        High where the class is likely.
    decide : callable
        Takes a table and returns a class for each row.
    """

    holdout: pd.DataFrame
    truth: np.ndarray
    decided: np.ndarray
    scores: np.ndarray
    decide: Callable[[pd.DataFrame], np.ndarray]

    @classmethod
    def by(
        cls, model: str, route: str, tables: Tables, schema: Schema, labels: Labels
    ) -> Decisions:
        """Learn a model by a route and let it decide; arguments as for ``predictions``."""
        predicted = predictions(model, route, tables, schema)
        learned = fitted(model, route, tables, schema)
        return cls(
            holdout=tables.holdout,
            truth=labels.codes(tables.holdout),
            decided=labels.decided(predicted),
            scores=labels.scores(predicted),
            decide=lambda table: labels.decided(learned.predict(table)),
        )

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.scores.shape[1]

    def demographic_parity(self, groups: Groups) -> Value:
        """Return the largest difference of the share of rows for which a class is decided."""
        codes = groups.codes(self.holdout)
        hits = counts(self._one_hot(self.decided), codes, len(groups))
        return widest(hits, np.broadcast_to(hits.sum(axis=0), hits.shape))

    def equalised_odds(self, groups: Groups) -> Value:
        """Return the largest difference of true or of false positive rates."""
        codes = groups.codes(self.holdout)
        decided, truth = self._one_hot(self.decided), self._one_hot(self.truth)
        others = ~truth & (self.truth >= 0)[:, None]
        hits = counts(np.hstack([decided & truth, decided & others]), codes, len(groups))
        return widest(hits, counts(np.hstack([truth, others]), codes, len(groups)))

    def unawareness(self, groups: Groups) -> Value:
        """Return the largest change of a class's share when all rows change their group."""
        sizes = np.bincount(groups.codes(self.holdout) + 1, minlength=len(groups) + 1)[1:]
        compared = np.flatnonzero(sizes >= LEAST)
        if len(compared) < 2:
            return TOO_FEW
        decided = [self.decide(groups.everyone_in(int(group), self.holdout)) for group in compared]
        return widest_change(np.array(decided), self.classes)

    def areas(self, groups: Groups, level: float) -> dict[str, Value]:
        """Return the area under the ROC curve of each group."""
        return {
            name: area(self.truth[rows], self.scores[rows], level)
            for name, rows in self._labelled(groups)
        }

    def recalls(self, groups: Groups, level: float) -> dict[str, Value]:
        """Return the recall of each group."""
        return {
            name: recall(self.truth[rows], self.decided[rows], self.classes, level)
            for name, rows in self._labelled(groups)
        }

    def _labelled(self, groups: Groups) -> list[tuple[str, np.ndarray]]:
        """Names of groups with masks of their rows that have a target value."""
        codes = np.where(self.truth >= 0, groups.codes(self.holdout), -1)
        return [(name, codes == group) for group, name in enumerate(groups.names)]

    def _one_hot(self, codes: np.ndarray) -> np.ndarray:
        return codes[:, None] == np.arange(self.classes)
