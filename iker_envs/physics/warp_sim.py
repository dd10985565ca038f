"""MuJoCo Warp behind `Sim`: N worlds on a CUDA device, or slowly on the CPU, where the same code is tested.

    numpy rows  ->  WarpSim  ->  torch views of Warp's arrays  ->  captured graphs of substeps  ->  fresh arrays
    torch tensors on the device  ->  WarpSim.ticks  ->  the same worlds without a copy

Worlds are reset by writing their rows: `mujoco_warp.reset_data` of 4.0 loses contacts of other worlds. A world whose
numbers stop being finite is put to the model's initial state by a kernel of ours after its tick, as C MuJoCo does, and
is told by `unstable`. What did not fit into the arrays of contacts or constraints is told by SimulationError.
"""

from __future__ import annotations

import copy
import gc
import os
from collections.abc import Callable, Collection, Sequence
from types import ModuleType
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp

from iker_envs.geometry import quaternion_rotate
from iker_envs.physics.checks import check_command, check_reset, check_shape, check_state
from iker_envs.physics.mujoco_gripper import hinge_angles
from iker_envs.physics.mujoco_parameters import WorldModels
from iker_envs.physics.mujoco_worlds import MujocoWorlds
from iker_envs.physics.warp_fields import KNOWN, WarpFields
from iker_envs.physics.warp_kernels import count, heal, lead
from iker_envs.scene import Scene
from iker_envs.sim import SimulationError, Variant, WorldReset, WorldState

_STATE = ("qpos", "qvel", "ctrl", "qacc_warmstart", "time")
_COMMANDED = 8  # of the controls: the joints of the hand and both fingers
_MAX_DENSE_DOFS = 60  # of mujoco_warp's dense Jacobian
# A world of one box and the hand has up to 21 contacts and 80 constraint rows; each object more adds to both.
_CONTACTS = 32
_CONTACTS_PER_OBJECT = 16
_ROWS = 128
_ROWS_PER_OBJECT = 64
_OVERFLOWS = {
    "NEFC": "njmax",
    "NJMAX_NNZ": "njmax",
    "BROADPHASE": "nconmax",
    "NARROWPHASE": "nconmax",
    "CCD": "nconmax",
}


def default_device() -> str:
    """This process's CUDA device, by LOCAL_RANK where torchrun started it; "cpu" where there is none."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


class WarpSim(MujocoWorlds):
    """N worlds of a scene; see `iker_envs.sim.Sim` for the methods and `MujocoWorlds` for the arguments, beside:

    Args:
        device: "cuda:0" or "cpu"; "" for `default_device()`.
        nconmax: contacts there is room for, a world; worlds share what others do not need. 0: by number of objects.
        njmax: constraint rows of every world. 0: by number of objects.
    """

    name = "warp"

    def __init__(
        self,
        scene: Scene | Sequence[Variant],
        num_worlds: int,
        free: Collection[str] | None = None,
        num_threads: int = 0,
        *,
        device: str = "",
        nconmax: int = 0,
        njmax: int = 0,
    ) -> None:
        super().__init__(scene, num_worlds, free, num_threads)
        self._torch_device = _device(device or default_device())
        for model in self._compiled:
            model.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)  # Warp has none that could be left out
            model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)  # boxes meet in closed form, as in C
            if model.nv > _MAX_DENSE_DOFS:
                model.opt.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
        others = max(0, len(self.free) - 1)
        self._room = {
            "nconmax": nconmax or _CONTACTS + _CONTACTS_PER_OBJECT * others,
            "njmax": njmax or _ROWS + _ROWS_PER_OBJECT * others,
        }
        self._fields = WarpFields(self.model, num_worlds)
        self._models = WorldModels(self._fields, self._compiled, self._variants, self._places, KNOWN)
        self.variant: np.ndarray = self._models.variant
        self._model: Any = self._fields.put(self._torch_device)
        self._model.opt.warn_overflow = 0  # it would print from kernels
        self._placing = copy.copy(self._model)  # the same arrays, but for one
        with warp.ScopedDevice(self._torch_device):
            self._data = mujoco_warp.make_data(self.model, nworld=num_worlds, **self._room)
            self._unstable_array = warp.zeros(num_worlds, dtype=bool)
            # Where hands are led from and to in a tick; the substeps of it that have passed, and how many it has.
            self._way = {name: warp.zeros((num_worlds, _COMMANDED), dtype=float) for name in ("before", "wanted")}
            self._way["substep"] = warp.zeros(2, dtype=int)
            # Warp computes where a geom is only if its body is not welded to the world (0); furniture is, and resets
            # move it, so nothing is welded where bodies are placed.
            self._placing.body_weldid = warp.ones(self.model.nbody, dtype=int)
        self._graphs: dict[str, Any] = {}
        self._bind()
        self._settle()

    def _bind(self) -> None:
        """Torch views (N, ...) of Warp's arrays, which share their memory: they are written, never replaced."""
        self._state = {name: warp.to_torch(getattr(self._data, name)) for name in _STATE}
        self._qpos = self._state["qpos"]
        self._qvel = self._state["qvel"]
        self._ctrl = self._state["ctrl"]
        self._xpos = warp.to_torch(self._data.xpos)
        self._xquat = warp.to_torch(self._data.xquat)
        self._force = warp.to_torch(self._data.qfrc_constraint)
        self._overflow = warp.to_torch(self._data.overflow)
        self._unstable = warp.to_torch(self._unstable_array)
        self._leading = {name: warp.to_torch(values) for name, values in self._way.items()}
        self._start = self._put(self.model.qpos0)
        places = self._places
        index = {name: getattr(places, name) for name in ("bodies", "free", "free_qpos", "free_qvel", "finger_qpos")}
        index |= {"gripper": np.concatenate([places.gripper_qpos, places.finger_qpos])}
        index |= {"hinges": places.gripper_qpos[3:], "force": places.gripper_dofs[:3]}
        self._at = {name: torch.from_numpy(values).to(self._torch_device) for name, values in index.items()}

    def _put(self, values: np.ndarray) -> torch.Tensor:
        """Numbers on the device in single precision."""
        return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(self._torch_device)

    def _open(self) -> Any:
        """The engine's state; ValueError after `close`."""
        if self._data is None:
            raise ValueError("the simulation is closed; make another one")
        return self._data

    # -- running kernels -----------------------------------------------------------------------------------------

    def _replay(self, name: str, work: Callable[[], None], times: int = 1) -> None:
        """Run some kernels on torch's stream, as a graph that is recorded after their first run."""
        with warp.ScopedDevice(self._torch_device):
            stream = self._stream()
            if name not in self._graphs:
                with warp.ScopedStream(stream):
                    work()  # loads the kernels, which cannot be done while recording
                times -= 1
                self._graphs[name] = self._recorded(work)
            for _ in range(times):
                warp.capture_launch(self._graphs[name], stream)

    def _stream(self) -> Any:
        """The stream of the device that torch uses now; None on the CPU."""
        if self._torch_device == "cpu":
            return None
        return warp.stream_from_torch(torch.cuda.current_stream(self._torch_device))

    def _recorded(self, work: Callable[[], None]) -> Any:
        """A graph of some kernels, recorded on a stream of its own: CUDA records none on torch's default stream."""
        stream = None if self._torch_device == "cpu" else warp.Stream()
        gc.disable()  # an array that is freed meanwhile would spoil the record
        try:
            with warp.ScopedStream(stream), warp.ScopedCapture(stream=stream) as capture:
                work()
        finally:
            gc.enable()
        return capture.graph

    def _substep(self) -> None:
        way = self._way
        given = [way["before"], way["wanted"], way["substep"]]
        warp.launch(lead, dim=(self.num_worlds, _COMMANDED), inputs=given, outputs=[self._data.ctrl])
        warp.launch(count, dim=1, inputs=[way["substep"]])
        mujoco_warp.step(self._model, self._data)

    def _heal_and_place(self) -> None:
        data = self._data
        arrays = [self._start_array(), data.qpos, data.qvel, data.qacc_warmstart, data.qfrc_constraint]
        warp.launch(heal, dim=self.num_worlds, inputs=[*arrays, self._unstable_array])
        mujoco_warp.kinematics(self._placing, data)

    def _start_array(self) -> Any:
        return warp.from_torch(self._start.reshape(1, -1))

    def _settle(self) -> None:
        """Bring the device's model up to date, find worlds that diverged, and put all bodies where their joints are."""
        self._refresh()
        self._replay("place", self._heal_and_place)

    def _refresh(self) -> None:
        self._models.refresh()
        if self._models.changed.any():
            self._fields.upload(np.flatnonzero(self._models.changed))
            self._models.changed[:] = False

    # -- states --------------------------------------------------------------------------------------------------

    def state(self) -> WorldState:
        """The present state of all worlds, fresh numpy arrays; SimulationError if there was no room for a contact."""
        self._check_room()
        rows = {name: values.cpu().numpy() for name, values in vars(self._read()).items()}
        return WorldState(**{name: v if v.dtype == bool else v.astype(np.float64) for name, v in rows.items()})

    def _read(self) -> WorldState:
        """The present state of all worlds, fresh tensors on the device."""
        self._open()
        at = self._at
        object_pose = self._poses(at["bodies"])
        twist = torch.zeros((*object_pose.shape[:2], 6), device=self._torch_device)
        velocity = self._qvel[:, at["free_qvel"]]
        twist[:, at["free"], :3] = velocity[..., :3]
        twist[:, at["free"], 3:] = quaternion_rotate(object_pose[:, at["free"], 3:], velocity[..., 3:])
        hand = self._places.hand
        return WorldState(
            gripper_pose=torch.cat([self._xpos[:, hand], self._xquat[:, hand]], dim=-1),
            opening_m=self._qpos[:, at["finger_qpos"]].sum(dim=-1),
            object_pose=object_pose,
            object_twist=twist,
            contact_force=self._force[:, at["force"]],
            unstable=self._unstable.clone(),
        )

    def _poses(self, bodies: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._xpos[:, bodies], self._xquat[:, bodies]], dim=-1)

    def _row(self, world: int) -> tuple[np.ndarray, np.ndarray, float]:
        poses = torch.cat([self._xpos[world], self._xquat[world]], dim=-1).cpu().numpy()
        return self._qpos[world].cpu().numpy(), poses, float(self._state["time"][world])

    def _check_room(self) -> None:
        """SimulationError if contacts or constraints were left out since the worlds were made; waits for the device."""
        self._open()
        bits = int(np.bitwise_or.reduce(self._overflow.cpu().numpy()))
        for kind, setting in _OVERFLOWS.items():
            if bits & int(mujoco_warp.OverflowType[kind]):
                now = self._room[setting]
                raise SimulationError(
                    f"physics had no room for all contacts ({kind} of MuJoCo Warp, {setting} is {now} a world); make "
                    f"the worlds with sim='warp:{setting}={2 * now}'"
                )

    # -- moving on -----------------------------------------------------------------------------------------------

    def step(self, gripper_pose: np.ndarray, opening_m: np.ndarray, num_substeps: int) -> None:
        """Lead all hands to the commanded poses (N, 7) and openings (N,), see `Sim.step`."""
        self._open()
        check_command(self.num_worlds, gripper_pose, opening_m, num_substeps)
        self._drive(self._put(gripper_pose), self._put(opening_m), num_substeps)

    def _drive(self, gripper_pose: torch.Tensor, opening_m: torch.Tensor, num_substeps: int) -> None:
        """As `step`, from tensors on the device; nothing waits for it."""
        angles = self._qpos[:, self._at["hinges"]]
        turn = hinge_angles(gripper_pose[:, 3:]) - angles
        turn = turn - 2 * torch.pi * torch.round(turn / (2 * torch.pi))  # the short way round
        finger = (opening_m / 2)[:, None]
        wanted = torch.cat([gripper_pose[:, :3], angles + turn, finger, finger], dim=-1)
        bad = ~torch.isfinite(wanted).all(dim=-1)  # clamped to a force limit, it would go unnoticed
        wanted = torch.where(bad[:, None], self._qpos[:, self._at["gripper"]], wanted)
        self._unstable |= bad
        self._refresh()
        self._begin_way(wanted, num_substeps)
        self._replay("substep", self._substep, num_substeps)
        self._replay("place", self._heal_and_place)

    def _begin_way(self, wanted: torch.Tensor, num_substeps: int) -> None:
        """Lead the hands from the present commands to those wanted (N, 8) in so many substeps from now."""
        self._leading["before"].copy_(self._ctrl[:, :_COMMANDED])
        self._leading["wanted"].copy_(wanted)
        self._leading["substep"][0] = 0
        self._leading["substep"][1] = num_substeps

    def reset(self, worlds: np.ndarray, to: WorldReset) -> None:
        """Put worlds (M,) into the given rows at rest; the others do not notice."""
        self._open()
        check_reset(self, worlds, to)
        if not len(worlds):
            return
        self._check_room()
        places = self._places
        if to.object_pose is not None:
            self._models.place(worlds, places.bodies[places.welded], to.object_pose[:, places.welded])
        if to.furniture_pose is not None:
            self._models.place(worlds, places.furniture, to.furniture_pose)
        self._write(torch.from_numpy(worlds).to(self._torch_device), to)
        self._settle()

    def _write(self, rows: torch.Tensor, to: WorldReset) -> None:
        """Write joint positions, velocities and targets of the worlds (M,)."""
        places = self._places
        clean = to.object_pose is not None
        if clean:
            self._force[rows] = 0.0
            for name, values in self._state.items():
                values[rows] = self._start if name == "qpos" else 0.0
        qpos = self._qpos[rows]
        qvel = self._qvel[rows]
        ctrl = self._ctrl[rows]
        gripper = self._put(np.concatenate([to.gripper_pose[:, :3], hinge_angles(to.gripper_pose[:, 3:])], axis=-1))
        qpos[:, places.gripper_qpos] = gripper
        qpos[:, places.finger_qpos] = self._put(to.opening_m / 2)[:, None]
        qvel[:, places.gripper_dofs] = 0.0
        if to.object_pose is not None:
            qpos[:, self._at["free_qpos"]] = self._put(to.object_pose[:, places.free])
        ctrl[:, :6] = gripper
        ctrl[:, 6:8] = self._put(to.opening_command_m / 2)[:, None]
        self._qpos[rows] = qpos
        self._qvel[rows] = qvel
        self._ctrl[rows] = ctrl
        self._unstable[rows] = False

    # -- all of it -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """All that the future of the worlds depends on, as arrays of their own; see `set_state`."""
        self._check_room()
        self._refresh()
        return self._copies()

    def _parts(self) -> dict[str, Any]:
        return {
            "state": {name: values.cpu().numpy() for name, values in self._state.items()},
            "fields": self._models.field,
            "contact": self._models.contact,
            "variant": self.variant,
            "unstable": self._unstable.cpu().numpy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called, on the CPU to the last bit."""
        self._open()
        check_state(state, self._parts())
        self._models.restore(state["fields"], state["contact"], state["variant"])
        self._force[:] = 0.0
        for name, values in state["state"].items():
            self._state[name].copy_(torch.from_numpy(values))
        self._unstable.copy_(torch.from_numpy(state["unstable"]))
        self._settle()

    def ticks(self) -> DeviceTicks:
        """The same worlds, for tensors on the device."""
        return DeviceTicks(self)

    def close(self) -> None:
        """Drop the worlds, the graphs and the views of them."""
        self._data = None
        self._graphs = {}
        for name in (
            "_models",
            "_fields",
            "_model",
            "_placing",
            "_state",
            "_qpos",
            "_qvel",
            "_ctrl",
            "_xpos",
            "_xquat",
            "_force",
            "_way",
            "_leading",
        ):
            self.__dict__.pop(name, None)


class DeviceTicks:
    """Worlds of a WarpSim on torch tensors that live where they do; see `iker_envs.sim.Ticks`."""

    def __init__(self, sim: WarpSim) -> None:
        import array_api_compat.torch

        self._sim = sim
        self.xp: ModuleType = array_api_compat.torch
        self.device = sim._torch_device

    def state(self) -> WorldState:
        """The present state of all worlds, fresh tensors; nothing is waited for."""
        return self._sim._read()

    def step(self, gripper_pose: torch.Tensor, opening_m: torch.Tensor, num_substeps: int) -> None:
        """As `Sim.step`; a number that is not finite makes its world unstable."""
        self._sim._open()
        check_shape("gripper_pose", gripper_pose, (self._sim.num_worlds, 7))
        check_shape("opening_m", opening_m, (self._sim.num_worlds,))
        self._sim._drive(gripper_pose.float(), opening_m.float(), num_substeps)


def _device(name: str) -> str:
    """The device itself; ValueError in one sentence if Warp has none of that name."""
    try:
        return str(warp.get_device(name).alias)
    except (ValueError, RuntimeError):
        known = ", ".join(device.alias for device in warp.get_devices())
        raise ValueError(f"the engine 'warp' finds no device {name!r}; there are: {known}") from None
