"""Choose MuJoCo's OpenGL platform before mujoco is imported: it reads MUJOCO_GL once, at import."""

from __future__ import annotations

import ctypes
import os
import sys

INSTALL_HINT = "On Debian or Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}


def choose() -> str:
    """Set MUJOCO_GL if nobody did: EGL, then OSMesa, then none. Other systems than Linux choose by themselves."""
    if not sys.platform.startswith("linux"):
        return os.environ.get("MUJOCO_GL", "")
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: threads halve its speed on 96x96 images
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = next((name for name, library in _LIBRARIES.items() if _loads(library)), "disable")
    return os.environ["MUJOCO_GL"]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
