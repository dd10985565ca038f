"""A trace laid open for questions: where the goal's object was in each row, what held it up, what stood in its way.

Trace  ->  Rows  ->  poses, tilts, heights, supports, distances to the hand
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from iker_envs.events import Event
from iker_envs.geometry import (
    Array,
    norm,
    pose_apply,
    pose_inverse,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    tilt_angle,
)
from iker_envs.judging.bodies import TABLE, Body, contact_gap, level_gap, support_under
from iker_envs.judging.trace import Trace
from iker_envs.planning.collision import deepest_overlap, gripper_boxes, object_boxes

_REST_M = 0.015  # estimated poses are some millimetres off: so far apart still rests on each other
_STEP_M = 0.01  # an object is moved so far to see whether something is in its way
_HAND_OPENING_M = 0.0  # of the hand whose distance to an object is asked for: a closed one, as in pushes
_UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
_ORIGIN = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])

Question = Callable[["Rows"], Iterator[Event]]


class Rows:
    """What a trace says about its goal's object and the things around it; row indices as in the trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.name = trace.goal.object
        self.index = trace.objects.index(self.name)
        self.poses = _filled(trace.object_pose)
        self.end = len(self.poses) - 1
        self.pose = self.poses[:, self.index]
        self.target = np.asarray(trace.goal.target_pose)
        self._model = trace.scene.object(self.name).model
        self._bodies: dict[tuple[int, str], Body] = {}
        self._answers: dict[Question, list[Event]] = {}

    def answer(self, question: Question) -> list[Event]:
        """The events that a question finds in these rows; asked once."""
        if question not in self._answers:
            self._answers[question] = list(question(self))
        return self._answers[question]

    # -- the object ----------------------------------------------------------------------------------------------

    @cached_property
    def error_m(self) -> np.ndarray:
        """Mean distance (T,) of the control keypoints to their targets."""
        local = self._model.control_keypoints_m()
        return norm(pose_apply(self.pose, local) - pose_apply(self.target, local)).mean(axis=-1)

    @cached_property
    def remaining(self) -> Array:
        """What is left of the target's orientation, as quaternions (T, 4) in base axes."""
        return quaternion_multiply(self.pose[:, 3:], quaternion_conjugate(self.target[3:]))

    @cached_property
    def tilt_deg(self) -> np.ndarray:
        """Angle (T,) out of the vertical by which the object is tilted against its target."""
        return np.rad2deg(tilt_angle(self.remaining, np.tile(_UPRIGHT, (len(self.remaining), 1))))

    @cached_property
    def heading_deg(self) -> np.ndarray:
        """Angle (T,) about the vertical against the target, positive to the left."""
        q = self.remaining
        turned = 2.0 * np.rad2deg(np.arctan2(q[:, 3], q[:, 0]))
        return (turned + 180.0) % 360.0 - 180.0

    @cached_property
    def lowest_m(self) -> np.ndarray:
        """Height (T,) of the object's lowest point."""
        return self.lowest_at(self.pose)

    def lowest_at(self, poses: np.ndarray) -> np.ndarray:
        """Heights (T,) of the object's lowest point at poses (T, 7)."""
        corners = Body(self.name, _ORIGIN, object_boxes(self._model, _ORIGIN)).corners
        return pose_apply(poses, corners)[..., 2].min(axis=-1)

    @cached_property
    def in_hand_m(self) -> np.ndarray:
        """The object's centre (T, 3) in the end-effector frame; NaN where either's pose is unknown."""
        hand = self.trace.hand_pose
        centre = self.trace.object_pose[:, self.index, :3]
        return quaternion_rotate(quaternion_conjugate(hand[:, 3:]), centre - hand[:, :3])

    @cached_property
    def out_of_hand_m(self) -> np.ndarray:
        """How far (T,) the point that the fingers held when the policy began is from them; NaN where unknown.

        An object that turns about the fingers is still held.
        """
        hand = self.trace.hand_pose[:, :3]
        pose = self.trace.object_pose[:, self.index]
        begun = self.trace.begun
        local = pose_apply(pose_inverse(pose[begun]), hand[None, begun])[0]
        return norm(pose_apply(pose, local[None])[:, 0] - hand)

    # -- what is around it ---------------------------------------------------------------------------------------

    def body(self, name: str, row: int) -> Body:
        """Any object of the scene where it was in a row."""
        if (row, name) not in self._bodies:
            obj = self.trace.scene.object(name)
            is_tracked = name in self.trace.objects
            pose = self.poses[row, self.trace.objects.index(name)] if is_tracked else np.asarray(obj.pose)
            self._bodies[row, name] = Body(name, pose, object_boxes(obj.model, pose))
        return self._bodies[row, name]

    @property
    def others(self) -> list[str]:
        """All objects of the scene but the goal's."""
        return [o.name for o in self.trace.scene.objects if o.name != self.name]

    def offset_m(self, first: int, last: int) -> np.ndarray:
        """How far the object moved from one row to another (3,)."""
        return self.pose[last, :3] - self.pose[first, :3]

    def support(self, row: int, name: str = "") -> str:
        """What an object (the goal's unless named) rested on in a row, TABLE[0] for the plane z = 0.

        Empty if its centre was above nothing.
        """
        body = self.body(name or self.name, row)
        others = [o.name for o in self.trace.scene.objects if o.name != body.name]
        tops = {other: support_under(body, self.body(other, row), _REST_M) for other in others}
        rests = {n: top for n, top in tops.items() if top is not None and body.lowest_m - top <= _REST_M}
        if rests:
            return max(rests, key=lambda n: rests[n])
        return TABLE[0] if body.lowest_m <= _REST_M else ""

    def stood_on(self, row: int) -> str:
        """As `support`, or what the object touched from above though its centre was beside it."""
        body = self.body(self.name, row)
        near = map(lambda name: self.body(name, row), self.touching(row))
        below = (b.name for b in near if b.highest_m <= body.lowest_m + _REST_M and level_gap(body, b) == 0.0)
        return self.support(row) or next(below, "")

    def touching(self, row: int) -> list[str]:
        """What was in touch with the object in a row, the nearest first."""
        body = self.body(self.name, row)
        gaps = {other: contact_gap(body, self.body(other, row)) for other in self.others}
        return sorted((n for n, gap in gaps.items() if gap <= _REST_M), key=lambda n: gaps[n])

    def in_the_way(self, row: int, direction: np.ndarray) -> str:
        """What an object in a row would run into first along a unit vector (3,), within `_STEP_M`; empty if nothing."""
        body = self.body(self.name, row)
        there = np.array([*(body.pose[:3] + _STEP_M * direction), *body.pose[3:]])
        moved = object_boxes(self._model, there)
        deepest = {}
        for other in self.others:
            boxes = {other: self.body(other, row).boxes}
            after, _ = deepest_overlap(moved, boxes)
            before, _ = deepest_overlap(body.boxes, boxes)
            if after > 0 and after - before > _STEP_M / 2:
                deepest[other] = after
        return max(deepest, key=lambda n: deepest[n], default="")

    def hand_gap_m(self, name: str, row: int) -> float:
        """Distance between the closed hand and an object in a row; NaN where the hand's pose is unknown."""
        hand = self.trace.hand_pose[row]
        if not np.isfinite(hand).all():
            return float("nan")
        depth, _ = deepest_overlap(gripper_boxes(hand, _HAND_OPENING_M), {name: self.body(name, row).boxes})
        return -depth


def _filled(poses: np.ndarray) -> np.ndarray:
    """Poses (T, O, 7) in which a row of NaN repeats the one before."""
    filled = np.array(poses, dtype=float)
    for row in range(1, len(filled)):
        unknown = ~np.isfinite(filled[row]).all(axis=-1)
        filled[row, unknown] = filled[row - 1, unknown]
    return filled
