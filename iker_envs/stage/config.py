"""How the worlds of a stage are run, beside their scene and goal."""

from __future__ import annotations

from dataclasses import dataclass, field

from iker_envs.contract import check_whole
from iker_envs.physics.engines import ARRAYS, DEFAULT_ENGINE, check_engine
from iker_envs.rewards import RewardConfig
from iker_envs.spec import Spec

FREE = ("all", "near")


@dataclass(frozen=True)
class StageConfig:
    """Settings of N worlds; the defaults are those of both forms of the environment.

    Raises ValueError for a value that cannot be.
    """

    spec: Spec = field(default_factory=Spec)
    rewards: RewardConfig = field(default_factory=RewardConfig)
    max_steps: int = 60  # time limit of an episode in ticks
    free: str = "all"  # "all": every movable object is simulated; "near": the goal's object and its neighbourhood
    grasp_bank: int = 0  # grasped states that a world makes once and then repeats; 0: it grasps in every episode
    start_bank: int = 0  # starts that a world draws before it repeats them; 0: it draws in every episode
    num_threads: int = 0  # CPU threads of the physics; 0: all cores, or one for a single world
    sim: str = DEFAULT_ENGINE  # the physics engine; see iker_envs.physics.engines
    xp: str = "numpy"  # whose arrays a tick takes and gives: numpy, or torch on the engine's device

    def __post_init__(self) -> None:
        if self.free not in FREE:
            raise ValueError(f"free is 'near' or 'all', not {self.free!r}")
        check_engine(self.sim)
        if self.xp not in ARRAYS:
            raise ValueError(f"xp is {' or '.join(ARRAYS)}, not {self.xp!r}")
        check_whole("grasp_bank", self.grasp_bank, 0)
        check_whole("start_bank", self.start_bank, 0)
        check_whole("num_threads", self.num_threads, 0)
