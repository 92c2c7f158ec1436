"""Who can be evaluated without having learned: chance, and the scripted experts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import ConfigError, did_you_mean
from data.noise import uniform
from data.spec import PolicySpec
from sim.base import Obs, VecEnv
from sim.demonstrate import crew_of, demonstrate
from sim.experts import STYLES
from sim.rollout import FILM_EVERY, EpisodeResult


@dataclass
class RandomConfig:
    pass


class RandomPolicy:
    """Uniform actions within the environment's bounds: the floor that everything has to beat."""

    Config = RandomConfig

    def __init__(self, config: RandomConfig, env: VecEnv) -> None:
        seen = tuple(f for f in env.spec.observations if not f.is_image)
        self.spec: PolicySpec = dataclasses.replace(env.spec, observations=seen or env.spec.observations)
        self._low, self._high = env.action_low, env.action_high

    def sample(self, obs: Obs, num_samples: int, seeds: np.ndarray, guide: object = None) -> np.ndarray:
        """(B, K, 1, A) float32, a function of the seeds (B,) alone."""
        draws = uniform(seeds, (num_samples, 1, len(self._low)))
        return (self._low + draws * (self._high - self._low)).astype(np.float32)


@dataclass
class ExpertsConfig:
    style: str = "clean"  # one of sim.experts.STYLES


class Experts:
    """The scripted demonstrators of an environment, in one style."""

    Config = ExpertsConfig

    def __init__(self, config: ExpertsConfig, env: VecEnv) -> None:
        """Raises ConfigError for a style that does not exist, or an environment without an expert."""
        if config.style not in STYLES:
            raise ConfigError(f"policy.style={config.style!r}: {did_you_mean(config.style, STYLES)}")
        crew_of(env)
        self.style = config.style

    def episodes(
        self,
        env: VecEnv,
        seeds: Sequence[int] | np.ndarray,
        film: Iterable[int] = (),
        camera: str = "",
        film_size: tuple[int, int] | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Iterator[EpisodeResult]:
        """As sim.rollout.rollout does for a policy."""
        frames: dict[int, list[np.ndarray]] = {int(seed): [] for seed in film}
        count: dict[int, int] = {}

        def watch(running: np.ndarray, rows: np.ndarray) -> None:
            if on_step is not None:
                on_step(len(rows))
            for seed, row in zip(running, rows):
                step = count[int(seed)] = count.get(int(seed), -1) + 1
                if int(seed) in frames and step % FILM_EVERY == 0:
                    frames[int(seed)].append(env.render(camera, np.array([row]), film_size)[0])

        began = time.perf_counter()
        for done in demonstrate(env, seeds, [self.style] * len(seeds), watch):
            reward, now = done.columns["next.reward"], time.perf_counter()
            seen = {name: values for name, values in done.columns.items() if name.startswith("observation.")}
            yield EpisodeResult(
                seed=done.seed,
                success=done.success and not done.error,
                total_reward=float(reward.sum()),
                max_reward=float(reward.max()),
                length=len(reward),
                wall_s=now - began,
                error=done.error,
                frames=tuple(frames.get(done.seed, ())),
                trace={**seen, "action": done.columns["action"], "reward": reward},
            )
            began = now
