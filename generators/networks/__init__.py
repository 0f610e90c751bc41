"""Neural networks and their training; most modules here are imported late, for torch is slow."""
