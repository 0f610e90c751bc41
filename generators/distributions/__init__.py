"""Distributions over many columns: junction trees, belief networks, mixtures, Private-PGM."""
