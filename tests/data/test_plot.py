"""The page and the pictures of `waldo data plot`: complete, offline, with the right numbers, and not empty."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.charts import svg
from data.record import Recorder
from data.spec import Feature
from data.viewing import charts
from tests.data.conftest import record
from waldo.cli import main

STATE = Feature("observation.state", (4,), names=("tool_x", "tool_y", "tool_z", "still"), units=("m", "m", "m", "rad"))
ACTION = Feature("action", (2,), names=("push", "pull"), units=("N", "N"))
FEATURES = [STATE, ACTION, Feature("next.reward", (1,)), Feature("next.success", (1,), "bool")]
RETURNS = (1.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plot") / "circles"
    with Recorder(folder, 10, FEATURES, "dummy") as recorder:
        for i, gained in enumerate(RETURNS):
            t = np.linspace(0, 2 * np.pi, 60 + 10 * i)
            state = np.stack([np.cos(t), np.sin(t), 0.1 * t, np.full_like(t, 0.5)], 1).astype(np.float32)
            last = np.arange(len(t)) == len(t) - 1
            columns = {"observation.state": state, "action": np.stack([np.sin(3 * t + i).clip(-1, 0.5), t], 1).astype(np.float32)}
            columns |= {"next.reward": (gained * last).astype(np.float32), "next.success": last & (gained > 0)}
            recorder.add_episode(columns, "draw a circle")
    return folder


@pytest.fixture(scope="module")
def drawn(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plotted") / "out"
    assert main(["data", "plot", str(root), f"out={out}"]) == 0
    return out


def figures(out: Path) -> dict[str, float]:
    return {f["name"]: f["value"] for f in json.loads((out / "summary.json").read_text(encoding="utf-8"))["figures"]}


def test_the_page_is_complete_and_needs_nothing_from_outside(drawn: Path) -> None:
    page = (drawn / "report.html").read_text(encoding="utf-8")
    for wanted in ("tool_x [m]", "still [rad]", "push [N]", "always 0.5", "length [s]", "return", "success (3)", "no success (1)"):
        assert wanted in page, wanted
    assert "TQ is relative" in page and "SACo is relative" in page
    assert not re.search(r'(?:src|href)="https?:', page)
    assert "#0a000" not in page, "a colour that does not follow the page"


def test_a_picture_of_each_plot_is_there_and_not_empty(drawn: Path) -> None:
    names = {path.stem for path in drawn.glob("*.png")}
    assert names == {"episodes", "workspace", "observation.state", "action", "action.range"}
    for path in drawn.glob("*.png"):
        pixels = cv2.imread(str(path))
        assert min(pixels.shape[:2]) > 150 and pixels.shape[1] > 800, path.name
        assert 0.01 < np.mean((pixels < 250).any(2)) < 0.9, f"{path.name}: hardly anything, or everything, is inked"


def test_the_measures(drawn: Path) -> None:
    found = figures(drawn)
    assert (found["plot/episodes"], found["plot/frames"]) == (4, 60 + 70 + 80 + 90)
    assert (found["plot/success"], found["plot/return"], found["plot/tq"]) == (0.75, 0.75, 0.75)
    # A turn of radius 1 m that rises 0.1 m per radian: 2 pi sqrt(1.01), less what chords cut off.
    assert found["plot/path/observation.state[0-2]"] == pytest.approx(2 * np.pi * np.sqrt(1.01), rel=2e-3)
    assert 0 < found["plot/occupied/observation.state[0-2]"] < 0.2, "the rim of a disc"


def test_references_from_outside_make_the_measures_absolute(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["minimal=-1", "online=1.5", f"reference={root}", "coverage=[observation.state,action]", "png=false"]
    assert main(["data", "plot", str(root), *words, f"out={out}"]) == 0
    assert figures(out)["plot/tq"] == pytest.approx((0.75 + 1) / 2.5)
    assert figures(out)["plot/saco"] == 1.0, "compared with itself"
    assert "is relative" not in (out / "report.html").read_text(encoding="utf-8")
    assert not list(out.glob("*.png"))


def test_a_recording_without_rewards_and_names(tmp_path: Path) -> None:
    features = [Feature("observation.state", (3,)), Feature("action", (1,))]
    with Recorder(tmp_path / "bare", 10, features, "dummy") as recorder:
        values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        recorder.add_episode({"observation.state": values, "action": values[:, :1]}, "wander")
    assert main(["data", "plot", str(tmp_path / "bare"), f"out={tmp_path / 'out'}"]) == 0
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "No rewards were recorded" in page and "No name says which elements are a position" in page
    assert "plot/tq" not in figures(tmp_path / "out")


def test_cameras_are_not_needed(tmp_path: Path) -> None:
    folder = record(tmp_path / "demo")
    for path in folder.glob("videos/**/*.mp4"):
        path.unlink()
    assert main(["data", "plot", str(folder), "png=false", f"out={tmp_path / 'out'}"]) == 0


def test_a_nan_is_said_and_nothing_is_drawn(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.from_lerobot.LeRobotSource.columns", _with_nan)
        assert main(["data", "plot", str(root), f"out={tmp_path / 'out'}"]) == 2
    assert "every value must be finite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _with_nan(source: object, names: list[str], episodes: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.full((300, 4), np.nan, np.float32) for name in names}


def test_the_ends_of_a_range_say_how_many_values_lie_there() -> None:
    values = np.array([[0.0, 1], [0, 1], [1, 1], [2, 1], [4, 1]])
    text = svg(charts.range_use(values, ["a", "b"]))
    assert "0 (40 %)" in text and "4 (20 %)" in text and "always 1" in text


def test_a_heat_map_puts_points_where_they_are() -> None:
    points = np.array([[0.0, 0.0]] * 9 + [[1.0, 0.5]])
    plot = charts.heat_maps([(points, "x [m]", "y [m]")])
    (image,) = plot.axes[0].get_images()
    alpha = np.asarray(image.get_array())[..., 3]
    assert alpha.shape == (24, 48), "cells are square"
    assert np.argwhere(alpha > 0).tolist() == [[0, 0], [23, 47]]
    assert alpha[0, 0] == pytest.approx(1.0) and 0.18 < alpha[23, 47] < 0.6
    assert image.get_extent() == [0.0, 1.0, 0.0, 0.5]
