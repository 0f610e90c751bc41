"""Cost: what fitting and sampling took, as the harness measured it.

Values depend on the machine; records say which one it was.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..bench.contracts import Metric, Tables
from ..bench.schema import Schema


class Cost:
    """Wall time, memory and throughput of the train and sample stages."""

    metrics = (
        Metric(
            name="fit_seconds",
            family="cost",
            best=0.0,
            worst=np.inf,
            unit="s",
            definition="Wall time of fit.",
        ),
        Metric(
            name="sample_seconds",
            family="cost",
            best=0.0,
            worst=np.inf,
            unit="s",
            definition="Wall time of sample.",
        ),
        Metric(
            name="peak_rss_mib",
            family="cost",
            best=0.0,
            worst=np.inf,
            unit="MiB",
            definition="Largest growth of the resident set of the cell's process in fit or sample.",
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

    def evaluate(
        self, tables: Tables, *, schema: Schema, rng: np.random.Generator
    ) -> Mapping[str, float | str]:
        """Return what was measured; a stage that was not has a reason."""
        cost = tables.cost
        values: dict[str, float | str] = {
            name: float(cost[name]) if name in cost else f"{name} was not measured"
            for name in ("fit_seconds", "sample_seconds", "peak_rss_mib")
        }
        seconds = cost.get("sample_seconds", 0.0)
        values["sample_rows_per_second"] = (
            len(tables.synthetic) / seconds if seconds > 0 else "sampling took no measurable time"
        )
        return values
