"""The person beside the arm, as far as a virtual one needs one: reset, success, history."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.spec import PolicySpec
from real.link import Link, Message

ASK_EVERY = 0.1  # [s] between questions whether the task is done


class Operator:
    """path: the socket of the virtual arm's stage."""

    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        self._link = Link.connect(path, timeout)
        self._asked = 0.0
        self._done = False

    def offered(self) -> tuple[PolicySpec, str]:
        """What robot and task offer to a policy, and the robot's hash."""
        found = self._link.ask(Message("describe"))
        return PolicySpec.from_json(str(found.fields["spec"])), str(found.fields["robot"])

    def reset(self, seed: int) -> None:
        """Arm and objects to the start of that episode. The arm must not be under command."""
        self._link.ask(Message("reset", {"seed": seed}))
        self._done, self._asked = False, 0.0

    def done(self, now: float, wait: bool) -> bool:
        """Whether the task is done; asked every ASK_EVERY of `now` [s]. wait=False never blocks, the answer comes later."""
        if now - self._asked >= ASK_EVERY and not self._done:
            self._asked = now
            if wait:
                self._done = bool(self._link.ask(Message("success")).fields["success"])
            else:
                self._link.send(Message("success"), timeout=0.0)
        for answer in [] if wait else self._link.poll():
            self._done = self._done or bool(answer.fields.get("success"))
        return self._done

    def history(self) -> tuple[np.ndarray, np.ndarray]:
        """Times (N,) [s] and world states (N, S) since the last reset."""
        found = self._link.ask(Message("history"))
        return found.arrays["t"], found.arrays["state"]

    def close(self) -> None:
        self._link.close()
