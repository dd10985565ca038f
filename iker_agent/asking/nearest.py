"""The accepted target that is nearest to one that was refused, and how a sentence tells it.

    Placement, refused pose  ->  nearest_accepted  ->  pose | None
    both                     ->  told              ->  "the nearest accepted position is x 0.580, y -0.115, ..."

The search tries places around the target, at the heights of the surfaces under them, from the near ones to the far
ones, a bounded number of them. What it gives has passed every check, as it is and rounded to what the sentence says.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iker_agent.asking.placing import MAX_BELOW_TABLE_M, MAX_SUPPORT_GAP_M, Fault, Placement, turned_only
from iker_envs.geometry import quaternion_from_yaw, quaternion_multiply
from iker_envs.planning.collision import lowest_m, object_boxes
from iker_envs.planning.grasps import ObjectGrasps
from iker_envs.planning.push import push_height
from iker_envs.reach import reach_range_m
from iker_envs.scene import HOME_GRIPPER_QUATERNION

_RADII_M = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.09, 0.12, 0.16, 0.20, 0.26, 0.33, 0.40)
_DIRECTIONS = 16
_OBLIQUE_M = 0.005  # a place along one axis is easier to follow than an oblique one that is nearer by so much
_HEIGHT = 0.25  # of a move upwards or down, beside one along the surface,
_OTHER_SURFACE_M = 0.3  # and with so much more where another surface was not what was wrong
_SURFACE_M = 0.04  # a higher or lower place than this is on another surface
_WRONG_HEIGHT = ("support", "sunk", "below", "step")
_MAX_CHECKS = 300
_PUSHES_M = (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20, 0.25)
_OFF_M = 0.01
_REFINEMENTS = 6
_INSIDE_M = 0.001  # off the border of the workspace, since sentences round


def nearest_accepted(placement: Placement, pose: np.ndarray, fault: Fault) -> np.ndarray | None:
    """The nearest target (7,) that passes every check, in whole millimetres from `pose` (7,); None if none was found.

    A target that tilts too much is looked for with the present tilt. Where the object cannot be grasped as it lies, or
    not with that orientation, no place would do.
    """
    if fault.kind in ("grasp now", "cone", "stays"):
        return None
    if fault.kind in ("tilt", "flip"):
        pose = _upright_again(placement, pose)
    checks = _MAX_CHECKS
    anchor = _anchor(placement, pose)
    for shift in _shifts(placement, pose, anchor, fault.kind in _WRONG_HEIGHT or _is_beneath(placement, pose)):
        if checks == 0:
            return None
        checks -= 1
        if _passes(placement, pose, shift):
            return _refined(placement, pose, anchor, shift)
    return None


def _is_beneath(placement: Placement, pose: np.ndarray) -> bool:
    """Is a grasped object's target (7,) under a surface: was the height of that forgotten?"""
    bottom = lowest_m(object_boxes(placement.object.model, pose))
    return placement.grasp and max(placement.supports_m(pose[:2])) > bottom + MAX_SUPPORT_GAP_M


def _upright_again(placement: Placement, pose: np.ndarray) -> np.ndarray:
    """The target (7,) with the object's present tilt, turned by whole degrees, on the same surface."""
    model = placement.object.model
    bottom = lowest_m(object_boxes(model, pose)) if placement.grasp else placement.bottom_m
    degrees = _whole_degrees(turned_only(placement.object, pose[3:])[0])
    turned = quaternion_multiply(quaternion_from_yaw(np.array(np.deg2rad(degrees))), placement.object.pose[3:])
    level = np.concatenate([pose[:3], turned])
    level[2] += bottom - lowest_m(object_boxes(model, level))
    return np.concatenate([np.round(level[:3], 3), turned])


def _whole_degrees(angle_rad: float) -> float:
    return float(np.round(np.rad2deg(angle_rad)))


def _anchor(placement: Placement, pose: np.ndarray) -> np.ndarray:
    """The nearest horizontal position (2,) in the workspace and, for a push, in reach along its ray from the base."""
    low, high = placement.scene.workspace_m
    position = np.clip(pose[:2], low[:2] + _INSIDE_M, high[:2] - _INSIDE_M)
    if not placement.grasp:
        boxes = object_boxes(placement.object.model, pose)
        height = push_height(boxes) + placement.bottom_m - lowest_m(boxes)
        near, far = reach_range_m(np.array([*position, height, *HOME_GRIPPER_QUATERNION]))
        distance = float(np.hypot(*position))
        if far:
            position = position * np.clip(distance, near + _INSIDE_M, far - _INSIDE_M) / max(distance, 1e-9)
    return position


def _shifts(placement: Placement, pose: np.ndarray, anchor: np.ndarray, any_surface: bool) -> Iterator[np.ndarray]:
    """Moves (3,) of the target in whole millimetres to places around the anchor, the shortest first."""
    low, high = placement.scene.workspace_m
    bottom = lowest_m(object_boxes(placement.object.model, pose))
    angles = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
    rings = [r * np.array([np.cos(a), np.sin(a)]) for r in _RADII_M for a in angles]
    found = []
    for step in (np.zeros(2), *rings):
        flat = np.round(anchor + step - pose[:2], 3)
        position = pose[:2] + flat
        if np.any(position < low[:2]) or np.any(position > high[:2]):
            continue
        levels = [placement.bottom_m] if not placement.grasp else placement.supports_m(position)
        keeps = any(-MAX_BELOW_TABLE_M <= bottom - level <= MAX_SUPPORT_GAP_M for level in levels)
        heights = {*((0.0,) if keeps else ()), *(float(np.round(level - bottom, 3)) for level in levels)}
        found += [np.append(flat, height) for height in heights]
    return iter(sorted(found, key=lambda shift: _cost(shift, any_surface)))


def _cost(shift: np.ndarray, any_surface: bool) -> float:
    """How far a move (3,) is from what was meant."""
    is_oblique = np.count_nonzero(shift[:2]) > 1
    height = abs(float(shift[2]))
    another = _OTHER_SURFACE_M * (height > _SURFACE_M and not any_surface)
    return float(np.linalg.norm(shift[:2])) + _HEIGHT * height + _OBLIQUE_M * is_oblique + another


def _passes(placement: Placement, pose: np.ndarray, shift: np.ndarray) -> bool:
    """Is the shifted target accepted, as it is and with its centre rounded, and would the object stand there?"""
    moved = np.concatenate([pose[:3] + shift, pose[3:]])
    offset = placement.offset_m(pose[3:])
    rounded = np.concatenate([np.round(moved[:3] + offset, 3) - offset, pose[3:]])
    return placement.fault(moved) is None and placement.fault(rounded) is None and placement.stands(moved)


def _refined(placement: Placement, pose: np.ndarray, anchor: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The same direction from the anchor, as little far as it goes: rings are coarse far out."""
    least = np.append(np.round(anchor - pose[:2], 3), shift[2])
    good = shift
    bad = least
    for _ in range(_REFINEMENTS):
        middle = np.round((good + bad) / 2, 3)
        if _passes(placement, pose, middle):
            good = middle
        else:
            bad = middle
    return np.concatenate([pose[:3] + good, pose[3:]])


def push_before(placement: Placement) -> np.ndarray | None:
    """The shortest push (3,) along an axis after which the object, which cannot be grasped where it is, could be.

    It is longer than needed by as much as estimates are off. None if no push up to 25 cm helps.
    """
    if placement.grasps.now.cause not in ("room", "reach"):
        return None
    pushing = Placement(placement.scene, placement.object, grasp=False)
    axes = [np.array([sign, 0.0, 0.0])[list(order)] for order in ((1, 0, 2), (0, 1, 2)) for sign in (1.0, -1.0)]
    for length in _PUSHES_M:
        for axis in axes:
            moved = np.concatenate([placement.object.pose[:3] + length * axis, placement.object.pose[3:]])
            nearly = np.concatenate([moved[:3] - _OFF_M * axis, moved[3:]])
            if pushing.fault(moved) is None and pushing.stands(moved) and _is_graspable(placement, nearly):
                return length * axis
    return None


def _is_graspable(placement: Placement, pose: np.ndarray) -> bool:
    name = placement.object.name
    return bool(ObjectGrasps(placement.scene.with_poses({name: pose}), name).now.grasps)


def told(placement: Placement, pose: np.ndarray, found: np.ndarray) -> str:
    """A clause that says where an accepted target (7,) is, seen from the refused one (7,)."""
    x, y, z = found[:3] + placement.offset_m(found[3:])
    place = f"x {x:z.3f}, y {y:z.3f}, z {z:z.3f}"
    if np.allclose(found[3:], pose[3:]):
        return f"the nearest accepted {placement.point} is {place} ({in_words(found[:3] - pose[:3])})"
    yaw, _ = turned_only(placement.object, found[3:])
    degrees = _whole_degrees(yaw)
    if not degrees:
        dx, dy, dz = found[:3] - placement.object.pose[:3]
        shift = f"x {dx:+z.3f}, y {dy:+z.3f}, z {dz:+z.3f}"
        return f"the nearest accepted target moves it by {shift}, without a turn"
    side = "left" if degrees > 0 else "right"
    turn = f"turns it {abs(degrees):.0f} degrees to the {side} about z"
    return f"the nearest accepted target {turn}, {placement.point} {place}"


def in_words(shift: np.ndarray) -> str:
    """A move (3,) as distances along the base axes: "1.5 cm towards -y, 2.0 cm towards +z"."""
    parts = [
        f"{100 * abs(d):.1f} cm towards {'+' if d > 0 else '-'}{axis}"
        for d, axis in zip(shift, "xyz", strict=True)
        if abs(d) > 0.0004
    ]
    return ", ".join(parts)
