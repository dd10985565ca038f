"""Isaac Gym behind `Sim`: arrays of the worker's shared memory, read and staged here, moved there.

    reset, randomize -> staged rows -> (worker) setters, simulate, refresh -> rows -> state

A worker is asked once a step. What a reset puts somewhere is in the rows at once, so `state` shows it, and in the
engine before its next step. Rows are the engine's float32 numbers; the gripper's pose follows from its joints.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import array_api_compat.numpy
import numpy as np

from iker_envs.components import columns, stacked
from iker_envs.geometry import cross, quaternion_rotate
from iker_envs.physics.checks import check_command, check_making, check_reset, check_state, check_values, check_world
from iker_envs.physics.isaac import wire
from iker_envs.physics.isaac.forms import Forms, shape_compliance, shape_friction, shape_restitution
from iker_envs.physics.isaac.launch import Worker, interpreter
from iker_envs.physics.mujoco_gripper import hand_pose, hinge_angles
from iker_envs.physics.mujoco_model import show_world
from iker_envs.randomisation import QUANTITIES
from iker_envs.scene import Scene
from iker_envs.sim import PictureData, Variant, WorldReset, WorldState

DEVICE = "ISAACGYM_DEVICE"  # environment variable: cpu, or cuda:0 (the default where there is such a device)
SPACING_M = 8.0  # between worlds: parked objects stand up to some metres beside a table
SUBSTEPS = 1  # of PhysX in one of ours: TGS divides a step by itself, and contact forces are told of every one
PHYSX: Mapping[str, float] = {
    "solver_type": 1,  # TGS
    "num_position_iterations": 8,
    "num_velocity_iterations": 1,
    "contact_offset": 0.005,
    "rest_offset": 0.0,
    "bounce_threshold_velocity": 0.05,
    "max_depenetration_velocity": 1.0,
    "max_gpu_contact_pairs": 2**23,
}
_BODY = ("mass", "com_offset")  # what the GPU takes before the first step only
_MATERIAL = ("friction", "restitution", "compliance")
_LOST = 1e3  # metres, m/s or rad/s: no world of ours is still meant


def find_device(asked: str = "") -> str:
    """Where PhysX shall run: as asked, else ISAACGYM_DEVICE, else the first GPU if there is one, else the CPU."""
    found = asked or os.environ.get(DEVICE) or ("cuda:0" if os.path.exists("/dev/nvidia0") else "cpu")
    kind, _, number = found.partition(":")
    if found != "cpu" and not (kind == "cuda" and number.isdecimal()):
        raise ValueError(f"the device of sim=isaac is cpu or cuda:0 (or another number), not {found!r}")
    return found


class IsaacSim:
    """N worlds of a scene in Isaac Gym; see `iker_envs.sim.Sim` for the methods.

    Args:
        scene: the scene, or variants of it; its movable objects make up the O axis, free or not.
        num_worlds: N.
        free: names of the objects that can move (default: all movable ones).
        num_threads: threads of PhysX on the CPU, 0 for all cores.
        device: cpu or cuda:0 for PhysX; empty: ISAACGYM_DEVICE, else a GPU where there is one.

    An IsaacError tells in one sentence why the worker is of no use.
    """

    def __init__(
        self,
        scene: Scene | Sequence[Variant],
        num_worlds: int,
        free: Collection[str] | None = None,
        num_threads: int = 0,
        *,
        device: str = "",
    ) -> None:
        self._variants = check_making(scene, num_worlds, free, num_threads)
        self.name = "isaac"
        self.num_worlds = num_worlds
        self.xp: ModuleType = array_api_compat.numpy
        self.device = "cpu"  # of our arrays
        self._made_in = os.getpid()
        where = find_device(device)
        python = interpreter()
        with tempfile.TemporaryDirectory(prefix="iker_isaac_") as folder:
            self._forms = Forms(self._variants, free, Path(folder))
            request = self._forms.request(self._variants)
            self.objects = self._forms.objects
            self.furniture = self._forms.furniture
            self.free = self._forms.free
            self.substep_s: float = self._forms.substep_s
            late: Literal["startup", "reset"] = "reset" if where == "cpu" else "startup"
            self.randomizable: Mapping[str, Literal["startup", "reset"]] = {
                "geometry": "reset",
                **{name: late if name in _BODY else "reset" for name in QUANTITIES if name in (*_BODY, *_MATERIAL)},
            }
            self._is_free = np.array([name in self.free for name in self.objects], dtype=bool)
            things = len(self.objects) + len(self.furniture)
            shared = wire.layout(num_worlds, len(self.objects), things, len(self._forms.joints))
            self._worker: Worker | None = Worker(python, shared)
            try:
                self._begin(self._worker, request, where, num_threads or os.cpu_count() or 1)
            except BaseException:
                self._worker.end()
                raise

    def _begin(self, worker: Worker, request: dict[str, Any], where: str, num_threads: int) -> None:
        """Rows as the scene was compiled, and a simulation of them in the worker."""
        arrays = worker.arrays
        self._root = arrays["root"]
        self._joint = arrays["joint"]
        self._target = arrays["target"]
        self._stage = {name: arrays[f"stage_{name}"] for name in ("joint", "root", "material", "body")}
        self._sent = {name: arrays[name] for name in ("material", "body")}
        self.variant: np.ndarray = arrays["variant"]
        first = self._variants[0].scene
        poses = [first.object(name).pose for name in (*self.objects, *self.furniture)]
        self._compiled = np.zeros((len(poses), wire.ROOT))
        self._compiled[:, :7] = np.array(poses).reshape(-1, 7)
        self._root[:] = self._compiled
        self._unstable = np.zeros(self.num_worlds, dtype=bool)
        self._time_s = np.zeros(self.num_worlds)
        shape = (self.num_worlds, len(self.objects))
        self._quantity = {
            name: np.full(shape if (size := QUANTITIES[name].size) == 1 else (*shape, size), QUANTITIES[name].nominal)
            for name in (*_MATERIAL, *_BODY)
        }
        self._is_prepared = False
        self._sent["material"][:] = self._material()
        self._sent["body"][:] = self._body()
        worker.ask(
            "build",
            **request,
            num_worlds=self.num_worlds,
            spacing_m=SPACING_M,
            substeps=SUBSTEPS,
            physx=dict(PHYSX),
            device=where,
            num_threads=num_threads,
        )

    def _open(self) -> Worker:
        """The worker; ValueError after `close` and in a forked process."""
        if self._worker is None:
            raise ValueError("the simulation is closed; make another one")
        if os.getpid() != self._made_in:
            raise ValueError("this simulation's Isaac Gym belongs to the process that made it; make another one here")
        return self._worker

    # -- what the drawn numbers mean here ------------------------------------------------------------------------------

    def _material(self) -> np.ndarray:
        """Friction, restitution and compliance (N, O, 3) of the objects' shapes."""
        forms = self._forms
        friction = shape_friction(forms.friction[self.variant] * self._quantity["friction"])
        restitution = shape_restitution(self._quantity["restitution"])
        compliance = shape_compliance(self._quantity["compliance"], forms.mass_kg[self.variant])
        return np.stack([friction, restitution, compliance], axis=-1)

    def _body(self) -> np.ndarray:
        """Factor on the mass and offset of its centre (N, O, 4)."""
        return np.concatenate([self._quantity["mass"][..., None], self._quantity["com_offset"]], axis=-1)

    def _stage_parameters(self, renewed: np.ndarray) -> None:
        """Hand on what differs from what the worker has; `renewed` (N,) worlds have other actors in their places."""
        for name, wanted in {"material": self._material(), "body": self._body()}.items():
            differs = (wanted != self._sent[name]).any(axis=-1)
            if name == "material" or self.randomizable["mass"] == "reset":
                differs |= renewed[:, None]
            self._stage[name][differs] = 1
            self._sent[name][:] = wanted

    def _check_in_time(self, what: str) -> None:
        if self._is_prepared and self.randomizable[what] == "startup":
            raise ValueError(
                f"{what!r} is fixed at the first step of a simulation on the GPU, for Isaac Gym takes it no later; "
                f"draw it before, or make another simulation ({DEVICE}=cpu takes it at every reset)"
            )

    def randomize(self, what: str, worlds: np.ndarray, values: np.ndarray) -> None:
        """Apply drawn numbers of a quantity in the worlds (M,), before they are reset.

        What is taken at the start only (see `randomizable`) stays when a world takes another variant.
        """
        self._open()
        check_values(self, what, worlds, values, len(self._variants))
        if not len(worlds):
            return
        renewed = np.zeros(self.num_worlds, dtype=bool)
        if what == "geometry":
            self.variant[worlds] = values
            renewed[worlds] = True
            self._stage["root"][worlds] = 1
            for name, quantity in self._quantity.items():
                if not (self._is_prepared and self.randomizable[name] == "startup"):
                    quantity[worlds] = QUANTITIES[name].nominal
        else:
            self._check_in_time(what)
            rows = np.ix_(worlds, np.flatnonzero(self._is_free))
            self._quantity[what][rows] = values[:, self._is_free]
        self._stage_parameters(renewed)

    # -- state, step, reset --------------------------------------------------------------------------------------------

    def state(self) -> WorldState:
        """The present state of all worlds, fresh arrays."""
        self._open()
        count = len(self.objects)
        rows = self._root[:, :count]
        pose = rows[..., :7].copy()
        angular = rows[..., 10:]
        centre_m = self._forms.centre_m[self.variant] + self._quantity["com_offset"]
        # Isaac Gym's linear velocity is the centre of mass's.
        linear = rows[..., 7:10] - cross(angular, quaternion_rotate(pose[..., 3:], centre_m))
        twist = np.concatenate([linear, angular], axis=-1)
        twist[:, ~self._is_free] = 0.0
        return WorldState(
            gripper_pose=stacked(hand_pose(columns(self._joint[:, :6, 0]))),
            opening_m=self._joint[:, 6:8, 0].sum(axis=-1),
            object_pose=pose,
            object_twist=twist,
            contact_force=self._open().arrays["force"].copy(),
            unstable=self._unstable.copy(),
        )

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """Lead all hands to the commanded poses (N, 7) and openings (N,), see `Sim.step`."""
        worker = self._open()
        check_command(self.num_worlds, gripper_pose, opening_m, num_substeps)
        angles = self._joint[:, 3:6, 0]
        turn = hinge_angles(gripper_pose[:, 3:]) - angles
        worker.arrays["target_before"][:] = self._target
        self._target[:, :3] = gripper_pose[:, :3]
        self._target[:, 3:6] = angles + turn - 2 * np.pi * np.round(turn / (2 * np.pi))  # the short way round
        self._target[:, 6:8] = (opening_m / 2)[:, None]
        if not self._is_prepared:
            worker.ask("prepare")
            self._is_prepared = True
        worker.ask("step", num_substeps=int(num_substeps))
        self._time_s += num_substeps * self.substep_s
        self._find_lost()

    def _find_lost(self) -> None:
        """Worlds whose numbers mean nothing are told of, and begin anew as they were compiled until a reset."""
        rows = [self._root, self._joint]
        lost = np.any([(~(np.abs(a) < _LOST)).reshape(self.num_worlds, -1).any(axis=-1) for a in rows], axis=0)
        self._unstable |= lost
        if lost.any():
            self._root[lost] = self._compiled
            self._joint[lost] = 0.0
            self._open().arrays["force"][lost] = 0.0
            self._stage["root"][lost] = 1
            self._stage["joint"][lost] = 1

    def reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        """Put worlds (M,) into the given rows at rest; the others do not notice."""
        worker = self._open()
        check_reset(self, worlds, to)
        if not len(worlds):
            return
        count = len(self.objects)
        if to.object_pose is not None:
            self._put(worlds, slice(0, count), to.object_pose)
            self._time_s[worlds] = 0.0
        if to.furniture_pose is not None:
            self._put(worlds, slice(count, None), to.furniture_pose)
        joint = np.concatenate(
            [
                to.gripper_pose[:, :3],
                hinge_angles(to.gripper_pose[:, 3:]),
                np.repeat((to.opening_m / 2)[:, None], 2, axis=1),
            ],
            axis=-1,
        )
        self._joint[worlds] = np.stack([joint, np.zeros_like(joint)], axis=-1)
        self._stage["joint"][worlds] = 1
        joint[:, 6:8] = (to.opening_command_m / 2)[:, None]
        self._target[worlds] = joint
        worker.arrays["force"][worlds] = 0.0
        self._unstable[worlds] = False

    def _put(self, worlds: np.ndarray, things: slice, pose: np.ndarray) -> None:
        self._root[worlds, things, :7] = pose
        self._root[worlds, things, 7:] = 0.0
        self._stage["root"][worlds, things] = 1

    # -- saved states, pictures, end -----------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """All that can be read of the worlds, as arrays of their own; see `set_state`."""
        return {
            name: {key: values.copy() for key, values in part.items()} if isinstance(part, dict) else part.copy()
            for name, part in self._parts().items()
        }

    def _parts(self) -> dict[str, Any]:
        force = self._open().arrays["force"]
        state = {
            "root": self._root,
            "joint": self._joint,
            "target": self._target,
            "force": force,
            "time": self._time_s,
        }
        return {"state": state, "quantity": self._quantity, "variant": self.variant, "unstable": self._unstable}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called: to the last bit of poses and velocities.

        What PhysX remembers of contacts cannot be read: a world in contact goes on alike, not to the bit.
        """
        self._open()
        check_state(state, self._parts())
        for name in _BODY:
            if not np.array_equal(state["quantity"][name], self._quantity[name]):
                self._check_in_time(name)
        renewed = self.variant != state["variant"]
        for name, values in self._parts()["state"].items():
            values[:] = state["state"][name]
        for name, values in self._quantity.items():
            values[:] = state["quantity"][name]
        self.variant[:] = state["variant"]
        self._unstable[:] = state["unstable"]
        self._stage["root"][:] = 1
        self._stage["joint"][:] = 1
        self._stage_parameters(renewed)
        self._find_lost()

    def mirror(self, world: int, data: PictureData) -> None:
        """Copy one world into MjData of a model built from the same scene, whatever is free there.

        The time is that since the world's last reset.
        """
        self._open()
        check_world(world, self.num_worlds)
        joints = dict(zip(self._forms.joints, self._joint[world, :, 0], strict=True))
        bodies = dict(zip((*self.objects, *self.furniture), self._root[world, :, :7], strict=True))
        show_world(data, joints, bodies, float(self._time_s[world]))

    def close(self) -> None:
        """End the worker and drop what it shared."""
        if self._worker is not None and os.getpid() == self._made_in:
            self._worker.end()
        self._worker = None
        for name in ("_root", "_joint", "_target", "_stage", "_sent"):
            self.__dict__.pop(name, None)
