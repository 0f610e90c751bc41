"""Print NIST's k-marginal score on the ten demographic columns of the national 2019 excerpt.

    SYNTHARENA_DATA=FOLDER python scripts/published/nist_k_marginal.py [--seeds 5] [GENERATOR ...]

All 27,253 rows, epsilon 1, delta 1e-5, the hyperparameters of conf/generator. Published for other
implementations (SDNist's sample reports, smartnoise-synth): MST 958, AIM 976, PATE-CTGAN at epsilon
10 805. Means have the 95 % interval of Student's t over seeds.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from syntharena.bench import config, datasets, targets
from syntharena.bench.contracts import Budget, Tables
from syntharena.evaluators.intervals import of_seeds
from syntharena.evaluators.marginals import Marginals

COLUMNS = ("AGEP", "DEYE", "DVET", "EDU", "HOUSING_TYPE", "MSP", "OWN_RENT", "PINCP_DECILE")
COLUMNS += ("RAC1P", "SEX")
PUBLISHED = {"mst": "958", "aim": "976"}
METRIC = "nist_k_marginal_score"


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("generators", nargs="*", default=["mst", "aim", "mwem_pgm"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epsilon", type=float, default=1.0)
    arguments = parser.parse_args()
    spec = config.all_options("dataset")["nist_acs_national2019"]
    dataset = datasets.load(spec, data_dir=Path(os.environ.get("SYNTHARENA_DATA", ".")))
    kept = tuple(column for column in dataset.schema if column.name in COLUMNS)
    schema = replace(dataset.schema, columns=kept, sensitive=(), source=None)
    train = dataset.table[schema.names]
    specs = config.all_options("generator")
    for name in arguments.generators:
        scores, started = [], time.process_time()
        for seed in range(arguments.seeds):
            generator = targets.build(specs[name], ("fit", "sample"))
            rng = np.random.default_rng(seed)
            generator.fit(train, schema=schema, budget=Budget(arguments.epsilon, 1e-5), rng=rng)
            tables = Tables(train, train, train, generator.sample(len(train), rng=rng))
            values = Marginals().evaluate(tables, schema=schema, rng=rng)
            scores.append(float(getattr(values[METRIC], "value", values[METRIC])))
        seconds = (time.process_time() - started) / arguments.seeds
        mean = of_seeds(scores)
        print(f"{name:10} {mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}] over", end=" ")
        print(f"{len(scores)} seeds, published {PUBLISHED.get(name, '-')};", end=" ")
        print(f"{seconds:.1f} CPU s a seed", flush=True)


if __name__ == "__main__":
    main()
