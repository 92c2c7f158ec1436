"""MuJoCo's own OpenGL renderer with as little around it as there can be: two contexts, any size, no needless copies.

A flat context has neither shadow map nor multisampling (for policies, depth and segmentation), a beautiful one has both.
A picture of 96x96 takes 0.5 ms on a CPU with Mesa, nearly all of it inside mjr_render; MuJoCo's defaults take 20 to 50 times that.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import weakref
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

_FLAG = mujoco.mjtRndFlag
_SPARE_GEOMS = 1000  # room in the scene for what is not a geom: sites, tendons, skins


class OpenGL:
    """Raises whatever the platform raises if there is no OpenGL."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.name = os.environ.get("MUJOCO_GL", "") or "default"
        self._model = model
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
        self._contexts: dict[bool, _Context] = {False: _Context(model, False)}
        # Registered after the platform's own atexit function, and so called before it: contexts go while their display is there.
        self._at_exit = _close_at_exit(self)

    def color(self, data: mujoco.MjData, camera: int, size: tuple[int, int], beautiful: bool) -> np.ndarray:
        context = self._draw(data, camera, size, beautiful)
        return context.read_color(size)

    def depth(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        context = self._draw(data, camera, size, segmented=True)
        share = context.read_depth(size).astype(np.float64)  # 1 at the near plane, 0 at the far one or beyond
        extent = self._model.stat.extent
        near, far = self._model.vis.map.znear * extent, self._model.vis.map.zfar * extent
        away = near * far / (near + share * (far - near))
        return np.where(share > 0, away, np.inf).astype(np.float32)

    def segmentation(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        context = self._draw(data, camera, size, segmented=True)
        red, green, blue = np.moveaxis(context.read_color(size).astype(np.int32), -1, 0)
        scene = context.scene
        shown = np.full(scene.ngeom + 1, -1, np.int32)  # number in the picture -> geom; 0 is nothing
        for geom in scene.geoms[: scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                shown[geom.segid + 1] = geom.objid
        return shown[red | green << 8 | blue << 16]

    def _draw(self, data: mujoco.MjData, camera: int, size: tuple[int, int], beautiful: bool = False, segmented: bool = False) -> _Context:
        if not self._contexts:
            raise RuntimeError("the renderer was closed")
        if beautiful not in self._contexts:
            self._contexts[beautiful] = _Context(self._model, beautiful)
        context = self._contexts[beautiful]
        self._camera.fixedcamid = camera
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, context.scene)
        context.draw(size, segmented)
        return context

    def close(self) -> None:
        for context in self._contexts.values():
            context.close()
        self._contexts.clear()
        atexit.unregister(self._at_exit)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, TypeError):  # half made, or the interpreter is going
            self.close()


class _Context:
    """One OpenGL context of one model; its buffer grows with the largest picture asked for."""

    def __init__(self, model: mujoco.MjModel, beautiful: bool) -> None:
        self.scene = mujoco.MjvScene(model, maxgeom=model.ngeom + _SPARE_GEOMS)
        for flag in (_FLAG.mjRND_SHADOW, _FLAG.mjRND_REFLECTION):
            self.scene.flags[int(flag)] = beautiful
        self._buffer = model.vis.global_.offheight, model.vis.global_.offwidth
        quality = model.vis.quality  # read when the context is made
        before = quality.offsamples, quality.shadowsize
        self._gl = _platform()(self._buffer[1], self._buffer[0])
        self._gl.make_current()
        try:
            if not beautiful:
                quality.offsamples, quality.shadowsize = 0, 0
            self._mjr = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        finally:
            quality.offsamples, quality.shadowsize = before
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        self._mjr.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def draw(self, size: tuple[int, int], segmented: bool) -> None:
        self._gl.make_current()
        if size[0] > self._buffer[0] or size[1] > self._buffer[1]:
            self._buffer = max(size[0], self._buffer[0]), max(size[1], self._buffer[1])
            mujoco.mjr_resizeOffscreen(self._buffer[1], self._buffer[0], self._mjr)
        for flag in (_FLAG.mjRND_SEGMENT, _FLAG.mjRND_IDCOLOR):
            self.scene.flags[int(flag)] = segmented
        self._rect = mujoco.MjrRect(0, 0, size[1], size[0])
        mujoco.mjr_render(self._rect, self.scene, self._mjr)

    def read_color(self, size: tuple[int, int]) -> np.ndarray:
        """(height, width, 3) uint8. OpenGL counts rows from below."""
        pixels = np.empty((*size, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._rect, self._mjr)
        return pixels[::-1].copy()

    def read_depth(self, size: tuple[int, int]) -> np.ndarray:
        """(height, width) float32, of the depth buffer."""
        values = np.empty(size, np.float32)
        mujoco.mjr_readPixels(None, values, self._rect, self._mjr)
        return values[::-1]

    def close(self) -> None:
        self._gl.make_current()
        self._mjr.free()
        self._gl.free()


def _platform() -> Any:
    """The class of contexts that MUJOCO_GL names now; mujoco.gl_context holds what it named when mujoco was first imported."""
    named = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa"}.get(os.environ.get("MUJOCO_GL", "").lower(), "mujoco.gl_context")
    return importlib.import_module(named).GLContext


def _close_at_exit(owner: OpenGL) -> Callable[[], None]:
    there = weakref.ref(owner)

    def close() -> None:
        if (found := there()) is not None:
            found.close()

    atexit.register(close)
    return close
