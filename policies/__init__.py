"""Imitation, offline RL and steering, and the artefact that leaves for the robot. Knows neither sim nor real."""
