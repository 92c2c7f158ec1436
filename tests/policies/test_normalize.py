"""Into network space and back, against numbers computed by hand."""

import numpy as np
import pytest

from data.errors import DatasetError, SpecError
from data.rotations import matrix_from_quat
from data.spec import ActionSpec, Feature, PolicySpec
from policies.normalize import Normalizer
from tests.policies.dummy import CAMERA, make_chunks, make_normalizer, make_obs, make_spec

MIXED = Feature("observation.state", (7,), quaternions=(1,), angles=(6,))  # x | quaternion | y | angle
ACTION = ActionSpec("position", ("x", "y"), ("m", "m"))


def mixed(low, high, action=((0, 0), (1, 1))):
    return Normalizer(PolicySpec("t", "r", (MIXED,), ACTION, 10.0), {"observation.state": (low, high), "action": action})


def test_ranges_go_to_minus_one_and_one_quaternions_to_columns_angles_to_cos_and_sin():
    n = mixed([0, -1, -1, -1, -1, 10, -3], [4, 1, 1, 1, 1, 20, 3])
    half = np.sqrt(0.5)
    x = np.array([[1, half, 0, 0, half, 20, np.pi / 2], [4, 1, 0, 0, 0, 10, np.pi]])  # a quarter turn about z, then none
    expected = [[-0.5, 0, 1, 0, -1, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 1, 0, -1, -1, 0]]
    np.testing.assert_allclose(n.encode("observation.state", x), expected, atol=1e-6)
    assert n.dim("observation.state") == 10
    assert n.encode("observation.state", x).dtype == np.float32


def test_an_angle_and_the_angle_one_turn_further_are_the_same():
    n = mixed([0, -1, -1, -1, -1, 0, -9], [1, 1, 1, 1, 1, 1, 9])
    x = np.array([0.3, 1, 0, 0, 0, 0.2, 0.7])
    turned = x + [0, 0, 0, 0, 0, 0, 2 * np.pi]
    np.testing.assert_allclose(n.encode("observation.state", x), n.encode("observation.state", turned), atol=1e-6)


def test_a_dimension_that_never_moved_maps_to_zero_and_back_to_its_value():
    spec = make_spec(action=ACTION)
    columns = {name: values[:, 0] for name, values in make_obs(spec, 20).items()}
    columns["observation.environment_state"][:, 0] = 0.37
    columns["observation.environment_state"][:, 1] = 5 + 1e-6 * np.arange(20)  # rounding of a sensor, no signal
    columns["action"] = np.stack([np.full(20, -2.5), np.linspace(0, 1, 20)], 1)
    n = Normalizer.fit(spec, columns)
    seen = n.encode("observation.environment_state", columns["observation.environment_state"])
    assert np.abs(seen[:, :2]).max() < 1e-4
    encoded = n.encode("action", columns["action"])
    np.testing.assert_array_equal(encoded[:, 0], 0)
    np.testing.assert_allclose(n.decode_action(encoded), columns["action"], atol=1e-6)


def test_decode_undoes_encode():
    spec = make_spec()
    n = make_normalizer(spec)
    actions = make_chunks(spec, (50, 6))
    back = n.decode_action(n.encode("action", actions))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[..., [0, 1, 2, 7]], actions[..., [0, 1, 2, 7]], atol=1e-5)
    np.testing.assert_allclose(matrix_from_quat(back[..., 3:7]), matrix_from_quat(actions[..., 3:7]), atol=1e-5)


def test_whatever_the_network_says_is_decoded_to_a_unit_quaternion():
    n = make_normalizer(make_spec())
    noise = np.random.default_rng(0).normal(size=(100, 4, n.dim("action")))
    np.testing.assert_allclose(np.linalg.norm(n.decode_action(noise)[..., 3:7], axis=-1), 1, atol=1e-6)


def test_actions_stay_inside_what_was_demonstrated():
    n = make_normalizer(make_spec())
    noise = np.random.default_rng(0).normal(0, 5, size=(200, n.dim("action")))
    low, high = n.ranges["action"]
    actions = n.decode_action(noise)[:, [0, 1, 2, 7]]
    np.testing.assert_allclose(actions.min(0), low[[0, 1, 2, 7]], rtol=1e-6)
    np.testing.assert_allclose(actions.max(0), high[[0, 1, 2, 7]], rtol=1e-6)


def test_images_pass_untouched():
    spec = make_spec(camera=True)
    image = make_obs(spec, 2)[CAMERA.name]
    assert make_normalizer(spec).encode(CAMERA.name, image) is image


def test_fitted_ranges_are_the_extremes_of_the_data_and_survive_the_file():
    spec = make_spec(camera=True)
    columns = {name: values[:, 0] for name, values in make_obs(spec, 20).items()} | {"action": make_chunks(spec, (20,))}
    n = Normalizer.fit(spec, columns)
    np.testing.assert_array_equal(n.ranges["action"][0], columns["action"].min(0))
    np.testing.assert_array_equal(n.ranges["action"][1], columns["action"].max(0))
    again = Normalizer.from_state(spec, n.state())
    np.testing.assert_array_equal(again.encode("action", columns["action"]), n.encode("action", columns["action"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_is_not_finite_is_refused_with_its_frame(bad):
    spec = make_spec()
    columns = {name: values[:, 0] for name, values in make_obs(spec, 20).items()} | {"action": make_chunks(spec, (20,))}
    columns["action"][13, 2] = bad
    with pytest.raises(DatasetError, match="'action'.*frame 13"):
        Normalizer.fit(spec, columns)


def test_statistics_of_another_size_or_missing_are_refused():
    with pytest.raises(SpecError, match="'observation.state' must have 7 elements"):
        mixed([0, 0], [1, 1])
    with pytest.raises(SpecError, match="'action' must have 2 elements"):
        Normalizer(PolicySpec("t", "r", (), ACTION, 10.0), {})
