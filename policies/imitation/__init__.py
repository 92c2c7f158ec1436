"""Policies learned from demonstrations: one algorithm, one file (Config, loss, sample)."""
