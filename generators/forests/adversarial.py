"""Adversarial forests: trees that tell a table's rows from synthetic ones.

scikit-learn grows the trees; pruning, boxes and the way of rows through pruned trees are arrays
here. Rows are float32 numbers: codes of discrete columns, ranks of numeric ones, NaN where a number
is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .cores import threads
from .leaves import Leaves


def grow(
    real: np.ndarray,
    synthetic: np.ndarray,
    unordered: Mapping[int, int],
    *,
    trees: int,
    min_leaf: int,
    min_split: int,
    rng: np.random.Generator,
) -> tuple[Leaves, float]:
    """Grow a random forest that tells ``real`` rows from ``synthetic`` ones.

    Parameters
    ----------
    real, synthetic : ndarray of float32, shape (rows, columns)
        Two tables.
    unordered : mapping of int to int
        How many codes each column has whose codes have no order; every tree shuffles them anew.
    trees, min_leaf, min_split : int
        How many trees; fewest real rows in a leaf; fewest rows, of both tables, that are split.

    Returns
    -------
    tuple of Leaves and float
        The leaves that hold real rows, and the share of rows that the trees which did not see them
        sort rightly; a tie counts half.
    """
    rows = np.vstack([real, synthetic])
    told = np.repeat([1.0, 0.0], [len(real), len(synthetic)])

    def one(seed: int) -> tuple[np.ndarray, Any]:
        own = np.random.default_rng(seed)
        return _grow(_shuffled(rows, unordered, own), told, min_leaf, min_split, own)

    with ThreadPoolExecutor(threads()) as pool:
        grown = list(pool.map(one, rng.integers(2**63, size=trees)))
    votes = np.sum([votes for votes, _ in grown], axis=0)
    right = np.where(votes == 0, 0.5, (votes > 0) == (told > 0))
    return Leaves.together([part for _, part in grown]), float(right.mean())


def _shuffled(
    rows: np.ndarray, unordered: Mapping[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Give codes without an order a random one."""
    seen = rows.copy()
    for position, codes in unordered.items():
        places = rng.permutation(codes).astype(np.float32)
        seen[:, position] = places[rows[:, position].astype(np.int64)]
    return seen


def _grow(
    rows: np.ndarray, told: np.ndarray, min_leaf: int, min_split: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Grow one tree on a bootstrap of the rows.

    Returns
    -------
    tuple
        A vote on every row, 1 for real, -1 for synthetic, 0 where the tree saw the row; and the
        leaf of each real row with the lower and upper ends of the leaves.
    """
    from sklearn.tree import DecisionTreeRegressor

    times = np.bincount(rng.integers(len(rows), size=len(rows)), minlength=len(rows))
    # The variance of zeros and ones is half their Gini impurity, so the splits are a classifier's.
    grown = DecisionTreeRegressor(
        max_features=max(1, int(np.sqrt(rows.shape[1]))),
        min_samples_split=min_split,
        random_state=int(rng.integers(2**31)),
    )
    tree = grown.fit(rows, told, sample_weight=times.astype(np.float64)).tree_
    share = tree.value[tree.apply(rows), 0, 0]
    votes = np.where(times > 0, 0.0, np.sign(share - 0.5))
    real = rows[: int(told.sum())]
    left, right = _pruned(tree, real, min_leaf)
    used, leaves = np.unique(_walk(tree, left, right, real), return_inverse=True)
    lower, upper = _boxes(tree, left, right, rows.shape[1])
    return votes, (leaves, lower[used], upper[used])


def _pruned(tree: Any, real: np.ndarray, min_leaf: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the left and right child of each node without small branches; a leaf's are itself.

    A branch that fewer than ``min_leaf`` real rows reach leaves them, and its part of the box, to
    its sibling.
    """
    nodes = np.arange(tree.node_count)
    inner = tree.children_left >= 0
    left = np.where(inner, tree.children_left, nodes)
    right = np.where(inner, tree.children_right, nodes)
    small = np.asarray(tree.decision_path(real).sum(axis=0)).ravel() < min_leaf
    ends = small[left] & small[right]
    return (
        np.where(ends, nodes, np.where(small[left], right, left)),
        np.where(ends, nodes, np.where(small[right], left, right)),
    )


def _walk(tree: Any, left: np.ndarray, right: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the leaf, as a node, that each row ends in."""
    nodes = np.zeros(len(rows), dtype=np.int64)
    going = np.arange(len(rows))
    while True:
        going = going[left[nodes[going]] != nodes[going]]
        if not len(going):
            return nodes
        at = nodes[going]
        value = rows[going, tree.feature[at]]
        missing = np.isnan(value)
        goes_left = np.where(missing, tree.missing_go_to_left[at], value <= tree.threshold[at])
        nodes[going] = np.where(goes_left, left[at], right[at])


def _boxes(
    tree: Any, left: np.ndarray, right: np.ndarray, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends of all nodes, float32 of shape (nodes, columns)."""
    lower = np.full((len(left), columns), -np.inf, dtype=np.float32)
    upper = np.full((len(left), columns), np.inf, dtype=np.float32)
    level = np.zeros(1, dtype=np.int64)
    while True:
        level = level[left[level] != level]
        if not len(level):
            return lower, upper
        for child in (left[level], right[level]):
            lower[child], upper[child] = lower[level], upper[level]
        cut = level[left[level] != right[level]]  # a pruned branch leaves its sibling uncut
        upper[left[cut], tree.feature[cut]] = tree.threshold[cut]
        lower[right[cut], tree.feature[cut]] = tree.threshold[cut]
        level = np.unique(np.concatenate([left[level], right[level]]))
