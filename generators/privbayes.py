"""PrivBayes: a Bayesian network from noisy marginals (Zhang et al. 2017, ACM TODS 42(4), 25).

Half of the budget chooses parents by the exponential mechanism, half pays for marginals of every
column with its parents over the full public domain, empty cells included. A parent set is as large
as theta-usefulness allows: cells hold theta times their noise on average, or more.

What differs from the paper:

- Scores are on counts, whose sensitivity does not depend on the number of rows (for ``I``: on no
  more than a public bound). The number of rows in theta-usefulness is a noisy one, paid for out of
  the half for choices.
- Neighbours are those of the budget: a row more or less moves a count by 1, where the paper
  replaces a row and so has twice the noise.
- With delta > 0 both halves are shares of rho-zCDP and the noise is discrete Gaussian; with delta =
  0 it is discrete Laplace of the paper's scale.
- If there are more than ``max_candidates`` pairs in a step, parent sets are a random sample of the
  maximal ones.
- A marginal that another one contains is summed from it, which generalises the paper's rule for the
  first columns of a binary network. Taxonomy trees of general attributes are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pandas as pd

from ..bench.contracts import Budget
from ..bench.ledger import Event
from ..bench.schema import Schema
from .common import check_at_least
from .distributions.parents import SCORES, SENSITIVITY, Node, Scores, candidates, combined
from .privacy.allowance import Allowance
from .views.cells import draw_cells
from .views.domain import discretise, not_finite

ROWS_SHARE = 0.05  # of what is spent before marginals, for the number of rows


class PrivBayes:
    """A Bayesian network with noisy parents and noisy conditional distributions.

    Parameters
    ----------
    score : {"R", "I", "F"}
        What a good parent set has: distance of the joint distribution from independence, mutual
        information, or (binary columns only) closeness to a distribution in which parents
        determine the column.
    theta : float
        Least ratio of the average count of a marginal to the scale of its noise, > 0.
    selection_share : float
        Of the budget, for choosing parents, in (0, 1).
    bins : int
        Most bins of a numeric column, >= 1.
    discretiser : {"uniform", "quantile", "privtree"}
        How bins are laid: equal widths, or edges that are paid for.
    discretiser_share : float
        Of the budget, where bins are paid for.
    max_candidates : int
        Most pairs of a column and its parents that one step compares, >= 1.
    max_cells : int
        Most cells of a marginal with parents, >= 1; what theta leaves open at an infinite epsilon.
    """

    ledger: Sequence[Event] = ()
    progress = staticmethod(lambda step, total, **losses: None)

    def __init__(
        self,
        score: str = "R",
        theta: float = 4.0,
        selection_share: float = 0.5,
        bins: int = 16,
        discretiser: str = "privtree",
        discretiser_share: float = 0.1,
        max_candidates: int = 2000,
        max_cells: int = 20_000,
    ) -> None:
        self.score = score
        self.theta = theta
        self.selection_share = selection_share
        self.bins = bins
        self.discretiser = discretiser
        self.discretiser_share = discretiser_share
        self.max_candidates = max_candidates
        self.max_cells = max_cells

    def skip(self, schema: Schema, budget: Budget) -> str | None:
        """Say why a cell does not apply: the domain is not public or finite, or F needs another."""
        if self.score == "F" and any(len(c.categories) + c.missing != 2 for c in schema):
            return "score F needs binary columns; take score R"
        return not_finite(schema, budget)

    def fit(
        self, train: pd.DataFrame, *, schema: Schema, budget: Budget, rng: np.random.Generator
    ) -> Self:
        """Choose the network, then count and noise its marginals."""
        self._check()
        if reason := self.skip(schema, budget):
            raise ValueError(reason)
        allowance = Allowance(budget, adaptive=True)  # shares of marginals depend on the network
        self.domain_ = discretise(
            train,
            schema,
            allowance,
            rng,
            method=self.discretiser,
            bins=self.bins,
            share=self.discretiser_share,
        )
        codes = self.domain_.codes(train)
        codes = codes[(codes >= 0).all(axis=1)]
        choosing = allowance.left * self.selection_share
        marginals = allowance.left - choosing
        self.rows_ = allowance.noisy(
            np.array([len(codes)]), choosing * ROWS_SHARE, "number of rows", rng
        )
        limit = self._cell_limit(allowance, marginals)
        choosing *= 1 - ROWS_SHARE
        self.nodes_ = self._network(codes, limit, choosing, allowance, rng)
        self.marginals_ = self._noisy_marginals(codes, allowance, rng)
        self.ledger = allowance.ledger
        self.claimed_epsilon = allowance.claimed_epsilon
        return self

    @property
    def parameters(self) -> int:
        """How many counts were learned."""
        return sum(counts.size for counts in self.marginals_.values())

    @property
    def release(self) -> Mapping[str, np.ndarray]:
        """The noisy number of rows, the network (parents of every column), marginals, edges."""
        axes = self.domain_.axes
        network = np.zeros((len(axes), len(axes)), dtype=np.int64)
        for node in self.nodes_:
            network[node.column, list(node.parents)] = 1
        named = {
            " x ".join(axes[place].column.name for place in scope): counts
            for scope, counts in self.marginals_.items()
        }
        return {"number of rows": self.rows_, "network": network, **named, **self.domain_.edges}

    def sample(self, n: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``n`` rows, every column after its parents."""
        codes = np.empty((n, len(self.nodes_)), dtype=np.int64, order="F")
        sizes = self.domain_.sizes
        for node in self.nodes_:
            given = combined(codes, node.parents, sizes)
            codes[:, node.column] = draw_cells(self._conditional(node), given, rng)
        return self.domain_.rows(codes, rng)

    def _check(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {self.score!r}")
        if not self.theta > 0:
            raise ValueError(f"theta must be > 0, got {self.theta!r}")
        if not 0 < self.selection_share < 1:
            raise ValueError(f"selection_share must be in (0, 1), got {self.selection_share!r}")
        for name in ("bins", "max_candidates", "max_cells"):
            check_at_least(name, getattr(self, name), 1)

    def _cell_limit(self, allowance: Allowance, share: float) -> float:
        """Most cells of a theta-useful marginal.

        In a binary network of degree k, columns without k parents share one marginal, so d - k
        of them are noised; otherwise up to d.
        """
        rows, sizes = float(self.rows_[0]), self.domain_.sizes

        def useful(marginals: int) -> float:
            noise = self.theta * allowance.scale(share / marginals)
            return min(rows / noise, self.max_cells) if noise else self.max_cells

        if not (sizes == 2).all():
            return useful(len(sizes))
        degrees = range(1, len(sizes))
        return max(
            (2 ** (k + 1) for k in degrees if 2 ** (k + 1) <= useful(len(sizes) - k)), default=2
        )

    def _network(
        self,
        codes: np.ndarray,
        limit: float,
        share: float,
        allowance: Allowance,
        rng: np.random.Generator,
    ) -> list[Node]:
        """Add columns greedily with parents among those before them.

        The first column is a random one. Where the limit leaves no pair of columns, nothing is
        chosen and nothing spent.
        """
        sizes = self.domain_.sizes
        columns = len(sizes)
        if columns == 1 or np.prod(np.sort(sizes)[:2]) > limit:
            return [Node(column, ()) for column in range(columns)]
        scores = Scores(codes, sizes, self.score)
        nodes = [Node(int(rng.integers(columns)), ())]
        while len(nodes) < columns:
            self.progress(len(nodes), columns)
            chosen = sorted(node.column for node in nodes)
            pairs = candidates(chosen, sizes, limit, self.max_candidates, rng)
            place = allowance.choose(
                scores(pairs), SENSITIVITY[self.score], share / (columns - 1), "parents", rng
            )
            nodes.append(pairs[place])
        self.progress(columns, columns)
        return nodes

    def _noisy_marginals(
        self, codes: np.ndarray, allowance: Allowance, rng: np.random.Generator
    ) -> dict[tuple[int, ...], np.ndarray]:
        """Count every node with its parents, with equal shares of all that is left."""
        sizes = self.domain_.sizes
        every = {node.scope for node in self.nodes_}
        scopes = sorted(s for s in every if not any(set(s) < set(other) for other in every))
        share = allowance.left / len(scopes)
        noisy = {}
        for scope in scopes:
            counts = np.bincount(combined(codes, scope, sizes), minlength=np.prod(sizes[[*scope]]))
            counts = counts.reshape(sizes[[*scope]])
            noisy[scope] = allowance.noisy(counts, share, "marginals", rng)
        return noisy

    def _conditional(self, node: Node) -> np.ndarray:
        """Return chances of a column's cells, of shape (cells of its parents, cells).

        Negative counts are 0. Parents that no noisy row has tell nothing: the column's own
        distribution stands in for theirs.
        """
        scope = next(s for s in self.marginals_ if set(s) >= set(node.scope))
        counts = np.maximum(self.marginals_[scope], 0.0)
        summed = tuple(i for i, place in enumerate(scope) if place not in node.scope)
        counts = np.moveaxis(counts.sum(axis=summed), node.scope.index(node.column), -1)
        counts = counts.reshape(-1, counts.shape[-1])
        own = counts.sum(axis=0)
        counts[~counts.any(axis=1)] = own if own.any() else 1.0
        return counts / counts.sum(axis=1, keepdims=True)
