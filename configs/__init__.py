"""Hydra configs: one YAML per thing."""
