"""N simulated worlds in which one object should reach a target pose: drawn, placed, stepped, observed, measured.

    draw  ->  arrange  ->  place  ->  begin  ->  (step  ->  observe) x T

No gymnasium, no learning; what begins and ends an episode is in stage.py. All randomness of world i comes from its own
generator, so a world behaves the same whatever the number of worlds beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from iker_envs.components import Array
from iker_envs.geometry import pose_apply
from iker_envs.judging.trace import Trace
from iker_envs.measure import Errors
from iker_envs.physics.engines import make_sim, make_ticks
from iker_envs.planning.fingertips import FurnitureTops
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Scene
from iker_envs.sim import Sim, Ticks, WorldReset, WorldState
from iker_envs.stage.arrangements import Arrangement, Arrangements
from iker_envs.stage.arrays import Arrays
from iker_envs.stage.config import StageConfig
from iker_envs.stage.episode import Episode
from iker_envs.stage.parameters import Physics
from iker_envs.stage.recorder import Recorder
from iker_envs.stage.sensing import Sensing
from iker_envs.stage.starts import StartSource
from iker_envs.stage.subroutines import in_hand
from iker_envs.stage.tick import Measured, Tick, errors_of, object_pose
from iker_envs.stage.variants import make_variants

_STATE_VERSION = 4  # of what `get_state` gives; another one is refused


class Worlds:
    """Physics of N worlds, the arrays of their episodes, and what happens to them in a tick.

    What a tick needs (`state`, most of `episode`) is in the arrays of `ticks`, which may be tensors on a device; what
    begins and ends an episode works through `sim` on the host.

    `state` (a WorldState) and `episode` (an Episode) are valid after `begin`; `physics.drawn` maps a randomised
    quantity to the numbers of each world; `rngs` holds one generator per world, and none before the first `seed`.
    """

    def __init__(self, source: StartSource, num_worlds: int, config: StageConfig, randomisation: Randomisation) -> None:
        self.source = source
        self.config = config
        self.randomisation = randomisation
        self.num_worlds = num_worlds
        self.rngs: list[np.random.Generator] = []
        self.variants = make_variants(source, randomisation, config.free)
        num_threads = 1 if num_worlds == 1 else config.num_threads
        self.sim: Sim = make_sim(
            config.sim, self.variants.items, num_worlds, self.variants.free, num_threads=num_threads
        )
        self.ticks: Ticks = make_ticks(self.sim, config.xp)
        self.arrays = Arrays(self.ticks)
        self.physics = Physics(self.sim, self.variants, randomisation)
        self.arrangements = Arrangements(source, self.variants, randomisation, num_worlds, config.start_bank)
        self.sensing = Sensing(randomisation, num_worlds, config.max_steps, self.arrays)
        self.substeps = round(1.0 / config.spec.control_hz / self.sim.substep_s)
        self.workspace_m = np.array(self.variants.scene.workspace_m)
        self.tick = Tick(config, self.arrays, self.workspace_m)
        self.state: WorldState = self.ticks.state()
        self._everyone = np.arange(num_worlds)
        goal = self.variants.starts[0].goal
        furniture = np.array([o.pose for o in self.variants.scene.objects if not o.movable]).reshape(-1, 7)
        self._tops = FurnitureTops([start.scene for start in self.variants.starts])
        episode = Episode.allocate(num_worlds, len(self.sim.objects), furniture, goal)
        episode.tops = self._tops.at(episode.configuration, episode.furniture_pose)
        self.episode = episode.put(self.arrays)
        self.recorder: Recorder | None = None  # what happens is recorded where `record` asked for it
        self._set_goals(self._everyone, [goal] * num_worlds)

    @property
    def goal(self) -> Goal:
        """The goal of world 0; all worlds grasp, or all push."""
        return self.episode.goals[0]

    @property
    def scene(self) -> Scene:
        """World 0's scene as its episode began; models are the nominal ones, whatever size was drawn."""
        return self._scene(0, self.arrays.host(self.episode.start_pose[0]))

    def scene_now(self, world: int) -> Scene:
        """The scene with the objects where they are in one world."""
        return self._scene(world, self.sim.state().object_pose[world])

    def template(self, world: int) -> Scene:
        """What a world is made of: models, furniture where it stands, cameras; the objects' poses mean nothing."""
        scene = self.variants.starts[self.episode.configuration[world]].scene
        furniture = zip(self.sim.furniture, self.episode.furniture_pose[world], strict=True)
        return scene.with_poses(dict(furniture)) if self.rngs else scene

    def _scene(self, world: int, poses: np.ndarray) -> Scene:
        template = self.template(world)
        if not self.rngs:  # nothing has been placed yet
            return template
        return template.with_poses(dict(zip(self.sim.objects, poses, strict=True)))

    def seed(self, worlds: np.ndarray, seeds: Sequence[int | None]) -> None:
        """New generators for the worlds (M,), which forget what they drew with others; None: a random seed.

        The first call is for all worlds.
        """
        rngs = dict(enumerate(self.rngs))
        rngs.update((w, np.random.default_rng(seed)) for w, seed in zip(worlds, seeds, strict=True))
        self.rngs = [rngs[w] for w in range(self.num_worlds)]
        for world in worlds:
            self.arrangements.forget(world)

    def record(self) -> None:
        """From the next episode on, keep what happens in the worlds, for `trace`."""
        self.recorder = Recorder(self.num_worlds)

    def trace(self, world: int) -> Trace:
        """What happened in a world since its episode began. ValueError if nothing was recorded."""
        if self.recorder is None or not self.recorder.rows:
            raise ValueError("nothing was recorded: call record() before the episode begins")
        return self.recorder.trace(
            world,
            self.template(world),
            self.episode.goals[world],
            self.sim.objects,
            held=bool(self.episode.grasped[world]),
            out_of_time=bool(self.episode.step_count[world] >= self.config.max_steps),
        )

    # -- beginning an episode ------------------------------------------------------------------------------------

    def draw(self, worlds: np.ndarray, configuration: int | None, goals: Sequence[Goal | None]) -> list[Arrangement]:
        """The next start of each of the worlds (M,), with its goal in the place of the source's where there is one.

        Draws their physical parameters, too.
        """
        starts = self.arrangements.draw(worlds.tolist(), self.rngs, configuration, goals)
        self.physics.draw(worlds, self.rngs)
        return starts

    def arrange(self, worlds: np.ndarray, starts: Sequence[Arrangement]) -> None:
        """Give the worlds (M,) the variants, physical parameters, furniture and goals of their starts."""
        self.physics.apply(worlds, np.array([s.variant for s in starts]))
        self.episode.configuration[worlds] = [s.configuration for s in starts]
        self.episode.furniture_pose[worlds] = np.array([s.furniture_pose for s in starts])
        tops = self._tops.at(self.episode.configuration[worlds], self.episode.furniture_pose[worlds])
        self.episode.tops[worlds] = self.arrays.put(tops)
        self._set_goals(worlds, [s.goal for s in starts])

    def _set_goals(self, worlds: np.ndarray, goals: Sequence[Goal]) -> None:
        episode = self.episode
        for world, goal in zip(worlds, goals, strict=True):
            episode.goals[world] = goal
        index = np.array([self.sim.objects.index(g.object) for g in goals])
        local_m = self.physics.keypoints_m[self.sim.variant[worlds], index]
        target_pose = np.array([g.target_pose for g in goals])
        put = self.arrays.put
        episode.object_index[worlds] = put(index)
        episode.local_m[worlds] = put(local_m)
        episode.target_pose[worlds] = put(target_pose)
        episode.targets_m[worlds] = put(pose_apply(target_pose, local_m))

    def place(self, worlds: np.ndarray, starts: Sequence[Arrangement], hands: np.ndarray) -> None:
        """Put objects, furniture and closed hands, their end effectors at (M, 7), where an episode begins."""
        poses = np.array([s.object_pose for s in starts])
        furniture = np.array([s.furniture_pose for s in starts])
        closed = np.zeros(len(worlds))
        self.sim.reset(worlds, WorldReset(hands, closed, poses, closed, furniture))

    def begin(self, worlds: np.ndarray, opening_command_m: np.ndarray, grasped: np.ndarray) -> None:
        """Start counting an episode from the present physical state of the worlds (M,).

        `opening_command_m` (M,) is what the fingers hold, `grasped` (M,) says whether they hold the object.
        """
        episode = self.episode
        rows = self.arrays.put(worlds)
        self.state = self.ticks.state()
        state = self._state_of(rows)
        episode.commanded_pose[rows] = state.gripper_pose
        episode.opening_command_m[rows] = self.arrays.put(opening_command_m)
        episode.start_pose[rows] = state.object_pose
        episode.step_count[rows] = 0
        episode.success_steps[rows] = 0
        held = episode.of_ticks(rows)
        pose = object_pose(state, held)
        episode.held_offset_m[rows] = in_hand(pose, state.gripper_pose)
        episode.grasped[worlds] = grasped
        self.sensing.begin(worlds, self.rngs, pose)
        episode.error_m[rows] = self.tick.error(errors_of(state, held, pose), pose, held)
        if self.recorder:
            self.recorder.begin(worlds, self._state_on_host())

    def _state_on_host(self) -> WorldState:
        """The present state in numpy arrays."""
        return self.state if self.arrays.on_host else self.sim.state()

    # -- one tick ------------------------------------------------------------------------------------------------

    def observe(self, worlds: np.ndarray | slice = slice(None)) -> Array:
        """Observations (M, observation_dim) of worlds (M,), all of them by default, clipped to their bounds."""
        rows = self.arrays.put(worlds)
        pose = self.sensing.observe(self.episode.step_count[rows], rows)
        packed = self.tick.packed_all if isinstance(worlds, slice) else self.tick.packed
        return packed(self.state.gripper_pose[rows], pose, self.episode.of_ticks(rows))

    def step(self, action: Array) -> tuple[dict[str, Array], Array, Errors]:
        """Apply actions (N, 6) for one tick. Returns the reward rows, which worlds are lost (N,) bool, the errors."""
        episode = self.episode
        effective = self.sensing.delay(action)
        episode.commanded_pose = self.tick.command(effective, episode.commanded_pose, self.state, episode.tops)
        self.ticks.step(episode.commanded_pose, episode.opening_command_m, self.substeps)
        self.state = self.ticks.state()
        if self.recorder:
            self.recorder.act(self._state_on_host())
        episode.step_count += 1
        held = episode.of_ticks()
        self.sensing.see(object_pose(self.state, held))
        found: Measured = self.tick.measured[self.goal.grasp](self.state, held, action)
        episode.error_m = found.error_m
        episode.success_steps = found.success_steps
        return found.rewards, found.lost, found.errors

    def errors(self, worlds: np.ndarray | slice = slice(None)) -> Errors:
        """How far the worlds (M,) are from their goals, as things stand; all of them by default."""
        rows = self.arrays.put(worlds)
        state = self._state_of(rows)
        held = self.episode.of_ticks(rows)
        return errors_of(state, held, object_pose(state, held))

    def _state_of(self, rows: Array | slice) -> WorldState:
        """The present state of worlds (M,)."""
        return WorldState(**{name: values[rows] for name, values in vars(self.state).items()})

    # -- all of it -----------------------------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """What the worlds are made of and run with, in short: equal for worlds whose states fit each other."""
        made = [[(s.scene.to_dict(), s.goal.to_dict()) for s in self.variants.starts], self.randomisation.to_dict()]
        run = asdict(replace(self.config, num_threads=0))  # how many threads changes nothing
        run["rewards"] = self.config.rewards.numbers()
        text = json.dumps([_STATE_VERSION, made, run], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def get_state(self) -> dict[str, Any]:
        """Everything that the future of the worlds depends on; can be pickled. See `set_state`."""
        return {
            "fingerprint": self.fingerprint,
            "episode": self.episode.copy(),
            "world_state": self.state,
            "rngs": [rng.bit_generator.state for rng in self.rngs],
            "arrangements": self.arrangements.get_state(),
            "physics": self.physics.get_state(),
            "sensing": self.sensing.get_state(),
            "recorder": self.recorder and self.recorder.copy(),
            "sim": self.sim.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called on as many worlds of the same fingerprint, to the last bit."""
        self.episode = state["episode"].copy()
        self.state = state["world_state"]
        self.rngs = [np.random.default_rng() for _ in state["rngs"]]
        for rng, bits in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = bits
        self.arrangements.set_state(state["arrangements"])
        self.physics.set_state(state["physics"])
        self.sensing.set_state(state["sensing"])
        self.recorder = state["recorder"] and state["recorder"].copy()
        self.sim.set_state(state["sim"])

    def close(self) -> None:
        """Free the simulation."""
        self.sim.close()
