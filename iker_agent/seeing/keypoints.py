"""Numbered keypoints of a scene: which there are, where they are, which of them are drawn on the query image.

    scene, view  ->  select_keypoints  ->  Keypoints (labels, owners, body and base frame positions, pixels, drawn)

Movable objects come first, each with its control keypoints, then furniture with a grid over its top. Labels depend on
the scene's objects alone, not on poses or on what can be seen, so a label means the same point throughout a run.
Pruning (paper III-B) only decides which of them are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from iker_envs.contract import Contract
from iker_envs.geometry import pose_apply, quaternion_conjugate, quaternion_rotate
from iker_envs.objects.household import HOLLOW, WALL_M
from iker_envs.optics import project
from iker_envs.scene import Image, ObjectModel, Scene, SceneObject, View

MIN_DISTANCE_PX = 24.0  # two marks closer than this cannot be told apart
MIN_DRAWN_PER_OBJECT = 3  # fewer do not fix a pose
_HIDDEN_M = 0.02  # an occluder known by depth alone is at least so much nearer to the camera
_HIDDEN_KNOWN_M = 0.005  # one that the segmentation shows as well
_SOLE_HEIGHT = 0.15  # of a shoe's height: the middle of the rim of the sole, which is its whole outline
_GRID_SPACING_M = 0.3
_GRID_INSET_M = 0.03
_HOLLOW_INSIDE = 0.7  # of the outline of a tray or bowl: what is surely on its floor


@dataclass(frozen=True, eq=False)
class Keypoints(Contract):
    """K keypoints, grouped by object: labels "1" to str(K), the owner's name each, local_m (K, 3) in the owner's body
    frame, world_m (K, 3) in the base frame, pixels (K, 2) in the query image ((-1, -1) behind the camera), and whether
    each is drawn."""

    labels: tuple[str, ...]
    objects: tuple[str, ...]
    local_m: np.ndarray
    world_m: np.ndarray
    pixels: np.ndarray
    drawn: tuple[bool, ...]

    def by_label(self) -> dict[str, np.ndarray]:
        """Label -> position (3,) in the base frame in metres, drawn or not."""
        return {label: np.array(xyz) for label, xyz in zip(self.labels, self.world_m, strict=True)}

    def of_object(self, name: str) -> tuple[str, ...]:
        """The labels of one object, in order; KeyError names the objects there are."""
        if name not in self.objects:
            known = ", ".join(dict.fromkeys(self.objects))
            raise KeyError(f"no object {name!r} among the keypoints; there are: {known}")
        return tuple(label for label, owner in zip(self.labels, self.objects, strict=True) if owner == name)


def select_keypoints(scene: Scene, view: View, min_distance_px: float = MIN_DISTANCE_PX) -> Keypoints:
    """The keypoints of the scene's objects and which of them to draw on the view's query image.

    Not drawn are points outside the image, points behind something else (by 2 cm; by 5 mm where the segmentation tells
    whose surface is seen), and of two points closer than `min_distance_px` one: a furniture point gives way to an
    object point, otherwise the higher label to the lower.
    """
    ordered = sorted(scene.objects, key=lambda o: not o.movable)  # a stable sort keeps the scene's order
    local = [_local_keypoints(o) for o in ordered]
    world = np.concatenate([pose_apply(o.pose, p) for o, p in zip(ordered, local, strict=True)] or [np.empty((0, 3))])
    owners = [o for o, points in zip(ordered, local, strict=True) for _ in points]
    pixels, _ = project(world, view.image.K, view.image.T_world_cam)
    index = {o.name: k for k, o in enumerate(scene.objects)}
    visible = [
        _visible(view.image, owner, index[owner.name], point, pixel)
        for owner, point, pixel in zip(owners, world, pixels, strict=True)
    ]
    return Keypoints(
        labels=tuple(str(k + 1) for k in range(len(owners))),
        objects=tuple(o.name for o in owners),
        local_m=np.concatenate(local) if local else np.empty((0, 3)),
        world_m=world,
        pixels=np.nan_to_num(pixels, nan=-1.0),
        drawn=tuple(thin_out(pixels, [o.name for o in owners], scene.movable, visible, min_distance_px)),
    )


def _local_keypoints(obj: SceneObject) -> np.ndarray:
    return marked_points(obj.model) if obj.movable else furniture_points(obj.model)


def marked_points(model: ObjectModel) -> np.ndarray:
    """The points (4, 3) of a movable object that are marked and that programs move, in its body frame.

    Its control keypoints (what policies observe), brought to the object's surface where those lie beside it: a shoe's
    front at half its height is in the air above the toe, so its points lie on the rim of the sole.
    """
    points = model.control_keypoints_m()
    if model.shape == "shoe":
        points[:, 2] = (_SOLE_HEIGHT - 0.5) * model.size_m[2]
    return points


def furniture_points(model: ObjectModel) -> np.ndarray:
    """The points (K, 3) of furniture that are marked, in its body frame: on its top, or on a hollow's floor."""
    if model.shape not in HOLLOW:
        return top_grid(model.size_m)
    points = top_grid(model.size_m * [_HOLLOW_INSIDE, _HOLLOW_INSIDE, 1.0])
    points[:, 2] = WALL_M - model.size_m[2] / 2
    return points


def top_grid(size_m: np.ndarray) -> np.ndarray:
    """A grid (K, 3), K <= 9, on the top of a bounding box (3,), both in the body frame: near rows first, left to right.

    Left is +y. A side has 3 points from 45 cm on, 1 below 10 cm; the outer ones keep 3 cm from the edge.
    """
    rows, columns = (_ticks(float(extent)) for extent in size_m[:2])
    return np.array([[x, y, size_m[2] / 2] for x in rows for y in -columns])


def _ticks(extent: float) -> np.ndarray:
    if extent < 0.1:
        return np.zeros(1)
    half = extent / 2 - _GRID_INSET_M
    return np.linspace(-half, half, int(np.clip(1 + round(extent / _GRID_SPACING_M), 2, 3)))


def _visible(image: Image, owner: SceneObject, index: int, point: np.ndarray, pixel: np.ndarray) -> bool:
    """Whether a point lies in the image and most of the 3 x 3 pixels around it show its owner or nothing nearer."""
    height, width = image.depth_m.shape
    if not (0 <= pixel[0] < width and 0 <= pixel[1] < height):  # NaN, behind the camera, fails too
        return False
    column, row = (int(np.floor(p)) for p in pixel)
    patch = np.s_[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    depth = image.depth_m[patch]
    in_front = np.where(depth > 0, _own_surface_depth(image, owner, point) - depth, 0.0)
    if image.segmentation is None:
        hidden = in_front > _HIDDEN_M
    else:
        hidden = (in_front > _HIDDEN_KNOWN_M) & (image.segmentation[patch] != index)
    return bool(np.mean(hidden) <= 0.5)


def _own_surface_depth(image: Image, owner: SceneObject, point: np.ndarray) -> float:
    """Depth at which the line of sight to a point enters the owner's bounding box: keypoints may lie inside a solid."""
    _, depth = project(point, image.K, image.T_world_cam)
    inverse = quaternion_conjugate(owner.pose[3:])
    eye = quaternion_rotate(inverse, image.T_world_cam[:3] - owner.pose[:3])
    sight = quaternion_rotate(inverse, point - owner.pose[:3]) - eye
    sight = np.where(np.abs(sight) < 1e-9, 1e-9, sight)
    half = owner.model.size_m / 2
    entry = np.minimum((-half - eye) / sight, (half - eye) / sight).max()
    return float(depth[0] * np.clip(entry, 0.0, 1.0))


def thin_out(
    pixels: np.ndarray,
    objects: Iterable[str],
    movable: Iterable[str],
    visible: Iterable[bool],
    min_distance_px: float,
) -> list[bool]:
    """Which of K points at `pixels` (K, 2), owned by `objects` (K), are drawn: those `visible` (K) less the crowded.

    Earlier points win, and points of movable objects win over all others (paper III-B). A movable object keeps three
    marks if it has three visible points that are no closer to others than half the distance (there dots would merge).
    """
    objects = list(objects)
    movable = set(movable)
    drawn = list(visible)
    order = sorted(range(len(objects)), key=lambda k: objects[k] not in movable)
    left = {name: sum(d and o == name for d, o in zip(drawn, objects, strict=True)) for name in movable}
    kept: list[int] = []
    for k in (k for k in order if drawn[k]):
        gap = min((float(np.linalg.norm(pixels[k] - pixels[j])) for j in kept), default=np.inf)
        spare = left.get(objects[k], np.inf) > MIN_DRAWN_PER_OBJECT
        if gap < (min_distance_px if spare else 0.5 * min_distance_px):
            drawn[k] = False
            if objects[k] in left:
                left[objects[k]] -= 1
        else:
            kept.append(k)
    return drawn
