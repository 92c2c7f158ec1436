"""Critics learned from logged data: one algorithm, one file (Config, loss, targets)."""
