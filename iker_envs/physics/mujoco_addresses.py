"""Where objects and gripper are in the arrays of a MuJoCo model and of its states."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from iker_envs.physics.mujoco_gripper import FINGERS, JOINTS
from iker_envs.physics.mujoco_model import COLLISION_GROUP
from iker_envs.scene import Scene


@dataclass(frozen=True, eq=False)
class Addresses:
    """Indices of bodies, geoms, joint positions and degrees of freedom; O objects, P of them free, F furniture."""

    bodies: np.ndarray  # (O,)
    furniture: np.ndarray  # (F,) bodies
    geoms: tuple[np.ndarray, ...]  # by object: its collision geoms
    free: np.ndarray  # (P,) which of the objects have a body of their own
    welded: np.ndarray  # (O - P,) which have none
    free_qpos: np.ndarray  # (P, 7)
    free_qvel: np.ndarray  # (P, 6)
    hand: int  # body
    gripper_qpos: np.ndarray  # (6,) pitch, roll and tool yaw are the last three
    gripper_dofs: np.ndarray  # (8,) with the fingers
    finger_qpos: np.ndarray  # (2,)


def addresses(model: mujoco.MjModel, scene: Scene) -> Addresses:
    """Where a scene's objects and the gripper are in a model of it."""
    bodies = np.array([model.body(name).id for name in scene.movable], dtype=int)
    joints = np.array([model.body_jntadr[b] for b in bodies], dtype=int)
    free = np.flatnonzero(joints >= 0)
    collision = np.flatnonzero(model.geom_group == COLLISION_GROUP)
    return Addresses(
        bodies=bodies,
        furniture=np.array([model.body(o.name).id for o in scene.objects if not o.movable], dtype=int),
        geoms=tuple(collision[model.geom_bodyid[collision] == b] for b in bodies),
        free=free,
        welded=np.flatnonzero(joints < 0),
        free_qpos=model.jnt_qposadr[joints[free]][:, None] + np.arange(7),
        free_qvel=model.jnt_dofadr[joints[free]][:, None] + np.arange(6),
        hand=model.body("hand").id,
        gripper_qpos=np.array([model.joint(name).qposadr[0] for name in JOINTS]),
        gripper_dofs=np.array([model.joint(name).dofadr[0] for name in (*JOINTS, *FINGERS)]),
        finger_qpos=np.array([model.joint(name).qposadr[0] for name in FINGERS]),
    )
