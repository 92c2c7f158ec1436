"""The virtual arm's second socket: what stands in for cameras and for the person beside the arm.

Perception here is ground truth read out of the simulator, with the time of reading: it says nothing about how well poses
can be estimated from images. The operator's requests (reset, success, history, frame) have no counterpart on a real arm
but a person.

    subscribe(rate)         -> a stream of `observation`: t, seq, one array per feature
    describe()              -> the offered spec, the robot's hash, the time step
    reset(seed)             -> arm and objects to the start of that episode
    success()               -> whether the task is done, and since when
    history()               -> t (N,), state (N, S) since the last reset, 20 per second: enough to draw a film afterwards
    frame(camera, h, w)     -> one image
    close()                 -> the server ends
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.errors import WaldoError
from real.link import Link, Message

if TYPE_CHECKING:
    from sim.virtual.world import World

HISTORY_HZ = 20.0
OBSERVE_HZ = 500.0  # upper bound of what may be subscribed to


@dataclass
class _Client:
    link: Link
    every: int = 0  # time steps between observations, 0 = not subscribed


class Stage:
    """Serves any number of clients, without ever blocking the physics for long.

    on_reset   called with the seed; puts the world back
    """

    def __init__(self, world: World, listener: socket.socket, on_reset: Callable[[int], None]) -> None:
        self.world, self._listener, self._on_reset = world, listener, on_reset
        listener.setblocking(False)
        self._clients: list[_Client] = []
        self._times: list[float] = []
        self._states: list[np.ndarray] = []
        self._held = 0
        self._done_at: float | None = None
        self._sent = 0
        self.closing = False

    def serve(self, now: float) -> None:
        """Answer what has been asked. now: the arm's clock [s]."""
        try:
            link, _ = self._listener.accept()
            self._clients.append(_Client(Link(link)))
        except BlockingIOError:
            pass
        for client in list(self._clients):
            try:
                for message in client.link.poll():
                    client.link.send(self._answer(client, message, now))
            except WaldoError:
                self._drop(client)

    def readers(self) -> list[socket.socket | Link]:
        """What to wait on."""
        return [self._listener, *(client.link for client in self._clients)]

    def after_step(self, step: int, now: float) -> None:
        """Once per time step: success, history, and observations for those who subscribed."""
        per_history = round(1 / (HISTORY_HZ * self.world.timestep))
        if step % per_history == 0:
            self._times.append(now)
            self._states.append(self.world.state())
            self._held = self._held + 1 if self.world.success() else 0
            if self._held >= getattr(self.world, "success_steps", 1) and self._done_at is None:
                self._done_at = now
        self._publish([client for client in self._clients if client.every and step % client.every == 0], now)

    def _publish(self, clients: list[_Client], now: float) -> None:
        if not clients:
            return
        message = self._observation(now)
        for client in clients:
            try:
                client.link.send(message, timeout=0.0)
            except WaldoError:  # a client that does not read its stream must not hold up the arm
                self._drop(client)

    def _observation(self, now: float) -> Message:
        self._sent += 1
        return Message("observation", {"t": now, "seq": self._sent}, dict(self.world.observe()))

    def _answer(self, client: _Client, message: Message, now: float) -> Message:
        fields = message.fields
        try:
            if message.kind == "subscribe":
                rate = min(float(fields["rate"]), OBSERVE_HZ)  # type: ignore[arg-type]
                client.every = max(1, round(1 / (rate * self.world.timestep)))
                return Message("subscribe", {"t": now}, dict(self.world.observe()))
            if message.kind == "describe":
                what = {"spec": self.world.spec.to_json(), "robot": self.world.robot.hash(), "timestep": self.world.timestep}
                return Message("describe", what)
            if message.kind == "reset":
                self._on_reset(int(fields["seed"]))  # type: ignore[call-overload]
                self._times, self._states, self._held, self._done_at = [], [], 0, None
                self._publish([c for c in self._clients if c.every], now)  # what was seen before is no longer true
                return Message("reset", {"t": now})
            if message.kind == "success":
                return Message("success", {"success": self._done_at is not None, "t": self._done_at})
            if message.kind == "history":
                states = np.array(self._states) if self._states else np.zeros((0, len(self.world.state())))
                return Message("history", {}, {"t": np.array(self._times, float), "state": states})
            if message.kind == "frame":
                size = (int(fields["height"]), int(fields["width"]))  # type: ignore[call-overload]
                image = self.world.show(str(fields["camera"]), size)
                return Message("frame", {"t": now}, {"image": image})
            if message.kind == "close":
                self.closing = True
                return Message("close")
            return Message("error", {"why": f"there is no request {message.kind!r}"})
        except (WaldoError, KeyError, TypeError, ValueError) as error:
            return Message("error", {"why": f"{message.kind}: {error}"})

    def _drop(self, client: _Client) -> None:
        client.link.close()
        self._clients.remove(client)

    def close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()
