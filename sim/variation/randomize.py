"""Domain randomisation: what one episode gets of other colours, lights, cameras, masses, friction, servos, delays and noise.

A `Variation` is drawn from the episode's seed alone, from streams of its own: the task's draws stay what they are, and one
group more or fewer does not change the others. It says everything in numbers, goes into a log as JSON and can be applied again.

    env.randomize.level=medium                               every group, half of each range
    env.randomize.level=0.3 env.randomize.groups=[colors,lights]
    env.randomize.curriculum=[0,1,200]                       the level rises from 0 to 1 over 200 episodes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data.config import typed
from data.errors import ConfigError, did_you_mean
from sim.variation.appearance import LOOKS, Appearance
from sim.world import World

if TYPE_CHECKING:
    from sim.physics import Worlds
    from sim.rendering.renderer import Look

LEVELS = {"none": 0.0, "light": 0.25, "medium": 0.5, "strong": 1.0}
# Their order is the number of their stream: append only.
GROUPS = ("textures", "colors", "lights", "camera", "mass", "friction", "damping", "gains", "delay", "noise")
_STREAM = 0x77616C646F  # second half of the key of every stream; the group's number is added
Numbers = tuple[float, ...]


@dataclass
class RandomizeConfig:
    """Ranges at level 1; a level between scales them. Relative ones are factors between 1 / (1 + range) and 1 + range."""

    level: str = "medium"  # none, light, medium, strong, or a number from 0 to 1
    groups: list[str] = field(default_factory=lambda: list(GROUPS))  # what varies
    curriculum: list[float] = field(default_factory=list)  # [from, to, episodes] instead of a level: it goes evenly from one to the other
    first_seed: int = 0  # the curriculum's first episode; seeds count its episodes
    texture: float = 1.0  # share of surfaces that get a pattern
    color: float = 0.35  # shift of red, green and blue, of 1
    light_position: float = 0.6  # of every lamp [m]
    light_strength: float = 0.6  # relative, of lamps and of the light from the camera
    light_color: float = 0.2  # relative, of red, green and blue
    camera_position: float = 0.03  # of the policy's cameras [m]
    camera_angle: float = 0.06  # [rad]
    camera_fovy: float = 0.08  # relative
    mass: float = 0.4  # relative, of every body; its inertia goes along
    friction: float = 0.5  # relative, of every geom
    damping: float = 0.5  # relative, of every joint; its friction loss goes along
    gains: float = 0.15  # relative, stiffness and damping of every servo
    delay: float = 0.06  # longest time from an action to the servos, whole physics steps [s]
    noise: dict[str, float] = field(default_factory=lambda: {"m": 0.003, "rad": 0.006, "m/s": 0.02, "rad/s": 0.05})  # by unit: standard
    # deviation of a constant error of the episode, and of what is added anew every step; orientations are turned by the one of rad


@dataclass(frozen=True)
class Variation:
    """What one episode got."""

    seed: int
    level: float
    delay: int = 0  # physics steps from an action to the servos
    noise: Mapping[str, float] = field(default_factory=dict)  # unit -> standard deviation
    factors: Mapping[str, Numbers] = field(default_factory=dict)  # body_mass, geom_friction, dof_damping, stiffness, servo_damping
    looks: Mapping[str, Numbers] = field(default_factory=dict)  # see sim.variation.appearance

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Variation:
        """Raises ConfigError for anything else than what `to_json` gave."""
        known = {f.name for f in dataclasses.fields(Variation)}
        if set(found) != known:
            raise ConfigError(f"a variation has {', '.join(sorted(known))}; found {', '.join(sorted(found)) or 'nothing'}")
        lists = {name: {k: tuple(v) for k, v in found[name].items()} for name in ("factors", "looks")}
        return Variation(int(found["seed"]), float(found["level"]), int(found["delay"]), dict(found["noise"]), **lists)


def settings(options: Mapping[str, Any]) -> RandomizeConfig | None:
    """The checked options of `env.randomize`; None if they say that nothing varies. Raises ConfigError."""
    if not options:
        return None
    config: RandomizeConfig = typed(RandomizeConfig, options, "env.randomize")
    for group in config.groups:
        if group not in GROUPS:
            raise ConfigError(f"env.randomize.groups: {group!r}; {did_you_mean(group, GROUPS)}")
    for name, value in dataclasses.asdict(config).items():
        numbers = value.values() if name == "noise" else [value] if isinstance(value, float) else []
        if any(not 0 <= number < np.inf for number in numbers):
            raise ConfigError(f"env.randomize.{name}={value}: a range is a number that is not negative")
    if config.curriculum:
        if len(config.curriculum) != 3 or not all(0 <= share <= 1 for share in config.curriculum[:2]) or config.curriculum[2] < 1:
            raise ConfigError(f"env.randomize.curriculum={config.curriculum}: [from, to, episodes], levels from 0 to 1, at least 1 episode")
        return config
    return config if level_of(config, 0) > 0 and config.groups else None


def level_of(config: RandomizeConfig, seed: int) -> float:
    """Raises ConfigError for a level that is none."""
    if config.curriculum:
        start, end, episodes = config.curriculum
        return float(start + (end - start) * np.clip((seed - config.first_seed) / episodes, 0, 1))
    if config.level in LEVELS:
        return LEVELS[config.level]
    try:
        level = float(config.level)
    except ValueError:
        raise ConfigError(f"env.randomize.level={config.level!r}; {did_you_mean(config.level, LEVELS)}, or a number from 0 to 1") from None
    if not 0 <= level <= 1:
        raise ConfigError(f"env.randomize.level={config.level}: {', '.join(LEVELS)}, or a number from 0 to 1")
    return level


class Randomizer:
    """Draws variations of one world and applies them. cameras: those of the policy."""

    def __init__(self, config: RandomizeConfig, world: World, cameras: Sequence[str]) -> None:
        self.config, self._model = config, world.model
        self._groups = [group for group in GROUPS if group in config.groups]  # in one order, whatever the config's
        self._appearance = Appearance(config, world, cameras) if any(g in LOOKS for g in self._groups) else None
        self.max_delay = round(config.delay / self._model.opt.timestep) if "delay" in self._groups else 0

    def draw(self, seed: int) -> Variation:
        c, m = self.config, self._model
        level = level_of(c, seed)
        stream = {g: np.random.Generator(np.random.Philox(key=[seed, _STREAM + GROUPS.index(g)])) for g in self._groups}
        sizes = {
            "mass": {"body_mass": m.nbody},
            "friction": {"geom_friction": m.ngeom},
            "damping": {"dof_damping": m.nv},
            "gains": {"stiffness": m.nu, "servo_damping": m.nu},
        }
        factors = {
            name: _numbers(np.exp(level * np.log1p(getattr(c, group)) * stream[group].uniform(-1, 1, size)))
            for group, fields in sizes.items()
            if group in stream
            for name, size in fields.items()
        }
        delay = int(stream["delay"].integers(0, round(level * self.max_delay), endpoint=True)) if "delay" in stream else 0
        noise = {unit: level * std for unit, std in c.noise.items()} if "noise" in stream else {}
        looks = self._appearance.draw(level, stream) if self._appearance else {}
        return Variation(seed, level, delay, noise, factors, {name: _numbers(values) for name, values in looks.items()})

    def look(self, variation: Variation) -> Look | None:
        return self._appearance.look(variation.looks) if self._appearance else None

    def apply(self, physics: Worlds, variations: Sequence[Variation], rows: np.ndarray) -> None:
        """Give the rows (one variation each) their own masses, friction, damping and servos."""
        m = self._model
        shared = {name: np.array([v.factors[name] for v in variations]) for name in variations[0].factors}
        fields: dict[str, np.ndarray] = {}
        if "body_mass" in shared:
            fields["body_mass"] = m.body_mass * shared["body_mass"]
            fields["body_inertia"] = m.body_inertia * shared["body_mass"][..., None]
        if "geom_friction" in shared:
            fields["geom_friction"] = m.geom_friction * shared["geom_friction"][..., None]
        if "dof_damping" in shared:
            fields["dof_damping"] = m.dof_damping * shared["dof_damping"]
            fields["dof_frictionloss"] = m.dof_frictionloss * shared["dof_damping"]
        if "stiffness" in shared:
            gain, bias = np.stack([m.actuator_gainprm] * len(rows)), np.stack([m.actuator_biasprm] * len(rows))
            gain[..., 0] *= shared["stiffness"]
            bias[..., 1] *= shared["stiffness"]
            bias[..., 2] *= shared["servo_damping"]
            fields["actuator_gainprm"], fields["actuator_biasprm"] = gain, bias
        for name, values in fields.items():
            physics.set_field(name, values, rows)


def furnished(options: RandomizeConfig | None, edit: Callable[[Any], None]) -> Callable[[Any], None]:
    """The task's `edit` of the world, and where textures vary their bank and something behind the scene to wear them."""
    if options is None or "textures" not in options.groups:
        return edit

    def both(world: Any) -> None:
        edit(world)
        Appearance.furnish(world)

    return both


def _numbers(values: np.ndarray) -> Numbers:
    return tuple(float(value) for value in np.ravel(values))
