"""MuJoCo on CPU threads behind `Sim`: one compiled scene, N states and N sets of physical parameters.

`mujoco.batch.Batch` steps all worlds in C without the interpreter lock; every world may have its own friction, mass and
centre of mass (fields expanded per world). A world that diverged is reset silently by MuJoCo, so the per-world warning
counters are read, not the (finite again) state.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import array_api_compat.numpy as xp
import mujoco
import numpy as np
from mujoco import batch

from iker_envs.geometry import quaternion_rotate
from iker_envs.gripper import FINGERS, JOINTS, hinge_angles
from iker_envs.mujoco_model import COLLISION_GROUP, build_model
from iker_envs.scene import Scene
from iker_envs.sim import WorldReset, WorldState

_DIVERGED = slice(3, 6)  # mjWARN_BADQPOS, BADQVEL, BADQACC
_POSITIONS = 1  # mjSTAGE_POS: poses are current after the last substep
_FIELDS = ("geom_friction", "body_mass", "body_inertia", "body_ipos")


class MujocoSim:
    """N worlds of a scene. Free objects have a body pose of their own, the others are welded where the scene has them.

    Args:
        scene: the scene; its movable objects make up the O axis, free or not.
        num_worlds: N.
        free: names of the objects that can move (default: all movable ones).
        num_threads: CPU threads, 0 for all cores.
    """

    xp, device = xp, "cpu"
    randomizable: ClassVar = {"friction": "reset", "mass": "reset", "com_offset": "reset"}

    def __init__(
        self, scene: Scene, num_worlds: int, free: Collection[str] | None = None, num_threads: int = 0
    ) -> None:
        self.scene, self.num_worlds, self.objects = scene, num_worlds, scene.movable
        self.model = model = build_model(scene, free)
        self.substep_s = model.opt.timestep
        self._batch = batch.Batch(model, num_worlds, nthread=num_threads)
        self._index(model)
        bind = self._batch.bind
        self._qpos, self._qvel, self._ctrl = bind("qpos"), bind("qvel"), bind("ctrl")
        self._xpos, self._xquat = bind("xpos"), bind("xquat")
        self._constraint_force = bind("qfrc_constraint")
        self._nominal = {name: np.array(getattr(model, name)) for name in _FIELDS}
        self._field = {name: self._batch.expand(name) for name in _FIELDS}
        self._unstable = np.zeros(num_worlds, dtype=bool)
        self._warnings = self._batch.warning[:, _DIVERGED, 1].copy()

    def _index(self, model: mujoco.MjModel) -> None:
        self._bodies = np.array([model.body(name).id for name in self.objects], dtype=int)
        joints = [model.body_jntadr[b] for b in self._bodies]
        self._free = np.array([k for k, j in enumerate(joints) if j >= 0], dtype=int)
        free_joints = [joints[k] for k in self._free]
        self._free_qpos = np.array([model.jnt_qposadr[j] + np.arange(7) for j in free_joints], dtype=int).reshape(-1, 7)
        self._free_qvel = np.array([model.jnt_dofadr[j] + np.arange(6) for j in free_joints], dtype=int).reshape(-1, 6)
        self._gripper_qpos = np.array([model.joint(j).qposadr[0] for j in JOINTS])
        self._slide_dofs = np.array([model.joint(j).dofadr[0] for j in JOINTS[:3]])
        self._finger_qpos = np.array([model.joint(j).qposadr[0] for j in FINGERS])
        self._hand = model.body("hand").id
        collision = np.flatnonzero(model.geom_group == COLLISION_GROUP)
        self._geoms = [collision[model.geom_bodyid[collision] == b] for b in self._bodies]

    def state(self) -> WorldState:
        """The present state of all worlds, fresh arrays."""
        self._update_unstable()
        fingers = self._qpos[:, self._finger_qpos]
        object_pose = np.concatenate([self._xpos[:, self._bodies], self._xquat[:, self._bodies]], axis=-1)
        twist = np.zeros((self.num_worlds, len(self.objects), 6))
        velocity = self._qvel[:, self._free_qvel]
        twist[:, self._free, :3] = velocity[..., :3]
        twist[:, self._free, 3:] = quaternion_rotate(object_pose[:, self._free, 3:], velocity[..., 3:])
        return WorldState(
            gripper_pose=np.concatenate([self._xpos[:, self._hand], self._xquat[:, self._hand]], axis=-1),
            opening_m=fingers.sum(axis=-1),
            object_pose=object_pose,
            object_twist=twist,
            contact_force=self._constraint_force[:, self._slide_dofs],
            unstable=self._unstable.copy(),
        )

    def _update_unstable(self) -> None:
        warnings = self._batch.warning[:, _DIVERGED, 1].copy()
        self._unstable |= (warnings != self._warnings).any(axis=-1)
        self._warnings = warnings

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """Hold the commanded poses (N, 7) and openings (N,) for `num_substeps` of `substep_s`."""
        angles = self._qpos[:, self._gripper_qpos[3:]]
        turn = hinge_angles(gripper_pose[:, 3:]) - angles
        self._ctrl[:, :3] = gripper_pose[:, :3]
        self._ctrl[:, 3:6] = angles + turn - 2 * np.pi * np.round(turn / (2 * np.pi))  # the short way round
        self._ctrl[:, 6:8] = (opening_m / 2)[:, None]
        self._batch.step(nstep=num_substeps, stage=_POSITIONS)

    def reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        """Put worlds (M,) into the given rows at rest; the others do not notice."""
        self._update_unstable()
        self._batch.reset(worlds, stage=0)
        qpos, ctrl = self._qpos[worlds], self._ctrl[worlds]
        gripper = np.concatenate([to.gripper_pose[:, :3], hinge_angles(to.gripper_pose[:, 3:])], axis=-1)
        qpos[:, self._gripper_qpos], qpos[:, self._finger_qpos] = gripper, (to.opening_m / 2)[:, None]
        for row, k in enumerate(self._free):
            qpos[:, self._free_qpos[row]] = to.object_pose[:, k]
        ctrl[:, :6], ctrl[:, 6:8] = gripper, (to.opening_command_m / 2)[:, None]
        self._qpos[worlds], self._ctrl[worlds] = qpos, ctrl
        self._batch.forward(worlds, stage=_POSITIONS)
        self._unstable[worlds] = False
        self._warnings = self._batch.warning[:, _DIVERGED, 1].copy()

    def randomize(self, what: str, worlds: np.ndarray, values: np.ndarray) -> None:
        """Set friction (M, O), mass in kg (M, O) or com_offset in metres, body frame (M, O, 3)."""
        if what not in self.randomizable:
            raise ValueError(f"{what!r} cannot be randomised here; can be: {', '.join(self.randomizable)}")
        for k in self._free:
            body = self._bodies[k]
            if what == "friction":
                self._field["geom_friction"][np.ix_(worlds, self._geoms[k], [0])] = values[:, k, None, None]
            elif what == "mass":
                scale = values[:, k] / self._nominal["body_mass"][body]
                self._field["body_mass"][worlds, body] = values[:, k]
                self._field["body_inertia"][worlds, body] = self._nominal["body_inertia"][body] * scale[:, None]
            else:
                self._field["body_ipos"][worlds, body] = self._nominal["body_ipos"][body] + values[:, k]
        if what != "friction":
            self._batch.set_const(worlds)

    def mirror(self, world: int, data: mujoco.MjData) -> None:
        """Copy one world into an MjData of a model built from the same scene, whatever is free there."""
        model = data.model if hasattr(data, "model") else self.model
        for name in (*JOINTS, *FINGERS):
            data.qpos[model.joint(name).qposadr[0]] = self._qpos[world, self.model.joint(name).qposadr[0]]
        for k, name in enumerate(self.objects):
            start = model.body_jntadr[model.body(name).id]
            if start >= 0:
                address = model.jnt_qposadr[start]
                data.qpos[address : address + 3] = self._xpos[world, self._bodies[k]]
                data.qpos[address + 3 : address + 7] = self._xquat[world, self._bodies[k]]

    def close(self) -> None:
        """Drop the batch and its threads."""
        self._batch = None
