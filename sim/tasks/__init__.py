"""One task = one file, with any robot of real/robots and any engine of sim/."""
