"""Put NIST's k-marginal score of private generators beside SDNist's sample reports.

    python scripts/published/nist_k_marginal.py [mst] [aim] [mwem_pgm] [GENERATOR ...]
        [--preset paper] [--seeds 5] [--epsilon 1] [--rows N] [--out PAGE]

The ten demographic columns of the national 2019 excerpt of the American Community Survey, all
27,253 rows, delta 1e-5; as many rows are drawn and held against those learned from. The score is
1000 at best: over all pairs of columns, how much of the density agrees. Published
(usnistgov/SDNist, ``sample-reports``) is one table each of another implementation,
smartnoise-synth, so what is asked of ours is to be no worse.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import protocols
from comparison import Figure, Section, put

from syntharena.bench.contracts import Budget, Tables
from syntharena.evaluators.marginals import Marginals

COLUMNS = ("AGEP", "DEYE", "DVET", "EDU", "HOUSING_TYPE", "MSP", "OWN_RENT", "PINCP_DECILE")
COLUMNS += ("RAC1P", "SEX")
SEEDS = 5
DELTA = 1e-5
PUBLISHED = {("mst", 1.0): 958.0, ("aim", 1.0): 976.0}
NAME, METRIC = "k-marginal", "nist_k_marginal_score"
TOP = """# NIST's k-marginal score

SDNist's sample reports (usnistgov/SDNist): ten columns of the American Community Survey, made
private by smartnoise-synth. Written by `scripts/published/nist_k_marginal.py`; [README](README.md)
says how to read it.
"""


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = protocols.parser(__doc__, ["mst", "aim", "mwem_pgm"], SEEDS)
    made.add_argument("--epsilon", type=float, default=1.0)
    return made


def main() -> None:
    """Fit, score and report."""
    options = parser().parse_args()
    excerpt = protocols.load("nist_acs_national2019")
    kept = tuple(column for column in excerpt.schema if column.name in COLUMNS)
    schema = replace(excerpt.schema, columns=kept, sensitive=(), source=None)
    train = excerpt.table[schema.names].iloc[: options.rows]
    for name in options.generators:
        trial = protocols.Trial(name, options, Budget(options.epsilon, DELTA))
        scores = []
        for seed in range(options.seeds):
            tables = Tables(train, train, train, trial.rows(train, schema, seed))
            rng = np.random.default_rng(seed)
            value = Marginals().evaluate(tables, schema=schema, rng=rng)[METRIC]
            scores.append(float(getattr(value, "value", value)))
        run = trial.run(rows=(len(train), len(excerpt.table)), seeds=(options.seeds, SEEDS))
        figures = [figure(name, options.epsilon)]
        dataset = f"ten columns at epsilon {options.epsilon:g}"
        put(Section(name, dataset, run, figures, {NAME: scores}), TOP, options.out)


def figure(name: str, epsilon: float) -> Figure:
    """Return what the reports say of a generator at an epsilon."""
    published = PUBLISHED.get((name, epsilon))
    least = None if published is None else (published, np.inf)
    return Figure(NAME, published, None, least, best=1000.0, decimals=1)


if __name__ == "__main__":
    main()
