"""A clock that jumps a day forwards and back at every look; imported on nodes, it is theirs."""

import os
import time

DAY = 86_400.0


class Clock:
    def __init__(self):
        self._true = time.time
        self._looks = 0

    def __call__(self):
        self._looks += 1
        return self._true() + (2 * DAY if self._looks % 2 else -2 * DAY)


if "SLURM_JOB_ID" in os.environ:
    time.time = Clock()
