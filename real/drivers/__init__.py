"""One robot family = one file: the wire and nothing else."""
