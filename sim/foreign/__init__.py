"""Environments that somebody else wrote, here or in another interpreter. `child.py` and `rows.py` also run there, where waldo is not installed."""
