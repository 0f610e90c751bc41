"""Generators and evaluators in Python environments of their own, behind the same contracts."""
