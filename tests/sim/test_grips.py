"""Grips: where the tool and the fingers point, worked out by hand, and moves that turn the tool evenly."""

import numpy as np
import pytest

from data.rotations import rotate
from sim.experts import DOWN, STYLES, Hand
from sim.grips import pitched, tilt

X, Y, Z = np.eye(3)


@pytest.mark.parametrize("pitch", [-1.1, 0.0, 0.4, np.pi / 2])
def test_pitch_turns_the_tool_forward_and_the_fingers_still_open_to_the_sides(pitch):
    np.testing.assert_allclose(rotate(pitched(pitch), Z), [np.sin(pitch), 0.0, -np.cos(pitch)], atol=1e-12)
    np.testing.assert_allclose(rotate(pitched(pitch), Y), [0.0, -1.0, 0.0], atol=1e-12)


def test_a_quarter_roll_lets_the_fingers_open_in_the_upright_plane():
    np.testing.assert_allclose(rotate(pitched(0.3, np.pi / 2), Z), rotate(pitched(0.3), Z), atol=1e-12)
    for roll in (np.pi / 2, -np.pi / 2):
        assert abs(rotate(pitched(0.3, roll), Y)[1]) < 1e-12


def test_without_pitch_the_tool_points_straight_down():
    np.testing.assert_allclose(pitched(0.0), DOWN)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_move_and_its_tilt_end_together_without_a_jump(sign):
    hand = Hand(np.random.default_rng(0), STYLES["clean"], 0.3, 20.0, 0.08)
    end, grips = sign * pitched(0.9, 0.5), [hand.grip]
    for _ in tilt(hand, hand.move(np.array([0.02, 0.0, 0.0])), end, seconds=1.0):
        grips.append(hand.grip)
    np.testing.assert_allclose(hand.position, [0.02, 0.0, 0.0])
    assert abs(hand.grip @ end) == pytest.approx(1.0) and len(grips) == 21  # the short move waits for the slow tilt
    turns = 2 * np.arccos(np.clip(np.abs((np.array(grips[1:]) * grips[:-1]).sum(1)), 0, 1))
    whole = 2 * np.arccos(abs(end @ DOWN))
    assert turns.sum() == pytest.approx(whole, rel=1e-6) and turns.max() < 1.6 * whole / 20
