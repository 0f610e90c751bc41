"""Searches among the rows of a tree: exact, and past what cannot matter.

A search walks down the tree with all its queries at once. Each node hands on only those that may
find something inside its box, so leaves are met by many queries together and pairs are compared in
blocks, while most pairs are never looked at. Where boxes tell nothing apart, what is left is a
comparison of all pairs in blocks.
"""

from __future__ import annotations

import numpy as np

from .distances import Distances, Quick
from .tree import Node


class NearestRows:
    """Finds the k nearest rows of each query; of equally near ones those that were given first.

    Parameters
    ----------
    distances : Distances
        Between queries and rows.
    k : int
        How many.

    Attributes
    ----------
    best : ndarray of float64, shape (queries, k)
        Distances, ascending.
    index : ndarray of int64, shape (queries, k)
        Positions of the rows as they were given.
    """

    def __init__(self, distances: Distances, k: int) -> None:
        self.distances, self.k = distances, k
        queries = len(distances.queries)
        self.best = np.full((queries, k), np.inf)
        self.index = np.full((queries, k), -1, dtype=np.int64)
        self._home = np.full(queries, -1, dtype=np.int64)  # the node that a query began with
        root = distances.tree.root
        self._begin(root, np.arange(queries))
        self._sweep(root, np.arange(queries))

    def _begin(self, node: Node, queries: np.ndarray) -> None:
        """Visit the leaf nearest to each query and its siblings, for a first idea of how near."""
        if not node.children:
            self._home[queries] = node.number
            self._visit(node, queries)
            return
        bounds = self.distances.bounds(node, queries)
        nearest = bounds.values.argmin(axis=0)
        if any(child.children for child in node.children):
            for place, child in enumerate(node.children):
                if (nearest == place).any():
                    self._begin(child, queries[nearest == place])
            return
        self._home[queries] = node.number
        for place, child in enumerate(node.children):
            self._visit(child, queries[nearest == place])
        for place, child in enumerate(node.children):
            near = bounds.values[place] <= self._limit(bounds, queries)
            self._visit(child, queries[near & (nearest != place)])

    def _sweep(self, node: Node, queries: np.ndarray) -> None:
        """Visit every other leaf that may hold a nearer row."""
        queries = queries[self._home[queries] != node.number]
        if not len(queries):
            return
        if not node.children:
            self._visit(node, queries)
            return
        bounds = self.distances.bounds(node, queries)
        for place, child in enumerate(node.children):
            self._sweep(child, queries[bounds.values[place] <= self._limit(bounds, queries)])

    def _limit(self, quick: Quick, queries: np.ndarray) -> np.ndarray:
        """Up to which quick distance a row may be among the nearest."""
        return self.distances.within(self.best[queries, -1], quick.blur, quick.noise)[1]

    def _visit(self, leaf: Node, queries: np.ndarray) -> None:
        for start, stop, part in self.distances.blocks(leaf, queries):
            self._compare(leaf, start, stop, part)

    def _compare(self, leaf: Node, start: int, stop: int, queries: np.ndarray) -> None:
        """Compare queries with rows, and keep what is nearer than before."""
        quick = self.distances.quick(leaf, start, stop, queries)
        limit = self._limit(quick, queries)
        hit = np.flatnonzero(quick.values.min(axis=0) <= limit)
        if not len(hit):
            return
        queries, limit, quick = queries[hit], limit[hit], quick.of(hit)
        pairs = np.flatnonzero(quick.values <= limit)
        if self.k < stop - start and len(pairs) > 4 * self.k * len(queries):
            # The k rows that seem nearest are near enough to rule out most others.
            few = np.argpartition(quick.values, self.k - 1, axis=0)[: self.k]
            pair = start + few.ravel(), np.broadcast_to(queries, few.shape).ravel()
            reach = self.distances.exact(*pair).reshape(few.shape).max(axis=0)
            limit = np.minimum(limit, self.distances.within(reach, quick.blur, quick.noise)[1])
            pairs = np.flatnonzero(quick.values <= limit)
        row, column = np.divmod(pairs, len(queries))
        self._merge(queries, column, start + row)

    def _merge(self, queries: np.ndarray, column: np.ndarray, rows: np.ndarray) -> None:
        """Let ``rows`` compete for a place among the nearest of ``queries[column]``."""
        found = self.distances.exact(rows, queries[column])
        place = self.distances.tree.order[rows]
        good = found <= self.best[queries[column], -1]
        whose = np.concatenate([np.repeat(np.arange(len(queries)), self.k), column[good]])
        distance = np.concatenate([self.best[queries].ravel(), found[good]])
        index = np.concatenate([self.index[queries].ravel(), place[good]])
        order = np.lexsort((index, distance, whose))
        starts = np.searchsorted(whose[order], np.arange(len(queries)))
        chosen = order[starts[:, None] + np.arange(self.k)]
        self.best[queries], self.index[queries] = distance[chosen], index[chosen]


class Counts:
    """Counts the pairs of a query and a row that are nearer than the query's radius.

    Parameters
    ----------
    distances : Distances
        Between queries and rows.
    radii : ndarray of float64, shape (queries,)
        At least 0.
    query_weights, row_weights : ndarray of int64, shapes (queries,) and (rows,)
        For how many each counts.

    Attributes
    ----------
    of_queries, of_rows : ndarray of int64, shapes (queries,) and (rows,)
        Rows near each query; queries near each row.
    """

    def __init__(
        self,
        distances: Distances,
        radii: np.ndarray,
        query_weights: np.ndarray,
        row_weights: np.ndarray,
    ) -> None:
        self.distances, self.radii = distances, radii
        order = distances.tree.order
        self._weights = query_weights, row_weights[order]
        self.of_queries = np.zeros(len(radii), dtype=np.int64)
        self.of_rows, self._of_rows = np.zeros((2, len(order)), dtype=np.int64)
        self._sweep(distances.tree.root, np.arange(len(radii)))
        self.of_rows[order] = self._of_rows

    def _sweep(self, node: Node, queries: np.ndarray) -> None:
        if not len(queries):
            return
        if not node.children:
            for start, stop, part in self.distances.blocks(node, queries):
                self._compare(node, start, stop, part)
            return
        bounds = self.distances.bounds(node, queries)
        limit = self.distances.within(self.radii[queries], bounds.blur, bounds.noise)[1]
        for place, child in enumerate(node.children):
            self._sweep(child, queries[bounds.values[place] <= limit])

    def _compare(self, leaf: Node, start: int, stop: int, queries: np.ndarray) -> None:
        quick = self.distances.quick(leaf, start, stop, queries)
        radius = self.radii[queries]
        sure, limit = self.distances.within(radius, quick.blur, quick.noise)
        pairs = np.flatnonzero(quick.values <= limit)
        row, column = np.divmod(pairs, len(queries))
        inside = quick.values.ravel()[pairs] < sure[column]
        unsure = np.flatnonzero(~inside)
        found = self.distances.exact(start + row[unsure], queries[column[unsure]])
        inside[unsure] = found < radius[column[unsure]]
        row, column = row[inside], column[inside]
        near = np.bincount(column, self._weights[1][start + row], minlength=len(queries))
        self.of_queries[queries] += near.astype(np.int64)
        near = np.bincount(row, self._weights[0][queries[column]], minlength=stop - start)
        self._of_rows[start:stop] += near.astype(np.int64)
