"""Changing a LeRobotDataset v3.0: the new one is built beside the old one, mostly by reference, and takes its place in one instant."""
