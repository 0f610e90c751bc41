"""Scoring: what evaluators say of a table that came from anywhere, with a verdict and a report."""
