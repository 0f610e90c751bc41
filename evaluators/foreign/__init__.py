"""Adapters to other people's evaluators: each file runs where its library is installed."""
