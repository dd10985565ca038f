"""What is refused afterwards, told beforehand: the limits of the checks, filled in from the scene of a look.

    Look, Standing  ->  limits_text  ->  a section of the prompt

Nothing here is written by hand for a task: heights, ranges, widths and names come from the scene and from the constants
of the checks themselves (placing.py, planning).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iker_agent.asking.goals import RIGID_REFUSE_M
from iker_agent.asking.placing import (
    MAX_OVERLAP_M,
    MAX_SUPPORT_GAP_M,
    MAX_TRAVEL_M,
    MIN_TRAVEL_M,
    MIN_TURN_RAD,
    PUSH_TILT_RAD,
)
from iker_agent.config import RunConfig
from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.seeing.look import Look
from iker_envs.planning.collision import object_boxes
from iker_envs.planning.grasps import DEPTH_M, MAX_WIDTH_M, free_width_m, propose_grasps, tool_directions
from iker_envs.planning.hand import HAND_CENTRE_M, HAND_HALF_SIZE_M
from iker_envs.reach import reach_range_m
from iker_envs.scene import Grasp, Scene

_MIN_SURFACE_M = 0.08  # both ways: something can stand on it
_GRASP_HEIGHT_M = 0.05  # of the tool above what an object stands on, where its reach is told
_HAND_ABOVE_M = -HAND_CENTRE_M[2] - HAND_HALF_SIZE_M[2] - DEPTH_M  # its lower side above the top of what is held
_SIGMAS = 2.0  # of the noise of estimates: 95 % lie within
_ROUND = 1e-6
_FEW = 8  # numbers are listed up to so many


@dataclass(frozen=True)
class Standing:
    """What is left of a run, this stage not counted, and how exact what is seen is; None for what nobody knows."""

    stages_left: int | None = None
    retries_left: int | None = None
    repairs: int | None = None  # corrections of an answer in this stage
    rehearses: bool = False  # a stage is tried in simulation before it is carried out
    accuracy_m: float | None = None  # 95 % of the positions are off by less, per axis


def standing_of(config: RunConfig, number: int, missed: int) -> Standing:
    """Where a run stands in its stage `number`, counted from 1, after `missed` stages that did not succeed."""
    noise = config.perception.noise.position_m if config.perception.source == "truth" else None
    accuracy = None if noise is None else _SIGMAS * noise
    run = config.run
    return Standing(run.max_stages - number, run.retries - missed, run.repairs, run.act_above > 0, accuracy)


def limits_text(seen: Look, contract: str, standing: Standing) -> str:
    """The section, a line for each kind of limit."""
    lines = [*_things(seen, contract), *_places(seen.scene), *_grasping(seen.scene), *_motion(contract)]
    lines += _exactness(standing)
    return "\n".join(["## Limits in this scene\n", *(f"- {line}" for line in lines)])


def _things(seen: Look, contract: str) -> Iterator[str]:
    scene = seen.scene
    is_pose = signature_named(contract).rows is POSE_ROWS
    furniture = [o.name for o in scene.objects if not o.movable]
    if is_pose:
        stays = ", ".join(furniture) or "none"
        yield f"Objects that move: {', '.join(scene.movable)}. Furniture, which stays: {stays}."
        return

    def numbered(names: Sequence[str]) -> str:
        return ", ".join(f"{name} (keypoints {_span(seen.keypoints.of_object(name))})" for name in names)

    yield f"Objects that move: {numbered(scene.movable)}. Furniture, which stays: {numbered(furniture) or 'none'}."
    hidden = [label for label in seen.keypoints.labels if label not in seen.drawn]
    if hidden:
        which = ", ".join(hidden) if len(hidden) <= _FEW else f"{len(hidden)} of them"
        yield (
            f"Numbers that no image shows, since something is in front of the point or another mark too near: {which}. "
            "They are in the dictionary like all others and move with their object."
        )


def _span(labels: Sequence[str]) -> str:
    return f"{labels[0]} to {labels[-1]}" if len(labels) > 1 else labels[0]


def _places(scene: Scene) -> Iterator[str]:
    low, high = scene.workspace_m
    yield (
        f"An object's middle may end at x {low[0]:.2f} to {high[0]:.2f}, y {low[1]:.2f} to {high[1]:.2f}, as far as "
        f"the arm reaches: from x 0, y 0 that is {'; '.join(_reaches(scene))}."
    )
    tops = _surfaces(scene)
    yield (
        f"Surfaces: {', '.join(['table z 0.000', *tops])}. What is set down stands on one: z of its bottom is that of "
        f"the surface, at most {100 * MAX_SUPPORT_GAP_M:.0f} cm above it."
        + (" What is carried from one to another without being tilted changes z by their difference." if tops else "")
    )


def _surfaces(scene: Scene) -> list[str]:
    """Level tops of furniture that something can stand on."""
    return [
        f"{name} z {top:.3f} (x {a:.2f} to {b:.2f}, y {c:.2f} to {d:.2f})" for name, top, a, b, c, d in _tops(scene)
    ]


def _tops(scene: Scene) -> Iterator[tuple[str, float, float, float, float, float]]:
    """Name, height in metres and range in x and y of each such top, the highest of each piece of furniture."""
    for obj in (o for o in scene.objects if not o.movable):
        boxes = [box.corners() for box in object_boxes(obj.model, obj.pose)]
        wide = [c for c in boxes if np.all(np.ptp(c, axis=0)[:2] >= _MIN_SURFACE_M)]
        if not wide:
            continue
        height = max(float(c[:, 2].max()) for c in wide)
        there = np.concatenate([c for c in wide if c[:, 2].max() > height - 1e-3])
        (x0, y0), (x1, y1) = there.min(axis=0)[:2], there.max(axis=0)[:2]
        yield obj.name, height, float(x0), float(x1), float(y0), float(y1)


def _reaches(scene: Scene) -> Iterator[str]:
    """How far the tool comes over each surface, in each direction that it may point."""
    surfaces = [("the table", 0.0), *((name, top) for name, top, *_ in _tops(scene))]
    directions = tool_directions(scene)
    for direction, orientation in directions.items():
        told = []
        for name, height in surfaces:
            near, far = reach_range_m(np.array([1.0, 0.0, height + _GRASP_HEIGHT_M, *orientation]))
            told.append(f"{near:.2f} to {far:.2f} m over {name}")
        yield ", ".join(told) + (f" with the hand pointing {direction}" if len(directions) > 1 else "")


def _grasping(scene: Scene) -> Iterator[str]:
    """What can be grasped, with the room that it needs, and why the rest cannot."""
    rooms = []
    reasons = []
    for name in scene.movable:
        found = propose_grasps(scene, name)
        if found.grasps:
            rooms.append(f"{name} {_room_cm(scene, name, found.grasps[0]):.1f} cm")
        else:
            reasons.append(f"{name} cannot be grasped as it is ({found.reason})")
    told = [f"the fingers hold at most {100 * MAX_WIDTH_M:.0f} cm", *reasons]
    if rooms:
        told.append(
            "the open fingers need room on both sides of what they hold, where it is now and at its target: "
            f"{', '.join(rooms)} on each side; the hand above them is {200 * HAND_HALF_SIZE_M[1]:.0f} cm wide and "
            f"begins {100 * _HAND_ABOVE_M:.0f} cm above the top of what it holds"
        )
    yield f"Grasping: {'; '.join(told)}."


def _room_cm(scene: Scene, name: str, grasp: Grasp) -> float:
    """The room in centimetres beside an object for one open finger, rounded up to a millimetre."""
    obj = scene.object(name)
    room_m = free_width_m(grasp, object_boxes(obj.model, obj.pose))
    return float(np.ceil(1000 * room_m - _ROUND) / 10)


def _motion(contract: str) -> Iterator[str]:
    yield (
        "A push keeps an object on its surface and with its present tilt "
        f"(within {np.rad2deg(PUSH_TILT_RAD):.0f} degrees): it does not lift it, stand it up or level it."
    )
    rigid = (
        ""
        if signature_named(contract).rows is POSE_ROWS
        else (f" Targets of keypoints are at most {100 * RIGID_REFUSE_M:.0f} cm off a rigid motion.")
    )
    yield (
        f"A stage moves its object by at least {100 * MIN_TRAVEL_M:.1f} cm or {np.rad2deg(MIN_TURN_RAD):.0f} degrees, "
        f"and at most {MAX_TRAVEL_M:.1f} m; its target is at most {100 * MAX_OVERLAP_M:.0f} cm inside another "
        f"object.{rigid}"
    )


def _exactness(standing: Standing) -> Iterator[str]:
    if standing.accuracy_m is not None:
        yield f"Positions are estimates: off by up to {100 * standing.accuracy_m:.1f} cm along each axis."
    if standing.rehearses and standing.repairs:
        yield "An answer is tried in simulation first; where that fails you are told how, and answer again."
    left = []
    if standing.stages_left is not None:
        left.append(f"{_count(standing.stages_left, 'stage')} after this one")
    if standing.retries_left is not None:
        left.append(f"{_count(max(standing.retries_left, 0), 'missed stage')} may be tried again")
    if standing.repairs is not None:
        left.append(f"{_count(standing.repairs, 'correction')} of a refused answer in this stage")
    if left:
        yield f"What is left of the run: {'; '.join(left)}."


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number < 2 else 's'}"
