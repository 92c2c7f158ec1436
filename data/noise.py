"""Counter-based random numbers: noise as a pure function of (seed, position), the same in training code and on the robot.

A generator object would make a row's noise depend on how many rows were drawn before it. Here row i depends on
seeds[i] alone, so an episode's result is the same in any batch, order or process.
Mixing function: SplitMix64 (Steele, Lea, Flood 2014), normal deviates by Box and Muller (1958).
"""

from __future__ import annotations

import math

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fold(seeds: np.ndarray, index: int) -> np.ndarray:
    """(B,) seeds -> (B,) seeds of the sub-stream `index`, e.g. of the index-th chunk of each episode."""
    with np.errstate(over="ignore"):
        return _mix(_mix(np.asarray(seeds).astype(np.uint64) + _GAMMA) ^ (np.uint64(index) * _GAMMA + np.uint64(1)))


def uniform(seeds: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(B, *shape) float64 in (0, 1), row i a function of seeds[i]."""
    seeds = np.asarray(seeds).astype(np.uint64)
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        start = _mix(seeds + _GAMMA)[:, None]
        bits = _mix(start + (np.arange(1, count + 1, dtype=np.uint64) * _GAMMA)[None])
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5).reshape(len(seeds), *shape) * 2.0**-53


def normal(seeds: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(B, *shape) float32 standard normal, row i a function of seeds[i]."""
    count = math.prod(shape)
    half = (count + 1) // 2
    u = uniform(seeds, (2, half))
    radius = np.sqrt(-2.0 * np.log(u[:, 0]))
    angle = 2.0 * np.pi * u[:, 1]
    values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :count]
    return values.astype(np.float32).reshape(len(values), *shape)
