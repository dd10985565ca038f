"""MuJoCo on CPU threads behind `Sim`: N states, N sets of physical parameters, and a choice of compiled variants.

`mujoco.batch.Batch` steps all worlds in C without the interpreter lock; every world may have its own friction, mass,
centre of mass, contact stiffness and shapes (fields expanded per world). A world that diverged is reset silently by
MuJoCo, so the per-world warning counters are read, not the (finite again) state.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import array_api_compat.numpy as xp
import mujoco
import numpy as np
from mujoco import batch

from iker_envs.geometry import quaternion_rotate
from iker_envs.physics.mujoco_gripper import FINGERS, JOINTS, hinge_angles
from iker_envs.physics.mujoco_model import COLLISION_GROUP, build_variants
from iker_envs.scene import Scene
from iker_envs.sim import Variant, WorldReset, WorldState

_DIVERGED = slice(3, 6)  # mjWARN_BADQPOS, BADQVEL, BADQACC
_POSITIONS = 1  # mjSTAGE_POS: poses are current after the last substep
_FIELDS = ("geom_friction", "geom_solref", "body_mass", "body_inertia", "body_ipos", "body_pos", "body_quat")
_OF_SHAPE = ("geom_rbound", "geom_aabb", "bvh_aabb", "dof_length")
_STATE = ("qpos", "qvel", "ctrl", "qacc_warmstart", "time")
_ABOVE_0 = ("mass", "restitution", "compliance")
_AT_LEAST_0 = ("friction", "geometry")
# Columns of geom_solref.
_TIME_CONSTANT = 0
_DAMPING_RATIO = 1


_living: weakref.WeakSet[MujocoSim] = weakref.WeakSet()  # for a process that is forked


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


class MujocoSim:
    """N worlds of a scene. Free objects have a body pose of their own, the others are welded where they are put.

    Args:
        scene: the scene, or variants of it; its movable objects make up the O axis, free or not.
        num_worlds: N.
        free: names of the objects that can move (default: all movable ones).
        num_threads: CPU threads, 0 for all cores.

    Every method raises ValueError for arrays of another shape, and `reset` and `randomize` for numbers that cannot be,
    before anything has changed.
    """

    xp = xp
    device = "cpu"
    randomizable: ClassVar = {
        "geometry": "reset",
        "friction": "reset",
        "mass": "reset",
        "com_offset": "reset",
        "restitution": "reset",
        "compliance": "reset",
    }

    def __init__(
        self,
        scene: Scene | Sequence[Variant],
        num_worlds: int,
        free: Collection[str] | None = None,
        num_threads: int = 0,
    ) -> None:
        variants = [Variant(scene)] if isinstance(scene, Scene) else list(scene)
        self.scene = variants[0].scene
        self.num_worlds = num_worlds
        self.objects = self.scene.movable
        if not isinstance(num_worlds, (int, np.integer)) or num_worlds < 1:
            raise ValueError(f"num_worlds is a whole number of at least 1, not {num_worlds!r}")
        if unknown := [name for name in free or () if name not in self.objects]:
            raise ValueError(f"{unknown[0]!r} cannot be free; movable: {', '.join(self.objects)}")
        self.furniture = tuple(o.name for o in self.scene.objects if not o.movable)
        self._models = build_variants(variants, free)
        self._num_threads = num_threads
        self.model = self._models[0]
        self.substep_s = self.model.opt.timestep
        self._num_variants = len(self._models)
        self._index(self.model)
        self._make_batch()
        _living.add(self)

    def _make_batch(self) -> None:
        """N worlds at rest in their first variant, and the threads that step them."""
        self._batch = batch.Batch(self.model, self.num_worlds, nthread=self._num_threads)
        self._has_threads = True
        bind = self._batch.bind
        self._state = {name: bind(name) for name in _STATE}
        self._qpos, self._qvel, self._ctrl = (self._state[name] for name in ("qpos", "qvel", "ctrl"))
        self._xpos = bind("xpos")
        self._xquat = bind("xquat")
        self._constraint_force = bind("qfrc_constraint")
        self._expand(self._models)
        self._unstable = np.zeros(self.num_worlds, dtype=bool)
        self._warnings = self._batch.warning[:, _DIVERGED, 1].copy()

    def _check_threads(self) -> None:
        """Where a fork has taken the threads away, go on in a batch of this process, to the last bit."""
        if not self._has_threads:
            state = self._copies()
            self._make_batch()
            self.set_state(state)

    def _expand(self, models: Sequence[mujoco.MjModel]) -> None:
        """Give every world its own copy of what is randomised and of what differs between the variants."""
        self.variant = np.zeros(self.num_worlds, dtype=int)
        differing = [name for name in sorted(batch.MODEL_FIELDS) if "." not in name and _differs(models, name)]
        self._varying = tuple(differing)
        self._shape_fields = tuple(name for name in _OF_SHAPE if name in differing)
        names = dict.fromkeys((*_FIELDS, *differing))
        self._field = {name: self._batch.expand(name) for name in names}
        rows = {name: values.shape[1] for name, values in self._field.items()}  # of bvh_aabb those of the bodies only
        self._nominal = {name: np.stack([getattr(m, name)[: rows[name]] for m in models]) for name in names}  # (V, ...)
        solref = models[0].geom_solref[[g[0] for g in self._geoms]]
        self._contact = np.tile(solref, (self.num_worlds, 1, 1))  # (N, O, 2) as asked for
        self._stale = np.zeros(self.num_worlds, dtype=bool)  # worlds whose derived constants must follow

    def _index(self, model: mujoco.MjModel) -> None:
        self._bodies = np.array([model.body(name).id for name in self.objects], dtype=int)
        self._furniture = np.array([model.body(name).id for name in self.furniture], dtype=int)
        joints = [model.body_jntadr[b] for b in self._bodies]
        self._free = np.array([k for k, j in enumerate(joints) if j >= 0], dtype=int)
        self._welded = np.array([k for k, j in enumerate(joints) if j < 0], dtype=int)
        self.free = tuple(self.objects[k] for k in self._free)
        free_joints = [joints[k] for k in self._free]
        self._free_qpos = np.array([model.jnt_qposadr[j] + np.arange(7) for j in free_joints], dtype=int).reshape(-1, 7)
        self._free_qvel = np.array([model.jnt_dofadr[j] + np.arange(6) for j in free_joints], dtype=int).reshape(-1, 6)
        self._gripper_qpos = np.array([model.joint(j).qposadr[0] for j in JOINTS])
        self._gripper_dofs = np.array([model.joint(j).dofadr[0] for j in (*JOINTS, *FINGERS)])
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
        _check_shape("gripper_pose", gripper_pose, (self.num_worlds, 7))
        _check_shape("opening_m", opening_m, (self.num_worlds,))
        self._check_threads()
        angles = self._qpos[:, self._gripper_qpos[3:]]
        turn = hinge_angles(gripper_pose[:, 3:]) - angles
        self._ctrl[:, :3] = gripper_pose[:, :3]
        self._ctrl[:, 3:6] = angles + turn - 2 * np.pi * np.round(turn / (2 * np.pi))  # the short way round
        self._ctrl[:, 6:8] = (opening_m / 2)[:, None]
        self._refresh()
        self._batch.step(nstep=num_substeps, stage=_POSITIONS)

    def reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        """Put worlds (M,) into the given rows at rest; the others do not notice."""
        self._check_reset(worlds, to)
        self._check_threads()
        self._update_unstable()
        self._refresh()
        if to.object_pose is not None:
            self._batch.reset(worlds, stage=0)
            self._place_welded(worlds, self._bodies[self._welded], to.object_pose[:, self._welded])
        if to.furniture_pose is not None:
            self._place_welded(worlds, self._furniture, to.furniture_pose)
        qpos = self._qpos[worlds]
        qvel = self._qvel[worlds]
        ctrl = self._ctrl[worlds]
        gripper = np.concatenate([to.gripper_pose[:, :3], hinge_angles(to.gripper_pose[:, 3:])], axis=-1)
        qpos[:, self._gripper_qpos] = gripper
        qpos[:, self._finger_qpos] = (to.opening_m / 2)[:, None]
        qvel[:, self._gripper_dofs] = 0.0
        if to.object_pose is not None:
            qpos[:, self._free_qpos] = to.object_pose[:, self._free]
        ctrl[:, :6] = gripper
        ctrl[:, 6:8] = (to.opening_command_m / 2)[:, None]
        self._qpos[worlds] = qpos
        self._qvel[worlds] = qvel
        self._ctrl[worlds] = ctrl
        self._batch.forward(worlds, stage=_POSITIONS)
        self._unstable[worlds] = False
        self._warnings = self._batch.warning[:, _DIVERGED, 1].copy()

    def _check_reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        shapes = {"gripper_pose": (7,), "opening_m": (), "opening_command_m": ()}
        shapes |= {"object_pose": (len(self.objects), 7), "furniture_pose": (len(self.furniture), 7)}
        self._check_worlds(worlds)
        for name, shape in shapes.items():
            if (values := getattr(to, name)) is not None:
                _check_numbers(name, values, (len(worlds), *shape))

    def _check_worlds(self, worlds: np.ndarray) -> None:
        known = f"worlds are indices from 0 to {self.num_worlds - 1}"
        if np.ndim(worlds) != 1 or np.asarray(worlds).dtype.kind not in "iu":
            raise ValueError(f"{known}, not {worlds!r}")
        if len(worlds) and not 0 <= np.min(worlds) <= np.max(worlds) < self.num_worlds:
            raise ValueError(f"{known}, not {np.asarray(worlds).tolist()}")

    def _place_welded(self, worlds: np.ndarray, bodies: np.ndarray, pose: np.ndarray) -> None:
        if len(bodies):
            cells = np.ix_(worlds, bodies)
            self._field["body_pos"][cells] = pose[..., :3]
            self._field["body_quat"][cells] = pose[..., 3:]

    def randomize(self, what: str, worlds: np.ndarray, values: np.ndarray) -> None:
        """Set a quantity in the worlds (M,), before they are reset.

        friction (M, O), mass in kg (M, O), com_offset in metres, body frame (M, O, 3), restitution (M, O): damping
        ratio of the contacts, compliance (M, O): their time constant in seconds, at least two substeps and longer where
        contacts bounce; geometry (M,): index of the variant, after which the other quantities are to be set anew.
        Welded objects have geometry only.
        """
        if what not in self.randomizable:
            raise ValueError(f"{what!r} cannot be randomised here; can be: {', '.join(self.randomizable)}")
        self._check_worlds(worlds)
        of_world = {"geometry": (), "com_offset": (len(self.objects), 3)}.get(what, (len(self.objects),))
        _check_numbers(what, values, (len(worlds), *of_world))
        if what == "geometry":
            if np.asarray(values).dtype.kind not in "iu" or np.any(np.asarray(values) >= self._num_variants):
                raise ValueError(f"geometry is an index from 0 to {self._num_variants - 1}, not {values!r}")
            self._take_variant(worlds, values)
            return
        for k in self._free:
            getattr(self, f"_set_{what}")(worlds, k, values[:, k])
        self._stale[worlds] |= what in ("mass", "com_offset")

    def _take_variant(self, worlds: np.ndarray, variant: np.ndarray) -> None:
        self.variant[worlds] = variant
        for name in self._varying:
            self._field[name][worlds] = self._nominal[name][variant]
        self._stale[worlds] |= bool(self._varying)

    def _set_friction(self, worlds: np.ndarray, k: int, values: np.ndarray) -> None:
        self._field["geom_friction"][np.ix_(worlds, self._geoms[k], [0])] = values[:, None, None]

    def _set_mass(self, worlds: np.ndarray, k: int, values: np.ndarray) -> None:
        body = self._bodies[k]
        variant = self.variant[worlds]
        scale = values / self._nominal["body_mass"][variant, body]
        self._field["body_mass"][worlds, body] = values
        self._field["body_inertia"][worlds, body] = self._nominal["body_inertia"][variant, body] * scale[:, None]

    def _set_com_offset(self, worlds: np.ndarray, k: int, values: np.ndarray) -> None:
        body = self._bodies[k]
        self._field["body_ipos"][worlds, body] = self._nominal["body_ipos"][self.variant[worlds], body] + values

    def _set_restitution(self, worlds: np.ndarray, k: int, values: np.ndarray) -> None:
        self._contact[worlds, k, _DAMPING_RATIO] = values
        self._set_contact(worlds, k)

    def _set_compliance(self, worlds: np.ndarray, k: int, values: np.ndarray) -> None:
        self._contact[worlds, k, _TIME_CONSTANT] = values
        self._set_contact(worlds, k)

    def _set_contact(self, worlds: np.ndarray, k: int) -> None:
        """A contact's spring oscillates at 1 / (time constant * damping ratio); faster than this it gains energy."""
        time_s, ratio = self._contact[worlds, k].T
        time_s = np.maximum(time_s, 2 * self.substep_s / np.minimum(ratio, 1.0))
        solref = np.stack([time_s, ratio], axis=-1)
        self._field["geom_solref"][np.ix_(worlds, self._geoms[k])] = solref[:, None]

    def _refresh(self) -> None:
        """Recompute what follows from mass and geometry where they have changed."""
        if self._stale.any():
            self._set_const(np.flatnonzero(self._stale))
            self._stale[:] = False

    def _set_const(self, worlds: np.ndarray) -> None:
        """MuJoCo's derived constants; those of shape alone come from the variants, as meshes mislead it in 4.0.0."""
        self._batch.set_const(worlds)
        for name in self._shape_fields:
            self._field[name][worlds] = self._nominal[name][self.variant[worlds]]

    def get_state(self) -> dict[str, Any]:
        """All that the future of the worlds depends on, as arrays of their own; see `set_state`."""
        self._check_threads()
        self._refresh()
        return self._copies()

    def _copies(self) -> dict[str, Any]:
        self._update_unstable()
        return {
            "state": {name: values.copy() for name, values in self._state.items()},
            "fields": {name: values.copy() for name, values in self._field.items()},
            "contact": self._contact.copy(),
            "variant": self.variant.copy(),
            "unstable": self._unstable.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, to the last bit."""
        self._check_threads()
        for name, values in state["fields"].items():
            self._field[name][:] = values
        self.variant[:] = state["variant"]
        self._set_const(np.arange(self.num_worlds))
        self._stale[:] = False
        self._batch.reset(None, stage=0)
        for name, values in state["state"].items():
            self._state[name][:] = values
        self._batch.forward(None, stage=_POSITIONS)
        self._contact[:] = state["contact"]
        self._unstable[:] = state["unstable"]
        self._warnings = self._batch.warning[:, _DIVERGED, 1].copy()

    def mirror(self, world: int, data: mujoco.MjData) -> None:
        """Copy one world into an MjData of a model built from the same scene, whatever is free there.

        Furniture and what is welded in that model are moved in the model, to where this world has them. The time is
        that since the world's last reset.
        """
        data.time = float(self._state["time"][world])
        model = data.model if hasattr(data, "model") else self.model
        for name in (*JOINTS, *FINGERS):
            data.qpos[model.joint(name).qposadr[0]] = self._qpos[world, self.model.joint(name).qposadr[0]]
        for k, name in enumerate(self.objects):
            start = model.body_jntadr[model.body(name).id]
            if start >= 0:
                address = model.jnt_qposadr[start]
                data.qpos[address : address + 3] = self._xpos[world, self._bodies[k]]
                data.qpos[address + 3 : address + 7] = self._xquat[world, self._bodies[k]]
            else:
                self._mirror_welded(world, model, name, self._bodies[k])
        for name, body in zip(self.furniture, self._furniture, strict=True):
            self._mirror_welded(world, model, name, body)

    def _mirror_welded(self, world: int, model: mujoco.MjModel, name: str, body: int) -> None:
        model.body(name).pos = self._xpos[world, body]
        model.body(name).quat = self._xquat[world, body]

    def close(self) -> None:
        """Drop the batch, its threads and the arrays that keep it alive."""
        self._batch = None
        self._state = self._field = {}
        self._qpos = self._qvel = self._ctrl = None
        self._xpos = self._xquat = self._constraint_force = None


def _check_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise ValueError(f"{name} is an array {shape}, not {np.shape(values)}")


def _check_numbers(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    """ValueError unless an array has a shape and all of it is finite, and not negative where it must not be."""
    _check_shape(name, values, shape)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} holds finite numbers, not nan or infinite ones")
    lowest = np.min(values, initial=1.0)
    if (name in _AT_LEAST_0 and lowest < 0) or (name in _ABOVE_0 and lowest <= 0):
        raise ValueError(f"{name} is {'above' if name in _ABOVE_0 else 'at least'} 0, not {lowest:g}")


def _differs(models: Sequence[mujoco.MjModel], name: str) -> bool:
    first = np.asarray(getattr(models[0], name))
    return any(not np.array_equal(first, getattr(m, name)) for m in models[1:])
