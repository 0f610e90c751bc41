"""Configuration: what exists and how it is set, one YAML per thing."""
