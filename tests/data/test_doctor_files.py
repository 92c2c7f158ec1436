"""What is wrong with files becomes a finding, and the rest is looked at all the same; the command itself."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.checks import Finding
from data.doctor import examine, unopened
from data.errors import DatasetError
from data.from_lerobot import open_source as open_lerobot
from data.lerobot.video import write_mp4
from data.record import Recorder
from data.source import Given, open_source
from data.spec import Feature
from data.store import Dataset
from tests.data.conftest import make_images
from tests.data.recorded import CAMERA, FPS, LENGTH, NAMES, UNITS, columns_of, only
from waldo.cli import main


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clean episodes with a camera, as the recorder writes them."""
    root = tmp_path_factory.mktemp("doctor") / "demo"
    vector = {"shape": (8,), "names": NAMES, "units": UNITS, "quaternions": (3,)}
    flags = [Feature(f"next.{name}", (1,), "bool") for name in ("success", "terminated", "truncated")]
    features = [Feature("observation.state", **vector), Feature("action", **vector), Feature("next.reward", (1,)), *flags]
    with Recorder(root, FPS, features, "panda", {"top": (32, 48)}) as recorder:
        for i in range(4):
            columns = {name: values for name, values in columns_of(i).items() if name in {feature.name for feature in features}}
            recorder.add_episode(columns, "pick up the cube", {"top": make_images(LENGTH, i)})
    return root


@pytest.fixture
def root(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "demo"))


def of_files(root: Path, **options: Any) -> Finding:
    return only(open_lerobot(root, Given()), **options)


def change_info(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta/info.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    change(info)
    path.write_text(json.dumps(info), encoding="utf-8")


def change_column(root: Path, episode: int, name: str, change: Callable[[np.ndarray], object]) -> None:
    path = root / f"data/chunk-000/file-{episode:03d}.parquet"
    table = pq.read_table(path)
    values = np.array(table[name].to_pylist())
    change(values)
    column = pa.array(values.tolist(), table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)


def video(root: Path, episode: int) -> Path:
    return root / f"videos/{CAMERA}/chunk-000/file-{episode:03d}.mp4"


def test_a_clean_dataset_on_disk_has_no_findings(root: Path) -> None:
    assert examine(open_lerobot(root, Given()), "all").findings == ()


def test_a_nan_on_disk(root: Path) -> None:
    change_column(root, 2, "action", lambda values: values.__setitem__((33, 1), np.nan))
    found = of_files(root)
    assert (found.check, found.severity, found.feature, found.elements, found.episode, found.frame) == (
        "finite",
        "error",
        "action",
        (1,),
        2,
        33,
    )
    assert found.mend == f"waldo data delete {root} episodes=[2]"


def test_statistics_of_other_data(root: Path) -> None:
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text(encoding="utf-8"))
    stats["action"]["std"][2] *= 1.5
    path.write_text(json.dumps(stats), encoding="utf-8")
    found = of_files(root)
    assert (found.check, found.severity, found.feature) == ("stats", "error", "action")
    assert re.search(r"std of \[2\] is 0\.\d+, true is 0\.\d+", found.found)
    assert found.mend == f"waldo data stats {root} write=true"


def test_no_statistics_at_all(root: Path) -> None:
    (root / "meta/stats.json").unlink()
    assert (of_files(root).check, of_files(root).severity) == ("stats", "note")


def test_a_column_of_another_width_hides_nothing_else(root: Path) -> None:
    change_info(root, lambda info: info["features"]["next.reward"].update(shape=[3]))
    change_column(root, 1, "action", lambda values: values.__setitem__((12, 0), np.nan))
    first, second = examine(open_lerobot(root, Given())).findings
    assert {first.check, second.check} == {"readable", "finite"}
    found = first if first.check == "readable" else second
    assert (found.check, found.severity, found.feature) == ("readable", "error", "next.reward")
    assert re.search(r"1 values per frame, info.json says 3", found.found)


def test_a_missing_video_costs_only_its_frames(root: Path) -> None:
    video(root, 2).unlink()
    examination = examine(open_lerobot(root, Given()), "all")
    (found,) = examination.findings
    assert (found.check, found.severity, found.feature, found.episodes) == ("opening", "error", CAMERA, (2,))
    assert re.search(r"file-002.mp4 is missing$", found.found)
    assert found.mend == f"restore them from a copy; without them: waldo data delete {root} episodes=[2]"
    assert f"the frames of 3 of 3 episodes of {CAMERA}" in examination.seen


def test_a_video_in_the_wrong_folder_is_found(root: Path) -> None:
    (root / "videos/wrist").mkdir()
    video(root, 2).rename(root / "videos/wrist/file-002.mp4")
    assert of_files(root).mend == f"move {root}/videos/wrist/file-002.mp4 there"


def test_a_data_file_without_its_end(root: Path) -> None:
    path = root / "data/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    examination = examine(open_lerobot(root, Given()))
    (found,) = examination.findings
    assert (found.check, found.severity, found.episodes) == ("opening", "error", (1,))
    assert re.search(r"file-001.parquet .* is not a readable parquet file: its end is missing", found.found)
    assert found.mend.startswith(f"waldo data repair {root}")
    assert examination.seen.startswith("3 of 4 episodes, 240 frames")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda r: change_info(r, lambda info: info.pop("features")), r"'features' is None"),
        (lambda r: change_info(r, lambda info: info.update(total_frames=9)), r"counts 9 frames, but its 4 episodes have 320"),
        (lambda r: (r / "meta/info.json").write_text('{"fps": '), r"cannot be read as JSON"),
        (lambda r: (r / "meta/tasks.parquet").unlink(), r"tasks.parquet is missing"),
        (lambda r: (r / "meta/episodes/chunk-000/file-002.parquet").write_bytes(b"PAR1"), r"is not a readable parquet file"),
    ],
)
def test_what_cannot_be_opened_is_a_finding_too(root: Path, spoil: Callable[[Path], object], told: str) -> None:
    spoil(root)
    with pytest.raises(DatasetError) as refused:
        open_source(root)
    (found,) = unopened(root, refused.value).findings
    assert (found.check, found.severity) == ("opening", "error")
    assert re.search(told, found.found)
    assert found.mend.startswith(f"waldo data repair {root}")


def test_cameras_without_names_are_noted(root: Path) -> None:
    change_info(root, lambda info: info["features"][CAMERA].update(names=None))
    found = of_files(root)
    assert (found.check, found.severity, found.feature) == ("labels", "note", CAMERA)
    assert found.mend == f"waldo data repair {root}"


def test_a_video_with_too_few_frames(root: Path) -> None:
    write_mp4(video(root, 1), make_images(60, 1), FPS)
    findings = examine(open_lerobot(root, Given()), "all").findings
    assert {(f.check, f.severity, f.feature, f.episodes) for f in findings} == {
        ("videos", "error", CAMERA, (1,)),
        ("pictures", "error", CAMERA, (1,)),
    }
    assert any("has 60 frames, its episodes 80" in f.found for f in findings)


def test_a_video_with_frames_that_no_row_has(root: Path) -> None:
    write_mp4(video(root, 3), make_images(95, 3), FPS)
    found = of_files(root, pictures="all")
    assert (found.check, found.severity, found.episodes) == ("videos", "warning", (3,))
    assert "has 95 frames, its episodes only 80" in found.found


def test_a_video_of_another_rate(root: Path) -> None:
    write_mp4(video(root, 3), make_images(80, 3), 30)
    findings = examine(open_lerobot(root, Given()), "all").findings
    found = next(f for f in findings if f.check == "videos")
    assert (found.severity, found.feature, found.episodes) == ("error", CAMERA, (3,))
    assert "has 30 frames per second, the recording 20" in found.found


def test_a_video_of_another_size(root: Path) -> None:
    write_mp4(video(root, 0), np.repeat(make_images(80, 0), 2, 1), FPS)
    found = of_files(root, only=["videos"])
    assert (found.severity, found.episodes) == ("error", (0,))
    assert "is 64x48 pixels, info.json says 32x48" in found.found


def test_a_file_that_is_no_video(root: Path) -> None:
    boxes = [b"ftyp" + bytes(8), b"mdat" + bytes(64), b"moov" + bytes(32)]
    video(root, 0).write_bytes(b"".join((len(box) + 4).to_bytes(4, "big") + box for box in boxes))  # complete, and empty
    found = of_files(root, only=["videos"])
    assert (found.severity, found.episodes) == ("error", (0,))
    assert "file-000.mp4 cannot be opened" in found.found


def spoil_stats(root: Path) -> None:
    stats = json.loads((root / "meta/stats.json").read_text(encoding="utf-8"))
    stats["action"]["min"][2] = -9.0
    (root / "meta/stats.json").write_text(json.dumps(stats), encoding="utf-8")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: change_column(r, 2, "action", lambda values: values.__setitem__((33, 1), np.nan)),
        lambda r: change_column(r, 2, "action", lambda values: values.__setitem__((slice(70, 80), 1), np.nan)),
        lambda r: change_column(r, 1, "timestamp", lambda values: values.__iadd__(1.0)),
        lambda r: change_column(r, 1, "frame_index", lambda values: values.__iadd__(1)),
        spoil_stats,
        lambda r: change_info(r, lambda info: info["features"][CAMERA].update(names=None)),
        lambda r: change_info(r, lambda info: info["features"]["action"].pop("units")),
        lambda r: change_info(r, lambda info: info.update(total_frames=9)),
        lambda r: (r / "data/chunk-000/file-001.parquet").write_bytes(b"PAR1"),
        lambda r: video(r, 2).unlink(),
        lambda r: write_mp4(video(r, 1), make_images(60, 1), FPS),
    ],
    ids=[
        "a NaN",
        "NaN at the end",
        "timestamps",
        "frame_index",
        "statistics",
        "names=null",
        "no units",
        "counts",
        "a torn file",
        "a missing video",
        "a short video",
    ],
)
def test_what_is_told_to_mend_it_mends_it(root: Path, spoil: Callable[[Path], object]) -> None:
    spoil(root)
    assert look(root)
    for _ in range(3):  # values that were changed behind the back of the statistics are two findings
        findings = look(root)
        if findings:
            words = re.search(r"waldo data [^;]*?(?=; |, or |$)", findings[0].mend)
            assert words is not None, findings[0]
            told = words[0].replace("[m, rad, ...]", f"[{','.join(UNITS)}]")  # what only a person knows
            assert main([*shlex.split(told)[1:], f"out={root.parent / 'out'}"]) == 0
    assert look(root) == ()


def test_an_early_end_is_cut_where_it_is(root: Path) -> None:
    change_column(root, 1, "next.terminated", lambda values: values.__setitem__(60, True))
    found = next(f for f in look(root) if f.check == "outcomes")
    assert main([*shlex.split(found.mend)[1:], f"out={root.parent / 'out'}"]) == 0
    assert Dataset.open(root).lengths.tolist() == [80, 61, 80, 80]
    assert not [f for f in look(root) if "before the last frame" in f.found]


def look(root: Path) -> tuple[Finding, ...]:
    try:
        return examine(open_source(root), "all").findings
    except DatasetError as error:
        return unopened(root, error).findings


def test_the_command_prints_every_finding_and_writes_them(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_column(root, 2, "action", lambda values: values.__setitem__((33, 1), np.nan))
    out = tmp_path / "out"
    assert main(["data", "doctor", str(root), f"out={out}"]) == 0
    printed = capsys.readouterr().out
    for wanted in (
        "error",
        "finite",
        "action; episode 2, frame 33",
        "Why: ",
        f"Mend: waldo data delete {root} episodes=[2]",
        "1 error, 0 warnings",
    ):
        assert wanted in printed, printed
    assert json.loads((out / "findings.json").read_text())["findings"][0]["frame"] == 33
    figures = json.loads((out / "summary.json").read_text())["figures"]
    assert {f["name"]: f["value"] for f in figures} == {"doctor/errors": 1, "doctor/warnings": 0, "doctor/notes": 0}


def test_strict_ends_with_an_error_after_the_findings_are_written(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "doctor", str(root), "strict=true", f"out={tmp_path / 'fine'}"]) == 0
    (root / "meta/info.json").write_text("{}")
    assert main(["data", "doctor", str(root), f"out={tmp_path / 'lenient'}"]) == 0
    capsys.readouterr()
    assert main(["data", "doctor", str(root), "strict=true", f"out={tmp_path / 'strict'}"]) == 2
    assert "1 error, see above" in capsys.readouterr().err
    assert (tmp_path / "strict/findings.json").exists()


def test_what_is_not_there_is_a_mistake_and_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "doctor", str(tmp_path / "nowhere"), f"out={tmp_path / 'out'}"]) == 2
    assert "no dataset" in capsys.readouterr().err
