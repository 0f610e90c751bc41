"""Splits: real rows divided into disjoint parts, stratified, with what belongs together kept so.

Rows that are equal in every column, and rows of one person, stay in one part: else a generator that
repeats its training rows would be handed the test rows. Limit: one group larger than the part that
it would belong to goes to the part with most room, and the shares are as near as that allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..content import row_hashes
from ..names import UnknownName
from .datasets import Dataset

PARTS = ("train", "holdout", "reference", "fresh")
UNUSED = len(PARTS)  # the number of "no part" in an array of part numbers
HOLDOUT = PARTS.index("holdout")
SLACK = 1e-9  # what rounding may add to a sum of fractions
TOLERANCE = 0.01  # of a part: the rows by which a group may exceed the room that is left


def release_split(
    dataset: Dataset,
    *,
    fractions: Mapping[str, float],
    split: str = "random",
    duplicates: str | None = None,
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """Divide a dataset's rows into train, holdout, reference and fresh.

    Where the target is discrete, each part holds each class in the share of its fraction, to within
    a row or two as long as every group is a single row.

    Parameters
    ----------
    dataset : Dataset
        Its table and identifiers.
    fractions : mapping of str to float
        Shares of the rows by part, >= 0, with a sum <= 1; rows beyond the sum are in no part.
    split : str
        ``random``, or a name in ``dataset.splits``. A range of rows becomes the holdout, just as it
        is; rows elsewhere that are equal to one of them, or belong to a person among them, are in
        no part; the other parts share what is left in proportion. Fractions replace ``fractions``.
    duplicates : {"together", "free"}, optional
        Whether rows that are equal in every column stay in one part; None: as the dataset says. A
        table of few columns with few categories, where equal rows are no copies, needs ``free``.
    rng : Generator
        Its state decides everything that is random.

    Returns
    -------
    dict of str to DataFrame
        Disjoint canonical tables, in the dataset's row order, with fresh indices.

    Raises
    ------
    ValueError
        If a setting is outside its range.
    """
    duplicates = duplicates or dataset.duplicates
    if duplicates not in ("together", "free"):
        raise ValueError(
            f"scenario.duplicates must be 'together' or 'free', got {duplicates!r}; set together"
        )
    named = _named(dataset, split)
    shares = _shares(named.get("fractions", fractions))
    groups = _groups(dataset, together=duplicates == "together")
    part = np.full(len(dataset.table), UNUSED)
    free = np.ones(len(part), dtype=bool)
    if "holdout" in named:
        first, end = named["holdout"]
        part[first:end] = HOLDOUT
        free = ~np.isin(groups, groups[first:end])
        shares[HOLDOUT] = 0
        shares /= shares.sum()
    part[free] = _assign(groups[free], _classes(dataset)[free], shares, rng)
    return {
        name: dataset.table.iloc[np.flatnonzero(part == number)].reset_index(drop=True)
        for number, name in enumerate(PARTS)
    }


def _named(dataset: Dataset, split: str) -> Mapping[str, Any]:
    if split == "random":
        return {}
    if split not in dataset.splits:
        raise UnknownName("split", split, ["random", *dataset.splits])
    named = dataset.splits[split]
    if "holdout" in named:
        first, end = named["holdout"]
        if not 0 <= first < end <= len(dataset.table):
            raise ValueError(
                f"split {split!r} must be a range within {len(dataset.table)} rows, got "
                f"[{first}, {end}]; correct the dataset's YAML"
            )
    return named


def _shares(fractions: Mapping[str, float]) -> np.ndarray:
    """Return the shares of the four parts and, last, of the rows in none."""
    if unknown := [name for name in fractions if name not in PARTS]:
        raise UnknownName("part in scenario.fractions", unknown[0], PARTS)
    given = [fractions.get(name, 0.0) for name in PARTS]
    for name, value in zip(PARTS, given, strict=True):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"scenario.fractions.{name} must be >= 0, got {value!r}; set 0")
    if not given[0] > 0:
        raise ValueError(f"scenario.fractions.train must be > 0, got {given[0]!r}; set 0.6")
    if (total := math.fsum(given)) > 1 + SLACK:
        raise ValueError(f"scenario.fractions must sum to 1 or less, got {total!r}; lower one")
    shares = np.array([*given, 1 - total if total < 1 - SLACK else 0])
    return shares / shares.sum()


def _classes(dataset: Dataset) -> np.ndarray:
    """Return the class of each row, -1 where it is missing; 0 where there are no classes."""
    target = dataset.schema.target
    if target is None or not dataset.schema[target].is_discrete:
        return np.zeros(len(dataset.table), dtype=np.int64)
    return dataset.schema[target].codes(pd.Series(dataset.table[target]))


def _groups(dataset: Dataset, *, together: bool) -> np.ndarray:
    """Return, for each row, the number of the group that must stay in one part with it."""
    links = []
    if together:
        links.append(pd.factorize(row_hashes(dataset.table, dataset.schema))[0])
    if dataset.identifiers is not None:
        for name in dataset.identifiers:
            codes = pd.factorize(dataset.identifiers[name])[0]
            if codes.max(initial=-1) + 1 < (codes >= 0).sum():  # some value repeats
                links.append(codes)
    if not links:
        return np.arange(len(dataset.table))
    return links[0] if len(links) == 1 and links[0].min() >= 0 else _connected(links)


def _connected(links: list[np.ndarray]) -> np.ndarray:
    """Join rows that share a number in any of ``links``, directly or through others; -1 is none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, nodes, size = [], [], len(links[0])
    for codes in links:
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        nodes.append(codes[known] + size)
        size += int(codes.max(initial=-1)) + 1
    edges = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return pd.factorize(labels[: len(links[0])])[0]


def _assign(
    groups: np.ndarray, classes: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give every row the number of a part, groups whole and classes in the given shares.

    Within a class, groups of one size are dealt together, the largest first, in proportion to the
    room that each part has left; what a class could not give a part is owed by the next one.
    """
    _, first, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(group_of_row, minlength=len(first))
    strata = classes[first]  # a person of several classes counts as the first
    order = np.lexsort((rng.permutation(len(first)), -sizes, strata))
    part = np.empty(len(first), dtype=np.int64)
    capacity = shares * len(groups)
    owed = np.zeros(len(shares))
    for stratum in np.split(order, _changes(strata[order])):
        room = shares * sizes[stratum].sum() + owed
        for batch in np.split(stratum, _changes(sizes[stratum])):
            size = int(sizes[batch[0]])
            fits = (2 * room >= size) | (size <= TOLERANCE * capacity)
            counts = _deal(len(batch), room, (fits if fits.any() else True) & (shares > 0), rng)
            part[batch] = np.repeat(np.arange(len(shares)), counts)
            room -= counts * size
        owed = room
    return part[group_of_row]


def _changes(values: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(values)) + 1


def _deal(
    count: int, room: np.ndarray, eligible: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Deal ``count`` equal groups to parts in proportion to their room.

    Each number is rounded up or down at random, and is right on average (systematic sampling).
    """
    weights = np.where(eligible, np.clip(room, 0, None), 0)
    if not weights.any():
        weights = (eligible & (room == room[eligible].max())).astype(float)
    order = rng.permutation(len(room))
    ideal = np.cumsum(count * weights[order] / weights.sum())
    ideal[-1] = count
    counts = np.empty(len(room), dtype=np.int64)
    counts[order] = np.diff(np.floor(ideal + rng.random()).astype(np.int64), prepend=0)
    return counts
