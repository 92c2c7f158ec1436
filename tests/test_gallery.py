"""The contact sheet: every picture that was asked for, in its place, and words that make no sense refused."""

import cv2
import numpy as np
import pytest

from data.errors import ConfigError
from data.results import read_summary
from sim.portrait import View, reaching
from tests.sim.conftest import gl, make_arm  # noqa: F401  a fixture
from waldo import cli
from waldo.compose import composed
from waldo.gallery import run
from waldo.tiles import Tile, sheet


@pytest.mark.needs_gl
def test_a_sheet_of_one_task_and_one_robot(gl, tmp_path):  # noqa: F811
    words = ["gallery", "tasks=[reach]", "robots=[panda]", "engines=[mujoco]", "width=64", f"out={tmp_path}/g"]
    assert cli.main(words) == 0
    figures = {figure.name: figure.value for figure in read_summary(tmp_path / "g")[2]}
    assert figures == {"pictures": 2.0, "experts that succeeded": 1.0}
    assert cv2.imread(str(tmp_path / "g" / "gallery.png")).std() > 5


def test_pictures_stand_in_their_order_and_pairs_are_not_parted(tmp_path):
    shades = [30, 60, 90, 120, 150, 180, 210, 240]
    tiles = [Tile("Tasks", f"n{i}", "MuJoCo", np.full((30, 40, 3), shade, np.uint8)) for i, shade in enumerate(shades)]
    sheet(tiles, 2, tmp_path / "s.png", shown=100)
    image = cv2.imread(str(tmp_path / "s.png"), cv2.IMREAD_GRAYSCALE)
    places = [tuple(np.argwhere(np.abs(image.astype(int) - shade) <= 1).mean(0)) for shade in shades]
    first, second = places[:6], places[6:]  # six to a line
    assert [x for _, x in first] == sorted(x for _, x in first) and max(y for y, _ in first) - min(y for y, _ in first) < 3
    assert min(y for y, _ in second) > max(y for y, _ in first) + 60 and abs(second[0][1] - first[0][1]) < 3


def test_a_view_looks_at_its_point_from_its_distance():
    env, view = make_arm(1), View(at=(0.3, -0.1, 0.2), distance=1.4)
    look = view.of(env)
    camera = env.physics.model.camera(env.task.film_camera).id
    place, quat = look.fields["cam_pos"][camera], look.fields["cam_quat"][camera]
    env.close()
    assert np.linalg.norm(place - view.at) == pytest.approx(1.4)
    w, x, y, z = quat
    forward = -np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])  # a camera looks along -z
    np.testing.assert_allclose(forward, (np.array(view.at) - place) / 1.4, atol=1e-6)


def test_what_a_robot_reaches_for_suits_its_size():
    small, large = reaching("ur5e")[0], reaching("panda")[0]
    assert small["radius"][1] != large["radius"][1] and all(value > 0 for value in small["radius"] + large["height"])


def test_a_task_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="tasks: there is no 'reech'; did you mean 'reach'"):
        run(composed("gallery", ["tasks=[reech]"]), tmp_path)
