"""Draw a state of an MjModel: colour at once, with flat light for policies or with shadows for people."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import mujoco
import numpy as np

from data.errors import RenderError
from sim import gl

_FLAT = int(mujoco.mjtRndFlag.mjRND_SHADOW), int(mujoco.mjtRndFlag.mjRND_REFLECTION)


@dataclass(frozen=True)
class Look:
    """Values of MjModel fields that only change what is seen, such as geom_rgba, light_pos, cam_pos."""

    fields: dict[str, np.ndarray] = field(default_factory=dict)


class Renderer:
    """Draws states (nq + 7 nmocap,) as `Worlds.state` gives them. An OpenGL context per size is made when it is first needed."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._data = mujoco.MjData(model)
        self._contexts: dict[tuple[int, int, bool], mujoco.Renderer] = {}

    def color(
        self, state: np.ndarray, camera: str, size: tuple[int, int], beautiful: bool = False, look: Look | None = None
    ) -> np.ndarray:
        """(height, width, 3) uint8. Raises RenderError without OpenGL."""
        model, data = self.model, self._data
        nq, nm = model.nq, model.nmocap
        data.qpos[:] = state[:nq]
        data.mocap_pos[:] = state[nq : nq + 3 * nm].reshape(nm, 3)
        data.mocap_quat[:] = state[nq + 3 * nm :].reshape(nm, 4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        renderer = self._context(size, beautiful)
        renderer.update_scene(data, camera)
        if not beautiful:
            for flag in _FLAT:
                renderer.scene.flags[flag] = 0
        return renderer.render()

    def _context(self, size: tuple[int, int], beautiful: bool) -> mujoco.Renderer:
        key = (*size, beautiful)
        if key not in self._contexts:
            if os.environ.get("MUJOCO_GL") == "disable":
                raise RenderError(f"no OpenGL for rendering: no library of it was found, or MUJOCO_GL=disable. {gl.INSTALL_HINT}")
            samples = self.model.vis.quality.offsamples
            self.model.vis.quality.offsamples = samples if beautiful else 0  # read when the context is made
            try:
                self._contexts[key] = mujoco.Renderer(self.model, *size)
            except Exception as error:  # noqa: BLE001  whatever the platform's GL loader raises
                detail = (str(error).splitlines() or ["no detail"])[0]
                raise RenderError(f"no OpenGL for rendering ({type(error).__name__}: {detail}). {gl.INSTALL_HINT}") from error
            finally:
                self.model.vis.quality.offsamples = samples
        return self._contexts[key]

    def close(self) -> None:
        for context in self._contexts.values():
            context.close()
        self._contexts.clear()
