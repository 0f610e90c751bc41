"""Mechanisms of differential privacy: an allowance and its ledger, exact noise, DP-SGD."""
