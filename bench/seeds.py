"""Random streams, derived from a cell's seed and the name of their use.

A stream depends on nothing else, so adding a generator, a metric or a stage changes nobody's
numbers, and the split, training and sampling can be varied one at a time.
"""

from __future__ import annotations

import hashlib

import numpy as np

STAGES = ("split", "train", "sample", "evaluate")


def stream(seed: int, *name: str) -> np.random.Generator:
    """Return the random stream of one use.

    Parameters
    ----------
    seed : int
        The seed of the stage, >= 0.
    *name : str
        What the stream is for, e.g. ``"evaluate", "utility"``.
    """
    entropy = hashlib.sha256("\0".join(name).encode()).digest()[:16]
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(entropy, "little")]))
