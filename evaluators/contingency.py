"""Contingency: joint frequencies of coded columns, without a loop over rows.

Codes are non-negative integers; the first ``n_real`` rows are real, the others synthetic.
"""

from __future__ import annotations

import numpy as np

DENSE_CELLS = 2**22  # a contingency table with more cells is counted by sorting


def gapless(codes: np.ndarray) -> np.ndarray:
    """Renumber codes from 0 without gaps, in their order."""
    present = np.bincount(codes) > 0
    return (np.cumsum(present) - 1)[codes]


def joint_codes(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, int]:
    """Code the pairs of two columns.

    Returns
    -------
    tuple of ndarray of int64, shape (n,), and int
        A code for each row, and a number above all of them.
    """
    width = int(second.max()) + 1
    cells = (int(first.max()) + 1) * width
    joint = first * width + second
    if cells > DENSE_CELLS:
        present, joint = np.unique(joint, return_inverse=True)
        cells = len(present)
    return joint, cells


def total_variation(codes: np.ndarray, cells: int, n_real: int) -> float:
    """Total variation distance between the codes (below ``cells``) of real and synthetic rows."""
    real = np.bincount(codes[:n_real], minlength=cells) / n_real
    synthetic = np.bincount(codes[n_real:], minlength=cells) / (len(codes) - n_real)
    return float(0.5 * np.abs(real - synthetic).sum())


def joint_distance(first: np.ndarray, second: np.ndarray, n_real: int) -> float:
    """Total variation distance between the pairs of two columns."""
    return total_variation(*joint_codes(first, second), n_real)
