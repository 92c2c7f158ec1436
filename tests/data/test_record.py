"""The recorder as a control loop meets it: it keeps up or says that it does not, loses nothing, and takes any data."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from data import signals
from data.errors import DatasetError
from data.lerobot import camera as camera_module
from data.lerobot import layout, stored_stats, tables, writer
from data.lerobot.stills import StillWriter
from data.lerobot.video import VideoWriter
from data.lerobot.writer import Writer
from data.record import Recorder
from data.spec import IMAGE_PREFIX, ActionSpec, Feature, PolicySpec
from data.store import Dataset
from tests.data.conftest import CAMERAS, FEATURES, TOP, litter, make_arrays, make_images

STATE = Feature("observation.state", (2,))


def frames_of(length: int, seed: int) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """What `add_frame` takes, frame by frame."""
    arrays, images = make_arrays(length, seed), make_images(length, seed)
    return [({name: values[t] for name, values in arrays.items()}, {"top": images[t]}) for t in range(length)]


@pytest.fixture
def slow_encoder(monkeypatch):
    """10 ms a frame, and no more than a dozen small frames may wait."""
    add = VideoWriter.add

    def slowly(self: VideoWriter, image: np.ndarray) -> None:
        time.sleep(0.01)
        add(self, image)

    monkeypatch.setattr(VideoWriter, "add", slowly)
    monkeypatch.setattr(camera_module, "SLAB_BYTES", 4 * 32 * 48 * 3)
    monkeypatch.setattr(writer, "PENDING_BYTES", 12 * 32 * 48 * 3)


# ---- keeping up


def test_a_slow_encoder_makes_the_caller_wait_and_loses_nothing(tmp_path, slow_encoder, holds):
    most = 0
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        for seed in range(2):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                for frame, images in frames_of(40, seed):
                    recorder.add_frame(frame, images)
                    most = max(most, recorder.backlog)
                recorder.save_episode("push")
            (warning,) = told  # once per episode, not once per frame
            assert "has fallen behind: 12 frames of observation.images.top (1.2 s) wait for the encoder" in str(warning.message)
            assert "Nothing is lost" in str(warning.message) and "at a lower rate" in str(warning.message)
            assert warning.filename == __file__
        waited = recorder.waited_s
    assert most == 12  # memory is bounded
    assert 0.3 < waited < 5  # 80 frames at 10 ms, of which 12 at a time may wait
    dataset = holds(tmp_path / "d", 2)
    assert dataset.episode_ends.tolist() == [40, 80]
    expected = np.concatenate([make_images(40, 0), make_images(40, 1)])
    assert np.abs(dataset.images(TOP).astype(int) - expected).mean((1, 2, 3)).max() < 6  # each frame in its place


def test_whole_episodes_wait_without_a_warning(tmp_path, slow_encoder):
    with warnings.catch_warnings(), Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        warnings.simplefilter("error")
        recorder.add_episode(make_arrays(30, 0), "push", {"top": make_images(30, 0)})
        assert recorder.waited_s > 0
        recorder.flush()
        assert recorder.backlog == 0


def test_an_encoder_that_keeps_up_is_not_mentioned(tmp_path):
    with warnings.catch_warnings(), Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        warnings.simplefilter("error")
        for frame, images in frames_of(20, 0):
            recorder.add_frame(frame, images)
        recorder.save_episode("push")
        assert recorder.waited_s == 0


def test_ctrl_c_while_waiting_keeps_the_frames_before(tmp_path, slow_encoder, monkeypatch, holds):
    frames = frames_of(20, 0)
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with monkeypatch.context() as patch:
            patch.setattr(camera_module.Camera, "wait_room", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                for frame, images in frames:
                    recorder.add_frame(frame, images)
        kept = recorder.num_frames
        assert 12 <= kept < 20
        for frame, images in frames[kept:]:
            recorder.add_frame(frame, images)
        recorder.save_episode("push")
    assert np.abs(holds(tmp_path / "d", 1).images(TOP).astype(int) - make_images(20, 0)).mean() < 4


def test_an_image_that_nobody_can_write_to_is_not_copied(tmp_path, monkeypatch):
    images, kept = make_images(6, 0), []
    put = camera_module.Camera.put
    monkeypatch.setattr(camera_module.Camera, "put", lambda self, image: kept.append(image) or put(self, image))
    with Recorder(tmp_path / "d", 10, [STATE], "x", CAMERAS, codec="png") as recorder:
        given = [image.copy() for image in images]
        view = given[1].view()  # read-only itself, but what it looks at is not
        view.flags.writeable = given[2].flags.writeable = False
        still = images[3:5].copy()
        still.flags.writeable = False
        for image in (given[0], view, given[2], still[0], still[1], given[5][:, ::-1]):
            recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image})
        for image in (given[0], given[1], given[5]):
            image[:] = 0
        recorder.save_episode("push")
    assert [image is given[2] or image.base is still for image in kept] == [False, False, True, True, True, False]
    images[5] = images[5][:, ::-1]
    np.testing.assert_array_equal(Dataset.open(tmp_path / "d").images(TOP), images)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread its own priority")
def test_the_threads_of_the_recorder_give_way_to_the_caller(tmp_path):
    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        frame, images = frames_of(1, 0)[0]
        recorder.add_frame(frame, images)
        recorder.save_episode("push")
        theirs = {t.name: os.getpriority(os.PRIO_PROCESS, t.native_id) for t in threading.enumerate() if t.name.startswith("recorder")}
    assert set(theirs) == {"recorder", f"recorder {TOP}"}
    assert all(nice == min(19, mine + 5) for nice in theirs.values())
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


# ---- saving without waiting


@pytest.fixture
def held_commit(monkeypatch):
    """Commits wait for this event."""
    go = threading.Event()
    commit = Writer.commit

    def held(self: Writer, episode: object) -> None:
        assert go.wait(10)
        commit(self, episode)

    monkeypatch.setattr(Writer, "commit", held)
    yield go
    go.set()


def test_saving_does_not_hold_up_a_loop_that_says_so(tmp_path, held_commit, holds):
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        for frame, images in frames_of(7, 0):
            recorder.add_frame(frame, images)
        assert recorder.save_episode("push", wait=False) == 0
        assert (recorder.committed, recorder.num_frames) == (0, 0)
        for frame, images in frames_of(12, 1):  # the next episode begins before this one is safe
            recorder.add_frame(frame, images)
        assert recorder.committed == 0
        held_commit.set()
        assert recorder.save_episode("lift", wait=False) == 1  # had to wait for the first
        assert recorder.committed >= 1
        recorder.flush()
        assert recorder.committed == 2
    dataset = holds(tmp_path / "d", 2)
    expected = np.concatenate([make_images(7, 0), make_images(12, 1)])
    assert np.abs(dataset.images(TOP).astype(int) - expected).mean() < 4
    assert not litter(tmp_path / "d")


def test_a_failure_behind_the_callers_back_is_told_by_the_next_call(tmp_path, monkeypatch, holds):
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(7, 0), "push", {"top": make_images(7, 0)})
        recorder.flush()
        monkeypatch.setattr(writer, "write_row", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        frame, images = frames_of(2, 1)[0]
        recorder.add_frame(frame, images)
        recorder.save_episode("push", wait=False)
        with pytest.raises(DatasetError, match="the disk is full .*: 1 episodes are safe in .*; episode 1 is lost"):
            for _ in range(200):
                recorder.add_frame(frame, images)
                time.sleep(0.01)
        with pytest.raises(DatasetError, match="the disk is full"):
            recorder.close()
    holds(tmp_path / "d", 1)
    assert not litter(tmp_path / "d")


@pytest.mark.parametrize("codec", ["h264", "png"])
def test_a_camera_that_fails_does_not_take_the_episode_before_with_it(tmp_path, held_commit, monkeypatch, codec):
    """The episode that waits for its commit is committed, and counted by what the caller is told."""
    sink = VideoWriter if codec == "h264" else StillWriter
    with Recorder(tmp_path / "d", 10, [STATE], "x", CAMERAS, codec=codec) as recorder:
        image = make_images(1, 0)[0]
        for _ in range(3):
            recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image})
        recorder.save_episode("push", wait=False)
        time.sleep(0.1)  # let the camera finish it before it breaks
        monkeypatch.setattr(sink, "add", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image})
        threading.Timer(0.1, held_commit.set).start()
        with pytest.raises(DatasetError, match=r"the disk is full .*: 1 episodes are safe in .*; episode 1 is lost"):
            recorder.flush()
            for _ in range(200):
                recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image})
                time.sleep(0.01)
        with pytest.raises(DatasetError):
            recorder.close()
    assert Dataset.open(tmp_path / "d").episode_ends.tolist() == [3]
    assert not litter(tmp_path / "d")


# ---- one recorder at a time


def test_a_recorder_waits_for_another_one_when_told_to(tmp_path, holds):
    first = Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS)
    opened = threading.Event()

    def second() -> None:
        with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS, wait=True) as recorder:
            opened.set()
            recorder.add_episode(make_arrays(12, 1), "lift", {"top": make_images(12, 1)})

    other = threading.Thread(target=second)
    other.start()
    assert not opened.wait(0.2)
    first.add_episode(make_arrays(7, 0), "push", {"top": make_images(7, 0)})
    first.close()
    other.join(10)
    assert holds(tmp_path / "d", 2).tasks == ("push", "lift")  # what the first one wrote was seen by the second


def test_a_recorder_that_is_refused_touches_nothing(tmp_path, holds):
    with Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(7, 0), "push", {"top": make_images(7, 0)})
        recorder.flush()
        for frame, images in frames_of(12, 1):
            recorder.add_frame(frame, images)  # its video is growing in a temporary file
        for overwrite in (False, True):
            with pytest.raises(DatasetError, match="another recorder is writing"):
                Recorder(tmp_path / "d", 10, FEATURES, "dummy", CAMERAS, overwrite=overwrite)
        recorder.save_episode("lift")
    holds(tmp_path / "d", 2).images(TOP)


def test_a_descriptor_that_a_child_process_kept_does_not_hold_the_folder(tmp_path):
    recorder = Recorder(tmp_path / "d", 10, FEATURES, "dummy")
    inherited = os.dup(recorder._writer._lock)  # what fork does
    recorder.close()
    Recorder(tmp_path / "d", 10, FEATURES, "dummy").close()
    os.close(inherited)


# ---- what can be recorded


def test_scalars_may_come_as_they_are(tmp_path):
    features = [STATE, *signals.RL, signals.ACTOR, Feature("small", (1,), "int8"), Feature("wide", (1,), "float64")]
    given = [
        (0.5, True, False, np.bool_(True), signals.HUMAN, -128, 1),
        (np.float64(0.25), np.array(False), np.array([True]), False, np.uint8(2), np.int64(127), np.float32(0.5)),
        (1, False, True, False, np.int64(0), True, 2.5),
    ]
    names = [f.name for f in features[1:]]
    with Recorder(tmp_path / "d", 10, features) as recorder:
        for values in given:
            recorder.add_frame({STATE.name: (0, 1), **dict(zip(names, values, strict=True))})
        recorder.save_episode("push")
    table = Dataset.open(tmp_path / "d").table(names)
    assert table["next.reward"].tolist() == [0.5, 0.25, 1] and table["next.reward"].dtype == np.float32
    assert table["next.success"].tolist() == [True, False, False]
    assert table["next.terminated"].tolist() == [False, True, True]
    assert table["next.truncated"].tolist() == [True, False, False]
    assert table["actor"].tolist() == [1, 2, 0] and table["actor"].dtype == np.uint8
    assert table["small"].tolist() == [-128, 127, 1]
    assert table["wide"].tolist() == [1, 0.5, 2.5]


@pytest.mark.parametrize("dtype", layout.DTYPES)
def test_a_python_number_is_stored_in_any_dtype(tmp_path, dtype):
    given = [True, False] if dtype == "bool" else [0.1, -2.5] if "float" in dtype else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    with Recorder(tmp_path / "d", 10, [Feature("x", (1,), dtype)]) as recorder:
        for value in given:
            recorder.add_frame({"x": value if dtype == "bool" or "float" in dtype else int(value)})
        recorder.save_episode("count")
    assert Dataset.open(tmp_path / "d").table(["x"])["x"].tolist() == np.array(given, dtype).tolist()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("actor", 300, r"actor is \[300\] in frame 0; that does not fit into uint8"),
        ("actor", -1, r"actor is \[-1\] in frame 0; that does not fit into uint8"),
        ("actor", np.int64(256), "does not fit into uint8"),
        ("actor", 0.0, "actor is float64; wanted uint8"),
        ("next.success", 1, "next.success is int64; wanted bool"),
        ("next.reward", 1e39, r"next.reward is \[inf\] in frame 0; every value must be finite"),
        ("next.reward", np.float32("nan"), r"next.reward is \[nan\] in frame 0"),
        ("observation.state", np.array([0, np.inf], np.float32), r"observation.state is \[0.0, inf\] in frame 0"),
        ("observation.state", np.zeros(3, np.float32), r"observation.state has shape \(1, 3\); wanted \(T, 2\)"),
        ("observation.state", 0.0, r"observation.state has shape \(1,\); wanted \(T, 2\)"),
        ("observation.state", "ab", "wanted"),
        ("next.reward", None, "wanted float32"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_the_episode_goes_on(tmp_path, name, value, told):
    good = {STATE.name: np.ones(2, np.float32), "next.reward": 1.0, "next.success": True, "actor": 1}
    with Recorder(tmp_path / "d", 10, [STATE, signals.REWARD, signals.SUCCESS, signals.ACTOR]) as recorder:
        with pytest.raises(DatasetError, match=told):
            recorder.add_frame(good | {name: value})
        recorder.add_frame(good)
        recorder.save_episode("push")
    assert Dataset.open(tmp_path / "d").table([STATE.name])[STATE.name].tolist() == [[1, 1]]


def test_a_long_episode_frame_by_frame(tmp_path):
    """With a longer one discarded before it."""
    count = 2005
    values = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    with Recorder(tmp_path / "d", 10, [STATE]) as recorder:
        for _ in range(3000):
            recorder.add_frame({STATE.name: np.zeros(2, np.float32)})
        recorder.discard_episode()
        for value in values:
            recorder.add_frame({STATE.name: value})
        recorder.save_episode("push")
    np.testing.assert_array_equal(Dataset.open(tmp_path / "d").table([STATE.name])[STATE.name], values)


def test_texts_are_stored_as_lerobot_stores_them(tmp_path):
    note = Feature("annotation", (1,), "string")
    with Recorder(tmp_path / "d", 10, [STATE, note]) as recorder:
        recorder.add_episode({STATE.name: np.zeros((2, 2)), "annotation": ["reach", "greife 手"]}, "push")
        recorder.add_frame({STATE.name: np.zeros(2), "annotation": "lift"})
        for wrong, told in ((3, "annotation is 3 in frame 0"), ("\ud800", "wanted a text that is valid Unicode")):
            with pytest.raises(DatasetError, match=told):
                recorder.add_frame({STATE.name: np.zeros(2), "annotation": wrong})
        with pytest.raises(DatasetError, match="say in words"):
            recorder.save_episode("\ud800")
        recorder.save_episode("push")
    tables_ = [pq.read_table(path) for path in sorted((tmp_path / "d").glob("data/*/*.parquet"))]
    assert [t["annotation"].to_pylist() for t in tables_] == [["reach", "greife 手"], ["lift"]]
    assert str(tables_[0].schema.field("annotation").type) == "string"
    assert "annotation" not in Dataset.open(tmp_path / "d").stats
    with Recorder(tmp_path / "d", 10, [STATE, note]) as recorder:  # its absence from the statistics is no reason to make them anew
        assert recorder.committed == 2


def test_categories_are_told_to_the_reader_and_compared(tmp_path):
    with Recorder(tmp_path / "d", 10, [STATE, signals.ACTOR]) as recorder:
        recorder.add_episode({STATE.name: np.zeros((3, 2)), "actor": np.full(3, signals.EXPERT)}, "push")
    entry = Dataset.open(tmp_path / "d").features["actor"]
    assert entry["categories"][signals.EXPERT] == "expert" and entry["dtype"] == "uint8"
    other = Feature("actor", (1,), "uint8", names=("actor",), categories=("human", "policy"))
    with pytest.raises(DatasetError, match=r"'actor' categories: now \['human', 'policy'\], on disk \['policy', 'human', 'expert'\]"):
        Recorder(tmp_path / "d", 10, [STATE, other])
    with pytest.raises(DatasetError, match="its dtype must be an integer"):
        Recorder(tmp_path / "e", 10, [Feature("who", (1,), categories=("a",))])


def test_specs_without_categories_have_the_bytes_that_they_always_had():
    spec = PolicySpec("t", "r", (STATE,), ActionSpec("joint", ("a",), ("rad",)), 10.0)
    assert spec.hash() == "d471cbc669bd019ce77552da909ed928804bd9e2247d6161e642e2a5e364ab31"
    assert PolicySpec.from_json(spec.to_json()) == spec
    some = PolicySpec("t", "r", (STATE, signals.ACTOR), ActionSpec("joint", ("a",), ("rad",)), 10.0)
    assert PolicySpec.from_json(some.to_json()) == some and some.hash() != spec.hash()


# ---- pictures


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (33, 47), (480, 640), (1, 500)])
def test_png_is_lossless_at_any_size(tmp_path, size):
    if min(size) < 2:
        with pytest.raises(DatasetError, match="sides of at least 2"):
            Recorder(tmp_path / "d", 10, [STATE], cameras={"top": size}, codec="png")
        return
    images = np.random.default_rng(0).integers(0, 256, (11, *size, 3)).astype(np.uint8)
    images[5:] //= 64  # compressible ones, too
    with Recorder(tmp_path / "d", 10, [STATE], cameras={"top": size}, codec="png") as recorder:
        recorder.add_episode({STATE.name: np.zeros((4, 2))}, "push", {"top": images[:4]})
        for image in images[4:]:
            recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image})
        recorder.save_episode("push")
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.features[TOP]["dtype"] == "image" and not list((tmp_path / "d").glob("videos/**/*"))
    np.testing.assert_array_equal(dataset.images(TOP), images)
    stats = dataset.stats[TOP]
    assert stats["max"].tolist() == (images[[0, 4, 9]].max((0, 1, 2)) / 255)[:, None, None].tolist() or size[0] > 48
    assert not litter(tmp_path / "d")


def test_png_frames_are_stored_as_lerobot_stores_them(tmp_path, monkeypatch):
    """Seen in a file of lerobot 0.4.4: a struct of bytes and file name, and what `datasets` needs to decode it."""
    monkeypatch.setattr(tables, "GROUP_BYTES", 20_000)  # several row groups
    images = np.random.default_rng(0).integers(0, 256, (9, 33, 47, 3)).astype(np.uint8)
    with Recorder(tmp_path / "d", 10, [STATE], cameras={"top": (33, 47), "side": (33, 47)}, codec="png") as recorder:
        recorder.add_episode({STATE.name: np.arange(18).reshape(9, 2)}, "push", {"top": images, "side": images[::-1]})
    file = pq.ParquetFile(tmp_path / "d/data/chunk-000/file-000.parquet")
    assert str(file.schema_arrow.field(TOP).type) == "struct<bytes: binary, path: string>"
    assert '"observation.images.top": {"_type": "Image"}' in file.schema_arrow.metadata[b"huggingface"].decode()
    assert file.num_row_groups == 5
    rows = file.read()
    assert [row["path"] for row in rows[TOP].to_pylist()] == [f"frame-{i:06d}.png" for i in range(9)]
    assert rows[STATE.name].to_pylist() == np.arange(18).reshape(9, 2).tolist()
    for key, expected in ((TOP, images), (IMAGE_PREFIX + "side", images[::-1])):
        for row, image in zip(rows[key].to_pylist(), expected, strict=True):
            np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(row["bytes"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1], image)
    np.testing.assert_array_equal(Dataset.open(tmp_path / "d").images(TOP), images)


def test_png_is_appended_to_png_alone(tmp_path):
    cameras = {"top": (32, 48)}
    for _ in range(2):
        with Recorder(tmp_path / "d", 10, FEATURES, "x", cameras, codec="png") as recorder:
            recorder.add_episode(make_arrays(5, 0), "push", {"top": make_images(5, 0)})
    assert Dataset.open(tmp_path / "d").num_episodes == 2
    with pytest.raises(DatasetError, match=r"'observation.images.top' dtype: now video, on disk image"):
        Recorder(tmp_path / "d", 10, FEATURES, "x", cameras)


@pytest.mark.parametrize(("codec", "tolerance"), [("h264", 4), ("av1", 6)])
def test_flat_colours_come_back_as_they_went_in(tmp_path, codec, tolerance):
    """The colours of a test chart: a swapped channel, a wrong matrix or a wrong range moves some of them by dozens of levels."""
    colours = [
        (0, 0, 0),
        (255, 255, 255),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (0, 255, 255),
        (255, 0, 255),
        (90, 140, 40),
    ]
    images = np.zeros((4, 64, 32 * len(colours), 3), np.uint8)
    for i, colour in enumerate(colours):
        images[:, :, 32 * i : 32 * (i + 1)] = colour
    with Recorder(tmp_path / "d", 10, [STATE], "x", {"top": images.shape[1:3]}, codec=codec) as recorder:
        recorder.add_episode({STATE.name: np.zeros((4, 2))}, "push", {"top": images})
    found = Dataset.open(tmp_path / "d").images(TOP)
    for i, colour in enumerate(colours):
        patch = found[:, 8:-8, 32 * i + 8 : 32 * i + 24].reshape(-1, 3).astype(int)
        assert np.abs(patch - colour).max() <= tolerance, colour


def test_chroma_is_averaged_and_not_picked(tmp_path):
    """Alternating red and green columns: the colour of two pixels is kept once, and must be the mean of both."""
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[:, :, 0::2, 0] = images[:, :, 1::2, 1] = 200
    with Recorder(tmp_path / "d", 10, [STATE], "x", {"top": (64, 64)}) as recorder:
        recorder.add_episode({STATE.name: np.zeros((2, 2))}, "push", {"top": images})
    mean = Dataset.open(tmp_path / "d").images(TOP)[:, 8:-8, 8:-8].mean((0, 1, 2))
    np.testing.assert_allclose(mean, [100, 100, 0], atol=14)  # one of the two picked: 200, 0 or 0, 200


def test_a_camera_has_one_name(tmp_path):
    image = make_images(1, 0)[0]
    with Recorder(tmp_path / "d", 10, [STATE], "x", {"top": (32, 48), "side": (32, 48)}) as recorder:
        with pytest.raises(DatasetError, match="no value for the camera observation.images.side"):
            recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image, TOP: image})
        with pytest.raises(DatasetError, match="given twice"):
            recorder.add_frame({STATE.name: np.zeros(2)}, {"top": image, TOP: image, "side": image})
        with pytest.raises(DatasetError, match="unknown camera 'observation.images.tip'; did you mean 'observation.images.top'"):
            recorder.add_frame({STATE.name: np.zeros(2)}, {"tip": image, "side": image})
        assert recorder.num_frames == 0


# ---- appending


def record_in(root, sessions) -> bytes:
    """Episodes 0, 1, 2, ... in as many sessions as numbers are given; returns stats.json."""
    number = 0
    for count in sessions:
        with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
            for _ in range(count):
                recorder.add_episode(make_arrays(6 + number, number), "push", {"top": make_images(6 + number, number)})
                number += 1
    return (root / layout.STATS).read_bytes()


def test_statistics_do_not_depend_on_how_often_recording_was_resumed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(writer, "stats_of_rows", lambda *_: pytest.fail("the rows of all episodes were read"))
        once, twice = record_in(tmp_path / "once", [5]), record_in(tmp_path / "twice", [2, 1, 2])
    assert once == twice


@pytest.mark.parametrize("damage", ["ahead", "behind", "missing", "torn", "strange", "incomplete"])
def test_statistics_that_do_not_fit_are_made_anew(tmp_path, damage):
    root, path = tmp_path / "d", tmp_path / "d" / layout.STATS
    expected = record_in(tmp_path / "whole", [4])
    behind = record_in(root, [2])
    record_in_more = Recorder(root, 10, FEATURES, "dummy", CAMERAS)
    record_in_more.add_episode(make_arrays(8, 2), "push", {"top": make_images(8, 2)})
    record_in_more.close()
    content = {
        "ahead": expected,  # as after a kill between the renames
        "behind": behind,
        "missing": None,
        "torn": path.read_bytes()[:100],
        "strange": b'{"index": 3}',
        "incomplete": path.read_bytes().replace(b'"action"', b'"auction"'),
    }[damage]
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with Recorder(root, 10, FEATURES, "dummy", CAMERAS) as recorder:
        recorder.add_episode(make_arrays(9, 3), "push", {"top": make_images(9, 3)})
    found = Dataset.open(root).stats
    for name, entry in Dataset.open(tmp_path / "whole").stats.items():
        for statistic, value in entry.items():
            np.testing.assert_allclose(found[name][statistic], value, rtol=1e-12, err_msg=f"{name} {statistic}")


def test_the_extremes_of_large_integers_survive_resuming(tmp_path):
    feature = Feature("big", (1,), "uint64")
    for low, high in ((5, 2**64 - 1), (3, 2**53 + 1)):
        with Recorder(tmp_path / "d", 10, [feature]) as recorder:
            recorder.add_episode({"big": np.array([low, high], np.uint64)}, "count")
    text = (tmp_path / "d" / layout.STATS).read_text()
    assert '"max": [18446744073709551615]' in text and '"min": [3]' in text
    info = layout.read_json(tmp_path / "d" / layout.INFO, "")
    assert stored_stats.stored_stats(tmp_path / "d", info) is not None


def test_the_benchmark_says_why_it_has_nothing_to_compare_with(tmp_path, monkeypatch, capsys):
    from omegaconf import OmegaConf

    from waldo.benchmarks import record as bench

    monkeypatch.setenv("WALDO_CONFORMANCE_PYTHON", str(tmp_path / "nowhere"))
    for name, value in (("FEWEST", 12), ("HEIGHT", 32), ("WIDTH", 48), ("RATE", 200.0), ("ROUNDS", 1)):
        monkeypatch.setattr(bench, name, value)
    found = bench.measure(OmegaConf.create({"seconds": 0.06, "seed": 0}))
    assert found.baseline is None and 0 < found.headline.value < 100 and found.headline.n == 12
    assert {figure.name: figure.unit for figure in found.others}["two cameras, each, one frame upon the other"] == "frames/s"
    assert f"no baseline: lerobot is not there ({tmp_path / 'nowhere'} does not exist)" in capsys.readouterr().out
