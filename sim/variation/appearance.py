"""How a world may look in an episode: patterns on its surfaces, colours, lamps, cameras; drawn as numbers, worn as a `Look`.

Patterns come from a bank of grey textures that every varied world carries, tinted by each geom's own colour: changing one is
a change of an index, and nothing has to be sent to the renderer again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from data.rotations import multiply
from sim.rendering.renderer import Look
from sim.world import World

if TYPE_CHECKING:
    from sim.variation.randomize import RandomizeConfig

LOOKS = ("textures", "colors", "lights", "camera")
_BANK, _PIXELS = 16, 64  # patterns, pixels of their sides
_NAME = "variation_"  # what is added to a world begins with this
# Half sizes and places [m] of what may stand behind the scene: a floor and three walls.
_BACKDROP = {
    "floor": ((4, 4, 0.02), (0, 0, -0.85)),
    "back": ((0.02, 4, 3), (-2.5, 0, 1)),
    "left": ((4, 0.02, 3), (0, 3, 1)),
    "right": ((4, 0.02, 3), (0, -3, 1)),
}
_BACKDROP_RGBA = (0.75, 0.77, 0.8, 0.0)  # unseen until a variation shows it


class Appearance:
    """What can vary in one compiled world. cameras: those of the policy; the film camera stays where it is."""

    def __init__(self, config: RandomizeConfig, world: World, cameras: Sequence[str]) -> None:
        self._config, self._model = config, world.model
        m = world.model
        names = [m.geom(g).name for g in range(m.ngeom)]
        arms = {m.body_rootid[m.jnt_bodyid[int(np.flatnonzero(m.jnt_qposadr == arm.qpos[0])[0])]] for arm in world.arms}
        self._backdrop = [g for g in range(m.ngeom) if names[g].startswith(_NAME)]
        plain = [g for g in range(m.ngeom) if m.geom_matid[g] < 0 and m.body_rootid[m.geom_bodyid[g]] not in arms]
        self._surfaces = np.array([g for g in plain if m.geom_type[g] != mujoco.mjtGeom.mjGEOM_MESH], int)
        bank = [mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_MATERIAL, f"{_NAME}{i}") for i in range(_BANK)]
        self._bank = np.array([i for i in bank if i >= 0])
        # Geoms of one body change their colour together; what stands in the world itself each for itself.
        self._painted = np.array([m.nbody + g if m.geom_bodyid[g] == 0 else m.geom_bodyid[g] for g in range(m.ngeom)], int)
        self._cameras = np.array([m.camera(name).id for name in cameras], int)

    @staticmethod
    def furnish(world: mujoco.MjSpec) -> None:
        """Add the bank and the backdrop, before the world is compiled. They touch nothing, and cameras see as near and far as before."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            bare = world.compile().stat
        world.stat.extent, world.stat.center = bare.extent, bare.center
        for i in range(_BANK):
            texture = world.add_texture(
                name=f"{_NAME}{i}", type=mujoco.mjtTexture.mjTEXTURE_CUBE, width=_PIXELS, height=6 * _PIXELS, nchannel=3
            )
            texture.data = _pattern(i).tobytes()
            material = world.add_material(name=f"{_NAME}{i}", rgba=[0.5, 0.5, 0.5, 1])
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"{_NAME}{i}"
        for name, (size, place) in _BACKDROP.items():
            world.worldbody.add_geom(
                name=_NAME + name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=list(size),
                pos=list(place),
                rgba=list(_BACKDROP_RGBA),
                contype=0,
                conaffinity=0,
                mass=0,
            )

    def draw(self, level: float, stream: Mapping[str, np.random.Generator]) -> dict[str, np.ndarray]:
        """Numbers of each group that has a stream. texture: -1 for plain, else the pattern's index."""
        c, m, drawn = self._config, self._model, {}
        if (r := stream.get("textures")) is not None:
            chosen = r.uniform(size=len(self._surfaces)) < level * c.texture
            drawn["texture"] = np.where(chosen, r.integers(0, _BANK, len(self._surfaces)), -1)
        if (r := stream.get("colors")) is not None:
            drawn["color"] = level * c.color * r.uniform(-1, 1, (m.nbody + m.ngeom, 3))
        if (r := stream.get("lights")) is not None:
            drawn["light_position"] = level * c.light_position * r.uniform(-1, 1, (m.nlight, 3)) * [1, 1, 0.5]
            drawn["light_strength"] = np.exp(level * np.log1p(c.light_strength) * r.uniform(-1, 1, m.nlight + 1))
            drawn["light_color"] = np.exp(level * np.log1p(c.light_color) * r.uniform(-1, 1, (m.nlight + 1, 3)))
        if (r := stream.get("camera")) is not None:
            drawn["camera_position"] = level * c.camera_position * r.uniform(-1, 1, (len(self._cameras), 3))
            drawn["camera_angle"] = level * c.camera_angle * r.uniform(-1, 1, (len(self._cameras), 3))
            drawn["camera_fovy"] = np.exp(level * np.log1p(c.camera_fovy) * r.uniform(-1, 1, len(self._cameras)))
        return drawn

    def look(self, drawn: Mapping[str, tuple[float, ...]]) -> Look:
        m, fields = self._model, {}
        if "texture" in drawn or "color" in drawn:
            rgba = _colors(m)
            if "color" in drawn:
                rgba[:, :3] += np.reshape(drawn["color"], (-1, 3))[self._painted]
            if "texture" in drawn:
                chosen = np.array(drawn["texture"], int)
                material = m.geom_matid.copy()
                material[self._surfaces] = np.where(chosen >= 0, self._bank[chosen], -1)
                fields["geom_matid"] = material
                rgba[self._backdrop, 3] = material[self._backdrop] >= 0
            fields["geom_rgba"] = np.clip(rgba, 0, 1).astype(np.float32)
        if "light_position" in drawn:
            tint = np.reshape(drawn["light_strength"], (-1, 1)) * np.reshape(drawn["light_color"], (-1, 3))
            fields["light_pos"] = m.light_pos + np.reshape(drawn["light_position"], (-1, 3))
            fields["light_diffuse"] = (m.light_diffuse * tint[:-1]).astype(np.float32)
            fields["vis.headlight.diffuse"] = (m.vis.headlight.diffuse * tint[-1]).astype(np.float32)
            fields["vis.headlight.ambient"] = (m.vis.headlight.ambient * tint[-1]).astype(np.float32)
        if "camera_position" in drawn:
            fields |= self._moved(drawn)
        return Look(fields)

    def _moved(self, drawn: Mapping[str, tuple[float, ...]]) -> dict[str, np.ndarray]:
        m = self._model
        position, quat, fovy = m.cam_pos.copy(), m.cam_quat.copy(), m.cam_fovy.copy()
        position[self._cameras] += np.reshape(drawn["camera_position"], (-1, 3))
        half = np.reshape(drawn["camera_angle"], (-1, 3)) / 2
        turn = np.concatenate([np.ones((len(half), 1)), half], 1)
        quat[self._cameras] = multiply(quat[self._cameras], turn / np.linalg.norm(turn, axis=1, keepdims=True))
        fovy[self._cameras] *= drawn["camera_fovy"]
        return {"cam_pos": position, "cam_quat": quat, "cam_fovy": fovy}


def _colors(model: mujoco.MjModel) -> np.ndarray:
    """(ngeom, 4): what each geom shows, its own colour or its material's."""
    rgba = model.geom_rgba.astype(float)
    inherits = (model.geom_matid >= 0) & (np.abs(rgba - [0.5, 0.5, 0.5, 1]).max(1) < 1e-6)
    rgba[inherits] = model.mat_rgba[model.geom_matid[inherits]]
    return rgba


def _pattern(number: int) -> np.ndarray:
    """Grey pixels of a cube's six faces, all alike: checks, stripes, spots, grain or clouds, each with its own scale."""
    r = np.random.Generator(np.random.Philox(key=[number, 0x74657874]))
    y, x = np.mgrid[:_PIXELS, :_PIXELS] / _PIXELS
    angle, scale = r.uniform(0, np.pi), r.integers(2, 9)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    kind = number % 5
    if kind == 0:
        grey = (np.floor(scale * x) + np.floor(scale * y)) % 2
    elif kind == 1:
        grey = (np.floor(2 * scale * u) % 2).astype(float)
    elif kind == 2:
        grey = 1.0 * ((scale * u % 1 - 0.5) ** 2 + (scale * v % 1 - 0.5) ** 2 < 0.1)
    elif kind == 3:
        grey = r.uniform(size=(_PIXELS, _PIXELS))
    else:
        waves = r.normal(size=(8, 4)) * [scale, scale, np.pi, 1]
        grey = sum(a * np.sin(2 * np.pi * (p * x + q * y) + s) for p, q, s, a in waves)
        grey = (grey - grey.min()) / np.ptp(grey)
    low = r.uniform(0.25, 0.6)
    face = np.round(255 * (low + (1 - low) * grey)).astype(np.uint8)
    return np.tile(np.repeat(face[..., None], 3, -1), (6, 1, 1)).reshape(-1)
