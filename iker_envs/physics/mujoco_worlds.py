"""What both MuJoCo engines share: compiled variants, where things are in them, and each world's model fields.

Scene | variants  ->  MujocoWorlds  ->  names, shapes, randomize, mirror; the engine itself is a subclass
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import array_api_compat.numpy
import numpy as np

from iker_envs.physics.checks import check_making, check_values, check_world
from iker_envs.physics.mujoco_addresses import addresses
from iker_envs.physics.mujoco_gripper import FINGERS, JOINTS
from iker_envs.physics.mujoco_model import build_variants, show_world
from iker_envs.physics.mujoco_parameters import EFFECTS, WorldModels
from iker_envs.scene import Scene
from iker_envs.sim import PictureData, Variant


class MujocoWorlds(ABC):
    """N worlds of a scene; see `iker_envs.sim.Sim` for the members. A subclass has `name`, `variant` and the physics.

    Args:
        scene: the scene, or variants of it; its movable objects make up the O axis, free or not.
        num_worlds: N.
        free: names of the objects that can move (default: all movable ones).
        num_threads: CPU threads, 0 for all cores.
    """

    name: str
    _models: WorldModels

    def __init__(
        self,
        scene: Scene | Sequence[Variant],
        num_worlds: int,
        free: Collection[str] | None = None,
        num_threads: int = 0,
    ) -> None:
        self._variants = check_making(scene, num_worlds, free, num_threads)
        self._compiled = build_variants(self._variants, free)
        self._num_threads = num_threads
        self.scene = self._variants[0].scene
        self.model = self._compiled[0]
        self._places = addresses(self.model, self.scene)
        self.num_worlds = num_worlds
        self.objects = self.scene.movable
        self.furniture = tuple(o.name for o in self.scene.objects if not o.movable)
        self.free = tuple(self.objects[k] for k in self._places.free)
        self.xp: ModuleType = array_api_compat.numpy
        self.device = "cpu"
        self.substep_s: float = self.model.opt.timestep
        self.randomizable: Mapping[str, Literal["startup", "reset"]] = dict.fromkeys(("geometry", *EFFECTS), "reset")

    @abstractmethod
    def _open(self) -> Any:
        """The engine; ValueError after `close`."""

    @abstractmethod
    def _row(self, world: int) -> tuple[np.ndarray, np.ndarray, float]:
        """One world's joint positions, poses (B, 7) of its bodies, and time."""

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """The arrays that a state is made of."""

    def randomize(self, what: str, worlds: np.ndarray, values: np.ndarray) -> None:
        """Apply drawn numbers of a quantity in the worlds (M,), before they are reset."""
        self._open()
        check_values(self, what, worlds, values, self._models.num_variants)  # type: ignore[arg-type]
        if what == "geometry":
            self._models.take_variant(worlds, values)
        else:
            self._models.randomize(what, worlds, values)

    def mirror(self, world: int, data: PictureData) -> None:
        """Copy one world into MjData of a model built from the same scene, whatever is free there.

        The time is that since the world's last reset.
        """
        self._open()
        check_world(world, self.num_worlds)
        qpos, poses, time_s = self._row(world)
        joints = {name: float(qpos[self.model.joint(name).qposadr[0]]) for name in (*JOINTS, *FINGERS)}
        bodies = {name: poses[self.model.body(name).id] for name in (*self.objects, *self.furniture)}
        show_world(data, joints, bodies, time_s)

    def _copies(self) -> dict[str, Any]:
        return {
            name: {key: values.copy() for key, values in part.items()} if isinstance(part, dict) else part.copy()
            for name, part in self._parts().items()
        }
