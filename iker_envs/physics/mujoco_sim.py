"""MuJoCo on CPU threads behind `Sim`: N states, N sets of physical parameters, and a choice of compiled variants.

`mujoco.batch.Batch` steps all worlds in C without the interpreter lock; every world may have its own friction, mass,
centre of mass, contact stiffness and shapes (see mujoco_parameters.py). A world that diverged is reset silently by
MuJoCo, so the per-world warning counters are read, not the (finite again) state.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from mujoco import batch

from iker_envs.components import beside, columns, rotate
from iker_envs.geometry import norm
from iker_envs.physics.checks import check_command, check_reset, check_state, check_worlds
from iker_envs.physics.mujoco_gripper import hand_pose, hinge_angles
from iker_envs.physics.mujoco_parameters import WorldModels
from iker_envs.physics.mujoco_worlds import MujocoWorlds
from iker_envs.scene import Scene
from iker_envs.sim import Variant, WorldReset, WorldState

_DIVERGED = slice(3, 6)  # mjWARN_BADQPOS, BADQVEL, BADQACC
_POSITIONS = 1  # mjSTAGE_POS: poses of bodies follow the joints
_FORCE = "qfrc_constraint"
_ROUNDING = 1e-15  # mjMINVAL: MuJoCo takes a quaternion that is so near to length 1 as it is
_STATE = ("qpos", "qvel", "ctrl", "qacc_warmstart", "time")
_EVERYONE = slice(None)
_living: weakref.WeakSet[MujocoSim] = weakref.WeakSet()  # for a process that is forked


def _unit(poses: np.ndarray) -> np.ndarray:
    """Poses (..., 7) with quaternions of length 1 by the engine's own measure: a joint's is told as it is."""
    length = norm(poses[..., 3:])[..., None]
    quaternion = np.where(np.abs(length - 1.0) > _ROUNDING, poses[..., 3:] / length, poses[..., 3:])
    return np.concatenate([poses[..., :3], quaternion], axis=-1)


def _leave_threads_behind() -> None:
    """In a forked process no batch has its threads: using one or freeing it would wait for them for ever.

    So the batches live on, unused, for as long as the process does; a simulation that is used again makes another one.
    A batch of one thread has none but the caller's.
    """
    for sim in _living:
        if sim._batch is not None and sim._batch.nthread > 1:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(sim._batch))
            sim._has_threads = False


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_leave_threads_behind)


class MujocoSim(MujocoWorlds):
    """N worlds of a scene; see `iker_envs.sim.Sim` for the methods and `MujocoWorlds` for the arguments."""

    name = "threads"

    def __init__(
        self,
        scene: Scene | Sequence[Variant],
        num_worlds: int,
        free: Collection[str] | None = None,
        num_threads: int = 0,
    ) -> None:
        super().__init__(scene, num_worlds, free, num_threads)
        self._make_batch()
        _living.add(self)

    def _make_batch(self) -> None:
        """N worlds as they were compiled, and the threads that step them."""
        engine = batch.Batch(self.model, self.num_worlds, nthread=self._num_threads)
        self._batch: batch.Batch | None = engine
        self._has_threads = True
        self._models = WorldModels(engine, self._compiled, self._variants, self._places, batch.MODEL_FIELDS)
        self.variant: np.ndarray = self._models.variant
        self._bind(engine)
        engine.forward(None, stage=_POSITIONS)  # until its first reset a world is as it was compiled
        self._unstable = np.zeros(self.num_worlds, dtype=bool)
        self._warnings = self._count_warnings()

    def _bind(self, engine: batch.Batch) -> None:
        """Live views (N, ...) of the engine's states and of what follows from them."""
        self._state = {name: engine.bind(name) for name in _STATE}
        self._qpos = self._state["qpos"]
        self._qvel = self._state["qvel"]
        self._ctrl = self._state["ctrl"]
        self._seen: dict[str, np.ndarray] | None = None  # what `_look` found since the last step, resets followed
        self._xpos = engine.bind("xpos")
        self._xquat = engine.bind("xquat")
        self._contact_force = np.zeros((self.num_worlds, 3), order="F")  # upon the hand, in the last substep

    def _open(self) -> batch.Batch:
        """The batch; ValueError after `close`."""
        if self._batch is None:
            raise ValueError("the simulation is closed; make another one")
        if not self._has_threads:
            self._go_on_in_this_process()
        return self._batch

    def _go_on_in_this_process(self) -> None:
        """Where a fork has taken the threads away, go on in another batch, to the last bit."""
        self._has_threads = True  # the old batch can still be read
        self._update_unstable()
        state = self._copies()
        self._make_batch()
        self.set_state(state)

    def state(self) -> WorldState:
        """The present state of all worlds, fresh arrays."""
        self._update_unstable()
        if self._seen is None:
            self._seen = self._look(_EVERYONE)
        rows = {name: values.copy(order="K") for name, values in self._seen.items()}
        return WorldState(**rows, unstable=self._unstable.copy())

    def _look(self, worlds: slice | np.ndarray) -> dict[str, np.ndarray]:
        """The parts of a state but `unstable`, of the worlds (M,)."""
        places = self._places
        left, right = (self._qpos[worlds, k] for k in places.finger_qpos)
        object_pose = self._object_poses(worlds, len(left))
        return {
            "gripper_pose": beside(hand_pose(tuple(self._qpos[worlds, k] for k in places.gripper_qpos))),
            "opening_m": left + right,
            "object_pose": object_pose,
            "object_twist": self._twists(object_pose, worlds),
            "contact_force": self._contact_force[worlds],
        }

    def _object_poses(self, worlds: slice | np.ndarray, count: int) -> np.ndarray:
        """Poses (M, O, 7) of the objects; in memory the worlds lie side by side, for formulas on components.

        Those of free ones are what their joints are at: the engine's own poses of bodies are of the substep before.
        """
        places = self._places
        poses = np.empty((7, len(self.objects), count)).T
        for k, joint in zip(places.free, places.free_qpos, strict=True):
            poses[:, k] = self._qpos[worlds, joint[0] : joint[0] + 7]
        for k in places.welded:
            poses[:, k, :3] = self._xpos[worlds, places.bodies[k]]
            poses[:, k, 3:] = self._xquat[worlds, places.bodies[k]]
        return poses

    def _twists(self, object_pose: np.ndarray, worlds: slice | np.ndarray) -> np.ndarray:
        """Twists (M, O, 6) of the objects at poses (M, O, 7), zero where welded; in memory as `_object_poses`."""
        twists = np.zeros((6, len(self.objects), len(object_pose))).T
        for k, dofs in zip(self._places.free, self._places.free_qvel, strict=True):
            twists[:, k, :3] = self._qvel[worlds, dofs[0] : dofs[0] + 3]
            turning = columns(self._qvel[worlds, dofs[3] : dofs[3] + 3])  # MuJoCo has it in the axes of the body
            for axis, values in enumerate(rotate(columns(object_pose[:, k, 3:]), turning)):
                twists[:, k, 3 + axis] = values
        return twists

    def _count_warnings(self) -> np.ndarray:
        """How often each world (N, 3) diverged so far."""
        return self._open().warning[:, _DIVERGED, 1].copy()

    def _update_unstable(self) -> None:
        warnings = self._count_warnings()
        self._unstable |= (warnings != self._warnings).any(axis=-1)
        self._warnings = warnings

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """Lead all hands to the commanded poses (N, 7) and openings (N,), see `Sim.step`."""
        check_command(self.num_worlds, gripper_pose, opening_m, num_substeps)
        self._step(None, gripper_pose, opening_m, num_substeps)

    def step_worlds(
        self, worlds: np.ndarray, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int
    ) -> None:
        """As `step`, in the worlds (M,) alone; in the other ones no time passes."""
        check_worlds(worlds, self.num_worlds)
        check_command(len(worlds), gripper_pose, opening_m, num_substeps)
        if len(worlds):
            self._step(worlds, gripper_pose, opening_m, num_substeps)

    def _step(self, worlds: np.ndarray | None, gripper_pose: np.ndarray, opening_m: np.ndarray, count: int) -> None:
        engine = self._open()
        rows = _EVERYONE if worlds is None else worlds
        told = self._ctrl[rows].copy()
        wanted = told.copy()
        angles = self._qpos[rows][:, self._places.gripper_qpos[3:]]
        turn = hinge_angles(gripper_pose[:, 3:]) - angles
        wanted[:, :3] = gripper_pose[:, :3]
        wanted[:, 3:6] = angles + turn - 2 * np.pi * np.round(turn / (2 * np.pi))  # the short way round
        wanted[:, 6:8] = (opening_m / 2)[:, None]
        self._models.refresh()
        self._seen = None
        share = np.arange(1, count)[:, None] / count
        led = np.empty((len(told), count, told.shape[1]))
        led[:, :-1] = told[:, None, :] + share * (wanted - told)[:, None, :]
        led[:, -1] = wanted
        force = engine.rollout(count, led, ids=worlds, record=(_FORCE,))[_FORCE]
        self._contact_force[rows] = force[:, -1, self._places.gripper_dofs[:3]]

    def reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        """Put worlds (M,) into the given rows at rest; the others do not notice."""
        engine = self._open()
        check_reset(self, worlds, to)
        if not len(worlds):
            return
        places = self._places
        self._update_unstable()
        self._models.refresh()
        if to.object_pose is not None:
            engine.reset(worlds, stage=0)
            self._contact_force[worlds] = 0.0
            self._models.place(worlds, places.bodies[places.welded], to.object_pose[:, places.welded])
        if to.furniture_pose is not None:
            self._models.place(worlds, places.furniture, to.furniture_pose)
        qpos = self._qpos[worlds]
        qvel = self._qvel[worlds]
        ctrl = self._ctrl[worlds]
        gripper = np.concatenate([to.gripper_pose[:, :3], hinge_angles(to.gripper_pose[:, 3:])], axis=-1)
        qpos[:, places.gripper_qpos] = gripper
        qpos[:, places.finger_qpos] = (to.opening_m / 2)[:, None]
        qvel[:, places.gripper_dofs] = 0.0
        if to.object_pose is not None:
            qpos[:, places.free_qpos] = _unit(to.object_pose[:, places.free])
        ctrl[:, :6] = gripper
        ctrl[:, 6:8] = (to.opening_command_m / 2)[:, None]
        self._qpos[worlds] = qpos
        self._qvel[worlds] = qvel
        self._ctrl[worlds] = ctrl
        engine.forward(worlds, stage=_POSITIONS)
        if self._seen is not None:
            for name, values in self._look(worlds).items():
                self._seen[name][worlds] = values
        self._unstable[worlds] = False
        self._warnings = self._count_warnings()

    def get_state(self) -> dict[str, Any]:
        """All that the future of the worlds depends on, as arrays of their own; see `set_state`."""
        self._update_unstable()
        self._models.refresh()
        return self._copies()

    def _parts(self) -> dict[str, Any]:
        """The arrays themselves that a state is made of."""
        return {
            "state": self._state,
            "fields": self._models.field,
            "contact": self._models.contact,
            "variant": self.variant,
            "unstable": self._unstable,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, to the last bit."""
        engine = self._open()
        check_state(state, self._parts())
        self._seen = None
        self._models.restore(state["fields"], state["contact"], state["variant"])
        engine.reset(None, stage=0)
        self._contact_force[:] = 0.0
        self._warnings = self._count_warnings()
        for name, values in state["state"].items():
            self._state[name][:] = values
        self._unstable[:] = state["unstable"]
        engine.forward(None, stage=_POSITIONS)  # tells of a state that has diverged already
        self._update_unstable()

    def _row(self, world: int) -> tuple[np.ndarray, np.ndarray, float]:
        self._open().forward(np.array([world]), stage=_POSITIONS)
        poses = np.concatenate([self._xpos[world], self._xquat[world]], axis=-1)
        return self._qpos[world], poses, float(self._state["time"][world])

    def close(self) -> None:
        """Drop the batch, its threads and the arrays that keep it alive."""
        self._batch = None
        for name in ("_models", "_state", "_qpos", "_qvel", "_ctrl", "_xpos", "_xquat", "_contact_force"):
            self.__dict__.pop(name, None)
