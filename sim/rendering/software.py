"""Pictures without OpenGL: PyBullet's TinyRenderer draws the geoms of an MjModel with MuJoCo's cameras.

It shows the geometry of the OpenGL pictures in all but one pixel of a thousand, but a light of its own, and neither textures (a textured geom
gets the mean colour of its texture) nor sky (a plain colour). A picture of 96x96 takes some milliseconds on a CPU.
"""

from __future__ import annotations

import contextlib

import mujoco
import numpy as np

from data.rotations import quat_from_matrix
from sim.bullet.client import pybullet
from sim.rendering import triangles

_DRAWN_GROUPS = 3  # geom groups 0 to 2, as MuJoCo draws them by default
_SKY = np.array([190, 200, 212], np.uint8)
_DEFAULT_RGBA = (0.5, 0.5, 0.5, 1.0)  # what a geom says that has no colour of its own


class Software:
    name = "software"

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._client = pybullet.connect(pybullet.DIRECT)
        self._means = _texture_means(model)
        self._usual = self._brightness()
        self._geoms: list[int] = []  # of the model, in the order of Bullet's bodies
        self._bodies: list[int] = []
        self._rgba: list[np.ndarray] = []
        self._placed: dict[int, bytes] = {}
        for geom in range(model.ngeom):
            shape = triangles.of_geom(model, geom) if model.geom_group[geom] < _DRAWN_GROUPS else None
            if shape is None:
                continue
            points, normals, faces = shape
            rgba = self._color_of(geom)
            visual = pybullet.createVisualShape(
                pybullet.GEOM_MESH,
                vertices=points.tolist(),
                indices=faces.reshape(-1).tolist(),
                normals=normals.tolist(),
                rgbaColor=rgba.tolist(),
                specularColor=[0.1, 0.1, 0.1],
                physicsClientId=self._client,
            )
            self._bodies.append(pybullet.createMultiBody(0, -1, visual, physicsClientId=self._client))
            self._geoms.append(geom)
            self._rgba.append(rgba)
        self._geom_of = np.full(max(self._bodies, default=0) + 2, -1, np.int32)
        self._geom_of[self._bodies] = self._geoms

    def color(self, data: mujoco.MjData, camera: int, size: tuple[int, int], beautiful: bool) -> np.ndarray:
        picture, _, bodies = self._draw(data, camera, size, beautiful)
        rgb = picture[..., :3].copy()
        rgb[bodies < 0] = _SKY
        return rgb

    def depth(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        near, far = self._planes()
        _, share, bodies = self._draw(data, camera, size, False)
        away = near * far / (far - share.astype(np.float64) * (far - near))
        return np.where(bodies < 0, np.inf, away).astype(np.float32)

    def segmentation(self, data: mujoco.MjData, camera: int, size: tuple[int, int]) -> np.ndarray:
        return self._geom_of[self._draw(data, camera, size, False)[2]]

    def _draw(self, data: mujoco.MjData, camera: int, size: tuple[int, int], shadow: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RGBA (H, W, 4), depth buffer (H, W) and Bullet's bodies (H, W)."""
        self._place(data)
        self._paint()
        model = self._model
        turn, position = data.cam_xmat[camera].reshape(3, 3), data.cam_xpos[camera]
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = turn.T, -turn.T @ position
        near, far = self._planes()
        projection = list(pybullet.computeProjectionMatrixFOV(float(model.cam_fovy[camera]), size[1] / size[0], near, far))
        projection[8] += 1 / size[1]  # TinyRenderer looks through the corner of a pixel, OpenGL through its middle
        projection[9] += 1 / size[0]
        bright = self._brightness() / self._usual
        light = -data.light_xdir[0] if model.nlight else np.array([0.2, -0.3, 1.0])
        _, _, rgba, share, bodies = pybullet.getCameraImage(
            size[1],
            size[0],
            view.T.reshape(-1).tolist(),
            projection,
            lightDirection=light.tolist(),
            lightColor=bright.tolist(),
            lightDistance=3.0,
            lightAmbientCoeff=0.7 * float(bright.mean()),
            lightDiffuseCoeff=0.4,
            lightSpecularCoeff=0.05,
            shadow=int(shadow),
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        return (np.reshape(rgba, (*size, 4)).astype(np.uint8), np.reshape(share, size), np.reshape(bodies, size))

    def _place(self, data: mujoco.MjData) -> None:
        for geom, body in zip(self._geoms, self._bodies, strict=True):
            where = data.geom_xpos[geom].tobytes() + data.geom_xmat[geom].tobytes()
            if self._placed.get(geom) == where:
                continue
            w, x, y, z = quat_from_matrix(data.geom_xmat[geom].reshape(3, 3))
            pybullet.resetBasePositionAndOrientation(body, data.geom_xpos[geom].tolist(), [x, y, z, w], physicsClientId=self._client)
            self._placed[geom] = where

    def _paint(self) -> None:
        """Follow the colours of the model, which a look may have changed."""
        for i, (geom, body) in enumerate(zip(self._geoms, self._bodies, strict=True)):
            rgba = self._color_of(geom)
            if not np.array_equal(rgba, self._rgba[i]):
                pybullet.changeVisualShape(body, -1, rgbaColor=rgba.tolist(), physicsClientId=self._client)
                self._rgba[i] = rgba

    def _color_of(self, geom: int) -> np.ndarray:
        """(4,) in 0..1: of the material unless the geom has its own, times the mean of the texture."""
        model, material = self._model, int(self._model.geom_matid[geom])
        own = np.array(model.geom_rgba[geom], float)
        if material < 0:
            return own
        rgba = np.array(model.mat_rgba[material], float) if np.allclose(own, _DEFAULT_RGBA) else own
        texture = int(model.mat_texid[material][int(mujoco.mjtTextureRole.mjTEXROLE_RGB)])
        if texture >= 0:
            rgba[:3] *= self._means[texture]
        return rgba

    def _brightness(self) -> np.ndarray:
        """(3,) light of the camera and of all lamps together."""
        lamp = self._model.vis.headlight
        return np.maximum(lamp.ambient + lamp.diffuse + self._model.light_diffuse.sum(0), 1e-3).astype(float)

    def _planes(self) -> tuple[float, float]:
        extent = self._model.stat.extent
        return float(self._model.vis.map.znear * extent), float(self._model.vis.map.zfar * extent)

    def close(self) -> None:
        if self._client >= 0:
            with contextlib.suppress(pybullet.error):  # somebody disconnected all clients
                pybullet.disconnect(self._client)
        self._client = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, TypeError):  # half made, or the interpreter is going
            self.close()


def _texture_means(model: mujoco.MjModel) -> list[np.ndarray]:
    """(3,) in 0..1 per texture."""
    means = []
    for texture in range(model.ntex):
        start, channels = model.tex_adr[texture], model.tex_nchannel[texture]
        count = model.tex_width[texture] * model.tex_height[texture] * channels
        pixels = model.tex_data[start : start + count].reshape(-1, channels)
        means.append(np.broadcast_to(pixels[:, :3].mean(0) / 255, (3,)))
    return means
