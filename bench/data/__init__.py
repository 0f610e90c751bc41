"""Data: datasets from pinned files, guessed Schemas, and the division of real rows."""
