"""NIST's k-marginal scores for the tests of Marginals: tests/fixtures/sdnist.json.

Runs in an environment of its own that holds pandas 2 and nothing of this project, on a checkout of
https://github.com/usnistgov/SDNist at f048b1c (2.5; the package index stops at 2.4):

    python scripts/oracles/sdnist_values.py SDNist conf/dataset/tables tests/fixtures/sdnist.json

Tables and variants are those of ``sdmetrics_values.py``. Synthetic numbers are clipped to the real
range, because beyond it SDNist lets them move the bins (``nist_edges`` in evaluators/binning.py).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from sdmetrics_values import TARGETS, VARIANTS, read, variant

ABSENT = "N"
PACKAGES = ("sdnist", "sdnist.report", "sdnist.report.dataset", "sdnist.metrics")


def pair(table: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a (real, synthetic) pair; "wide" doubles the columns, so that pairs are drawn."""
    if kind == "wide":
        real, synthetic = variant(table, "drifted")
        return _doubled(real, 11), _doubled(synthetic, 17)
    real, synthetic = variant(table, kind)
    for name in real:
        if real[name].dtype == float:
            low, high = real[name].min(), real[name].max()
            synthetic[name] = synthetic[name].clip(low, high).round()
    return real, synthetic


def _doubled(table: pd.DataFrame, shift: int) -> pd.DataFrame:
    again = {f"{name} again": np.roll(table[name].to_numpy(), shift) for name in table}
    return table.assign(**again)


def score(real: pd.DataFrame, synthetic: pd.DataFrame) -> float:
    """Bin both tables and score them, as SDNist's report does without a grouping feature."""
    from sdnist.metrics.kmarginal import KMarginal
    from sdnist.report.dataset.binning import bin_data
    from sdnist.report.dataset.transform import get_null_codes

    dictionary = {}
    for name in real:
        numeric = real[name].dtype == float
        # The code of a missing value is the minimum less 1, which must not be the number of a bin.
        values = {"min": min(0, real[name].min()), "max": real[name].max()} if numeric else []
        dictionary[name] = {"values": values, "null_value": ABSENT}
    sides = []
    for side in (real, synthetic):
        filled = {}
        for name in side:
            numeric = side[name].dtype == float
            code = get_null_codes(name, dictionary)[ABSENT] if numeric else ABSENT
            filled[name] = side[name].fillna(code)
        sides.append(pd.DataFrame(filled))
    target, deidentified, _ = bin_data(*sides, dictionary)
    return float(KMarginal(target, deidentified).compute_score())


def main(checkout: Path, tables: Path, out: Path) -> None:
    """Write the scores of every table and variant."""
    for name in PACKAGES:  # without their __init__, which load the whole report
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(checkout.joinpath(*name.split(".")))]
    found = {
        name: {
            kind: score(*pair(read(tables / f"{name}.csv.gz", target), kind))
            for kind in (*VARIANTS, "wide")
        }
        for name, target in TARGETS.items()
    }
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
