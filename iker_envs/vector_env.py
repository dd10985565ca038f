"""`gymnasium.vector.VectorEnv` over N worlds: what `gym.make_vec("IKER-...-v0", num_envs=512)` gives.

Same-step autoreset by default: an observation after the end of an episode is the next one's first, and
`info["final_obs"]` (N, obs) holds the last one (the current observation in unfinished rows). `info` has gymnasium's
layout: beside every array a mask `_name` (N,) of the worlds that it is of, and `final_info` at the ends of episodes.
Arrays are fresh at every step. World i depends on its own seed only (seed + i), not on how many worlds there are.

World i equals, to the last bit, the single form that is made with the same arguments and seeded with seed + i. Drawing
a start costs as much as stepping many ticks, and a grasp 26 ticks of all worlds: for training, `iker_envs.TRAINING` has
the arguments that keep a few of both per world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from iker_envs.contract import as_contract, check_whole
from iker_envs.geometry import Array, namespace
from iker_envs.measure import Errors
from iker_envs.scene import Goal
from iker_envs.stage.arrays import copied
from iker_envs.stage.making import check_configuration, check_options, make_config, make_source
from iker_envs.stage.snapshot import Snapshot, short
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
        sim: the physics engine: "threads" (the default) or "warp"; its own settings may follow ("warp:njmax=256").
        xp: "numpy" (the default), or "torch": then actions are torch tensors on the engine's device (`device`), and so
            are observations, rewards, done flags and `info`, without a copy on a GPU. Numbers of such actions are not
            checked; where one is not finite the hand stays where it is.

    `reset(options={"goals": ...})` gives every world a goal of its own for its episodes from then on: N Goals (or their
    dictionaries), or target poses (N, 7) of the task's object; None for the task's own again.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own form)
    _KEPT: ClassVar = ("_np_random", "_np_random_seed", "_done", "_configuration")

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Path | Mapping[str, Any] | Task | None = None,
        scene: Any = None,
        goal: Any = None,
        randomisation: Any = None,
        *,
        stage_index: int = 0,
        autoreset_mode: str | AutoresetMode = "same_step",
        random_first_age: bool = False,
        render_mode: str | None = None,
        xp: str = "numpy",
        **config: Any,
    ) -> None:
        own = {"stage_index": stage_index, "autoreset_mode": autoreset_mode, "random_first_age": random_first_age}
        own |= {"xp": xp}
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
        stage_config = replace(make_config(self.source, self.task, **config), xp=xp)
        self._worlds = Stage(self.source, self.num_envs, stage_config, self.randomisation)
        spec = self.worlds.config.spec
        bound = spec.observation_bound()
        self.single_observation_space = spaces.Box(-bound, bound, dtype=np.float32)
        self.single_action_space = spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.device = self._worlds.ticks.device
        self._done: Array = self._worlds.arrays.put(np.zeros(self.num_envs, dtype=bool))
        self._configuration: list[int | None] = [None] * self.num_envs

    def _spec_arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Without the limit in ticks: `make_vec` gives it again, from `spec.max_episode_steps`."""
        return {name: value for name, value in kwargs.items() if name != "max_episode_steps"}

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """Begin episodes in all worlds, or in those of `options["reset_mask"]`; seed an int or one per world.

        A world whose seed is None goes on with the generator that it has. A world's goal holds until another is given,
        its configuration until its next `reset`; worlds outside the mask keep both. The first reset is of all worlds.
        """
        options = check_options(options, _OPTIONS)
        mask = _mask(options.get("reset_mask", np.ones(self.num_envs, dtype=bool)), self.num_envs)
        is_first = not self.worlds.rngs
        if is_first and not mask.all():
            raise ValueError("the first reset is of all worlds; call reset() without options['reset_mask'] once before")
        check_configuration(options.get("configuration"), self.source)
        seeds = self._seeds(seed)
        if "goals" in options:
            self._give_goals(options["goals"], np.flatnonzero(mask))
        if mask[0] and seeds[0] is not None:  # `np_random_seed` tells the first world's
            super().reset(seed=seeds[0])
        reseeded = [w for w in np.flatnonzero(mask) if is_first or seeds[w] is not None]
        self.worlds.seed(np.array(reseeded, dtype=int), [seeds[w] for w in reseeded])
        for world in np.flatnonzero(mask):
            self._configuration[world] = options.get("configuration")
        self._reset(mask)
        if self.random_first_age and mask.all():
            ages = [rng.integers(self.worlds.config.max_steps) for rng in self.worlds.rngs]
            self.worlds.episode.step_count[:] = self.worlds.arrays.put(np.array(ages))
        begun = self.worlds.arrays.put(mask)
        return self.worlds.observe(), _with_masks({"is_success": self.worlds.errors().success & begun}, begun)

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

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """One seed per world; None where none is given."""
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, (Sequence, np.ndarray)) or isinstance(seed, str):
            return [check_whole("seed", seed, 0) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds were given for {self.num_envs} worlds; give one int or one per world")
        return [None if s is None else check_whole("each seed", s, 0) for s in seed]

    def _reset(self, mask: Array) -> np.ndarray:
        """Begin episodes in the worlds of a mask (N,), whose indices (M,) it returns."""
        worlds = np.flatnonzero(self.worlds.arrays.host(mask))
        for configuration in dict.fromkeys(self._configuration[w] for w in worlds):
            alike = [w for w in worlds if self._configuration[w] == configuration]
            self.worlds.reset(np.array(alike), configuration)
        self._done = self._done & ~self.worlds.arrays.put(mask)
        return worlds

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Array | dict]]:
        """One tick of 0.1 s in all worlds; actions (N, 6) in [-1, 1].

        ValueError with autoreset "disabled" while a world that has ended was not reset.
        """
        self._check_ready("step")
        actions = self._check_actions(actions)
        if self.autoreset_mode == AutoresetMode.DISABLED and self._done.any():
            ended = ", ".join(map(str, np.flatnonzero(self.worlds.arrays.host(self._done))))
            raise ValueError(
                f"episodes ended in the worlds {ended}; call reset() with options['reset_mask'] of them first"
            )
        xp = self.worlds.arrays.xp
        spent = self.autoreset_mode == AutoresetMode.NEXT_STEP  # on the reset of worlds that had ended
        fresh = self._done if spent else xp.zeros_like(self._done)
        rows, lost, errors = self.worlds.step(_zero_where(fresh[:, None], actions) if spent else actions)
        if spent and fresh.any():
            rows = {name: _zero_where(fresh, value) for name, value in rows.items()}
            self._reset(copied(fresh))
            errors = self.worlds.errors()
        terminated = lost & ~fresh
        truncated = (self.worlds.episode.step_count >= self.worlds.config.max_steps) & ~fresh
        reward = sum(rows.values())
        values = {f"reward/{name}": value for name, value in rows.items()}
        values |= {"is_success_strict": errors.strict, "goal_error_m": errors.goal_m}
        arrays = _with_masks(values, ~fresh) | _with_masks({"is_success": errors.success}, xp.ones_like(fresh))
        info: dict[str, Array | dict] = {**arrays}
        self._done = terminated | truncated
        observation = self.worlds.observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            info |= _with_masks({"final_obs": copied(observation)}, self._done)
            if self._done.any():
                info |= _final_info(arrays, self._done)
                begun = self._reset(copied(self._done))
                observation[begun] = self.worlds.observe(begun)
        return observation, reward, terminated, truncated, info

    def _check_actions(self, actions: Array) -> Array:
        """The actions (N, 6) as the worlds take them; ValueError unless they have the space's shape."""
        what = f"actions are {self.action_space.shape}"
        if self.worlds.arrays.on_host:
            return self._check_action(actions, what)
        here = not isinstance(actions, np.ndarray) and str(getattr(actions, "device", "")) == self.device
        if not here or tuple(actions.shape) != self.action_space.shape:
            raise ValueError(f"{what} a torch tensor on {self.device}, not {short(actions)}")
        return self.worlds.arrays.xp.astype(actions, self.worlds.episode.error_m.dtype)

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


def _zero_where(chosen: Array, values: Array) -> Array:
    """The values, 0 where chosen."""
    xp = namespace(values)
    return xp.where(chosen, xp.zeros_like(values), values)


def _with_masks(values: Mapping[str, Array], mask: Array) -> dict[str, Array]:
    """Rows (N, ...) by name, each beside `_name` (N,) bool: the worlds that have it, as gymnasium tells them."""
    info = {}
    for name, value in values.items():
        info[name] = value
        info[f"_{name}"] = copied(mask)
    return info


def _final_info(arrays: Mapping[str, Array], ended: Array) -> dict[str, Array | dict]:
    """gymnasium's "final_info": what `arrays` say of the worlds that ended (N,), and zeros for the other ones."""
    names = [name for name in arrays if not name.startswith("_")]
    others = ~ended
    values = {name: _zero_where(others, arrays[name]) for name in names}
    return {"final_info": _with_masks(values, ended), "_final_info": copied(ended)}


def _mask(value: Any, num_envs: int) -> np.ndarray:
    """The chosen worlds (N,) bool; ValueError if it is no such mask or chooses none."""
    try:
        mask = np.asarray(value)
    except ValueError:  # rows of different lengths
        mask = np.array(None)
    if mask.shape != (num_envs,) or mask.dtype != bool:
        raise ValueError(f"options['reset_mask'] is ({num_envs},) bool, not {mask.dtype} {mask.shape}")
    if not mask.any():
        raise ValueError("options['reset_mask'] chooses no world; give a mask with at least one True, or none")
    return mask


def _autoreset_mode(value: str | AutoresetMode) -> AutoresetMode:
    """The mode from itself, its word ("same_step") or gymnasium's own ("SameStep")."""
    words = {mode.name.lower(): mode for mode in AutoresetMode}
    if isinstance(value, AutoresetMode):
        return value
    modes = words | {mode.value: mode for mode in AutoresetMode}
    if not isinstance(value, str) or value not in modes:
        raise ValueError(f"autoreset_mode {value!r} is unknown; known: {', '.join(words)}")
    return modes[value]
