"""The default sensor: an RGB-D and segmentation camera by ray casting, without OpenGL.

    scene, MuJoCo state, Camera  ->  render   ->  Image (rgb, depth along the optical axis, object index per pixel)

One ray per pixel centre through `mj_multiRay`, so a picture is the same on every machine, bit for bit. Colours are
made by `iker_envs.pictures.shading`; the optics (`look_at`, `project`, `default_cameras`) live in `iker_envs.optics`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import mujoco
import numpy as np

from iker_envs.geometry import rotation_matrix
from iker_envs.optics import default_cameras, look_at, project
from iker_envs.physics.mujoco_model import GRIPPER_GROUP, TABLE_GROUP, VISUAL_GROUP
from iker_envs.pictures.coloured import paint_scanned
from iker_envs.pictures.shading import LIGHT_POSITION_M, Surface, shade, smooth_normals
from iker_envs.scene import Camera, Image, Scene

__all__ = ["default_cameras", "look_at", "project", "render"]

_FAR_M = 50.0
_SHADOW_SLACK = 2e-3  # of the way to the light: a surface does not shade itself


class Hits(NamedTuple):
    """What rays met: geom (P,) index or -1, distance (P,) in ray lengths, normal (P, 3) in the base frame or (0, 3)."""

    geom: np.ndarray
    distance: np.ndarray
    normal: np.ndarray


def render(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    scene: Scene,
    camera: Camera,
    *,
    gripper: bool = True,
    shadows: bool = True,
) -> Image:
    """Take a picture: rgb (H, W, 3), depth_m (H, W), 0 where there is nothing, segmentation (H, W), see `Image`.

    `model` is `build_model(scene, visuals=True)` and `data` has current kinematics (mj_forward or mj_kinematics).
    ValueError if the model holds no visual geoms although the scene has objects.
    """
    if scene.objects and not (model.geom_group == VISUAL_GROUP).any():
        raise ValueError("the model has nothing to look at; build it with build_model(scene, visuals=True)")
    origin = camera.pose_world[:3]
    rays = _ray_directions(camera.width, camera.height, camera.fov_y_rad) @ rotation_matrix(camera.pose_world[3:]).T
    groups = (TABLE_GROUP, VISUAL_GROUP, GRIPPER_GROUP) if gripper else (TABLE_GROUP, VISUAL_GROUP)
    hits = _cast(model, data, origin, rays, groups, normals=True)
    shape = (camera.height, camera.width)
    return Image(
        rgb=_colours(model, data, scene, origin, rays, hits, shape, groups if shadows else ()),
        depth_m=np.where(hits.geom >= 0, hits.distance, 0.0).reshape(shape),
        K=camera.intrinsics(),
        T_world_cam=camera.pose_world,
        stamp_s=float(data.time),
        segmentation=_object_of_geom(model, scene)[hits.geom].reshape(shape),
    )


@lru_cache(maxsize=16)
def _ray_directions(width: int, height: int, fov_y_rad: float) -> np.ndarray:
    """Rays (H * W, 3) in the camera frame with z = 1, so that the distance along a ray is the optical-axis depth."""
    focal = 0.5 * height / np.tan(0.5 * fov_y_rad)
    u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([u / focal, v / focal, np.ones_like(u)], axis=-1).reshape(-1, 3)
    rays.setflags(write=False)
    return rays


def _cast(model, data, origin: np.ndarray, rays: np.ndarray, groups: tuple[int, ...], *, normals: bool = False) -> Hits:
    """Send rays (P, 3) from `origin` (3,) through the geoms of some groups."""
    mask = np.zeros(mujoco.mjNGROUP, dtype=np.uint8)
    mask[list(groups)] = 1
    count = len(rays)
    geom = np.empty(count, dtype=np.int32)
    distance = np.empty(count)
    normal = np.empty((count if normals else 0, 3))
    mujoco.mj_multiRay(
        model,
        data,
        np.array(origin, dtype=float),
        np.ascontiguousarray(rays).ravel(),
        mask,
        1,
        -1,
        geom,
        distance,
        normal.ravel() if normals else None,
        count,
        _FAR_M,
    )
    return Hits(geom, distance, normal)


def _object_of_geom(model: mujoco.MjModel, scene: Scene) -> np.ndarray:
    """Index of the scene's object for every geom, and -1 in the last place, which "no geom" (-1) picks."""
    owner = np.full(model.ngeom + 1, -1)
    for k, obj in enumerate(scene.objects):
        owner[:-1][model.geom_bodyid == model.body(obj.name).id] = k
    return owner


def _colours(
    model, data, scene, origin, rays, hits: Hits, shape: tuple[int, int], shadow_groups: tuple[int, ...]
) -> np.ndarray:
    points = origin + hits.distance[:, None] * rays
    lit = np.ones(len(rays), dtype=bool)
    if shadow_groups:
        seen = hits.geom >= 0
        lit[seen] = _lit(model, data, points[seen], tuple(g for g in shadow_groups if g != TABLE_GROUP))
    albedo = np.vstack([model.geom_rgba[:, :3], np.zeros(3)])[hits.geom]
    paint_scanned(model, data, scene, hits.geom, points, albedo)
    is_table = np.append(model.geom_group == TABLE_GROUP, False)[hits.geom]
    normal = smooth_normals(hits.normal.reshape(*shape, 3), hits.geom.reshape(shape)).reshape(-1, 3)
    return shade(Surface(points, rays, normal, albedo, is_table, hits.geom >= 0, lit), shape)


def _lit(model, data, points: np.ndarray, groups: tuple[int, ...]) -> np.ndarray:
    """Which points (P, 3) the light reaches; the table is flat and shades nothing."""
    blocked = _cast(model, data, LIGHT_POSITION_M, points - LIGHT_POSITION_M, groups)
    return (blocked.geom < 0) | (blocked.distance > 1.0 - _SHADOW_SLACK)
