"""Our generators with training cut to a moment, where what they learn is not asked."""

from syntharena.bench import config

BRIEF = {"steps": 20, "rounds": 3, "seconds": 1.0, "iterations": 50}
GENERATORS = config.all_options("generator", preset="smoke")


def brief(name):
    """Return the specification of a generator with few steps, or as it is where it has none."""
    spec = GENERATORS[name]
    return spec | {key: value for key, value in BRIEF.items() if key in spec}
