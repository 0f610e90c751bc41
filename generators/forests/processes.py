"""Processes between noise and data: how rows become noisy, and the way back.

Both are grids of times. At each, a model learns a target from noisy rows; the way back goes through
the grid from its first time, where rows are standard normal, and calls the models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

Model = Callable[[int, np.ndarray], np.ndarray]  # the number of a time, rows -> the target's mean

BETAS = 0.1, 8.0  # of the variance-preserving process at times 0 and 1
EARLIEST = 1e-3  # its last time, where rows are nearly data


class Process(Protocol):
    """A process on a grid of times."""

    def pair(
        self, time: int, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows mixed with noise, and what a model is to learn from them."""
        ...

    def back(self, model: Model, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Lead standard normal ``rows`` to data."""
        ...


class Flow:
    """Straight lines from noise to data (Lipman et al. 2023), at times 0, 1/n, ... (n - 1)/n.

    Parameters
    ----------
    times : int
        n.
    heun : bool
        Whether steps go by the mean of the velocities at both ends, Heun's rule; else Euler's. The
        last step has no model at its end.
    """

    def __init__(self, times: int, heun: bool) -> None:
        self.times = times
        self.heun = heun

    def pair(
        self, time: int, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the points at that share of the way, and the velocity."""
        share = np.float32(time / self.times)
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        return share * rows + (1 - share) * noise, rows - noise

    def back(self, model: Model, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Follow the mean velocity."""
        step = np.float32(1 / self.times)
        for time in range(self.times):
            velocity = model(time, rows)
            if self.heun and time + 1 < self.times:
                velocity = (velocity + model(time + 1, rows + step * velocity)) / 2
            rows = rows + step * velocity
        return rows


class VariancePreserving:
    """The variance-preserving diffusion (Song et al. 2021), at times from 1 down to ``EARLIEST``.

    Parameters
    ----------
    times : int
        How many, evenly spaced.
    """

    def __init__(self, times: int) -> None:
        self.grid = np.linspace(1, EARLIEST, times)

    def _shares(self, time: int) -> tuple[np.float32, np.float32]:
        """Return what data and noise are multiplied by."""
        t, (low, high) = self.grid[time], BETAS
        data = np.exp(-0.25 * t**2 * (high - low) - 0.5 * t * low)
        return np.float32(data), np.float32(np.sqrt(1 - data**2))

    def pair(
        self, time: int, rows: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rows whose variance stays 1 if it was, and the noise in them."""
        data, spread = self._shares(time)
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        return data * rows + spread * noise, noise

    def back(self, model: Model, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Go back by Euler and Maruyama's rule; at last take the mean of the data."""
        for time, step in enumerate(np.append(-np.diff(self.grid), 0.0).astype(np.float32)):
            data, spread = self._shares(time)
            noise = model(time, rows)
            if time + 1 == len(self.grid):
                return (rows - spread * noise) / data
            beta = np.float32(BETAS[0] + self.grid[time] * (BETAS[1] - BETAS[0]))
            rows = rows + step * beta * (rows / 2 - noise / spread)
            rows += np.sqrt(step * beta) * rng.standard_normal(rows.shape, dtype=np.float32)
        return rows
