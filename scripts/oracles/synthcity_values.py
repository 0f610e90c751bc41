"""Values of synthcity and prdc for the tests of Support and Identifiability.

Writes tests/fixtures/synthcity.json. Runs in an environment of its own that holds numpy, pandas,
SciPy, scikit-learn, prdc==0.2 and, without its dependencies, synthcity==0.2.12:

    pip install numpy pandas scipy scikit-learn prdc==0.2
    pip install --no-deps synthcity==0.2.12
    python scripts/oracles/synthcity_values.py tests/fixtures/synthcity.json

synthcity needs torch below 2.3 and a hundred other packages to be imported. So the two files of its
wheel that hold the metrics are executed as they are, while every module they import that is not
installed is a stand-in whose members do nothing. The methods that are called here use numpy,
SciPy and scikit-learn alone. What they are handed is what synthcity's own callers prepare: one-hot
categories and numbers scaled by scikit-learn's MinMaxScaler, fitted on the real rows.

Numbers are whole, from 0 to 2**20, so all squared distances are exact in float64 and ties are ties.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

STAND_INS = runpy.run_path(f"{Path(__file__).parents[2]}/generators/foreign/stand_ins.py")
ROWS, TOP = 90, 2**20
COLOURS = 4


class Loader:
    """A table as synthcity's metrics ask for it."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def numpy(self) -> np.ndarray:
        """Return a copy: the metric overwrites what it gets."""
        return self.matrix.copy()


def metrics_file(name: str) -> ModuleType:
    """Execute one file of the installed wheel."""
    found = next(
        Path(folder, "synthcity", "metrics", f"{name}.py")
        for folder in sys.path
        if Path(folder, "synthcity", "metrics", f"{name}.py").exists()
    )
    spec = importlib.util.spec_from_file_location(f"synthcity.metrics.{name}", found)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(shift: int) -> dict[str, list[int]]:
    """Make whole numbers and codes by arithmetic alone; other shifts give other rows."""
    rows = np.arange(ROWS) + 1000 * shift
    numbers = {
        name: np.rint((np.sin(rows * step) ** 2 + np.sin(rows) ** 2 * weight) / (1 + weight) * TOP)
        for name, step, weight in (("a", 1.7, 0.0), ("b", 2.3, 0.5), ("c", 3.1, 2.0))
    }
    made = {name: values.astype(int) for name, values in numbers.items()}
    made["colour"] = ((rows * rows + shift) % 7 % COLOURS).astype(int)
    for name in numbers:  # so that scaling is a division by 2**20, which is exact
        made[name][:2] = 0, TOP
    return {name: values.tolist() for name, values in made.items()}


def pairs() -> dict[str, tuple[dict[str, list[int]], dict[str, list[int]]]]:
    """Make pairs of a real and a synthetic table."""
    real, other = table(0), table(1)
    half = {name: real[name][: ROWS // 2] + other[name][ROWS // 2 :] for name in real}
    narrow = {name: [value // 2 for value in values] for name, values in other.items()}
    return {"fresh": (real, other), "half copied": (real, half), "narrow": (real, narrow)}


def matrix(rows: dict[str, list[int]]) -> np.ndarray:
    """One-hot categories beside the numbers."""
    numbers = np.array([rows[name] for name in ("a", "b", "c")], dtype=float).T
    return np.hstack([numbers, np.eye(COLOURS)[rows["colour"]]])


def values(real: dict[str, list[int]], synthetic: dict[str, list[int]]) -> dict[str, Any]:
    """Ask both libraries."""
    from prdc import compute_prdc
    from sklearn.preprocessing import MinMaxScaler

    statistical, privacy = metrics_file("eval_statistical"), metrics_file("eval_privacy")
    scaler = MinMaxScaler().fit(matrix(real))
    sides = [scaler.transform(matrix(rows)) for rows in (real, synthetic)]
    _, _, _, alpha, beta, authenticity = statistical.AlphaPrecision().metrics(*sides)
    balls = statistical.PRDCScore(nearest_k=5)._compute_prdc(*sides)
    share = privacy.IdentifiabilityScore()._compute_scores(*map(Loader, sides))["score"]
    return {
        "delta_precision_alpha_naive": float(alpha),
        "delta_coverage_beta_naive": float(beta),
        "authenticity_naive": float(authenticity),
        "synthcity_prdc": {name: float(value) for name, value in balls.items()},
        "prdc": {name: float(v) for name, v in compute_prdc(*sides, nearest_k=5).items()},
        "identifiability": float(share),
    }


def main(out: Path) -> None:
    """Write the tables and what the libraries say of them."""
    finder = STAND_INS["Finder"](("synthcity", "torch", "geomloss", "pydantic"))
    sys.meta_path.insert(0, finder)
    pydantic = importlib.import_module("pydantic")
    pydantic.validate_arguments = lambda **_: lambda function: function  # type: ignore[attr-defined]
    found = {
        name: {"real": real, "synthetic": synthetic, "values": values(real, synthetic)}
        for name, (real, synthetic) in pairs().items()
    }
    lines = json.dumps(found, indent=1)
    out.write_text(_one_line_each(lines) + "\n", encoding="utf-8")


def _one_line_each(text: str) -> str:
    """Write each column of a table on one line."""
    return re.sub(r"\[[^\]]*\]", lambda found: re.sub(r"\s+", " ", found.group()), text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
