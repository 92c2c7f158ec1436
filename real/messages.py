"""What lies in the rings: the state that control publishes, the chunk and the sign of life that the policy publishes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from real.chunk import Chunk

_STATE = struct.Struct("<dQQQBddd")  # t, tick, episode, seed, active, started, width, commanded width
_CHUNK = struct.Struct("<QQQdddII32s")  # seq, episode, obs_seq, t_obs, t_pub, dt, n, dof, spec hash
_BEAT = struct.Struct("<QQdd")  # count, episode, newest moment dealt with, compute time of the newest chunk

CHUNK_WAYPOINTS = 256


@dataclass(frozen=True)
class State:
    """Control -> policy, once per tick."""

    t: float  # loop time [s]
    tick: int
    episode: int  # counts the starts of the arm
    seed: int  # of the episode's noise
    active: bool  # the policy is in charge
    started: float  # since when [s]: control steps are counted from there
    width: float  # measured gripper opening [m]
    commanded_width: float  # [m]
    q: np.ndarray  # (n,) measured [rad]
    dq: np.ndarray  # (n,) measured [rad/s]
    commanded: np.ndarray  # (n,) commanded position [rad]

    def pack(self) -> bytes:
        head = _STATE.pack(self.t, self.tick, self.episode, self.seed, self.active, self.started, self.width, self.commanded_width)
        return head + np.concatenate([self.q, self.dq, self.commanded]).astype("<f8").tobytes()

    @classmethod
    def unpack(cls, raw: bytes) -> State:
        t, tick, episode, seed, active, started, width, commanded_width = _STATE.unpack_from(raw)
        q, dq, commanded = np.frombuffer(raw, "<f8", offset=_STATE.size).reshape(3, -1)
        return cls(t, tick, episode, seed, bool(active), started, width, commanded_width, q, dq, commanded)

    @staticmethod
    def size(dof: int) -> int:
        return _STATE.size + 3 * 8 * dof


def pack_chunk(chunk: Chunk) -> bytes:
    n, dof = chunk.q.shape
    head = _CHUNK.pack(chunk.seq, chunk.episode, chunk.obs_seq, chunk.t_obs, chunk.t_pub, chunk.dt, n, dof, chunk.spec_hash)
    return head + chunk.q.astype("<f8").tobytes() + chunk.width.astype("<f8").tobytes()


def unpack_chunk(raw: bytes) -> Chunk | None:
    """None if the lengths do not fit together."""
    if len(raw) < _CHUNK.size:
        return None
    seq, episode, obs_seq, t_obs, t_pub, dt, n, dof, spec_hash = _CHUNK.unpack_from(raw)
    if len(raw) != _CHUNK.size + 8 * n * (dof + 1):
        return None
    values = np.frombuffer(raw, "<f8", offset=_CHUNK.size)
    return Chunk(seq, episode, obs_seq, t_obs, t_pub, dt, values[: n * dof].reshape(n, dof), values[n * dof :], spec_hash)


def chunk_size(dof: int) -> int:
    return _CHUNK.size + 8 * CHUNK_WAYPOINTS * (dof + 1)


@dataclass(frozen=True)
class Beat:
    """Policy -> control: a sign of life, at least every 50 ms."""

    count: int
    episode: int
    done: float  # loop time up to which observations have been dealt with [s]
    compute: float  # [s] spent on the newest chunk

    SIZE = _BEAT.size

    def pack(self) -> bytes:
        return _BEAT.pack(self.count, self.episode, self.done, self.compute)

    @classmethod
    def unpack(cls, raw: bytes) -> Beat:
        return cls(*_BEAT.unpack(raw))
