"""Any simulation on torch tensors: MuJoCo Warp shares its memory, an engine of the CPU copies.

Sim  ->  torch_ticks  ->  Ticks, whose arrays are torch tensors
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import array_api_compat.torch
import torch

from iker_envs.physics.checks import check_shape
from iker_envs.sim import Sim, Ticks, WorldState


def torch_ticks(sim: Sim) -> Ticks:
    """The worlds of a simulation for torch tensors on its own device."""
    ticks: Callable[[], Ticks] | None = getattr(sim, "ticks", None)
    return ticks() if ticks else HostTicks(sim)


class HostTicks:
    """Worlds of an engine on the CPU, its numbers copied to and from tensors in single precision."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self.xp: ModuleType = array_api_compat.torch
        self.device = "cpu"

    def state(self) -> WorldState:
        """The present state of all worlds, fresh tensors."""
        rows = {name: torch.from_numpy(values) for name, values in vars(self._sim.state()).items()}
        return WorldState(**{name: v if v.dtype == torch.bool else v.float() for name, v in rows.items()})

    def step(self, gripper_pose: torch.Tensor, opening_m: torch.Tensor, num_substeps: int) -> None:
        """As `Sim.step`."""
        check_shape("gripper_pose", gripper_pose, (self._sim.num_worlds, 7))
        check_shape("opening_m", opening_m, (self._sim.num_worlds,))
        self._sim.step(gripper_pose.double().numpy(), opening_m.double().numpy(), num_substeps)
