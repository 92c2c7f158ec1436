"""The viewer's page, read back as a browser would: one file, the exact numbers, every frame of the films, nothing that runs."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from data.errors import DatasetError
from data.record import Recorder
from data.spec import Feature
from data.store import Dataset
from data.viewing.films import film
from data.viewing.page import COLUMNS_TOTAL, SAMPLE, pack, sample, write_view
from data.viewing.panels import drawn_columns, sections
from tests.data.conftest import CAMERAS, FEATURES, LENGTHS, TASKS, TOP, make_arrays, make_images

NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGE = Path(__file__).parents[2] / "data/viewing/assets"


def view(root: Path, out: Path, single: bool = True, episodes: Sequence[int] | None = None) -> str:
    dataset = Dataset.open(root, episodes)
    return write_view(dataset, out, 3, single).page.read_text(encoding="utf-8")


def block(page: str, name: str) -> dict[str, Any]:
    match = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert match, f"the page has no block {name}"
    return json.loads(match[1])


def numbers(column: dict[str, Any]) -> np.ndarray:
    """What the page's own script makes of a column, (T, width)."""
    kind = {"f4": "<f4", "f8": "<f8", "u1": "u1", "u2": "<u2"}[column["type"]]
    values = np.frombuffer(base64.b64decode(column["data"]), kind).reshape(-1, column["width"]).astype(np.float64)
    return values * column["step"] + column["low"] if "step" in column else values


def decoded(content: bytes) -> tuple[str, list[np.ndarray]]:
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def one_feature(root: Path, features: Sequence[Feature], arrays: dict[str, np.ndarray]) -> Dataset:
    with Recorder(root, 10, features, "dummy") as recorder:
        recorder.add_episode(arrays, "push")
    return Dataset.open(root)


def test_the_page_is_one_file_that_fetches_nothing(root: Path, tmp_path: Path) -> None:
    page = view(root, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["view.html"]
    assert not re.search(r"https?://|@import|<link|\bsrc=|fetch\(|XMLHttp|import\(", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src 'none'" in policy[1] and "media-src blob:" in policy[1]


def test_the_policy_names_the_one_script_of_the_page(root: Path, tmp_path: Path) -> None:
    page = view(root, tmp_path)
    running = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(running) == 1
    mark = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{mark}';" in page


def test_the_page_holds_the_exact_numbers(root: Path, tmp_path: Path) -> None:
    page = view(root, tmp_path)
    for i, length in enumerate(LENGTHS):
        columns = block(page, f"episode-{i}")["columns"]
        arrays = make_arrays(length, i)
        assert set(columns) == set(arrays)
        for name, expected in arrays.items():
            np.testing.assert_array_equal(numbers(columns[name]), expected.reshape(length, -1).astype(np.float64), err_msg=name)
    assert arrays["stage"].max() > 2**24, "a number that float32 could not keep was among them"


def test_the_list_says_what_came_of_each_episode(root: Path, tmp_path: Path) -> None:
    rows = block(view(root, tmp_path), "page")["episodes"]
    assert [(row["number"], row["length"], row["tasks"]) for row in rows] == [(i, n, [TASKS[i]]) for i, n in enumerate(LENGTHS)]
    for i, row in enumerate(rows):
        expected = make_arrays(LENGTHS[i], i)["next.reward"].astype(np.float64).sum()
        assert row["return"] == pytest.approx(expected)
        assert row["success"] is None, "the recording does not say"


def test_films_are_copied_where_they_are_h264_already(root: Path, tmp_path: Path) -> None:
    films = block(view(root, tmp_path), "episode-1")["films"]
    assert base64.b64decode(films[TOP]["data"]) == (root / f"videos/{TOP}/chunk-000/file-001.mp4").read_bytes()


def test_other_films_are_encoded_with_every_frame(tmp_path: Path) -> None:
    with Recorder(tmp_path / "demo", 10, FEATURES, "dummy", CAMERAS, codec="av1") as recorder:
        for i, length in enumerate(LENGTHS):
            recorder.add_episode(make_arrays(length, i), TASKS[i], {"top": make_images(length, i)})
    page = view(tmp_path / "demo", tmp_path / "out")
    for i, length in enumerate(LENGTHS):
        codec, frames = decoded(base64.b64decode(block(page, f"episode-{i}")["films"][TOP]["data"]))
        assert (codec, len(frames)) == ("h264", length)
        assert np.abs(np.stack(frames).astype(int) - make_images(length, i)).mean() < 6, "and they are the same pictures in the same order"


def test_a_film_shrinks_until_it_fits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (10, 160, 200, 3), np.uint8)
    with Recorder(tmp_path / "demo", 10, FEATURES, "dummy", {"top": (160, 200)}) as recorder:
        recorder.add_episode(make_arrays(10, 0), "push", {"top": noise})
    dataset = Dataset.open(tmp_path / "demo")
    large, small = film(dataset, TOP, 0, 10**9), film(dataset, TOP, 0, 60_000)
    assert len(small) <= 60_000 < len(large)
    assert len(decoded(small)[1]) == len(decoded(large)[1]) == 10


def test_a_folder_has_the_films_and_the_numbers_beside_the_page(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    page = view(root, out, single=False)
    assert len(page) < 60_000
    rows = block(page, "page")["episodes"]
    for i, row in enumerate(rows):
        text = (out / row["file"]).read_text(encoding="utf-8")
        head, content = f"arrived[{i}](", text.rstrip().removesuffix(");")
        assert content.startswith(head)
        episode = json.loads(content.removeprefix(head))
        np.testing.assert_array_equal(numbers(episode["columns"]["action"]), make_arrays(LENGTHS[i], i)["action"])
        assert len(decoded((out / episode["films"][TOP]["file"]).read_bytes())[1]) == LENGTHS[i]


def test_what_a_recording_says_cannot_run(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>"
    root = tmp_path / "a<b>&c"
    with Recorder(root, 10, FEATURES, evil) as recorder:
        recorder.add_episode(make_arrays(7, 0), evil)
    page = view(root, tmp_path / "out")
    assert "alert(1)</script" not in page and "<img" not in page and "<b>" not in page
    assert "<title>a&lt;b&gt;&amp;c</title>" in page
    assert block(page, "page")["episodes"][0]["tasks"] == [evil], "and it is still there, word for word"
    assert len(re.findall(r"<script", page)) == 3, "the page, one episode, the script"
    scripts = "".join(path.read_text() for path in PAGE.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", scripts)


def test_some_episodes_keep_their_numbers(root: Path, tmp_path: Path) -> None:
    page = view(root, tmp_path, episodes=[2])
    content = block(page, "page")
    assert [row["number"] for row in content["episodes"]] == [2]
    assert content["selection"].startswith("1 of 3 episodes")
    np.testing.assert_array_equal(numbers(block(page, "episode-2")["columns"]["action"]), make_arrays(LENGTHS[2], 2)["action"])


def test_a_recording_without_cameras_has_no_films(state_root: Path, tmp_path: Path) -> None:
    page = view(state_root, tmp_path)
    assert block(page, "page")["cameras"] == [] and block(page, "episode-0")["films"] == {}


def test_a_damaged_film_is_named(root: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(root)
    path = root / f"videos/{TOP}/chunk-000/file-001.mp4"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match="file-001.mp4"):
        write_view(dataset, tmp_path / "out", 3)
    assert not (tmp_path / "out/view.html").exists()


def test_coarse_numbers_are_within_half_a_step() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32) * [1, 1e-3, 0]
    packed = pack(values, coarse=True)
    assert packed["type"] == "u2" and len(base64.b64decode(packed["data"])) == 1000 * 3 * 2
    step = (values.max(0) - values.min(0)) / 65535
    assert (np.abs(numbers(packed) - values) <= 0.5001 * step + 1e-12).all()
    assert pack(values > 0, coarse=True)["type"] == "u1"
    assert pack(np.array([2**40, 1]), coarse=True)["type"] == "f8"


def test_a_sample_is_spread_over_the_recording_and_fits() -> None:
    chosen = sample(np.full(206, 100), 40)
    assert len(chosen) == SAMPLE and chosen[0] == 0 and chosen[-1] == 205
    assert np.ptp(np.diff(chosen)) <= 1, "evenly"
    long = sample(np.full(50, 10_000), 100)
    assert 1 <= len(long) < SAMPLE and len(long) * 10_000 * 100 / 2 <= COLUMNS_TOTAL
    assert sample(np.array([10**9]), 100) == [0], "one is always shown"
    assert sample(np.full(4, 10), 40) == [0, 1, 2, 3]
    assert len(sample(np.full(206, 100), 40, single=False)) == 100


QUATERNION = Feature(
    "observation.state",
    (6,),
    names=("x", "qw", "qx", "qy", "qz", "yaw"),
    units=("m", "1", "1", "1", "1", "rad"),
    quaternions=(1,),
    angles=(5,),
)


def test_an_action_lies_over_the_state_of_the_same_names_and_units(tmp_path: Path) -> None:
    state = {"observation.state": np.zeros((5, 6), np.float32)}
    action = dataclasses.replace(QUATERNION, name="action")
    dataset = one_feature(tmp_path / "same", [QUATERNION, action], state | {"action": np.zeros((5, 6), np.float32)})
    (section,) = sections(dataset)
    assert (section["name"], section["dashed"]) == ("observation.state", "action")
    assert [panel["title"] for panel in section["panels"]] == ["x", "q (w x y z)", "yaw"], "a quaternion is one plot"
    assert [(s["column"], s["dim"]) for s in section["panels"][0]["series"]] == [("observation.state", 0), ("action", 0)]
    assert len(section["panels"][1]["series"]) == 8
    assert [s["wraps"] for s in section["panels"][2]["series"]] == [True, True]

    millimetres = dataclasses.replace(action, units=("mm", "1", "1", "1", "1", "rad"))
    dataset = one_feature(tmp_path / "other", [QUATERNION, millimetres], state | {"action": np.zeros((5, 6), np.float32)})
    assert [section["name"] for section in sections(dataset)] == ["observation.state", "action"]

    partly = Feature("action", (2,), names=("x", "grip"), units=("m", "1"))
    dataset = one_feature(tmp_path / "part", [QUATERNION, partly], state | {"action": np.zeros((5, 2), np.float32)})
    over, rest = sections(dataset)
    assert len(over["panels"][0]["series"]) == 2
    assert [(panel["title"], panel["series"][0]["dim"]) for panel in rest["panels"]] == [("grip", 1)]


def test_flags_and_states_are_bands_and_other_numbers_are_not(tmp_path: Path) -> None:
    features = [
        Feature("action", (1,)),
        Feature("next.success", (1,), "bool"),
        Feature("next.done", (1,)),
        Feature("stage", (1,), "int64"),
        Feature("ticks", (1,), "int64"),
        Feature("grid", (3, 2)),
        Feature("skin", (8, 9)),
    ]
    arrays = {
        "action": np.zeros((30, 1), np.float32),
        "next.success": np.arange(30) == 29,
        "next.done": (np.arange(30) == 29).astype(np.float32),
        "stage": np.arange(30) // 10,
        "ticks": np.arange(30) * 7,
        "grid": np.zeros((30, 3, 2), np.float32),
        "skin": np.zeros((30, 8, 9), np.float32),
    }
    dataset = one_feature(tmp_path / "demo", features, arrays)
    *plots, bands = sections(dataset)
    assert {section["name"] for section in plots} == {"action", "ticks", "grid"}
    assert [(panel["title"], panel["series"][0]["levels"]) for panel in bands["panels"]] == [
        ("next.success", []),
        ("next.done", []),
        ("stage", [0, 1, 2]),
    ]
    dataset.features["stage"]["values"] = {"0": "reach", "2": "lift"}
    assert sections(dataset)[-1]["panels"][2]["series"][0]["words"] == ["reach", "1", "lift"]
    grid = next(section for section in plots if section["name"] == "grid")
    assert [[s["dim"] for s in panel["series"]] for panel in grid["panels"]] == [[0, 1], [2, 3], [4, 5]], "a plot per row of a matrix"
    assert drawn_columns(dataset)[1] == ["skin"]
    assert "skin has 72 elements" in block(view(tmp_path / "demo", tmp_path / "out"), "page")["note"]
    assert block(view(tmp_path / "demo", tmp_path / "out"), "page")["episodes"][0]["success"] is True


def test_the_command_writes_a_page_and_refuses_an_unknown_viewer(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from waldo.cli import main

    assert main(["data", "view", str(root), f"out={tmp_path / 'out'}", "episodes=[0,2]"]) == 0
    assert "2 of 3 episodes" in capsys.readouterr().out
    assert (tmp_path / "out/view.html").exists()
    assert main(["data", "view", str(root), f"out={tmp_path / 'other'}", "viewer=paper"]) == 2
    assert "allowed: page, rerun" in capsys.readouterr().err


def test_rerun_is_asked_for_when_it_is_absent(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from data.viewing.rerun_log import write_rerun

    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(DatasetError, match=r'pip install "waldo\[view\]"'):
        write_rerun(Dataset.open(root), tmp_path)


def test_rerun_gets_a_file_per_episode(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed (the extra `view`)")
    from data.viewing.rerun_log import write_rerun

    files = write_rerun(Dataset.open(root), tmp_path)
    assert [file.name for file in files] == [f"episode_{i:06d}.rrd" for i in range(3)]
    assert all(file.read_bytes()[:4] == b"RRF2" for file in files)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_script_is_valid_and_reads_the_numbers_as_they_are(root: Path, tmp_path: Path) -> None:
    page = view(root, tmp_path / "out")
    whole = tmp_path / "page.js"
    whole.write_text(re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0])
    subprocess.run([str(NODE), "--check", str(whole)], check=True, timeout=30)
    values = np.array([[1.5, -2.25e-7], [3e8, 0.1]], np.float32)
    columns = [pack(values, False), pack(values, True), pack(np.array([2**40 + 1, 3]), False), pack(np.array([True, False]), False)]
    harness = tmp_path / "harness.js"
    harness.write_text(
        'globalThis.document = { getElementById: () => ({ textContent: \'{"sections":[],"fps":10}\' }) };\n'
        + (PAGE / "page.js").read_text()
        + f"console.log(JSON.stringify({json.dumps(columns)}.map((column) => unpack(column).map((one) => [...one]))));\n"
        + "console.log(JSON.stringify([say(0), say(-1234.5678), say(1e-9), say(0.08), fixed(-0.0001, 2), fixed(-0.5, 2)]));\n"
    )
    out = subprocess.run([str(NODE), str(harness)], check=True, timeout=30, capture_output=True, text=True).stdout.splitlines()
    exact, coarse, large, flags = (np.array(column).T for column in json.loads(out[0]))
    np.testing.assert_array_equal(exact, values.astype(np.float64))
    np.testing.assert_allclose(coarse, numbers(columns[1]), rtol=1e-12)
    np.testing.assert_array_equal(large[:, 0], [2**40 + 1, 3])
    np.testing.assert_array_equal(flags[:, 0], [1, 0])
    assert json.loads(out[1]) == ["0", "−1235", "1.00e-9".replace("-", "−"), "0.08", "0.00", "−0.50"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("single", [True, False])
def test_a_browser_shows_the_frame_that_is_asked_for(root: Path, tmp_path: Path, single: bool) -> None:
    page = write_view(Dataset.open(root), tmp_path / "out", 3, single).page
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", f"--user-data-dir={tmp_path / 'browser'}"]
    command = [str(CHROMIUM), *flags, "--virtual-time-budget=5000", "--dump-dom", f"{page.as_uri()}#episode=1&frame=5"]
    found = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
    visible = re.sub(r"<script.*?</script>", "", found, flags=re.DOTALL)
    assert "Episode 1</h2>" in visible and "frame 5 / 11 · 0.50 s</output>" in visible
    force = make_arrays(LENGTHS[1], 1)["observation.force"][5, 0]
    shown = re.search(r"grip \[N\]</span><output><span>(.*?)</span>", visible)
    assert shown and float(shown[1].replace("−", "-")) == pytest.approx(force, abs=0.01)
    assert visible.count("<video") == 1 and visible.count('role="option"') == 3


def test_an_interrupted_view_leaves_no_page(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.viewing.page._html", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_view(Dataset.open(root), tmp_path / "out", 3)
    assert not list((tmp_path / "out").glob("*"))
