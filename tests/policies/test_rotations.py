"""Rotations against scipy's, which uses x, y, z, w, and against hand-computed turns."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data.rotations import matrix_from_quat, multiply, quat_about_z, quat_from_matrix, quat_from_sixd, rotation_vector, sixd_from_quat
from tests.policies.dummy import unit_quats

HALF = np.sqrt(0.5)
# Half turns, where w = 0, and turns next to them: the places where a formula with one divisor fails.
HARD = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, HALF, HALF, 0], [0, HALF, 0, -HALF], [1e-9, 1, 0, 0], [1, 1e-9, 0, 0]]


def quats(n=200):
    return np.concatenate([unit_quats(np.random.default_rng(0), (n,)), HARD])


def of_scipy(quat):
    return Rotation.from_quat(np.roll(quat, -1, -1))  # w first -> w last


def same_turn(a, b):
    return np.minimum(np.abs(a - b).max(-1), np.abs(a + b).max(-1))


def test_a_quarter_turn_about_z_takes_x_to_y():
    np.testing.assert_allclose(quat_about_z(np.array(np.pi / 2)), [HALF, 0, 0, HALF], atol=1e-15)
    np.testing.assert_allclose(matrix_from_quat(np.array([HALF, 0, 0, HALF])) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_matrices_are_scipys():
    np.testing.assert_allclose(matrix_from_quat(quats()), of_scipy(quats()).as_matrix(), atol=1e-14)


def test_quaternions_come_back_from_their_matrix_with_w_positive():
    back = quat_from_matrix(matrix_from_quat(quats()))
    assert (back[:, 0] >= 0).all()
    assert same_turn(back, quats()).max() < 1e-9


def test_products_compose_like_matrices():
    a, b = quats(), quats()[::-1]
    np.testing.assert_allclose(matrix_from_quat(multiply(a, b)), matrix_from_quat(a) @ matrix_from_quat(b), atol=1e-14)


def test_rotation_vectors_are_scipys_up_to_a_half_turn():
    vectors = rotation_vector(matrix_from_quat(quats()))
    # At exactly half a turn both signs of the axis are right: compare what the vectors do.
    np.testing.assert_allclose(Rotation.from_rotvec(vectors).as_matrix(), matrix_from_quat(quats()), atol=1e-8)
    assert np.linalg.norm(vectors, axis=-1).max() <= np.pi + 1e-12
    small = np.array([[1e-12, 0, 0], [0, 1e-6, 0], [0, 0, -1e-3]])
    np.testing.assert_allclose(rotation_vector(Rotation.from_rotvec(small).as_matrix()), small, rtol=1e-6, atol=1e-18)


def test_sixd_is_the_first_two_columns():
    matrix = of_scipy(quats()).as_matrix()
    np.testing.assert_allclose(sixd_from_quat(quats()), np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], 1), atol=1e-14)


def test_sixd_comes_back_and_forgives_scale_and_skew():
    sixd = sixd_from_quat(quats())
    assert same_turn(quat_from_sixd(sixd), quats()).max() < 1e-9
    a, b = sixd[:, :3], sixd[:, 3:]
    skewed = np.concatenate([3 * a, 0.5 * b + 0.7 * a], 1)  # Gram-Schmidt removes the scale and the part along a
    assert same_turn(quat_from_sixd(skewed), quats()).max() < 1e-9


def test_sixd_has_no_jump_where_the_quaternion_changes_sign():
    """A gripper that points down sits at w = 0: its quaternion may flip, what the network sees may not."""
    before, after = np.array([1e-4, 1, 0, 0]), np.array([-1e-4, 1, 0, 0])
    before, after = before / np.linalg.norm(before), after / np.linalg.norm(after)
    flipped = quat_from_matrix(matrix_from_quat(after))
    assert np.abs(flipped - before).max() > 1
    assert np.abs(sixd_from_quat(flipped) - sixd_from_quat(before)).max() < 1e-3


@pytest.mark.parametrize("sixd", [np.zeros(6), np.array([1.0, 0, 0, 1, 0, 0]), np.array([1e-30, 0, 0, 0, 1, 0])])
def test_an_untrained_network_may_say_anything_and_the_answer_is_still_a_turn(sixd):
    quat = quat_from_sixd(sixd)
    assert np.isfinite(quat).all()
    assert abs(np.linalg.norm(quat) - 1) < 1e-6
