"""Matches: what of one table occurs in another, counted by hashes and values, never by distances.

The control is always holdout. Where what is compared occurs once in all real rows, train and
holdout could swap their labels under the null hypothesis that the generator kept nothing of single
rows, and the number of matches on either side is hypergeometric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..bench.content import row_hashes
from ..bench.contracts import Tables
from ..bench.schema import Schema


@dataclass(frozen=True)
class Matched:
    """How much of what occurs once in the real rows occurs in the synthetic ones.

    Parameters
    ----------
    hits, members : int
        Of train: matched, and all.
    other_hits, others : int
        Of holdout.
    """

    hits: int
    members: int
    other_hits: int
    others: int

    @property
    def excess(self) -> float:
        """Share matched in train less that in holdout; in [-1, 1], both sides given."""
        return self.hits / self.members - self.other_hits / self.others

    @property
    def p(self) -> float:
        """One-sided exact p-value of so many hits among members (Fisher 1922)."""
        return more_hits_p(self.hits, self.members, self.other_hits, self.others)


def matched(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> Matched | None:
    """Count the matches of what occurs once in train and holdout together.

    Parameters
    ----------
    synthetic, train, holdout : ndarray
        Hashes, or values without NaN.

    Returns
    -------
    Matched or None
        None where train or holdout has nothing that occurs once.
    """
    counts = row_counts(np.concatenate([train, holdout]))
    once = [side[counts(side) == 1] for side in (train, holdout)]
    if not all(map(len, once)):
        return None
    hits = [int((row_counts(synthetic)(side) > 0).sum()) for side in once]
    return Matched(hits[0], len(once[0]), hits[1], len(once[1]))


def matched_rows(tables: Tables, schema: Schema) -> Matched | None:
    """Count the exact matches of rows."""
    return tables.once(("matches", "rows"), lambda: matched(*shared_hashes(tables, schema)))


def shared_hashes(tables: Tables, schema: Schema) -> list[np.ndarray]:
    """Row hashes of synthetic, train and holdout, computed once."""
    sides = tables.synthetic, tables.train, tables.holdout
    return tables.once(("matches", "hashes"), lambda: [row_hashes(t, schema) for t in sides])


def more_hits_p(hits: int, members: int, other_hits: int, others: int) -> float:
    """One-sided exact p-value of so many hits among members (Fisher 1922)."""
    from scipy.stats import hypergeom

    tail = hypergeom.sf(hits - 1, members + others, hits + other_hits, members)
    return float(np.clip(tail, 0.0, 1.0))


def row_counts(among: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that says how often each of some values occurs in ``among``."""
    ordered = np.sort(among)

    def count(values: np.ndarray) -> np.ndarray:
        first, last = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
        return last - first

    return count


def excess_of_copies(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> float:
    """Share of synthetic rows that copy train, less what copies of holdout explain.

    Each synthetic row with exact copies votes for train with the share that train has among them.
    For a generator that learned nothing about which rows were train the mean vote is
    n_t / (n_t + n_h), whatever the table: the labels could be swapped. Votes are scaled so that
    this chance is 0 and "always train" is 1; a row without a copy votes 0.

    Parameters
    ----------
    synthetic, train, holdout : ndarray of uint64
        Row hashes; at least one each.

    Returns
    -------
    float
        In [0, 1]; a mean below chance gives 0.
    """
    chance = len(train) / (len(train) + len(holdout))
    in_train, in_holdout = row_counts(train)(synthetic), row_counts(holdout)(synthetic)
    copies = in_train + in_holdout
    share = in_train / np.maximum(copies, 1)
    votes = np.where(copies > 0, (share - chance) / (1 - chance), 0.0)
    return float(np.clip(np.sort(votes).mean(), 0.0, 1.0))
