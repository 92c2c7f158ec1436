"""Every check finds its defect at its place, with numbers and a way to mend it; a clean recording has no findings."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import numpy as np
import pytest

from data.checks import Recording, runs
from data.doctor import examine, modules
from data.errors import DatasetError
from data.lookup import datasets_folder
from data.source import Given, open_source
from tests.data.defects import DEFECTS, copied, nan, sign_flip
from tests.data.recorded import CAMERA, Recorded, columns_of, only
from waldo import manual
from waldo.compose import composed


def test_a_clean_recording_has_no_findings() -> None:
    source = Recorded()
    source.add_camera()
    examination = examine(source, "all")
    assert examination.findings == ()
    assert examination.seen == f"6 of 6 episodes, 480 frames, 6 columns, the frames of 6 of 6 episodes of {CAMERA}"


def test_every_check_says_what_it_looks_for_and_has_its_test() -> None:
    spoiled = {row[1] for row in DEFECTS} | {"readable"}  # that one needs a file
    assert spoiled == set(modules())
    for name, module in modules().items():
        assert module.__doc__ and callable(module.check), name


@pytest.mark.parametrize(
    ("spoil", "check", "severity", "feature", "elements", "place", "told", "mend"), DEFECTS, ids=lambda v: getattr(v, "__name__", None)
)
def test_a_defect_is_found_where_it_is_and_nothing_else(
    spoil: Callable[[Recorded], None],
    check: str,
    severity: str,
    feature: str,
    elements: tuple[int, ...],
    place: tuple[int, int] | None,
    told: str,
    mend: str,
) -> None:
    source = Recorded()
    spoil(source)
    found = only(source, pictures="all")
    assert (found.check, found.severity, found.feature, found.elements) == (check, severity, feature, elements), found
    assert (found.episode, found.frame) == (place or (None, None)), found
    assert re.search(told, found.found), found.found
    assert re.search(mend, found.mend), found.mend
    assert found.why


@pytest.mark.parametrize("spoil", [row[0] for row in DEFECTS], ids=lambda v: v.__name__)
@pytest.mark.parametrize("kind", ["LeRobotDataset v3.0", "robomimic HDF5"])
def test_every_command_that_is_named_exists_and_takes_these_options(spoil: Callable[[Recorded], None], kind: str) -> None:
    source = Recorded()
    source.format = kind
    spoil(source)
    for finding in examine(source, "all", said={"fps": "20"}).findings:
        for words in re.findall(r"waldo data [^;]*(?=; |$)", finding.mend):
            command, rest = manual.find(shlex.split(words)[1:])
            composed(command, rest)


def test_findings_are_ordered_and_machine_readable() -> None:
    source = Recorded()
    for spoil in (sign_flip, copied, nan):
        spoil(source)
    examination = examine(source)
    assert [f.severity for f in examination.findings] == ["error", "warning", "note"]
    stored = json.loads(examination.to_json())
    assert [f["check"] for f in stored["findings"]] == ["finite", "duplicates", "quaternions"]
    assert stored["findings"][0]["episodes"] == [2, 4]


def test_a_nan_does_not_hide_a_jump_of_the_same_column() -> None:
    source = Recorded()
    source.arrays[0]["action"][10, 0] = np.nan
    source.arrays[1]["action"][40, 0] += 5
    assert [f.check for f in examine(source).findings] == ["finite", "jumps"]


def test_only_some_checks() -> None:
    source = Recorded()
    nan(source)
    assert examine(source, only=["jumps", "tasks"]).findings == ()
    with pytest.raises(DatasetError, match="checks=jumpy; allowed: clipped, "):
        examine(source, only=["jumpy"])
    with pytest.raises(DatasetError, match="pictures=some; allowed: all, sample, none"):
        examine(source, "some")


def test_only_a_sample_of_films_is_decoded_and_that_is_said() -> None:
    source = Recorded()
    source.add_camera()
    examination = examine(source)
    assert f"the frames of 5 of 6 episodes of {CAMERA}" in examination.seen
    assert f"no frame of {CAMERA}" in examine(source, "none").seen


def test_an_unknown_rate_is_not_held_against_a_recording() -> None:
    source = Recorded()
    source.fps = 1.0
    assert examine(source, rate_is_known=False).findings == ()


def test_commands_for_other_formats_write_a_new_dataset_and_carry_the_rate() -> None:
    source = Recorded()
    source.format = "Zarr"
    copied(source)
    found = only(source, said={"fps": "20"})
    assert found.mend == "waldo data delete demo episodes=[5] dataset=datasets/demo_mended fps=20"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [2], [2, 1, 3]])
@pytest.mark.parametrize("value", [0.0, 1e30, np.nan, np.inf])
def test_tiny_and_senseless_recordings_do_not_stop_it(lengths: list[int], value: float) -> None:
    source = Recorded()
    source.arrays = [{name: column[:n].copy() for name, column in columns_of(0).items()} for n in lengths]
    source.add_column("observation.grid", lambda table: np.zeros((len(table["action"]), 4)))
    for table in source.arrays:
        for name in ("observation.state", "observation.grid", "action", "next.reward", "timestamp"):
            table[name][:] = value
    source.renumber()
    findings = examine(source).findings
    bad = {f.feature for f in findings if f.check == "finite"}
    assert bad == (set() if np.isfinite(value) else {"observation.state", "observation.grid", "action", "next.reward"})


def test_quaternions_are_known_by_their_names_too() -> None:
    source = Recorded()
    for name in ("observation.state", "action"):
        del source.features[name]["quaternions"]
    recording = Recording(source)
    assert recording.quaternions("action") == (3,)
    source.features["action"]["names"] = ["qx", "qy", "qz", "qw", "x", "y", "z", "w"]
    assert recording.quaternions("action") == (0,)


def test_a_task_with_quotes_survives_the_shell_and_the_parser() -> None:
    source = Recorded()
    source.tasks, source.task_of = ('don\'t drop the "cube"', 'Don\'t drop the "cube"'), ((0,), (1,), (0,), (0,), (0,), (0,))
    words = shlex.split(only(source).mend)
    assert words[:4] == ["waldo", "data", "relabel", "demo"]
    assert words[4] == 'episode_tasks={1: "don\'t drop the \\"cube\\""}'


def test_runs_of_numbers() -> None:
    assert runs([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"


# --- real recordings

PUSHT = datasets_folder() / "pusht/pusht_cchi_v7_replay.zarr.zip"
G1 = datasets_folder() / "g1_bottle_lerobot_v21"


@pytest.mark.needs_pusht
@pytest.mark.skipif(not PUSHT.exists(), reason="the Push-T demonstrations are not there; set WALDO_DATASETS")
def test_of_push_t_only_the_angle_that_nobody_declared_is_a_warning() -> None:
    findings = examine(open_source(PUSHT, Given(fps=10)), "none").findings
    assert [(f.check, f.elements) for f in findings if f.severity != "note"] == [("jumps", (4,))]
    assert "crosses the end of its turn 91 times" in findings[0].found


@pytest.mark.needs_g1
@pytest.mark.skipif(not G1.exists(), reason="the Unitree G1 recording is not there; set WALDO_DATASETS")
def test_of_a_real_g1_only_the_missing_videos_are_an_error() -> None:
    findings = examine(open_source(G1), "none").findings
    assert [(f.check, f.severity) for f in findings if f.severity != "note"] == [("opening", "error")]
    assert len(findings[0].episodes) == 90
    held = next(f for f in findings if f.check == "rate")
    assert held.elements == tuple(range(14, 26))  # the fingers, which have a bus of their own
