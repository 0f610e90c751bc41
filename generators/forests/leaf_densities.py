"""Densities within leaves: shares of single values, and truncated normals of the other numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ...bench.schema import Column
from .leaves import Leaves

if TYPE_CHECKING:
    from scipy.sparse import csr_array

RESOLUTION = 1e-6  # spreads of a column within which two of its numbers are one


@dataclass(frozen=True)
class Normals:
    """A truncated normal in each leaf.

    Parameters
    ----------
    centre, spread : float
        The scale: numbers less the centre, in spreads.
    half : float
        Half the width, scaled, within which numbers are equal.
    mean, deviation : ndarray of float32, shape (leaves,)
        Before the normal is cut off; without deviation it is one number.
    lower, upper : ndarray of float32, shape (leaves,)
        Where it is cut off.
    """

    centre: float
    spread: float
    half: float
    mean: np.ndarray
    deviation: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(
        cls, values: np.ndarray, other: np.ndarray, leaves: Leaves, position: int, rounding: float
    ) -> Self:
        """Learn from the ``other`` rows of the column at ``position``, rounded to ``rounding``."""
        centre, spread = float(values[other].mean()), float(values[other].std()) or 1.0
        pairs = np.flatnonzero(other[leaves.rows_of_pairs])
        scaled = (values[leaves.rows_of_pairs[pairs]] - centre) / spread
        counts = leaves.sums(np.ones(len(pairs)), pairs)
        mean = leaves.sums(scaled, pairs) / np.maximum(counts, 1)
        squares = leaves.sums((scaled - mean[leaves.of_pairs[pairs]]) ** 2, pairs)
        deviation = np.sqrt(squares / np.maximum(counts - 1, 1))
        deviation[deviation < RESOLUTION] = 0.0  # what rounding leaves of equal numbers
        known = np.unique(values[~np.isnan(values)])
        ranks = np.arange(len(known))
        lower, upper = (
            (np.interp(ends[:, position], ranks, known) - centre) / spread
            for ends in (leaves.lower, leaves.upper)
        )
        parts = (part.astype(np.float32) for part in (mean, deviation, lower, upper))
        return cls(centre, spread, max(rounding / 2 / spread, RESOLUTION), *parts)

    def draw(self, leaves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a number in each leaf."""
        from scipy.special import ndtr, ndtri

        mean, deviation = self.mean[leaves].astype(np.float64), self.deviation[leaves]
        lower, upper = self.lower[leaves], self.upper[leaves]
        below, upto = ndtr((lower - mean) / deviation), ndtr((upper - mean) / deviation)
        scaled = mean + deviation * ndtri(below + rng.random(len(leaves)) * (upto - below))
        return self.centre + self.spread * np.clip(scaled, lower, upper)

    def masses(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mass that leaves' normals have where they equal each number.

        Returns
        -------
        tuple of ndarray
            Positions in ``numbers``, leaves, and masses; pairs that are not there have none.
        """
        from scipy.special import ndtr

        middle = ((numbers - self.centre) / self.spread).astype(np.float32)[:, None]
        touched = (middle + self.half >= self.lower) & (middle - self.half <= self.upper)
        place, leaf = np.nonzero(touched)
        at = middle[place, 0].astype(np.float64)
        mean, lower, upper = self.mean[leaf], self.lower[leaf], self.upper[leaf]
        deviation = np.where(self.deviation > 0, self.deviation, 1.0)[leaf]
        ends = (np.clip(at + side, lower, upper) for side in (-self.half, self.half))
        first, last = ((end - mean) / deviation for end in ends)
        flip = first > 0  # differences of small tails keep their digits, those near 1 lose them
        first, last = np.where(flip, -last, first), np.where(flip, -first, last)
        whole = ndtr((upper - mean) / deviation) - ndtr((lower - mean) / deviation)
        within = (ndtr(last) - ndtr(first)) / np.where(whole > 0, whole, 1.0)
        alone = np.abs(at - mean) <= self.half
        return place, leaf, np.where(self.deviation[leaf] > 0, within, alone)


@dataclass(frozen=True)
class LeafDensity:
    """What the leaves say of one column.

    Parameters
    ----------
    values : ndarray of float64, shape (rows,)
        The column in the training table, NaN where missing.
    own : ndarray of float64, shape (own,)
        Values with a share of their own in each leaf, ascending: every category, some numbers, and
        last NaN.
    codes : ndarray of int32, shape (rows,)
        Where each row's value stands in ``own``; past its end for the other numbers.
    normals : Normals or None
        Of the other numbers, if there are any.
    """

    values: np.ndarray
    own: np.ndarray
    codes: np.ndarray
    normals: Normals | None

    @classmethod
    def of(
        cls, column: Column, values: np.ndarray, leaves: Leaves, position: int, own_share: float
    ) -> Self:
        """Learn from the column at ``position`` of the table that the leaves are of."""
        if column.is_discrete:
            own = np.arange(float(len(column.categories)))
        else:
            known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
            own = known[counts >= own_share * len(values)]
        own = np.append(own, np.nan)
        codes = _codes(own, values)
        other = codes == len(own)
        if not other.any():
            return cls(values, own, codes, None)
        normals = Normals.of(values, other, leaves, position, _rounding(column))
        return cls(values, own, codes, normals)

    def draw(self, leaves: Leaves, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a value in each of the ``chosen`` leaves; float64, NaN where missing."""
        donors = leaves.donors(chosen, rng)
        drawn = self.values[donors]
        if self.normals is None:
            return drawn
        spread = (self.codes[donors] == len(self.own)) & (self.normals.deviation[chosen] > 0)
        drawn[spread] = self.normals.draw(chosen[spread], rng)
        return drawn

    def masses(self, leaves: Leaves, asked: np.ndarray) -> csr_array:
        """Mass that each leaf gives to each value ``asked``; sparse, of shape (asked, leaves)."""
        from scipy.sparse import coo_array

        values, kinds = np.unique(asked, return_inverse=True)
        codes = np.append(_codes(self.own, values), len(self.own))
        wanted, places = np.unique(codes, return_inverse=True)
        shares = self._shares(leaves, wanted)
        masses = shares[places[:-1]]
        if self.normals is not None:
            masses = masses.multiply((codes[:-1] < len(self.own))[:, None]).tocsr()
            known = np.flatnonzero(~np.isnan(values))
            place, leaf, normal = self.normals.masses(values[known])
            normal *= shares[[-1]].toarray()[0, leaf]
            masses += coo_array((normal, (known[place], leaf)), shape=masses.shape).tocsr()
        return masses[kinds]

    def _shares(self, leaves: Leaves, wanted: np.ndarray) -> csr_array:
        """Return the share of each code ``wanted`` in each leaf, shape (wanted, leaves)."""
        from scipy.sparse import coo_array

        kinds = np.full(len(self.own) + 1, -1)
        kinds[wanted] = np.arange(len(wanted))
        found = kinds[self.codes[leaves.rows_of_pairs]]
        pairs = np.flatnonzero(found >= 0)
        leaf = leaves.of_pairs[pairs]
        shape = (len(wanted), len(leaves))
        return coo_array((1 / leaves.sizes[leaf], (found[pairs], leaf)), shape=shape).tocsr()


def _codes(own: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where values stand among ``own``; its length for those that are not there."""
    found = np.searchsorted(own, values)  # NaN counts as the largest number
    found = np.minimum(found, len(own) - 1)
    there = (own[found] == values) | np.isnan(values)
    return np.where(there, found, len(own)).astype(np.int32)


def _rounding(column: Column) -> float:
    """Return the distance of neighbouring values after the Schema's rounding; 0 for none."""
    if column.kind != "continuous":
        return 1.0
    return 0.0 if column.decimals is None else 10.0**-column.decimals
