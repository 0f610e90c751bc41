"""Values of anonymeter for the tests of Disclosure: tests/fixtures/anonymeter.json.

Runs in an environment of its own that holds anonymeter==1.1.0 and nothing of this project:

    python scripts/oracles/anonymeter_values.py tests/fixtures/anonymeter.json

Tables are made by rule, without random numbers, and written beside the values. Every row is
attacked, so it does not matter which rows anonymeter would have drawn; numbers are so uneven that
no two synthetic rows are equally near, and every range is [0, 1], as the Schema of the test says.
Predicates on several columns are made by anonymeter from rows and columns named here.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

ROWS = {"train": 80, "holdout": 60, "synthetic": 90}
COLORS = ("red", "green", "blue")
HALVES = (["a", "color"], ["b", "c"])


def table(rows: int, start: int) -> pd.DataFrame:
    """Rows of a quasi-random sequence, their first two at the ends of every range."""
    steps = np.arange(start, start + rows)
    numbers = {
        "a": np.round(steps * 0.6180339887 % 1, 6),
        "b": np.round((steps * 0.4142135623 % 1) ** 2, 6),
    }
    numbers["c"] = np.round((numbers["a"] + steps * 0.7320508075 % 1) / 2, 2)
    made = pd.DataFrame(numbers)
    made.iloc[0], made.iloc[1] = 0.0, 1.0
    made["color"] = np.array(COLORS, dtype=object)[(made["a"] * 2.999).astype(int)]
    return made


def tables() -> dict[str, pd.DataFrame]:
    """Return train, holdout, and synthetic rows of which a third repeat those of train."""
    made = {name: table(rows, 1000 * i) for i, (name, rows) in enumerate(ROWS.items())}
    for row in range(0, 60, 2):
        made["synthetic"].iloc[row] = made["train"].iloc[row]
    made["synthetic"].iloc[0, :3], made["synthetic"].iloc[1, :3] = 0.0, 1.0
    return made


def result(results) -> dict[str, float | list[float]]:
    """Return what an evaluator of anonymeter found."""
    risk = results.risk()
    return {
        "successes": int(results.n_success),
        "control": int(results.n_control),
        "risk": float(risk.value),
        "low": float(risk.ci[0]),
        "high": float(risk.ci[1]),
    }


def linkability(made: dict[str, pd.DataFrame]) -> dict:
    """Attack as many rows as both sides have, in two orders that name all of them."""
    from anonymeter.evaluators.linkability_evaluator import LinkabilityEvaluator

    rows = ROWS["holdout"]
    evaluator = LinkabilityEvaluator(
        made["train"][:rows], made["synthetic"], HALVES, n_attacks=rows, control=made["holdout"]
    )
    return result(evaluator.evaluate(n_jobs=1).results())


def inference(made: dict[str, pd.DataFrame]) -> dict:
    """Guess every column in turn."""
    from anonymeter.evaluators.inference_evaluator import InferenceEvaluator

    found = {}
    for secret in made["train"]:
        evaluator = InferenceEvaluator(
            made["train"],
            made["synthetic"],
            aux_cols=[name for name in made["train"] if name != secret],
            secret=secret,
            regression=secret != "color",
            n_attacks=ROWS["train"],
            control=made["holdout"],
        )
        found[secret] = result(evaluator.evaluate(n_jobs=1).results())
    return found


def univariate(made: dict[str, pd.DataFrame]) -> dict:
    """Try every predicate on one column; both sides have as many rows, so nothing is corrected."""
    from anonymeter.evaluators import singling_out_evaluator as module

    rows = ROWS["holdout"]
    sides = {name: pl.DataFrame(part[:rows]) for name, part in made.items()}
    synthetic = pl.DataFrame(made["synthetic"])
    queries = module.univariate_singling_out_queries(synthetic, 10**6, np.random.default_rng(0))
    evaluator = module.SinglingOutEvaluator(
        made["train"][:rows],
        made["synthetic"],
        n_attacks=len(queries),
        control=made["holdout"],
        seed=0,
    )
    assert all(not part.is_duplicated().any() for part in sides.values())
    return {"predicates": len(queries)} | result(evaluator.evaluate("univariate").results())


def multivariate(made: dict[str, pd.DataFrame]) -> dict:
    """Count the rows that match predicates made from named rows and columns."""
    from anonymeter.evaluators import singling_out_evaluator as module

    frames = {name: pl.DataFrame(part) for name, part in made.items()}
    synthetic = frames["synthetic"]
    names = synthetic.columns
    picks = [
        (row, [names[k] for k in range(4) if k != (row + extra) % 4])
        for row in range(ROWS["synthetic"])
        for extra in range(2)
    ]
    queries = [
        module._query_from_record(
            record=synthetic.row(row, named=True),
            dtypes={name: synthetic[name].dtype for name in names},
            columns=columns,
            medians=synthetic.median().to_dicts()[0],
            rng=np.random.default_rng(0),
        )
        for row, columns in picks
    ]
    counts = {
        name: list(module._evaluate_queries(frame, queries)) for name, frame in frames.items()
    }
    return {
        "rows": [row for row, _ in picks],
        "columns": [columns for _, columns in picks],
    } | counts


def rates() -> list[dict]:
    """Risks and intervals over a grid of counts."""
    from anonymeter.stats.confidence import EvaluationResults

    return [
        {"attacks": [main, control], "counts": [hits, misses]}
        | result(EvaluationResults((main, main, control), hits, 0, misses))
        for main, control in ((30, 30), (500, 200), (2000, 2000))
        for hits in (1, main // 3, main)
        for misses in (0, control // 4, control - 1)
    ]


def main(out: Path) -> None:
    """Write tables and values."""
    warnings.simplefilter("ignore")
    made = tables()
    found = {
        "tables": {name: part.to_dict(orient="list") for name, part in made.items()},
        "halves": HALVES,
        "linkability": linkability(made),
        "inference": inference(made),
        "univariate": univariate(made),
        "multivariate": multivariate(made),
        "rates": rates(),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    out.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
