"""`gymnasium.vector.VectorEnv` over N worlds: what `gym.make_vec("IKER-...-v0", num_envs=512)` gives.

Same-step autoreset by default: an observation after the end of an episode is the next one's first, and
`info["final_obs"]` (N, obs) holds the last one (the current observation in unfinished rows). Arrays are fresh at every
step. World i depends on its own seed only (seed + i), not on how many worlds there are.

World i equals, to the last bit, the single form that is made with the same arguments and seeded with seed + i. Drawing
a start costs as much as stepping many ticks, and a grasp 26 ticks of all worlds: for training, `iker_envs.TRAINING` has
the arguments that keep a few of both per world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from iker_envs.contract import as_contract, check_whole
from iker_envs.measure import Errors
from iker_envs.scene import Goal
from iker_envs.stage.making import check_configuration, check_options, make_config, make_source
from iker_envs.stage.snapshot import Snapshot
from iker_envs.stage.stage import Stage
from iker_envs.task import Task

_OPTIONS = ("configuration", "goals", "reset_mask")


class StageVectorEnv(Snapshot, VectorEnv):
    """N worlds of one stage; arguments as `StageEnv`, and:

    Args:
        num_envs: N.
        autoreset_mode: "same_step", "next_step" or "disabled" (then `reset(options={"reset_mask": (N,) bool})`).
        random_first_age: start the first episodes at a random age, so that worlds are not in phase while training.
        render_mode: None alone; `gym.make` draws pictures, of one world.

    `reset(options={"goals": ...})` gives every world a goal of its own for its episodes from then on: N Goals (or their
    dictionaries), or target poses (N, 7) of the task's object; None for the task's own again.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own form)
    _KEPT: ClassVar = ("_np_random", "_np_random_seed", "_done", "_configuration")

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Path | Task | None = None,
        scene: Any = None,
        goal: Any = None,
        randomisation: Any = None,
        *,
        stage_index: int = 0,
        autoreset_mode: str | AutoresetMode = "same_step",
        random_first_age: bool = False,
        render_mode: str | None = None,
        **config: Any,
    ) -> None:
        own = {"stage_index": stage_index, "autoreset_mode": autoreset_mode, "random_first_age": random_first_age}
        Snapshot.__init__(self, num_envs, task, scene, goal, randomisation, **own, **config)
        if render_mode is not None:
            raise ValueError(
                f"many worlds at once draw no pictures: render_mode is None, not {render_mode!r}; "
                "gym.make(id, render_mode='rgb_array') draws one world"
            )
        self.num_envs = check_whole("num_envs", num_envs, 1)
        self.random_first_age = random_first_age
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.task, self.source, self.randomisation = make_source(task, scene, goal, randomisation, stage_index)
        config = make_config(self.source, self.task, **config)
        self._worlds = Stage(self.source, self.num_envs, config, self.randomisation)
        spec = self.worlds.config.spec
        bound = spec.observation_bound()
        self.single_observation_space = spaces.Box(-bound, bound, dtype=np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._done = np.zeros(self.num_envs, dtype=bool)
        self._configuration: list[int | None] = [None] * self.num_envs

    def reset(self, *, seed: int | Sequence[int] | None = None, options: Mapping[str, Any] | None = None):
        """Begin episodes in all worlds, or in those of `options["reset_mask"]`; seed an int or one per world.

        A world's goal holds until another is given, its configuration until its next `reset`; worlds outside the mask
        keep both. The first reset is of all worlds.
        """
        options = check_options(options, _OPTIONS)
        mask = _mask(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)), self.num_envs)
        if not self.worlds.rngs and not mask.all():
            raise ValueError("the first reset is of all worlds; call reset() without options['reset_mask'] once before")
        check_configuration(options.get("configuration"), self.source)
        seeds = self._seeds(seed) if seed is not None or not self.worlds.rngs else None
        if "goals" in options:
            self._give_goals(options["goals"], np.flatnonzero(mask))
        if seed is not None:  # `np_random_seed` tells the first world's
            super().reset(seed=seeds[0])
        if seeds is not None:
            chosen = np.flatnonzero(mask)
            self.worlds.seed(chosen, [seeds[w] for w in chosen])
        for world in np.flatnonzero(mask):
            self._configuration[world] = options.get("configuration")
        self._reset(mask)
        if self.random_first_age and mask.all():
            ages = [rng.integers(self.worlds.config.max_steps) for rng in self.worlds.rngs]
            self.worlds.episode.step_count[:] = ages
        return self.worlds.observe(), {}

    def _give_goals(self, goals: Any, worlds: np.ndarray) -> None:
        if goals is None:
            goals = [None] * self.num_envs
        if isinstance(goals, (str, Path, Mapping)) or not isinstance(goals, (Sequence, np.ndarray)):
            raise ValueError(f"options['goals'] is one goal per world, or target poses (N, 7), not {goals!r}")
        if len(goals) != self.num_envs:
            raise ValueError(
                f"options['goals'] holds {len(goals)} goals for {self.num_envs} worlds; give one per world"
            )
        goals = [self._goal(goal) for goal in goals]
        self.worlds.give_goals(worlds, [goals[w] for w in worlds])

    def _goal(self, goal: Any) -> Goal | None:
        """A world's goal from itself, its dictionary or a target pose (7,) of the task's object."""
        if isinstance(goal, (Sequence, np.ndarray)) and not isinstance(goal, str):
            own = self.worlds.variants.starts[0].goal
            given = {"object": own.object, "target_pose": goal, "grasp": own.grasp, "instruction": own.instruction}
            return Goal.from_dict(given)
        return None if goal is None else as_contract(Goal, goal)

    def _seeds(self, seed: int | Sequence[int] | None) -> list[int]:
        if seed is None:
            return [int(s) for s in np.random.SeedSequence().generate_state(self.num_envs)]
        if not isinstance(seed, (Sequence, np.ndarray)) or isinstance(seed, str):
            return [check_whole("seed", seed, 0) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds were given for {self.num_envs} worlds; give one int or one per world")
        return [check_whole("each seed", s, 0) for s in seed]

    def _reset(self, mask: np.ndarray) -> None:
        worlds = np.flatnonzero(mask)
        for configuration in dict.fromkeys(self._configuration[w] for w in worlds):
            alike = [w for w in worlds if self._configuration[w] == configuration]
            self.worlds.reset(np.array(alike), configuration)
        self._done = self._done & ~mask

    def step(self, actions):
        """One tick of 0.1 s in all worlds; actions (N, 6) in [-1, 1]."""
        self._check_ready("step")
        actions = self._check_action(actions, f"actions are {self.action_space.shape}")
        fresh = self._done if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, dtype=bool)
        rows, lost, errors = self.worlds.step(np.where(fresh[:, None], 0.0, actions))
        if fresh.any():  # next_step mode: this step is spent on the reset of worlds that had ended
            self._reset(fresh.copy())
            errors = self.worlds.errors()
        terminated = lost & ~fresh
        truncated = (self.worlds.episode.step_count >= self.worlds.config.max_steps) & ~fresh
        reward = sum(rows.values())
        info = {f"reward/{name}": np.where(fresh, 0.0, value) for name, value in rows.items()}
        info |= {"is_success": errors.success, "is_success_strict": errors.strict, "goal_error_m": errors.goal_m}
        observation = self.worlds.observe()
        self._done = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            info["final_obs"] = observation.copy()
            info["_final_obs"] = self._done.copy()
            if self._done.any():
                self._reset(self._done.copy())
                observation = self.worlds.observe()
        return observation, np.where(fresh, 0.0, reward), terminated, truncated, info

    def finish(self) -> Errors:
        """Open all hands, retreat, wait until still and measure: Errors with (N,) arrays."""
        self._check_ready("finish")
        return self.worlds.finish()

    def _check_ready(self, what: str) -> None:
        if not self.worlds.rngs:
            raise ValueError(f"call reset() before {what}()")

    def close_extras(self, **kwargs: Any) -> None:
        """Free the simulation."""
        self._close_worlds()


def _mask(value: Any, num_envs: int) -> np.ndarray:
    try:
        mask = np.asarray(value)
    except ValueError:  # rows of different lengths
        mask = np.array(None)
    if mask.shape != (num_envs,) or mask.dtype != bool:
        raise ValueError(f"options['reset_mask'] is ({num_envs},) bool, not {mask.dtype} {mask.shape}")
    return mask


def _autoreset_mode(value: str | AutoresetMode) -> AutoresetMode:
    modes = {mode.name.lower(): mode for mode in AutoresetMode}
    if isinstance(value, AutoresetMode):
        return value
    if not isinstance(value, str) or value not in modes:
        raise ValueError(f"autoreset_mode {value!r} is unknown; known: {', '.join(modes)}")
    return modes[value]
