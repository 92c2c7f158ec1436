"""Draw a MuJoCo model fast: no shadows, no reflections, no anti-aliasing, at the size asked for.

Runs in the environment's own interpreter, on MuJoCo 3.0 to 4.0. Copies of one model share one OpenGL context, so that fifty environments cost
the memory of one.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from typing import Any

_contexts: dict[tuple[Any, ...], Canvas] = {}


class Canvas:
    """An OpenGL context of one size, with the meshes and textures of one model."""

    def __init__(self, model: Any, height: int, width: int) -> None:
        import mujoco

        self._mujoco = mujoco
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        quality, screen = model.vis.quality, model.vis.global_
        before = quality.offsamples, quality.shadowsize, screen.offheight, screen.offwidth
        quality.offsamples, quality.shadowsize = 0, 0
        screen.offheight, screen.offwidth = height, width
        try:  # the four values are read once, when the context is made
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        finally:
            quality.offsamples, quality.shadowsize, screen.offheight, screen.offwidth = before
        self._scene = mujoco.MjvScene(model, maxgeom=10000)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._size = height, width

    def draw(self, model: Any, data: Any, camera: Any, groups: Sequence[int] | None) -> Any:
        """(height, width, 3) uint8 of what `camera` sees: a name, or "" for MuJoCo's free camera."""
        import numpy as np

        mujoco, scene, (height, width) = self._mujoco, self._scene, self._size
        if groups is not None:
            self._option.geomgroup[:] = [int(group in groups) for group in range(len(self._option.geomgroup))]
        view = self._camera
        if isinstance(camera, str) and camera:
            number = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA.value, camera)
            if number < 0:
                raise ValueError(f"there is no camera {camera!r}; there is: {', '.join(cameras(model))}")
            view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, number
        elif isinstance(camera, str):
            mujoco.mjv_defaultFreeCamera(model, view)
        else:
            view = camera
        category = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, data, self._option, None, view, category, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW.value] = 0
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION.value] = 0
        self._gl.make_current()
        rectangle = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        mujoco.mjr_render(rectangle, scene, self._context)
        image = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, rectangle, self._context)
        return np.ascontiguousarray(image[::-1])  # OpenGL's first row is the lowest

    def close(self) -> None:
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def draw(model: Any, data: Any, camera: Any, height: int, width: int, groups: Sequence[int] | None = None) -> Any:
    """(height, width, 3) uint8: `data` of `model` seen by `camera`, a name or an MjvCamera; `groups` are the geom groups shown, if not MuJoCo's own.

    Raises ValueError for a camera that the model does not have.
    """
    key = (model.ngeom, model.nmesh, model.nmeshvert, model.ntex, model.ntexdata, model.names, height, width)
    if key not in _contexts:
        first = not _contexts
        _contexts[key] = Canvas(model, height, width)
        if first:  # after MuJoCo's platform has registered its own farewell, so that ours comes before it
            atexit.register(close)
    return _contexts[key].draw(model, data, camera, groups)


def view(settings: dict[str, Any], model: Any) -> Any:
    """MuJoCo's free camera, moved by Gymnasium's `default_camera_config`."""
    import mujoco
    import numpy as np

    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    for key, value in (settings or {}).items():
        if isinstance(value, np.ndarray):
            getattr(camera, key)[:] = value
        else:
            setattr(camera, key, value)
    return camera


def cameras(model: Any) -> Any:
    """The names of the model's cameras."""
    import mujoco

    return [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_CAMERA.value, number) for number in range(model.ncam)]


def close() -> None:
    """Give the contexts back, while there is still an OpenGL to give them to."""
    while _contexts:
        _contexts.popitem()[1].close()
