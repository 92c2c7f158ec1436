"""The artefact on the robot's side: numpy and onnxruntime, no torch, no training config.

`Artifact.sample` has the signature of every policy, so an artefact can be evaluated, compared and driven like one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import CheckpointError, SpecError
from data.noise import normal
from data.spec import PolicySpec
from policies.normalize import Normalizer
from policies.schedule import Schedule

FORMAT = 1
MANIFEST = "artifact.json"
RULES = ("none", "best_of_n")
REQUIRED = ("encoder.onnx", "denoise.onnx", "spec.json", "stats.npz")


class Artifact:
    """A loaded artefact. spec, normalizer, limits and provenance are as exported."""

    def __init__(self, folder: Path, manifest: dict[str, Any], spec: PolicySpec, normalizer: Normalizer, threads: int) -> None:
        import onnxruntime

        self.folder, self.spec, self.normalizer = folder, spec, normalizer
        self.limits: dict[str, Any] = manifest["limits"]
        self.provenance: dict[str, Any] = manifest["provenance"]
        self._schedule, self._steer = Schedule.from_dict(manifest["schedule"]), manifest["steer"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning threads would starve the control loop

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])

        self._encoder, self._denoise = session("encoder.onnx"), session("denoise.onnx")
        self._critic = session("critic.onnx") if self._steer["rule"] != "none" else None
        self._obs_inputs = [f"obs_{i}" for i in range(len(spec.observations))]
        self._action_dim = normalizer.dim("action")

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> Artifact:
        """Check every file against its sha256, then load.

        Raises CheckpointError if the folder is no artefact, a file is missing or altered, or the format is newer than this code.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise CheckpointError(f"there is no artefact at {folder}: {MANIFEST} is missing; `waldo export` writes one")
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            hashes, rule = dict(manifest["sha256"]), manifest["steer"]["rule"]
            if len(Schedule.from_dict(manifest["schedule"])) < 1 or (rule == "best_of_n" and manifest["steer"]["num_samples"] < 1):
                raise ValueError("the schedule and num_samples must have at least one entry")
            for key in ("limits", "provenance"):
                dict(manifest[key])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder / MANIFEST} is damaged: {error}") from error
        if manifest.get("format") != FORMAT or rule not in RULES:
            raise CheckpointError(
                f"{folder} has format {manifest.get('format')} and steering {rule!r}; this version reads format {FORMAT} and "
                f"steering {', '.join(RULES)}"
            )
        for name in (*REQUIRED, *(("critic.onnx",) if rule != "none" else ())):
            if name not in hashes:
                raise CheckpointError(f"{folder / MANIFEST} lists no sha256 of {name}")
        for name, expected in hashes.items():
            path = folder / name
            if not path.is_file():
                raise CheckpointError(f"the artefact {folder} lacks {name}")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise CheckpointError(f"{path} is not the file that was exported: its sha256 differs")
        spec = PolicySpec.from_json((folder / "spec.json").read_text())
        with np.load(folder / "stats.npz", allow_pickle=False) as stats:
            normalizer = Normalizer.from_state(spec, dict(stats))
        return cls(folder, manifest, spec, normalizer, threads)

    def sample(self, obs: Any, num_samples: int, seeds: np.ndarray, guide: Any = None) -> np.ndarray:
        """obs name -> (B, n_obs_steps, ...) in SI units; seeds (B,) -> (B, K, horizon, A) in SI units.

        Raises SpecError for an observation that is missing, misshapen or not finite.
        """
        if guide is not None:
            raise SpecError("an artefact is steered as it was exported; it takes no guide")
        inputs = {name: self._input(obs, f) for name, f in zip(self._obs_inputs, self.spec.observations, strict=True)}
        if self._critic is None:
            return self._propose(inputs, num_samples, seeds)
        n = num_samples * self._steer["num_samples"]
        proposals = self._propose(inputs, n, seeds)  # (B, n, T, A)
        executed = self.normalizer.encode("action", proposals[:, :, : self.spec.n_action_steps])
        repeated = {name: value.repeat(n, 0) for name, value in inputs.items()}
        q = self._critic.run(None, {"chunks": executed.reshape(-1, *executed.shape[2:]), **repeated})[0]
        q = q.reshape(-1, len(seeds), n)
        score = q.mean(0) - self._steer["pessimism"] * q.std(0)
        best = np.argsort(-score, axis=1, kind="stable")[:, :num_samples]
        return np.take_along_axis(proposals, best[:, :, None, None], 1)

    def _propose(self, inputs: dict[str, np.ndarray], num_samples: int, seeds: np.ndarray) -> np.ndarray:
        """The loop of policies.denoising, in numpy."""
        cond = self._encoder.run(None, inputs)[0].repeat(num_samples, 0)
        shape = (num_samples, self.spec.horizon, self._action_dim)
        s = self._schedule
        x = np.float32(s.noise) * normal(seeds, shape).reshape(-1, *shape[1:])
        for t, keep, gain in zip(s.times, s.keep, s.gain, strict=True):
            out = self._denoise.run(None, {"x": x, "t": np.full(len(x), t, np.float32), "cond": cond})[0]
            x = np.float32(keep) * x + np.float32(gain) * out
        return self.normalizer.decode_action(x).reshape(len(seeds), *shape[:2], -1)

    def _input(self, obs: Any, feature: Any) -> np.ndarray:
        if feature.name not in obs:
            raise SpecError(f"observation {feature.name!r} is missing; found: {', '.join(sorted(obs))}")
        values = np.asarray(obs[feature.name])
        if values.shape[1:] != (self.spec.n_obs_steps, *feature.shape):
            raise SpecError(f"observation {feature.name!r} has shape {values.shape}, wanted (B, {self.spec.n_obs_steps}, {feature.shape})")
        if not feature.is_image and not np.isfinite(values).all():
            raise SpecError(f"observation {feature.name!r} holds a value that is not finite")
        return self.normalizer.encode(feature.name, values)
