"""Evaluators: one file per family of metrics, named by ``conf/evaluator/*.yaml``."""
