"""Many starts at once are brought to fit a cloud: iterated closest points, point to plane.

    SurfaceModel, Cloud, starts (H, 4, 4)  ->  register  ->  matrices (H, 4, 4)

Each cloud point is compared with the plane of the model's nearest point (Chen and Medioni 1992); far points and points
whose normal disagrees do not count, the others less the further off they are (weights of Cauchy's kind).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.rigid import apply, inverse, motion
from iker_envs.perception.surfaces import SurfaceModel

_SAME_SIDE = 0.3  # cosine between the normals of points that may belong together
_CLOSING = 0.6  # share of the iterations in which the reach shrinks
_SHIFT_REACH_M = 0.010
_SHIFT_STIFFNESS = 0.03  # share of the points that must face a direction before it counts
_STILL = 3e-5  # radians and metres: no step is larger any more
_STIFFNESS = np.diag([1e-4] * 3 + [1e-1] * 3)  # keeps a step small where the points do not determine it


def register(
    model: SurfaceModel,
    cloud: Cloud,
    starts: np.ndarray,
    *,
    iterations: int = 15,
    reach_m: tuple[float, float] = (0.03, 0.008),
    max_points: int = 400,
) -> np.ndarray:
    """Fitted motions (H, 4, 4), body to base; a pair counts within a distance that shrinks over `reach_m`."""
    cloud = cloud.thinned(max_points)
    points = cloud.points.astype(np.float32)
    normals = cloud.normals.astype(np.float32)
    matrices = np.array(starts, dtype=float)
    for number in range(iterations):
        done = min(1.0, number / (_CLOSING * iterations))
        step = _step(model, points, normals, matrices, reach_m[0] + (reach_m[1] - reach_m[0]) * done)
        matrices = matrices @ inverse(step)
        if number > 5 and np.abs(step[:, :3] - np.eye(4)[:3]).max() < _STILL:
            break
    return matrices


def _step(model, points, normals, matrices: np.ndarray, reach_m: float) -> np.ndarray:
    """The motions (H, 4, 4) of the body frame that bring the cloud, seen from each of `matrices`, onto the model."""
    rotation = matrices[:, :3, :3].astype(np.float32)
    local = (points[None] - matrices[:, None, :3, 3].astype(np.float32)) @ rotation
    index, is_near = model.nearest(local)
    normal = model.normals[index]
    offset = local - model.points[index]
    residual = np.einsum("hpk,hpk->hp", offset, normal)
    facing = np.einsum("hpk,hpk->hp", normals[None] @ rotation, normal)
    counts = is_near & (np.einsum("hpk,hpk->hp", offset, offset) < reach_m**2) & (facing > _SAME_SIDE)
    weight = counts / (1 + (residual / (0.3 * reach_m)) ** 2)
    centre = local.mean(axis=1, keepdims=True)
    jacobian = np.concatenate([np.cross(local - centre, normal), normal], axis=-1)
    weighted = np.swapaxes(jacobian * weight[..., None], 1, 2)
    push = (weighted @ residual[..., None])[..., 0].astype(float)
    x = -np.linalg.solve(weighted.astype(float) @ jacobian + _STIFFNESS, push[..., None])[..., 0]
    turn = Rotation.from_rotvec(x[:, :3]).as_matrix()
    middle = centre[:, 0].astype(float)
    return motion(turn, middle - np.einsum("hij,hj->hi", turn, middle) + x[:, 3:])


def distances(model: SurfaceModel, points: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points (P, 3) are from the model at a motion (4, 4), inf beyond 4 cm; the nearest points' index (P,)."""
    local = apply(inverse(matrix), points).astype(np.float32)
    index, is_near = model.nearest(local)
    return np.where(is_near, np.linalg.norm(local - model.points[index], axis=1), np.inf), index


def plane_residual_m(model: SurfaceModel, cloud: Cloud, matrix: np.ndarray, within_m: float = 0.015) -> float:
    """Mean distance of the cloud's points from the planes of the model's nearest points; inf if none is near."""
    local = apply(inverse(matrix), cloud.points).astype(np.float32)
    index, is_near = model.nearest(local)
    offset = local - model.points[index]
    counts = is_near & (np.linalg.norm(offset, axis=1) < within_m)
    if not counts.any():
        return float("inf")
    return float(np.abs(np.einsum("pk,pk->p", offset, model.normals[index]))[counts].mean())


def shift_m(model: SurfaceModel, cloud: Cloud, matrix: np.ndarray, iterations: int = 6) -> np.ndarray:
    """By how much (3,), in the body frame, points lie beside a model at a pose (4, 4), turns aside.

    Where the points' planes say nothing (along a flat side), the shift is none.
    """
    local = apply(inverse(matrix), cloud.points)
    normals = cloud.normals @ matrix[:3, :3]
    shift = np.zeros(3)
    for _ in range(iterations):
        index, is_near = model.nearest((local - shift).astype(np.float32))
        normal = model.normals[index].astype(float)
        counts = is_near & (np.einsum("pk,pk->p", normal, normals) > _SAME_SIDE)
        if not counts.any():
            return shift
        normal = normal[counts]
        residual = np.einsum("pk,pk->p", (local - shift)[counts] - model.points[index][counts], normal)
        weight = normal / (1 + (residual / _SHIFT_REACH_M) ** 2)[:, None]
        stiffness = _SHIFT_STIFFNESS * len(normal) * np.eye(3)
        shift = shift + np.linalg.solve(weight.T @ normal + stiffness, weight.T @ residual)
    return shift
