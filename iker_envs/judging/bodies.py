"""What conditions measure: bodies in a scene as points, outlines, directions and distances. Base frame, metres.

Scene, object name  ->  Body  ->  lowest and highest point, outline from above, directions of its sides
Body, Body          ->  gap, overlap, the surface under one that belongs to the other
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import ConvexHull

from iker_envs.geometry import quaternion_rotate, rotation_matrix
from iker_envs.planning.collision import OrientedBox, deepest_overlap, object_boxes, overlap_depth
from iker_envs.scene import Scene

TABLE = ("table", "floor")  # words for the plane z = 0
DIRECTIONS = {
    "forward": (1.0, 0.0, 0.0),
    "away": (1.0, 0.0, 0.0),
    "robot": (-1.0, 0.0, 0.0),
    "left": (0.0, 1.0, 0.0),
    "right": (0.0, -1.0, 0.0),
    "up": (0.0, 0.0, 1.0),
    "down": (0.0, 0.0, -1.0),
}
# Sides of bodies by their name: an axis of the body frame. A book's two covers look alike, so `cover` is either. The
# handle of a mug is on its front, the label of a folder on its spine.
SIDES = {
    "front": (1.0, 0.0, 0.0),
    "back": (-1.0, 0.0, 0.0),
    "toe": (1.0, 0.0, 0.0),
    "heel": (-1.0, 0.0, 0.0),
    "fore_edge": (1.0, 0.0, 0.0),
    "spine": (-1.0, 0.0, 0.0),
    "label": (-1.0, 0.0, 0.0),
    "handle": (1.0, 0.0, 0.0),
    "left": (0.0, 1.0, 0.0),
    "right": (0.0, -1.0, 0.0),
    "cover": (0.0, 1.0, 0.0),
    "top": (0.0, 0.0, 1.0),
    "bottom": (0.0, 0.0, -1.0),
}
TWO_SIDED = ("cover",)


@dataclass(frozen=True, eq=False)
class Body:
    """An object of a scene where it is, as its collision boxes."""

    name: str
    pose: np.ndarray  # (7,)
    boxes: list[OrientedBox]

    @cached_property
    def corners(self) -> np.ndarray:
        """Corners (K, 3) of all boxes."""
        return np.concatenate([box.corners() for box in self.boxes])

    @cached_property
    def lowest_m(self) -> float:
        return float(self.corners[:, 2].min())

    @cached_property
    def highest_m(self) -> float:
        return float(self.corners[:, 2].max())

    @cached_property
    def outline(self) -> np.ndarray:
        """The convex outline (V, 2) seen from above, counter-clockwise."""
        return _outline(self.corners)

    @cached_property
    def parts(self) -> list[Body]:
        """Every box as a body."""
        return [Body(self.name, self.pose, [box]) for box in self.boxes]

    def side(self, name: str) -> np.ndarray:
        """Unit vector (3,) out of one of `SIDES`."""
        return quaternion_rotate(self.pose[3:], np.array(SIDES[name]))

    @property
    def tilt_rad(self) -> float:
        """Angle of the body's vertical axis out of the vertical; pi when it is upside down."""
        return float(np.arccos(np.clip(rotation_matrix(self.pose[3:])[2, 2], -1.0, 1.0)))

    def extent(self, axis: int) -> tuple[float, float]:
        """Least and greatest coordinate along a base axis."""
        values = self.corners[:, axis]
        return float(values.min()), float(values.max())


def body_of(scene: Scene, name: str) -> Body:
    """The body of an object by name; KeyError names the objects there are."""
    obj = scene.object(name)
    return Body(name, np.asarray(obj.pose), object_boxes(obj.model, obj.pose))


def contact_gap(a: Body, b: Body) -> float:
    """Distance in metres between two bodies along the axis that parts them best; negative when they overlap."""
    depth, _ = deepest_overlap(a.boxes, {b.name: b.boxes})
    return -depth


def distance(a: Body, b: Body) -> float:
    """Distance in metres between two bodies, exact for upright boxes also past their corners; negative in contact."""
    gap = contact_gap(a, b)
    if gap <= 0:
        return gap
    return min(_box_distance(one, other) for one in a.boxes for other in b.boxes)


def level_gap(a: Body, b: Body) -> float:
    """Distance in metres between two outlines seen from above; 0 when they overlap."""
    return _outline_gap(a.outline, b.outline)


def _box_distance(a: OrientedBox, b: OrientedBox) -> float:
    """Distance in metres between two boxes that do not overlap: the greater of two lower bounds."""
    along_axis = -deepest_overlap([a], {"": [b]})[0]
    one, other = a.corners(), b.corners()
    rise = max(float(one[:, 2].min() - other[:, 2].max()), float(other[:, 2].min() - one[:, 2].max()), 0.0)
    return max(along_axis, float(np.hypot(_outline_gap(_outline(one), _outline(other)), rise)))


def _outline_gap(one: np.ndarray, other: np.ndarray) -> float:
    """Distance in metres between two convex outlines (V, 2); 0 when they overlap."""
    if not _parted(one, other) and not _parted(other, one):
        return 0.0
    return min(_to_edges(one, other), _to_edges(other, one))


def support_under(a: Body, b: Body, tolerance_m: float) -> float | None:
    """Height of the surface of `b` under the centre of `a`, at most at its lowest point; None if there is none."""
    reach_m = a.lowest_m + tolerance_m
    low = [part for part in b.parts if part.highest_m <= reach_m]
    return max((part.highest_m for part in low if _within(a.pose[None, :2], part.outline).all()), default=None)


def held_up(a: Body, b: Body, within_m: float) -> bool:
    """Would `a` run into `b` if it sank by so much: is there something of `b` under it?"""
    for box in a.boxes:
        sunk = replace(box, centre=box.centre - [0.0, 0.0, within_m])
        for other in b.boxes:
            deep = overlap_depth(sunk, other)
            if deep > 0 and deep - overlap_depth(box, other) > within_m / 2:
                return True
    return False


def overhang(a: Body, b: Body) -> float:
    """How far in metres the outline of `a` reaches beyond that of `b`; 0 when it lies within."""
    outside = a.outline[~_within(a.outline, b.outline)]
    return max((_to_edges(point[None], b.outline) for point in outside), default=0.0)


def outline_contains(body: Body, points: np.ndarray) -> np.ndarray:
    """Which points (..., 2) lie within the outline of a body seen from above (...)."""
    return _within(points.reshape(-1, 2), body.outline).reshape(points.shape[:-1])


def _outline(corners: np.ndarray) -> np.ndarray:
    """Convex outline (V, 2) of points (N, 3) seen from above, counter-clockwise."""
    points = corners[:, :2]
    return points[ConvexHull(points).vertices]


def _within(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points (N, 2) lie in a convex counter-clockwise polygon (V, 2): to the left of all its edges."""
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - polygon
    return (edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] >= 0).all(axis=1)


def _parted(polygon: np.ndarray, points: np.ndarray) -> bool:
    """Do all points (N, 2) lie beyond one of the edges of a convex counter-clockwise polygon (V, 2)?"""
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - polygon
    return bool((edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0] < 0).all(axis=0).any())


def _to_edges(points: np.ndarray, polygon: np.ndarray) -> float:
    """Least distance in metres from points (N, 2) to the edges of a polygon (V, 2)."""
    edge = np.roll(polygon, -1, axis=0) - polygon
    offset = points[:, None] - polygon
    along = np.clip(np.sum(offset * edge, axis=-1) / np.sum(edge**2, axis=-1), 0.0, 1.0)
    return float(np.linalg.norm(offset - along[..., None] * edge, axis=-1).min())
