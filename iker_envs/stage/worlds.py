"""A stage in N worlds: the machinery under both the single and the vectorised environment.

    StartSource -> reset -> [grasp subroutine] -> step x T -> finish -> measure

`StageWorlds` owns the physics and every per-world array; it knows neither gymnasium nor learning. All randomness of
world i comes from its own generator, so a world behaves the same whatever the number of worlds beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from iker_envs.geometry import norm, pose_apply, tilt_angle
from iker_envs.measure import Errors, measure
from iker_envs.physics.mujoco_sim import MujocoSim
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.rewards import RewardConfig, State, compute_rewards
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Grasp, Scene
from iker_envs.sim import WorldReset, WorldState
from iker_envs.spec import NUM_KEYPOINTS, POSITION_BOUND_M, Spec, check_target, decode_action, pack_observation
from iker_envs.stage import subroutines
from iker_envs.stage.arrangements import Arrangement, Arrangements
from iker_envs.stage.grasp_bank import GraspBank
from iker_envs.stage.parameters import Physics
from iker_envs.stage.sensing import Sensing
from iker_envs.stage.starts import StartSource
from iker_envs.stage.variants import make_variants

_DROPPED_M = 0.05  # the object slipped this far in the hand
_FALLEN_M = 0.05  # below both its start and its target
_TIPPED_RAD = np.deg2rad(60.0)
_NEAR_TILT_RAD = np.deg2rad(15.0)  # an object that leans further does not count as near its target
_POSE_ERROR_M_PER_RAD = 0.1  # of the alignment row under the pose observation


@dataclass(frozen=True)
class StageConfig:
    """What a stage is run with, beside its scene and goal."""

    spec: Spec = field(default_factory=Spec)
    rewards: RewardConfig = field(default_factory=RewardConfig)
    episode_s: float = 6.0
    free: str = "near"  # "near": the goal's object and its neighbourhood, "all": every movable object
    grasp_bank: int = 4  # physically grasped states kept per world
    start_bank: int = 32  # starts that a world draws before it repeats them, 0 for no end
    num_threads: int = 0

    @property
    def max_steps(self) -> int:
        return round(self.episode_s * self.spec.control_hz)


class StageWorlds:
    """N worlds in which one object should reach a target pose.

    Public arrays, valid after `reset`: `state` (WorldState), `goals` (N Goals), `object_index` (N,), `local_m`
    (N, 4, 3) control keypoints in the body frame, `target_pose` (N, 7), `targets_m` (N, 4, 3), `commanded_pose` (N, 7),
    `step_count` (N,), `start_pose` (N, O, 7), `configuration` (N,), `physics.drawn` (row -> numbers of each world).
    """

    def __init__(self, source: StartSource, num_worlds: int, config: StageConfig, randomisation: Randomisation) -> None:
        self.source = source
        self.config = config
        self.randomisation = randomisation
        self.num_worlds = num_worlds
        self.rngs: list[np.random.Generator] = []
        self.variants = make_variants(source, randomisation, config.free)
        self.sim = MujocoSim(self.variants.items, num_worlds, self.variants.free, config.num_threads)
        self.physics = Physics(self.sim, self.variants, randomisation)
        self.arrangements = Arrangements(source, self.variants, randomisation, num_worlds, config.start_bank)
        self.sensing = Sensing(randomisation, num_worlds, config.max_steps)
        self.substeps = round(1.0 / config.spec.control_hz / self.sim.substep_s)
        self.workspace_m = np.array(self.variants.scene.workspace_m)
        self.grasps = GraspBank(config.grasp_bank, num_worlds)
        self._given: list[Goal | None] = [None] * num_worlds
        self._allocate(num_worlds)
        self.state: WorldState = self.sim.state()
        self._set_goals(np.arange(num_worlds), [self.variants.starts[0].goal] * num_worlds)

    def _allocate(self, n: int) -> None:
        self.goals: list[Goal] = [self.variants.starts[0].goal] * n
        self.object_index = np.zeros(n, dtype=int)
        self.configuration = np.zeros(n, dtype=int)
        self.local_m = np.zeros((n, NUM_KEYPOINTS, 3))
        self.targets_m = np.zeros((n, NUM_KEYPOINTS, 3))
        self.target_pose = np.zeros((n, 7))
        self.commanded_pose = np.zeros((n, 7))
        self.start_pose = np.zeros((n, len(self.sim.objects), 7))
        furniture = np.array([o.pose for o in self.variants.scene.objects if not o.movable]).reshape(-1, 7)
        self.furniture_pose = np.tile(furniture, (n, 1, 1))
        self.step_count = np.zeros(n, dtype=int)
        self.success_steps = np.zeros(n, dtype=int)
        self.opening_command_m = np.zeros(n)
        self.held_offset_m = np.zeros((n, 3))  # object centre in the hand's frame when the episode began
        self.grasped = np.zeros(n, dtype=bool)
        self.error_m = np.zeros(n)
        self._rows = np.arange(n)

    @property
    def goal(self) -> Goal:
        """The goal of world 0; all worlds grasp, or all push."""
        return self.goals[0]

    @property
    def scene(self) -> Scene:
        """World 0's scene as its episode began; models are the nominal ones, whatever size was drawn."""
        return self._scene(0, self.start_pose[0])

    def scene_now(self, world: int) -> Scene:
        """The scene with the objects where they are in one world."""
        return self._scene(world, self.sim.state().object_pose[world])

    def _scene(self, world: int, poses: np.ndarray) -> Scene:
        template = self.variants.starts[self.configuration[world]].scene
        if not self.rngs:  # nothing has been placed yet
            return template
        furniture = zip(self.sim.furniture, self.furniture_pose[world], strict=True)
        return template.with_poses(dict(furniture) | dict(zip(self.sim.objects, poses, strict=True)))

    def seed(self, seeds: Sequence[int], worlds: np.ndarray | None = None) -> None:
        """One generator per world, new ones where the mask `worlds` (N,) says so.

        Arrangements and grasped states that they drew with other generators are forgotten.
        """
        everyone = worlds is None or worlds.all()
        chosen = np.ones(self.num_worlds, dtype=bool) if everyone else worlds
        old = self.rngs or [None] * self.num_worlds
        self.rngs = [np.random.default_rng(s) if new else g for s, new, g in zip(seeds, chosen, old, strict=True)]
        for world in np.flatnonzero(chosen):
            self.arrangements.forget(world)
        self.grasps.forget(np.flatnonzero(chosen))

    # -- beginning an episode ------------------------------------------------------------------------------------

    def check_goal(self, goal: Goal) -> None:
        """ValueError if this stage cannot have the goal."""
        if goal.object not in self.sim.objects:
            movable = ", ".join(self.sim.objects)
            raise ValueError(f"the goal's object {goal.object!r} is not movable; movable: {movable}")
        if goal.object not in self.sim.free:
            free = ", ".join(self.sim.free)
            raise ValueError(
                f"the goal's object {goal.object!r} is welded here; free: {free}, or make it with free='all'"
            )
        check_target(goal, self.variants.scene)

    def _check_given(self, goal: Goal) -> None:
        """ValueError unless the worlds can begin with this goal in the place of their own."""
        self.check_goal(goal)
        own = [start.goal for start in self.variants.starts]
        if goal.grasp != own[0].grasp:
            raise ValueError("a goal of these worlds has `grasp` as their task has it; make another environment")
        if other := [g.object for g in own if goal.grasp and g.object != goal.object]:
            raise ValueError(
                f"the goal's object is {goal.object!r}, but the hand begins with {other[0]!r}; make another environment"
            )

    def give_goals(self, worlds: np.ndarray, goals: Sequence[Goal | None]) -> None:
        """Goals of the worlds (M,) from their next reset on, in the place of the source's own (None: its own again)."""
        for goal in goals:
            if goal is not None:
                self._check_given(goal)
        for world, goal in zip(worlds, goals, strict=True):
            if goal is not self._given[world]:
                self._given[world] = goal
                self.arrangements.forget(world)

    def reset(self, worlds: np.ndarray, configuration: int | None = None, *, look: bool = False) -> None:
        """Begin new episodes in the worlds (M,) with freshly drawn objects, physics and starts.

        With `look` the objects are placed and the empty hand waits above them: no stage has begun.
        """
        if self.variants.starts[0].goal.grasp and not look:
            self._reset_grasped(worlds, configuration)
            return
        drawn = self.draw(worlds, configuration)
        self.physics.draw(worlds, self.rngs)
        self.arrange(worlds, drawn)
        hands = self._look_poses(worlds) if look else self._push_starts(worlds, drawn)
        closed = np.zeros(len(worlds))
        self.place(worlds, drawn, hands, closed)
        self.begin(worlds, closed)

    def draw(self, worlds: np.ndarray, configuration: int | None, *, own_goals: bool = False) -> list[Arrangement]:
        """The next start of each of the worlds (M,), with the goal given to it or, with `own_goals`, the source's."""
        given = [None] * self.num_worlds if own_goals else self._given
        return [self.arrangements.draw(w, self.rngs[w], configuration, given[w]) for w in worlds]

    def arrange(self, worlds: np.ndarray, drawn: Sequence[Arrangement]) -> None:
        """Give the worlds (M,) the variants, furniture and goals of their starts."""
        self.physics.apply(worlds, np.array([a.variant for a in drawn]))
        self.configuration[worlds] = [a.configuration for a in drawn]
        self.furniture_pose[worlds] = np.array([a.furniture_pose for a in drawn])
        self._set_goals(worlds, [a.goal for a in drawn])

    def place(self, worlds: np.ndarray, drawn: Sequence[Arrangement], hands: np.ndarray, opening_m: np.ndarray) -> None:
        """Put objects, furniture and hands (M, 7), open by (M,), where an episode begins."""
        poses, furniture = (np.array([getattr(a, name) for a in drawn]) for name in ("object_pose", "furniture_pose"))
        self.sim.reset(worlds, WorldReset(hands, opening_m, poses, opening_m, furniture))

    def _look_poses(self, worlds: np.ndarray) -> np.ndarray:
        centre = self.workspace_m.mean(axis=0)
        top = self.workspace_m[1, 2]
        return np.tile([*centre[:2], top, *HOME_GRIPPER_QUATERNION], (len(worlds), 1))

    def _push_starts(self, worlds: np.ndarray, drawn: Sequence[Arrangement]) -> np.ndarray:
        hands = np.array([a.hand_pose for a in drawn])
        shifts = [self.randomisation.draw("gripper_position", self.rngs[w])[0] for w in worlds]
        hands[:, :3] = np.clip(hands[:, :3] + shifts, *self.workspace_m)
        return hands

    def _set_goals(self, worlds: np.ndarray, goals: Sequence[Goal]) -> None:
        for world, goal in zip(worlds, goals, strict=True):
            self.goals[world] = goal
        index = np.array([self.sim.objects.index(g.object) for g in goals])
        self.object_index[worlds] = index
        self.local_m[worlds] = self.physics.keypoints_m[self.sim.variant[worlds], index]
        self.target_pose[worlds] = np.array([g.target_pose for g in goals])
        self.targets_m[worlds] = pose_apply(self.target_pose[worlds], self.local_m[worlds])

    def _reset_grasped(self, worlds: np.ndarray, configuration: int | None) -> None:
        starts, rows, held = self.grasps.pick(self, worlds, configuration)
        given = [self._given[w] for w in worlds]
        with_goal = self.arrangements.with_goal
        self.arrange(worlds, [s if g is None else with_goal(s, g) for s, g in zip(starts, given, strict=True)])
        self.sim.reset(worlds, rows)
        self.begin(worlds, rows.opening_command_m)
        self.grasped[worlds] = held

    def begin(self, worlds: np.ndarray, opening_command_m: np.ndarray) -> None:
        """Start counting an episode from the worlds' present physical state."""
        self.state = self.sim.state()
        self.commanded_pose[worlds] = self.state.gripper_pose[worlds]
        self.opening_command_m[worlds] = opening_command_m
        self.start_pose[worlds] = self.state.object_pose[worlds]
        self.step_count[worlds] = self.success_steps[worlds] = 0
        self.held_offset_m[worlds] = subroutines.object_in_hand(self.state, self.object_index)[worlds]
        self.grasped[worlds] = self.goal.grasp
        self.sensing.begin(worlds, self.rngs, self._object_pose()[worlds])
        self.error_m[worlds] = self._error(self.errors(worlds), worlds)

    def keep(self, goal: Goal, grasp: Grasp | None) -> str:
        """Begin the next episode from the world as it stands: a new goal, the hand at its start pose.

        Executes the grasp in physics when the goal asks for one. Returns why the grasp failed, else "".
        """
        self.check_goal(goal)
        hands = None
        if not goal.grasp:
            hands = np.array([push_start(self.scene_now(w), goal) for w in range(self.num_worlds)])
        self._set_goals(self._rows, [goal] * self.num_worlds)
        if hands is None:
            return subroutines.grasp_now(self, grasp)
        subroutines.place_hand(self, hands, opening_m=0.0)
        self.begin(self._rows, np.zeros(self.num_worlds))
        return ""

    # -- one tick ------------------------------------------------------------------------------------------------

    def _object_pose(self) -> np.ndarray:
        """The manipulated object's true pose (N, 7)."""
        return self.state.object_pose[self._rows, self.object_index]

    def observe(self) -> np.ndarray:
        """Observations (N, observation_dim), clipped to their bounds."""
        pose = self.sensing.observe(self.step_count)
        keypoints = pose_apply(pose, self.local_m)
        spec = self.config.spec
        packed = pack_observation(spec, self.state.gripper_pose, pose, keypoints, self.targets_m, self.target_pose)
        bound = spec.observation_bound()
        return np.clip(packed, -bound, bound)

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, Errors]:
        """Apply actions (N, 6) for one tick. Returns the reward rows, which worlds are lost (N,) bool, the errors."""
        spec = self.config.spec
        effective = self.sensing.delay(action)
        self.commanded_pose = decode_action(
            spec, effective, self.commanded_pose, self.state.gripper_pose, self.workspace_m
        )
        self.sim.step(self.commanded_pose, self.opening_command_m, self.substeps)
        self.state = self.sim.state()
        self.step_count += 1
        self.sensing.see(self._rows, self._object_pose())
        errors = self.errors()
        before = self.error_m
        self.error_m = self._error(errors).copy()  # a copy, since resets write into it
        near = (self.error_m <= self.config.rewards.success_m) & (errors.tilt_rad <= _NEAR_TILT_RAD)
        self.success_steps = np.where(near, self.success_steps + 1, 0)
        lost = self.lost(errors)
        reward_state = State(
            gripper_distance_m=self._gripper_distance(),
            error_m=self.error_m,
            error_before_m=before,
            success_steps=self.success_steps,
            action=np.clip(action, -1.0, 1.0),
            dropped=lost.astype(float),
            contact_force_N=norm(self.state.contact_force),
            others_moved_m=errors.others_m,
        )
        return compute_rewards(reward_state, self.config.rewards), lost, errors

    def _error(self, errors: Errors, worlds: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What the alignment row goes by (M,): keypoint error, or pose error under the pose observation."""
        if self.config.spec.observation == "keypoints":
            return errors.goal_m
        offset = self._object_pose()[worlds, :3] - self.target_pose[worlds, :3]
        return norm(offset) + _POSE_ERROR_M_PER_RAD * (errors.heading_rad + errors.tilt_rad)

    def _gripper_distance(self) -> np.ndarray:
        pose = self._object_pose()
        points = np.concatenate([pose[:, None, :3], pose_apply(pose, self.local_m)], axis=1)
        return norm(points - self.state.gripper_pose[:, None, :3]).min(axis=-1)

    def errors(self, worlds: np.ndarray | slice = slice(None)) -> Errors:
        """How far the worlds (M,) are from their goals, as things stand; all of them by default."""
        return measure(
            self.state.object_pose[worlds],
            self.object_index[worlds],
            self.start_pose[worlds],
            self.target_pose[worlds],
            self.local_m[worlds],
        )

    def lost(self, errors: Errors) -> np.ndarray:
        """Worlds (N,) in which the object was dropped, tipped over or fell, or physics diverged.

        An object that stands at its target is not dropped by a hand that slides along it.
        """
        pose = self._object_pose()
        start = self.start_pose[self._rows, self.object_index]
        lowest = np.minimum(start[:, 2], self.target_pose[:, 2])
        start_tilt = tilt_angle(start[:, 3:], self.target_pose[:, 3:])
        tipped = errors.tilt_rad > np.maximum(_TIPPED_RAD, start_tilt + _TIPPED_RAD / 2)
        slipped = norm(subroutines.object_in_hand(self.state, self.object_index) - self.held_offset_m) > _DROPPED_M
        outside = np.abs(pose[:, :3]).max(axis=-1) > POSITION_BOUND_M
        fallen = pose[:, 2] < lowest - _FALLEN_M
        there = errors.success & (errors.tilt_rad <= _NEAR_TILT_RAD)
        return fallen | tipped | (slipped & ~there & self.goal.grasp) | outside | self.state.unstable

    def finish(self) -> Errors:
        """Open, retreat, wait until still, measure. All worlds at once."""
        subroutines.release_and_settle(self)
        return self.errors()

    # -- all of it -----------------------------------------------------------------------------------------------

    @cached_property
    def fingerprint(self) -> str:
        """What the worlds are made of and run with, in short: equal for stages whose states fit each other."""
        made = [[(s.scene.to_dict(), s.goal.to_dict()) for s in self.variants.starts], self.randomisation.to_dict()]
        run = asdict(replace(self.config, num_threads=0))  # how many threads changes nothing
        rewards = {name: float(value) for name, value in run.pop("rewards").items()}
        return hashlib.sha256(json.dumps([made, run, rewards], sort_keys=True).encode()).hexdigest()

    def get_state(self) -> dict[str, Any]:
        """Everything that the future of the worlds depends on; can be pickled. See `set_state`."""
        return {
            "fingerprint": self.fingerprint,
            "arrays": {name: getattr(self, name).copy() for name in _ARRAYS},
            "world_state": self.state,
            "goals": list(self.goals),
            "given": list(self._given),
            "rngs": [rng.bit_generator.state for rng in self.rngs],
            "grasps": self.grasps.get_state(),
            "arrangements": self.arrangements.get_state(),
            "physics": self.physics.get_state(),
            "sensing": self.sensing.get_state(),
            "sim": self.sim.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where `get_state` was called on worlds of the same making, to the last bit.

        `iker_envs.stage.saved.check_state` tells whether a state of unknown origin is one of these worlds.
        """
        for name, values in state["arrays"].items():
            setattr(self, name, values.copy())
        self.state = state["world_state"]
        self.goals = list(state["goals"])
        self._given = list(state["given"])
        self.rngs = [np.random.default_rng() for _ in state["rngs"]]
        for rng, bits in zip(self.rngs, state["rngs"], strict=True):
            rng.bit_generator.state = bits
        self.grasps.set_state(state["grasps"])
        self.arrangements.set_state(state["arrangements"])
        self.physics.set_state(state["physics"])
        self.sensing.set_state(state["sensing"])
        self.sim.set_state(state["sim"])

    def close(self) -> None:
        """Free the simulation."""
        self.sim.close()


_ARRAYS = (
    *("object_index", "configuration", "local_m", "targets_m", "target_pose", "commanded_pose", "start_pose"),
    *("furniture_pose", "step_count", "success_steps", "opening_command_m", "held_offset_m", "grasped", "error_m"),
)
