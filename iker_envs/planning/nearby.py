"""Which objects must be free to move in a stage, and which may be welded (three times faster physics).

Free are the goal's object and every movable object within 10 cm of the hull that its footprint sweeps from start to
target.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from iker_envs.planning.collision import object_boxes
from iker_envs.scene import Goal, Scene, SceneObject

_MARGIN_M = 0.10


def free_objects(scene: Scene, goal: Goal, margin_m: float = _MARGIN_M) -> tuple[str, ...]:
    """Names of the movable objects that the goal's motion may touch, the goal's own first."""
    movable = scene.movable
    return (goal.object, *(n for n in objects_near_motion(scene, goal, margin_m) if n in movable))


def objects_near_motion(scene: Scene, goal: Goal, margin_m: float) -> tuple[str, ...]:
    """Names of all other objects within `margin_m` of the hull that the goal's object sweeps, seen from above."""
    target = scene.object(goal.object)
    swept = np.concatenate([_footprint(target, target.pose), _footprint(target, goal.target_pose)])
    hull = swept[ConvexHull(swept).vertices]
    others = [o for o in scene.objects if o.name != goal.object]
    return tuple(o.name for o in others if _distance(_outline(o), hull) <= margin_m)


def _footprint(obj: SceneObject, pose: np.ndarray) -> np.ndarray:
    return np.concatenate([b.corners()[:, :2] for b in object_boxes(obj.model, pose)])


def _outline(obj: SceneObject) -> np.ndarray:
    points = _footprint(obj, obj.pose)
    return points[ConvexHull(points).vertices]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Distance in metres between two convex polygons (Va, 2), (Vb, 2), corners in order; 0 when they overlap."""
    if not (_is_apart(a, b) or _is_apart(b, a)):
        return 0.0
    return min(_to_edges(a, b), _to_edges(b, a))


def _is_apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Does the line through an edge of `a` keep `a` on one side and `b` on the other? (Separating axis theorem.)"""
    edge = np.roll(a, -1, axis=0) - a
    normals = np.stack([edge[:, 1], -edge[:, 0]], axis=-1)
    of_a, of_b = a @ normals.T, b @ normals.T
    return bool(((of_a.max(axis=0) < of_b.min(axis=0)) | (of_b.max(axis=0) < of_a.min(axis=0))).any())


def _to_edges(points: np.ndarray, polygon: np.ndarray) -> float:
    start = polygon
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - start
    along = np.clip(np.sum(offset * edge, axis=-1) / np.sum(edge**2, axis=-1), 0.0, 1.0)
    return float(np.linalg.norm(offset - along[..., None] * edge, axis=-1).min())
