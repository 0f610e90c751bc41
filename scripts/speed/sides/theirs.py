"""Fit a peer's generator, draw from it, and tell what that cost: ``python -m sides.theirs NAME``.

It runs in the folder above, on the Python of the peer's environment. Imports come before the clock
starts.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from sides import meter
from sides.libraries import LIBRARIES, Sample, Task


def seed_everything(seed: int) -> None:
    """Seed the global generators, which some libraries draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def main() -> None:
    """Run one method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("kind", help="which of the library's generators")
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--draws", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packages", nargs="*", default=[], help="whose versions to tell")
    options = parser.parse_args()
    table = pd.read_csv(options.table)
    task = Task(table, options.target, options.settings, options.epochs, options.seed)
    fit = LIBRARIES[options.library](task, options.kind)
    meter.tell(versions={name: version(name) for name in options.packages})
    ends = meter.watch_steps() if "torch" in sys.modules else []
    seed_everything(options.seed)
    meter.run(
        quietly(fit),
        draws=options.draws,
        epochs=options.epochs,
        ends=ends,
        write=lambda made: pd.DataFrame(made).to_csv(options.out, index=False),
    )


def quietly(fit: Callable[[], Sample]) -> Callable[[], Sample]:
    """Send what the library prints to standard error."""

    def quiet_fit() -> Sample:
        with redirect_stdout(sys.stderr):
            sample = fit()

        def quiet_sample(rows: int) -> pd.DataFrame:
            with redirect_stdout(sys.stderr):
                return sample(rows)

        return quiet_sample

    return quiet_fit


if __name__ == "__main__":
    main()
