"""Simulation: physics engines behind one protocol, tasks that run on any of them, rollouts and evaluation."""
