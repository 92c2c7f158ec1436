"""robomimic's HDF5 (Mandlekar et al. 2021), as its SequenceDataset and robosuite's tools read it. Every value is kept.

data            attributes total, env_args (JSON: env_name, type, env_kwargs), and ours, "waldo"
data/demo_0     attributes num_samples, ep_meta (JSON: lang), and those of the robomimic file that it came from
    actions, rewards, states
    dones                                next.terminated, else next.done, else the last frame
    obs/state, obs/top_image, ...        of observation.state, observation.images.top; of a robomimic file, its own names
    next_obs/...                         what was observed after the action
    every other column, under LeRobot's name
mask/<name>     names of demos
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.episode import Episode
from data.errors import DatasetError
from data.hdf5.new import keep, new_hdf5, pictures
from data.outgoing import Beside, columns, description, episodes, last_of, observations, outcome, require_action
from data.spec import IMAGE_PREFIX
from data.store import Dataset

if TYPE_CHECKING:
    import h5py

FORMAT = "robomimic HDF5"
SUFFIX = ".hdf5"
MARK = ""
RESUMES = False

GYM = 2  # robomimic's number for environments that are not robosuite's
ENDS = ("next.terminated", "next.done")


def write(dataset: Dataset, target: Path, progress: bool = True, *, valid: float = 0.0, next_obs: bool = True) -> list[str]:
    """As `data.export` says.

    valid      share of the episodes, drawn at random, that go under mask/valid; 0 keeps the masks of a robomimic file
    next_obs   write next_obs, which imitation does not need and which doubles the file
    """
    require_action(dataset, FORMAT)
    masks = _masks(dataset, valid)
    writer = _Demos(dataset, next_obs)
    with new_hdf5(target) as (file, sink):
        data = file.create_group("data")
        for i, episode in enumerate(episodes(dataset, f"export {target.name}", progress)):
            writer.write(data.create_group(f"demo_{i}"), i, episode)
            sink.check()
        data.attrs["total"] = dataset.num_frames
        data.attrs["env_args"] = json.dumps(_env_args(dataset))
        data.attrs["waldo"] = json.dumps(description(dataset, arrays=writer.arrays, final=writer.final))
        for name, demos in masks.items():
            file.create_dataset(f"mask/{name}", data=np.array([f"demo_{i}" for i in demos], dtype="S"))
    return writer.lost()


class _Demos:
    """Writes episodes and remembers what had to be made up.

    arrays   feature -> its array below the demo; final   features whose last next_obs is what was observed, not a repetition
    """

    def __init__(self, dataset: Dataset, next_obs: bool) -> None:
        self._dataset, self._next_obs = dataset, next_obs
        self._beside = Beside("final", "extras")
        self._joined = False
        self.arrays = _arrays(dataset)
        self.final = [name for name in self.arrays if name.startswith("observation.")] if next_obs else []

    def write(self, demo: h5py.Group, i: int, episode: Episode) -> None:
        self._beside.add(episode)
        self.final = [name for name in self.final if name in episode.final]
        came = outcome(episode)
        given: Any = episode.extras.get("attributes", {})
        demo.attrs["num_samples"] = len(episode)
        demo.attrs["ep_meta"] = json.dumps({**_json(given.get("ep_meta")), "lang": episode.task})
        keep(demo, given)
        demo.create_dataset("states", data=self._states(episode))
        for name, inside in self.arrays.items():
            if not name.startswith("observation."):
                demo.create_dataset(inside, data=episode[name].astype(np.int64) if inside == "dones" else episode[name])
        if "rewards" not in demo:
            demo.create_dataset("rewards", data=came.rewards)
        if "dones" not in demo:
            demo.create_dataset("dones", data=(came.terminated | came.truncated).astype(np.int64))
        for name, inside in self.arrays.items():
            if name.startswith("observation."):
                self._observation(demo, i, episode, name, inside)
        keep(demo, {name: value for name, value in episode.extras.items() if name not in ("states", "attributes")})

    def _observation(self, demo: h5py.Group, i: int, episode: Episode, name: str, inside: str) -> None:
        camera = name in self._dataset.camera_keys
        values = self._dataset.frames(name, i) if camera else episode[name]
        packed = pictures(values) if camera else {}
        demo.create_dataset(inside, data=values, **packed)
        if self._next_obs:
            after = demo.create_dataset(f"next_{inside}", values.shape, values.dtype, **packed)
            after[:-1] = values[1:]  # no copy of what may be gigabytes of pictures
            after[-1] = last_of(episode, name, values)

    def _states(self, episode: Episode) -> np.ndarray:
        """(T, S): the simulator's, else all observed vectors side by side."""
        stored = np.asarray(episode.extras.get("states", ()))
        if len(stored) == len(episode):
            return stored
        self._joined = True
        vectors = [episode[name].reshape(len(episode), -1) for name in observations(self._dataset)]
        return np.concatenate(vectors, 1) if vectors else np.zeros((len(episode), 0), np.float32)

    def lost(self) -> list[str]:
        """In sentences."""
        said = ["The frame rate, units and element names: they are only in the attribute 'waldo' of its group 'data'."]
        actions = self._dataset.table(["action"])["action"]
        if np.abs(actions).max() > 1:
            said.append(
                f"robomimic expects actions within -1 and 1; these go from {actions.min():.4g} to {actions.max():.4g}, as recorded."
            )
        if "next.reward" not in self.arrays:
            said.append("The recording has no next.reward: rewards are 0.")
        if not set(ENDS) & set(self.arrays):
            said.append("The recording does not say which frames are terminal: dones marks the last frame of each episode.")
        repeated = [name for name in self.arrays if name.startswith("observation.") and name not in self.final]
        if repeated and self._next_obs:
            said.append(
                f"After the last action of some episodes nothing is known of {', '.join(repeated)}: next_obs repeats the last observation."
            )
        if self._joined:
            said.append("There are no simulator states: `states` is the observed vectors, side by side.")
        return said + self._beside.lost(self._dataset)


def _arrays(dataset: Dataset) -> dict[str, str]:
    """Feature -> its array below a demo, no two alike."""
    fixed = {"action": "actions", "next.reward": "rewards"}
    ends = [name for name in ENDS if name in dataset.column_keys]
    fixed |= {ends[0]: "dones"} if ends else {}
    arrays: dict[str, str] = {}
    for name in (*columns(dataset), *dataset.camera_keys):
        inside = fixed.get(name, name)
        if name.startswith("observation."):
            inside = f"obs/{name.removeprefix('observation.')}"
        if name.startswith(IMAGE_PREFIX):
            inside = f"obs/{name.removeprefix(IMAGE_PREFIX)}"
            inside += "" if inside.endswith("_image") or dataset.format == FORMAT else "_image"
        arrays[name] = f"obs/{name}" if inside in arrays.values() else inside
    return arrays


def _env_args(dataset: Dataset) -> dict[str, Any]:
    """That of the robomimic file that the recording came from, else one that says what is known."""
    known = dataset.provenance.get("env_args")
    if isinstance(known, dict) and known:
        return known
    name = (dataset.tasks or (dataset.robot_type,))[0]
    return {"env_name": name, "type": GYM, "env_kwargs": {"control_freq": dataset.fps}}


def _masks(dataset: Dataset, valid: float) -> dict[str, list[int]]:
    """Name -> numbers of demos. A share for validation is drawn with a fixed seed: the same episodes each time."""
    if not 0 <= valid < 1:
        raise DatasetError(f"valid={valid} is the share of episodes for validation; allowed: 0 up to, not including, 1")
    count = dataset.num_episodes
    if valid:
        aside = max(1, round(valid * count))
        if aside >= count:
            raise DatasetError(f"valid={valid} of {count} episodes leaves none for training; choose a smaller share")
        order = np.random.default_rng(0).permutation(count).tolist()
        return {"train": sorted(order[aside:]), "valid": sorted(order[:aside])}
    known: Any = dataset.provenance.get("masks") if dataset.format == FORMAT else None
    position = {number: i for i, number in enumerate(dataset.numbers.tolist())}
    return {name: [position[n] for n in numbers if n in position] for name, numbers in (known or {}).items()}


def _json(text: object) -> dict[str, Any]:
    try:
        content = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
