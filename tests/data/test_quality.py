"""TQ, SACo and the plain measures against numbers that were worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import quality
from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import LENGTHS, make_arrays, record

STATE = Feature("observation.state", (4,), names=("arm_x", "arm_y", "arm_z", "arm_yaw"), units=("m", "m", "m", "rad"))
ACTION = Feature("action", (1,), names=("push",), units=("N",))


def recorded(root: Path, features: list[Feature], episodes: list[dict[str, Any]]) -> Dataset:
    with Recorder(root, 10, features, "dummy") as recorder:
        for columns in episodes:
            recorder.add_episode({name: np.asarray(values) for name, values in columns.items()}, "push")
    return Dataset.open(root)


def test_tq_between_a_random_and_an_online_policy() -> None:
    assert quality.trajectory_quality(np.array([0.0, 2.0, 7.0]), minimal=-1, online=7) == quality.Measure(0.5, False)
    assert quality.trajectory_quality(np.array([9.0, 9.0]), minimal=1, online=5) == quality.Measure(2.0, False), (
        "better than the online policy"
    )


def test_tq_without_references_is_marked_as_relative() -> None:
    assert quality.trajectory_quality(np.array([0.0, 1.0, 1.0, 4.0])) == quality.Measure(1.5 / 4, True)
    assert quality.trajectory_quality(np.array([0.0, 1.0, 1.0, 4.0]), online=3) == quality.Measure(0.5, True)


@pytest.mark.parametrize(
    ("gained", "options", "told"),
    [
        ([1.0, 1.0], {}, "found 1 and 1, give them as online= and minimal="),
        ([1.0, 2.0], {"minimal": 5, "online": 3}, "an online return above the minimal one; found 3 and 5"),
        ([], {}, "needs finite returns; found 0"),
        ([1.0, np.nan], {}, "found 2, 1 of them not finite"),
    ],
)
def test_tq_that_is_not_defined(gained: list[float], options: dict[str, float], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        quality.trajectory_quality(np.array(gained), **options)


def test_unique_rows_by_hand() -> None:
    # Four edges: cells [0, 1), [1, 2), [2, 3), and the upper end itself.
    vectors = np.array([[0.0, 5], [0.9, 5], [1.0, 5], [2.9, 5], [3.0, 5], [3.0, 5]])
    assert quality.unique_rows(vectors, np.array([0.0, 5]), np.array([3.0, 5]), edges=4) == 4
    assert quality.unique_rows(vectors + 10, np.array([0.0, 5]), np.array([3.0, 5]), edges=4) == 1, "outside is counted at the end"
    with pytest.raises(DatasetError, match="edges=300 per dimension; allowed: 2 to 256"):
        quality.unique_rows(vectors, vectors.min(0), vectors.max(0), edges=300)


def test_unique_rows_as_the_authors_count_them() -> None:
    """Their way: np.digitize over 100 equally spaced edges, rows joined as text (a set here, HyperLogLog there)."""
    vectors = np.random.default_rng(0).normal(size=(4000, 2))
    digits = [np.digitize(column, np.linspace(column.min(), column.max(), num=100)) for column in vectors.T]
    expected = len({",".join(map(str, row)) for row in zip(*digits, strict=True)})
    assert 1000 < expected < 4000
    assert quality.unique_rows(vectors, vectors.min(0), vectors.max(0)) == expected


def test_saco_against_a_reference_uses_one_grid() -> None:
    reference = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]])
    few = np.array([[0.0, 0], [0, 0], [3, 0]])
    assert quality.coverage(few, reference, edges=4) == quality.Measure(2 / 4, False)
    assert quality.coverage(reference, few, edges=4) == quality.Measure(4 / 2, False), "broader than its reference"
    with pytest.raises(DatasetError, match="found 2 and 1 elements"):
        quality.coverage(few, reference[:, :1])


def test_saco_without_a_reference_is_marked_as_relative() -> None:
    assert quality.coverage(np.array([[0.0], [0], [1], [3]]), edges=4) == quality.Measure(3 / 4, True)


def test_state_action_pairs_of_a_dataset(tmp_path: Path) -> None:
    dataset = Dataset.open(record(tmp_path / "demo", cameras=False))
    pairs = quality.state_action_pairs(dataset)
    assert pairs.shape == (sum(LENGTHS), 2 + 1 + 3)
    first = make_arrays(LENGTHS[0], 0)
    np.testing.assert_array_equal(pairs[0], np.concatenate([first[n][0] for n in ("observation.state", "observation.force", "action")]))
    assert quality.state_action_pairs(dataset, ["observation.force", "action"]).shape[1] == 4
    with pytest.raises(DatasetError, match="SACo needs observations and actions"):
        quality.state_action_pairs(dataset, ["action"])


def test_returns_and_successes(tmp_path: Path) -> None:
    features = [STATE, ACTION, Feature("next.reward", (1,)), Feature("next.success", (1,), "bool")]
    rewards, reached = ([1.0, 2.0, -0.5], [0.0, 0.25]), ([False, True, False], [False, False])
    episodes = [
        {"observation.state": np.zeros((len(r), 4)), "action": np.zeros(len(r)), "next.reward": np.float32(r), "next.success": np.array(s)}
        for r, s in zip(rewards, reached, strict=True)
    ]
    for episode in episodes:
        episode["observation.state"] = episode["observation.state"].astype(np.float32)
        episode["action"] = episode["action"].astype(np.float32)
    dataset = recorded(tmp_path / "demo", features, episodes)
    gained, success = quality.returns(dataset), quality.successes(dataset)
    assert gained is not None and gained.tolist() == [2.5, 0.25]
    assert success is not None and success.tolist() == [True, False]
    plain = recorded(tmp_path / "plain", [STATE, ACTION], [{n: e[n] for n in ("observation.state", "action")} for e in episodes])
    assert quality.returns(plain) is None and quality.successes(plain) is None


def test_places_are_known_by_their_names(tmp_path: Path) -> None:
    others = Feature(
        "observation.other", (6,), names=("vel_x", "vel_y", "qx", "qy", "x", "y"), units=("m/s", "m/s", "1", "1", "rad", "rad")
    )
    columns = {"observation.state": np.zeros((3, 4), np.float32), "observation.other": np.zeros((3, 6), np.float32)}
    columns["action"] = np.zeros(3, np.float32)
    dataset = recorded(tmp_path / "demo", [STATE, others, ACTION], [columns])
    assert quality.places(dataset) == (quality.Place("observation.state", (0, 1, 2), ("arm_x", "arm_y", "arm_z"), "m"),)


def test_without_names_the_elements_that_move_most_stand_for_a_place(tmp_path: Path) -> None:
    values = np.outer(np.arange(3, dtype=np.float32), np.float32([1, 0, 3, 2]))
    dataset = recorded(
        tmp_path / "demo", [Feature("observation.state", (4,)), ACTION], [{"observation.state": values, "action": np.zeros(3, np.float32)}]
    )
    assert quality.places(dataset) == (quality.Place("observation.state", (2, 3), ("[2]", "[3]"), "", True),)


def test_path_lengths_do_not_count_the_way_between_episodes() -> None:
    points = np.array([[0.0, 0], [3, 4], [3, 4], [100, 100], [100, 101]])
    assert quality.path_lengths(points, np.array([3, 5])).tolist() == [5.0, 1.0]


def test_occupied_cells() -> None:
    points = np.array([[0.0, 0], [1, 1], [0.1, 0.1], [0.9, 0.2]])
    assert quality.occupied(points, cells=2) == 3 / 4


def minimum_jerk(seconds: float, fps: float) -> np.ndarray:
    """The speed of one smooth stroke (Flash and Hogan 1985)."""
    s = np.arange(0, seconds, 1 / fps) / seconds
    return 30 * s**2 - 60 * s**3 + 30 * s**4


def test_spectral_arc_length_of_one_stroke() -> None:
    one = quality.spectral_arc_length(minimum_jerk(1.0, 100), 100)
    assert one == pytest.approx(-1.41, abs=0.02)
    assert quality.spectral_arc_length(7.5 * minimum_jerk(1.0, 100), 100) == pytest.approx(one), "how far does not count"
    assert quality.spectral_arc_length(minimum_jerk(2.0, 50), 50) == pytest.approx(one, abs=0.02), "nor how fast"


def test_stops_and_tremor_make_a_motion_less_smooth() -> None:
    stroke = minimum_jerk(1.0, 100)
    one, twice = quality.spectral_arc_length(stroke, 100), quality.spectral_arc_length(np.concatenate([stroke, stroke]), 100)
    tremor = stroke * (1 + 0.3 * np.sin(2 * np.pi * 8 * np.arange(100) / 100))
    assert twice < one - 0.5
    assert quality.spectral_arc_length(tremor, 100) < one - 0.1
    assert np.isnan(quality.spectral_arc_length(np.zeros(50), 100))


def test_spectral_arc_length_from_the_sum_itself() -> None:
    """The same number from the definition, with a Fourier sum written out."""
    speed, fps = np.array([0.0, 1, 3, 2, 1, 0, 1, 0]), 10.0
    count = 8 * 16
    frequency = np.arange(count // 2 + 1) * fps / count
    amplitude = np.array([abs(sum(v * np.exp(-2j * np.pi * f * n / fps) for n, v in enumerate(speed))) for f in frequency])
    amplitude /= amplitude.max()
    last = max(i for i, a in enumerate(amplitude) if a >= 0.05)
    length = sum(np.hypot((frequency[i + 1] - frequency[i]) / frequency[last], amplitude[i + 1] - amplitude[i]) for i in range(last))
    assert quality.spectral_arc_length(speed, fps) == pytest.approx(-length)


def test_smoothness_per_episode() -> None:
    way = np.cumsum(minimum_jerk(1.0, 100)) / 100
    points = np.concatenate([np.stack([way, 2 * way], 1), np.zeros((3, 2)), np.ones((10, 2))])
    values = quality.smoothness(points, np.array([100, 103, 113]), 100)
    assert values[0] == pytest.approx(-1.41, abs=0.03)
    assert np.isnan(values[1]), "too short"
    assert np.isnan(values[2]), "it stands still"
