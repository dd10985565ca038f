"""The real scene becomes a simulated one: estimated poses, made physically possible.

    template Scene, {object: pose}  ->  scene_from_poses  ->  Scene at rest

Estimates overlap the table by millimetres and tilt by a degree or two. Objects are lifted out of what they stand on and
settle for half a second; a scene that moves further than that explains is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from iker_envs.physics.engines import DEFAULT_ENGINE, make_sim
from iker_envs.physics.mujoco_model import build_model
from iker_envs.planning.collision import lowest_m, object_boxes, scene_boxes, support_height
from iker_envs.scene import HOME_GRIPPER_QUATERNION, RESERVED_NAMES, Scene
from iker_envs.sim import WorldReset

SETTLE_S = 0.5
MAX_MOVE_M = 0.02
_GAP_M = 0.001
_HAND_ABOVE_M = 0.2  # over the workspace, out of the way
# A scene that claims to be at rest overlaps and moves at most so much.
_OVERLAP_M = 0.005
_REST_M = 0.01


class SceneNotAtRest(ValueError):
    """The estimated scene cannot stand as it is: something moved further than 2 cm while settling."""


def scene_from_poses(template: Scene, poses: Mapping[str, np.ndarray], max_move_m: float = MAX_MOVE_M) -> Scene:
    """The template's objects at poses (7,), lifted out of what they stand on and settled.

    SceneNotAtRest if one of them moves further than `max_move_m`: by default, than an error of its estimate explains.
    """
    scene = template.with_poses(poses)
    lifted = {}
    for obj in scene.objects:
        if obj.movable:
            bottom = lowest_m(object_boxes(obj.model, obj.pose))
            support = support_height(scene_boxes(scene, skip=[obj.name]), obj.pose[:2], float(obj.pose[2]))
            pose = np.array(obj.pose)
            pose[2] += max(0.0, support - bottom) + _GAP_M
            lifted[obj.name] = pose
    return settle(scene.with_poses(lifted), max_move_m=max_move_m)


def deepest_contact(scene: Scene, tolerance_m: float) -> str:
    """Which object is how far inside which other or the table, in words; empty when none is further than that."""
    model = build_model(scene)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    deepest = tolerance_m
    sentence = ""
    for contact in data.contact:
        names = [model.body(model.geom_bodyid[geom]).name for geom in contact.geom]
        things = [name for name in names if name not in RESERVED_NAMES]
        of_the_scene = all(name in (*things, "world") for name in names)  # the hand stands anywhere here
        if -contact.dist > deepest and of_the_scene:
            deepest = -contact.dist
            (one, other) = (*things, "the table")[:2]
            sentence = f"{one} is {1000 * deepest:.0f} mm inside {other}"
    return sentence


def check_at_rest(scene: Scene) -> None:
    """ValueError names what stands more than 5 mm inside something, or moves more than 1 cm within half a second."""
    if overlap := deepest_contact(scene, _OVERLAP_M):
        raise ValueError(f"the scene is not at rest: {overlap}")
    try:
        settle(scene, max_move_m=_REST_M)
    except SceneNotAtRest as error:
        raise ValueError(f"the scene is not at rest: {str(error).split(' of its')[0]}; let it settle first") from None


def settle(scene: Scene, seconds: float = SETTLE_S, max_move_m: float = MAX_MOVE_M) -> Scene:
    """Let all movable objects come to rest; SceneNotAtRest names the one that moved more than 2 cm."""
    sim = make_sim(DEFAULT_ENGINE, scene, 1, num_threads=1)
    hand = np.array([[scene.workspace_m[0, 0], 0.0, scene.workspace_m[1, 2] + _HAND_ABOVE_M, *HOME_GRIPPER_QUATERNION]])
    closed = np.zeros(1)
    start = np.array([[scene.object(name).pose for name in sim.objects]])
    sim.reset(np.arange(1), WorldReset(hand, closed, start, closed))
    sim.step(hand, closed, round(seconds / sim.substep_s))
    state = sim.state()
    sim.close()
    moved = np.linalg.norm(state.object_pose[0, :, :3] - start[0, :, :3], axis=-1)
    worst = int(np.argmax(moved))
    if state.unstable[0] or moved[worst] > max_move_m:
        how_far = "without end" if state.unstable[0] else f"by {100 * moved[worst]:.1f} cm"
        raise SceneNotAtRest(
            f"{sim.objects[worst]} moved {how_far} within {seconds} s of its estimated pose; estimate the poses again"
        )
    return scene.with_poses(dict(zip(sim.objects, state.object_pose[0], strict=True)))
