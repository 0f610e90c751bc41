"""Our generators with training cut to a moment, where what they learn is not asked."""

from syntharena.bench import config

GENERATORS = config.all_options("generator", preset="smoke")
