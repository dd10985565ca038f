"""A stage in N worlds: the machinery under both the single and the vectorised environment.

    StartSource -> reset -> [grasp subroutine] -> step x T -> finish -> measure

`StageWorlds` owns the physics and every per-world array; it knows neither gymnasium nor learning. All randomness of
world i comes from its own generator, so a world behaves the same whatever the number of worlds beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from iker_envs import subroutines
from iker_envs.geometry import norm, pose_apply, quaternion_from_yaw, quaternion_multiply, tilt_angle
from iker_envs.measure import Errors, keypoint_error, measure
from iker_envs.mujoco_sim import MujocoSim
from iker_envs.nearby import free_objects
from iker_envs.randomisation import Randomisation
from iker_envs.rewards import RewardConfig, State, compute_rewards
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Grasp
from iker_envs.sim import WorldReset, WorldState
from iker_envs.spec import POSITION_BOUND_M, Spec, decode_action, pack_observation
from iker_envs.starts import Start, StartSource, push_start

_DROPPED_M = 0.05  # the object slipped this far in the hand
_FALLEN_M = 0.05  # below both its start and its target
_TIPPED_RAD = np.deg2rad(60.0)
_POSE_ERROR_M_PER_RAD = 0.1  # of the alignment row under the pose observation


@dataclass(frozen=True)
class StageConfig:
    """What a stage is run with, beside its scene and goal."""

    spec: Spec = field(default_factory=Spec)
    rewards: RewardConfig = field(default_factory=RewardConfig)
    episode_s: float = 6.0
    free: str = "near"  # "near": the goal's object and its neighbourhood, "all": every movable object
    grasp_bank: int = 4  # physically grasped states kept per world
    num_threads: int = 0

    @property
    def max_steps(self) -> int:
        return round(self.episode_s * self.spec.control_hz)


class StageWorlds:
    """N worlds in which one object should reach a target pose.

    Public arrays, valid after `reset`: `state` (WorldState), `target_pose` (N, 7), `targets_m` (N, 4, 3),
    `commanded_pose` (N, 7), `step_count` (N,), `start_pose` (N, O, 7).
    """

    def __init__(self, source: StartSource, num_worlds: int, config: StageConfig, randomisation: Randomisation) -> None:
        self.source, self.config, self.randomisation = source, config, randomisation
        self.num_worlds = num_worlds
        self.rngs: list[np.random.Generator] = []
        self._bank: list[subroutines.GraspedStates] = []
        self._build(source.sample(np.random.default_rng(0)))

    def _build(self, first: Start) -> None:
        """Compile the scene of an episode; the others must have the same objects."""
        self.scene, self.goals = first.scene, [first.goal] * self.num_worlds
        free = free_objects(first.scene, first.goal) if self.config.free == "near" else None
        self.sim = MujocoSim(first.scene, self.num_worlds, free, self.config.num_threads)
        self.substeps = round(1.0 / self.config.spec.control_hz / self.sim.substep_s)
        self.workspace_m = np.array(first.scene.workspace_m)
        models = [first.scene.object(name).model for name in self.sim.objects]
        self._friction = np.array([m.friction for m in models])
        self._mass = np.array([m.mass_kg for m in models])
        self._allocate(self.num_worlds, len(models))
        self._set_object(self.goal.object)
        self.state: WorldState = self.sim.state()

    def _allocate(self, n: int, num_objects: int) -> None:
        self.target_pose, self.commanded_pose = np.zeros((n, 7)), np.zeros((n, 7))
        self.targets_m = np.zeros((n, 4, 3))
        self.start_pose = np.zeros((n, num_objects, 7))
        self.step_count, self.success_steps = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
        self.opening_command_m = np.zeros(n)
        self.held_offset_m = np.zeros((n, 3))  # object centre in the hand's frame when the episode began
        self.grasped = np.zeros(n, dtype=bool)
        self.observation_offset = np.zeros((n, 3)), np.tile([1.0, 0, 0, 0], (n, 1))
        self.error_m = np.zeros(n)

    def _set_object(self, name: str) -> None:
        if name not in self.sim.objects:
            raise ValueError(f"the goal's object {name!r} is not movable; movable: {', '.join(self.sim.objects)}")
        self.object_index = self.sim.objects.index(name)
        self.local_m = self.scene.object(name).model.control_keypoints_m()

    @property
    def goal(self) -> Goal:
        """The goal of world 0; all worlds move the same object in the same way."""
        return self.goals[0]

    def seed(self, seeds: Sequence[int], worlds: np.ndarray | None = None) -> None:
        """One generator per world, new ones where the mask `worlds` (N,) says so.

        Grasped states made with other generators are forgotten, unless some worlds keep theirs.
        """
        everyone = worlds is None or worlds.all()
        chosen = np.ones(self.num_worlds, dtype=bool) if everyone else worlds
        old = self.rngs or [None] * self.num_worlds
        self.rngs = [np.random.default_rng(s) if new else g for s, new, g in zip(seeds, chosen, old, strict=True)]
        if everyone:
            self._bank = []

    def restart(self, configuration: int | None = None, *, look: bool = False) -> None:
        """Begin afresh in all worlds with the source's own goal; a configuration may bring other objects.

        With `look` the objects are placed and the empty hand waits above them: no stage has begun.
        """
        first = self.source.sample(np.random.default_rng(0), configuration)
        same = [o.model.to_dict() for o in first.scene.objects] == [o.model.to_dict() for o in self.scene.objects]
        if same:
            self.scene, self.goals, self._bank = first.scene, [first.goal] * self.num_worlds, []
            self._set_object(self.goal.object)
        else:
            self.sim.close()
            self._bank = []
            self._build(first)
        everyone = np.arange(self.num_worlds)
        if look:
            self._park(everyone, configuration)
        else:
            self.reset(everyone, configuration)

    def _park(self, worlds: np.ndarray, configuration: int | None) -> None:
        self.draw_physics(worlds)
        starts = [self.source.sample(self.rngs[w], configuration) for w in worlds]
        self._set_goals(worlds, [s.goal for s in starts])
        centre, top = self.workspace_m.mean(axis=0), self.workspace_m[1, 2]
        hands = np.tile([*centre[:2], top, *HOME_GRIPPER_QUATERNION], (len(worlds), 1))
        closed = np.zeros(len(worlds))
        self.sim.reset(worlds, WorldReset(hands, closed, self._poses(starts), closed))
        self.begin(worlds, closed)

    # -- beginning an episode ------------------------------------------------------------------------------------

    def reset(self, worlds: np.ndarray, configuration: int | None = None) -> None:
        """Begin new episodes in the worlds (M,) with freshly drawn objects, physics and starts."""
        if self.goal.grasp:
            self._reset_grasped(worlds, configuration)
        else:
            self.draw_physics(worlds)
            starts = [self.source.sample(self.rngs[w], configuration) for w in worlds]
            self._set_goals(worlds, [s.goal for s in starts])
            hands = np.array([self._push_start(w, s) for w, s in zip(worlds, starts, strict=True)])
            closed = np.zeros(len(worlds))
            self.sim.reset(worlds, WorldReset(hands, closed, self._poses(starts), closed))
            self.begin(worlds, closed)

    def _poses(self, starts) -> np.ndarray:
        return np.array([[s.scene.object(name).pose for name in self.sim.objects] for s in starts])

    def _push_start(self, world: int, start) -> np.ndarray:
        pose = push_start(start.scene, start.goal)
        pose[:3] += self.randomisation.draw("gripper_position", self.rngs[world])[0]
        pose[:3] = np.clip(pose[:3], *self.workspace_m)
        return pose

    def _set_goals(self, worlds: np.ndarray, goals: Sequence[Goal]) -> None:
        for world, goal in zip(worlds, goals, strict=True):
            self.goals[world] = goal
        self.target_pose[worlds] = np.array([g.target_pose for g in goals])
        self.targets_m[worlds] = pose_apply(self.target_pose[worlds], self.local_m)

    def draw_physics(self, worlds: np.ndarray) -> None:
        """Draw friction, mass and centre of mass of every object anew."""
        count = len(self.sim.objects)
        draws = {
            name: np.array([self.randomisation.draw(name, self.rngs[w], count) for w in worlds])
            for name in ("friction", "mass", "com_offset")
        }
        self.sim.randomize("friction", worlds, self._friction * draws["friction"][..., 0])
        self.sim.randomize("mass", worlds, self._mass * draws["mass"][..., 0])
        self.sim.randomize("com_offset", worlds, draws["com_offset"])

    def _reset_grasped(self, worlds: np.ndarray, configuration: int | None) -> None:
        if not self._bank:
            self.draw_physics(np.arange(self.num_worlds))
            rounds = range(self.config.grasp_bank)
            self._bank = [subroutines.grasped_states(self, configuration) for _ in rounds]
        picks = np.array([self._pick(w) for w in worlds])
        rows = [self._bank[k].rows for k in picks]
        goals = [self._bank[k].goals[w] for k, w in zip(picks, worlds, strict=True)]
        self._set_goals(worlds, goals)
        columns = [
            np.array([getattr(r, name)[w] for r, w in zip(rows, worlds, strict=True)])
            for name in ("gripper_pose", "opening_m", "object_pose", "opening_command_m")
        ]
        self.sim.reset(worlds, WorldReset(*columns))
        self.begin(worlds, columns[3])
        self.grasped[worlds] = [self._bank[k].held[w] for k, w in zip(picks, worlds, strict=True)]

    def _pick(self, world: int) -> int:
        """A random entry of the world's bank, one that holds the object if there is any."""
        good = [k for k, entry in enumerate(self._bank) if entry.held[world]]
        return int(self.rngs[world].choice(good or range(len(self._bank))))

    def begin(self, worlds: np.ndarray, opening_command_m: np.ndarray) -> None:
        """Start counting an episode from the worlds' present physical state."""
        self.state = self.sim.state()
        self.commanded_pose[worlds] = self.state.gripper_pose[worlds]
        self.opening_command_m[worlds] = opening_command_m
        self.start_pose[worlds] = self.state.object_pose[worlds]
        self.step_count[worlds] = self.success_steps[worlds] = 0
        self.held_offset_m[worlds] = subroutines.object_in_hand(self.state, self.object_index)[worlds]
        self.grasped[worlds] = self.goal.grasp
        self._draw_observation_offset(worlds)
        self.error_m = np.where(np.isin(np.arange(self.num_worlds), worlds), self._error(), self.error_m)

    def _draw_observation_offset(self, worlds: np.ndarray) -> None:
        position, rotation = self.observation_offset
        for w in worlds:
            position[w] = self.randomisation.draw("observation_position", self.rngs[w], 3)[:, 0]
            yaw = self.randomisation.draw("observation_rotation", self.rngs[w])[0, 0]
            rotation[w] = quaternion_from_yaw(np.array(yaw))

    def keep(self, goal: Goal, grasp: Grasp | None) -> str:
        """Begin the next episode from the world as it stands: a new goal, the hand at its start pose.

        Executes the grasp in physics when the goal asks for one. Returns why the grasp failed, else "".
        """
        self._set_object(goal.object)
        worlds = np.arange(self.num_worlds)
        self._set_goals(worlds, [goal] * self.num_worlds)
        if goal.grasp:
            return subroutines.grasp_now(self, grasp)
        hands = np.array([push_start(self.scene_now(w), goal) for w in worlds])
        subroutines.place_hand(self, hands, opening_m=0.0)
        self.begin(worlds, np.zeros(self.num_worlds))
        return ""

    def scene_now(self, world: int):
        """The scene with the objects where they are in one world."""
        poses = self.sim.state().object_pose[world]
        return self.scene.with_poses(dict(zip(self.sim.objects, poses, strict=True)))

    # -- one tick ------------------------------------------------------------------------------------------------

    def observed_pose(self) -> np.ndarray:
        """The manipulated object's pose (N, 7) as it is observed, with this episode's observation error."""
        pose, (position, rotation) = self.state.object_pose[:, self.object_index], self.observation_offset
        return np.concatenate([pose[:, :3] + position, quaternion_multiply(rotation, pose[:, 3:])], axis=-1)

    def observe(self) -> np.ndarray:
        """Observations (N, observation_dim), clipped to their bounds."""
        pose = self.observed_pose()
        keypoints = pose_apply(pose, self.local_m)
        spec = self.config.spec
        packed = pack_observation(spec, self.state.gripper_pose, pose, keypoints, self.targets_m, self.target_pose)
        bound = spec.observation_bound()
        return np.clip(packed, -bound, bound)

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Apply actions (N, 6) for one tick. Returns the reward rows and which worlds are lost (N,) bool."""
        spec = self.config.spec
        self.commanded_pose = decode_action(
            spec, action, self.commanded_pose, self.state.gripper_pose, self.workspace_m
        )
        self.sim.step(self.commanded_pose, self.opening_command_m, self.substeps)
        self.state = self.sim.state()
        self.step_count += 1
        before, self.error_m = self.error_m, self._error()
        errors = self.errors()
        near = (self.error_m <= self.config.rewards.success_m) & (errors.tilt_rad <= np.deg2rad(15.0))
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
        return compute_rewards(reward_state, self.config.rewards), lost

    def _error(self) -> np.ndarray:
        pose = self.state.object_pose[:, self.object_index]
        if self.config.spec.observation == "keypoints":
            return keypoint_error(pose, self.local_m, self.targets_m)
        errors = self.errors()
        angle = errors.heading_rad + errors.tilt_rad
        return norm(pose[:, :3] - self.target_pose[:, :3]) + _POSE_ERROR_M_PER_RAD * angle

    def _gripper_distance(self) -> np.ndarray:
        pose = self.state.object_pose[:, self.object_index]
        points = np.concatenate([pose[:, None, :3], pose_apply(pose, self.local_m)], axis=1)
        return norm(points - self.state.gripper_pose[:, None, :3]).min(axis=-1)

    def errors(self) -> Errors:
        """How far each world is from its goal, as things stand."""
        return measure(self.state.object_pose, self.object_index, self.start_pose, self.target_pose, self.local_m)

    def lost(self, errors: Errors) -> np.ndarray:
        """Worlds (N,) in which the object was dropped, tipped over or fell, or physics diverged."""
        pose, start = self.state.object_pose[:, self.object_index], self.start_pose[:, self.object_index]
        lowest = np.minimum(start[:, 2], self.target_pose[:, 2])
        start_tilt = tilt_angle(start[:, 3:], self.target_pose[:, 3:])
        tipped = errors.tilt_rad > np.maximum(_TIPPED_RAD, start_tilt + _TIPPED_RAD / 2)
        slipped = norm(subroutines.object_in_hand(self.state, self.object_index) - self.held_offset_m) > _DROPPED_M
        outside = np.abs(pose[:, :3]).max(axis=-1) > POSITION_BOUND_M
        fallen = pose[:, 2] < lowest - _FALLEN_M
        return fallen | tipped | (slipped & self.goal.grasp) | outside | self.state.unstable

    def finish(self) -> Errors:
        """Open, retreat, wait until still, measure. All worlds at once."""
        subroutines.release_and_settle(self)
        return self.errors()

    def close(self) -> None:
        """Free the simulation."""
        self.sim.close()
