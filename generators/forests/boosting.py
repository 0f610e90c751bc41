"""Gradient-boosted trees for many numbers at once, by XGBoost."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .cores import threads

if TYPE_CHECKING:
    from xgboost import Booster

AT_ONCE = 2**27  # numbers predicted at once: what grows trees holds several for each
UNREAD = (b"loss_changes", b"sum_hessian", b"base_weights")  # of trees, in predictions


@dataclass(frozen=True)
class Boosting:
    """How trees are grown.

    Parameters
    ----------
    trees, depth : int
        For each number; of each tree.
    learning_rate : float
        In (0, 1].
    min_rows : int
        Fewest rows in a leaf.
    bins : int
        Most bins of an input.
    """

    trees: int
    depth: int
    learning_rate: float
    min_rows: int
    bins: int

    def learn(self, inputs: np.ndarray, target: np.ndarray) -> tuple[list[bytes], float]:
        """Learn to predict every column of ``target`` by trees of its own.

        Boosters share the binned inputs, and hold as many columns as memory allows.

        Parameters
        ----------
        inputs, target : ndarray of float32, shape (rows, columns)
            At least one row, and one column each.

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
        binned = xgboost.QuantileDMatrix(inputs, max_bin=self.bins, nthread=threads())
        step = max(1, AT_ONCE // len(inputs))
        packed, squares = [], 0.0
        for begun in range(0, target.shape[1], step):
            part = np.ascontiguousarray(target[:, begun : begun + step])
            binned.set_label(part)
            booster = xgboost.train(options, binned, self.trees)
            squares += part.shape[1] * float(booster.eval(binned).rpartition(":")[2]) ** 2
            packed.append(pack(booster))
        return packed, float(np.sqrt(squares / target.shape[1]))


def pack(booster: Booster) -> bytes:
    """Return a booster as bytes, without what predictions do not read."""
    raw = booster.save_raw("ubj")
    for name in UNREAD:
        head = name + b"[$d#L"  # an array of float32 in UBJSON; 8 bytes of its length follow
        begun = raw.find(head)
        while begun >= 0:
            begun += len(head) + 8
            count = int.from_bytes(raw[begun - 8 : begun], "big")
            raw[begun : begun + 4 * count] = bytes(4 * count)
            begun = raw.find(head, begun + 4 * count)
    return zlib.compress(raw, 1)


def predicted(packed: list[bytes], inputs: np.ndarray) -> np.ndarray:
    """Return the predictions of packed boosters side by side, (rows, columns)."""
    import xgboost

    parts = []
    for content in packed:
        raw = bytearray(zlib.decompress(content))
        booster = xgboost.Booster({"nthread": threads()}, model_file=raw)
        parts.append(booster.inplace_predict(inputs).reshape(len(inputs), -1))
    return np.hstack(parts)
