"""What each generator is good at: tables whose truth is known, and how near short fits come to it.

Errors of a table are those of ``truths``; independent columns have 0.45 and 0.74 for interactions,
0.40 and 0.03 for the Gaussian, 0.70 and 1.00 for dependence, 0.23 and 0.97 for what is rare.
"""

import numpy as np
import pytest
from truths import TRUTHS

from syntharena.bench import config, targets
from syntharena.bench.contracts import Budget

pytest.importorskip("torch")

ROWS, DRAWN = 2000, 4000
GAN = {"batch": 200, "hidden": 64, "noise": 32, "learning_rate": 1e-3, "average": 0.98}
DENOISING = {"layers": 0, "hidden": 64, "steps": 800, "learning_rate": 5e-3, "sampling_steps": 25}
BRIEF = {  # shorter fits than those of preset=cpu
    "adsgan": {"steps": 400, "hidden": 64, "learning_rate": 1e-3, "average": 0.98},
    "autoregressive": {"epochs": 60, "batch": 64},
    "ctgan": {"epochs": 1, "least_steps": 500, **GAN},
    "flow_matching": {"average": 0.98, **DENOISING},
    "forest_flow": {"times": 8, "trees": 10, "depth": 5, "points": 2000, "min_rows": 10},
    "tabddpm": {"steps": 600, "batch": 256, "hidden": [128, 128], "times": 50},
    "tabdiff": {"average": 0.98, **DENOISING},
    "tabsyn": {"vae_steps": 400, "vae_learning_rate": 5e-3, **DENOISING, "steps": 400},
    "tvae": {"epochs": 1, "least_steps": 800},
}
# The largest errors; an error that is not named is a weakness of the generator.
STRENGTHS = {}


def errors(generator, name, seed):
    """Return the errors of what a brief fit draws."""
    truth = TRUTHS[name]
    train = truth.draw(ROWS, np.random.default_rng(seed))
    spec = config.all_options("generator")[generator] | BRIEF.get(generator, {})
    model = targets.build(spec, ("fit", "sample"))
    model.fit(train, schema=truth.schema, budget=Budget(), rng=np.random.default_rng(seed))
    return truth.errors(model.sample(DRAWN, rng=np.random.default_rng(seed + 10)))


if __name__ == "__main__":
    import sys, time
    for g in sys.argv[2:]:
        for t in TRUTHS:
            for seed in range(int(sys.argv[1])):
                t0 = time.process_time()
                e = errors(g, t, seed)
                print(g, t, seed, {k: round(float(v), 3) for k, v in e.items()}, round(time.process_time() - t0, 1), flush=True)
