"""Names, elements and units: what is asked for is what comes out, and nothing else is guessed."""

import math

import numpy as np
import pytest

from data.errors import ConfigError, DatasetError
from data.store import Dataset
from tests.data.conftest import TOP, make_arrays, record


def opened(root, **mapping):
    return Dataset.open(root, mapping=mapping)


def whole(name):
    return np.concatenate([make_arrays(n, i)[name] for i, n in enumerate((7, 12, 5))])


def test_elements_are_picked_joined_renamed_and_converted(state_root):
    entry = {
        "source": ["action", "observation.state"],
        "columns": [4, 0, 1],
        "names": ["y", "a", "b"],
        "units": ["mm", "deg", "rad"],
    }
    dataset = opened(state_root, **{"observation.arm": entry})
    expected = np.stack([whole("observation.state")[:, 1] * 1e3, np.degrees(whole("action")[:, 0]), whole("action")[:, 1]], 1)
    np.testing.assert_allclose(dataset.table(["observation.arm"])["observation.arm"], expected, rtol=1e-6)
    assert dataset.features["observation.arm"]["names"] == ["y", "a", "b"] and dataset.column_units["observation.arm"] == (
        "mm",
        "deg",
        "rad",
    )
    assert "action" not in dataset.features and "observation.state" not in dataset.features  # they went into the new one
    np.testing.assert_array_equal(dataset.table(["observation.force"])["observation.force"], whole("observation.force"))  # as it was


def test_what_is_not_converted_is_bit_for_bit_the_same(state_root):
    dataset = opened(state_root, **{"observation.pose": {"source": "observation.state"}})
    np.testing.assert_array_equal(dataset.table(["observation.pose"])["observation.pose"], whole("observation.state"))
    assert dataset.column_names["observation.pose"] == ("x", "y") and dataset.column_units["observation.pose"] == ("m", "m")


def test_stored_units_that_are_not_said_can_be_told(state_root):
    entry = {"source": "next.reward", "units": ["rad"], "from_units": ["deg"]}
    found = opened(state_root, **{"observation.turn": entry}).table(["observation.turn"])["observation.turn"]
    np.testing.assert_allclose(found[:, 0], whole("next.reward") * math.pi / 180, rtol=1e-6)


def test_quaternions_come_out_with_w_first(tmp_path):
    from data.record import Recorder
    from data.spec import Feature

    with Recorder(tmp_path / "q", 10, [Feature("observation.pose", (5,))], "dot") as recorder:
        recorder.add_episode({"observation.pose": np.array([[9, 0.1, 0.2, 0.3, 0.4]], np.float32)}, "turn")
    dataset = opened(tmp_path / "q", **{"observation.state": {"source": "observation.pose", "xyzw": [1]}})
    np.testing.assert_array_equal(
        dataset.table(["observation.state"])["observation.state"], np.array([[9, 0.4, 0.1, 0.2, 0.3]], np.float32)
    )
    assert dataset.features["observation.state"]["quaternions"] == [1]


def test_a_camera_takes_another_name(root):
    plain, renamed = Dataset.open(root), opened(root, **{"observation.images.front": {"source": TOP}})
    assert renamed.camera_keys == ("observation.images.front",)
    np.testing.assert_array_equal(renamed.images("observation.images.front"), plain.images(TOP))
    np.testing.assert_array_equal(renamed.frames("observation.images.front", 1), plain.frames(TOP, 1))
    assert renamed.content_hash != plain.content_hash


@pytest.mark.parametrize(
    ("mapping", "error", "told"),
    [
        ({"a": {"source": "observation.stat"}}, DatasetError, "there is no 'observation.stat'; did you mean 'observation.state'"),
        ({"a": {}}, DatasetError, "it has no source; allowed: observation.state"),
        ({"a": {"source": "action", "column": [1]}}, ConfigError, "mapping of a: unknown option 'column'; did you mean 'columns'"),
        ({"a": {"source": "action", "columns": [3]}}, DatasetError, "columns .3. of a vector with 3 elements"),
        ({"a": {"source": "action", "names": ["x"]}}, DatasetError, "1 names for 3 elements"),
        ({"a": {"source": "action", "units": ["m", "rad", "1"]}}, DatasetError, "'rad' cannot become 'm'; allowed: %"),
        ({"stage": {"source": "action"}}, DatasetError, "has stage already; map that one to another name, too"),
        ({"a": {"source": TOP, "columns": [0]}}, DatasetError, "a camera is taken whole"),
        ({"a": {"source": "action", "xyzw": [0]}}, DatasetError, "leaves no room for four elements"),
    ],
)
def test_what_is_not_there_is_refused(root, mapping, error, told):
    with pytest.raises(error, match=told):
        Dataset.open(root, mapping=mapping)


def test_two_datasets_of_different_people_give_the_same_columns(tmp_path):
    a = record(tmp_path / "a", cameras=False)
    b = opened(a, **{"observation.state": {"source": "observation.state", "units": ["cm", "cm"]}})
    again = b.table(["observation.state"])["observation.state"] / 100
    np.testing.assert_allclose(again, Dataset.open(a).table(["observation.state"])["observation.state"], rtol=1e-6)
