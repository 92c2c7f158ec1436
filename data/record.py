"""Writing a dataset, one durable episode at a time: what simulation, robots and teleoperation record through.

Each episode is one data file, one video per camera and one meta/episodes file (all legal in LeRobotDataset v3.0).
They are written beside their final names, fsynced and renamed, `meta/info.json` last: it is the commit point. Killed at
any instant, the dataset opens without repair and lacks at most the episode that was being written.

A control loop gives each frame to `add_frame` and goes on: the frame is copied, the rest happens on threads that give way
to the caller. Where they cannot keep up, `add_frame` waits; nothing is ever dropped.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.lerobot import layout
from data.lerobot.camera import Camera, Finish
from data.lerobot.columns import Columns, is_text, named
from data.lerobot.mailbox import Mailbox, Save
from data.lerobot.video import require_codec
from data.lerobot.writer import Target, Writer
from data.spec import IMAGE_PREFIX, Feature

UINT8 = np.dtype(np.uint8)


class Recorder:
    """Use as a context manager: leaving it waits for the encoder; leaving it by an exception keeps committed episodes.

        with Recorder("datasets/mine", fps=10, features=features, robot_type="pusht", cameras={"top": (96, 96)}) as recorder:
            recorder.add_episode(arrays, task="push the T", images={"top": frames})

    Opening an existing dataset with the same features appends to it.

    root        folder of the dataset
    fps         frames per second [Hz]
    features    one `data.spec.Feature` per column (and, if you like, per camera); `data.signals` has the common ones
    cameras     name -> (height, width) [px], even for video; `top` is short for `observation.images.top`
    overwrite   delete the dataset that is there first; False appends
    codec       h264 or av1 (smaller files, four times the work), or png: lossless, in the data file, any size
    provenance  JSON-able facts about the origin, kept in meta/waldo.json
    wait        wait for another recorder that is writing to the same folder; False raises DatasetError

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
        wait: bool = False,
    ) -> None:
        if not np.isfinite(fps) or fps <= 0:
            raise DatasetError(f"fps is {fps}; it must be positive")
        require_codec(codec)
        self.root = Path(root)
        self._fps = int(fps) if float(fps).is_integer() else float(fps)
        entries = layout.features_of(features, cameras or {}, self._fps, codec)
        own = {name: entry for name, entry in entries.items() if name not in layout.DEFAULT_FEATURES}
        if not own:
            raise DatasetError("a dataset needs at least one feature or camera; give features or cameras")
        self._columns = Columns({name: entry for name, entry in own.items() if entry["dtype"] not in ("video", "image")})
        self._mailbox = Mailbox()
        target = Target(self.root, self._fps, entries, robot_type, codec, dict(provenance or {}), overwrite, wait)
        self._writer = Writer(target, self._mailbox)
        self._cameras = self._writer.cameras
        self._by_name = {name: camera for key, camera in self._cameras.items() for name in (key, key.removeprefix(IMAGE_PREFIX))}
        self._count = 0
        self._next_index = self._writer.episodes
        self._waited_s = 0.0
        self._announced = False
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
        return self._count

    @property
    def backlog(self) -> int:
        """Frames, of all cameras, that are not encoded yet: it stays small as long as the machine keeps up."""
        return sum(camera.backlog for camera in self._cameras.values())

    @property
    def waited_s(self) -> float:
        """Seconds that the caller has spent waiting for the encoder, because too many frames were waiting already."""
        return self._waited_s

    def add_episode(self, arrays: Mapping[str, Any], task: str, images: Mapping[str, np.ndarray] | None = None) -> int:
        """A whole episode; returns its index. It is encoded and committed behind your back, `flush` waits for it.

        arrays   (T, ...) per column; images   uint8 (T, H, W, 3) per camera
        Waits while the episode before is not yet committed, so that a kill loses this one at most.
        Raises DatasetError, before anything is written, for missing or unknown names, wrong shapes, NaN or infinity.
        """
        self._require_open()
        if self._count:
            raise DatasetError(f"{self._count} frames are not saved yet; call save_episode or discard_episode first")
        columns = self._columns.check(arrays)
        pictures = self._pictures(images or {}, ("T",))
        lengths = {name: len(value) for name, value in columns.items()} | {camera.key: len(value) for camera, value in pictures.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DatasetError(f"an episode needs the same number of frames, at least one, in everything; found {lengths}")
        _check_task(task)
        count = next(iter(lengths.values()))
        self._mailbox.wait_idle()
        try:
            for t in range(count):
                for camera, frames in pictures.items():
                    if camera.is_full:
                        self._waited_s += camera.wait_room()
                    camera.put(camera.kept(frames[t]))
            return self._save(columns, task, count)
        except BaseException:  # Ctrl-C half-way: what the encoder has seen of it must not become part of the next episode
            self.discard_episode()
            raise

    def add_frame(self, frame: Mapping[str, Any], images: Mapping[str, np.ndarray] | None = None) -> None:
        """One frame: a value per column, uint8 (H, W, 3) per camera. They are copied; encoding happens in the background.

        An image that was made read-only (`image.flags.writeable = False`) is not copied: most of the time of a large one.
        Waits if the encoder is far behind, and says so once per episode in a RuntimeWarning (`backlog`, `waited_s`).
        Raises DatasetError, before anything is kept, for missing or unknown names, wrong shapes, NaN or infinity.
        """
        if self._closed or self._mailbox.failure is not None:
            self._require_open()
        self._columns.put(self._count, frame)
        kept: list[tuple[Camera, np.ndarray]] = []
        for camera, image in self._pictures(images or {}, ()).items():
            if camera.is_full:
                self._announce(camera)
                self._waited_s += camera.wait_room()
            kept.append((camera, camera.kept(image)))
        try:
            for camera, image in kept:
                camera.put(image)
            self._count += 1
        except BaseException:  # Ctrl-C within these microseconds: one camera has a frame that another has not
            self.discard_episode()
            raise

    def save_episode(self, task: str, wait: bool = True) -> int:
        """Commit the frames added since the last one; returns the index of the episode.

        wait   return when it is on disk; False returns at once, for a control loop that goes on: `committed` tells when it is safe,
               and what goes wrong is raised by the next call. At most one episode is on its way; another one waits for it
        """
        self._require_open()
        _check_task(task)
        if not self._count:
            raise DatasetError("there is no frame to save; call add_frame first")
        self._mailbox.wait_idle()
        count, self._count = self._count, 0
        try:
            index = self._save(self._columns.take(count), task, count)
        except BaseException:
            self.discard_episode()
            raise
        if wait:
            self.flush()
        return index

    def discard_episode(self) -> None:
        """Forget the frames added since the last episode."""
        self._count = 0
        self._announced = False
        for camera in self._cameras.values():
            camera.discard()

    def flush(self) -> None:
        """Wait until everything that was added as an episode is committed. Raises DatasetError if it cannot be."""
        self._mailbox.wait_idle()

    def close(self) -> None:
        """Commit what was added as episodes, drop unsaved frames, let go of the folder. Raises DatasetError if it failed."""
        if self._closed:
            return
        self._closed = True
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
        taken: dict[str, Finish] = {}
        try:
            for key, camera in self._cameras.items():
                taken[key] = camera.finish()
            self._mailbox.save(Save(columns, task, count, taken))
        except BaseException:
            for end in taken.values():
                end.settle()
            raise
        self._announced = False
        self._next_index += 1
        return self._next_index - 1

    def _pictures(self, images: Mapping[str, np.ndarray], before: tuple[str, ...]) -> dict[Camera, np.ndarray]:
        """What was given for each camera, under its long or its short name: uint8 (*before, H, W, 3). Raises DatasetError."""
        found = {}
        for name, value in images.items():
            camera = self._by_name.get(name)
            if camera is None:
                break
            image = value if type(value) is np.ndarray else np.asarray(value)
            if image.dtype != UINT8 or image.shape[len(before) :] != camera.shape or image.ndim != len(before) + 3:
                wanted = ", ".join(map(str, (*before, *camera.shape)))
                raise DatasetError(f"{camera.key} is {image.dtype}{list(image.shape)}; wanted uint8 ({wanted}), red, green, blue")
            found[camera] = image
        if not len(found) == len(images) == len(self._cameras):
            named({layout.camera_key(name): image for name, image in images.items()}, self._cameras, "camera")
            raise DatasetError(f"a camera is given twice: {', '.join(images)}")
        return found

    def _announce(self, camera: Camera) -> None:
        if self._announced:
            return
        self._announced = True
        warnings.warn(
            f"recording to {self.root} has fallen behind: {camera.backlog} frames of {camera.key} ({camera.backlog / self._fps:.1f} s) wait "
            "for the encoder, so add_frame waits from now on. Nothing is lost, but the loop is slower than it should be: record fewer "
            "or smaller images or at a lower rate, take codec h264, or leave the encoder more of the processor",
            RuntimeWarning,
            stacklevel=3,
        )

    def _require_open(self) -> None:
        if self._closed:
            raise DatasetError(f"the recorder of {self.root} is closed; open a new one to append")
        self._mailbox.raise_failure()


def _check_task(task: str) -> None:
    if not is_text(task) or not task.strip():
        raise DatasetError(f"the task is {task!r}; say in words what the episode shows")
