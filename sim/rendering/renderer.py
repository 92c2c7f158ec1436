"""Draw a state of an MjModel: colour, depth and segmentation, through OpenGL or, where there is none, by PyBullet's TinyRenderer.

Policies see flat light, without shadows and anti-aliasing; people see both. One context serves all sizes and all rows.
"""

from __future__ import annotations

import copy
import os
import warnings
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

import mujoco
import numpy as np

from data.errors import ConfigError, RenderError, did_you_mean
from sim import gl

Size = tuple[int, int]  # height, width [px]
_MAX_SIDE = 4096  # [px]


@dataclass(frozen=True)
class Look:
    """Values of MjModel fields that only change what is seen, such as geom_rgba, geom_matid, light_pos, cam_pos, cam_fovy
    and vis.headlight.diffuse: name -> the whole array.
    """

    fields: dict[str, np.ndarray] = field(default_factory=dict)


class Backend(Protocol):
    """Draws the poses in `data` with what `model` says now; camera is an index."""

    name: str

    def color(self, data: mujoco.MjData, camera: int, size: Size, beautiful: bool) -> np.ndarray: ...
    def depth(self, data: mujoco.MjData, camera: int, size: Size) -> np.ndarray: ...
    def segmentation(self, data: mujoco.MjData, camera: int, size: Size) -> np.ndarray: ...
    def close(self) -> None: ...


class Renderer:
    """Draws states (nq + 7 nmocap,) as `Worlds.state` gives them. Everything is made when the first picture is asked for.

    Sizes are (height, width); cameras have square pixels and `fovy`. Use it from one thread. `backend` names what draws:
    egl, osmesa, glfw or software. Every picture is a function of (state, camera, size, look), whatever was drawn before.

    software: do without OpenGL even where there is one
    """

    def __init__(self, model: mujoco.MjModel, software: bool = False) -> None:
        self.model = model
        self._software = software
        self._own: mujoco.MjModel | None = None  # a copy, so that a look never reaches the physics
        self._data: mujoco.MjData | None = None
        self._backend: Backend | None = None
        self._look: Look | None = None

    @property
    def backend(self) -> str:
        """Raises RenderError where nothing can draw."""
        return self._open().name

    def color(self, state: np.ndarray, camera: str, size: Size, beautiful: bool = False, look: Look | None = None) -> np.ndarray:
        """(height, width, 3) uint8 RGB. beautiful: shadows and anti-aliasing, ten times slower. Raises RenderError."""
        data, index = self._pose(state, camera, size, look)
        return self._open().color(data, index, size, beautiful)

    def depth(self, state: np.ndarray, camera: str, size: Size, look: Look | None = None) -> np.ndarray:
        """(height, width) float32 [m] along the optical axis, not along the ray; inf where nothing is. Raises RenderError."""
        data, index = self._pose(state, camera, size, look)
        return self._open().depth(data, index, size)

    def segmentation(self, state: np.ndarray, camera: str, size: Size, look: Look | None = None, of: str = "geom") -> np.ndarray:
        """(height, width) int32: the index of the MjModel's geom (or body, of="body") that each pixel shows, -1 where nothing is."""
        if of not in ("geom", "body"):
            raise ConfigError(f"segmentation of {of!r}; {did_you_mean(of, ('geom', 'body'))}")
        data, index = self._pose(state, camera, size, look)
        geoms = self._open().segmentation(data, index, size)
        return geoms if of == "geom" else np.append(self.model.geom_bodyid, -1).astype(np.int32)[geoms]

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = None

    def _pose(self, state: np.ndarray, camera: str, size: Size, look: Look | None) -> tuple[mujoco.MjData, int]:
        """The data in this state and the camera's index; the model looks as asked."""
        if self._own is None or self._data is None:
            self._own = copy.copy(self.model)
            self._data = mujoco.MjData(self._own)
        model, data = self._own, self._data
        if min(size) < 1 or max(size) > _MAX_SIDE:
            raise ConfigError(f"a picture of {size[1]}x{size[0]} pixels; allowed: 1 to {_MAX_SIDE} each")
        index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera)
        if index < 0:
            raise ConfigError(
                f"the world has no camera {camera!r}; {did_you_mean(camera, [model.camera(i).name for i in range(model.ncam)])}"
            )
        if look is not self._look:
            self._wear(model, look)
        nq, nm = model.nq, model.nmocap
        data.qpos[:] = state[:nq]
        data.mocap_pos[:] = state[nq : nq + 3 * nm].reshape(nm, 3)
        data.mocap_quat[:] = state[nq + 3 * nm :].reshape(nm, 4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        return data, index

    def _wear(self, model: mujoco.MjModel, look: Look | None) -> None:
        for name in self._look.fields if self._look else ():
            attrgetter(name)(model)[...] = attrgetter(name)(self.model)
        self._look = None
        for name, values in look.fields.items() if look else ():
            attrgetter(name)(model)[...] = values
        self._look = look

    def _open(self) -> Backend:
        if self._backend is None:
            self._own = self._own if self._own is not None else copy.copy(self.model)
            self._backend = _opened(self._own, self._software)
        return self._backend


def _opened(model: mujoco.MjModel, software: bool) -> Backend:
    """OpenGL on the platform that gl.choose() found, else software."""
    tried = False
    reason = "no library of it was found, or MUJOCO_GL=disable"
    if not software and os.environ.get("MUJOCO_GL", "").lower() not in gl.DISABLED:
        from sim.rendering.opengl import OpenGL

        try:
            return OpenGL(model)
        except Exception as error:  # noqa: BLE001  whatever the platform's GL loader raises
            reason = f"{type(error).__name__}: {(str(error).splitlines() or ['no detail'])[0]}"
            tried = True
    try:
        from sim.rendering.software import Software
    except (ImportError, ConfigError) as error:
        raise RenderError(
            f"no OpenGL for rendering ({reason}), and no PyBullet, whose software renderer needs none. {gl.INSTALL_HINT}. "
            "Or on any system: pip install pybullet"
        ) from error
    if tried:
        warnings.warn(f"no OpenGL for rendering ({reason}): pictures are drawn in software, slower", RuntimeWarning, stacklevel=2)
    return Software(model)
