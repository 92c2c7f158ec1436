"""Choose MuJoCo's OpenGL platform before mujoco is imported: it reads MUJOCO_GL once, at import."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys

INSTALL_HINT = "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
DISABLED = ("disable", "disabled", "off", "false", "0")  # what MuJoCo takes for no OpenGL
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}


def choose() -> str:
    """Set MUJOCO_GL if nobody did: EGL, OSMesa, GLFW where there is a display, or none. Other systems than Linux choose by themselves."""
    if not sys.platform.startswith("linux"):
        return os.environ.get("MUJOCO_GL", "")
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: threads halve its speed on 96x96 images
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = next(
            (name for name, library in _LIBRARIES.items() if _loads(library)), "glfw" if _window() else "disable"
        )
    return os.environ["MUJOCO_GL"]


def _window() -> bool:
    """GLFW opens its hidden window only where there is a display."""
    display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return display and _loads("libGL.so.1") and importlib.util.find_spec("glfw") is not None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
