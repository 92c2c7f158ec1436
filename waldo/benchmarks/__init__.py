"""What can be measured, one file each: a docstring and `measure(cfg) -> Measurement` (see waldo.bench)."""
