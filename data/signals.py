"""Columns beside observation and action, under the names that LeRobot gives them: what reinforcement learning reads, and who acted.

Recorder(root, fps, [*observations, action, *RL, ACTOR], ...)
"""

from __future__ import annotations

from data.spec import Feature

POLICY, HUMAN, EXPERT = range(3)

REWARD = Feature("next.reward", (1,), "float32", names=("reward",))
SUCCESS = Feature("next.success", (1,), "bool", names=("success",))  # the goal is reached
TERMINATED = Feature("next.terminated", (1,), "bool", names=("terminated",))  # the task ended: there is no future to value
TRUNCATED = Feature("next.truncated", (1,), "bool", names=("truncated",))  # time ran out: there would have been a future
RL = (REWARD, SUCCESS, TERMINATED, TRUNCATED)

# Who chose the action of each frame: a network, somebody at a teleoperation device, or a script that knows the answer.
ACTOR = Feature("actor", (1,), "uint8", names=("actor",), categories=("policy", "human", "expert"))
