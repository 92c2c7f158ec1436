"""What the formats that keep recordings in HDF5 have in common: see `source`. `data.from_robomimic` and its like are the formats."""
