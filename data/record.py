"""Writing a dataset, one durable episode at a time: what simulation, robots and teleoperation record through.

Each episode is one data file, one video per camera and one meta/episodes file (all legal in LeRobotDataset v3.0).
They are written beside their final names, fsynced and renamed, `meta/info.json` last: it is the commit point. Killed at
any instant, the dataset opens without repair and lacks at most the episode that was being written.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from data.durable import TEMPORARY
from data.errors import DatasetError, did_you_mean
from data.lerobot import layout
from data.lerobot.mailbox import Mailbox
from data.lerobot.video import require_codec
from data.lerobot.writer import Target, Writer
from data.spec import Feature

CHUNK_BYTES = 4 << 20  # frames travel to the encoder in pieces of about this size


class Recorder:
    """Use as a context manager: leaving it waits for the encoder; leaving it by an exception keeps committed episodes.

        with Recorder("datasets/mine", fps=10, features=features, robot_type="pusht", cameras={"top": (96, 96)}) as recorder:
            recorder.add_episode(arrays, task="push the T", images={"top": frames})

    Opening an existing dataset with the same features appends to it.

    root        folder of the dataset
    fps         frames per second [Hz]
    features    one `data.spec.Feature` per column (and, if you like, per camera)
    cameras     name -> (height, width) [px], even; `top` is short for `observation.images.top`
    overwrite   delete the dataset that is there first; False appends
    codec       h264 or av1
    provenance  JSON-able facts about the origin, kept in meta/waldo.json

    Raises DatasetError if the folder holds something else, or a dataset with other features, fps or robot.
    """

    def __init__(
        self,
        root: str | Path,
        fps: float,
        features: Sequence[Feature],
        robot_type: str = "unknown",
        cameras: Mapping[str, tuple[int, int]] | None = None,
        overwrite: bool = False,
        codec: str = "h264",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if not np.isfinite(fps) or fps <= 0:
            raise DatasetError(f"fps is {fps}; it must be positive")
        require_codec(codec)
        self.root = Path(root)
        fps = int(fps) if float(fps).is_integer() else float(fps)
        entries = layout.features_of(features, cameras or {}, fps, codec)
        self._columns = {n: f for n, f in entries.items() if f["dtype"] != "video" and n not in layout.DEFAULT_FEATURES}
        self._cameras = {n: (f["shape"][0], f["shape"][1]) for n, f in entries.items() if f["dtype"] == "video"}
        if not self._columns and not self._cameras:
            raise DatasetError("a dataset needs at least one feature or camera; give features or cameras")
        self._prepare_folder(overwrite)
        self._writer = Writer(Target(self.root, fps, entries, robot_type, codec, dict(provenance or {})))
        self._frames: list[dict[str, np.ndarray]] = []
        self._next_index = self._writer.episodes
        self._mailbox = Mailbox()
        self._closed = False
        self._thread = threading.Thread(target=self._mailbox.serve, args=(self._writer,), name="recorder", daemon=True)
        self._thread.start()

    @property
    def committed(self) -> int:
        """Episodes that are safe on disk."""
        return self._writer.episodes

    @property
    def num_frames(self) -> int:
        """Frames of the episode that is being recorded with `add_frame`."""
        return len(self._frames)

    def add_episode(self, arrays: Mapping[str, np.ndarray], task: str, images: Mapping[str, np.ndarray] | None = None) -> int:
        """A whole episode; returns its index. It is encoded and committed behind your back, `flush` waits for it.

        arrays   (T, ...) per column; images   uint8 (T, H, W, 3) per camera
        Waits while the episode before is not yet committed, so that a kill loses this one at most.
        Raises DatasetError, before anything is written, for missing or unknown names, wrong shapes, NaN or infinity.
        """
        self._require_open()
        if self._frames:
            raise DatasetError(f"{len(self._frames)} frames are not saved yet; call save_episode or discard_episode first")
        columns = {name: self._checked(name, value) for name, value in self._named(arrays, self._columns, "feature").items()}
        pictures = self._named({layout.camera_key(k): v for k, v in (images or {}).items()}, self._cameras, "camera")
        for key, value in pictures.items():
            self._check_images(key, np.asarray(value), (None, *self._cameras[key], 3))
        lengths = {name: len(value) for name, value in {**columns, **pictures}.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DatasetError(f"an episode needs the same number of frames, at least one, in everything; found {lengths}")
        self._check_task(task)
        self._mailbox.wait_idle()
        try:
            for key, value in pictures.items():
                step = max(1, CHUNK_BYTES // value[0].nbytes)
                for start in range(0, len(value), step):
                    self._mailbox.frames(key, np.array(value[start : start + step]))
            return self._save(columns, task, next(iter(lengths.values())))
        except BaseException:  # Ctrl-C half-way: what the encoder has seen of it must not become part of the next episode
            self.discard_episode()
            raise

    def add_frame(self, frame: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray] | None = None) -> None:
        """One frame: a value per column, uint8 (H, W, 3) per camera. Encoding starts at once, in the background.

        Raises DatasetError, before anything is kept, for missing or unknown names, wrong shapes, NaN or infinity.
        """
        self._require_open()
        values = self._named(frame, self._columns, "feature")
        row = {name: self._checked(name, np.asarray(value)[None])[0] for name, value in values.items()}
        pictures = self._named({layout.camera_key(k): v for k, v in (images or {}).items()}, self._cameras, "camera")
        for key, value in pictures.items():
            self._check_images(key, np.asarray(value), (*self._cameras[key], 3))
        try:
            self._frames.append({name: np.array(value) for name, value in row.items()})
            for key, value in pictures.items():
                self._mailbox.frames(key, np.array(value)[None])
        except BaseException:
            self.discard_episode()
            raise

    def save_episode(self, task: str) -> int:
        """Commit the frames added since the last one; returns when they are on disk, with the index of the episode."""
        self._require_open()
        self._check_task(task)
        if not self._frames:
            raise DatasetError("there is no frame to save; call add_frame first")
        columns = {name: np.stack([frame[name] for frame in self._frames]) for name in self._columns}
        count, self._frames = len(self._frames), []
        index = self._save(columns, task, count)
        self.flush()
        return index

    def discard_episode(self) -> None:
        """Forget the frames added since the last episode."""
        self._frames = []
        self._mailbox.discard()

    def flush(self) -> None:
        """Wait until everything that was added as an episode is committed. Raises DatasetError if it cannot be."""
        self._mailbox.wait_idle()

    def close(self) -> None:
        """Commit what was added as episodes, drop unsaved frames, let go of the folder. Raises DatasetError if it failed."""
        if self._closed:
            return
        self._closed = True
        if self._frames:
            self.discard_episode()
        self._mailbox.stop()
        self._thread.join()
        self._writer.release()
        self._mailbox.raise_failure()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except DatasetError:
            if error is None:  # else the error on its way is the one to see
                raise

    def __repr__(self) -> str:
        return f"Recorder({self.root}: {self.committed} episodes committed, {self.num_frames} frames unsaved)"

    def _save(self, columns: dict[str, np.ndarray], task: str, count: int) -> int:
        self._mailbox.save(columns, task, count)
        self._next_index += 1
        return self._next_index - 1

    def _require_open(self) -> None:
        if self._closed:
            raise DatasetError(f"the recorder of {self.root} is closed; open a new one to append")
        self._mailbox.raise_failure()

    def _named(self, given: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> dict[str, Any]:
        """`given` in the order of `wanted`; raises DatasetError for missing and unknown names."""
        for name in given:
            if name not in wanted:
                raise DatasetError(f"unknown {what} {name!r}; {did_you_mean(name, wanted)}")
        missing = [name for name in wanted if name not in given]
        if missing:
            raise DatasetError(f"no value for the {what} {', '.join(missing)}; found {', '.join(given) or 'none'}")
        return {name: given[name] for name in wanted}

    def _checked(self, name: str, value: np.ndarray) -> np.ndarray:
        """value (T, ...) in the dtype and shape of its feature; scalars may come as (T,) or (T, 1)."""
        entry = self._columns[name]
        array, shape, dtype = np.asarray(value), tuple(entry["shape"]), np.dtype(entry["dtype"])
        if array.ndim == 1 and shape == (1,):
            array = array[:, None]
        if array.ndim == 0 or array.shape[1:] != shape:
            raise DatasetError(f"{name} has shape {array.shape}; wanted (T, {', '.join(map(str, shape))})")
        # Booleans may become numbers and floats change their width; a number never silently becomes a boolean or an integer.
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise DatasetError(f"{name} is {array.dtype}; wanted {dtype}")
        with np.errstate(over="ignore"):
            cast = np.array(array, dtype=dtype)
        if dtype.kind == "f" and not np.isfinite(cast).all():
            at = int(np.flatnonzero(~np.isfinite(cast).reshape(len(cast), -1).all(1))[0])
            raise DatasetError(f"{name} is {array[at].tolist()} in frame {at}; every value must be finite")
        return cast

    @staticmethod
    def _check_images(key: str, value: np.ndarray, shape: tuple[int | None, ...]) -> None:
        fits = value.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
        if value.dtype != np.uint8 or not fits:
            wanted = ", ".join("T" if n is None else str(n) for n in shape)
            raise DatasetError(f"{key} is {value.dtype}{list(value.shape)}; wanted uint8 ({wanted}), red, green, blue")

    @staticmethod
    def _check_task(task: str) -> None:
        if not isinstance(task, str) or not task.strip():
            raise DatasetError(f"the task is {task!r}; say in words what the episode shows")

    def _prepare_folder(self, overwrite: bool) -> None:
        """Only what is ours is written to or deleted."""
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise DatasetError(f"{self.root} is a file; a dataset is a folder")
        foreign = sorted(p.name for p in self.root.iterdir() if p.name not in layout.FOLDERS)
        is_dataset = (self.root / layout.INFO).exists()
        if foreign and not is_dataset:
            raise DatasetError(f"{self.root} holds other things ({', '.join(foreign[:5])}) and no dataset; choose a new folder")
        if overwrite or not is_dataset:
            # info.json first: interrupted half-way, this is no longer a dataset rather than a broken one.
            (self.root / layout.INFO).unlink(missing_ok=True)
            for name in layout.FOLDERS:
                shutil.rmtree(self.root / name, ignore_errors=True)
        for left in self.root.glob(f"**/*{TEMPORARY}"):
            left.unlink(missing_ok=True)
