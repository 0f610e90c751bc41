"""Cost: what searching, fitting, sampling and scoring took, as the harness measured it.

Values depend on the machine; records say which one it was.
"""

from __future__ import annotations

import numpy as np

from ..bench.contracts import Metric, Tables, Values
from ..bench.schema import Schema

# What the harness measures, by the metric's name: its unit, and what it is.
MEASURED = {
    "fit_seconds": ("s", "Wall time of fit."),
    "sample_seconds": ("s", "Wall time of sample."),
    "evaluate_seconds": ("s", "Wall time of the evaluators that were asked before this one."),
    "tuning_seconds": ("s", "Wall time of the search for hyperparameters, all trials together."),
    "peak_rss_mib": (
        "MiB",
        "Largest growth of the resident set of the cell's process in fit or sample.",
    ),
    "peak_gpu_mib": ("MiB", "Largest memory that torch held on a GPU in fit or sample."),
    "parameters_count": ("", "Numbers that fit learned, as the generator counts them."),
}


class Cost:
    """Wall time, memory, size and throughput."""

    metrics = (
        *(
            Metric(name, "cost", best=0.0, worst=np.inf, unit=unit, definition=definition)
            for name, (unit, definition) in MEASURED.items()
        ),
        Metric(
            name="sample_rows_per_second",
            family="cost",
            best=np.inf,
            worst=0.0,
            unit="rows/s",
            definition="Synthetic rows over the wall time of sample.",
        ),
    )

    def evaluate(self, tables: Tables, *, schema: Schema, rng: np.random.Generator) -> Values:
        """Return what was measured; what was not has a reason."""
        cost = tables.cost
        values: dict[str, float | str] = {
            name: float(cost[name]) if name in cost else f"{name} was not measured"
            for name in MEASURED
        }
        seconds = cost.get("sample_seconds", 0.0)
        values["sample_rows_per_second"] = (
            len(tables.synthetic) / seconds if seconds > 0 else "sampling took no measurable time"
        )
        return values
