"""Forests: adversarial ones and their leaves, boosted ones and what they learn."""
