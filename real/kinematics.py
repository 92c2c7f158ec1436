"""Forward kinematics, Jacobian and differential inverse kinematics of a RobotSpec, batched numpy.

The simulator and the control loop call the same code: the simulator with one row per simulation, the loop with one
row per sampled instant of a stop. tests/test_kinematics.py holds it against MuJoCo's own kinematics.
"""

from __future__ import annotations

import numpy as np

from data.rotations import matrix_from_quat, quat_from_matrix, rotation_vector
from real.base import RobotSpec


def _constants(spec: RobotSpec) -> tuple[np.ndarray, np.ndarray]:
    """Per joint and for the tool: the rotation (n + 1, 3, 3) and the translation (n + 1, 3) before its turn about z."""
    if spec.chain:
        rows = np.array(spec.chain)
        return matrix_from_quat(rows[:, 3:]), rows[:, :3]
    rotations, translations = [], []
    for a, d, alpha in spec.dh:
        c, s = np.cos(alpha), np.sin(alpha)
        rotations.append([[1, 0, 0], [0, c, -s], [0, s, c]])
        translations.append([a, -s * d, c * d])
    z, yaw = spec.tcp
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array(rotations[-1])
    rotations[-1] = turn @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    translations[-1] = np.array(translations[-1]) + turn @ np.array([0, 0, z])
    return np.array(rotations), np.array(translations)


POSITION_FIRST_DAMPING = 0.3  # share of the damping for arms of fewer than six joints, which are small and have none to spare
LEAK = 0.03  # share of that again, of what turning the tool may cost its position


class Kinematics:
    """B = batch of joint vectors, n = spec.dof. Poses are those of the tool centre point in the base frame."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self._turn, self._shift = _constants(spec)
        self._tool_turn, self._tool_shift = self._turn[-1], self._shift[-1]
        self._q_min, self._q_max = np.array(spec.q_min), np.array(spec.q_max)
        self._q_home = np.array(spec.q_home)

    def _frames(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) -> rotations (B, n + 1, 3, 3) and origins (B, n + 1, 3) of every joint frame and the tool."""
        batch, n = q.shape
        cos, sin = np.cos(q), np.sin(q)
        rotations, origins = np.empty((batch, n + 1, 3, 3)), np.empty((batch, n + 1, 3))
        rotation, origin = np.broadcast_to(np.eye(3), (batch, 3, 3)), np.zeros((batch, 3))
        for i in range(n):
            origin = origin + rotation @ self._shift[i]
            turned = rotation @ self._turn[i]
            c, s = cos[:, i, None], sin[:, i, None]
            x, y = turned[:, :, 0], turned[:, :, 1]
            rotation = rotations[:, i]
            rotation[:, :, 0], rotation[:, :, 1], rotation[:, :, 2] = c * x + s * y, c * y - s * x, turned[:, :, 2]
            origins[:, i] = origin
        rotations[:, n] = rotation @ self._tool_turn
        origins[:, n] = origin + rotation @ self._tool_shift
        return rotations, origins

    def joint_origins(self, q: np.ndarray) -> np.ndarray:
        """(B, n) [rad] -> (B, n + 1, 3) [m]: where each joint frame and the tool are."""
        return self._frames(np.atleast_2d(q))[1]

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, n) [rad] -> position (B, 3) [m] and w-first quaternion (B, 4)."""
        rotations, origins = self._frames(np.atleast_2d(q))
        return origins[:, -1], quat_from_matrix(rotations[:, -1])

    def tool(self, q: np.ndarray) -> np.ndarray:
        """(B, n) [rad] -> (B, 3) [m]: the tool centre point alone, carried from the tip to the base at half the price."""
        cos, sin = np.cos(np.atleast_2d(q)).T, np.sin(np.atleast_2d(q)).T  # (n, B)
        point = np.empty((3, cos.shape[1]))
        point[:] = self._tool_shift[:, None]
        for i in reversed(range(len(cos))):
            x, y = point[0], point[1]
            point[0], point[1] = cos[i] * x - sin[i] * y, sin[i] * x + cos[i] * y
            point = self._turn[i] @ point
            point += self._shift[i][:, None]
        return point.T

    def jacobian(self, q: np.ndarray) -> np.ndarray:
        """(B, n) -> (B, 6, n): linear [m/rad] above angular [rad/rad], in the base frame."""
        return self._jacobian(*self._frames(np.atleast_2d(q)))

    @staticmethod
    def _jacobian(rotations: np.ndarray, origins: np.ndarray) -> np.ndarray:
        axes = rotations[:, :-1, :, 2].transpose(0, 2, 1)  # (B, 3, n)
        arms = (origins[:, -1:] - origins[:, :-1]).transpose(0, 2, 1)
        jacobian = np.empty((len(axes), 6, axes.shape[2]))
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # axes x arms; np.cross takes four times as long
            jacobian[:, i] = axes[:, j] * arms[:, k] - axes[:, k] * arms[:, j]
        jacobian[:, 3:] = axes
        return jacobian

    def inverse(
        self,
        position: np.ndarray,
        quat: np.ndarray,
        q: np.ndarray,
        iterations: int = 4,
        damping: float = 0.03,
        posture: float = 0.05,
    ) -> np.ndarray:
        """Joint vectors (B, n) near `q` (B, n) whose tool pose is `position` (B, 3) [m], `quat` (B, 4), inside the limits.

        Damped least squares (Nakamura and Hanafusa 1986) from `q`, and a clamp to the position limits. An arm with joints to
        spare is pulled towards its home posture in the null space. An arm of fewer than six joints cannot take every pose:
        it goes to the position, and turns as near to `quat` as that leaves it free to.
        Unreachable poses are approached as far as the iterations go.
        """
        q = np.array(np.atleast_2d(q), float)
        target = matrix_from_quat(np.atleast_2d(quat))
        position = np.atleast_2d(position)
        for _ in range(iterations):
            rotations, origins = self._frames(q)
            error = np.empty((len(q), 6, 1))
            error[:, :3, 0] = position - origins[:, -1]
            error[:, 3:, 0] = rotation_vector(target @ rotations[:, -1].transpose(0, 2, 1))
            jacobian = self._jacobian(rotations, origins)
            if self.spec.dof < 6:
                step = _position_first(jacobian, error, self._q_min - q, self._q_max - q, POSITION_FIRST_DAMPING * damping)
            else:
                pseudo = _pseudo_inverse(jacobian, damping)
                step = pseudo @ error
                if self.spec.dof > 6:
                    step += (np.eye(self.spec.dof) - pseudo @ jacobian) @ (posture * (self._q_home - q))[:, :, None]
            q = np.clip(q + np.clip(step[:, :, 0], -0.3, 0.3), self._q_min, self._q_max)
        return q


def _pseudo_inverse(jacobian: np.ndarray, damping: float) -> np.ndarray:
    """(B, m, n) -> damped (B, n, m)."""
    square = jacobian @ jacobian.transpose(0, 2, 1) + damping**2 * np.eye(jacobian.shape[1])
    return np.linalg.solve(square, jacobian).transpose(0, 2, 1)


def _position_first(jacobian: np.ndarray, error: np.ndarray, low: np.ndarray, high: np.ndarray, damping: float) -> np.ndarray:
    """(B, 6, n), (B, 6, 1) -> joint step (B, n, 1): orientation in the null space of position (Nakamura, Hanafusa and
    Yoshikawa 1987). low, high (B, n): the steps to the joints' ends; a joint that would go past one leaves the work to the rest."""
    free = np.ones(low.shape, bool)
    for _ in range(2):
        linear, angular = jacobian[:, :3] * free[:, None], jacobian[:, 3:] * free[:, None]
        step = _pseudo_inverse(linear, damping) @ error[:, :3]
        null = np.eye(jacobian.shape[2]) - _pseudo_inverse(linear, LEAK * damping) @ linear
        step += null @ _pseudo_inverse(angular @ null, damping) @ (error[:, 3:] - angular @ step)
        free &= (step[:, :, 0] >= low) & (step[:, :, 0] <= high)
    return step
