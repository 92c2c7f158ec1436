"""Policies, recordings and environments that are broken on purpose, in one way each, and sound ones: what `waldo diagnose` is tried on.

    kit = Kit(folder)                      what is made once is kept in the folder
    case = kit.action_shifted()            checkpoint, words of the data and of the environment, and what was planted
    diagnosis = kit.diagnose(case)

Networks are as small as they may be, and trained for seconds: only the sound ones have to succeed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from data.config import typed
from data.record import Recorder
from data.store import Dataset
from policies.inputs import DataConfig
from real.robots import xarm7
from sim.collect import features_of
from waldo import cli
from waldo.compose import composed
from waldo.diagnose import episodes_of, open_env, study_of
from waldo.diagnosis import REPLAYED, Trial
from waldo.diagnosis.conclusion import Diagnosis, conclude
from waldo.policy import load_sampler

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays, np.random.Generator], Arrays]
Pictures = Callable[[Arrays], Arrays]
REACH = ("env=reach", "env.task.level=easy")
BOTH = "[observation.state,observation.environment_state]"
JOINTS = "[observation.state,observation.joints,observation.environment_state]"
SEEN = "[observation.state,observation.images.front,observation.images.wrist]"
SMALL = ("train.batch_size=64", "train.warmup=50", "train.threads=1", "train.device=cpu", "train.precision=fp32", "train.workers=0")
# A network that is narrower than the chunk it carries, 8 actions of 10 numbers, never learns to denoise it.
FLOW = ("policy=flow_mlp", "policy.width=192", "policy.depth=3", "policy.steps=5", "n_obs_steps=1", "n_action_steps=8", "horizon=8")
BC = ("policy=bc", "policy.width=128", "policy.depth=3", "n_obs_steps=1", "n_action_steps=8", "horizon=8")


@dataclass(frozen=True)
class Case:
    """planted   a word that the named cause has to hold; "" for a sound one. wrap   what is done to the environment"""

    name: str
    planted: str
    checkpoint: Path
    data: tuple[str, ...]
    env: tuple[str, ...]
    wrap: Callable[[Any], Any] = field(default=lambda env: env, repr=False)
    episodes: int = 20


class Kit:
    """small: fewer demonstrations, networks that have learned next to nothing, no rollouts: enough for causes that are in the data."""

    def __init__(self, folder: Path, small: bool = False) -> None:
        self.folder, self.small = Path(folder), small

    # What everything is made of

    def reach(self, count: int = 40, images: bool = False, *words: str) -> Path:
        """Demonstrations of reaching."""
        count = min(count, 12) if self.small else count
        size = ("env.image_size=40",) if images else ()
        name = f"easy{count}{'_images' * images}{''.join(words).replace('env.', '_').replace('=', '')}"
        return self._collect(name, *REACH, f"episodes={count}", f"images={str(images).lower()}", *size, *words)

    def pick_place(self, count: int = 30) -> Path:
        return self._collect(f"pick_place{count}", "env=pick_place", f"episodes={count}", "images=false")

    def _collect(self, name: str, *words: str) -> Path:
        root = self.folder / name
        if not (root / "meta" / "info.json").exists():
            styles = ("styles={clean:1}",)
            self._waldo("collect", *words, *styles, "env.num_envs=20", "env.threads=1", f"dataset={root}", f"out={root}_out")
        return root

    def train(self, name: str, data: Path, *words: str, steps: int = 200, seen: str = BOTH) -> Path:
        """The checkpoint of a policy that was trained on `data`."""
        steps = 30 if self.small else steps
        out = self.folder / name
        if not (out / "summary.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            self._waldo("train", f"data.path={data}", f"data.observations={seen}", *words, *SMALL, f"train.steps={steps}", f"out={out}")
        return out / "checkpoint"

    def rewrite(self, name: str, source: Path, change: Change, pictures: Pictures = lambda images: images, fps: float = 0.0) -> Path:
        """A copy of a recording with other arrays in its episodes, under the same provenance."""
        root = self.folder / name
        if (root / "meta" / "info.json").exists():
            return root
        from data.spec import PolicySpec

        recording = Dataset.open(source)
        spec = PolicySpec.from_json(recording.provenance["spec"])
        sizes = {key: tuple(recording.features[key]["shape"][:2]) for key in recording.camera_keys}
        rng = np.random.default_rng(0)
        with Recorder(root, fps or recording.fps, features_of(spec), spec.robot, sizes, provenance=recording.provenance) as recorder:
            for i in range(recording.num_episodes):
                episode = recording.episode(i)
                arrays = {f.name: np.array(episode[f.name]) for f in features_of(spec)}
                rows = slice(int(recording.episode_ends[i] - recording.lengths[i]), int(recording.episode_ends[i]))
                images = {key: np.array(recording.images(key)[rows]) for key in recording.camera_keys}
                arrays, images = change(arrays, rng), pictures(images)
                length = len(arrays["action"])
                recorder.add_episode(arrays, episode.task, {key: frames[:length] for key, frames in images.items()})
        return root

    def diagnose(self, case: Case) -> Diagnosis:
        cfg = composed(
            "diagnose", [f"checkpoint={case.checkpoint}", f"episodes={0 if self.small else case.episodes}", *case.data, *case.env]
        )
        policy = load_sampler(str(case.checkpoint))
        study = study_of(policy, case.checkpoint, typed(DataConfig, cfg.data, "data"))
        env = case.wrap(open_env(cfg.env, policy, REPLAYED if self.small else max(case.episodes, REPLAYED)))
        try:
            return conclude(Trial(study, env, episodes_of(env, policy, cfg.seed + np.arange(cfg.episodes))))
        finally:
            env.close()

    @staticmethod
    def _waldo(*words: str) -> None:
        assert cli.main(list(words)) == 0, words

    def _case(self, planted: str, checkpoint: Path, data: Path, env: tuple[str, ...], **more: Any) -> Case:
        words = ("data=pick_place", f"data.path={data}")
        return Case(checkpoint.parent.name, planted, checkpoint, words, (*env, "env.threads=1"), **more)

    # Sound ones

    def good_reach_flow(self) -> Case:
        data = self.reach()
        return self._case("", self.train("good_reach_flow", data, *FLOW, steps=2500), data, REACH)

    def good_reach_bc(self) -> Case:
        data = self.reach(40, False, "env.engine=pybullet")
        return self._case("", self.train("good_reach_bc", data, *BC, steps=2500), data, (*REACH, "env.engine=pybullet"))

    def good_reach_joints(self) -> Case:
        data = self.reach(40, False, "env.action=joint")
        checkpoint = self.train("good_reach_joints", data, *BC, steps=3000, seen=JOINTS)
        return self._case("", checkpoint, data, (*REACH, "env.action=joint"))

    def good_reach_images(self) -> Case:
        data = self.reach(50, True)
        seen = "[observation.state,observation.environment_state,observation.images.front,observation.images.wrist]"
        checkpoint = self.train("good_reach_images", data, *BC, "policy.image_dim=16", steps=600, seen=seen)
        return self._case("", checkpoint, data, (*REACH, "env.image_size=40"))

    # Broken ones

    def wrong_normalisation(self) -> Case:
        """The statistics of another recording: other centres, other ranges."""
        data = self.reach()
        checkpoint = self.folder / "wrong_normalisation" / "checkpoint"
        if not checkpoint.exists():
            shutil.copytree(self.good_reach_flow().checkpoint.parent, checkpoint.parent)
            stats = safetensors.numpy.load_file(checkpoint / "stats.safetensors")
            safetensors.numpy.save_file(
                {k: v * np.float32(1.4) - np.float32(0.1) for k, v in stats.items()}, checkpoint / "stats.safetensors"
            )
        return self._case("wrong normalisation", checkpoint, data, REACH)

    def swapped_cameras(self) -> Case:
        def exchange(images: Arrays) -> Arrays:
            first, second = sorted(images)
            return {first: images[second], second: images[first]}

        data = self.rewrite("swapped", self.reach(50, True), lambda arrays, rng: arrays, exchange)
        checkpoint = self.train("swapped_cameras", data, *BC, "policy.image_dim=16", steps=80, seen=SEEN)
        return self._case("swapped cameras", checkpoint, data, (*REACH, "env.image_size=40"))

    def action_shifted(self) -> Case:
        def late(arrays: Arrays, rng: np.random.Generator) -> Arrays:
            action = arrays["action"]
            return {**arrays, "action": np.concatenate([action[:1], action[:-1]])}

        data = self.rewrite("shifted", self.reach(), late)
        return self._case("action shifted", self.train("action_shifted", data, *FLOW, steps=300), data, REACH)

    def gripper_inverted(self) -> Case:
        def turn(arrays: Arrays, rng: np.random.Generator) -> Arrays:
            action = arrays["action"].copy()
            action[:, -1] = 0.08 - action[:, -1]
            return {**arrays, "action": action}

        data = self.rewrite("inverted", self.pick_place(), turn)
        return self._case("gripper inverted", self.train("gripper_inverted", data, *FLOW, steps=300), data, ("env=pick_place",))

    def frozen_camera(self) -> Case:
        """In the recording: the front camera shows its first picture for the whole episode."""

        def freeze(images: Arrays) -> Arrays:
            front = next(key for key in images if key.endswith("front"))
            return {**images, front: np.repeat(images[front][:1], len(images[front]), 0)}

        data = self.rewrite("frozen", self.reach(50, True), lambda arrays, rng: arrays, freeze)
        checkpoint = self.train("frozen_camera", data, *BC, "policy.image_dim=16", steps=80, seen=SEEN)
        return self._case("frozen camera", checkpoint, data, (*REACH, "env.image_size=40"))

    def frozen_at_work(self) -> Case:
        """In the environment."""
        data = self.reach(50, True)
        checkpoint = self.train("frozen_at_work", data, *BC, "policy.image_dim=16", steps=80, seen=SEEN)
        return self._case("frozen camera", checkpoint, data, (*REACH, "env.image_size=40"), wrap=Frozen)

    def short_horizon(self) -> Case:
        """Single actions of 50 ms."""
        data = self.pick_place()
        flow = ("policy=flow_mlp", "policy.width=128", "policy.depth=3", "policy.steps=5", "n_obs_steps=1", "n_action_steps=1", "horizon=1")
        return self._case("too short a horizon", self.train("short_horizon", data, *flow, steps=2500), data, ("env=pick_place",))

    def short_episode(self) -> Case:
        """Episodes that end before anybody could be done."""
        case = self.good_reach_flow()
        return Case("short_episode", "too short a horizon", case.checkpoint, case.data, (*case.env, "env.max_steps=15"))

    def wrong_rate(self) -> Case:
        """Every second frame under the old label."""

        def thin(arrays: Arrays, rng: np.random.Generator) -> Arrays:
            # What is seen before the first of two frames, and what is done and reached in the second one.
            odd = len(arrays["action"]) % 2
            before = {name: values[odd::2] for name, values in arrays.items()}
            after = {name: arrays[name][odd + 1 :: 2] for name in arrays if name == "action" or name.startswith("next.")}
            return before | after

        data = self.rewrite("thinned", self.reach(), thin)
        return self._case("wrong rate", self.train("wrong_rate", data, *FLOW, steps=300), data, REACH)

    def wrong_rate_said(self) -> Case:
        """An environment that says that it is of another rate."""
        case = self.good_reach_flow()
        return Case("wrong_rate_said", "wrong rate", case.checkpoint, case.data, (*case.env, "env.rate_hz=10"))

    def under_trained(self) -> Case:
        data = self.reach()
        return self._case("under-trained", self.train("under_trained", data, *FLOW, steps=100), data, REACH)

    def corrupted(self) -> Case:
        """One action in five is another one, drawn from the whole range."""

        def spoil(arrays: Arrays, rng: np.random.Generator) -> Arrays:
            action = arrays["action"].copy()
            low, high = action.min(0), action.max(0)
            bad = rng.random(len(action)) < 0.2
            action[bad] = rng.uniform(low, high, (int(bad.sum()), action.shape[1]))
            return {**arrays, "action": action.astype(np.float32)}

        data = self.rewrite("spoiled", self.reach(), spoil)
        return self._case("corrupted actions", self.train("corrupted", data, *FLOW, steps=300), data, REACH)

    def other_limits(self) -> Case:
        """Joint targets that were cut at the limits of another arm with as many joints."""

        def cut(arrays: Arrays, rng: np.random.Generator) -> Arrays:
            action = arrays["action"].copy()
            action[:, :7] = action[:, :7].clip(xarm7.SPEC.q_min, xarm7.SPEC.q_max)
            return {**arrays, "action": action.astype(np.float32)}

        data = self.rewrite("cut", self.reach(40, False, "env.action=joint"), cut)
        checkpoint = self.train("other_limits", data, *BC, steps=300, seen=JOINTS)
        return self._case("another arm's limits", checkpoint, data, (*REACH, "env.action=joint"))

    def other_arm(self) -> Case:
        """The environment has another arm."""
        case = self.good_reach_flow()
        return Case("other_arm", "another arm's limits", case.checkpoint, case.data, (*case.env, "env.robot=ur5e"))


class Frozen:
    """An environment whose front camera shows the same picture for ever."""

    def __init__(self, env: Any) -> None:
        self._env, self._first = env, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, seeds: np.ndarray) -> Arrays:
        obs = self._env.reset(seeds)
        self._first = obs["observation.images.front"].copy()
        return self._with(obs)

    def step(self, action: np.ndarray, active: np.ndarray | None = None) -> Any:
        obs, *rest = self._env.step(action, active)
        return (self._with(obs), *rest)

    def _with(self, obs: Arrays) -> Arrays:
        return {**obs, "observation.images.front": self._first.copy()}


BROKEN = (
    "wrong_normalisation",
    "swapped_cameras",
    "action_shifted",
    "gripper_inverted",
    "frozen_camera",
    "short_horizon",
    "wrong_rate",
    "under_trained",
    "corrupted",
    "other_limits",
)
VARIANTS = ("frozen_at_work", "short_episode", "wrong_rate_said", "other_arm")
GOOD = ("good_reach_flow", "good_reach_bc", "good_reach_joints", "good_reach_images")
